package io.shardlake.flink;

import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;

/**
 * Numbers that a schema calls times. Avro hands the writer's number to the reader, whose own schema says what it is: microseconds
 * would be read as milliseconds. The rule is that of shardlake/avro/times.py.
 */
class LogicalTimes {
    private static final Set<String> TIMES = Set.of(
            "timestamp-millis", "timestamp-micros", "timestamp-nanos", "local-timestamp-millis", "local-timestamp-micros",
            "local-timestamp-nanos", "time-millis", "time-micros", "date");

    private LogicalTimes() {}

    /** Words for a field that both schemas call a time and not the same one, or null. */
    static String other(Schema writer, Schema reader) {
        for (Schema.Field field : reader.getFields()) {
            List<String> names = new ArrayList<>(List.of(field.name()));
            names.addAll(field.aliases());
            for (String name : names) {
                Schema.Field written = writer.getField(name);
                if (written == null) {
                    continue;
                }
                Set<String> wanted = times(field.schema());
                Set<String> given = times(written.schema());
                if (!wanted.isEmpty() && !wanted.containsAll(given)) {
                    return field.name() + " is " + String.join(", ", given) + " there and " + String.join(", ", wanted) + " here";
                }
                break;
            }
        }
        return null;
    }

    private static Set<String> times(Schema schema) {
        Set<String> found = new TreeSet<>();
        for (Schema branch : schema.getType() == Schema.Type.UNION ? schema.getTypes() : List.of(schema)) {
            String name = branch.getProp("logicalType");
            if (name != null && TIMES.contains(name)) {
                found.add(name);
            }
        }
        return found;
    }
}
