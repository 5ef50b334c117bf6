"""TensorFlow's calibrator and quantizer of flatbuffers: native code that may end the process it runs in."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Packages on the way to the native modules whose own code imports all of TensorFlow, which takes seconds.
_PACKAGES = ("tensorflow", *(f"tensorflow.{p}" for p in ("compiler", "lite", "lite.python", "python")))
_IO_TYPES = {"int8": "INT8", "uint8": "UINT8", "float32": "FLOAT"}


@dataclass(frozen=True)
class Parts:
    """The native functions.

    Attributes:
        prepared: float file -> the file that the calibrator takes.
        calibrator: that file -> an object that runs it on samples, and reads it while it lives.
        quantize: calibrated file, type of its inputs and outputs -> int8 file.
    """

    prepared: Callable[[bytes], bytes]
    calibrator: Callable[[bytes], Any]
    quantize: Callable[[bytes, str], bytes]


class Calibration:
    """A float file that is run on samples."""

    def __init__(self, parts: Parts, content: bytes) -> None:
        self._content = parts.prepared(content)  # the calibrator has no copy
        self._calibrator = parts.calibrator(self._content)
        self._ready = False

    def add(self, arrays: Sequence[np.ndarray]) -> None:
        """Runs a sample: an array for each input, in the graph's order."""
        if not self._ready:
            self._calibrator.Prepare([list(array.shape) for array in arrays])
            self._ready = True
        self._calibrator.FeedTensor(list(arrays))

    def finish(self) -> bytes:
        """The file with the ranges that were seen in it."""
        return bytes(self._calibrator.Calibrate())


def slim_parts() -> Parts:
    """The native modules without the rest of TensorFlow, in 0.3 s instead of 4.

    Only for a process that needs nothing else of it: what it leaves as ``tensorflow`` is a shell.

    Raises:
        ImportError: They are not where this knows them to be.
    """
    found = importlib.util.find_spec("tensorflow")
    if found is None or not found.submodule_search_locations:
        raise ImportError("TensorFlow is not installed as a package")
    known = set(sys.modules)
    try:
        for name in _PACKAGES:
            package = types.ModuleType(name)
            inner = name.partition(".")[2].replace(".", "/")
            package.__path__ = [f"{root}/{inner}" for root in found.submodule_search_locations]
            sys.modules[name] = package
        wrapper = importlib.import_module("tensorflow.lite.python._pywrap_tensorflow_lite_calibration_wrapper")
        api = importlib.import_module("tensorflow.compiler.mlir.lite.python._pywrap_converter_api")
        kinds: Any = importlib.import_module("tensorflow.compiler.mlir.lite.types_pb2")
        native = api.ExperimentalMlirQuantizeModel
    except (ImportError, AttributeError) as error:
        for name in set(sys.modules) - known:
            if name.partition(".")[0] == "tensorflow":
                del sys.modules[name]
        raise ImportError(f"this TensorFlow is laid out differently: {error}") from error

    def quantize(content: bytes, io_dtype: str) -> bytes:
        kind = getattr(kinds, _IO_TYPES[io_dtype])
        # As TensorFlow's mlir_quantize() passes its defaults on.
        options = (False, False, kinds.QUANTIZED_INT8, kind, kind, False, False, None, None, False, False, "")
        return bytes(native(content, *options))

    return _parts(wrapper, quantize)


def full_parts() -> Parts:
    """The same by TensorFlow's own Python functions.

    Raises:
        ImportError: This TensorFlow lacks them.
    """
    import tensorflow as tf
    from tensorflow.lite.python.convert import mlir_quantize
    from tensorflow.lite.python.optimize import calibrator

    def quantize(content: bytes, io_dtype: str) -> bytes:
        kind: Any = tf.as_dtype(io_dtype)
        result: Any = mlir_quantize(content, input_data_type=kind, output_data_type=kind)
        return bytes(result)

    return _parts(calibrator._calibration_wrapper, quantize)


def _parts(wrapper: Any, quantize: Callable[[bytes, str], bytes]) -> Parts:
    return Parts(wrapper.AddIntermediateTensors, lambda content: wrapper.CalibrationWrapper(content, [], []), quantize)
