package io.shardlake.flink;

import java.util.HashSet;
import java.util.Set;
import org.apache.flink.avro.shaded.org.apache.avro.AvroRuntimeException;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.SystemLimitException;

/**
 * How large a writer's schema may be: every record of the schema costs as much as the schema has. The limits are those of
 * shardlake/schema_limits.py.
 */
final class SchemaLimits {
    private static final int MAX_CHARACTERS = 1 << 20;
    private static final int MAX_FIELDS = 1_000;
    private static final int MAX_DEPTH = 32;
    private static final int MAX_FIXED_BYTES = 1 << 20;

    private final int id;
    private final Set<String> records = new HashSet<>();
    private int fields;

    private SchemaLimits(int id) {
        this.id = id;
    }

    /** The schema of a text; Poison where it is none, or is too large. */
    static Schema parse(int id, String text) {
        SchemaLimits limits = new SchemaLimits(id);
        if (text.length() > MAX_CHARACTERS) {
            throw limits.tooLarge("has " + text.length() + " characters, and the limit is " + MAX_CHARACTERS);
        }
        Schema schema;
        try {
            schema = new Schema.Parser().parse(text);
        } catch (UnsupportedOperationException | SystemLimitException error) {
            throw limits.largeFixed(); // Avro has limits of its own for it
        } catch (AvroRuntimeException error) {
            throw new Poison("NotAvro", "schema " + id + " is no Avro schema by itself");
        } catch (StackOverflowError error) {
            throw limits.tooDeep();
        }
        limits.check(schema, 0);
        return schema;
    }

    private void check(Schema of, int depth) {
        if (depth > MAX_DEPTH) {
            throw tooDeep();
        }
        switch (of.getType()) {
            case UNION -> of.getTypes().forEach(branch -> check(branch, depth + 1));
            case ARRAY -> check(of.getElementType(), depth + 1);
            case MAP -> check(of.getValueType(), depth + 1);
            case FIXED -> {
                if (of.getFixedSize() > MAX_FIXED_BYTES) {
                    throw largeFixed();
                }
            }
            case RECORD -> {
                if (records.add(of.getFullName())) { // a name within is the record again
                    fields += of.getFields().size();
                    if (fields > MAX_FIELDS) {
                        throw tooLarge("has more than " + MAX_FIELDS + " fields");
                    }
                    of.getFields().forEach(field -> check(field.schema(), depth + 1));
                }
            }
            default -> {}
        }
    }

    private Poison largeFixed() {
        return tooLarge("has a fixed of more than " + MAX_FIXED_BYTES + " bytes");
    }

    private Poison tooDeep() {
        return tooLarge("has types inside each other more than " + MAX_DEPTH + " deep");
    }

    private Poison tooLarge(String why) {
        return new Poison("SchemaTooLarge", "schema " + id + " " + why);
    }
}
