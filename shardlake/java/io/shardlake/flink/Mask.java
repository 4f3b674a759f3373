package io.shardlake.flink;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * MASK(s): the key's id, a colon, and HMAC-SHA-256 (RFC 2104) of s, its first 128 bits in hex; NULL stays NULL.
 *
 * <p>With the id a value hashed with another key is seen to be one, and never joined with by mistake.
 */
public class Mask extends ScalarFunction {
    private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);
    private static final int KEPT_BYTES = 16;

    private transient Mac mac;
    private transient byte[] prefix;

    @Override
    public void open(FunctionContext context) throws Exception {
        byte[] key = PiiKey.read(context);
        mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        prefix = (PiiKey.id(key) + ":").getBytes(StandardCharsets.US_ASCII);
    }

    /** The planner has no key, or another one than the task manager's. */
    @Override
    public boolean supportsConstantFolding() {
        return false;
    }

    /** Of Flink's own strings, which are UTF-8: java.lang.String would be decoded and encoded for each. */
    @DataTypeHint(value = "STRING", bridgedTo = StringData.class)
    public StringData eval(@DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData value) {
        if (value == null) {
            return null;
        }
        byte[] hash = mac.doFinal(value.toBytes());
        byte[] masked = Arrays.copyOf(prefix, prefix.length + 2 * KEPT_BYTES);
        for (int i = 0; i < KEPT_BYTES; i++) {
            masked[prefix.length + 2 * i] = HEX[hash[i] >> 4 & 0xf];
            masked[prefix.length + 2 * i + 1] = HEX[hash[i] & 0xf];
        }
        return StringData.fromBytes(masked);
    }
}
