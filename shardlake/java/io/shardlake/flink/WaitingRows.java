package io.shardlake.flink;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import org.apache.flink.core.memory.DataInputDeserializer;
import org.apache.flink.core.memory.DataOutputSerializer;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.runtime.typeutils.RowDataSerializer;

/** Rows by hour: in memory up to a limit, then in a file without a name, whose disk space goes with the process. */
class WaitingRows implements AutoCloseable {
    private static final int SMALL_BYTES = 256;

    private record Segment(long position, int bytes) {}

    private static class Hour {
        private DataOutputSerializer inMemory = new DataOutputSerializer(SMALL_BYTES);
        private final List<Segment> onDisk = new ArrayList<>();
    }

    interface Taker {
        void take(RowData row) throws IOException, InterruptedException;
    }

    private final RowDataSerializer rows;
    private final long limitBytes;
    private final SortedMap<Long, Hour> hours = new TreeMap<>();
    private long bytesInMemory;
    private FileChannel disk;

    WaitingRows(RowDataSerializer rows, long limitBytes) {
        this.rows = rows;
        this.limitBytes = limitBytes;
    }

    void add(long hour, RowData row) throws IOException {
        DataOutputSerializer memory = hours.computeIfAbsent(hour, any -> new Hour()).inMemory;
        int before = memory.length();
        rows.serialize(row, memory);
        bytesInMemory += memory.length() - before;
        if (bytesInMemory > limitBytes) {
            spill();
        }
    }

    Iterable<Long> hours() {
        return hours.keySet();
    }

    /** Hand over the rows of an hour, in the order in which they were added. */
    void forEach(long hour, Taker taker) throws IOException, InterruptedException {
        Hour waiting = hours.get(hour);
        for (Segment segment : waiting.onDisk) {
            ByteBuffer bytes = ByteBuffer.allocate(segment.bytes);
            while (bytes.hasRemaining()) {
                if (disk.read(bytes, segment.position + bytes.position()) < 0) {
                    throw new IOException("The rows that wait to be written were cut off on disk.");
                }
            }
            hand(new DataInputDeserializer(bytes.array()), taker);
        }
        hand(new DataInputDeserializer(waiting.inMemory.getSharedBuffer(), 0, waiting.inMemory.length()), taker);
    }

    private void hand(DataInputDeserializer bytes, Taker taker) throws IOException, InterruptedException {
        while (bytes.available() > 0) {
            taker.take(rows.deserialize(bytes));
        }
    }

    private void spill() throws IOException {
        if (disk == null) {
            Path file = Files.createTempFile("lake-rows", null);
            disk = FileChannel.open(file, StandardOpenOption.READ, StandardOpenOption.WRITE);
            Files.delete(file);
        }
        DataOutputSerializer all = new DataOutputSerializer((int) bytesInMemory);
        long end = disk.size();
        for (Hour hour : hours.values()) {
            int bytes = hour.inMemory.length();
            if (bytes > 0) {
                hour.onDisk.add(new Segment(end + all.length(), bytes));
                all.write(hour.inMemory.getSharedBuffer(), 0, bytes);
                hour.inMemory = new DataOutputSerializer(SMALL_BYTES); // a cleared one would keep its memory
            }
        }
        ByteBuffer bytes = all.wrapAsByteBuffer();
        while (bytes.hasRemaining()) {
            disk.write(bytes, end + bytes.position());
        }
        bytesInMemory = 0;
    }

    void clear() throws IOException {
        hours.clear();
        bytesInMemory = 0;
        if (disk != null) {
            disk.truncate(0);
        }
    }

    @Override
    public void close() throws IOException {
        if (disk != null) {
            disk.close();
        }
    }
}
