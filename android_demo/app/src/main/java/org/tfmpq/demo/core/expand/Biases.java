package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.List;

/** Biases of rows: beside float activations as they are, else in units of the input's scale times the row's. */
final class Biases {
    /** Null beside float activations. */
    private final long[] units;
    /** Null beside integer activations. */
    private final float[] values;

    private Biases(long[] units, float[] values) {
        this.units = units;
        this.values = values;
    }

    /**
     * Those of an operator; null if there are none that fit.
     *
     * @param bias its constant
     * @param source what the operator reads
     */
    static Biases read(Graph.Tensor bias, Graph.Tensor source) throws ExpandException {
        boolean real = source.type == Graph.FLOAT32;
        if (bias == null || bias.data == null || bias.type == Graph.FLOAT32 != real) {
            return null;
        }
        if (real) {
            float[] values = new float[bias.data.length / 4];
            ByteBuffer.wrap(bias.data).order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
            return new Biases(null, values);
        }
        int[] found = WeightKind.int32s(bias);
        long[] units = new long[found.length];
        for (int i = 0; i < units.length; i++) {
            units[i] = found[i];
        }
        return new Biases(units, null);
    }

    /** All zero. */
    static Biases zeros(int count, boolean real) {
        return real ? new Biases(null, new float[count]) : new Biases(new long[count], null);
    }

    boolean real() {
        return units == null;
    }

    int count() {
        return real() ? values.length : units.length;
    }

    /** Those of the rows at these numbers. */
    Biases taken(int[] order) {
        Biases result = zeros(order.length, real());
        for (int i = 0; i < order.length; i++) {
            result.set(i, this, order[i]);
        }
        return result;
    }

    /** One part after the other; all of one type. */
    static Biases joined(List<Rows> parts, int count) {
        Biases result = zeros(count, parts.get(0).bias.real());
        int at = 0;
        for (Rows part : parts) {
            for (int row = 0; row < part.count(); row++) {
                result.set(at++, part.bias, row);
            }
        }
        return result;
    }

    private void set(int row, Biases from, int place) {
        if (real()) {
            values[row] = from.values[place];
        } else {
            units[row] = from.units[place];
        }
    }

    /** Adds another point's bias of a row, whose units are {@code ratio} of those here. */
    void add(int row, Biases other, double ratio) {
        if (real()) {
            values[row] += other.values[row];
        } else {
            units[row] += (long) ratio * other.units[row];
        }
    }

    /** A constant of these float32 numbers. */
    Graph.Tensor realTensor(String name) {
        ByteBuffer raw = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        raw.asFloatBuffer().put(values);
        return new Graph.Tensor(name, new int[] {values.length}, Graph.FLOAT32, raw.array(), null);
    }

    /**
     * A constant of these int32 numbers, and its scales.
     *
     * @param input scale of what is read
     * @param rows scales of the rows
     */
    Graph.Tensor unitTensor(String name, String layer, float input, float[] rows) throws ExpandException {
        float[] scale = new float[units.length];
        int[] numbers = new int[units.length];
        for (int i = 0; i < numbers.length; i++) {
            scale[i] = input * rows[i]; // formed in float32, as the runtime checks it
            numbers[i] = (int) units[i];
            if (numbers[i] != units[i]) {
                throw ExpandException.layer(layer, "its biases leave int32");
            }
        }
        ByteBuffer raw = ByteBuffer.allocate(4 * numbers.length).order(ByteOrder.LITTLE_ENDIAN);
        raw.asIntBuffer().put(numbers);
        Graph.Quantization scaling = new Graph.Quantization(scale, 0);
        return new Graph.Tensor(name, new int[] {numbers.length}, Graph.INT32, raw.array(), scaling);
    }
}
