package org.tfmpq.demo.core.expand;

import java.util.List;

/** Rows of one layer, computed by one of its ops or by several together. */
final class Rows {
    private static final double EXACT = 0x1p40; // above it, ratios times codes would not be exact
    private static final int INT8_LIMIT = 127;

    /** Row after row. */
    final byte[] codes;
    /** Numbers of a row. */
    final int columns;
    final float[] scale;
    final Biases bias;
    /** Fused activation of their results. */
    final int activation;
    /** An operator that computes some of them. */
    final Graph.Op op;
    /** What they read, the layer's input. */
    final Graph.Tensor source;
    /** Where a depthwise layer's rows start among the input's channels. */
    final int start;

    Rows(byte[] codes, int columns, float[] scale, Biases bias, int activation, Graph.Op op, Graph.Tensor source,
            int start) {
        this.codes = codes;
        this.columns = columns;
        this.scale = scale;
        this.bias = bias;
        this.activation = activation;
        this.op = op;
        this.source = source;
        this.start = start;
    }

    int count() {
        return scale.length;
    }

    /** The rows at these numbers. */
    Rows taken(int[] order) {
        byte[] moved = new byte[order.length * columns];
        float[] scales = new float[order.length];
        for (int i = 0; i < order.length; i++) {
            System.arraycopy(codes, order[i] * columns, moved, i * columns, columns);
            scales[i] = scale[order[i]];
        }
        return new Rows(moved, columns, scales, bias.taken(order), activation, op, source, start);
    }

    /** Rows one part after the other, as {@code op} computes them from {@code source}. */
    static Rows joined(List<Rows> parts, Graph.Op op) {
        Rows first = parts.get(0);
        int count = 0;
        for (Rows part : parts) {
            count += part.count();
        }
        byte[] codes = new byte[count * first.columns];
        float[] scale = new float[count];
        int at = 0;
        for (Rows part : parts) {
            System.arraycopy(part.codes, 0, codes, at * first.columns, part.codes.length);
            System.arraycopy(part.scale, 0, scale, at, part.count());
            at += part.count();
        }
        return new Rows(codes, first.columns, scale, Biases.joined(parts, count), first.activation, op, first.source, 0);
    }

    /**
     * The int8 rows equal to the sum of points, the largest first; null where there are none.
     *
     * <p>A row merges when each scale is an integer multiple of the last and the sum stays within +-127. The merged
     * row is exact and has the last point's scale.
     */
    static Rows merged(List<Rows> points, int activation, String layer) throws ExpandException {
        Rows first = points.get(0);
        Rows last = points.get(points.size() - 1);
        checkPoints(points, layer);
        byte[] codes = new byte[first.codes.length];
        Biases bias = Biases.zeros(first.count(), first.bias.real());
        for (int row = 0; row < first.count(); row++) {
            long[] sum = new long[first.columns];
            for (Rows point : points) {
                double ratio = (double) point.scale[row] / (double) last.scale[row];
                if (ratio != Math.rint(ratio) || ratio > EXACT) {
                    return null;
                }
                bias.add(row, point.bias, ratio);
                for (int i = 0; i < sum.length; i++) {
                    sum[i] += (long) ratio * point.codes[row * first.columns + i];
                }
            }
            for (int i = 0; i < sum.length; i++) {
                if (Math.abs(sum[i]) > INT8_LIMIT) {
                    return null;
                }
                codes[row * first.columns + i] = (byte) sum[i];
            }
        }
        return new Rows(codes, first.columns, last.scale, bias, activation, first.op, first.source, first.start);
    }

    private static void checkPoints(List<Rows> points, String layer) throws ExpandException {
        for (Rows point : points) {
            for (float scale : point.scale) {
                if (!(scale > 0) || Float.isInfinite(scale)) {
                    throw ExpandException.layer(layer, "its scales must be finite and positive");
                }
            }
            for (byte code : point.codes) {
                if (code < -INT8_LIMIT) {
                    throw ExpandException.layer(layer, "its codes leave -127..127");
                }
            }
        }
    }
}
