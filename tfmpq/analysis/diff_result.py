"""Where two files of the same network differ, as data and as text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tfmpq.activations.losses.culprits import plain
from tfmpq.activations.losses.losses import TensorLoss
from tfmpq.report.activation_blocks import activation_rules, worst_activations
from tfmpq.report.suggestion import Suggestion, rules_to_paste
from tfmpq.text import Block, Column, Lines, Table, plural, shorten, to_plain, to_terminal

_MOST = 40  # layers in the table
_NAMED = 12  # layers that a line lists
_NAME = 38  # columns of a name there
_COLUMNS = (
    Column("layer", least=24),
    Column("op", least=16, spare=True),
    Column("output", least=15, spare=True),
    *(Column(title, numeric=True) for title in ("bits", "own SQNR", "own steps", "SQNR", "cosine", "steps")),
)
_LEGEND = (
    "SQNR in dB, first file's output to difference; steps: largest difference in steps of the layer's output.",
    "own: the layer is given what the first file computed before it. The other columns: both files run by themselves.",
)
_ACTIVATIONS = "no weights make these errors; to take them away, add to the recipe of the next conversion:"


@dataclass(frozen=True)
class LayerDiff:
    """One layer, or one operator without weights.

    Attributes:
        layer: its Keras layer.
        op: operators that compute it in the second file, such as ``FULLY_CONNECTED+CONCATENATION``.
        shape: of its output.
        bits: bits of its points, if it has weights and the second file tells.
        own_sqnr_db: its own error: the first file's output over the difference, when it is given the first file's
            values; inf: none.
        own_max_step: largest difference then, in steps of the layer's output (see ``step``).
        sqnr_db: the accumulated error, both files running by themselves.
        cosine: between both outputs then.
        max_step: largest difference then, in steps.
        step: size of a quantization step of its output, in the second file if that is quantized, else in the first;
            None: in neither, and then there are no steps.
    """

    layer: str
    op: str
    shape: tuple[int, ...]
    bits: int | None
    own_sqnr_db: float
    own_max_step: float | None
    sqnr_db: float
    cosine: float
    max_step: float | None
    step: float | None

    def cells(self) -> tuple[str, ...]:
        """Its line in the table."""
        return (
            self.layer,
            self.op,
            "x".join(map(str, self.shape)),
            "-" if self.bits is None else str(self.bits),
            _decibels(self.own_sqnr_db),
            _steps(self.own_max_step),
            _decibels(self.sqnr_db),
            f"{self.cosine:.4f}",
            _steps(self.max_step),
        )


@dataclass(frozen=True)
class Diff:
    """Result of :func:`tfmpq.analysis.diff.diff`.

    Attributes:
        layers: worst own error first.
        suggestions: rules for the second file's next conversion that take away most of the worst layers' own error.
        only_first, only_second: layers without a counterpart in the other file.
        reordered: layers whose channels the second file has in another order.
        samples: how many were run.
        written_by_tfmpq: whether the second file is one that a recipe can change.
        kernels: what ran the files.
        runtime: interpreter and version.
        activations: what the integers of the second file lose of every activation by themselves, whatever its weights,
            where the first file is float.
        scaled: layers whose channels are scaled in the second file, as equalization does; they were scaled alike.
        notes: on names that a file does not have.
    """

    layers: tuple[LayerDiff, ...]
    suggestions: tuple[Suggestion, ...]
    only_first: tuple[str, ...]
    only_second: tuple[str, ...]
    reordered: int
    samples: int
    written_by_tfmpq: bool
    kernels: tuple[str, str]
    runtime: str
    activations: tuple[TensorLoss, ...] = ()
    scaled: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no infinity: SQNRs of what is equal (0 steps) or no number become None."""
        result = dataclasses.asdict(self)
        result["activations"] = [plain(loss) for loss in self.activations]
        for entry, suggestion in zip(result["suggestions"], self.suggestions, strict=True):
            entry["rule"] = {"match": suggestion.rule.match, **suggestion.rule.settings()}
        return to_plain(result)

    def blocks(self) -> tuple[Block, ...]:
        """What there is to read, for :mod:`tfmpq.text`: layers, worst own error first; then what to do."""
        rows = tuple(layer.cells() for layer in self.layers[:_MOST])
        rest = len(self.layers) - len(rows)
        more = (f"and {rest} that differ less (--json lists all)",) if rest else ()
        return (
            Table(_COLUMNS, rows, notes=(*more, *_LEGEND)),
            Lines(tuple(_notes(self))),
            _advice(self),
            worst_activations(self.activations),
            activation_rules(self.activations, title=_ACTIVATIONS),
        )

    def __str__(self) -> str:
        return to_terminal(self.blocks())


def _decibels(value: float) -> str:
    return "equal" if value == math.inf else f"{value:.1f}"


def _steps(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _notes(result: Diff) -> Iterator[str]:
    kernels = " and ".join(dict.fromkeys(result.kernels))
    yield f"{plural(result.samples, 'sample')}, {kernels} kernels, {result.runtime}"
    yield from result.notes
    if result.reordered:
        yield f"the second file has the channels of {result.reordered} layers in another order; they were matched"
    if result.scaled:
        yield f"channels of {result.scaled} layers are scaled in one of the files; the other's were scaled alike"
    for names, which in ((result.only_first, "first"), (result.only_second, "second")):
        if names:
            listed = ", ".join(shorten(name, _NAME) for name in names[:_NAMED])
            more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield f"only in the {which} file: {listed}{more}"


def _advice(result: Diff) -> Lines:
    if result.suggestions:
        title = "to take most of their own error off the worst layers, add to the second file's recipe:"
        return rules_to_paste(result.suggestions, title=title)
    if not result.written_by_tfmpq:
        return Lines(("no rule to suggest: the second file is not one of tfmpq's",))
    return Lines(("no rule to suggest: no layer below 8 bits has a notable part in the difference",))
