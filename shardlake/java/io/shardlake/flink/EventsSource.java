package io.shardlake.flink;

import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.IntStream;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.state.ListState;
import org.apache.flink.api.common.state.ListStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.runtime.state.StateInitializationContext;
import org.apache.flink.runtime.state.StateSnapshotContext;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.operators.AbstractStreamOperator;
import org.apache.flink.streaming.api.operators.OneInputStreamOperator;
import org.apache.flink.streaming.api.watermark.Watermark;
import org.apache.flink.streaming.connectors.kafka.table.KafkaDynamicSource;
import org.apache.flink.streaming.connectors.kafka.table.KafkaDynamicTableFactory;
import org.apache.flink.streaming.runtime.streamrecord.StreamRecord;
import org.apache.flink.streaming.runtime.watermarkstatus.WatermarkStatus;
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
import org.apache.flink.table.types.logical.utils.LogicalTypeChecks;

/**
 * The connector 'kafka-events': Flink's own Kafka source with one more metadata column, 'closed-until' TIMESTAMP_LTZ(3). Every
 * window that ends at it or before is closed for this row; NULL before the first watermark.
 *
 * <p>CURRENT_WATERMARK says the same until a restart: then it is NULL, while windows have their watermark back from state and drop
 * late rows without a trace. This column is back from state too.
 *
 * <p>The state also tells the latest possible event time that was read, of the column 'event-time': after a drain, all windows up
 * to the one of that time have fired. A reader finds it in a savepoint's files as text, `latest-event-time/TOPIC/MILLISECONDS;`.
 */
