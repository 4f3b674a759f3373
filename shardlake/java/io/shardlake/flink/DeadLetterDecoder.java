package io.shardlake.flink;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.util.List;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.avro.shaded.org.apache.avro.generic.GenericRecord;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;
import org.apache.flink.util.Collector;

/**
 * Decodes each record afresh. Flink's own format keeps one buffered decoder for all records, so that bytes left over from a bad
 * one are read as the start of the next (FLINK-31951, FLINK-34474); here the decoder is reset, and every byte must be used.
 */
class DeadLetterDecoder implements DeserializationSchema<RowData> {
    private static final int MAX_VALUE_BYTES = 1 << 20;
    private static final int HEADER_BYTES = 5;
    private static final long DAY_MS = 86_400_000;
    private static final long YEAR_1_MS = -62_135_596_800_000L;
    private static final long YEAR_10000_MS = 253_402_300_800_000L;

    private final String url;
    private final String subject;
    private final String schema;
    private final List<String> metadata;
    private final LogicalType[] types;
    private final TypeInformation<RowData> produced;
    private transient WriterSchemas writers;

    DeadLetterDecoder(
            String url, String subject, String schema, RowType fields, List<String> metadata, TypeInformation<RowData> produced) {
        this.url = url;
        this.subject = subject;
        this.schema = schema;
        this.metadata = metadata;
        this.types = fields.getChildren().toArray(LogicalType[]::new);
        this.produced = produced;
    }

    @Override
    public void open(InitializationContext context) throws IOException {
        writers = new WriterSchemas(url, subject, new Schema.Parser().parse(schema));
    }

    @Override
    public void deserialize(byte[] value, Collector<RowData> out) throws IOException {
        out.collect(deserialize(value));
    }

    @Override
    public RowData deserialize(byte[] value) throws IOException {
        if (value == null) {
            return row(null, null, "null_value", "the value is null");
        }
        try {
            return row(decode(value), value, null, null);
        } catch (WriterSchemas.RegistryDown error) {
            throw error; // says nothing of the record: the job restarts and reads it again
        } catch (Exception | StackOverflowError | OutOfMemoryError error) {
            Poison poison = Poison.of(error);
            return row(null, value, poison.kind, poison.getMessage());
        }
    }

    private GenericRecord decode(byte[] value) throws IOException {
        if (value.length > MAX_VALUE_BYTES) {
            throw new Poison("TooLarge", value.length + " bytes; at most " + MAX_VALUE_BYTES + " are decoded");
        }
        if (value.length < HEADER_BYTES || value[0] != 0) {
            throw new Poison("NoSchemaId", "the value does not begin with a zero byte and a schema id");
        }
        return writers.reader(ByteBuffer.wrap(value, 1, 4).getInt()).read(value, HEADER_BYTES);
    }

    private RowData row(GenericRecord record, byte[] raw, String error, String message) {
        GenericRowData row = new GenericRowData(types.length + metadata.size());
        for (int i = 0; record != null && i < types.length; i++) {
            row.setField(i, internal(record.get(i), types[i]));
        }
        for (int i = 0; i < metadata.size(); i++) {
            row.setField(types.length + i, switch (metadata.get(i)) {
                case "error" -> StringData.fromString(error);
                case "error_message" -> StringData.fromString(message);
                default -> raw;
            });
        }
        return row;
    }

    /** Avro's value of a field as Flink's. The engine gives columns of flat types only: see columns.py. */
    private static Object internal(Object value, LogicalType type) {
        if (value == null) {
            return null;
        }
        return switch (type.getTypeRoot()) {
            case VARCHAR -> value instanceof StringData ? value : StringData.fromString(value.toString()); // an enum's symbol
            case VARBINARY -> bytes((ByteBuffer) value);
            case DATE -> (int) (inYears((int) value * DAY_MS) / DAY_MS);
            case TIMESTAMP_WITH_LOCAL_TIME_ZONE -> LogicalTypeChecks.getPrecision(type) == 3
                    ? TimestampData.fromEpochMillis(inYears((long) value)) : ofMicros((long) value);
            default -> value;
        };
    }

    private static byte[] bytes(ByteBuffer buffer) {
        byte[] copy = new byte[buffer.remaining()];
        buffer.get(copy);
        return copy;
    }

    private static TimestampData ofMicros(long micros) {
        return TimestampData.fromEpochMillis(inYears(Math.floorDiv(micros, 1000)), (int) Math.floorMod(micros, 1000) * 1000);
    }

    /** Others have no datetime in Python, and far ones overflow the lake's microseconds. */
    private static long inYears(long millis) {
        if (millis < YEAR_1_MS || millis >= YEAR_10000_MS) {
            throw new Poison("TimeOutOfRange", "a time is not of the years 1 to 9999");
        }
        return millis;
    }

    @Override
    public boolean isEndOfStream(RowData next) {
        return false;
    }

    @Override
    public TypeInformation<RowData> getProducedType() {
        return produced;
    }
}
