package io.shardlake.flink;

import static org.apache.flink.table.types.logical.utils.LogicalTypeChecks.getPrecision;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.core.fs.Path;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.formats.parquet.ParquetWriterFactory;
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

/**
 * The connector 'lake': rows into Parquet files in Hive folders year=/month=/day=/hour= (UTC), exactly once.
 *
 * <p>It is Flink's own FileSink, with a bound on open files. SQL's filesystem connector is not used because it cannot end file
 * names in .parquet, and because its partitions are columns that every row has to format. A file is visible once the checkpoint
 * that closed it is complete; until then its name begins with a dot.
 */
public class LakeSink implements DynamicTableSinkFactory {
    private static final ConfigOption<String> PATH =
            ConfigOptions.key("path").stringType().noDefaultValue().withDescription("The table's folder.");
    private static final ConfigOption<List<String>> PARTITION_TIME = ConfigOptions.key("partition-time")
            .stringType().asList().noDefaultValue()
            .withDescription("TIMESTAMP_LTZ columns; the first that is not null is the row's hour.");
    private static final ConfigOption<String> SCHEMA =
            ConfigOptions.key("schema").stringType().noDefaultValue().withDescription("Kept in each file's metadata.");
    private static final String SCHEMA_OF_FILE = "shardlake.schema";

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
        return Set.of(SCHEMA);
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
        RowHour hour = new RowHour(times, Arrays.stream(times).map(index -> getPrecision(rows.getTypeAt(index))).toArray());
        Map<String, String> metadata = new HashMap<>();
        helper.getOptions().getOptional(SCHEMA).ifPresent(text -> metadata.put(SCHEMA_OF_FILE, text));
        return new Sink(helper.getOptions().get(PATH), hour, rows, metadata);
    }

    private record Sink(String path, RowHour hour, RowType rows, Map<String, String> metadata) implements DynamicTableSink {
        @Override
        public ChangelogMode getChangelogMode(ChangelogMode requested) {
            return ChangelogMode.insertOnly();
        }

        @Override
        public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
            Path table = new Path(path);
            boolean instants;
            try {
                instants = TableTimes.areInstants(table);
            } catch (IOException error) {
                throw new UncheckedIOException("The files of " + path + " cannot be read: " + error.getMessage(), error);
            }
            FileSink<RowData> files = FileSink
                    .forBulkFormat(table, new ParquetWriterFactory<>(new LakeParquet(rows, instants, metadata)))
                    .withBucketAssigner(new Folder(hour))
                    .withRollingPolicy(new HourlySink.OnDemand())
                    .withOutputFileConfig(OutputFileConfig.builder().withPartSuffix(".parquet").build())
                    .build();
            return SinkV2Provider.of(new HourlySink(files, hour, rows));
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
    private static class Folder implements BucketAssigner<RowData, String> {
        private static final DateTimeFormatter NAME = DateTimeFormatter
                .ofPattern("'year='yyyy'/month='MM'/day='dd'/hour='HH").withZone(ZoneOffset.UTC);

        private final RowHour hour;
        private transient long last;
        private transient String name;

        Folder(RowHour hour) {
            this.hour = hour;
        }

        @Override
        public String getBucketId(RowData row, Context context) {
            long wanted = hour.of(row);
            if (name == null || last != wanted) {
                last = wanted;
                name = NAME.format(Instant.ofEpochMilli(wanted * RowHour.MS));
            }
            return name;
        }

        @Override
        public SimpleVersionedSerializer<String> getSerializer() {
            return SimpleVersionedStringSerializer.INSTANCE;
        }
    }
}
