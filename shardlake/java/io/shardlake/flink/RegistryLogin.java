package io.shardlake.flink;

import java.net.URL;
import java.util.Map;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.security.basicauth.BasicAuthCredentialProvider;

/**
 * The login to the schema registry, from the task manager's environment: `user:password` in SCHEMA_REGISTRY_LOGIN, see
 * shardlake/registry_login.py. In a table's options the login would be shown to whoever asks Flink.
 */
public class RegistryLogin implements BasicAuthCredentialProvider {
    static final String VARIABLE = "SCHEMA_REGISTRY_LOGIN";

    @Override
    public String alias() {
        return "SHARDLAKE";
    }

    @Override
    public String getUserInfo(URL registry) {
        return System.getenv(VARIABLE);
    }

    @Override
    public void configure(Map<String, ?> settings) {}
}
