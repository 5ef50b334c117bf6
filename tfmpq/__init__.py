"""Low-bit post-training quantization for TensorFlow Lite: every weight row is a sum of low-bit points.

    import tfmpq
    result = tfmpq.convert(keras_model, rep_dataset)
    result.save("model.tflite")
    print(result.report)

Importing this package loads neither TensorFlow nor a runtime; `tfmpq.convert` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfmpq.budget import Budget, Epsilon, ExtraBits, MaxBytes, MaxDrop
from tfmpq.errors import ConversionError
from tfmpq.recipe import Recipe, Rule
from tfmpq.version import __version__

if TYPE_CHECKING:
    from converters.expand import expand
    from tfmpq.algorithms import register_algorithm
    from tfmpq.api import convert, prepare
    from tfmpq.evaluation import evaluate
    from tfmpq.inspection import inspect
    from tfmpq.labelled import Labelled, load_labelled
    from tfmpq.prepared import Prepared
    from tfmpq.result import ConversionResult
    from tfmpq.views import image_views

__all__ = [
    "Budget",
    "ConversionError",
    "ConversionResult",
    "Epsilon",
    "ExtraBits",
    "Labelled",
    "MaxBytes",
    "MaxDrop",
    "Prepared",
    "Recipe",
    "Rule",
    "__version__",
    "convert",
    "evaluate",
    "expand",
    "image_views",
    "inspect",
    "load_labelled",
    "prepare",
    "register_algorithm",
]

_LAZY = {
    "convert": "tfmpq.api",
    "ConversionResult": "tfmpq.result",
    "evaluate": "tfmpq.evaluation",
    "expand": "converters.expand",
    "image_views": "tfmpq.views",
    "inspect": "tfmpq.inspection",
    "Labelled": "tfmpq.labelled",
    "load_labelled": "tfmpq.labelled",
    "prepare": "tfmpq.api",
    "Prepared": "tfmpq.prepared",
    "register_algorithm": "tfmpq.algorithms",
}


def __getattr__(name: str) -> Any:
    """Loads what needs a runtime or the schema on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'tfmpq' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
