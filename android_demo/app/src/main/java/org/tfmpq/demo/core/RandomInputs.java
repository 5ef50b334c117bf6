package org.tfmpq.demo.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.List;
import org.tfmpq.demo.engine.TensorInfo;

/**
 * Inputs that are random but the same in every language, as tfmpq/benchmark_inputs.py makes them.
 *
 * <p>A word of SplitMix64 for every element, running on over the inputs: integers of 8 and 16 bits are its low bits,
 * floats its top 24 bits in -1..1, booleans its lowest bit. Wider integers are 0: they are indices as a rule.
 */
public final class RandomInputs {
    private static final long STEP = 0x9E3779B97F4A7C15L;

    private RandomInputs() {}

    /** One direct, little-endian buffer for each input. */
    public static List<ByteBuffer> of(List<TensorInfo> inputs, long seed) {
        List<ByteBuffer> result = new ArrayList<ByteBuffer>();
        long state = seed;
        for (TensorInfo input : inputs) {
            ByteBuffer data = ByteBuffer.allocateDirect(input.byteSize()).order(ByteOrder.LITTLE_ENDIAN);
            int count = input.elements();
            for (int i = 0; i < count; i++) {
                state += STEP;
                put(data, input, word(state));
            }
            data.rewind();
            result.add(data);
        }
        return result;
    }

    static long word(long state) {
        long z = (state ^ (state >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return z ^ (z >>> 31);
    }

    private static void put(ByteBuffer data, TensorInfo input, long word) {
        switch (input.type) {
            case INT8:
            case UINT8:
                data.put((byte) word);
                break;
            case INT16:
                data.putShort((short) word);
                break;
            case BOOL:
                data.put((byte) (word & 1));
                break;
            case FLOAT32:
                data.putFloat((float) ((word >>> 40) * 0x1p-23 - 1));
                break;
            case INT32:
                data.putInt(0);
                break;
            default:
                data.putLong(0);
        }
    }
}
