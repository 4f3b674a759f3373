package io.shardlake.aws;

import java.util.Map;
import java.util.Set;
import org.apache.kafka.common.config.ConfigData;
import org.apache.kafka.common.config.provider.ConfigProvider;

/**
 * Secrets in the settings of Kafka's client (KIP-297): ${NAME_OF_PROVIDER:SECRET:FIELD}, so that the settings, which Flink shows,
 * only name them. SECRET is a secret's name: an ARN has colons.
 */
public class SecretsConfigProvider implements ConfigProvider {
    @Override
    public ConfigData get(String secret) {
        return new ConfigData(SecretsManager.fields(secret, Set.of()));
    }

    @Override
    public ConfigData get(String secret, Set<String> fields) {
        return new ConfigData(SecretsManager.fields(secret, fields));
    }

    @Override
    public void configure(Map<String, ?> settings) {}

    @Override
    public void close() {}
}
