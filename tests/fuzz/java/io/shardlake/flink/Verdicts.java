package io.shardlake.flink;

import java.io.BufferedInputStream;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeParser;

/**
 * What the jobs' decoder makes of values: batches of them on standard input, a text for each on standard output.
 *
 * <p>The text is the class of a dead letter, or "event" and the fields' values. Arguments: the registry, the subject, the schema,
 * and the type of each column.
 */
class Verdicts {
    private static final ClassLoader LOADER = Verdicts.class.getClassLoader();

    public static void main(String[] arguments) throws IOException {
        LogicalType[] types = Arrays.stream(arguments).skip(3)
                .map(type -> LogicalTypeParser.parse(type, LOADER)).toArray(LogicalType[]::new);
        DeadLetterDecoder decoder = new DeadLetterDecoder(
                arguments[0], arguments[1], arguments[2], RowType.of(types), List.of("error"), null);
        decoder.open(null);
        DataInputStream in = new DataInputStream(new BufferedInputStream(System.in));
        DataOutputStream out = new DataOutputStream(new BufferedOutputStream(System.out));
        for (int count = in.readInt(); count > 0; count = in.readInt()) {
            String[] found = new String[count];
            for (int i = 0; i < count; i++) {
                found[i] = verdict((GenericRowData) decoder.deserialize(in.readNBytes(in.readInt())), types.length);
            }
            for (String one : found) {
                byte[] text = one.getBytes(StandardCharsets.US_ASCII);
                out.writeInt(text.length);
                out.write(text);
            }
            out.flush();
        }
    }

    private static String verdict(GenericRowData row, int fields) {
        if (row.getField(fields) != null) {
            return row.getField(fields).toString();
        }
        StringBuilder found = new StringBuilder("event");
        for (int i = 0; i < fields; i++) {
            found.append(' ').append(text(row.getField(i)));
        }
        return found.toString();
    }

    private static String text(Object value) {
        if (value instanceof StringData text) {
            return "x" + HexFormat.of().formatHex(text.toBytes());
        }
        if (value instanceof TimestampData time) {
            return String.valueOf(time.getMillisecond() * 1000 + time.getNanoOfMillisecond() / 1000);
        }
        if (value instanceof Double number) {
            return "d" + Long.toHexString(Double.doubleToRawLongBits(number));
        }
        return String.valueOf(value);
    }
}
