package org.tfmpq.demo.core;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import org.junit.Test;
import org.tfmpq.demo.engine.DataType;
import org.tfmpq.demo.engine.EngineException;
import org.tfmpq.demo.engine.TensorInfo;

public class EvaluationSetTest {
    private static byte[] file(String head, int... rest) {
        ByteBuffer data = ByteBuffer.allocate(head.length() + 1 + 4 * rest.length).order(ByteOrder.LITTLE_ENDIAN);
        data.put((head + "\n").getBytes());
        for (int word : rest) {
            data.putInt(word);
        }
        return data.array();
    }

    private static int bits(float value) {
        return Float.floatToRawIntBits(value);
    }

    /** The same rounding as converters.runtime.quantize: ties away from zero, saturated. */
    @Test
    public void realValuesAreRoundedAsInPython() throws Exception {
        EvaluationSet set = EvaluationSet.parse(file("{\"count\":1,\"shape\":[6],\"type\":\"float32\"}",
                bits(0.25f), bits(-0.25f), bits(0.74f), bits(-0.76f), bits(1000), bits(-1000), 3));
        assertEquals(3, set.label(0));
        ByteBuffer target = ByteBuffer.allocateDirect(24).order(ByteOrder.LITTLE_ENDIAN);
        byte[] found = new byte[6];
        set.write(0, new TensorInfo("x", DataType.INT8, new int[] {1, 6}, 0.5f, 10), target);
        target.get(found);
        assertArrayEquals(new byte[] {11, 9, 11, 8, 127, -128}, found);
        set.write(0, new TensorInfo("x", DataType.UINT8, new int[] {1, 6}, 0.5f, 10), target);
        target.get(found);
        assertArrayEquals(new byte[] {11, 9, 11, 8, (byte) 255, 0}, found);
        set.write(0, new TensorInfo("x", DataType.FLOAT32, new int[] {1, 6}, 0, 0), target);
        assertEquals(24, target.remaining());
        assertEquals(0.74f, target.getFloat(8), 0);
    }

    @Test
    public void modelsThatTakeSomethingElseAreRefused() throws Exception {
        EvaluationSet set = EvaluationSet.parse(file("{\"count\":1,\"shape\":[4],\"type\":\"uint8\"}", 0x04030201, 0));
        ByteBuffer target = ByteBuffer.allocateDirect(64);
        assertRefused(set, new TensorInfo("x", DataType.INT8, new int[] {1, 5}, 0.5f, 0), target, "4 numbers a sample");
        assertRefused(set, new TensorInfo("x", DataType.INT64, new int[] {1, 4}, 0, 0), target, "type INT64");
    }

    private static void assertRefused(EvaluationSet set, TensorInfo input, ByteBuffer target, String reason) {
        try {
            set.write(0, input, target);
            fail("written");
        } catch (EngineException error) {
            assertTrue(error.getMessage(), error.getMessage().contains(reason));
        }
    }

    @Test
    public void damagedFilesAreRefused() {
        byte[][] wrong = {
            {}, {'{'}, file("{}"), file("[1]", 1), file("{\"count\":1,\"shape\":[4],\"type\":\"uint8\"}", 1),
            file("{\"count\":1,\"shape\":[4],\"type\":\"int8\"}", 1, 2), file("{\"count\":1,\"shape\":4}", 1, 2),
            file("{\"count\":1,\"shape\":[\"a\"],\"type\":\"uint8\"}", 1, 2),
            file("{\"count\":-1,\"shape\":[4],\"type\":\"uint8\"}", 1, 2),
            file("{\"count\":4,\"shape\":[1073741824,1073741824],\"type\":\"float32\"}", 1, 2, 3, 4), // 2^64 + 16 bytes
            file("{\"count\":1e18,\"shape\":[2000000000,2000000000],\"type\":\"uint8\"}", 1, 2),
        };
        for (byte[] content : wrong) {
            try {
                EvaluationSet.parse(content);
                fail("parsed: " + new String(content));
            } catch (IOException expected) {
                assertTrue(expected.getMessage().startsWith("the evaluation set"));
            }
        }
    }
}
