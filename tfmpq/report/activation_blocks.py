"""What a report says of activations: what they lose beside points, where, and what was done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TypeVar

from tfmpq.activations.losses.culprits import advice, culprits, rule_of
from tfmpq.activations.losses.losses import TensorLoss
from tfmpq.activations.losses.rounding import GOOD_DB
from tfmpq.activations.subject import Mended
from tfmpq.report.layer_report import decibels
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.report.suggestion import commented_rules
from tfmpq.text import Column, Lines, Table, plural, shorten

_WORST, _BEST, _OUTPUTS = 8, 3, 8  # more are in the dict
_NAME = 60  # columns of a name inside a sentence
_COLUMNS = (
    Column("activation", least=24),
    Column("op", least=12, spare=True),
    Column("int8 dB", numeric=True),
    *(Column(title, numeric=True, spare=True) for title in ("by channel", "weights dB")),
    Column("lost channels", numeric=True),
    Column("what helps", least=20),
)
_WEIGHTS = [column.title for column in _COLUMNS].index("weights dB")
_LEGEND = (
    "int8 dB: what a tensor says to its own int8 rounding, whatever the weights; by channel: with a scale for each.",
    "lost channels: those that vary, and are one value in int8.",
)
_OF_WEIGHTS = "weights dB: layer output to weight rounding error."

Entry = tuple[str, str]
Cell = TypeVar("Cell")


def worst_activations(losses: Sequence[TensorLoss], *, weights: Mapping[str, float] | None = None) -> Table:
    """The activations that one int8 scale suits worst; often none.

    Args:
        losses: of all activations.
        weights: layer name -> what its weights lose, in dB, for a column beside; None: no such column.
    """
    found = culprits(losses, GOOD_DB)
    rows = [_cells(loss, weights or {}) for loss in found[:_WORST]]
    if not rows:
        return Table(_COLUMNS, ())
    rest = len(found) - len(rows)
    more = (f"and {rest} more below {GOOD_DB:.0f} dB (all are in the JSON)",) if rest else ()
    columns, legend = _COLUMNS, (*_LEGEND, _OF_WEIGHTS)
    if weights is None:
        columns, legend = _without_weights(columns), _LEGEND
        rows = [_without_weights(row) for row in rows]
    return Table(columns, tuple(rows), title="activations that int8 holds worst:", notes=(*more, *legend))


def _without_weights(row: tuple[Cell, ...]) -> tuple[Cell, ...]:
    return (*row[:_WEIGHTS], *row[_WEIGHTS + 1 :])


def _cells(loss: TensorLoss, weights: Mapping[str, float]) -> tuple[str, ...]:
    own = weights.get(loss.layer)
    return (
        loss.layer,
        loss.op,
        decibels(loss.sqnr_db, unit=""),
        decibels(loss.by_channel_db, unit=""),
        "-" if own is None else decibels(own, unit=""),
        f"{loss.lost_channels} of {loss.channels}" if loss.lost_channels else "-",
        advice(loss),
    )


def activation_rules(losses: Sequence[TensorLoss], *, title: str) -> Lines:
    """The rules that cure the worst activations, as Python source."""
    rules = []
    for loss in culprits(losses, GOOD_DB)[:_WORST]:
        rule = rule_of(loss)
        if rule is not None:
            better = f", {loss.by_channel_db:.0f} dB by channel" if loss.cure == "equalize" else ""
            rules.append((rule, f"now {decibels(loss.sqnr_db)}{better}"))
    return commented_rules(rules, title=title)


def separated(proxies: Proxies | None, *, floating: bool = False) -> Iterator[Entry]:
    """What activations lose, and what points lose beyond that, in each measure; nothing where it was not measured.

    Beside float activations (``floating``) it is 8-bit rows that lose the first part, and the rounding of rows.
    """
    if proxies is None or proxies.activations is None:
        return
    alone, whole = proxies.activations, proxies.file
    lines = []
    if proxies.predictions is not None:
        of = f"of {proxies.predictions} predictions"
        lines.append(_steps(floating, str(alone.agreeing), str(whole.agreeing), f"{proxies.stock.agreeing} {of}"))
    if whole.cosine is not None:
        lines.append("cosine: " + _steps(floating, *(_cosine(c) for c in (alone, whole, proxies.stock))))
    for number, name in enumerate(proxies.outputs[:_OUTPUTS]):
        which = f" of {shorten(name, _NAME)}" if len(proxies.outputs) > 1 else ""
        figures = (decibels(c.sqnr_db[number]) for c in (alone, whole, proxies.stock))
        lines.append(f"SQNR{which}: " + _steps(floating, *figures))
    yield "what loses it", "\n".join(lines)


def _steps(floating: bool, first: str, points: str, stock: str) -> str:
    what, name = ("8-bit rows", "stock dynamic int8") if floating else ("activations", "stock int8")
    return f"float -> {what} {first} -> points {points}; {name}: {stock}"


def _cosine(closeness: Closeness) -> str:
    return f"{closeness.cosine:.4f}"


def done(mended: Sequence[Mended]) -> Iterator[Entry]:
    """What was done for activations: of each kind how often, and where it brought most; then codes of LSTMs."""
    kinds: dict[str, list[Mended]] = {}
    for entry in mended:
        kinds.setdefault(entry.kind, []).append(entry)
    codes = kinds.pop("codes", [])
    for number, (kind, entries) in enumerate(kinds.items()):
        yield "" if number else "done for activations", f"{kind}: {_best(entries)}"
    if codes:
        yield "codes of LSTMs", _best(codes)


def _best(entries: Sequence[Mended]) -> str:
    best = sorted(entries, key=lambda entry: -_gain(entry))
    named = "; ".join(_described(entry) for entry in best[:_BEST])
    rest = best[_BEST:]
    more = f"; and {plural(len(rest), 'more place')}{_mean(rest)}" if rest else ""
    return f"{named}{more}"


def _gain(entry: Mended) -> float:
    return 0.0 if entry.before_db is None or entry.after_db is None else entry.after_db - entry.before_db


def _described(entry: Mended) -> str:
    figures = (
        "" if entry.before_db is None or entry.after_db is None else f"{entry.before_db:.1f} -> {entry.after_db:.1f} dB"
    )
    return f"{shorten(entry.where, _NAME)} ({', '.join(part for part in (figures, entry.why) if part)})"


def _mean(entries: Sequence[Mended]) -> str:
    measured = [_gain(entry) for entry in entries if entry.before_db is not None and entry.after_db is not None]
    return f", {sum(measured) / len(measured):+.1f} dB on average" if measured else ""
