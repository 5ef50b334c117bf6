"""A file's first run, in a process of its own: kernels may abort on scales that they cannot handle."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from converters.errors import ModelError
from converters.layers.op_layers import op_layers
from converters.runtime.child_process import refusals
from converters.runtime.culprit import find_culprit
from converters.runtime.interpreter import Kernels
from converters.tflite.file import File

_WITH: Kernels = "xnnpack"  # what runs it in this process later


def check_stock(stock: File, feeds: Mapping[str, np.ndarray], source: str) -> None:
    """Loads and runs the stock int8 file once before this process does.

    Args:
        stock: the stock int8 twin.
        feeds: one sample.
        source: what it was made of, for messages.

    Raises:
        ModelError: It does not run; says which operator and layer are to blame where that can be found.
    """
    check_int8(
        stock, feeds, f"{source}: the stock int8 file that TensorFlow makes of it (tfmpq's file keeps its activations)"
    )


def check_int8(file: File, feeds: Mapping[str, np.ndarray], what: str) -> None:
    """Loads and runs an int8 file of a model once before this process does.

    Args:
        file: the file.
        feeds: one sample.
        what: the file, for messages.

    Raises:
        ModelError: It does not run; says which operator and layer are to blame where that can be found.
    """
    refusal = refusals(file.content, feeds, [_WITH]).get(_WITH)
    if refusal is None:
        return
    where = "" if refusal.stopped else place(file, feeds, _WITH)
    raise ModelError(
        f"{what} does not run: {refusal.reason}{where}. Check the values at this place on the representative data: "
        "ranges that are nearly zero, or differ by many orders of magnitude from one operator to the next, give scales "
        "that int8 kernels cannot handle. Give data of the range that the model was trained on, or leave that part out "
        "of the model."
    )


def place(file: File, feeds: Mapping[str, np.ndarray], kernels: Kernels) -> str:
    """The operator that does not run, as the end of a message; empty where it cannot be found."""
    number = find_culprit(file.content, feeds, kernels)
    if number is None:
        return ""
    op = file.graph.ops[number]
    layer = op_layers(file.model).names[op]
    scales = [t.scale for t in (*op.inputs, *op.outputs) if t is not None and t.data is None and t.quantization]
    known = f" with scales {', '.join(f'{s:.3g}' for s in scales)}" if scales else ""
    return f" at operator {number}, {op.name} writing {op.outputs[0].name!r} of layer {layer!r}{known}"