public class EventsSource extends KafkaDynamicTableFactory {
    private static final String CLOSED_UNTIL = "closed-until";
    private static final String LATEST = "latest-event-time";
    private static final ConfigOption<String> EVENT_TIME = ConfigOptions.key("event-time").stringType().noDefaultValue();
    private static final String METADATA_PREFIX = "$metadata$"; // how the planner names a metadata column
    private static final long FUTURE_MS = 3_600_000; // as IN_FUTURE in tables.py

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        Set<ConfigOption<?>> options = new HashSet<>(super.optionalOptions());
        options.add(EVENT_TIME);
        return options;
    }

    @Override
    public String factoryIdentifier() {
        return "kafka-events";
    }

    @Override
    public DynamicTableSource createDynamicTableSource(Context context) {
        Map<String, String> options = context.getCatalogTable().getOptions();
        KafkaDynamicSource kafka = (KafkaDynamicSource) super.createDynamicTableSource(context);
        return new Source(kafka, options.get("topic"), options.get(EVENT_TIME.key()));
    }

    private static class Source implements ScanTableSource, SupportsReadingMetadata, SupportsWatermarkPushDown {
        private final KafkaDynamicSource kafka;
        private final String topic;
        private final String eventTime; // a column, or null
        private DataType produced; // with the column, or null where it is not asked for

        Source(KafkaDynamicSource kafka, String topic, String eventTime) {
            this.kafka = kafka;
            this.topic = topic;
            this.eventTime = eventTime;
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
                    var stream = rows.produceDataStream(provider, environment).transform(CLOSED_UNTIL, type, closedUntil());
                    provider.generateUid(CLOSED_UNTIL).ifPresent(stream::uid);
                    return stream;
                }

                @Override
                public boolean isBounded() {
                    return rows.isBounded();
                }
            };
        }

        private ClosedUntil closedUntil() {
            List<String> names = DataType.getFieldNames(produced);
            int time = names.indexOf(eventTime);
            int precision = time < 0 ? 0 : LogicalTypeChecks.getPrecision(DataType.getFieldDataTypes(produced).get(time).getLogicalType());
            return new ClosedUntil(topic, time, precision, names.indexOf(METADATA_PREFIX + "timestamp"));
        }

        @Override
        public DynamicTableSource copy() {
            Source copy = new Source((KafkaDynamicSource) kafka.copy(), topic, eventTime);
            copy.produced = produced;
            return copy;
        }

        @Override
        public String asSummaryString() {
            return kafka.asSummaryString();
        }
    }

    /**
     * Adds the column, and holds watermarks back while the source wakes. Its state is the watermark of this subtask, and after a
     * restart the lowest of all subtasks; and the latest event time that this subtask has read, of which the highest of all subtasks
     * counts.
     */
    private static class ClosedUntil extends AbstractStreamOperator<RowData> implements OneInputStreamOperator<RowData, RowData> {
        private final String topic;
        private final int time; // columns of the rows, or -1
        private final int precision;
        private final int arrival;
        private final Waking waking = new Waking();
        private long watermark = Long.MIN_VALUE;
        private long latest = Long.MIN_VALUE;
        private transient ListState<Long> kept;
        private transient ListState<String> keptLatest;
        private transient TimestampData closedUntil;

        ClosedUntil(String topic, int time, int precision, int arrival) {
            this.topic = topic;
            this.time = time;
            this.precision = precision;
            this.arrival = arrival;
        }

        @Override
        public void processElement(StreamRecord<RowData> record) {
            RowData row = record.getValue();
            if (closedUntil == null && watermark != Long.MIN_VALUE) {
                closedUntil = TimestampData.fromEpochMillis(watermark + 1); // a window's last moment is its end - 1 ms
            }
            if (time >= 0 && !row.isNullAt(time)) {
                see(row.getTimestamp(time, precision), row);
            }
            GenericRowData from = (GenericRowData) row;
            GenericRowData to = new GenericRowData(row.getRowKind(), row.getArity() + 1);
            for (int i = 0; i < row.getArity(); i++) {
                to.setField(i, from.getField(i));
            }
            to.setField(row.getArity(), closedUntil);
            output.collect(record.replace(to));
        }

        @Override
        public void processWatermark(Watermark mark) throws Exception {
            pass(waking.watermark(mark.getTimestamp(), now()));
        }

        @Override
        public void processWatermarkStatus(WatermarkStatus status) throws Exception {
            if (status.isIdle()) {
                pass(waking.sleep());
            } else if (waking.wake(now())) {
                getProcessingTimeService().registerTimer(waking.until(), at -> pass(waking.due(at)));
            }
            super.processWatermarkStatus(status);
        }

        private long now() {
            return getProcessingTimeService().getCurrentProcessingTime();
        }

        private void pass(long mark) throws Exception {
            if (mark == Waking.NONE) {
                return;
            }
            if (mark > watermark) {
                watermark = mark;
                closedUntil = null;
            }
            super.processWatermark(new Watermark(mark));
        }

        private void see(TimestampData at, RowData row) {
            long milliseconds = at.getMillisecond() + (at.getNanoOfMillisecond() > 0 ? 1 : 0);
            boolean isPossible = milliseconds >= 0
                    && (arrival < 0 || milliseconds <= row.getTimestamp(arrival, 3).getMillisecond() + FUTURE_MS);
            if (isPossible && milliseconds > latest) {
                latest = milliseconds;
            }
        }

        @Override
        public void initializeState(StateInitializationContext context) throws Exception {
            super.initializeState(context);
            keptLatest = context.getOperatorStateStore().getListState(new ListStateDescriptor<>(LATEST, String.class));
            for (String one : keptLatest.get()) {
                latest = Math.max(latest, Long.parseLong(one.substring(one.lastIndexOf('/') + 1, one.length() - 1)));
            }
            kept = context.getOperatorStateStore().getUnionListState(new ListStateDescriptor<>(CLOSED_UNTIL, Long.class));
            for (long one : kept.get()) {
                if (one == Long.MAX_VALUE) {
                    continue; // of a drain, whose windows take what comes next too: they restore no watermark of that kind
                }
                watermark = watermark == Long.MIN_VALUE ? one : Math.min(watermark, one);
            }
        }

        @Override
        public void snapshotState(StateSnapshotContext context) throws Exception {
            super.snapshotState(context);
            kept.update(watermark == Long.MIN_VALUE ? List.of() : List.of(watermark));
            keptLatest.update(latest == Long.MIN_VALUE ? List.of() : List.of(LATEST + "/" + topic + "/" + latest + ";"));
        }
    }
}
