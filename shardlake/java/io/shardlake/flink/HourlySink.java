package io.shardlake.flink;

import java.io.IOException;
import java.lang.reflect.Proxy;
import java.util.Collection;
import java.util.List;
import java.util.concurrent.ScheduledFuture;
import org.apache.flink.api.common.operators.ProcessingTimeService;
import org.apache.flink.api.connector.sink2.Committer;
import org.apache.flink.api.connector.sink2.CommitterInitContext;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SupportsCommitter;
import org.apache.flink.api.connector.sink2.SupportsWriterState;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.connector.file.sink.FileSinkCommittable;
import org.apache.flink.connector.file.sink.writer.FileWriterBucketState;
import org.apache.flink.core.io.SimpleVersionedSerializer;
import org.apache.flink.streaming.api.connector.sink2.CommittableMessage;
import org.apache.flink.streaming.api.connector.sink2.SupportsPreCommitTopology;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.functions.sink.filesystem.PartFileInfo;
import org.apache.flink.streaming.api.functions.sink.filesystem.rollingpolicies.CheckpointRollingPolicy;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.RowDataSerializer;
import org.apache.flink.table.types.logical.RowType;

/** Flink's FileSink, with a bound on the files that are open at once; state and files are the FileSink's own. */
record HourlySink(FileSink<RowData> files, RowHour hour, RowType rows)
        implements Sink<RowData>,
                SupportsWriterState<RowData, FileWriterBucketState>,
                SupportsWriterState.WithCompatibleState,
                SupportsCommitter<FileSinkCommittable>,
                SupportsPreCommitTopology<FileSinkCommittable, FileSinkCommittable> {

    /** A file ends when the writer asks for it, and at a checkpoint. */
    static class OnDemand extends CheckpointRollingPolicy<RowData, String> {
        @Override
        public boolean shouldRollOnEvent(PartFileInfo<String> file, RowData row) {
            return false;
        }

        @Override
        public boolean shouldRollOnProcessingTime(PartFileInfo<String> file, long now) {
            return true;
        }
    }

    @Override
    public HourlyWriter createWriter(WriterInitContext context) throws IOException {
        return restoreWriter(context, List.of());
    }

    @Override
    public HourlyWriter restoreWriter(WriterInitContext context, Collection<FileWriterBucketState> state) throws IOException {
        return new HourlyWriter(files.restoreWriter(withoutTimers(context), state), hour, new RowDataSerializer(rows));
    }

    /** The FileWriter sets a timer whenever it is asked to end files, and at the timer ends those that are open. */
    private static WriterInitContext withoutTimers(WriterInitContext context) {
        ProcessingTimeService clock = new ProcessingTimeService() {
            @Override
            public long getCurrentProcessingTime() {
                return context.getProcessingTimeService().getCurrentProcessingTime();
            }

            @Override
            public ScheduledFuture<?> registerTimer(long time, ProcessingTimeCallback target) {
                return null;
            }
        };
        return (WriterInitContext) Proxy.newProxyInstance(
                HourlySink.class.getClassLoader(),
                new Class<?>[] {WriterInitContext.class},
                (proxy, method, arguments) -> method.getName().equals("getProcessingTimeService")
                        ? clock
                        : method.invoke(context, arguments));
    }

    @Override
    public SimpleVersionedSerializer<FileWriterBucketState> getWriterStateSerializer() {
        return files.getWriterStateSerializer();
    }

    @Override
    public Collection<String> getCompatibleWriterStateNames() {
        return files.getCompatibleWriterStateNames();
    }

    @Override
    public Committer<FileSinkCommittable> createCommitter(CommitterInitContext context) throws IOException {
        return files.createCommitter(context);
    }

    @Override
    public SimpleVersionedSerializer<FileSinkCommittable> getCommittableSerializer() {
        return files.getCommittableSerializer();
    }

    @Override
    public SimpleVersionedSerializer<FileSinkCommittable> getWriteResultSerializer() {
        return files.getWriteResultSerializer();
    }

    @Override
    public DataStream<CommittableMessage<FileSinkCommittable>> addPreCommitTopology(
            DataStream<CommittableMessage<FileSinkCommittable>> committables) {
        return files.addPreCommitTopology(committables);
    }
}
