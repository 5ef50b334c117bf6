"""Which operator of a file ends the process: they are run one by one, in a process that may end."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from converters.errors import FileFormatError
from converters.runtime.child_process import run_child
from converters.runtime.interpreter import Kernels, inputs, make_interpreter, zeros
from converters.runtime.values import quantize
from converters.tflite.graph import Graph, Model, Op, Tensor
from converters.tflite.probe import probe
from converters.tflite.reader import load
from converters.tflite.writer import save

_SCRIPT = """
from converters.runtime.culprit import walk
walk(open(model, "rb").read(), feeds, *rest)
"""


def find_culprit(content: bytes, feeds: Mapping[str, np.ndarray], kernels: Kernels) -> int | None:
    """The operator of the main graph that ends a process which computes it alone, or cannot be computed so.

    Args:
        content: .tflite bytes.
        feeds: input name -> array, as for :func:`converters.runtime.interpreter.run`; none: zeros.
        kernels: with which the file ends the process. What they refuse in a file of one operator may end it in others.

    Returns:
        Its number; None where every operator can be computed alone, or what one reads cannot be had.
    """
    lines = run_child(_SCRIPT, content, feeds, [kernels]).lines
    return int(lines[-1]) if lines and lines[-1] != "end" else None


def walk(content: bytes, feeds: Mapping[str, np.ndarray] | None, kernels: Kernels) -> None:
    """Computes the operators in turn, each in a file of its own.

    Prints the number of each before, and "end" at last unless one cannot be computed.
    """
    model = load(content)
    values = _given(model, feeds)
    for number, op in enumerate(model.graph.ops):
        print(number, flush=True)
        read = [t for t in dict.fromkeys(op.inputs) if t is not None and t.data is None]
        if any(t not in values for t in read):  # a state that operators share
            break
        try:
            values.update(zip(op.outputs, _compute(model, op, read, values, kernels), strict=True))
        except (FileFormatError, ValueError, RuntimeError):
            return
    print("end", flush=True)


def _given(model: Model, feeds: Mapping[str, np.ndarray] | None) -> dict[Tensor, np.ndarray]:
    """The main graph's inputs, quantized; an interpreter of nothing but them knows their names and scales."""
    start = model.graph.inputs
    named = dict(model.signatures[0].inputs) if model.signatures else {t.name: t for t in start}
    result = {}
    for name, tensor in named.items():
        alone = Graph([tensor], [tensor], [])
        interpreter = make_interpreter(save(Model([alone], [], {}, version=model.version)), kernels="builtin")
        (detail,) = inputs(interpreter)
        (nothing,) = zeros(interpreter).values()
        result[tensor] = nothing if feeds is None else quantize(np.asarray(feeds[name]), detail)
    return result


def _compute(
    model: Model, op: Op, read: list[Tensor], values: Mapping[Tensor, np.ndarray], kernels: Kernels
) -> list[np.ndarray]:
    alone = probe(model, op.outputs, inputs={t: values[t].shape for t in read})
    interpreter = make_interpreter(alone, kernels=kernels)
    for detail, tensor in zip(interpreter.get_input_details(), read, strict=True):
        interpreter.set_tensor(detail["index"], values[tensor])
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]).copy() for detail in interpreter.get_output_details()]
