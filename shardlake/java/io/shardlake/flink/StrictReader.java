package io.shardlake.flink;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericDatumReader;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericRecord;
import org.apache.flink.avro.shaded.org.apache.avro.io.Decoder;
import org.apache.flink.avro.shaded.org.apache.avro.util.Utf8;

/** Reads one writer's records as the reader's schema, and refuses strings that are not UTF-8: Avro would put U+FFFD there. */
class StrictReader extends GenericDatumReader<GenericRecord> {
    StrictReader(Schema writer, Schema reader) {
        super(writer, reader);
    }

    @Override
    protected Object readString(Object old, Decoder in) throws IOException {
        Utf8 text = in.readString(null);
        byte[] bytes = text.getBytes();
        for (int i = 0; i < text.getByteLength(); i++) {
            if (bytes[i] < 0) {
                check(bytes, text.getByteLength());
                break;
            }
        }
        return text;
    }

    private static void check(byte[] bytes, int length) {
        try {
            StandardCharsets.UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes, 0, length));
        } catch (CharacterCodingException error) {
            throw new Poison("NotUtf8", "a string is not UTF-8");
        }
    }
}
