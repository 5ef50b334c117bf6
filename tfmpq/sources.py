"""What `tfmpq.convert` is given: a plain model, or one annotated or simulated by a Keras plugin of this package."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

from converters.frontend.keras_checks import generation, is_tfmot_model
from converters.frontend.keras_files import load_keras_file
from tfmpq.keras_marks import is_annotated_or_simulated, is_annotated_or_simulated_file
from tfmpq.simulation.source import Source


def read_source(model: object, *, trust: bool = False) -> Source:
    """Takes the plugins' wrappers off a Keras model, or off that in a file; everything else comes back as it is.

    Raises:
        ModelError: The float model inside cannot be recovered.
    """
    if isinstance(model, Source):
        return model
    if isinstance(model, type):
        return Source(model)
    if isinstance(model, (str, os.PathLike)):
        return _read_file(model, trust)
    keras_generation = generation(model)
    if keras_generation == 2 and is_tfmot_model(model):
        from tfmpq.quantize_config.models import read

        return read(model)
    if keras_generation == 3:
        return _read_keras3(model)
    return Source(model)


def _read_keras3(model: Any) -> Source:
    if not is_annotated_or_simulated(model):
        return Source(model)
    from tfmpq.keras.source import read

    return read(model)


def _read_file(path: str | os.PathLike[str], trust: bool) -> Source:
    if not is_annotated_or_simulated_file(path):
        return Source(path)
    import_module("tfmpq.training")  # registers the layers that the file holds; nothing of it is used here
    from tfmpq.keras.source import read

    return read(load_keras_file(Path(path), trust=trust))
