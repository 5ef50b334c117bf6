package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/** Operators with weights: where they keep what, and how a weight tensor becomes rows, one for an output channel. */
enum WeightKind {
    CONV(0, 1, 2, 0, 3),
    DEPTHWISE(0, 1, 2, 3, 4),
    DENSE(0, 1, 2, 0, 0),
    TRANSPOSE_CONV(2, 1, 3, 0, 3);

    final int activationSlot;
    final int weightSlot;
    final int biasSlot;
    /** Dimension of the weight tensor that counts rows. */
    final int rowAxis;
    /** Field of the operator's options that holds the fused activation. */
    final int activationField;

    WeightKind(int activationSlot, int weightSlot, int biasSlot, int rowAxis, int activationField) {
        this.activationSlot = activationSlot;
        this.weightSlot = weightSlot;
        this.biasSlot = biasSlot;
        this.rowAxis = rowAxis;
        this.activationField = activationField;
    }

    /** The kind of an operator, null if it has no weights. */
    static WeightKind of(Graph.Op op) {
        switch (op.code) {
            case Graph.CONV_2D:
                return CONV;
            case Graph.DEPTHWISE_CONV_2D:
                return DEPTHWISE;
            case Graph.FULLY_CONNECTED:
                return DENSE;
            case Graph.TRANSPOSE_CONV:
                return TRANSPOSE_CONV;
            default:
                return null;
        }
    }

    /** Codes of an int8 or INT4 tensor, one row after the other. */
    byte[] rows(Graph.Tensor weight) throws ExpandException {
        byte[] codes = codes(weight);
        if (weight.shape.length <= rowAxis) {
            throw ExpandException.layer(weight.name, "its weight has too few dimensions");
        }
        return rowAxis == 0 ? codes : transposed(codes, codes.length / Math.max(1, weight.shape[rowAxis]));
    }

    /** Inverse of {@link #rows}. */
    byte[] tensor(byte[] rows, int count) {
        return rowAxis == 0 ? rows : transposed(rows, count);
    }

    /** (rows, columns) one row after the other as (columns, rows); a depthwise weight's channels come last. */
    private static byte[] transposed(byte[] codes, int rows) {
        byte[] result = new byte[codes.length];
        int columns = rows == 0 ? 0 : codes.length / rows;
        for (int row = 0, from = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                result[column * rows + row] = codes[from++];
            }
        }
        return result;
    }

    /** Shape of a weight of so many rows that is otherwise as {@code shape}. */
    int[] shape(int rows, int[] shape) {
        int[] result = shape.clone();
        result[rowAxis] = rows;
        return result;
    }

    /** Codes in the tensor's layout; INT4 unpacked: two a byte, the low half first. */
    static byte[] codes(Graph.Tensor weight) throws ExpandException {
        long count = weight.elements();
        if (weight.data == null || count < 0) {
            throw ExpandException.layer(weight.name, "its weight is no constant");
        }
        if (weight.type == Graph.INT8 && weight.data.length == count) {
            return weight.data;
        }
        if (weight.type != Graph.INT4 || weight.data.length < (count + 1) / 2) {
            throw ExpandException.layer(weight.name, "its weight has the wrong type or size");
        }
        byte[] codes = new byte[(int) count];
        for (int i = 0; i < codes.length; i++) {
            int packed = weight.data[i >> 1];
            codes[i] = (byte) ((i & 1) == 0 ? packed << 28 >> 28 : packed >> 4);
        }
        return codes;
    }

    /** Numbers of an int32 tensor. */
    static int[] int32s(Graph.Tensor tensor) throws ExpandException {
        long count = tensor.elements();
        if (tensor.type != Graph.INT32 || tensor.data == null || tensor.data.length != 4 * count) {
            throw ExpandException.layer(tensor.name, "it is no constant of int32 numbers");
        }
        int[] result = new int[(int) count];
        ByteBuffer.wrap(tensor.data).order(ByteOrder.LITTLE_ENDIAN).asIntBuffer().get(result);
        return result;
    }
}
