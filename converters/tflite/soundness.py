"""Whether a file that could be read may be handed to native code.

Runtimes and TensorFlow's own passes check much, and end the process where they do not: operators without the options
that their kernels read, tensors that nothing computes, graphs that call each other in a circle. Only what is known to
do so is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from converters.errors import FileFormatError
from converters.tflite.model_file import FileGraph, FileOp, FileTensor, ModelFile
from converters.tflite.tables import Table

_OPTIONS, _OPTIONS_2 = (3, 4), (11, 12)  # fields of an operator: type, table
_IS_VARIABLE = 5  # field of a tensor
_MOST_ELEMENTS = 2**31 - 1  # kernels count in int
_DEEPEST_CALL = 64

# Operator -> type of its options in the schema's union, where kernels or TensorFlow's passes read them unasked.
_RUNTIME_READS = {"IF": 92, "WHILE": 93, "SPLIT": 35, "CALL_ONCE": 103}
_QUANTIZER_READS = {
    "CONV_2D": 1, "DEPTHWISE_CONV_2D": 2, "AVERAGE_POOL_2D": 5, "MAX_POOL_2D": 5, "L2_POOL_2D": 5, "SVDF": 6,
    "FULLY_CONNECTED": 8, "SOFTMAX": 9, "CONCATENATION": 10, "ADD": 11, "L2_NORMALIZATION": 12,
    "LOCAL_RESPONSE_NORMALIZATION": 13, "LSTM": 14, "RESIZE_BILINEAR": 15, "SPACE_TO_DEPTH": 19, "MUL": 21,
    "GATHER": 23, "MEAN": 27, "SUM": 27, "REDUCE_MAX": 27, "REDUCE_MIN": 27, "REDUCE_PROD": 27, "REDUCE_ANY": 27,
    "REDUCE_ALL": 27, "SUB": 28, "DIV": 29, "STRIDED_SLICE": 32, "ARG_MAX": 40, "TRANSPOSE_CONV": 49, "ARG_MIN": 57,
    "FAKE_QUANT": 58, "PACK": 59, "ONE_HOT": 61, "UNPACK": 64, "BIDIRECTIONAL_SEQUENCE_LSTM": 69,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": 71, "RESIZE_NEAREST_NEIGHBOR": 74, "LEAKY_RELU": 75, "MIRROR_PAD": 77,
    "SPLIT_V": 79, "UNIQUE": 80, "REVERSE_SEQUENCE": 87, "DEPTH_TO_SPACE": 94, "BATCH_MATMUL": 101, "CONV_3D": 106,
    "CONV_3D_TRANSPOSE": 106, "VAR_HANDLE": 111, "BUCKETIZE": 115,
}  # fmt: skip
# Who may leave an input out; elsewhere the delegate follows a null pointer.
_SEQUENCES = {
    "LSTM", "UNIDIRECTIONAL_SEQUENCE_LSTM", "BIDIRECTIONAL_SEQUENCE_LSTM", "RNN", "UNIDIRECTIONAL_SEQUENCE_RNN",
    "BIDIRECTIONAL_SEQUENCE_RNN", "SVDF",
}  # fmt: skip
_LAYERS = {"CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED", "CONV_3D", "CONV_3D_TRANSPOSE"}
# Who divides by a size, unasked.
_DIVIDERS = {
    *_LAYERS, "BATCH_MATMUL", "AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D", "RESIZE_BILINEAR",
    "RESIZE_NEAREST_NEIGHBOR",
}  # fmt: skip
# Who makes text of something else, or something else of text; other kernels take the bytes for what they are not.
_STRING = 5
_READERS_OF_TEXT = {
    "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_LOOKUP", "EQUAL", "NOT_EQUAL", "SHAPE", "RANK", "UNIQUE",
    "LSH_PROJECTION", "VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE", "CALL", "CALL_ONCE", "IF", "WHILE",
}  # fmt: skip
_INPUTS_OF_SLICE = 3
_BROADCASTING, _MOST_AXES = {"MAXIMUM", "MINIMUM", "POW"}, 8  # others refuse more by themselves
# Type of options -> its fields that number graphs; first the union of options, then that of second options.
_CALLS = {92: (0, 1), 93: (0, 1), 16: (0,), 103: (0,)}
_CALLS_2 = {6: (1,), 7: (6,), 13: (5,), 14: (2,), 15: (0, 1), 21: (1,)}


def check_sound(file: ModelFile, *, quantizer: bool = False) -> None:
    """Refuses a file that may end the process of who runs it.

    Args:
        file: what was read.
        quantizer: whether TensorFlow's converter will see it too, which trusts more.

    Raises:
        FileFormatError: Says which operator or tensor is to blame.
    """
    if quantizer and "" in file.metadata:
        raise _refuse("a metadata entry has no name")
    for number, graph in enumerate(file.graphs):
        where = f"graph {number}, " if number else ""
        _check_order(file, graph, where)
        for tensor in graph.tensors:
            _check_tensor(file, tensor, where)
        for place, op in enumerate(graph.ops):
            here = f"{where}operator {place} ({op.name})"
            _check_options(op, here, quantizer)
            _check_operands(graph, op, here, quantizer)
    _check_calls(file)


def _refuse(problem: str) -> FileFormatError:
    return FileFormatError(f"{problem}: the file is corrupt")


def _check_order(file: ModelFile, graph: FileGraph, where: str) -> None:
    """Every tensor is written once, and before it is read."""
    tensors = graph.tensors
    inputs = set(graph.inputs)
    fixed = {i for i, t in enumerate(tensors) if file.constant(t)}
    for index in sorted(inputs & fixed):
        raise _refuse(f"{where}input '{tensors[index].name}' is a constant")
    known = inputs | fixed | {i for i, t in enumerate(tensors) if 0 in t.shape or _is_variable(t)}
    written: set[int] = set()
    for number, op in enumerate(graph.ops):
        here = f"{where}operator {number} ({op.name})"
        for index in op.inputs:
            if index >= 0 and index not in known:
                later = any(index in other.outputs for other in graph.ops[number:])
                when = "only computed afterwards" if later else "never computed"
                raise _refuse(f"{here} reads '{tensors[index].name}', which is {when}")
        for index in op.outputs:
            if index in fixed or index in inputs or index in written:
                what = "a constant" if index in fixed else "an input" if index in inputs else "written already"
                raise _refuse(f"{here} writes '{tensors[index].name}', which is {what}")
            written.add(index)
            known.add(index)
    for index in graph.outputs:
        if index not in known:
            raise _refuse(f"{where}output '{tensors[index].name}' is never computed")


def _is_variable(tensor: FileTensor) -> bool:
    return tensor.table is not None and tensor.table.integer(_IS_VARIABLE, "b") != 0


def _check_tensor(file: ModelFile, tensor: FileTensor, where: str) -> None:
    count = math.prod([abs(n) for n in tensor.shape])
    if count > _MOST_ELEMENTS and not file.constant(tensor):
        raise _refuse(f"{where}tensor '{tensor.name}', shape {tensor.shape}, has {count} elements")
    if tensor.scale.size and not (np.isfinite(tensor.scale).all() and tensor.scale.min() >= 0):
        raise _refuse(f"{where}tensor '{tensor.name}' has a scale that is no positive number")


def _check_operands(graph: FileGraph, op: FileOp, here: str, quantizer: bool) -> None:
    builtin = op.custom_code is None and not op.name.startswith("STABLEHLO_")
    if -1 in op.inputs and builtin and op.name not in _LAYERS and op.name not in _SEQUENCES:
        raise _refuse(f"{here} lacks an input")
    if op.name == "SLICE" and len(op.inputs) < _INPUTS_OF_SLICE:
        raise _refuse(f"{here} lacks an input")  # elsewhere it is counted
    if quantizer and op.intermediates and op.name not in _SEQUENCES:
        raise _refuse(f"{here} has intermediate tensors, which only recurrent layers have")
    read, written = ([graph.tensors[i] for i in side if i >= 0] for side in (op.inputs, op.outputs))
    text = [any(t.type == _STRING for t in side) for side in (read, written)]
    # Conversion says of text that it converts none, and runs the file before it is quantized.
    if not quantizer and builtin and text[0] != text[1] and op.name not in _READERS_OF_TEXT:
        raise _refuse(f"{here} takes text for numbers, or numbers for text")
    if (
        op.name in _BROADCASTING
        and max([len(graph.tensors[i].shape) for i in (*op.inputs, *op.outputs)], default=0) > _MOST_AXES
    ):
        raise _refuse(f"{here} has a tensor of more than {_MOST_AXES} dimensions")
    if op.name in _DIVIDERS:
        for tensor in (*read, *written):
            if 0 in tensor.shape:
                raise _refuse(f"{here}: '{tensor.name}' has no elements")


def _check_options(op: FileOp, here: str, quantizer: bool) -> None:
    needed = _RUNTIME_READS.get(op.name, _QUANTIZER_READS.get(op.name) if quantizer else None)
    if needed is None or op.custom_code is not None:
        return
    kind, table = _options(op.table, _OPTIONS)
    if kind != needed or table is None:
        raise _refuse(f"{here} has {'no options' if table is None else 'the options of another operator'}")


def _options(op: Table, fields: tuple[int, int]) -> tuple[int, Table | None]:
    return op.integer(fields[0], "B"), op.table(fields[1])


# ---------------------------------------------------------------- graphs that call graphs


def _check_calls(file: ModelFile) -> None:
    """Refuses calls of graphs that do not exist, and those in a circle or so deep that they overflow the stack."""
    if len(file.graphs) == 1 and not any(_calls(op) for op in file.graphs[0].ops):
        return
    callers: list[set[int]] = [set() for _ in file.graphs]  # of every graph
    left = [0] * len(file.graphs)  # graphs that it calls and that have no depth yet
    for number, graph in enumerate(file.graphs):
        called = {index for op in graph.ops for index in _calls(op)}
        for index in called:
            if not 0 <= index < len(file.graphs):
                raise _refuse(f"graph {number} calls graph {index} of {len(file.graphs)}")
            callers[index].add(number)
        left[number] = len(called)
    depth = [0] * len(file.graphs)
    done = [number for number, count in enumerate(left) if not count]
    for number in done:  # grows while it is read
        for caller in callers[number]:
            depth[caller] = max(depth[caller], depth[number] + 1)
            left[caller] -= 1
            if not left[caller]:
                done.append(caller)
    if len(done) < len(file.graphs) or max(depth) > _DEEPEST_CALL:
        raise _refuse("its graphs call each other in a circle, or too deeply")


def _calls(op: FileOp) -> list[int]:
    return list(_called(op))


def _called(op: FileOp) -> Iterator[int]:
    for fields, known in ((_OPTIONS, _CALLS), (_OPTIONS_2, _CALLS_2)):
        if op.table.has(fields[1]) and (numbered := known.get(op.table.integer(fields[0], "B"))):
            table = op.table.table(fields[1])
            if table is not None:
                yield from (table.integer(field, "i") for field in numbered)
