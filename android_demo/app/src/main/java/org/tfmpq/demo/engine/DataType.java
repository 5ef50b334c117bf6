package org.tfmpq.demo.engine;

/** Element types of inputs and outputs. */
public enum DataType {
    FLOAT32(4),
    INT8(1),
    UINT8(1),
    INT16(2),
    INT32(4),
    INT64(8),
    BOOL(1);

    /** Bytes of an element. */
    public final int size;

    DataType(int size) {
        this.size = size;
    }
}
