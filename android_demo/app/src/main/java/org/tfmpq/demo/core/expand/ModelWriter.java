package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Writes a .tflite file exactly as converters/graph.py does: no unreferenced tensors or buffers, equal constants once,
 * constants on 16-byte boundaries.
 */
final class ModelWriter {
    private static final int BUFFER_ALIGNMENT = 16;

    private final Graph.Model model;
    private final SharingBuilder out;
    private final Map<ByteBuffer, Integer> buffers = new LinkedHashMap<ByteBuffer, Integer>();
    private final Map<List<Object>, Integer> codes = new LinkedHashMap<List<Object>, Integer>();
    /** Number of each tensor within its graph, by graph. */
    private final List<Map<Graph.Tensor, Integer>> places = new ArrayList<Map<Graph.Tensor, Integer>>();

    private ModelWriter(Graph.Model model, int sizeHint) {
        this.model = model;
        this.out = new SharingBuilder(sizeHint);
    }

    /** The file in a direct buffer; {@code sizeHint} is a guess of its size. */
    static ByteBuffer write(Graph.Model model, int sizeHint) throws ExpandException {
        try {
            return new ModelWriter(model, sizeHint).model();
        } catch (AssertionError error) { // how the builder says that 2 GB would be passed
            throw new ExpandException("the expanded file cannot be written: " + error.getMessage());
        }
    }

    private ByteBuffer model() throws ExpandException {
        buffer(null);
        for (Graph graph : model.graphs) {
            Map<Graph.Tensor, Integer> numbers = number(graph);
            places.add(numbers);
            for (Graph.Tensor tensor : numbers.keySet()) {
                buffer(tensor.data);
            }
            for (Graph.Op op : graph.ops) {
                code(op);
            }
        }
        for (byte[] data : model.metadata.values()) {
            buffer(data);
        }
        int codeList = operatorCodes();
        int[] graphs = new int[model.graphs.size()];
        for (int i = 0; i < graphs.length; i++) {
            graphs[i] = graph(model.graphs.get(i), places.get(i));
        }
        int graphList = out.createVectorOfTables(graphs);
        int description = out.createString(model.description);
        int bufferList = bufferList();
        int metadata = metadata();
        int signatures = signatures();
        out.startTable(10);
        out.addInt(0, model.version, 0);
        out.addOffset(1, codeList, 0);
        out.addOffset(2, graphList, 0);
        out.addOffset(3, description, 0);
        out.addOffset(4, bufferList, 0);
        out.addOffset(6, metadata, 0);
        out.addOffset(7, signatures, 0);
        out.finish(out.endTable(), ModelReader.IDENTIFIER);
        // Engines take direct buffers; the builder's is on the heap, and twice as large at worst.
        ByteBuffer file = ByteBuffer.allocateDirect(out.offset()).order(ByteOrder.LITTLE_ENDIAN);
        file.put(out.dataBuffer());
        file.flip();
        return file;
    }

    /** Number of the buffer of these bytes. */
    private int buffer(byte[] data) {
        return number(buffers, ByteBuffer.wrap(data == null ? new byte[0] : data));
    }

    private int code(Graph.Op op) {
        List<Object> key = new ArrayList<Object>();
        key.add(op.code);
        key.add(op.customCode);
        key.add(op.version);
        return number(codes, key);
    }

    private static <T> int number(Map<T, Integer> numbers, T key) {
        Integer known = numbers.get(key);
        if (known == null) {
            known = numbers.size();
            numbers.put(key, known);
        }
        return known;
    }

    /** Every tensor that is referred to, in order of first use. */
    private static Map<Graph.Tensor, Integer> number(Graph graph) {
        Map<Graph.Tensor, Integer> numbers = new LinkedHashMap<Graph.Tensor, Integer>();
        for (Graph.Tensor tensor : graph.inputs) {
            number(numbers, tensor);
        }
        for (Graph.Op op : graph.ops) {
            for (Graph.Tensor tensor : op.inputs) {
                if (tensor != null) {
                    number(numbers, tensor);
                }
            }
            for (Graph.Tensor tensor : op.intermediates) {
                number(numbers, tensor);
            }
            for (Graph.Tensor tensor : op.outputs) {
                number(numbers, tensor);
            }
        }
        for (Graph.Tensor tensor : graph.outputs) {
            number(numbers, tensor);
        }
        return numbers;
    }

    private static int[] numbers(Collection<Graph.Tensor> tensors, Map<Graph.Tensor, Integer> places)
            throws ExpandException {
        int[] result = new int[tensors.size()];
        int i = 0;
        for (Graph.Tensor tensor : tensors) {
            Integer place = tensor == null ? Integer.valueOf(-1) : places.get(tensor);
            if (place == null) {
                throw new ExpandException(
                        "a signature names tensor '" + tensor.name + "', which no operator uses: the file is corrupt");
            }
            result[i++] = place;
        }
        return result;
    }

    // ------------------------------------------------------------ tables, their parts in the schema's order

    private int operatorCodes() {
        int[] result = new int[codes.size()];
        for (Map.Entry<List<Object>, Integer> entry : codes.entrySet()) {
            int code = (Integer) entry.getKey().get(0);
            String custom = (String) entry.getKey().get(1);
            int name = custom == null ? 0 : out.createString(custom);
            out.startTable(4);
            out.addByte(0, (byte) Math.min(code, 127), 0);
            out.addOffset(1, name, 0);
            out.addInt(2, (Integer) entry.getKey().get(2), 1);
            out.addInt(3, code, 0);
            result[entry.getValue()] = out.endTable();
        }
        return out.createVectorOfTables(result);
    }

