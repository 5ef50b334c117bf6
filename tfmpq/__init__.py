"""Low-bit post-training quantization for TensorFlow Lite: every weight row is a sum of low-bit points.

    import tfmpq
    result = tfmpq.convert(keras_model, rep_dataset)
    result.save("model.tflite")
    print(result.report)

Importing this package loads nothing else, so that the command line can be interrupted from its first moment; what is
used of it loads NumPy, and `tfmpq.convert` TensorFlow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tfmpq.errors import ConversionError, DataWarning
from tfmpq.version import __version__

if TYPE_CHECKING:
    from converters.lowering.expand import expand
    from converters.points import MultipointWeight, Point
    from tfmpq.algorithms import register_algorithm
    from tfmpq.analysis.evaluation import evaluate
    from tfmpq.analysis.inspection import inspect
    from tfmpq.api import convert, prepare
    from tfmpq.collecting import collect
    from tfmpq.comparison.compare import compare
    from tfmpq.comparison.result import MethodComparison
    from tfmpq.data.augmentation import image_views
    from tfmpq.data.evaluation_set import Labelled, load_labelled
    from tfmpq.gate.check import check
    from tfmpq.gate.limits import Limits
    from tfmpq.gate.result import CheckResult
    from tfmpq.options import Options
    from tfmpq.preparation import Prepared
    from tfmpq.recipe import Budget, Epsilon, ExtraBits, LikeStock, MaxBytes, MaxDrop, Recipe, Rule
    from tfmpq.result import ConversionResult

__all__ = [
    "Budget",
    "CheckResult",
    "ConversionError",
    "ConversionResult",
    "DataWarning",
    "Epsilon",
    "ExtraBits",
    "Labelled",
    "LikeStock",
    "Limits",
    "MaxBytes",
    "MaxDrop",
    "MethodComparison",
    "MultipointWeight",
    "Options",
    "Point",
    "Prepared",
    "Recipe",
    "Rule",
    "__version__",
    "check",
    "collect",
    "compare",
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
    **dict.fromkeys(("MultipointWeight", "Point"), "converters.points"),
    **dict.fromkeys(
        ("Budget", "Epsilon", "ExtraBits", "LikeStock", "MaxBytes", "MaxDrop", "Recipe", "Rule"), "tfmpq.recipe"
    ),
    "check": "tfmpq.gate.check",
    "CheckResult": "tfmpq.gate.result",
    "collect": "tfmpq.collecting",
    "compare": "tfmpq.comparison.compare",
    "convert": "tfmpq.api",
    "ConversionResult": "tfmpq.result",
    "evaluate": "tfmpq.analysis.evaluation",
    "expand": "converters.lowering.expand",
    "image_views": "tfmpq.data.augmentation",
    "inspect": "tfmpq.analysis.inspection",
    "Labelled": "tfmpq.data.evaluation_set",
    "Limits": "tfmpq.gate.limits",
    "load_labelled": "tfmpq.data.evaluation_set",
    "MethodComparison": "tfmpq.comparison.result",
    "Options": "tfmpq.options",
    "prepare": "tfmpq.api",
    "Prepared": "tfmpq.preparation",
    "register_algorithm": "tfmpq.algorithms",
}


def __getattr__(name: str) -> Any:
    """Loads what there is on first use."""
    if name not in _LAZY:
        raise AttributeError(f"module 'tfmpq' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module(_LAZY[name]), name)
