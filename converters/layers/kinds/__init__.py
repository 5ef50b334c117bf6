"""Kinds of layers: one a file, one row here."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from converters.layers.kinds.conv import Conv
from converters.layers.kinds.dense import Dense
from converters.layers.kinds.depthwise import Depthwise
from converters.layers.kinds.embedding import Embedding
from converters.layers.kinds.kind import LEAST_DYNAMIC, Site, WeightKind
from converters.layers.kinds.transpose_conv import TransposeConv
from converters.tflite.graph import Op, Tensor

__all__ = [
    "BUILT_IN",
    "CONV",
    "DENSE",
    "EMBEDDING",
    "KINDS",
    "LEAST_DYNAMIC",
    "Site",
    "WeightKind",
    "kind_of",
    "register_kind",
    "weights_of",
]

KINDS: dict[str, WeightKind] = {}
_BY_CODE: dict[int, WeightKind] = {}


def register_kind(kind: WeightKind) -> None:
    """Makes a kind known: layers of it are found, lowered, checked and reported."""
    KINDS[kind.name] = _BY_CODE[kind.code] = kind


CONV, DENSE = Conv(), Dense()  # what lowerings make of other kinds
EMBEDDING = Embedding()
for _kind in (CONV, Depthwise(), DENSE, TransposeConv(), EMBEDDING):
    register_kind(_kind)
BUILT_IN: Mapping[str, WeightKind] = MappingProxyType(dict(KINDS))


def kind_of(op: Op) -> WeightKind | None:
    """The kind of an operator; None if it has no weights that tfmpq knows."""
    return _BY_CODE.get(op.code)


def weights_of(op: Op) -> list[Tensor]:
    """The constant weights of an operator, one a site; none if its kind is not known."""
    kind = kind_of(op)
    found = [] if kind is None else [op.inputs[site.weight] for site in kind.sites if len(op.inputs) > site.weight]
    return [tensor for tensor in found if tensor is not None and tensor.data is not None]
