package io.shardlake.flink;

import java.io.IOException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.RestService;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.entities.SchemaReference;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.entities.SchemaString;
import org.apache.flink.avro.registry.confluent.shaded.io.confluent.kafka.schemaregistry.client.rest.exceptions.RestClientException;
import org.apache.flink.avro.shaded.org.apache.avro.AvroRuntimeException;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;

/** A reader for each schema id, asked of the registry once. Ids without one are kept too, with the reason, for half a minute. */
class WriterSchemas {
    private static final long FORGET_MS = 30_000;
    private static final int MAX_REFUSED = 10_000;
    private static final long GIVE_UP_MS = 30_000;

    private final RestService registry;
    private final Schema wanted;
    private final Map<Integer, StrictReader> readers = new HashMap<>();
    private final Map<Integer, Refused> refused = new HashMap<>();

    private record Refused(Poison why, long sinceMs) {}

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
            try {
                readers.put(known.getId(), reader(known.getId(), known.getSchemaType(), known.getSchema(), known.getReferences()));
            } catch (Poison error) {
                refuse(known.getId(), error); // its records are poison, and no reason not to read the others
            }
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
        Refused known = refused.get(id);
        if (known != null && System.currentTimeMillis() - known.sinceMs < FORGET_MS) {
            throw known.why;
        }
        Poison unknown = new Poison("UnknownSchema", "the registry has no schema of the id " + Integer.toUnsignedString(id));
        try {
            if (id < 0) {
                throw unknown;
            }
            SchemaString found = ask(() -> registry.getId(id));
            StrictReader reader = reader(id, found.getSchemaType(), found.getSchemaString(), found.getReferences());
            readers.put(id, reader);
            return reader;
        } catch (Poison error) {
            throw refuse(id, error.kind.equals(unknown.kind) ? unknown : error);
        }
    }

    private Poison refuse(int id, Poison why) {
        if (refused.size() >= MAX_REFUSED) {
            refused.clear();
        }
        refused.put(id, new Refused(why, System.currentTimeMillis()));
        return why;
    }

    /** A reader of what the registry has by an id; Poison where records cannot be read with that. */
    private StrictReader reader(int id, String type, String text, List<SchemaReference> references) {
        if (type != null && !type.equals("AVRO")) {
            throw new Poison("NotAvro", "schema " + id + " is of the type " + type);
        }
        if (references != null && !references.isEmpty()) {
            throw new Poison("SchemaReferences", "schema " + id + " refers to schemas of other subjects, which are not read with it");
        }
        Schema writer;
        try {
            writer = new Schema.Parser().parse(text);
        } catch (AvroRuntimeException error) {
            throw new Poison("NotAvro", "schema " + id + " is no Avro schema by itself");
        }
        if (writer.getType() != Schema.Type.RECORD || !wanted.getFullName().equals(writer.getFullName())) {
            throw new Poison("OtherRecord", "schema " + id + " is not of " + wanted.getFullName());
        }
        String other = LogicalTimes.other(writer, wanted);
        if (other != null) {
            throw new Poison("OtherLogicalType", "in schema " + id + " " + other + ": it would be another time");
        }
        return new StrictReader(writer, wanted);
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
