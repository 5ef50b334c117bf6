"""Models on disk: .keras, .h5, SavedModel directories, .tflite; told apart by content, not by suffix."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import ModelError
from converters.frontend.float_file import from_flatbuffer, read_inputs
from converters.frontend.float_model import FloatModel, InputSpec, argument_names, check_size, order_inputs
from converters.frontend.keras_files import HDF5, TRUST, ZIP, load_keras_file
from converters.frontend.keras_models import from_keras
from converters.frontend.open_sizes import Sizes, fixed_shapes
from converters.frontend.other_formats import other_format
from converters.frontend.plain_file import choose_signature
from converters.frontend.saved_model_code import find_code
from converters.frontend.tf_converter import convert_float, convert_int8
from converters.frontend.whole_file import Entries, whole_file
from converters.layers.names import LayerNames
from converters.paths import is_special

_TFLITE = b"TFL3"  # at byte 4


def from_path(
    path: Path,
    *,
    batch_size: int | None,
    signature: str | None,
    sizes: Sizes,
    trust: bool = False,
    entries: Entries | None = None,
) -> FloatModel:
    """Loads what ``path`` holds and converts it.

    Args:
        path: of a file or of a SavedModel directory.
        batch_size, signature, sizes: see :func:`converters.frontend.load.load_model`.
        trust: whether code in the file may run.
        entries: of a .tflite file that stays whole.

    Raises:
        FileFormatError: A .tflite file that is cut off or corrupt.
        MissingDependencyError: A model of Keras 2, and tf_keras is not installed.
        ModelError: Nothing there, no model, one that cannot be converted, or one with code that is not trusted.
        OptionError: It has no such signature or input, or a size contradicts it.
    """
    source = f"file '{path}'"
    if path.is_dir():
        return _from_saved_model(path, batch_size, signature, sizes, trust)
    if not path.exists():
        raise ModelError(f"{source} does not exist (working directory: {Path.cwd()}). Check the path.")
    if not path.is_file():
        raise ModelError(f"{source} is a device, a pipe or a socket. Give a file, or a SavedModel directory.")
    check_size(path.stat().st_size, source)
    try:
        with path.open("rb") as stream:
            head = stream.read(8)
        if head[4:8] == _TFLITE or path.suffix == ".tflite":
            if entries is not None:
                return whole_file(path.read_bytes(), source, entries=entries, sizes=sizes)
            return from_flatbuffer(path.read_bytes(), source, signature=signature, sizes=sizes)
    except OSError as error:
        raise ModelError(f"{source} cannot be read: {error.strerror}. Check its permissions.") from error
    if head != HDF5 and (known := other_format(path)) is not None:
        raise ModelError(f"{source} is {known}.")
    if head == HDF5 or head[:4] == ZIP:
        model = load_keras_file(path, trust=trust)
        return from_keras(model, batch_size=batch_size, signature=signature, sizes=sizes, origin=f" ({source})")
    raise ModelError(
        f"{source} is no model: its first bytes are {head!r}. Give a .keras or .h5 file with the whole model, a "
        "SavedModel directory or a float .tflite file."
    )


# ---------------------------------------------------------------- SavedModel


def _from_saved_model(
    path: Path, batch_size: int | None, signature: str | None, sizes: Sizes, trust: bool
) -> FloatModel:
    source = f"SavedModel '{path}'"
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise ModelError(
            f"directory '{path}' is no SavedModel: it holds no saved_model.pb. Give the directory that does, or a "
            "model file."
        )
    files = list(path.rglob("*"))
    if (odd := next(filter(is_special, files), None)) is not None:
        raise ModelError(f"{source} holds a device, a pipe or a socket, '{odd}', which is not read. Export it again.")
    check_size(sum(file.stat().st_size for file in files if file.is_file()), source)
    import tensorflow as tf

    try:
        code = None if trust else find_code(path)
        if code is not None:
            raise ModelError(f"{source}: {code}. {TRUST}")
        loaded: Any = tf.saved_model.load(str(path))
    except ModelError:
        raise
    except Exception as error:  # a broken proto, missing variables, unknown ops
        raise ModelError(
            f"{source} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())[:400]}. Export it again."
        ) from error
    signatures = dict(getattr(loaded, "signatures", {}))
    function = signatures[choose_signature(sorted(signatures), signature, source)]
    specs = _input_specs(function, batch_size, sizes, source)

    def trace() -> Any:
        def serve(**values: Any) -> Any:
            return function(**{original: values[name] for name, (original, _) in specs.items()})

        return tf.function(serve).get_concrete_function(**{name: spec for name, (_, spec) in specs.items()})

    @contextmanager
    def open_converter() -> Iterator[Any]:
        yield tf.lite.TFLiteConverter.from_concrete_functions([trace()], loaded)

    flatbuffer = convert_float(open_converter, source)
    expected = [(name, (original,)) for name, (original, _) in specs.items()]
    return FloatModel(
        flatbuffer,
        order_inputs(read_inputs(flatbuffer, source, sizes), expected, source),
        LayerNames(),
        source,
        functools.partial(convert_int8, open_converter, source),
        trace,
    )


def _input_specs(function: Any, batch_size: int | None, sizes: Sizes, source: str) -> dict[str, tuple[str, Any]]:
    """Name of each input in the file -> (its name in the signature, what it is)."""
    import tensorflow as tf

    tensors = function.structured_input_signature[1]  # signature functions take keyword arguments only
    originals = sorted(tensors)  # SavedModels keep inputs in a protobuf map: any order, another one in each process
    for original in originals:
        if tensors[original].shape.rank is None:
            raise ModelError(f"{source}: input '{original}' has no known shape. Export the model again with one.")
    found = [
        InputSpec(original, (), tuple(tensors[original].shape), np.dtype(tensors[original].dtype.as_numpy_dtype))
        for original in originals
    ]
    names, shapes = argument_names(originals), fixed_shapes(found, sizes, source)
    return {
        name: (original, tf.TensorSpec([batch_size if n is None else n for n in shape], tensors[original].dtype, name))
        for name, original, shape in zip(names, originals, shapes, strict=True)
    }
