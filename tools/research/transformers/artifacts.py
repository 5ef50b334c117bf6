"""Writing what the measurements start from: the Keras model, its float file, and data beside them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from absl import flags

from converters.frontend.load import load_model

OUTPUT = flags.DEFINE_string("output", "build/transformers", "Directory of models and data.")


def write_model(model: Any, folder: Path, name: str, data: Mapping[str, Mapping[str, np.ndarray]]) -> None:
    """Writes NAME.keras without optimizer, NAME_float.tflite (batch 1) and one NAME_KEY.npz for each entry of data.

    Args:
        model: a functional Keras 3 model.
        folder: made if it is not there.
        name: beginning of the file names.
        data: what to write: entry -> arrays, samples first.
    """
    import keras

    folder.mkdir(parents=True, exist_ok=True)
    keras.Model(model.inputs, model.outputs, name=model.name).save(folder / f"{name}.keras")
    content = float_file(model)
    (folder / f"{name}_float.tflite").write_bytes(content)
    for key, arrays in data.items():
        named: dict[str, Any] = dict(arrays)
        np.savez_compressed(folder / f"{name}_{key}.npz", **named)
    print(f"{folder}/{name}.keras, {name}_float.tflite ({len(content)} bytes), {', '.join(data)}")


def float_file(model: Any) -> bytes:
    """The model as a float .tflite, batch 1, as tfmpq itself has it made."""
    return load_model(model).flatbuffer
