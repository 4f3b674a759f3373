package io.shardlake.flink;

import java.util.Arrays;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * TRUNCATE_QUERY(s): what of a request target or URL stands before ? or #, without the user and password of https://user:password@host.
 *
 * <p>A regular expression costs five times as much.
 */
public class TruncateQuery extends ScalarFunction {
    /** A plan that has the result in place of the call does not show that there is a mask. */
    @Override
    public boolean supportsConstantFolding() {
        return false;
    }

    @DataTypeHint(value = "STRING", bridgedTo = StringData.class)
    public StringData eval(@DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData value) {
        if (value == null) {
            return null;
        }
        byte[] text = value.toBytes();
        int end = 0;
        while (end < text.length && text[end] != '?' && text[end] != '#') {
            end++;
        }
        int authority = authority(text, end);
        int host = authority;
        for (int i = authority; i < end && text[i] != '/'; i++) {
            if (text[i] == '@') {
                host = i + 1;
            }
        }
        if (host > authority) {
            byte[] kept = Arrays.copyOf(text, end - host + authority);
            System.arraycopy(text, host, kept, authority, end - host);
            return StringData.fromBytes(kept);
        }
        return end == text.length ? value : StringData.fromBytes(text, 0, end);
    }

    /** Where the authority of an absolute URL (RFC 3986, section 3) begins; the end where it is none. */
    private static int authority(byte[] text, int end) {
        int i = 0;
        while (i < end && (Character.isLetterOrDigit(text[i]) || text[i] == '+' || text[i] == '-' || text[i] == '.')) {
            i++;
        }
        boolean isUrl = i > 0 && i + 2 < end && text[i] == ':' && text[i + 1] == '/' && text[i + 2] == '/';
        return isUrl ? i + 3 : end;
    }
}
