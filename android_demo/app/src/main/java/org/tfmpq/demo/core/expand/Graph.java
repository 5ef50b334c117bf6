package org.tfmpq.demo.core.expand;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** A .tflite file as objects that refer to each other; numbers are those of the schema. */
final class Graph {
    static final int FLOAT32 = 0;
    static final int INT32 = 2;
    static final int INT64 = 4;
    static final int INT8 = 9;
    static final int INT4 = 17;

    static final int ADD = 0;
    static final int CONCATENATION = 2;
    static final int CONV_2D = 3;
    static final int DEPTHWISE_CONV_2D = 4;
    static final int FULLY_CONNECTED = 9;
    static final int GATHER = 36;
    static final int SLICE = 65;
    static final int TRANSPOSE_CONV = 67;

    /** A whole file. */
    static final class Model {
        final List<Graph> graphs = new ArrayList<Graph>();
        final List<Signature> signatures = new ArrayList<Signature>();
        final Map<String, byte[]> metadata = new LinkedHashMap<String, byte[]>();
        String description = "";
        int version;
    }

    /** Quantization of a tensor; null stands for what the file leaves out. */
    static final class Quantization {
        float[] min;
        float[] max;
        float[] scale;
        long[] zeroPoint;
        int axis;

        Quantization() {}

        /** Scales along an axis, without zero points. */
        Quantization(float[] scale, int axis) {
            this.scale = scale;
            this.zeroPoint = new long[scale.length];
            this.axis = axis;
        }

        boolean hasScale() {
            return scale != null && scale.length > 0;
        }

        boolean symmetric() {
            for (long zero : zeroPoint) {
                if (zero != 0) {
                    return false;
                }
            }
            return true;
        }
    }

    /** One tensor; {@code data} is null unless it is a constant. */
    static final class Tensor {
        final String name;
        final int[] shape;
        final int type;
        final byte[] data;
        final Quantization quantization;
        int[] shapeSignature;
        boolean variable;
        boolean hasRank;

        Tensor(String name, int[] shape, int type, byte[] data, Quantization quantization) {
            this.name = name;
            this.shape = shape;
            this.type = type;
            this.data = data;
            this.quantization = quantization;
        }

        /** Numbers of the tensor; -1 if its shape is none. */
        long elements() {
            long product = 1;
            for (int size : shape) {
                if (size < 0 || product > Integer.MAX_VALUE) {
                    return -1;
                }
                product *= size;
            }
            return product;
        }
    }

    /** One operator; {@code inputs} may hold null for an omitted input. */
    static final class Op {
        final int code;
        final String customCode;
        final int version;
        final List<Tensor> inputs;
        final List<Tensor> outputs;
        List<Tensor> intermediates = new ArrayList<Tensor>();
        int optionsType;
        Options options;
        byte[] customOptions;
        int customOptionsFormat;

        Op(int code, String customCode, int version, List<Tensor> inputs, List<Tensor> outputs) {
            this.code = code;
            this.customCode = customCode;
            this.version = version;
            this.inputs = inputs;
            this.outputs = outputs;
        }

        Tensor input(int index) throws ExpandException {
            Tensor tensor = index < inputs.size() ? inputs.get(index) : null;
            if (tensor == null) {
                String where = outputs.isEmpty() ? "" : outputs.get(0).name;
                throw ExpandException.layer(where, "operator " + code + " lacks its input " + index);
            }
            return tensor;
        }
    }

    /** A named entry point: names of arguments and their tensors. */
    static final class Signature {
        String key;
        int graph;
        final List<String> inputNames = new ArrayList<String>();
        final List<Tensor> inputs = new ArrayList<Tensor>();
        final List<String> outputNames = new ArrayList<String>();
        final List<Tensor> outputs = new ArrayList<Tensor>();
    }

    final String name;
    final List<Tensor> inputs;
    final List<Tensor> outputs;
    List<Op> ops;

    Graph(String name, List<Tensor> inputs, List<Tensor> outputs, List<Op> ops) {
        this.name = name;
        this.inputs = inputs;
        this.outputs = outputs;
        this.ops = ops;
    }
}
