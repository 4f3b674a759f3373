package io.shardlake.flink;

import java.io.Serializable;
import java.util.Arrays;
import org.apache.flink.table.data.RowData;

/** The hour of a row, since 1970 in UTC: that of the first of some columns that is not null, each with its precision. */
record RowHour(int[] times, int[] precisions) implements Serializable {
    static final long MS = 3_600_000;

    long of(RowData row) {
        for (int one = 0; one < times.length; one++) {
            if (!row.isNullAt(times[one])) {
                return Math.floorDiv(row.getTimestamp(times[one], precisions[one]).getMillisecond(), MS);
            }
        }
        throw new IllegalStateException("none of the columns " + Arrays.toString(times) + " holds a time");
    }
}
