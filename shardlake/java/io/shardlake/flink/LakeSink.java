package io.shardlake.flink;

import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.formats.parquet.row.ParquetRowDataBuilder;
import org.apache.flink.streaming.api.functions.sink.filesystem.BucketAssigner;
import org.apache.flink.streaming.api.functions.sink.filesystem.OutputFileConfig;
import org.apache.flink.streaming.api.functions.sink.filesystem.bucketassigners.SimpleVersionedStringSerializer;
import org.apache.flink.table.api.ValidationException;
import org.apache.flink.table.catalog.ResolvedSchema;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.sink.SinkV2Provider;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.RowType;
import org.apache.hadoop.conf.Configuration;

/**
 * The connector 'lake': rows into Parquet files in Hive folders year=/month=/day=/hour= (UTC), exactly once.
 *
 * <p>It is Flink's own FileSink. SQL's filesystem connector is not used because it cannot end file names in .parquet, and because
 * its partitions are columns that every row has to format. A file is visible once the checkpoint that closed it is complete;
 * until then its name begins with a dot.
 */
public class LakeSink implements DynamicTableSinkFactory {
    private static final ConfigOption<String> PATH =
            ConfigOptions.key("path").stringType().noDefaultValue().withDescription("The table's folder.");
    private static final ConfigOption<List<String>> PARTITION_TIME = ConfigOptions.key("partition-time")
            .stringType().asList().noDefaultValue()
            .withDescription("TIMESTAMP_LTZ(3) columns; the first that is not null is the row's hour.");

    @Override
    public String factoryIdentifier() {
        return "lake";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(PATH, PARTITION_TIME);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of();
    }

    @Override
    public DynamicTableSink createDynamicTableSink(Context context) {
        FactoryUtil.TableFactoryHelper helper = FactoryUtil.createTableFactoryHelper(this, context);
        helper.validate();
        ResolvedSchema schema = context.getCatalogTable().getResolvedSchema();
        int[] times = helper.getOptions().get(PARTITION_TIME).stream().mapToInt(name -> {
            int index = schema.getColumnNames().indexOf(name);
            if (index < 0) {
                throw new ValidationException("partition-time names " + name + ", which is not a column.");
            }
            return index;
        }).toArray();
        RowType rows = (RowType) schema.toPhysicalRowDataType().getLogicalType();
        return new Sink(helper.getOptions().get(PATH), times, rows);
    }

    private record Sink(String path, int[] times, RowType rows) implements DynamicTableSink {
        @Override
        public ChangelogMode getChangelogMode(ChangelogMode requested) {
            return ChangelogMode.insertOnly();
        }

        @Override
        public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
            Configuration parquet = new Configuration();
            parquet.set("parquet.compression", "ZSTD");
            // Instants as int64, which every reader takes for timestamps with a zone. One unit holds for all columns:
            // milliseconds would cut what timestamp-micros carries.
            parquet.set("parquet.write.int64.timestamp", "true");
            parquet.set("parquet.timestamp.time.unit", "micros");
            return SinkV2Provider.of(FileSink
                    .forBulkFormat(new Path(path), ParquetRowDataBuilder.createWriterFactory(rows, parquet, true))
                    .withBucketAssigner(new Hour(times))
                    .withOutputFileConfig(OutputFileConfig.builder().withPartSuffix(".parquet").build())
                    .build());
        }

        @Override
        public DynamicTableSink copy() {
            return this;
        }

        @Override
        public String asSummaryString() {
            return "lake " + path;
        }
    }

    /** A row's folder; neighbours are mostly of one hour, so the last name is kept. */
    private static class Hour implements BucketAssigner<RowData, String> {
        private static final long HOUR_MS = 3_600_000;
        private static final DateTimeFormatter FOLDER = DateTimeFormatter
                .ofPattern("'year='yyyy'/month='MM'/day='dd'/hour='HH").withZone(ZoneOffset.UTC);

        private final int[] times;
        private transient long hour;
        private transient String folder;

        Hour(int[] times) {
            this.times = times;
        }

        @Override
        public String getBucketId(RowData row, Context context) {
            for (int index : times) {
                if (!row.isNullAt(index)) {
                    return folder(Math.floorDiv(row.getTimestamp(index, 3).getMillisecond(), HOUR_MS));
                }
            }
            throw new IllegalStateException("none of the columns " + Arrays.toString(times) + " holds a time");
        }

        private String folder(long wanted) {
            if (folder == null || hour != wanted) {
                hour = wanted;
                folder = FOLDER.format(Instant.ofEpochMilli(wanted * HOUR_MS));
            }
            return folder;
        }

        @Override
        public SimpleVersionedSerializer<String> getSerializer() {
            return SimpleVersionedStringSerializer.INSTANCE;
        }
    }
}
