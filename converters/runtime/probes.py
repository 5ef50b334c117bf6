"""Running a part of a model for its inner values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from converters.runtime.interpreter import create_interpreter
from converters.tflite.graph import Model, Tensor
from converters.tflite.probe import probe


def probe_interpreter(
    model: Model,
    outputs: Sequence[Tensor],
    *,
    inputs: Sequence[Tensor] | Mapping[Tensor, tuple[int, ...]] | None = None,
    threads: int = 1,
) -> Any:
    """An interpreter of the part of a model that computes ``outputs``.

    The part is not looked through as a file from elsewhere is: the model came from one that was, and large models are
    cut into as many parts as they have layers.

    Args:
        model, outputs, inputs: as for :func:`converters.tflite.probe.probe`.
        threads: CPU threads.

    Raises:
        FileFormatError: The runtime refuses it.
        MissingDependencyError: No interpreter is installed.
    """
    content = probe(model, outputs, inputs=inputs)
    label = f"a part of the model ({len(content)} bytes)"
    return create_interpreter(content, label, kernels="xnnpack", threads=threads)
