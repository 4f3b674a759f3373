package io.shardlake.flink;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.RestService;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.entities.SchemaString;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;
import org.apache.flink.avro.shaded.org.apache.avro.AvroRuntimeException;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;

/** A reader for each schema id, asked of the registry once. Ids that it does not know are kept too, for half a minute. */
class WriterSchemas {
    private static final long FORGET_UNKNOWN_MS = 30_000;
    private static final int MAX_UNKNOWN = 10_000;
    private static final long GIVE_UP_MS = 30_000;

    private final RestService registry;
    private final Schema wanted;
    private final Map<Integer, StrictReader> readers = new HashMap<>();
    private final Map<Integer, Long> unknownSince = new HashMap<>();

    /** The registry does not answer, or not as a registry does. Waiting helps; the record is not to blame. */
    static class RegistryDown extends IOException {
        RegistryDown(String message, Throwable cause) {
            super(message, cause);
        }
    }

    WriterSchemas(String url, String subject, Schema wanted) throws IOException {
        this.registry = new RestService(url);
        this.wanted = wanted;
        // Known schemas then flow while the registry is down.
        for (int version : versions(subject)) {
            var known = ask(() -> registry.getVersion(subject, version));
            readers.put(known.getId(), new StrictReader(new Schema.Parser().parse(known.getSchema()), wanted));
        }
    }

    private List<Integer> versions(String subject) throws IOException {
        try {
            return ask(() -> registry.getAllVersions(subject));
        } catch (Poison error) {
            return List.of(); // nobody has produced yet
        }
    }

    StrictReader reader(int id) throws IOException {
        StrictReader reader = readers.get(id);
        return reader != null ? reader : learn(id);
    }

    private StrictReader learn(int id) throws IOException {
        Long since = unknownSince.get(id);
        if (id < 0 || since != null && System.currentTimeMillis() - since < FORGET_UNKNOWN_MS) {
            throw new Poison("UnknownSchema", "the registry has no schema of the id " + id);
        }
        Schema writer;
        try {
            SchemaString found = ask(() -> registry.getId(id));
            writer = found.getSchemaType() == null || found.getSchemaType().equals("AVRO")
                    ? new Schema.Parser().parse(found.getSchemaString()) : null;
        } catch (Poison | AvroRuntimeException error) {
            if (unknownSince.size() >= MAX_UNKNOWN) {
                unknownSince.clear();
            }
            unknownSince.put(id, System.currentTimeMillis());
            throw new Poison("UnknownSchema", "the registry has no Avro schema of the id " + id);
        }
        if (writer == null || writer.getType() != Schema.Type.RECORD || !wanted.getFullName().equals(writer.getFullName())) {
            throw new Poison("OtherRecord", "schema " + id + " is not of " + wanted.getFullName());
        }
        StrictReader reader = new StrictReader(writer, wanted);
        readers.put(id, reader);
        return reader;
    }

    private interface Question<T> {
        T ask() throws IOException, RestClientException;
    }

    /** The answer; Poison where it is that there is none, RegistryDown where none came for half a minute. */
    private static <T> T ask(Question<T> question) throws IOException {
        long giveUp = System.currentTimeMillis() + GIVE_UP_MS;
        for (long pause = 100; ; pause = Math.min(2 * pause, 2_000)) {
            try {
                return question.ask();
            } catch (RestClientException error) {
                if (error.getStatus() == 404) {
                    throw new Poison("UnknownSchema", "the registry does not know it");
                }
                pauseOrGiveUp(giveUp, pause, error);
            } catch (IOException error) {
                pauseOrGiveUp(giveUp, pause, error);
            }
        }
    }

    private static void pauseOrGiveUp(long giveUp, long pause, Exception error) throws IOException {
        if (System.currentTimeMillis() > giveUp) {
            throw new RegistryDown("The schema registry does not answer: " + error.getMessage(), error);
        }
        try {
            Thread.sleep(pause);
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            throw new RegistryDown("Interrupted while waiting for the schema registry", error);
        }
    }
}
