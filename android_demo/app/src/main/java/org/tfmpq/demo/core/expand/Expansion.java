package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.nio.IntBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Rewrites the graphs of a file: every layer that is several ops or stored as INT4 becomes one int8 op.
 *
 * <p>As converters/lowering/expand.py.
 */
final class Expansion {
    private static final int CONV_VERSION = 3; // per-channel int8 weights

    /** Ops that share a layer share its weight, in other graphs too; but layers of two graphs may be namesakes. */
    private final Map<List<Object>, Graph.Tensor> weights = new HashMap<List<Object>, Graph.Tensor>();
    private final Set<String> merged = new HashSet<String>();
    /** Codes that may be read of each graph. */
    private final long budget;

    Expansion(long budget) {
        this.budget = budget;
    }

    /** Names of the layers that are one int8 op now. */
    Set<String> merged() {
        return merged;
    }

    /** Rewrites a graph; false if it stays as it is. */
    boolean run(Graph graph) throws ExpandException {
        PointsReader reader = new PointsReader(graph, budget);
        // What each op that goes is replaced by, null for nothing.
        Map<Graph.Op, Graph.Op> places = new IdentityHashMap<Graph.Op, Graph.Op>();
        for (Graph.Op op : graph.ops) {
            if (!endsLayer(op, reader)) {
                continue;
            }
            Rows rows = reader.read(op);
            if (rows == null) {
                continue; // points that add up to no int8 row stay ops of their own
            }
            String name = PointsReader.layerName(rows.op);
            for (Graph.Op gone : reader.walked()) {
                places.put(gone, null);
            }
            places.put(op, fused(name, rows, op.outputs.get(0)));
            merged.add(name);
        }
        List<Graph.Op> ops = new ArrayList<Graph.Op>();
        for (Graph.Op op : graph.ops) {
            Graph.Op now = places.containsKey(op) ? places.get(op) : op;
            if (now != null) {
                ops.add(now);
            }
        }
        graph.ops = ops;
        boolean changed = !places.isEmpty();
        for (Graph.Op op : ops) {
            changed |= unpack(op);
        }
        return changed;
    }

    /** Whether the op writes the output of a layer that is several ops or stored as INT4. */
    private static boolean endsLayer(Graph.Op op, PointsReader reader) throws ExpandException {
        if (op.outputs.size() != 1 || reader.isPart(op.outputs.get(0))) {
            return false;
        }
        WeightKind kind = WeightKind.of(op);
        if (kind != null) {
            return !PointsReader.layerName(op).isEmpty() && op.input(kind.weightSlot).type == Graph.INT4;
        }
        for (Graph.Tensor tensor : op.inputs) {
            if (tensor != null && reader.isPart(tensor)) {
                return true;
            }
        }
        return false;
    }

    private Graph.Op fused(String name, Rows rows, Graph.Tensor target) throws ExpandException {
        WeightKind kind = WeightKind.of(rows.op);
        int[] old = rows.op.input(kind.weightSlot).shape;
        boolean pointwise = kind == WeightKind.DENSE && target.shape.length == 4;
        if (pointwise) {
            kind = WeightKind.CONV;
            old = new int[] {rows.count(), 1, 1, rows.columns};
        }
        Graph.Tensor weight = weight(name, kind, rows, old);
        WeightKind before = WeightKind.of(rows.op);
        String use = use(rows.op.input(before.biasSlot).name, name);
        Graph.Tensor bias = bias(name, name + "/bias" + use, rows);
        List<Graph.Tensor> inputs = new ArrayList<Graph.Tensor>(Arrays.asList(rows.source, weight, bias));
        if (pointwise) {
            Graph.Op op = new Graph.Op(Graph.CONV_2D, null, CONV_VERSION, inputs, Collections.singletonList(target));
            op.optionsType = Options.CONV_2D;
            op.options = Options.pointwise(rows.activation);
            return op;
        }
        if (kind == WeightKind.TRANSPOSE_CONV) {
            Graph.Tensor shape = outputShape(name, name + "/shape" + use, rows);
            inputs = new ArrayList<Graph.Tensor>(Arrays.asList(shape, weight, rows.source, bias));
        }
        Graph.Op op = new Graph.Op(
                rows.op.code, rows.op.customCode, rows.op.version, inputs, Collections.singletonList(target));
        op.optionsType = rows.op.optionsType;
        op.options = rows.op.options.with(before.activationField, rows.activation);
        op.customOptions = rows.op.customOptions;
        op.customOptionsFormat = rows.op.customOptionsFormat;
        return op;
    }

    private Graph.Tensor weight(String name, WeightKind kind, Rows rows, int[] old) {
        byte[] codes = kind.tensor(rows.codes, rows.count());
        int[] shape = kind.shape(rows.count(), old);
        List<Object> key = Arrays.<Object>asList(
                name, IntBuffer.wrap(shape), ByteBuffer.wrap(codes), FloatBuffer.wrap(rows.scale));
        Graph.Tensor weight = weights.get(key);
        if (weight == null) {
            Graph.Quantization scaling = new Graph.Quantization(rows.scale, kind.rowAxis);
            weight = new Graph.Tensor(name + "/weight", shape, Graph.INT8, codes, scaling);
            weights.put(key, weight);
        }
        return weight;
    }

    /** What a transposed convolution takes as the shape of its output. */
    private static Graph.Tensor outputShape(String layer, String name, Rows rows) throws ExpandException {
        Graph.Tensor shape = rows.op.input(0);
        if (shape.data == null) {
            return shape;
        }
        int[] whole = WeightKind.int32s(shape);
        if (whole.length == 0) {
            throw ExpandException.layer(layer, "it has no output shape");
        }
        whole[whole.length - 1] = rows.count();
        return new Graph.Tensor(name, shape.shape, shape.type, int32Bytes(whole), null);
    }

    private static Graph.Tensor bias(String layer, String name, Rows rows) throws ExpandException {
        if (rows.bias.real()) {
            return rows.bias.realTensor(name);
        }
        Graph.Quantization input = rows.source.quantization;
        if (input == null || !input.hasScale()) {
            throw ExpandException.layer(layer, "its input has no scale");
        }
        return rows.bias.unitTensor(name, layer, input.scale[0], rows.scale);
    }

    private static byte[] int32Bytes(int[] values) {
        ByteBuffer raw = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        raw.asIntBuffer().put(values);
        return raw.array();
    }

    /** What a fused op of this use adds to the name of its bias: nothing, or "_1" for the second use and so on. */
    private static String use(String bias, String layer) {
        String rest = bias.substring(Math.min(layer.length(), bias.length()));
        int slash = rest.indexOf('/');
        return (slash < 0 ? rest : rest.substring(0, slash)).replace('#', '_');
    }

    /** Gives the op int8 weights if a lowering stored them as INT4. */
    private static boolean unpack(Graph.Op op) throws ExpandException {
        WeightKind kind = WeightKind.of(op);
        if (kind == null || PointsReader.layerName(op).isEmpty() || op.input(kind.weightSlot).type != Graph.INT4) {
            return false;
        }
        Graph.Tensor old = op.input(kind.weightSlot);
        byte[] codes = WeightKind.codes(old);
        op.inputs.set(kind.weightSlot, new Graph.Tensor(old.name, old.shape, Graph.INT8, codes, old.quantization));
        return true;
    }
}
