package io.shardlake.flink;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.apache.flink.table.functions.FunctionContext;
import org.apache.flink.table.functions.ScalarFunction;

/**
 * MASK(s): HMAC-SHA-256 (RFC 2104) of s, its first 128 bits in hex; NULL stays NULL.
 *
 * <p>Java because the key comes from the task manager's environment: a key in SQL would stand in plans and on the web page.
 */
public class Mask extends ScalarFunction {
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

    public String eval(String value) {
        if (value == null) {
            return null;
        }
        return HexFormat.of().formatHex(mac.doFinal(value.getBytes(StandardCharsets.UTF_8)), 0, 16);
    }
}
