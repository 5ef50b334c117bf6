package org.tfmpq.demo.engine;

/** An input or output of a model: real value = scale * (integer - zeroPoint). */
public final class TensorInfo {
    public final String name;
    public final DataType type;
    /** Scale of a quantized tensor, 0 if it has none. */
    public final float scale;
    public final int zeroPoint;
    private final int[] shape;

    public TensorInfo(String name, DataType type, int[] shape, float scale, int zeroPoint) {
        this.name = name;
        this.type = type;
        this.shape = shape.clone();
        this.scale = scale;
        this.zeroPoint = zeroPoint;
    }

    /** Sizes of the dimensions. */
    public int[] shape() {
        return shape.clone();
    }

    public int elements() {
        int product = 1;
        for (int size : shape) {
            product = Math.multiplyExact(product, size);
        }
        return product;
    }

    public int byteSize() {
        return Math.multiplyExact(elements(), type.size);
    }
}
