"""What a .tflite file takes and gives, for reading data for it."""

from __future__ import annotations

import numpy as np

from converters.frontend.float_model import InputSpec
from converters.frontend.unknown_file import open_file
from converters.runtime import interpreter as runtime
from converters.runtime.values import IoDetail


def spec_of(detail: IoDetail) -> InputSpec:
    """An input of a file as one of the float model it was made from."""
    shape = tuple(None if n < 0 else n for n in detail.shape_signature or detail.shape)
    return InputSpec(detail.name, (), shape, np.dtype(np.float32) if detail.scale else detail.dtype)


def inputs_and_classes(model: bytes | str) -> tuple[list[InputSpec], int | None]:
    """The inputs of a file, and how many classes its first output scores; None: it has no shape yet.

    Raises:
        FileFormatError: The file cannot be read or run.
    """
    interpreter = open_file(model)
    outputs = runtime.outputs(interpreter)
    shape = outputs[0].shape if outputs else ()
    return [spec_of(detail) for detail in runtime.inputs(interpreter)], int(shape[-1]) if shape else None
