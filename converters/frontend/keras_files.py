"""Keras models in .keras and .h5 files: which Keras wrote them, whether they hold code, and loading them."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from converters.errors import ConversionError, MissingDependencyError, ModelError
from converters.frontend.float_model import check_size
from converters.frontend.hdf5_check import WEIGHTS, find_fault
from converters.frontend.keras_checks import TFMOT_LAYERS
from converters.frontend.keras_config import find_code
from converters.plain_json import parse
from converters.small_file import read_stream

HDF5 = b"\x89HDF\r\n\x1a\n"
ZIP = b"PK\x03\x04"
_MAX_CONFIG = 16 * 2**20  # bytes of a configuration: some 1 kB a layer
TRUST = "If you trust where the file is from, say so: --trust, or trust=True."


def load_keras_file(path: Path, *, trust: bool) -> Any:
    """The model in a .keras or .h5 file, not compiled.

    Args:
        path: of a file that begins as such a file does.
        trust: whether code in the file may run.

    Raises:
        MissingDependencyError: A model of Keras 2, and tf_keras is not installed.
        ModelError: The file is damaged, holds no model or one that Keras cannot load, or holds code and is not trusted.
    """
    source = f"file '{path}'"
    with path.open("rb") as stream:
        hdf5 = stream.read(len(HDF5)) == HDF5
    version, config = (_read_hdf5 if hdf5 else _read_archive)(path, source)
    package = _package(path, version, (".h5", ".hdf5") if hdf5 else (".keras",))
    if not trust:
        code = find_code(config, lambda name: package.saving.get_registered_object(name) is not None)
        if code is not None:
            raise ModelError(
                f"{source}: {code}. {TRUST} Or build the model in code, or load it yourself with custom_objects, and "
                "give the model."
            )
    return _load(package, path, version, trust)


def read_member(archive: zipfile.ZipFile, name: str, most: int = _MAX_CONFIG) -> bytes:
    """A member of a zip archive, not more than ``most`` bytes once inflated.

    Raises:
        KeyError: There is none.
        ValueError: It is larger.
    """
    with archive.open(name) as member:
        return read_stream(member, most)


@contextmanager
def opened_archive(path: str | os.PathLike[str]) -> Iterator[zipfile.ZipFile]:
    """A zip archive; all that a damaged one raises in the block is a ValueError.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no zip archive, or damaged.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (OSError, ValueError, ConversionError):
        raise
    except KeyError as error:
        raise ValueError(str(error.args[0]) if error.args else "a member is missing") from error
    except Exception as error:  # zlib.error, EOFError, NotImplementedError, RuntimeError of encryption, ...
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _read_archive(path: Path, source: str) -> tuple[str, Any]:
    """Version of Keras and configuration in a .keras file."""
    try:
        with opened_archive(path) as archive:
            metadata = parse(read_member(archive, "metadata.json"), finite=False)
            config = parse(read_member(archive, "config.json"), most=_MAX_CONFIG, finite=False)
            size = sum(member.file_size for member in archive.infolist())
            if not isinstance(metadata, dict) or not isinstance(metadata.get("keras_version"), str):
                raise ValueError("its metadata.json does not say which Keras wrote it")
            check_size(size, source)
            if (fault := find_fault(path)) is not None:
                raise ValueError(f"{WEIGHTS}: {fault}")
    except (OSError, ValueError) as error:
        raise ModelError(
            f"{source} is a zip archive but no complete .keras model ({error}). Save the model again with "
            "model.save('model.keras')."
        ) from error
    if isinstance(config, dict):
        config.pop("compile_config", None)  # losses and metrics, often the user's own; neither Keras looks at it here
    return metadata["keras_version"], config


def _read_hdf5(path: Path, source: str) -> tuple[str, Any]:
    """Version of Keras and configuration in an .h5 file."""
    import h5py

    if (fault := find_fault(path)) is not None:
        raise ModelError(f"{source} cannot be read as HDF5: {fault}. Copy or save it again.")
    try:
        with h5py.File(path) as file:
            if "model_config" not in file.attrs:
                raise ModelError(
                    f"{source} holds weights only, no model. Build the model in code, call "
                    "model.load_weights(path) and give the model."
                )
            version, config = (_text(file.attrs.get(name, "2")) for name in ("keras_version", "model_config"))
            parsed = parse(config, most=_MAX_CONFIG, finite=False)
    except ModelError:
        raise
    except Exception as error:  # h5py raises whatever a damaged file leads to
        raise ModelError(f"{source} cannot be read as HDF5: {error}. Copy or save it again.") from error
    return version, parsed


def _text(attribute: Any) -> str:
    """An attribute as text; the oldest files do not say their version, which is 2 then."""
    value = attribute.decode() if isinstance(attribute, bytes) else attribute
    if not isinstance(value, str):
        raise ValueError("an attribute that is to be text is not")
    return value


def _package(path: Path, version: str, suffixes: tuple[str, ...]) -> Any:
    """The Keras that reads the file."""
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
    return package


def _load(package: Any, path: Path, version: str, trust: bool) -> Any:
    try:
        return package.models.load_model(path, compile=False, safe_mode=not trust)
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
