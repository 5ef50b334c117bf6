package org.tfmpq.demo.core.expand;

import com.google.flatbuffers.FlatBufferBuilder;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;

/**
 * Vectors of plain numbers for the library's builder. Where converters/graph.py has equal vectors written once, so has
 * this; single numbers are written each time.
 */
final class SharingBuilder extends FlatBufferBuilder {
    private final Map<Object, Integer> known = new HashMap<Object, Integer>();

    SharingBuilder(int sizeHint) {
        super(sizeHint);
    }

    /** Bytes that start at a multiple of {@code alignment}. */
    int bytes(byte[] bytes, int alignment) {
        createUnintializedVector(1, bytes.length, alignment).put(bytes);
        return endVector();
    }

    int int32s(int[] values) {
        createUnintializedVector(4, values.length, 4).asIntBuffer().put(values);
        return endVector();
    }

    int sharedInt32s(int[] values) {
        ByteBuffer raw = raw(4 * values.length);
        raw.asIntBuffer().put(values);
        return shared('i', raw, 4);
    }

    int sharedFloats(float[] values) {
        ByteBuffer raw = raw(4 * values.length);
        raw.asFloatBuffer().put(values);
        return shared('f', raw, 4);
    }

    int sharedInt64s(long[] values) {
        ByteBuffer raw = raw(8 * values.length);
        raw.asLongBuffer().put(values);
        return shared('l', raw, 8);
    }

    int sharedBytes(byte[] values) {
        return shared('b', ByteBuffer.wrap(values), 1);
    }

    private static ByteBuffer raw(int size) {
        return ByteBuffer.allocate(size).order(ByteOrder.LITTLE_ENDIAN);
    }

    private int shared(char kind, ByteBuffer raw, int size) {
        int count = raw.remaining() / size;
        Object key = Arrays.<Object>asList(kind, raw);
        Integer place = count == 1 ? null : known.get(key);
        if (place == null) {
            createUnintializedVector(size, count, size).put(raw.duplicate());
            place = endVector();
            known.put(key, place);
        }
        return place;
    }
}
