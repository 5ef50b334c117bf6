"""What others make of a float model: TensorFlow's converter, and litert-quantizer's dynamic files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from converters.errors import ConversionError, MissingDependencyError
from converters.frontend.float_model import FloatModel
from converters.frontend.tf_converter import int8_twin
from tools.research.frontier.peers import quiet

FLOAT = "float32"
_PEERS = {  # bits, granularity
    "litert-quantizer dynamic int8": (8, "CHANNELWISE"),
    "litert-quantizer dynamic int4, channels": (4, "CHANNELWISE"),
    "litert-quantizer dynamic int4, blocks of 32": (4, "BLOCKWISE_32"),
}
NAMES = (FLOAT, "stock static int8", "stock dynamic int8", *_PEERS)


def baseline(name: str, model: FloatModel, calibration: Mapping[str, np.ndarray]) -> bytes:
    """One of the files.

    Args:
        name: of :data:`NAMES`.
        model: loaded from Keras, batch 1.
        calibration: input name -> array, samples first; only static int8 looks at it.

    Raises:
        ConversionError: The file cannot be made, or litert-quantizer is not installed.
    """
    if name == FLOAT:
        return model.flatbuffer
    if name == "stock static int8":
        return int8_twin(model, lambda: _samples(calibration), io_dtype="float32")
    if name == "stock dynamic int8":
        return _stock_dynamic(model)
    return _peer(model.flatbuffer, *_PEERS[name])


def _samples(arrays: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    for i in range(len(next(iter(arrays.values())))):
        yield {name: array[i : i + 1] for name, array in arrays.items()}


def _stock_dynamic(model: FloatModel) -> bytes:
    """Weights int8, activations float32, integers within the kernels: the converter's default without samples."""
    import tensorflow as tf

    if model.trace is None:
        raise ConversionError(f"{model.source}: TensorFlow's converter needs the Keras model, no .tflite file")
    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([model.trace()])
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        return bytes(converter.convert())


def _peer(content: bytes, bits: int, granularity: str) -> bytes:
    try:
        from litert_quantizer import qtyping, quantizer  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError(
            "comparing with litert-quantizer needs that package: pip install 'tfmpq[peers]'"
        ) from error
    tool: Any = quantizer.Quantizer(content)
    tool.add_dynamic_config(".*", "*", bits, qtyping.QuantGranularity[granularity])
    with quiet():
        return bytes(tool.quantize().quantized_model)
