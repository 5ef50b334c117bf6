package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.Charset;

/**
 * A flatbuffer table; every access is checked. {@code field} arguments are the field's number in the schema, from 0.
 *
 * <p>Format: https://flatbuffers.dev/internals/.
 */
final class FlatTable {
    private static final Charset UTF8 = Charset.forName("UTF-8");
    private static final int MAX_TEXT = 1 << 16;

    /** The file, and how much may still be copied out of it: tables that share one huge vector must not add up. */
    static final class Source {
        /** What a file may come to when it is read, in file sizes: zeros and shapes are shared, weights are not. */
        private static final int MOST_READ = 8;

        final ByteBuffer data;
        private long budget;

        Source(ByteBuffer content) {
            data = content.slice().order(ByteOrder.LITTLE_ENDIAN);
            budget = (long) MOST_READ * data.limit() + (1 << 20);
        }

        /** Counts bytes that are about to be copied. */
        void charge(long bytes) throws ExpandException {
            budget -= bytes;
            if (budget < 0) {
                throw new ExpandException("parts of the file overlap without end: it is corrupt");
            }
        }

        void check(long at, long bytes) throws ExpandException {
            if (at < 0 || at + bytes > data.limit()) {
                throw new ExpandException("byte " + at + " lies outside the file (" + data.limit()
                        + " bytes): it is cut off or corrupt");
            }
        }

        int int32(long at) throws ExpandException {
            check(at, 4);
            return data.getInt((int) at);
        }

        /** Bytes at a place that was checked. */
        byte[] copy(long at, int count) {
            byte[] result = new byte[count];
            ByteBuffer view = data.duplicate();
            view.position((int) at);
            view.get(result);
            return result;
        }

        /** Position of what an offset at {@code at} points to. */
        int follow(long at) throws ExpandException {
            long target = at + (int32(at) & 0xFFFFFFFFL);
            check(target, 4);
            return (int) target;
        }
    }

    final Source source;
    final int position;
    private final int vtable;
    private final int fields;

    FlatTable(Source source, int position) throws ExpandException {
        this.source = source;
        this.position = position;
        long start = (long) position - source.int32(position);
        source.check(start, 2);
        int size = source.data.getShort((int) start) & 0xFFFF;
        if (size < 4 || size % 2 != 0 || start + size > source.data.limit()) {
            throw new ExpandException(
                    "the table at byte " + position + " has a broken field list: the file is corrupt");
        }
        vtable = (int) start;
        fields = size / 2 - 2;
    }

    /** Position of the field's value, -1 if the table does not hold it. */
    private int locate(int field, int size) throws ExpandException {
        int offset = field < fields ? source.data.getShort(vtable + 4 + 2 * field) & 0xFFFF : 0;
        if (offset == 0) {
            return -1;
        }
        source.check((long) position + offset, size);
        return position + offset;
    }

    boolean has(int field) {
        return field < fields && source.data.getShort(vtable + 4 + 2 * field) != 0;
    }

    /** A signed byte. */
    int int8(int field, int fallback) throws ExpandException {
        int at = locate(field, 1);
        return at < 0 ? fallback : source.data.get(at);
    }

    int int32(int field, int fallback) throws ExpandException {
        int at = locate(field, 4);
        return at < 0 ? fallback : source.data.getInt(at);
    }

    /** An unsigned number that counts or points to something; at most 2^31 - 1. */
    int index(int field) throws ExpandException {
        int value = int32(field, 0);
        if (value < 0) {
            throw new ExpandException("a number of " + (value & 0xFFFFFFFFL) + " cannot be: the file is corrupt");
        }
        return value;
    }

    long int64(int field, long fallback) throws ExpandException {
        int at = locate(field, 8);
        return at < 0 ? fallback : source.data.getLong(at);
    }

    FlatTable table(int field) throws ExpandException {
        int at = locate(field, 4);
        return at < 0 ? null : new FlatTable(source, source.follow(at));
    }

    /** The tables of a vector of tables; none if absent. */
    FlatTable[] tables(int field) throws ExpandException {
        int at = vector(field, 4);
        FlatTable[] result = new FlatTable[at < 0 ? 0 : source.data.getInt(at)];
        for (int i = 0; i < result.length; i++) {
            result[i] = new FlatTable(source, source.follow(at + 4L + 4L * i));
        }
        return result;
    }

    /** A vector of int32, null if absent. */
    int[] int32s(int field) throws ExpandException {
        int at = vector(field, 4);
        if (at < 0) {
            return null;
        }
        int[] result = new int[source.data.getInt(at)];
        for (int i = 0; i < result.length; i++) {
            result[i] = source.data.getInt(at + 4 + 4 * i);
        }
        return result;
    }

    /** A vector of float32, null if absent. */
    float[] floats(int field) throws ExpandException {
        int at = vector(field, 4);
        if (at < 0) {
            return null;
        }
        float[] result = new float[source.data.getInt(at)];
        for (int i = 0; i < result.length; i++) {
            result[i] = source.data.getFloat(at + 4 + 4 * i);
        }
        return result;
    }

    /** A vector of int64, null if absent. */
    long[] int64s(int field) throws ExpandException {
        int at = vector(field, 8);
        if (at < 0) {
            return null;
        }
        long[] result = new long[source.data.getInt(at)];
        for (int i = 0; i < result.length; i++) {
            result[i] = source.data.getLong(at + 4 + 8 * i);
        }
        return result;
    }

    /** A vector of bytes, null if absent. */
    byte[] bytes(int field) throws ExpandException {
        int at = vector(field, 1);
        return at < 0 ? null : source.copy(at + 4L, source.data.getInt(at));
    }

    /** A string, "" if absent. */
    String text(int field) throws ExpandException {
        byte[] bytes = bytes(field);
        if (bytes != null && bytes.length > MAX_TEXT) {
            throw new ExpandException("a name of " + bytes.length + " bytes: the file is corrupt");
        }
        return bytes == null ? "" : new String(bytes, UTF8);
    }

    /** Position of a vector that lies within the file; -1 if absent. */
    private int vector(int field, int elementSize) throws ExpandException {
        int at = locate(field, 4);
        if (at < 0) {
            return -1;
        }
        int start = source.follow(at);
        long count = source.int32(start) & 0xFFFFFFFFL;
        if (start + 4 + count * elementSize > source.data.limit()) {
            throw new ExpandException("the vector at byte " + start + " claims " + count
                    + " elements, more than the file holds (" + source.data.limit()
                    + " bytes): the file is cut off or corrupt");
        }
        source.charge(count * elementSize);
        return start;
    }
}
