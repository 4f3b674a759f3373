package io.shardlake.flink;

import java.nio.ByteBuffer;
import java.util.Arrays;
import org.apache.flink.avro.shaded.org.apache.avro.io.Decoder;
import org.apache.flink.avro.shaded.org.apache.avro.util.Utf8;

/**
 * Avro's binary encoding of flat records, read from a value's bytes and refused where no encoder would write it so.
 *
 * <p>Avro's own decoder is lax: of an int it drops what is above 32 bits, so that 2^31 is read as 0, and it takes a number in more
 * bytes than it needs, and any byte but 1 for false. The rules are those of shardlake/avro/codec.py. Source: the Apache Avro
 * specification, "Binary encoding".
 */
class StrictDecoder extends Decoder {
    private static final int INFINITY = 0x7F80_0000;
    private static final int QUIET = 0x0040_0000;

    private byte[] bytes;
    private int at;

    void configure(byte[] value, int start) {
        bytes = value;
        at = start;
    }

    boolean isEnd() {
        return at == bytes.length;
    }

    @Override
    public void readNull() {}

    @Override
    public boolean readBoolean() {
        byte one = bytes[skip(1)];
        refuse((one & ~1) != 0);
        return one == 1;
    }

    @Override
    public int readInt() {
        long number = readLong();
        if (number != (int) number) {
            throw new Poison("NumberOutOfRange", "an int has more than 32 bits");
        }
        return (int) number;
    }

    /** Zigzag, seven bits a byte, the lowest first. */
    @Override
    public long readLong() {
        byte one = bytes[skip(1)];
        long bits = one & 0x7F;
        for (int shift = 7; one < 0; shift += 7) {
            one = bytes[skip(1)];
            refuse(one == 0 || shift == 63 && one != 1);
            bits |= (one & 0x7FL) << shift;
        }
        return bits >>> 1 ^ -(bits & 1);
    }

    @Override
    public float readFloat() {
        int bits = (int) littleEndian(4);
        // A signalling NaN: whoever makes a double of it, as Python does, changes its bits.
        refuse((bits & Integer.MAX_VALUE) > INFINITY && (bits & QUIET) == 0);
        return Float.intBitsToFloat(bits);
    }

    @Override
    public double readDouble() {
        return Double.longBitsToDouble(littleEndian(8));
    }

    private long littleEndian(int size) {
        int from = skip(size);
        long bits = 0;
        for (int i = 0; i < size; i++) {
            bits |= (bytes[from + i] & 0xFFL) << 8 * i;
        }
        return bits;
    }

    @Override
    public Utf8 readString(Utf8 old) {
        return new Utf8(copy());
    }

    @Override
    public String readString() {
        return readString(null).toString();
    }

    @Override
    public void skipString() {
        skip(readLong());
    }

    @Override
    public ByteBuffer readBytes(ByteBuffer old) {
        return ByteBuffer.wrap(copy());
    }

    private byte[] copy() {
        int from = skip(readLong());
        return Arrays.copyOfRange(bytes, from, at);
    }

    @Override
    public void skipBytes() {
        skip(readLong());
    }

    @Override
    public void readFixed(byte[] into, int start, int length) {
        System.arraycopy(bytes, skip(length), into, start, length);
    }

    @Override
    public void skipFixed(int length) {
        skip(length);
    }

    @Override
    public int readEnum() {
        return readInt();
    }

    @Override
    public int readIndex() {
        return readInt();
    }

    /** Goes on by so many bytes; where they begin. */
    private int skip(long count) {
        if (count < 0 || count > bytes.length - at) {
            throw new Poison("BreaksOff", "a part of the record is longer than what is left, or shorter than nothing");
        }
        int from = at;
        at += (int) count;
        return from;
    }

    private static void refuse(boolean wrong) {
        if (wrong) {
            throw new Poison("NotCanonical", "a number has more bytes than it needs, or a boolean or NaN is none that is written");
        }
    }

    @Override
    public long readArrayStart() {
        throw nested();
    }

    @Override
    public long arrayNext() {
        throw nested();
    }

    @Override
    public long skipArray() {
        throw nested();
    }

    @Override
    public long readMapStart() {
        throw nested();
    }

    @Override
    public long mapNext() {
        throw nested();
    }

    @Override
    public long skipMap() {
        throw nested();
    }

    private static Poison nested() {
        return new Poison("NestedSchema", "the schema that the record names holds arrays or maps");
    }
}
