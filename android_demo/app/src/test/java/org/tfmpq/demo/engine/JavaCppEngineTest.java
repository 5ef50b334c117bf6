package org.tfmpq.demo.engine;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNull;
import static org.junit.Assert.assertTrue;
import static org.junit.Assert.fail;

import com.google.gson.JsonObject;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import org.junit.Test;
import org.tfmpq.demo.core.Accuracy;
import org.tfmpq.demo.core.Catalogue;
import org.tfmpq.demo.core.EvaluationSet;
import org.tfmpq.demo.core.JsonText;
import org.tfmpq.demo.core.ModelEntry;
import org.tfmpq.demo.core.RandomInputs;
import org.tfmpq.demo.core.Resources;
import org.tfmpq.demo.core.Sha256;
import org.tfmpq.demo.core.expand.Expander;

/** The engine of the app on this machine, with the models that the app brings along. */
public class JavaCppEngineTest {
    private final Engine engine = Engines.byId("javacpp");

    private static Catalogue catalogue() throws Exception {
        return Catalogue.parse(new String(Resources.bytes("models/catalogue.json"), "UTF-8"));
    }

    private static ByteBuffer direct(byte[] content) {
        ByteBuffer data = ByteBuffer.allocateDirect(content.length).order(ByteOrder.LITTLE_ENDIAN);
        data.put(content);
        data.flip();
        return data;
    }

    private static ByteBuffer model(ModelEntry entry) throws Exception {
        ByteBuffer content = direct(Resources.bytes("models/" + entry.file));
        return entry.expand ? Expander.expand(content) : content;
    }

    private static String run(Session session) throws EngineException {
        int i = 0;
        for (ByteBuffer input : RandomInputs.of(session.inputs(), 0)) {
            session.setInput(i++, input);
        }
        session.invoke();
        ByteBuffer[] outputs = new ByteBuffer[session.outputs().size()];
        for (i = 0; i < outputs.length; i++) {
            outputs[i] = session.output(i);
        }
        return Sha256.of(outputs);
    }

    @Test
    public void bundledModelsComputeWhatPythonComputes() throws Exception {
        assertNull(engine.unavailable());
        int checked = 0;
        for (ModelEntry entry : catalogue().models) {
            for (boolean xnnpack : new boolean[] {true, false}) {
                String expected = xnnpack ? entry.outputSha256 : entry.outputSha256Builtin;
                for (int threads : new int[] {1, 2}) {
                    try (Session session = engine.open(model(entry), new SessionOptions(threads, xnnpack))) {
                        String found = run(session);
                        if (!expected.isEmpty()) {
                            assertEquals(entry.id + " " + xnnpack + " " + threads, expected, found);
                            checked++;
                        }
                    }
                }
            }
        }
        assertEquals(16, checked); // four forms have integer outputs, two delegates, two numbers of threads
    }

    @Test
    public void accuracyIsThatOfTheHost() throws Exception {
        for (ModelEntry entry : catalogue().models) {
            EvaluationSet set = EvaluationSet.parse(Resources.bytes("models/" + entry.evaluation));
            try (Session session = engine.open(model(entry), new SessionOptions(1, true))) {
                Accuracy accuracy = Accuracy.measure(session, set);
                assertEquals(set.count, accuracy.count);
                // Half a sample: float outputs may differ between processors, and the catalogue is rounded.
                assertEquals(entry.id, entry.hostAccuracy, accuracy.percent, 50.0 / set.count);
            }
        }
    }

    @Test
    public void whatTheDelegateTookIsKnown() throws Exception {
        ModelEntry stock = catalogue().find("digits_stock");
        try (Session session = engine.open(model(stock), new SessionOptions(1, true))) {
            assertEquals("25 of 26 ops in 1 partition", session.delegation().toString()); // all but SOFTMAX
        }
        try (Session session = engine.open(model(stock), new SessionOptions(1, false))) {
            assertEquals("none of 26 ops", session.delegation().toString());
        }
    }

    @Test
    public void tensorsAreDescribed() throws Exception {
        try (Session session = engine.open(model(catalogue().find("digits_auto")), new SessionOptions(1, true))) {
            TensorInfo input = session.inputs().get(0);
            assertEquals(DataType.INT8, input.type);
            assertEquals(1024, input.byteSize());
            assertEquals(1.0, input.scale, 0.01); // pixels 0..255
            assertEquals(-128, input.zeroPoint);
            assertEquals(10, session.outputs().get(0).elements());
            try {
                session.setInput(0, ByteBuffer.allocateDirect(5));
                fail("set");
            } catch (EngineException error) {
                assertEquals("input 0 takes 1024 bytes, not 5", error.getMessage());
            }
        }
    }

