"""The file without what no kernel reads: names of inner tensors, scales of biases. What it computes stays the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from converters.errors import OptionError
from converters.lowering.bias_scales import share_bias_scales
from converters.lowering.stripping import strip_names
from converters.targets import Target
from converters.tflite.file import File
from converters.tflite.graph import Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.names import Names
from tfmpq.emit.comparison import fault
from tfmpq.emit.validation import parse_emitted
from tfmpq.emit.write import ALWAYS
from tfmpq.options import Options

_EXPANDED = "compact"  # the lowering whose layers are told by their names when the file is loaded


@dataclass(frozen=True, eq=False)
class Lean:
    """A file that is as small as was asked for.

    Attributes:
        content: the file.
        names: that it does without; None: it has them.
        shared: biases that have the scales of their weight.
    """

    content: bytes = field(repr=False)
    names: Names | None = None
    shared: int = 0

    def notes(self) -> Iterator[str]:
        """What the user must know of it."""
        if self.shared:
            yield (
                f"bias_scales='shared': {self.shared} biases have the scales of their weights, which TensorFlow Lite's "
                "CPU kernels (XNNPACK, built-in and reference) do not read. The file is for them only: accelerators "
                "and other runtimes that do read them compute something else."
            )
        if self.names is not None:
            yield (
                "names='strip': inner tensors are called by numbers. Their names are in the file that is saved beside "
                "the model, for tfmpq inspect, diff and benchmark."
            )


def refuse_shared_scales(options: Options, target: Target) -> None:
    """Refuses scales that are not those of the biases where they would be read.

    Raises:
        OptionError: ``bias_scales="shared"`` is asked for on a target that is not TensorFlow Lite's own kernels.
    """
    if options.bias_scales == "shared" and target.stated is not None:
        raise OptionError(
            f"bias_scales='shared' is impossible on {target.name!r}: only TensorFlow Lite's CPU kernels pass over the "
            "scales of biases. Leave it out, or use target='xnnpack' for a file that runs on CPUs only."
        )


def lean(content: bytes, options: Options, lowerings: Mapping[str, str]) -> Lean:
    """Leaves out of a file what the options say.

    Args:
        content: an emitted file with names and exact scales.
        options: of the conversion.
        lowerings: of all layers.
    """
    names, shared = None, 0
    if options.bias_scales == "shared":
        content, shared = share_bias_scales(content)
    if options.names == "strip":
        expandable = [name for name, lowering in lowerings.items() if lowering == _EXPANDED]
        content, names = strip_names(content, expandable=expandable, keep=ALWAYS)
    return Lean(content, names, shared)


def check_lean(made: Lean, exact: File) -> File:
    """The file that was made, with the names and scales that it stands for in its parsed form.

    Args:
        made: by :func:`lean`.
        exact: what it was made from.

    Raises:
        ValidationError: It differs from that in anything but names and scales of biases.
    """
    if made.content == exact.content:
        return exact
    model = parse_emitted(made.content).model
    if len(model.graphs) != len(exact.model.graphs) or len(model.signatures) != len(exact.model.signatures):
        raise fault("graphs or signatures were lost with the names")
    for ours, theirs in zip(model.graphs, exact.model.graphs, strict=True):
        _check_graph(ours, theirs, kept=_kept(exact.model))
    return File(made.content, exact.model)


def _kept(model: Model) -> set[Tensor]:
    ends = {t for graph in model.graphs for t in (*graph.inputs, *graph.outputs)}
    return ends | {t for s in model.signatures for _, t in (*s.inputs, *s.outputs)}


def _check_graph(ours: Graph, theirs: Graph, kept: set[Tensor]) -> None:
    pairs = list(zip(ours.tensors(), theirs.tensors(), strict=True))
    places = dict(pairs)
    rows = _row_scales(ours)
    for x, y in pairs:
        if y in kept and x.name != y.name:
            raise fault(f"{y.name!r}, which users know by its name, is called {x.name!r}")
        same = (x.shape, x.type, x.shape_signature, x.data) == (y.shape, y.type, y.shape_signature, y.data)
        if not same or not _same_scales(x.quantization, y.quantization, rows.get(x)):
            raise fault(f"tensor {y.name!r} is another one without its name")
    for x, y in zip(ours.ops, theirs.ops, strict=True):
        tensors = [None if t is None else places[t] for t in x.inputs], [places[t] for t in x.outputs]
        if _described(x) != _described(y) or tensors != (y.inputs, y.outputs):
            raise fault(f"{y.name} writing {[t.name for t in y.outputs]} is another operator without its names")


def _described(op: Op) -> object:
    options = op.options
    return op.code, op.custom_code, op.version, op.options_type, None if options is None else repr(vars(options))


def _row_scales(graph: Graph) -> dict[Tensor, list[np.ndarray]]:
    """Scales that biases may have in place of their own: those of what is read beside them."""
    found: dict[Tensor, list[np.ndarray]] = {}
    for op in graph.ops:
        scaled = [(t, t.quantization.scale) for t in op.inputs if t is not None and t.quantization is not None]
        for tensor in (t for t in op.inputs if t is not None and t.type == TensorType.INT32 and t.data is not None):
            found.setdefault(tensor, []).extend(x for t, x in scaled if t is not tensor and x.size > 1)
    return found


def _same_scales(ours: Quantization | None, theirs: Quantization | None, rows: list[np.ndarray] | None) -> bool:
    if ours is None or theirs is None:
        return ours is theirs
    if ours.axis != theirs.axis or not np.array_equal(ours.zero_point, theirs.zero_point):
        return False
    return np.array_equal(ours.scale, theirs.scale) or any(np.array_equal(ours.scale, scale) for scale in rows or ())
