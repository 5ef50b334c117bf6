"""A .tflite file whose inputs may have several sizes -> one for the sizes that are asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from converters.errors import FileFormatError, ModelError
from converters.layers.find import SHAPES_ONLY
from converters.runtime.interpreter import make_interpreter
from converters.tflite.graph import NUMPY_TYPES, BuiltinOperator, Graph, Model, Op, Tensor
from converters.tflite.writer import save

_RANDOM = {BuiltinOperator.RANDOM_UNIFORM, BuiltinOperator.RANDOM_STANDARD_NORMAL, BuiltinOperator.MULTINOMIAL}


def resized(model: Model, shapes: Mapping[Tensor, Sequence[int]], source: str) -> bytes:
    """The file with inputs of these shapes: the runtime says what all other shapes become.

    What the graph computes of shapes alone is a constant then, as it is where a model is exported with fixed sizes.

    Args:
        model: its main graph has the inputs; it stays as it is.
        shapes: of all inputs of the main graph, without open dimensions.
        source: for messages.

    Raises:
        ModelError: The runtime cannot run the model at these sizes.
    """
    clone = model.clone()
    graph = clone.model.graph
    tensors = list(graph.tensors())  # in the order of the file that `save` writes
    for tensor, shape in shapes.items():
        clone.tensors[tensor].shape, clone.tensors[tensor].shape_signature = tuple(shape), None
    try:
        interpreter = make_interpreter(save(clone.model), kernels="builtin", preserve_all_tensors=True)
        for detail in interpreter.get_input_details():
            interpreter.set_tensor(detail["index"], np.zeros(detail["shape"], detail["dtype"]))
        interpreter.invoke()
        known = {d["index"]: tuple(int(n) for n in d["shape"]) for d in interpreter.get_tensor_details()}
    except (FileFormatError, RuntimeError, ValueError) as error:
        sizes = {tensor.name: tuple(shape) for tensor, shape in shapes.items()}
        raise ModelError(
            f"{source}: the runtime cannot run it at the sizes {sizes}: {' '.join(str(error).split())[:300]}. "
            "Give sizes that the model was made for."
        ) from error
    computed = _shape_ops(graph)
    for number, tensor in enumerate(tensors):
        if tensor.data is None:
            tensor.shape, tensor.shape_signature = known[number], None
    for op in computed:
        for tensor in op.outputs:
            value = interpreter.get_tensor(tensors.index(tensor))
            tensor.data = np.ascontiguousarray(value, NUMPY_TYPES[tensor.type]).tobytes()
    graph.ops = [op for op in graph.ops if op not in computed]
    return save(clone.model)


def _shape_ops(graph: Graph) -> set[Op]:
    """Operators whose result depends on nothing but shapes and constants, behind one that reads a shape."""
    found: set[Op] = set()
    written: set[Tensor] = set()
    for op in graph.ops:
        given = [t for t in op.inputs if t is not None and t.data is None]
        plain = op.code not in _RANDOM and all(t.type in NUMPY_TYPES and t not in graph.outputs for t in op.outputs)
        if plain and (op.code in SHAPES_ONLY or (given and all(t in written for t in given))):
            found.add(op)
            written.update(op.outputs)
    return found
