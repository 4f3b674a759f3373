package io.shardlake.flink;

/**
 * Where secrets are kept by name, found by {@link java.util.ServiceLoader}. A package for another Flink brings one; here, where
 * secrets are in the environment, there is none.
 */
public interface SecretStore {
    /** The secret's text. Throws IllegalStateException, without the secret in its message, where it cannot be had. */
    String read(String name);
}
