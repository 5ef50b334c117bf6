package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.Charset;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Writes a flatbuffer from its end to its start, byte for byte as Python's flatbuffers package does it.
 *
 * <p>Places are counted from the end of the buffer. Equal vectors of more or less than one number are written once.
 */
final class FlatWriter {
    private static final Charset UTF8 = Charset.forName("UTF-8");

    private ByteBuffer data;
    private int head;
    private int minAlign = 1;
    private int[] slots;
    private int objectEnd;
    private final Map<ByteBuffer, Integer> vtables = new HashMap<ByteBuffer, Integer>();
    private final Map<Object, Integer> vectors = new HashMap<Object, Integer>();

    FlatWriter(int size) {
        data = ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
        head = size;
    }

    /** Where the last thing written starts. */
    private int offset() {
        return data.capacity() - head;
    }

    /** Makes room for {@code size} bytes that are aligned once {@code after} bytes have been written before them. */
    private void prepare(int size, int after) {
        minAlign = Math.max(minAlign, size);
        int padding = -(offset() + after) & (size - 1);
        grow((long) padding + size + after);
        for (int i = 0; i < padding; i++) {
            data.put(--head, (byte) 0);
        }
    }

    private void grow(long needed) {
        if (head >= needed) {
            return;
        }
        int used = offset();
        long size = Math.max(2L * data.capacity(), needed + used);
        if (size > Integer.MAX_VALUE - 16) {
            throw new IllegalStateException("the file would pass 2 GB");
        }
        ByteBuffer larger = ByteBuffer.allocate((int) size).order(ByteOrder.LITTLE_ENDIAN);
        System.arraycopy(data.array(), head, larger.array(), larger.capacity() - used, used);
        head = larger.capacity() - used;
        data = larger;
    }

    private void placeInt32(int value) {
        head -= 4;
        data.putInt(head, value);
    }

    private void placeInt16(int value) {
        prepare(2, 0);
        head -= 2;
        data.putShort(head, (short) value);
    }

    private void placeBytes(byte[] bytes) {
        head -= bytes.length;
        System.arraycopy(bytes, 0, data.array(), head, bytes.length);
    }

    // ------------------------------------------------------------ vectors

    int string(String text) {
        return string(text.getBytes(UTF8));
    }

    int string(byte[] bytes) {
        prepare(4, bytes.length + 1);
        data.put(--head, (byte) 0);
        placeBytes(bytes);
        placeInt32(bytes.length);
        return offset();
    }

    /** Bytes that start at a multiple of {@code alignment}. */
    int bytes(byte[] bytes, int alignment) {
        prepare(4, bytes.length);
        prepare(alignment, bytes.length);
        placeBytes(bytes);
        placeInt32(bytes.length);
        return offset();
    }

    /** Places of things written before. */
    int offsets(int[] places) {
        prepare(4, 4 * places.length);
        for (int i = places.length - 1; i >= 0; i--) {
            prepare(4, 0);
            placeInt32(offset() - places[i] + 4);
        }
        placeInt32(places.length);
        return offset();
    }

    int int32s(int[] values) {
        prepare(4, 4 * values.length);
        for (int i = values.length - 1; i >= 0; i--) {
            placeInt32(values[i]);
        }
        placeInt32(values.length);
        return offset();
    }

    int sharedInt32s(int[] values) {
        ByteBuffer raw = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        raw.asIntBuffer().put(values);
        return shared('i', raw.array(), 4, values.length);
    }

    int sharedFloats(float[] values) {
        ByteBuffer raw = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        raw.asFloatBuffer().put(values);
        return shared('f', raw.array(), 4, values.length);
    }

    int sharedInt64s(long[] values) {
        ByteBuffer raw = ByteBuffer.allocate(8 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        raw.asLongBuffer().put(values);
        return shared('l', raw.array(), 8, values.length);
    }

    int sharedBytes(byte[] values) {
        return shared('b', values, 1, values.length);
    }

    private int shared(char kind, byte[] raw, int size, int count) {
        Object key = Arrays.<Object>asList(kind, ByteBuffer.wrap(raw));
        Integer known = count == 1 ? null : vectors.get(key);
        if (known != null) {
            return known;
        }
        prepare(4, raw.length);
        prepare(size, raw.length);
        placeBytes(raw);
        placeInt32(count);
        if (count != 1) {
            vectors.put(key, offset());
        }
        return offset();
    }

    // ------------------------------------------------------------ tables

    void startTable(int fields) {
        slots = new int[fields];
        objectEnd = offset();
    }

    void addInt8(int field, int value, int standard) {
        if (value != standard) {
            prepare(1, 0);
            data.put(--head, (byte) value);
            slots[field] = offset();
        }
    }

    void addInt32(int field, int value, int standard) {
        if (value != standard) {
            prepare(4, 0);
            placeInt32(value);
            slots[field] = offset();
        }
    }

    void addFloat(int field, float value) {
        if (value != 0) {
            prepare(4, 0);
            placeInt32(Float.floatToRawIntBits(value));
            slots[field] = offset();
        }
    }

    void addInt64(int field, long value) {
        if (value != 0) {
            prepare(8, 0);
            head -= 8;
            data.putLong(head, value);
            slots[field] = offset();
        }
    }

    /** A reference to something written before; 0 for none. */
    void addOffset(int field, int place) {
        if (place != 0) {
            prepare(4, 0);
            placeInt32(offset() - place + 4);
            slots[field] = offset();
        }
    }

    int endTable() {
        prepare(4, 0);
        placeInt32(0);
        int table = offset();
        int used = slots.length;
        while (used > 0 && slots[used - 1] == 0) {
            used--;
        }
        ByteBuffer key = ByteBuffer.allocate(2 * used + 2);
        for (int i = used - 1; i >= 0; i--) {
            key.putShort((short) (slots[i] == 0 ? 0 : table - slots[i]));
        }
        key.putShort((short) (table - objectEnd));
        key.flip();
        Integer known = vtables.get(key);
        if (known == null) {
            for (int i = used - 1; i >= 0; i--) {
                placeInt16(slots[i] == 0 ? 0 : table - slots[i]);
            }
            placeInt16(table - objectEnd);
            placeInt16(2 * used + 4);
            known = offset();
            vtables.put(key, known);
        }
        data.putInt(data.capacity() - table, known - table);
        return table;
    }

    /** The whole file, in a direct buffer. */
    ByteBuffer finish(int root, String identifier) {
        prepare(minAlign, 8);
        prepare(4, 4);
        placeBytes(identifier.getBytes(UTF8));
        prepare(4, 0);
        placeInt32(offset() - root + 4);
        ByteBuffer result = ByteBuffer.allocateDirect(offset()).order(ByteOrder.LITTLE_ENDIAN);
        result.put(data.array(), head, offset());
        result.flip();
        return result;
    }
}
