"""What a file's operators read and write when a runtime runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from converters.runtime.interpreter import Kernels, inputs, make_interpreter, run
from converters.runtime.values import quantize
from converters.tflite.graph import BuiltinOperator, Model, Op, Tensor
from converters.tflite.probe import probe

Feed: TypeAlias = Mapping[str, np.ndarray]
Values: TypeAlias = dict[Tensor, np.ndarray]
_UNPACKERS = {BuiltinOperator.DEQUANTIZE, BuiltinOperator.DENSIFY}


def make_reader(content: bytes, model: Model, ops: Sequence[Op], *, kernels: Kernels) -> Callable[[Feed], Values]:
    """Prepares a file to be run and looked into.

    Args:
        content: the file.
        model: the same file, parsed.
        ops: operators of its main graph.
        kernels: what runs it.

    Returns:
        A function: feeds by input name -> the raw activations that ``ops`` read and write. Every call runs the file.

    Raises:
        FileFormatError: The runtime refuses the file; the function, too, where it fails to run it.
    """
    if kernels == "xnnpack":
        return _exposing(content, model, ops)
    interpreter = make_interpreter(content, kernels=kernels, preserve_all_tensors=True)
    numbers = _tensor_numbers(interpreter, model, ops)

    def read(feed: Feed) -> Values:
        run(interpreter, feed)
        return {tensor: interpreter.get_tensor(number) for tensor, number in numbers.items()}

    return read


def _exposing(content: bytes, model: Model, ops: Sequence[Op]) -> Callable[[Feed], Values]:
    # A delegate keeps no tensors inside its partitions: they are outputs of a second, altered copy.
    interpreter = make_interpreter(content)
    produced = model.graph.producers()
    touched = dict.fromkeys(t for op in ops for t in (*op.inputs, *op.outputs) if t is not None)
    unpacked = [t for t in touched if t in produced and _unpacks_constant(produced[t])]
    wanted = [t for t in touched if t in produced and t not in unpacked]
    # XNNPACK unpacks such constants into memory of its own when it is set up. Those who read them get the numbers, but
    # as an output of the file they are memory that nothing ever fills: zeros, or what was there before.
    copies: list[tuple[list[Tensor], Kernels]] = [(wanted, "xnnpack"), (unpacked, "builtin")]
    altered = [(tensors, make_interpreter(probe(model, tensors), kernels=k)) for tensors, k in copies if tensors]

    def read(feed: Feed) -> Values:
        run(interpreter, feed)
        pairs = zip(model.graph.inputs, inputs(interpreter), strict=True)
        values = {t: quantize(np.asarray(feed[detail.name]), detail) for t, detail in pairs if t in touched}
        for tensors, part in altered:
            values.update(zip(tensors, run(part, feed), strict=True))
        return values

    return read


def _unpacks_constant(op: Op) -> bool:
    return op.code in _UNPACKERS and op.input(0).data is not None


def _tensor_numbers(interpreter: Any, model: Model, ops: Sequence[Op]) -> dict[Tensor, int]:
    """Numbers of the activations that the operators read and write."""
    wanted = set(ops)
    result: dict[Tensor, int] = {}
    # Without a delegate the interpreter's operators are the file's, in its order.
    for op, details in zip(model.graph.ops, interpreter._get_ops_details(), strict=True):
        if op in wanted:
            for tensors, numbers in ((op.inputs, details["inputs"]), (op.outputs, details["outputs"])):
                pairs = zip(tensors, numbers, strict=True)
                # A loop's values that nothing reads afterwards have no number.
                result.update({t: int(n) for t, n in pairs if t is not None and t.data is None and n >= 0})
    return result
