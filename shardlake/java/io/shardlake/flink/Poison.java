package io.shardlake.flink;

import org.apache.flink.avro.shaded.org.apache.avro.AvroTypeException;

/** A record that will never be decoded, and why, without its value. The classes are those of shardlake/avro/codec.py. */
class Poison extends RuntimeException {
    final String kind;

    Poison(String kind, String message) {
        super(message, null, false, false);
        this.kind = "io.shardlake.flink." + kind;
    }

    /** What is wrong with the bytes, in Avro's words: its exceptions say where it noticed, and may hold the value, and so PII. */
    static Poison of(Throwable error) {
        if (error instanceof Poison poison) {
            return poison;
        }
        if (error instanceof AvroTypeException) {
            return new Poison("SchemaMismatch",
                    "the jobs' schema lacks an enum's symbol or a union's branch of it, or has a field that it lacks");
        }
        if (error instanceof IndexOutOfBoundsException) {
            return new Poison("NoSuchBranch", "it names a union's branch or an enum's symbol that its schema does not have");
        }
        if (error instanceof StackOverflowError) {
            return new Poison("NestedSchema", "the schema that the record names holds itself");
        }
        return new Poison("NotARecord",
                "the bytes are not a record of the schema they name (" + error.getClass().getSimpleName() + ")");
    }
}
