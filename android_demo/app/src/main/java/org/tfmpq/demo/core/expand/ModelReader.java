package org.tfmpq.demo.core.expand;

import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.List;

/** Reads a .tflite file and checks that its parts fit together. */
final class ModelReader {
    static final String IDENTIFIER = "TFL3";
    private static final int MAX_RANK = 32;
    /** Bits of an element by TensorType; 0: not stored as a fixed-size array. */
    private static final int[] BITS = {
        32, 16, 32, 8, 64, 0, 8, 16, 64, 8, 64, 128, 64, 0, 0, 32, 16, 4, 16, 2, 4, 8, 8,
    };

    private static final class Code {
        int code;
        int version;
        String custom;
    }

    private final CheckedTable.Source source;
    private final List<byte[]> buffers = new ArrayList<byte[]>();
    private final List<Code> codes = new ArrayList<Code>();
    private final List<List<Graph.Tensor>> tensors = new ArrayList<List<Graph.Tensor>>();

    private ModelReader(CheckedTable.Source source) {
        this.source = source;
    }

    static Graph.Model read(ByteBuffer content) throws ExpandException {
        CheckedTable.Source source = new CheckedTable.Source(content);
        for (int i = 0; i < 4; i++) {
            if (source.data.limit() < 8 || source.data.get(4 + i) != IDENTIFIER.charAt(i)) {
                throw new ExpandException("not a TensorFlow Lite file: the identifier 'TFL3' is missing at byte 4");
            }
        }
        return new ModelReader(source).model();
    }

    private Graph.Model model() throws ExpandException {
        CheckedTable root = source.root();
        for (CheckedTable table : root.tables(4)) {
            buffers.add(buffer(table));
        }
        for (CheckedTable table : root.tables(1)) {
            codes.add(code(table));
        }
        Graph.Model model = new Graph.Model();
        for (CheckedTable table : root.tables(2)) {
            model.graphs.add(graph(table));
        }
        expect(!model.graphs.isEmpty(), "the file holds no graph");
        for (CheckedTable table : root.tables(6)) {
            byte[] data = at(buffers, table.index(1), "a metadata entry's buffer");
            model.metadata.put(table.text(0), data == null ? new byte[0] : data);
        }
        for (CheckedTable table : root.tables(7)) {
            model.signatures.add(signature(table));
        }
        model.description = root.text(3);
        model.version = root.int32(0, 0);
        return model;
    }

    private static void expect(boolean condition, String problem) throws ExpandException {
        if (!condition) {
            throw new ExpandException(problem + ": it is corrupt");
        }
    }

    private static <T> T at(List<T> list, int index, String what) throws ExpandException {
        expect(index >= 0 && index < list.size(), what + " has number " + index + ", which the file does not hold");
        return list.get(index);
    }

    /** What other programs write and tfmpq does not: left alone rather than lost. */
    private static void refuse(CheckedTable table, int field, String what) throws ExpandException {
        if (table.has(field)) {
            throw new ExpandException("the file holds " + what + ", which cannot be carried over: expand it on a "
                    + "computer with `tfmpq expand`");
        }
    }

    private byte[] buffer(CheckedTable table) throws ExpandException {
        long start = table.int64(1, 0);
        if (start <= 1) {
            byte[] data = table.bytes(0);
            return data == null || data.length == 0 ? null : data;
        }
        long size = table.int64(2, 0);
        ByteBuffer part = source.part(start, size);
        byte[] data = new byte[part.remaining()];
        part.get(data);
        return size == 0 ? null : data;
    }

    private static Code code(CheckedTable table) throws ExpandException {
        Code result = new Code();
        result.code = Math.max(table.int8(0, 0), table.int32(3, 0));
        expect(result.code >= 0, "an operator has code " + result.code);
        String custom = table.text(1);
        result.custom = custom.isEmpty() ? null : custom;
        result.version = table.int32(2, 1);
        return result;
    }

    private Graph graph(CheckedTable table) throws ExpandException {
        List<Graph.Tensor> mine = new ArrayList<Graph.Tensor>();
        for (CheckedTable entry : table.tables(0)) {
            mine.add(tensor(entry));
        }
        tensors.add(mine);
        List<Graph.Op> ops = new ArrayList<Graph.Op>();
        for (CheckedTable entry : table.tables(3)) {
            ops.add(op(entry, mine));
        }
        return new Graph(table.text(4), numbered(table, 1, mine, false), numbered(table, 2, mine, false), ops);
    }

