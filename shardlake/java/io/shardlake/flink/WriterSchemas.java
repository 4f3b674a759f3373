package io.shardlake.flink;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.RestService;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.entities.SchemaReference;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.entities.SchemaString;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.entities.SubjectVersion;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;
import org.apache.flink.avro.shaded.com.fasterxml.jackson.core.type.TypeReference;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;

/**
 * A reader for each schema id of one subject, asked of the registry once. An id that is refused is kept too, for half a minute: it may
 * be registered by then.
 */
class WriterSchemas {
    private static final long FORGET_REFUSED_MS = 30_000;
    private static final int MAX_REFUSED = 10_000;
    private static final int MAX_KNOWN = 1_000;
    private static final long GIVE_UP_MS = 30_000;
    private static final TypeReference<List<SubjectVersion>> VERSIONS = new TypeReference<>() {};

    private final RestService registry;
    private final String subject;
    private final Schema wanted;
    private final Map<Integer, StrictReader> readers = new HashMap<>();
    private final Map<Integer, Refused> refused = new HashMap<>();

    private record Refused(Poison why, long since) {}

    /** The registry does not answer, or not as a registry does. Waiting helps; the record is not to blame. */
    static class RegistryDown extends IOException {
        RegistryDown(String message, Throwable cause) {
            super(message, cause);
        }
    }

    WriterSchemas(String url, String subject, Schema wanted) throws IOException {
        this.registry = new RestService(url);
        if (System.getenv(RegistryLogin.VARIABLE) != null) {
            registry.setBasicAuthCredentialProvider(new RegistryLogin());
        }
        this.subject = subject;
        this.wanted = wanted;
        // Known schemas then flow while the registry is down.
        for (int version : versions()) {
            var known = ask(() -> registry.getVersion(subject, version));
            try {
                keep(known.getId(), avro(known.getId(), known.getSchemaType(), known.getSchema(), known.getReferences()));
            } catch (Poison error) {
                refuse(known.getId(), error); // its records are dead letters, and the others' are none
            }
        }
    }

    private List<Integer> versions() throws IOException {
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
        Refused known = refused.get(id);
        if (known != null && System.currentTimeMillis() - known.since < FORGET_REFUSED_MS) {
            throw known.why;
        }
        try {
            return keep(id, writer(id));
        } catch (Poison error) {
            refuse(id, error);
            throw error;
        }
    }

    private Schema writer(int id) throws IOException {
        if (id < 0) {
            throw unknown(id);
        }
        SchemaString found;
        try {
            found = ask(() -> registry.getId(id));
        } catch (Poison error) {
            throw unknown(id);
        }
        Schema writer = avro(id, found.getSchemaType(), found.getSchemaString(), found.getReferences());
        if (!isOfSubject(id)) {
            throw new Poison("OtherSubject", "schema " + id + " is not of the subject " + subject);
        }
        return writer;
    }

    /** The schema of an id; Poison where records cannot be read with it. */
    private Schema avro(int id, String type, String text, List<SchemaReference> references) {
        if (type != null && !type.equals("AVRO")) {
            throw new Poison("NotAvro", "schema " + id + " is of the type " + type);
        }
        if (references != null && !references.isEmpty()) {
            throw new Poison("SchemaReferences", "schema " + id + " refers to schemas of other subjects, which are not read with it");
        }
        Schema writer = SchemaLimits.parse(id, text);
        if (writer.getType() != Schema.Type.RECORD || !wanted.getFullName().equals(writer.getFullName())) {
            throw new Poison("OtherRecord", "schema " + id + " is not of " + wanted.getFullName());
        }
        return writer;
    }

    /** Whether the id is of a version of the subject, also of one that is deleted: records outlive versions. */
    private boolean isOfSubject(int id) throws IOException {
        try {
            return ask(() -> registry.httpRequest("/schemas/ids/" + id + "/versions?deleted=true", "GET", null,
                    RestService.DEFAULT_REQUEST_PROPERTIES, VERSIONS))
                    .stream().anyMatch(version -> subject.equals(version.getSubject()));
        } catch (Poison error) {
            return false;
        }
    }

    private StrictReader keep(int id, Schema writer) {
        if (readers.size() >= MAX_KNOWN) {
            readers.clear();
        }
        String other = LogicalTimes.other(writer, wanted);
        if (other != null) {
            throw new Poison("OtherLogicalType", "in schema " + id + " " + other + ": it would be another time");
        }
        StrictReader reader = new StrictReader(writer, wanted);
        readers.put(id, reader);
        return reader;
    }

    private void refuse(int id, Poison why) {
        if (refused.size() >= MAX_REFUSED) {
            refused.clear();
        }
        refused.put(id, new Refused(why, System.currentTimeMillis()));
    }

    private static Poison unknown(int id) {
        return new Poison("UnknownSchema", "the registry has no schema of the id " + Integer.toUnsignedString(id));
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
                if (error.getStatus() == 401 || error.getStatus() == 403) {
                    throw new RegistryDown("The schema registry does not let the jobs in: task managers take the login from "
                            + RegistryLogin.VARIABLE + ", user:password", error);
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
