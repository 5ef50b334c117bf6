"""Telling what holds layers of :mod:`tfmpq.keras`, without loading that package or Keras."""

from __future__ import annotations

import os
from typing import Any

from converters.frontend.keras_checks import layers as sublayers
from converters.frontend.keras_files import opened_archive, read_member

_MODULE = "tfmpq.keras.wrappers"
_REGISTERED = b'"registered_name": "tfmpq>'


def is_wrapper(layer: object) -> bool:
    """Whether a layer is one of :mod:`tfmpq.keras`."""
    return type(layer).__module__ == _MODULE


def is_annotated_or_simulated(model: Any) -> bool:
    """Whether a Keras 3 model holds such layers."""
    return any(is_wrapper(layer) for _, layer in sublayers(model))


def is_annotated_or_simulated_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a .keras file of such a model."""
    if not os.path.isfile(path):  # a pipe would be waited for
        return False
    try:
        with opened_archive(path) as archive:
            return _REGISTERED in read_member(archive, "config.json")
    except (OSError, ValueError):
        return False