    private static List<Graph.Tensor> numbered(CheckedTable table, int field, List<Graph.Tensor> all, boolean optional)
            throws ExpandException {
        int[] numbers = table.int32s(field);
        List<Graph.Tensor> result = new ArrayList<Graph.Tensor>();
        for (int i = 0; numbers != null && i < numbers.length; i++) {
            result.add(optional && numbers[i] == -1 ? null : at(all, numbers[i], "a tensor"));
        }
        return result;
    }

    private Graph.Tensor tensor(CheckedTable table) throws ExpandException {
        String name = table.text(3);
        int[] shape = table.int32s(0);
        shape = shape == null ? new int[0] : shape;
        int type = table.int8(1, 0);
        byte[] data = at(buffers, table.index(2), "the buffer of tensor '" + name + "'");
        expect(type >= 0 && type < BITS.length, "tensor '" + name + "' has type " + type);
        expect(shape.length <= MAX_RANK, "tensor '" + name + "' has " + shape.length + " dimensions");
        for (int size : shape) {
            expect(size >= -1, "tensor '" + name + "' has a dimension of " + size);
        }
        refuse(table, 6, "sparse tensors");
        refuse(table, 9, "tensors of variant type");
        Graph.Quantization scaling = quantization(table.table(4));
        Graph.Tensor result = new Graph.Tensor(name, shape, type, data, scaling);
        long count = result.elements();
        expect(data == null || BITS[type] == 0 || count >= 0 && (count * BITS[type] + 7) / 8 == data.length,
                "tensor '" + name + "' has other bytes than its shape says");
        result.shapeSignature = table.has(7) ? table.int32s(7) : null;
        result.variable = table.int8(5, 0) != 0;
        result.hasRank = table.int8(8, 0) != 0;
        return result;
    }

    private static Graph.Quantization quantization(CheckedTable table) throws ExpandException {
        if (table == null) {
            return null;
        }
        refuse(table, 4, "a quantization of its own kind");
        refuse(table, 5, "a quantization of its own kind");
        Graph.Quantization result = new Graph.Quantization();
        result.scale = table.floats(2);
        result.zeroPoint = table.int64s(3);
        result.axis = table.int32(6, 0);
        if (!result.hasScale()) {
            result.min = table.floats(0);
            result.max = table.floats(1);
        } else if (result.zeroPoint == null || result.zeroPoint.length == 0) {
            result.zeroPoint = new long[result.scale.length];
        }
        return result;
    }

    private Graph.Op op(CheckedTable table, List<Graph.Tensor> all) throws ExpandException {
        Code code = at(codes, table.index(0), "an operator's code");
        Graph.Op op = new Graph.Op(code.code, code.custom, code.version,
                numbered(table, 1, all, true), numbered(table, 2, all, false));
        op.intermediates = numbered(table, 8, all, false);
        op.optionsType = table.int8(3, 0) & 0xFF;
        CheckedTable options = table.table(4);
        op.options = options == null ? null : Options.read(op.optionsType, options);
        op.customOptions = table.bytes(5);
        op.customOptionsFormat = table.int8(6, 0);
        for (int field : new int[] {7, 9, 10, 11, 12}) {
            refuse(table, field, "operators with options of a rare kind");
        }
        return op;
    }

    private Graph.Signature signature(CheckedTable table) throws ExpandException {
        Graph.Signature result = new Graph.Signature();
        result.key = table.text(2);
        result.graph = table.index(4);
        List<Graph.Tensor> all = at(tensors, result.graph, "the graph of signature '" + result.key + "'");
        for (CheckedTable entry : table.tables(0)) {
            result.inputNames.add(entry.text(0));
            result.inputs.add(at(all, entry.index(1), "an input of signature '" + result.key + "'"));
        }
        for (CheckedTable entry : table.tables(1)) {
            result.outputNames.add(entry.text(0));
            result.outputs.add(at(all, entry.index(1), "an output of signature '" + result.key + "'"));
        }
        return result;
    }
}
