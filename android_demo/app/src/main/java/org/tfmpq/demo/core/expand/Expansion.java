package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * Rewrites one graph: every layer that is several ops or stored as INT4 becomes one int8 op.
 *
 * <p>As converters/lowering/expand.py and points_reader.py, with names that converters/lowering gives to the tensors of a layer.
 */
final class Expansion {
    private static final Pattern WEIGHT =
            Pattern.compile("(.+)/(?:points\\d+/weight\\d+|int[48]/weight)", Pattern.DOTALL);
    private static final Pattern PART = Pattern.compile(
            "(.+?)(?:#\\d+)?/(?:points\\d+/(?:point\\d+|sum\\d+|out|in)|int[48]/out|ordered)", Pattern.DOTALL);
    private static final int MAX_DEPTH = 64; // ops of one layer after each other; a layer has at most four points
    private static final int CONV_VERSION = 3; // per-channel int8 weights
    private static final int ADD_ACTIVATION = 0; // field of AddOptions

    private final Graph graph;
    private final Map<Graph.Tensor, Graph.Op> producers = new IdentityHashMap<Graph.Tensor, Graph.Op>();
    private final Map<Graph.Tensor, Integer> readers = new IdentityHashMap<Graph.Tensor, Integer>();
    private final Set<Graph.Tensor> parts = Collections.newSetFromMap(new IdentityHashMap<Graph.Tensor, Boolean>());
    /** By layer: ops that share a layer share its weight. */
    private final Map<String, Graph.Tensor> weights = new HashMap<String, Graph.Tensor>();
    private final Set<String> merged = new HashSet<String>();
    /** What each op that goes is replaced by, null for nothing. */
    private final Map<Graph.Op, Graph.Op> places = new IdentityHashMap<Graph.Op, Graph.Op>();
    /** Ops of the layer at hand. */
    private final List<Graph.Op> walked = new ArrayList<Graph.Op>();
    /** Codes that may still be read: a corrupt file must not have one weight read without end. */
    private long budget;

    Expansion(Graph graph, long budget) {
        this.graph = graph;
        this.budget = budget;
        Set<String> layers = new HashSet<String>();
        for (Graph.Op op : graph.ops) {
            layers.add(layerName(op));
            for (Graph.Tensor tensor : op.outputs) {
                producers.put(tensor, op);
            }
            for (Graph.Tensor tensor : op.inputs) { // twice by one op counts too: a part is added once
                if (tensor != null) {
                    Integer known = readers.get(tensor);
                    readers.put(tensor, known == null ? 1 : known + 1);
                }
            }
        }
        layers.remove("");
        for (Graph.Tensor tensor : producers.keySet()) {
            findPart(tensor, layers);
        }
        for (Graph.Tensor tensor : readers.keySet()) {
            findPart(tensor, layers);
        }
    }

    private void findPart(Graph.Tensor tensor, Set<String> layers) {
        Matcher found = PART.matcher(tensor.name);
        if (found.matches() && layers.contains(found.group(1))) {
            parts.add(tensor);
        }
    }

    /** Names of the layers that are one int8 op now. */
    Set<String> merged() {
        return merged;
    }

