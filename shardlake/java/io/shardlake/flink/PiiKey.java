package io.shardlake.flink;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.ServiceLoader;
import org.apache.flink.table.functions.FunctionContext;

/**
 * The key that masks PII: what the secret holds that the job's parameter pii-key-secret names; else SHARDLAKE_PII_KEY, or what
 * stands in the file that SHARDLAKE_PII_KEY_FILE names.
 *
 * <p>The variables are the task manager's, because a key in SQL or in a parameter would stand in plans and on the web page. Secret
 * and file are read whenever the job starts, so that a key is rotated without starting Flink anew.
 */
final class PiiKey {
    private static final String SECRET = "pii-key-secret";
    private static final int ID_BYTES = 4;
    private static final int LEAST_BYTES = 16;

    private PiiKey() {}

    static byte[] read(FunctionContext context) {
        String secret = context.getJobParameter(SECRET, "");
        return secret.isEmpty() ? ofEnvironment() : ofSecret(secret);
    }

    private static byte[] ofSecret(String name) {
        SecretStore store = ServiceLoader.load(SecretStore.class, PiiKey.class.getClassLoader()).findFirst().orElseThrow(
                () -> new IllegalStateException("The PII key is a secret, " + name + ", and there is no store of secrets here."));
        byte[] key = store.read(name).strip().getBytes(StandardCharsets.UTF_8);
        if (key.length < LEAST_BYTES) {
            throw new IllegalStateException("The PII key in the secret " + name + " is shorter than " + LEAST_BYTES + " bytes.");
        }
        return key;
    }

    private static byte[] ofEnvironment() {
        String key = System.getenv("SHARDLAKE_PII_KEY");
        String file = System.getenv("SHARDLAKE_PII_KEY_FILE");
        if ((key == null || key.isEmpty()) && file != null) {
            try {
                key = Files.readString(Path.of(file)).strip();
            } catch (IOException error) { // its message is the file's name at most
                throw new IllegalStateException("The PII key cannot be read from " + file + ": without it PII cannot be masked.");
            }
        }
        if (key == null || key.isEmpty()) {
            throw new IllegalStateException("There is no PII key: without it PII cannot be masked.");
        }
        return key.getBytes(StandardCharsets.UTF_8);
    }

    /** Tells keys apart and does not tell them: the first 32 bits of SHA-256 over the key, in hex. */
    static String id(byte[] key) throws GeneralSecurityException {
        return HexFormat.of().formatHex(MessageDigest.getInstance("SHA-256").digest(key), 0, ID_BYTES);
    }
}
