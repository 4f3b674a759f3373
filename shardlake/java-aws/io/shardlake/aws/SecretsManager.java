package io.shardlake.aws;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import io.shardlake.flink.SecretStore;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.services.secretsmanager.SecretsManagerClient;

/**
 * Secrets of AWS Secrets Manager, as text, or a field of one whose text is a JSON object: NAME, or NAME#FIELD. NAME is a secret's
 * name or ARN; region and credentials are those of the SDK's default chain.
 */
public class SecretsManager implements SecretStore {
    @Override
    public String read(String name) {
        int at = name.lastIndexOf('#');
        return at < 0 ? text(name) : fields(name.substring(0, at), List.of(name.substring(at + 1))).values().iterator().next();
    }

    /** The fields of a secret whose text is a JSON object; `names` empty are all. */
    static Map<String, String> fields(String secret, Collection<String> names) {
        JsonNode object;
        try {
            object = new ObjectMapper().readTree(text(secret));
        } catch (JsonProcessingException error) { // its message may quote the secret
            throw new IllegalStateException("The secret " + secret + " is no JSON object.");
        }
        Map<String, String> found = new HashMap<>();
        object.properties().forEach(field -> found.put(field.getKey(), field.getValue().asText()));
        for (String name : names) {
            if (!found.containsKey(name)) {
                throw new IllegalStateException("The secret " + secret + " has no field " + name + ".");
            }
        }
        if (!names.isEmpty()) {
            found.keySet().retainAll(names);
        }
        return found;
    }

    private static String text(String secret) {
        try (SecretsManagerClient client = SecretsManagerClient.create()) {
            String found = client.getSecretValue(request -> request.secretId(secret)).secretString();
            if (found == null) {
                throw new IllegalStateException("The secret " + secret + " holds bytes and no text.");
            }
            return found;
        } catch (SdkException error) {
            throw new IllegalStateException("The secret " + secret + " cannot be read: " + error.getMessage(), error);
        }
    }
}
