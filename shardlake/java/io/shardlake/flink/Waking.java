package io.shardlake.flink;

import java.io.Serializable;

/**
 * Holds a source's watermarks back for a moment after the source was idle.
 *
 * <p>An idle source holds back no window. Where a topic was silent and all its partitions get events at once, the partition that is
 * read first would close windows that the others still have events for. So the first events after idleness move no watermark until
 * the other partitions have had time to be read. The last watermark, which a drain sends, is never held.
 */
public final class Waking implements Serializable {
    public static final long NONE = Long.MIN_VALUE;
    public static final long MILLISECONDS = 5_000;

    private boolean idle;
    private long until = NONE;
    private long held = NONE;

    /** The source became idle: returns the watermark that was held back, or NONE. */
    public long sleep() {
        idle = true;
        return release();
    }

    /** The source is active: returns true where it was idle before, so that due(until()) must be called then. */
    public boolean wake(long now) {
        boolean wakes = idle;
        idle = false;
        until = wakes ? now + MILLISECONDS : until;
        return wakes;
    }

    public long until() {
        return until;
    }

    /** Returns the watermark to send now, or NONE where it is held back. */
    public long watermark(long mark, long now) {
        held = mark;
        return mark == Long.MAX_VALUE || now >= until ? release() : NONE;
    }

    /** A timer of wake() is due: returns the watermark that was held back, or NONE where none was or a later timer comes. */
    public long due(long now) {
        return now >= until ? release() : NONE;
    }

    private long release() {
        long mark = held;
        held = NONE;
        return mark;
    }
}
