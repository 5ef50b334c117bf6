"""Any model a user may bring -> a float .tflite model."""

from __future__ import annotations

import os
from pathlib import Path

from converters.errors import ModelError, OptionError
from converters.frontend.float_file import from_flatbuffer
from converters.frontend.float_model import FloatModel
from converters.frontend.keras_checks import generation
from converters.frontend.keras_models import from_keras
from converters.frontend.open_sizes import Sizes
from converters.frontend.other_formats import other_framework
from converters.frontend.saved_models import from_path
from converters.frontend.whole_file import Entries, whole_file
from converters.paths import path_text
from converters.printable import shown


def load_model(
    model: object,
    *,
    batch_size: int | None = 1,
    signature: str | None = None,
    sizes: Sizes = None,
    trust: bool = False,
    entries: Entries | None = None,
) -> FloatModel:
    """Checks a model and converts it to float TensorFlow Lite.

    Args:
        model: a built Keras 3 or tf_keras model; the path of a .keras or .h5 file, a SavedModel directory or a float
            (float32 or float16) .tflite file; the content of the latter; or a result of this function, which is
            returned as it is.
        batch_size: batch dimension of the export. 1 keeps dilated convolutions and rank-3 dense layers one op each;
            None leaves the dimension open. Files that fix the dimension keep it, and .tflite files stay as they are.
        signature: the entry point of a SavedModel or .tflite file; None: the only one, or ``serving_default``.
        sizes: for dimensions that the model leaves open behind the batch: the shape of one sample, a dict of them by
            input name, or a function that is called with the inputs if there are such dimensions, and returns it.
        trust: whether code in a .keras or .h5 file or a SavedModel may run. Models with such are refused otherwise.
        entries: .tflite files stay whole, with all their graphs and signatures, of which these are asked for instead of
            ``signature``; None: they are cut down to that.

    Raises:
        FileFormatError: A .tflite file is cut off or corrupt.
        MissingDependencyError: A Keras 2 file needs tf_keras.
        ModelError: The model cannot be converted as it is; the message says why and what to do.
        OptionError: ``batch_size`` is no positive integer, or the model has no such signature or sizes.
    """
    if batch_size is not None and (isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1):
        raise OptionError(f"batch_size={batch_size!r}: give a positive integer, or None for an open batch dimension")
    if isinstance(model, FloatModel):
        return model
    if isinstance(model, (str, os.PathLike)):
        path = Path(path_text(model, "a model"))
        return from_path(path, batch_size=batch_size, signature=signature, sizes=sizes, trust=trust, entries=entries)
    if isinstance(model, (bytes, bytearray, memoryview)):
        source = f"the .tflite content ({len(model)} bytes)"
        if entries is not None:
            return whole_file(bytes(model), source, entries=entries, sizes=sizes)
        return from_flatbuffer(bytes(model), source, signature=signature, sizes=sizes)
    if not isinstance(model, type) and generation(model):
        return from_keras(model, batch_size=batch_size, signature=signature, sizes=sizes)
    what = f"the {'class' if isinstance(model, type) else 'function'} {shown(getattr(model, '__name__', model))}"
    if not callable(model) or not hasattr(model, "__name__"):
        what = f"an object of type {type(model).__module__}.{type(model).__qualname__}"
    if (known := other_framework(model)) is not None:
        raise ModelError(f"{what} is {known}.")
    raise ModelError(
        f"{what} is no model. Give a built Keras model, the path of a .keras, .h5 or .tflite file or of a SavedModel "
        "directory, or the bytes of a float .tflite file."
    )
