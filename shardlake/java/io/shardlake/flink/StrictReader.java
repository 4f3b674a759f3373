package io.shardlake.flink;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericDatumReader;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericRecord;
import org.apache.flink.avro.shaded.org.apache.avro.io.Decoder;
import org.apache.flink.table.data.StringData;

/**
 * Reads one writer's records as the reader's schema, and refuses strings that are not UTF-8: Avro would put U+FFFD there.
 *
 * <p>A string is a StringData of the bytes as they came. Avro's way, through java.lang.String, decodes and encodes each.
 */
class StrictReader extends GenericDatumReader<GenericRecord> {
    private final StrictDecoder decoder = new StrictDecoder();

    StrictReader(Schema writer, Schema reader) {
        super(writer, reader);
    }

    /** The record that the bytes from `start` on are, all of them. */
    GenericRecord read(byte[] value, int start) throws IOException {
        decoder.configure(value, start);
        GenericRecord record = read(null, decoder);
        if (!decoder.isEnd()) {
            throw new Poison("TrailingBytes", "bytes are left after the record");
        }
        return record;
    }

    @Override
    protected Object readString(Object old, Schema expected, Decoder in) throws IOException {
        byte[] bytes = in.readString(null).getBytes(); // no reuse: there are no more than the string's
        for (byte one : bytes) {
            if (one < 0) {
                check(bytes);
                break;
            }
        }
        return StringData.fromBytes(bytes);
    }

    private static void check(byte[] bytes) {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes));
        } catch (CharacterCodingException error) {
            throw new Poison("NotUtf8", "a string is not UTF-8");
        }
    }
}
