package org.tfmpq.demo.core;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;

import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import org.junit.Test;
import org.tfmpq.demo.engine.DataType;
import org.tfmpq.demo.engine.TensorInfo;

public class RandomInputsTest {
    private static TensorInfo input(DataType type, int... shape) {
        return new TensorInfo("x", type, shape, 0, 0);
    }

    /** The published first words of SplitMix64 from state 0. */
    @Test
    public void wordsAreThoseOfSplitMix64() {
        assertEquals(0xE220A8397B1DCDAFL, RandomInputs.word(0x9E3779B97F4A7C15L));
        assertEquals(0x6E789E6AA1B965F4L, RandomInputs.word(2 * 0x9E3779B97F4A7C15L));
    }

    @Test
    public void wordsRunOnOverAllInputs() {
        List<ByteBuffer> values = RandomInputs.of(Arrays.asList(input(DataType.INT8, 1), input(DataType.UINT8, 1, 2),
                input(DataType.INT16, 1), input(DataType.FLOAT32, 1), input(DataType.BOOL, 1),
                input(DataType.INT32, 1), input(DataType.INT64, 1)), 0);
        assertEquals((byte) 0xAF, values.get(0).get(0));
        assertEquals((byte) 0xF4, values.get(1).get(0));
        assertEquals((short) word(4), values.get(2).getShort(0));
        assertEquals((word(5) >>> 40) / 8388608.0 - 1, values.get(3).getFloat(0), 0);
        assertEquals(word(6) & 1, values.get(4).get(0));
        assertEquals(0, values.get(5).getInt(0));
        assertEquals(0, values.get(6).getLong(0));
        assertEquals(8, values.get(6).remaining());
    }

    private static long word(int number) {
        return RandomInputs.word(number * 0x9E3779B97F4A7C15L);
    }

    @Test
    public void theSeedCounts() {
        List<TensorInfo> inputs = Arrays.asList(input(DataType.INT8, 16));
        assertEquals(RandomInputs.of(inputs, 3), RandomInputs.of(inputs, 3));
        assertFalse(RandomInputs.of(inputs, 3).equals(RandomInputs.of(inputs, 4)));
    }
}
