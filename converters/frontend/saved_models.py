"""Models on disk: .keras, .h5, SavedModel directories, .tflite; told apart by content, not by suffix."""

from __future__ import annotations

import functools
import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.errors import MissingDependencyError, ModelError
from converters.frontend.float_file import from_flatbuffer, read_inputs
from converters.frontend.float_model import FloatModel, argument_names, check_shape, check_size, order_inputs
from converters.frontend.keras_checks import TFMOT_LAYERS
from converters.frontend.keras_models import from_keras
from converters.frontend.tf_converter import convert_float, convert_int8
from converters.layers.names import LayerNames

_HDF5 = b"\x89HDF\r\n\x1a\n"
_ZIP = b"PK\x03\x04"
_TFLITE = b"TFL3"  # at byte 4


def from_path(path: Path, *, batch_size: int | None) -> FloatModel:
    """Loads what ``path`` holds and converts it.

    Raises:
        FileFormatError: A .tflite file that is cut off or corrupt.
        MissingDependencyError: A model of Keras 2, and tf_keras is not installed.
        ModelError: Nothing there, no model, or one that cannot be converted.
    """
    source = f"file '{path}'"
    if path.is_dir():
        return _from_saved_model(path, batch_size)
    if not path.exists():
        raise ModelError(f"{source} does not exist (working directory: {Path.cwd()}). Check the path.")
    check_size(path.stat().st_size, source)
    with path.open("rb") as stream:
        head = stream.read(8)
    if head[4:8] == _TFLITE or path.suffix == ".tflite":
        return from_flatbuffer(path.read_bytes(), source)
    if head == _HDF5:
        return _load_keras(path, _hdf5_version(path, source), (".h5", ".hdf5"), batch_size)
    if head[:4] == _ZIP:
        return _load_keras(path, _keras_version(path, source), (".keras",), batch_size)
    raise ModelError(
        f"{source} is no model: its first bytes are {head!r}. Give a .keras or .h5 file with the whole model, a "
        "SavedModel directory or a float .tflite file."
    )


# ---------------------------------------------------------------- .keras and .h5


def _keras_version(path: Path, source: str) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read("metadata.json"))["keras_version"]
    except (zipfile.BadZipFile, KeyError, ValueError) as error:
        raise ModelError(
            f"{source} is a zip archive but no complete .keras model ({error}). Save the model again with "
            "model.save('model.keras')."
        ) from error


def _hdf5_version(path: Path, source: str) -> str:
    import h5py

    try:
        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                raise ModelError(
                    f"{source} holds weights only, no model. Build the model in code, call "
                    "model.load_weights(path) and give the model."
                )
            version: Any = file.attrs.get("keras_version", "2")  # the oldest files do not say
    except OSError as error:
        raise ModelError(f"{source} cannot be read as HDF5: {error}. Copy or save it again.") from error
    return version.decode() if isinstance(version, bytes) else str(version)


def _load_keras(path: Path, version: str, suffixes: tuple[str, ...], batch_size: int | None) -> FloatModel:
    if path.suffix not in suffixes:
        raise ModelError(
            f"file '{path}' is a model saved by Keras {version} under a name that Keras does not read: it goes by the "
            f"suffix. Rename the file to {path.stem}{suffixes[0]}"
        )
    if version.startswith("3"):
        import keras as package
    else:
        try:
            import tf_keras as package
        except ImportError as error:
            raise MissingDependencyError(
                f"file '{path}' was saved by Keras {version}, which Keras 3 cannot be trusted to read. "
                "Install the last Keras 2: pip install tf_keras"
            ) from error
    try:
        model: Any = package.models.load_model(path, compile=False)
    except Exception as error:  # Keras raises whatever the configuration leads to
        message = " ".join(str(error).split())
        advice = "If it has layers of your own, load it yourself with custom_objects and give the model."
        if any(name in message for name in TFMOT_LAYERS):
            advice = (
                "It was annotated or quantized by tensorflow-model-optimization: import tfmpq.quantize_config, load it "
                "with tf_keras.models.load_model under tfmot.quantization.keras.quantize_scope(), and give the model "
                "to tfmpq.convert."
            )
        raise ModelError(
            f"file '{path}', saved by Keras {version}, cannot be loaded by {package.__name__} {package.__version__}: "
            f"{message[:300]}. {advice}"
        ) from error
    return from_keras(model, batch_size=batch_size, origin=f" (file '{path}')")


# ---------------------------------------------------------------- SavedModel


def _from_saved_model(path: Path, batch_size: int | None) -> FloatModel:
    source = f"SavedModel '{path}'"
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        raise ModelError(
            f"directory '{path}' is no SavedModel: it holds no saved_model.pb. Give the directory that does, or a "
            "model file."
        )
    check_size(sum(file.stat().st_size for file in path.rglob("*") if file.is_file()), source)
    import tensorflow as tf

    try:
        loaded: Any = tf.saved_model.load(str(path))
    except Exception as error:  # a broken proto, missing variables, unknown ops
        raise ModelError(
            f"{source} cannot be loaded: {type(error).__name__}: {' '.join(str(error).split())[:400]}. Export it again."
        ) from error
    function = _signature(dict(getattr(loaded, "signatures", {})), source)
    tensors = function.structured_input_signature[1]  # signature functions take keyword arguments only
    specs = {}
    originals = sorted(tensors)  # SavedModels keep inputs in a protobuf map: any order, another one in each process
    for name, original in zip(argument_names(originals), originals, strict=True):
        spec = tensors[original]
        if spec.shape.rank is None:
            raise ModelError(f"{source}: input '{original}' has no known shape. Export the model again with one.")
        shape = [batch_size if n is None and i == 0 else n for i, n in enumerate(spec.shape)]
        check_shape(original, shape, source, "Export the model again with fixed sizes.")
        specs[name] = (original, tf.TensorSpec(shape, spec.dtype, name))

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
        order_inputs(read_inputs(flatbuffer, source), expected, source),
        LayerNames(),
        source,
        functools.partial(convert_int8, open_converter, source),
        trace,
    )


def _signature(signatures: dict[str, Any], source: str) -> Any:
    if "serving_default" in signatures:
        return signatures["serving_default"]
    if len(signatures) != 1:
        raise ModelError(
            f"{source} has the signatures {sorted(signatures)}; tfmpq converts 'serving_default', or the only one. "
            "Export the model with tf.saved_model.save(model, path, signatures=function)."
        )
    return next(iter(signatures.values()))