    /** Rewrites the graph; false if it stays as it is. */
    boolean run() throws ExpandException {
        for (Graph.Op op : graph.ops) {
            if (!endsLayer(op)) {
                continue;
            }
            walked.clear();
            Rows rows = layer(op, 0);
            if (rows == null) {
                continue; // points that add up to no int8 row stay ops of their own
            }
            String name = layerName(rows.op);
            for (Graph.Op gone : walked) {
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
    private boolean endsLayer(Graph.Op op) throws ExpandException {
        if (op.outputs.size() != 1 || parts.contains(op.outputs.get(0))) {
            return false;
        }
        WeightKind kind = WeightKind.of(op);
        if (kind != null) {
            return !layerName(op).isEmpty() && op.input(kind.weightSlot).type == Graph.INT4;
        }
        for (Graph.Tensor tensor : op.inputs) {
            if (tensor != null && parts.contains(tensor)) {
                return true;
            }
        }
        return false;
    }

    /** Layer whose points the op's weight holds, "" if it is no op of a lowering. */
    private static String layerName(Graph.Op op) {
        WeightKind kind = WeightKind.of(op);
        Graph.Tensor weight =
                kind == null || op.inputs.size() <= kind.weightSlot ? null : op.inputs.get(kind.weightSlot);
        if (weight == null || weight.data == null) {
            return "";
        }
        Matcher found = WEIGHT.matcher(weight.name);
        return found.matches() ? found.group(1) : "";
    }

    // ------------------------------------------------------------ reading

    /** The rows that the op and those before it in its layer compute; null if points do not merge. */
    private Rows layer(Graph.Op op, int depth) throws ExpandException {
        String output = op.outputs.get(0).name;
        if (depth > MAX_DEPTH) {
            throw ExpandException.layer(output, "its ops go in a circle");
        }
        Rows result;
        if (WeightKind.of(op) != null) {
            result = point(op);
        } else if (op.code == Graph.ADD) {
            result = sum(op, depth);
        } else if (op.code == Graph.CONCATENATION) {
            List<Rows> found = new ArrayList<Rows>();
            boolean complete = true;
            for (Graph.Tensor tensor : op.inputs) {
                Rows rows = layer(part(tensor), depth + 1);
                complete &= rows != null;
                found.add(rows);
            }
            result = complete ? joined(found, output) : null;
        } else if (op.code == Graph.GATHER) {
            Rows whole = layer(part(op.input(0)), depth + 1);
            result = whole == null ? null : ordered(whole, op.input(1));
        } else {
            throw ExpandException.layer(output, "operator " + op.code + " stands among its ops");
        }
        walked.add(op);
        return result;
    }

    /** The op that writes a part of a layer, which nothing else may read. */
    private Graph.Op part(Graph.Tensor tensor) throws ExpandException {
        Graph.Op op = tensor == null ? null : producers.get(tensor);
        if (op == null || !parts.contains(tensor)) {
            throw ExpandException.layer(tensor == null ? "" : tensor.name, "one of its parts is missing");
        }
        if (readers.get(tensor) != 1 || graph.outputs.contains(tensor)) {
            throw ExpandException.layer(tensor.name, "its parts are read elsewhere");
        }
        return op;
    }

    private Rows point(Graph.Op op) throws ExpandException {
        WeightKind kind = WeightKind.of(op);
        String name = layerName(op);
        Graph.Tensor weight = op.input(kind.weightSlot);
        Graph.Tensor bias = op.inputs.size() > kind.biasSlot ? op.inputs.get(kind.biasSlot) : null;
        boolean scaled = weight.quantization != null && weight.quantization.hasScale();
        if (name.isEmpty() || !scaled || !weight.quantization.symmetric() || bias == null || bias.data == null) {
            throw ExpandException.layer(name.isEmpty() ? op.outputs.get(0).name : name,
                    "operator " + op.code + " lacks its weight, scales or bias");
        }
        budget -= Math.max(0, weight.elements());
        if (budget < 0) {
            throw ExpandException.layer(name, "its weights are read without end");
        }
        byte[] codes = kind.rows(weight);
        int count = weight.shape[kind.rowAxis];
        if (codes.length == 0) {
            throw ExpandException.layer(name, "its weight is empty");
        }
        float[] scale = weight.quantization.scale;
        int[] units = WeightKind.int32s(bias);
        if (count != scale.length || count != units.length) {
            throw ExpandException.layer(name,
                    count + " rows have " + scale.length + " scales and " + units.length + " biases");
        }
        long[] biases = new long[count];
        for (int i = 0; i < count; i++) {
            biases[i] = units[i];
        }
        Graph.Tensor source = op.input(kind.activationSlot);
        int start = 0;
        Graph.Op cut = producers.get(source);
        if (kind == WeightKind.DEPTHWISE && cut != null && cut.code == Graph.SLICE && parts.contains(source)) {
            int[] begin = WeightKind.int32s(cut.input(1));
            if (begin.length == 0) {
                throw ExpandException.layer(name, "its SLICE has no start");
            }
            source = cut.input(0);
            start = begin[begin.length - 1];
            walked.add(cut);
        }
        int activation = activation(op, kind.activationField);
        return new Rows(codes, codes.length / count, scale, biases, activation, op, source, start);
    }

    private static int activation(Graph.Op op, int field) throws ExpandException {
        Integer activation = op.options == null ? null : op.options.number(field);
        if (activation == null) {
            throw ExpandException.layer(op.outputs.get(0).name, "operator " + op.code + " has no options of its kind");
        }
        return activation;
    }

    /** Merged rows of an ADD, whose inputs come with the larger points first. */
    private Rows sum(Graph.Op op, int depth) throws ExpandException {
        List<Rows> found = new ArrayList<Rows>();
        collectSummands(op, found, depth);
        Rows first = found.get(0);
        for (Rows point : found) {
            boolean fits = point.source == first.source && point.start == first.start
                    && point.count() == first.count() && point.columns == first.columns;
            if (!fits) {
                throw ExpandException.layer(layerName(first.op), "its points do not fit together");
            }
        }
        return Rows.merged(found, activation(op, ADD_ACTIVATION), layerName(first.op));
    }

    private void collectSummands(Graph.Op op, List<Rows> found, int depth) throws ExpandException {
        String output = op.outputs.get(0).name;
        if (depth > MAX_DEPTH) {
            throw ExpandException.layer(output, "its ops go in a circle");
        }
        if (WeightKind.of(op) != null) {
            found.add(point(op));
        } else if (op.code == Graph.ADD && !op.inputs.isEmpty()) {
            for (Graph.Tensor tensor : op.inputs) {
                collectSummands(part(tensor), found, depth + 1);
            }
        } else {
            throw ExpandException.layer(output, "operator " + op.code + " stands among its points");
        }
        walked.add(op);
    }

    private static Rows ordered(Rows whole, Graph.Tensor indices) throws ExpandException {
        int[] order = WeightKind.int32s(indices);
        int[] sorted = order.clone();
        Arrays.sort(sorted);
        boolean each = sorted.length == whole.count() && indices.shape.length == 1;
        for (int i = 0; each && i < sorted.length; i++) {
            each = sorted[i] == i;
        }
        if (!each) {
            throw ExpandException.layer(layerName(whole.op), "its GATHER does not take every row once");
        }
        return whole.taken(order);
    }

    private static Rows joined(List<Rows> found, String output) throws ExpandException {
        if (found.isEmpty()) {
            throw ExpandException.layer(output, "its CONCATENATION joins nothing");
        }
        Rows first = found.get(0);
        String name = layerName(first.op);
        Graph.Op op = null;
        int start = 0;
        for (Rows part : found) {
            WeightKind kind = WeightKind.of(part.op);
            boolean fits = part.source == first.source && part.activation == first.activation
                    && layerName(part.op).equals(name) && part.columns == first.columns
                    && part.start == (kind == WeightKind.DEPTHWISE ? start : 0);
            if (!fits) {
                throw ExpandException.layer(name, "its parts do not fit together");
            }
            start += part.count();
            // A dense op stands for a 1x1 convolution: a convolution says how the input is read.
            if (op == null && kind != WeightKind.DENSE) {
                op = part.op;
            }
        }
        return Rows.joined(found, op == null ? first.op : op);
    }

    // ------------------------------------------------------------ writing

    private Graph.Op fused(String name, Rows rows, Graph.Tensor target) throws ExpandException {
        WeightKind kind = WeightKind.of(rows.op);
        int[] old = rows.op.input(kind.weightSlot).shape;
        boolean pointwise = kind == WeightKind.DENSE && target.shape.length == 4;
        if (pointwise) {
            kind = WeightKind.CONV;
            old = new int[] {rows.count(), 1, 1, rows.columns};
        }
        if (!weights.containsKey(name)) {
            byte[] codes = kind.tensor(rows.codes, rows.count());
            Graph.Quantization scaling = new Graph.Quantization(rows.scale, kind.rowAxis);
            int[] shape = kind.shape(rows.count(), old);
            weights.put(name, new Graph.Tensor(name + "/weight", shape, Graph.INT8, codes, scaling));
        }
        WeightKind before = WeightKind.of(rows.op);
        String use = use(rows.op.input(before.biasSlot).name, name);
        Graph.Tensor weight = weights.get(name);
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
        Graph.Quantization input = rows.source.quantization;
        if (input == null || !input.hasScale()) {
            throw ExpandException.layer(layer, "its input has no scale");
        }
        float[] scale = new float[rows.count()];
        int[] values = new int[rows.count()];
        for (int i = 0; i < values.length; i++) {
            scale[i] = input.scale[0] * rows.scale[i]; // formed in float32, as the runtime checks it
            values[i] = (int) rows.bias[i];
            if (values[i] != rows.bias[i]) {
                throw ExpandException.layer(layer, "its biases leave int32");
            }
        }
        Graph.Quantization scaling = new Graph.Quantization(scale, 0);
        return new Graph.Tensor(name, new int[] {values.length}, Graph.INT32, int32Bytes(values), scaling);
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
        if (kind == null || layerName(op).isEmpty() || op.input(kind.weightSlot).type != Graph.INT4) {
            return false;
        }
        Graph.Tensor old = op.input(kind.weightSlot);
        byte[] codes = WeightKind.codes(old);
        op.inputs.set(kind.weightSlot, new Graph.Tensor(old.name, old.shape, Graph.INT8, codes, old.quantization));
        return true;
    }
}
