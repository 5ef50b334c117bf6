package org.tfmpq.demo.core;

import com.google.gson.JsonArray;
import com.google.gson.JsonElement;
import com.google.gson.JsonObject;
import com.google.gson.JsonPrimitive;
import com.google.gson.stream.MalformedJsonException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.Charset;
import org.tfmpq.demo.engine.EngineException;
import org.tfmpq.demo.engine.TensorInfo;

/**
 * A small labelled set for models with one input, as tools/android/make_assets.py writes it.
 *
 * <p>The file: a line of JSON {"count", "shape", "type", "scale", "offset"}, then the samples one after the other, then
 * the labels, both little-endian, labels as int32. Real values are scale * number + offset, in float32.
 */
public final class EvaluationSet {
    private static final int LONGEST_HEADER = 4096;

    public final int count;
    private final int elements;
    private final boolean floats;
    private final float scale;
    private final float offset;
    private final ByteBuffer samples;
    private final int[] labels;

    private EvaluationSet(int count, int elements, boolean floats, float scale, float offset, ByteBuffer samples,
            int[] labels) {
        this.count = count;
        this.elements = elements;
        this.floats = floats;
        this.scale = scale;
        this.offset = offset;
        this.samples = samples;
        this.labels = labels;
    }

    /** Reads a file's content. */
    public static EvaluationSet parse(byte[] content) throws IOException {
        int end = 0;
        while (end < content.length && content[end] != '\n' && end < LONGEST_HEADER) {
            end++;
        }
        int start = Math.min(end + 1, content.length);
        ByteBuffer data = ByteBuffer.wrap(content, start, content.length - start).slice();
        try {
            return parse(JsonText.parse(new String(content, 0, end, Charset.forName("US-ASCII"))),
                    data.order(ByteOrder.LITTLE_ENDIAN));
        } catch (MalformedJsonException error) {
            throw new IOException("the evaluation set has no head: " + error.getMessage());
        } catch (CatalogueException error) {
            throw new IOException("the evaluation set is damaged: " + error.getMessage());
        }
    }

    private static EvaluationSet parse(JsonObject header, ByteBuffer data) throws IOException, CatalogueException {
        Fields head = new Fields(header, "its head");
        long elements = elements(header.get("shape"));
        boolean floats = head.required("type").equals("float32");
        long count = (long) head.number("count", 0);
        long bytes = count * (elements * (floats ? 4 : 1) + 4);
        if (!floats && !head.required("type").equals("uint8") || elements <= 0 || count <= 0
                || elements > data.limit() || count > data.limit() || bytes != data.limit()) {
            throw new IOException(
                    "the evaluation set is damaged: its head does not fit its " + data.limit() + " bytes");
        }
        int[] labels = new int[(int) count];
        data.position((int) (bytes - 4 * count));
        data.slice().order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(labels);
        data.position(0);
        return new EvaluationSet((int) count, (int) elements, floats, (float) head.number("scale", 1),
                (float) head.number("offset", 0), data, labels);
    }

    /** Numbers of a sample; 0 or less if the shape is none. */
    private static long elements(JsonElement shape) {
        if (!(shape instanceof JsonArray)) {
            return 0;
        }
        long elements = 1;
        for (JsonElement size : (JsonArray) shape) {
            boolean number = size.isJsonPrimitive() && ((JsonPrimitive) size).isNumber();
            elements = Math.min(elements, Integer.MAX_VALUE) * (number ? (int) size.getAsDouble() : 0);
        }
        return elements;
    }

    int label(int sample) {
        return labels[sample];
    }

    /** Writes a sample as the input takes it: real values rounded to the input's integers, ties away from zero. */
    void write(int sample, TensorInfo input, ByteBuffer target) throws EngineException {
        if (input.elements() != elements) {
            throw new EngineException("the evaluation set has " + elements + " numbers a sample, the model takes "
                    + input.elements());
        }
        target.clear();
        int first = sample * elements;
        for (int i = first; i < first + elements; i++) {
            float raw = floats ? samples.getFloat(4 * i) : samples.get(i) & 0xFF;
            put(scale * raw + offset, input, target);
        }
        target.flip();
    }

    private static void put(float value, TensorInfo input, ByteBuffer target) throws EngineException {
        switch (input.type) {
            case FLOAT32:
                target.putFloat(value);
                break;
            case INT8:
                target.put((byte) quantized(value, input, -128, 127));
                break;
            case UINT8:
                target.put((byte) quantized(value, input, 0, 255));
                break;
            case INT16:
                target.putShort((short) quantized(value, input, -32768, 32767));
                break;
            default:
                throw new EngineException("the evaluation set has no samples for an input of type " + input.type);
        }
    }

    private static int quantized(float value, TensorInfo input, int low, int high) {
        if (input.scale == 0) {
            return (int) Math.max(low, Math.min(high, value));
        }
        float steps = value / input.scale;
        double whole = steps < 0 ? Math.ceil(steps) : Math.floor(steps);
        double rounded = Math.abs(steps - whole) >= 0.5 ? whole + Math.signum(steps) : whole;
        return (int) Math.max(low, Math.min(high, rounded + input.zeroPoint));
    }
}
