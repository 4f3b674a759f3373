package io.shardlake.flink;

import java.io.IOException;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.apache.flink.api.connector.sink2.CommittingSinkWriter;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.StatefulSinkWriter;
import org.apache.flink.connector.file.sink.FileSinkCommittable;
import org.apache.flink.connector.file.sink.writer.FileWriter;
import org.apache.flink.connector.file.sink.writer.FileWriterBucketState;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.RowDataSerializer;

/**
 * Writes the first hours of a checkpoint as their rows come; rows of further hours wait, and are written hour by hour before the
 * checkpoint.
 *
 * <p>An open Parquet file takes memory for each of its columns, and a log of a month has 720 hours. At most one file is made for an
 * hour, subtask and checkpoint.
 */
class HourlyWriter
        implements StatefulSinkWriter<RowData, FileWriterBucketState>, CommittingSinkWriter<RowData, FileSinkCommittable> {
    private static final int MAX_OPEN = 8;
    private static final long MAX_WAITING_BYTES = 8 << 20;

    private static final SinkWriter.Context NO_TIME = new SinkWriter.Context() {
        @Override
        public long currentWatermark() {
            return Long.MIN_VALUE;
        }

        @Override
        public Long timestamp() {
            return null;
        }
    };

    private final FileWriter<RowData> files;
    private final RowHour hour;
    private final WaitingRows waiting;
    private final Set<Long> open = new HashSet<>();

    HourlyWriter(FileWriter<RowData> files, RowHour hour, RowDataSerializer rows) {
        this.files = files;
        this.hour = hour;
        this.waiting = new WaitingRows(rows, MAX_WAITING_BYTES);
    }

    @Override
    public void write(RowData row, Context context) throws IOException, InterruptedException {
        long wanted = hour.of(row);
        if (open.size() < MAX_OPEN || open.contains(wanted)) {
            open.add(wanted);
            files.write(row, context);
        } else {
            waiting.add(wanted, row);
        }
    }

    /** Flink asks for it before each checkpoint, and when there is no more to come. */
    @Override
    public void flush(boolean endOfInput) throws IOException, InterruptedException {
        files.flush(endOfInput);
        endFiles();
        int since = 0;
        for (long one : waiting.hours()) {
            waiting.forEach(one, row -> files.write(row, NO_TIME));
            if (++since % MAX_OPEN == 0) {
                endFiles();
            }
        }
        waiting.clear();
    }

    /** The policy ends every file that is open. */
    private void endFiles() throws IOException {
        files.onProcessingTime(System.currentTimeMillis());
        open.clear();
    }

    @Override
    public Collection<FileSinkCommittable> prepareCommit() throws IOException {
        return files.prepareCommit();
    }

    @Override
    public List<FileWriterBucketState> snapshotState(long checkpointId) throws IOException {
        return files.snapshotState(checkpointId);
    }

    @Override
    public void close() throws Exception {
        waiting.close();
        files.close();
    }
}
