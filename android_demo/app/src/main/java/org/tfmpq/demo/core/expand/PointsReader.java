package org.tfmpq.demo.core.expand;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The points of a layer, read back from the operators that a lowering wrote for it.
 *
 * <p>As converters/lowering/points_reader.py, with names that converters/lowering gives to the tensors of a layer.
 */
final class PointsReader {
    private static final Pattern WEIGHT =
            Pattern.compile("(.+)/(?:points\\d+/weight\\d+|int[48]/weight)", Pattern.DOTALL);
    private static final Pattern PART = Pattern.compile(
            "(.+?)(?:#\\d+)?/(?:points\\d+/(?:point\\d+|sum\\d+|out|in)|int[48]/out|ordered)", Pattern.DOTALL);
    private static final int MAX_DEPTH = 64; // ops of one layer after each other; a layer has at most four points
    private static final int ADD_ACTIVATION = 0; // field of AddOptions

    private final Graph graph;
    private final Map<Graph.Tensor, Graph.Op> producers = new IdentityHashMap<Graph.Tensor, Graph.Op>();
    private final Map<Graph.Tensor, Integer> readers = new IdentityHashMap<Graph.Tensor, Integer>();
    private final Set<Graph.Tensor> parts = Collections.newSetFromMap(new IdentityHashMap<Graph.Tensor, Boolean>());
    /** Ops of the layer at hand. */
    private final List<Graph.Op> walked = new ArrayList<Graph.Op>();
    /** Codes that may still be read: a corrupt file must not have one weight read without end. */
    private long budget;

    PointsReader(Graph graph, long budget) {
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

    /** Whether an op of a layer writes the tensor for another op of the same layer. */
    boolean isPart(Graph.Tensor tensor) {
        return parts.contains(tensor);
    }

    /** The rows of the layer that ends with the op; null if its points do not merge. */
    Rows read(Graph.Op op) throws ExpandException {
        walked.clear();
        return layer(op, 0);
    }

    /** All ops of the layer that was read last. */
    List<Graph.Op> walked() {
        return walked;
    }

    /** Layer whose points the op's weight holds, "" if it is no op of a lowering. */
    static String layerName(Graph.Op op) {
        WeightKind kind = WeightKind.of(op);
        Graph.Tensor weight =
                kind == null || op.inputs.size() <= kind.weightSlot ? null : op.inputs.get(kind.weightSlot);
        if (weight == null || weight.data == null) {
            return "";
        }
        Matcher found = WEIGHT.matcher(weight.name);
        return found.matches() ? found.group(1) : "";
    }

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
        Graph.Tensor source = op.input(kind.activationSlot);
        Biases biases = Biases.read(bias, source);
        if (name.isEmpty() || !scaled || !weight.quantization.symmetric() || biases == null) {
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
        if (count != scale.length || count != biases.count()) {
            throw ExpandException.layer(name,
                    count + " rows have " + scale.length + " scales and " + biases.count() + " biases");
        }
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
                    && point.bias.real() == first.bias.real()
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
                    && part.bias.real() == first.bias.real()
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
}
