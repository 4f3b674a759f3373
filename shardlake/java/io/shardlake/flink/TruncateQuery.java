package io.shardlake.flink;

import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ScalarFunction;

/** TRUNCATE_QUERY(s): what of a request target or URL stands before ? or #. A regular expression costs five times as much. */
public class TruncateQuery extends ScalarFunction {
    @DataTypeHint(value = "STRING", bridgedTo = StringData.class)
    public StringData eval(@DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData value) {
        if (value == null) {
            return null;
        }
        byte[] bytes = value.toBytes();
        for (int i = 0; i < bytes.length; i++) {
            if (bytes[i] == '?' || bytes[i] == '#') {
                return StringData.fromBytes(bytes, 0, i);
            }
        }
        return value;
    }
}
