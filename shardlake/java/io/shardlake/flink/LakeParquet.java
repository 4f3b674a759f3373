package io.shardlake.flink;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.formats.parquet.ParquetBuilder;
import org.apache.flink.formats.parquet.row.ParquetRowDataBuilder;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.types.logical.RowType;
import org.apache.hadoop.conf.Configuration;
import org.apache.parquet.conf.ParquetConfiguration;
import org.apache.parquet.hadoop.ParquetWriter;
import org.apache.parquet.hadoop.api.DelegatingWriteSupport;
import org.apache.parquet.hadoop.api.WriteSupport;
import org.apache.parquet.hadoop.metadata.CompressionCodecName;
import org.apache.parquet.io.OutputFile;
import org.apache.parquet.schema.LogicalTypeAnnotation;
import org.apache.parquet.schema.LogicalTypeAnnotation.TimestampLogicalTypeAnnotation;
import org.apache.parquet.schema.MessageType;
import org.apache.parquet.schema.Type;
import org.apache.parquet.schema.Types;

/**
 * The lake's Parquet files: Flink's own, with the metadata given, and with times that say that they are instants.
 *
 * <p>Flink calls every time a local one (isAdjustedToUTC=false), also a TIMESTAMP_LTZ: readers then show it without a zone, and
 * Spark takes it for one of its own zone.
 */
record LakeParquet(RowType rows, boolean instants, Map<String, String> metadata) implements ParquetBuilder<RowData> {
    @Override
    public ParquetWriter<RowData> createWriter(OutputFile file) throws IOException {
        Configuration parquet = new Configuration();
        // One unit holds for all columns: milliseconds would cut what timestamp-micros carries.
        parquet.set("parquet.write.int64.timestamp", "true");
        parquet.set("parquet.timestamp.time.unit", "micros");
        return new Builder(file).withConf(parquet).withCompressionCodec(CompressionCodecName.ZSTD).build();
    }

    private class Builder extends ParquetRowDataBuilder {
        Builder(OutputFile file) {
            super(file, rows, true);
        }

        @Override
        protected WriteSupport<RowData> getWriteSupport(Configuration parquet) {
            return new DelegatingWriteSupport<>(super.getWriteSupport(parquet)) {
                @Override
                public WriteContext init(ParquetConfiguration configuration) {
                    WriteContext flink = super.init(configuration);
                    Map<String, String> all = new HashMap<>(flink.getExtraMetaData());
                    all.putAll(metadata);
                    return new WriteContext(instants ? withInstants(flink.getSchema()) : flink.getSchema(), all);
                }
            };
        }
    }

    private static MessageType withInstants(MessageType schema) {
        List<Type> fields = schema.getFields().stream().map(LakeParquet::asInstant).toList();
        return new MessageType(schema.getName(), fields);
    }

    private static Type asInstant(Type field) {
        if (field.getLogicalTypeAnnotation() instanceof TimestampLogicalTypeAnnotation time) {
            return Types.primitive(field.asPrimitiveType().getPrimitiveTypeName(), field.getRepetition())
                    .as(LogicalTypeAnnotation.timestampType(true, time.getUnit()))
                    .named(field.getName());
        }
        return field;
    }
}
