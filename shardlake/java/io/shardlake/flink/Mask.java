package io.shardlake.flink;

import java.nio.charset.StandardCharsets;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.flink.table.annotation.DataTypeHint;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * MASK(s): HMAC-SHA-256 (RFC 2104) of s, its first 128 bits in hex; NULL stays NULL.
 *
 * <p>Java because the key comes from the task manager's environment: a key in SQL would stand in plans and on the web page.
 */
public class Mask extends ScalarFunction {
    private static final byte[] HEX = "0123456789abcdef".getBytes(StandardCharsets.US_ASCII);
    private static final int KEPT_BYTES = 16;

    private transient Mac mac;

    @Override
    public void open(FunctionContext context) throws Exception {
        String key = System.getenv("SHARDLAKE_PII_KEY");
        if (key == null || key.isEmpty()) {
            throw new IllegalStateException("SHARDLAKE_PII_KEY is not set: without it PII cannot be masked.");
        }
        mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
    }

    /** Of Flink's own strings, which are UTF-8: java.lang.String would be decoded and encoded for each. */
    @DataTypeHint(value = "STRING", bridgedTo = StringData.class)
    public StringData eval(@DataTypeHint(value = "STRING", bridgedTo = StringData.class) StringData value) {
        if (value == null) {
            return null;
        }
        byte[] hash = mac.doFinal(value.toBytes());
        byte[] hex = new byte[2 * KEPT_BYTES];
        for (int i = 0; i < KEPT_BYTES; i++) {
            hex[2 * i] = HEX[hash[i] >> 4 & 0xf];
            hex[2 * i + 1] = HEX[hash[i] & 0xf];
        }
        return StringData.fromBytes(hex);
    }
}