    /** Expanded fixtures with real, shared, transposed and INT4 layers. */
    @Test
    public void expandedFilesRun() throws Exception {
        JsonObject index = JsonText.parse(new String(Resources.bytes("expand/index.json"), "UTF-8"));
        for (String name : index.keySet()) {
            ByteBuffer expanded = Expander.expand(direct(Resources.bytes("expand/" + name + ".tflite")));
            try (Session session = engine.open(expanded, new SessionOptions(1, true))) {
                assertEquals(name, 64, run(session).length());
            }
        }
    }

    /** Token ids and masks, several inputs, an open batch, several graphs: compact as it is, and expanded. */
    @Test
    public void floatActivationsComputeTheSameOnceExpanded() throws Exception {
        JsonObject index = JsonText.parse(new String(Resources.bytes("expand/index.json"), "UTF-8"));
        int checked = 0;
        for (String name : index.keySet()) {
            if (!name.startsWith("float_")) {
                continue;
            }
            ByteBuffer compact = direct(Resources.bytes("expand/" + name + ".tflite"));
            for (boolean xnnpack : new boolean[] {true, false}) {
                float[] expected = floats(compact, xnnpack);
                float[] found = floats(Expander.expand(compact), xnnpack);
                assertEquals(name, expected.length, found.length);
                double most = 0;
                for (float value : expected) {
                    most = Math.max(most, Math.abs(value));
                }
                assertTrue(name, most > 0 && most < Float.POSITIVE_INFINITY);
                for (int i = 0; i < found.length; i++) {
                    // Kernels of both types sum in other orders: an 8-bit input may be a step of 1/127 apart by that.
                    assertEquals(name + " " + xnnpack, expected[i], found[i], most / 50);
                }
                checked++;
            }
        }
        assertEquals(16, checked);
    }

    private float[] floats(ByteBuffer model, boolean xnnpack) throws EngineException {
        try (Session session = engine.open(model, new SessionOptions(1, xnnpack))) {
            run(session);
            float[] result = new float[session.output(0).remaining() / 4];
            session.output(0).asFloatBuffer().get(result);
            return result;
        }
    }

    @Test
    public void idsAndMasksAreInputsLikeAnyOther() throws Exception {
        ByteBuffer model = Expander.expand(direct(Resources.bytes("expand/float_encoder_dynamic.tflite")));
        try (Session session = engine.open(model, new SessionOptions(1, true))) {
            assertEquals(2, session.inputs().size());
            for (TensorInfo input : session.inputs()) { // the open batch is one
                assertEquals(DataType.INT32, input.type);
                assertEquals(Arrays.toString(new int[] {1, 6}), Arrays.toString(input.shape()));
            }
            run(session);
            assertEquals(4 * 6 * 40, session.output(0).remaining());
        }
    }

    @Test
    public void damagedFilesAreRefusedWithAReason() throws Exception {
        byte[] whole = Resources.bytes("models/digits_stock.tflite");
        byte[] cut = Arrays.copyOf(whole, whole.length / 2);
        for (byte[] content : new byte[][] {{}, {1, 2, 3}, cut, "not a model, though long enough".getBytes()}) {
            try {
                engine.open(direct(content), new SessionOptions(1, true)).close();
                fail("opened " + content.length + " bytes");
            } catch (EngineException error) {
                assertFalse(error.getMessage().isEmpty());
            }
        }
    }

    @Test
    public void closingTwiceIsHarmless() throws Exception {
        Session session = engine.open(model(catalogue().find("digits_stock")), new SessionOptions(1, true));
        session.close();
        session.close();
    }

    @Test
    public void theInterpretersLibraryIsForAndroidOnly() {
        Engine interpreter = Engines.byId("interpreter");
        String reason = interpreter.unavailable();
        assertTrue(reason, reason != null && reason.startsWith("its native library does not load"));
        try {
            interpreter.open(ByteBuffer.allocateDirect(8), new SessionOptions(1, true));
            fail("opened");
        } catch (EngineException error) {
            assertEquals(reason, error.getMessage());
        }
        assertNull(Engines.byId("other"));
    }
}
