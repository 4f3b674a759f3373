package io.shardlake.flink;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.runtime.state.FunctionInitializationContext;
import org.apache.flink.runtime.state.FunctionSnapshotContext;
import org.apache.flink.streaming.api.TimerService;
import org.apache.flink.streaming.api.checkpoint.CheckpointedFunction;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.ProcessFunction;
import org.apache.flink.streaming.connectors.kafka.table.KafkaDynamicSource;
import org.apache.flink.streaming.connectors.kafka.table.KafkaDynamicTableFactory;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.Projection;
import org.apache.flink.table.connector.ProviderContext;
import org.apache.flink.table.connector.source.DataStreamScanProvider;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.ScanTableSource;
import org.apache.flink.table.connector.source.abilities.SupportsReadingMetadata;
import org.apache.flink.table.connector.source.abilities.SupportsWatermarkPushDown;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.types.DataType;
import org.apache.flink.util.Collector;

/**
 * The connector 'kafka-events': Flink's own Kafka source with one more metadata column, 'closed-until' TIMESTAMP_LTZ(3). Every
 * window that ends at it or before is closed for this row; NULL before the first watermark.
 *
 * <p>CURRENT_WATERMARK says the same until a restart: then it is NULL, while windows have their watermark back from state and drop
 * late rows without a trace. This column is back from state too.
 */
public class EventsSource extends KafkaDynamicTableFactory {
    private static final String CLOSED_UNTIL = "closed-until";

    @Override
    public String factoryIdentifier() {
        return "kafka-events";
    }

    @Override
    public DynamicTableSource createDynamicTableSource(Context context) {
        return new Source((KafkaDynamicSource) super.createDynamicTableSource(context));
    }

    private static class Source implements ScanTableSource, SupportsReadingMetadata, SupportsWatermarkPushDown {
        private final KafkaDynamicSource kafka;
        private DataType produced; // with the column, or null where it is not asked for

        Source(KafkaDynamicSource kafka) {
            this.kafka = kafka;
        }

        @Override
        public Map<String, DataType> listReadableMetadata() {
            Map<String, DataType> columns = new LinkedHashMap<>(kafka.listReadableMetadata());
            columns.put(CLOSED_UNTIL, DataTypes.TIMESTAMP_LTZ(3)); // the last: rows have metadata in this order
            return columns;
        }

        @Override
        public void applyReadableMetadata(List<String> keys, DataType type) {
            boolean asked = keys.contains(CLOSED_UNTIL);
            produced = asked ? type : null;
            int fields = DataType.getFieldCount(type);
            kafka.applyReadableMetadata(
                    asked ? keys.subList(0, keys.size() - 1) : keys,
                    asked ? Projection.of(IntStream.range(0, fields - 1).toArray()).project(type) : type);
        }

        @Override
        public void applyWatermark(WatermarkStrategy<RowData> strategy) {
            kafka.applyWatermark(strategy);
        }

        @Override
        public ChangelogMode getChangelogMode() {
            return kafka.getChangelogMode();
        }

        @Override
        public ScanRuntimeProvider getScanRuntimeProvider(ScanContext context) {
            DataStreamScanProvider rows = (DataStreamScanProvider) kafka.getScanRuntimeProvider(context);
            if (produced == null) {
                return rows;
            }
            TypeInformation<RowData> type = context.createTypeInformation(produced);
            return new DataStreamScanProvider() {
                @Override
                public DataStream<RowData> produceDataStream(ProviderContext provider, StreamExecutionEnvironment environment) {
                    var stream = rows.produceDataStream(provider, environment).process(new ClosedUntil(), type);
                    provider.generateUid(CLOSED_UNTIL).ifPresent(stream::uid);
                    return stream.name(CLOSED_UNTIL);
                }

                @Override
                public boolean isBounded() {
                    return rows.isBounded();
                }
            };
        }

        @Override
        public DynamicTableSource copy() {
            Source copy = new Source((KafkaDynamicSource) kafka.copy());
            copy.produced = produced;
            return copy;
        }

        @Override
        public String asSummaryString() {
            return kafka.asSummaryString();
        }
    }

    /** Adds the column. Its state is the watermark of this subtask, and after a restart the lowest of all subtasks. */
    private static class ClosedUntil extends ProcessFunction<RowData, RowData> implements CheckpointedFunction {
        private long watermark = Long.MIN_VALUE;
        private transient TimerService timers;
        private transient ListState<Long> kept;
        private transient TimestampData closedUntil;

        @Override
        public void processElement(RowData row, Context context, Collector<RowData> out) {
            timers = context.timerService();
            if (timers.currentWatermark() > watermark) {
                watermark = timers.currentWatermark();
                closedUntil = null;
            }
            if (closedUntil == null && watermark != Long.MIN_VALUE) {
                closedUntil = TimestampData.fromEpochMillis(watermark + 1); // a window's last moment is its end - 1 ms
            }
            GenericRowData from = (GenericRowData) row;
            GenericRowData to = new GenericRowData(row.getRowKind(), row.getArity() + 1);
            for (int i = 0; i < row.getArity(); i++) {
                to.setField(i, from.getField(i));
            }
            to.setField(row.getArity(), closedUntil);
            out.collect(to);
        }

        @Override
        public void initializeState(FunctionInitializationContext context) throws Exception {
            kept = context.getOperatorStateStore().getUnionListState(new ListStateDescriptor<>(CLOSED_UNTIL, Long.class));
            for (long one : kept.get()) {
                watermark = watermark == Long.MIN_VALUE ? one : Math.min(watermark, one);
            }
        }

        @Override
        public void snapshotState(FunctionSnapshotContext context) throws Exception {
            long latest = timers == null ? watermark : Math.max(watermark, timers.currentWatermark());
            kept.update(latest == Long.MIN_VALUE ? List.of() : List.of(latest));
        }
    }
}