    private int graph(Graph graph, Map<Graph.Tensor, Integer> numbers) throws ExpandException {
        int[] tensors = new int[numbers.size()];
        for (Map.Entry<Graph.Tensor, Integer> entry : numbers.entrySet()) {
            tensors[entry.getValue()] = tensor(entry.getKey());
        }
        int tensorList = out.createVectorOfTables(tensors);
        int inputs = out.int32s(numbers(graph.inputs, numbers));
        int outputs = out.int32s(numbers(graph.outputs, numbers));
        int[] ops = new int[graph.ops.size()];
        for (int i = 0; i < ops.length; i++) {
            ops[i] = op(graph.ops.get(i), numbers);
        }
        int opList = out.createVectorOfTables(ops);
        int name = graph.name.isEmpty() ? 0 : out.createString(graph.name);
        out.startTable(6);
        out.addOffset(0, tensorList, 0);
        out.addOffset(1, inputs, 0);
        out.addOffset(2, outputs, 0);
        out.addOffset(3, opList, 0);
        out.addOffset(4, name, 0);
        return out.endTable();
    }

    private int tensor(Graph.Tensor tensor) {
        int shape = out.sharedInt32s(tensor.shape);
        int name = out.createString(tensor.name);
        int quantization = tensor.quantization == null ? 0 : quantization(tensor.quantization);
        int signature = tensor.shapeSignature == null ? 0 : out.sharedInt32s(tensor.shapeSignature);
        out.startTable(11);
        out.addOffset(0, shape, 0);
        out.addByte(1, (byte) tensor.type, 0);
        out.addInt(2, buffer(tensor.data), 0);
        out.addOffset(3, name, 0);
        out.addOffset(4, quantization, 0);
        out.addBoolean(5, tensor.variable, false);
        out.addOffset(7, signature, 0);
        out.addBoolean(8, tensor.hasRank, false);
        return out.endTable();
    }

    private int quantization(Graph.Quantization scaling) {
        int min = scaling.min == null ? 0 : out.sharedFloats(scaling.min);
        int max = scaling.max == null ? 0 : out.sharedFloats(scaling.max);
        int scale = scaling.scale == null ? 0 : out.sharedFloats(scaling.scale);
        int zeroPoint = scaling.zeroPoint == null ? 0 : out.sharedInt64s(scaling.zeroPoint);
        out.startTable(7);
        out.addOffset(0, min, 0);
        out.addOffset(1, max, 0);
        out.addOffset(2, scale, 0);
        out.addOffset(3, zeroPoint, 0);
        out.addInt(6, scaling.axis, 0);
        return out.endTable();
    }

    private int op(Graph.Op op, Map<Graph.Tensor, Integer> numbers) throws ExpandException {
        int inputs = out.int32s(numbers(op.inputs, numbers));
        int outputs = out.int32s(numbers(op.outputs, numbers));
        int options = op.options == null ? 0 : op.options.write(out);
        int custom = op.customOptions == null ? 0 : out.sharedBytes(op.customOptions);
        int intermediates = op.intermediates.isEmpty() ? 0 : out.int32s(numbers(op.intermediates, numbers));
        out.startTable(14);
        out.addInt(0, code(op), 0);
        out.addOffset(1, inputs, 0);
        out.addOffset(2, outputs, 0);
        out.addByte(3, (byte) op.optionsType, 0);
        out.addOffset(4, options, 0);
        out.addOffset(5, custom, 0);
        out.addByte(6, (byte) op.customOptionsFormat, 0);
        out.addOffset(8, intermediates, 0);
        return out.endTable();
    }

    private int bufferList() {
        int[] result = new int[buffers.size()];
        for (Map.Entry<ByteBuffer, Integer> entry : buffers.entrySet()) {
            byte[] bytes = entry.getKey().array();
            int data = bytes.length == 0 ? 0 : out.bytes(bytes, BUFFER_ALIGNMENT);
            out.startTable(3);
            out.addOffset(0, data, 0);
            result[entry.getValue()] = out.endTable();
        }
        return out.createVectorOfTables(result);
    }

    private int metadata() {
        int[] result = new int[model.metadata.size()];
        int i = 0;
        for (Map.Entry<String, byte[]> entry : model.metadata.entrySet()) {
            int name = out.createString(entry.getKey());
            out.startTable(2);
            out.addOffset(0, name, 0);
            out.addInt(1, buffer(entry.getValue()), 0);
            result[i++] = out.endTable();
        }
        return out.createVectorOfTables(result);
    }

    private int signatures() throws ExpandException {
        int[] result = new int[model.signatures.size()];
        for (int i = 0; i < result.length; i++) {
            Graph.Signature signature = model.signatures.get(i);
            Map<Graph.Tensor, Integer> numbers = places.get(signature.graph);
            int inputs = tensorMaps(signature.inputNames, numbers(signature.inputs, numbers));
            int outputs = tensorMaps(signature.outputNames, numbers(signature.outputs, numbers));
            int key = out.createString(signature.key);
            out.startTable(5);
            out.addOffset(0, inputs, 0);
            out.addOffset(1, outputs, 0);
            out.addOffset(2, key, 0);
            out.addInt(4, signature.graph, 0);
            result[i] = out.endTable();
        }
        return out.createVectorOfTables(result);
    }

    private int tensorMaps(List<String> names, int[] numbers) {
        int[] result = new int[numbers.length];
        for (int i = 0; i < result.length; i++) {
            int name = out.createString(names.get(i));
            out.startTable(2);
            out.addOffset(0, name, 0);
            out.addInt(1, numbers[i], 0);
            result[i] = out.endTable();
        }
        return out.createVectorOfTables(result);
    }
}
