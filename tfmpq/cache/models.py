"""Float models of files that TensorFlow takes long to load: told by their content, without loading it."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from converters.errors import CacheWarning, ModelError
from converters.frontend.float_model import FloatModel, InputSpec
from converters.frontend.open_sizes import OpenSizes, Sizes
from converters.paths import is_special
from converters.printable import shown
from tfmpq.cache.anywhere import AnyStore
from tfmpq.cache.digest import Digest, NoDigestError
from tfmpq.cache.versions import changed_sources, versions
from tfmpq.folders import files_below
from tfmpq.simulation.source import Source

KIND = "model"
_SUFFIXES = (".keras", ".h5", ".hdf5")
_CHUNK = 1 << 20


@dataclass(frozen=True, eq=False)
class KeptModel:
    """A model as it was loaded.

    Attributes:
        source: with the float model, whose functions are not kept.
        functions: names of those that it had.
    """

    source: Source
    functions: tuple[str, ...]


class _Again:
    """The functions of a float model that was kept without them: it is loaded when one is called."""

    def __init__(self, load: Callable[[], Source]) -> None:
        self._load = load

    @cached_property
    def _model(self) -> Any:
        return self._load().model

    def public_int8(self, *arguments: Any) -> bytes:
        return self._model.public_int8(*arguments)

    def trace(self) -> Any:
        return self._model.trace()


def kept_source(
    model: object, store: AnyStore, asked: Mapping[str, object], sizes: Sizes, load: Callable[[Sizes], Source]
) -> Source:
    """What a model brings along and its float model, from the cache or loaded and kept.

    Args:
        model: as given. Only paths of Keras files and SavedModels are looked for: others load in no time, or do not
            say by their content what they are.
        store: the cache.
        asked: what else loading depends on: batch size, signature, whether code may run ("trust").
        sizes: as of :func:`converters.frontend.load.load_model`. What they are found in, the data, is in no key: where
            a model asks for them, nothing is kept.
        load: loads the model with such sizes; ``model`` of the result is the float model.
    """
    key = _key(model, asked, sizes)
    if key is None:
        return load(sizes)
    kept: KeptModel | None = store.get(key, KIND)
    if kept is not None:
        again = _Again(lambda: _unchanged(load(sizes), _digest(model, asked, sizes) == key))
        functions = {name: getattr(again, name) for name in kept.functions}
        float_model: Any = kept.source.model
        return replace(kept.source, model=replace(float_model, **functions))
    found: list[Sequence[InputSpec]] = []

    def watched(inputs: Sequence[InputSpec]) -> Mapping[str, Sequence[int]]:
        found.append(inputs)
        return sizes(inputs)  # pyright: ignore[reportCallIssue, reportOptionalCall] (only where it is a function)

    source = load(watched if callable(sizes) else sizes)
    if _digest(model, asked, sizes) != key or changed_sources() is not None:
        text = f"cache: {shown(str(model))} is not kept: it, or tfmpq itself, has changed while it was loaded"
        warnings.warn(CacheWarning(text), stacklevel=3)
    elif not found and isinstance(source.model, FloatModel):
        functions = tuple(n for n in ("public_int8", "trace") if getattr(source.model, n) is not None)
        store.put(key, KIND, {"model": source.model.source}, KeptModel(source, functions))
    return source


def _unchanged(source: Source, same: bool) -> Source:
    if not same:
        model: Any = source.model
        raise ModelError(f"{model.source} has changed while it was converted. Convert it again.")
    return source


def _key(model: object, asked: Mapping[str, object], sizes: Sizes) -> str | None:
    if asked.get("trust") or _has_own_classes():
        return None
    key = _digest(model, asked, sizes)
    return key if changed_sources() is None else None


def _digest(model: object, asked: Mapping[str, object], sizes: Sizes) -> str | None:
    if not isinstance(model, (str, os.PathLike)):
        return None
    path = Path(model)
    found = Digest()
    try:
        files = _files(path)
        if not files:
            return None
        given = sizes.name if isinstance(sizes, OpenSizes) else None if callable(sizes) else sizes
        found.add((versions(), os.fspath(model), asked, given))
        for file in files:
            found.add(os.fspath(file.relative_to(path)))
            with file.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    found.add(chunk)
    except (OSError, ValueError, NoDigestError):  # said better by who loads it
        return None
    return found.hexdigest()


def _files(path: Path) -> list[Path]:
    """The files that a model is in; none where it is not looked for."""
    if not path.is_dir():
        return [path] if path.is_file() and path.suffix in _SUFFIXES else []
    files, again = files_below(path)
    if again or any(map(is_special, files)):
        return []
    return [file for file in files if file.is_file()]


def _has_own_classes() -> bool:
    """Whether Keras knows classes of the caller: a file may name them, and does not hold their code."""
    for name in ("keras", "tf_keras"):
        package: Any = sys.modules.get(name)
        if package is None:
            continue
        if not all(_is_of(name, *entry) for entry in package.saving.get_custom_objects().items()):
            return True
        with (scope := package.saving.custom_object_scope({})):  # its backup is what the scopes around it give
            if getattr(scope, "backup", True):
                return True
    return False


def _is_of(package: str, name: str, entry: object) -> bool:
    """Whether it is what ``package`` or tfmpq registers under that name."""
    owner = str(getattr(entry, "__module__", "")).partition(".")[0]
    return owner in ("tfmpq", package) and name.rpartition(">")[2] == getattr(entry, "__name__", None)
