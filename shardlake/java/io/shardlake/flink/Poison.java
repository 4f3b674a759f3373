package io.shardlake.flink;

/** A record that will never be decoded, and why, without its value. */
class Poison extends RuntimeException {
    final String kind;

    Poison(String kind, String message) {
        super(message, null, false, false);
        this.kind = "io.shardlake.flink." + kind;
    }
}
