package org.tfmpq.demo.core.expand;

import com.google.flatbuffers.Table;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.Charset;

/**
 * A table of a file that may be hostile: the library reads wherever an offset leads, so each place is checked first.
 * {@code field} arguments are the field's number in the schema, from 0.
 */
final class CheckedTable extends Table {
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

        CheckedTable root() throws ExpandException {
            return new CheckedTable(this, follow(0));
        }

        private void check(long at, long bytes) throws ExpandException {
            if (at < 0 || bytes < 0 || at > data.limit() - bytes) {
                throw new ExpandException(bytes + " bytes at byte " + at + " lie outside the file (" + data.limit()
                        + " bytes): it is cut off or corrupt");
            }
        }

        /** Position of what the offset at {@code at} leads to. */
        private int follow(int at) throws ExpandException {
            check(at, 4);
            long target = at + (data.getInt(at) & 0xFFFFFFFFL);
            check(target, 4);
            return (int) target;
        }

        /** A part of the file that is about to be copied. */
        ByteBuffer part(long at, long bytes) throws ExpandException {
            check(at, bytes);
            budget -= bytes;
            if (budget < 0) {
                throw new ExpandException("parts of the file overlap without end: it is corrupt");
            }
            ByteBuffer part = data.duplicate().order(ByteOrder.LITTLE_ENDIAN);
            part.position((int) at);
            part.limit((int) (at + bytes));
            return part;
        }
    }

    private final Source source;

    private CheckedTable(Source source, int position) throws ExpandException {
        this.source = source;
        long fields = (long) position - source.data.getInt(position);
        source.check(fields, 4);
        int size = source.data.getShort((int) fields);
        if (size < 4 || size % 2 != 0 || fields + size > source.data.limit()) {
            throw new ExpandException(
                    "the table at byte " + position + " has a broken field list: the file is corrupt");
        }
        __reset(position, source.data);
    }

    boolean has(int field) {
        return __offset(4 + 2 * field) != 0;
    }

    /** Position of the field's value, -1 if the table does not hold it. */
    private int place(int field, int size) throws ExpandException {
        int offset = __offset(4 + 2 * field) & 0xFFFF;
        if (offset == 0) {
            return -1;
        }
        source.check((long) bb_pos + offset, size);
        return bb_pos + offset;
    }

    /** A signed byte. */
    int int8(int field, int fallback) throws ExpandException {
        int at = place(field, 1);
        return at < 0 ? fallback : bb.get(at);
    }

    int int32(int field, int fallback) throws ExpandException {
        int at = place(field, 4);
        return at < 0 ? fallback : bb.getInt(at);
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
        int at = place(field, 8);
        return at < 0 ? fallback : bb.getLong(at);
    }

    CheckedTable table(int field) throws ExpandException {
        int at = place(field, 4);
        return at < 0 ? null : new CheckedTable(source, source.follow(at));
    }

    /** The tables of a vector of tables; none if absent. */
    CheckedTable[] tables(int field) throws ExpandException {
        ByteBuffer offsets = vector(field, 4);
        CheckedTable[] result = new CheckedTable[offsets.remaining() / 4];
        for (int i = 0; i < result.length; i++) {
            result[i] = new CheckedTable(source, source.follow(offsets.position() + 4 * i));
        }
        return result;
    }

    /** A vector of int32, null if absent. */
    int[] int32s(int field) throws ExpandException {
        ByteBuffer vector = vector(field, 4);
        int[] result = new int[vector.remaining() / 4];
        vector.asIntBuffer().get(result);
        return has(field) ? result : null;
    }

    /** A vector of float32, null if absent. */
    float[] floats(int field) throws ExpandException {
        ByteBuffer vector = vector(field, 4);
        float[] result = new float[vector.remaining() / 4];
        vector.asFloatBuffer().get(result);
        return has(field) ? result : null;
    }

    /** A vector of int64, null if absent. */
    long[] int64s(int field) throws ExpandException {
        ByteBuffer vector = vector(field, 8);
        long[] result = new long[vector.remaining() / 8];
        vector.asLongBuffer().get(result);
        return has(field) ? result : null;
    }

    /** A vector of bytes, null if absent. */
    byte[] bytes(int field) throws ExpandException {
        ByteBuffer vector = vector(field, 1);
        byte[] result = new byte[vector.remaining()];
        vector.get(result);
        return has(field) ? result : null;
    }

    /** A string, "" if absent; Java's own decoder would replace what is no UTF-8, and names would no longer differ. */
    String text(int field) throws ExpandException {
        byte[] bytes = bytes(field);
        if (bytes != null && bytes.length > MAX_TEXT) {
            throw new ExpandException("a name of " + bytes.length + " bytes: the file is corrupt");
        }
        try {
            return bytes == null ? "" : UTF8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException error) {
            throw new ExpandException("a name is no UTF-8: the file is corrupt");
        }
    }

    /** The elements of a vector; none if absent. */
    private ByteBuffer vector(int field, int elementSize) throws ExpandException {
        int at = place(field, 4);
        if (at < 0) {
            return ByteBuffer.allocate(0);
        }
        int start = source.follow(at);
        return source.part(start + 4L, elementSize * (bb.getInt(start) & 0xFFFFFFFFL));
    }
}
