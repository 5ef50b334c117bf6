"""What a conversion has prepared, as bytes: a pickle of plain objects of this package, NumPy's and the schema's.

Objects that reference each other do so afterwards too. Only what defines an object is written: values that dataclasses
have computed since, functions of the caller and interpreters are not. Both sides take the same few classes only, so
that reading an entry runs none of the functions that a pickle could name.
"""

from __future__ import annotations

import dataclasses
import pickle
from types import BuiltinFunctionType, FunctionType, MappingProxyType
from typing import IO, Any

import numpy as np

from converters.frontend.float_model import FloatModel
from converters.layers.kinds import KINDS, WeightKind
from tfmpq.algorithms import LayerStatistics
from tfmpq.measure.halves import half_of, is_symmetric, whole_of

PROTOCOL = 5
_OURS = ("tfmpq", "converters")
_SCHEMA = "ai_edge_litert.schema_py_generated"
_OTHERS = {
    ("builtins", "bytearray"),
    ("builtins", "frozenset"),
    ("builtins", "set"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("types", "MappingProxyType"),
    ("zipfile", "ZipInfo"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}
_CALLABLES = ("public_int8", "trace")  # of a float model: needed before anything is prepared


class NotKeptError(Exception):
    """An object that no entry holds."""


def write_pickle(value: object, stream: IO[bytes]) -> None:
    """Writes ``value``.

    Raises:
        NotKeptError: It holds a function, or an object of another package.
    """
    _Pickler(stream, PROTOCOL).dump(value)


def read_pickle(stream: IO[bytes]) -> Any:
    """Reads what :func:`write_pickle` has written.

    Raises:
        NotKeptError: It names what that does not write.
        Exception: Whatever a damaged pickle leads to.
    """
    return _Unpickler(stream).load()


class _Pickler(pickle.Pickler):
    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, (type, FunctionType, BuiltinFunctionType)):
            _check(str(value.__module__), value.__qualname__, value)
        elif isinstance(value, WeightKind):
            return _kind, (value.name,)
        elif kind is np.ndarray and (shared := _shared(value)) is not None:
            return _view, shared
        elif kind is LayerStatistics and is_symmetric(value.covariance):
            return _with_halves, (_plain(value, covariance=half_of(value.covariance)),)
        elif kind is MappingProxyType:
            return MappingProxyType, (dict(value),)
        elif dataclasses.is_dataclass(kind) and hasattr(value, "__dict__"):
            absent = dict.fromkeys(_CALLABLES) if kind is FloatModel else {}
            return _new, (kind,), _plain(value, **absent)
        return NotImplemented


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        found = super().find_class(module, name)
        _check(module, name, found)
        return found


def _check(module: str, name: str, found: object) -> None:
    own = module.partition(".")[0] in _OURS or module == _SCHEMA
    known = (own and isinstance(found, type)) or (module, name) in _OTHERS or found in _FUNCTIONS
    if not known:
        raise NotKeptError(f"{module}.{name}")


def _plain(value: Any, **changed: object) -> dict[str, object]:
    """The fields of a dataclass, without what it has computed and remembers."""
    return {f.name: changed.get(f.name, getattr(value, f.name)) for f in dataclasses.fields(value)}


def _new(kind: type) -> Any:
    return object.__new__(kind)


def _kind(name: str) -> WeightKind:
    return KINDS[name]


def _shared(array: np.ndarray) -> tuple[object, int, str, tuple[int, ...], tuple[int, ...]] | None:
    """How an array lies in memory that it shares: in a tensor's bytes, or repeating a smaller array. None: neither."""
    root: Any = array
    while isinstance(root, np.ndarray) and root.base is not None:
        root = root.base
    if root is array or array.dtype.hasobject or not array.size:
        return None
    if isinstance(root, bytes):
        start = np.frombuffer(root, np.uint8).ctypes.data
    elif type(root) is np.ndarray and root.nbytes < array.nbytes and root.flags.c_contiguous:
        start = root.ctypes.data
    else:
        return None
    return root, array.ctypes.data - start, array.dtype.str, array.shape, array.strides


def _view(root: Any, offset: int, dtype: str, shape: tuple[int, ...], strides: tuple[int, ...]) -> np.ndarray:
    return np.ndarray(shape, np.dtype(dtype), root, offset, strides)


def _with_halves(fields: dict[str, Any]) -> LayerStatistics:
    half = fields["covariance"]
    return LayerStatistics(**{**fields, "covariance": whole_of(half)})


_FUNCTIONS = {_new, _kind, _view, _with_halves}
