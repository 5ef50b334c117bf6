"""The rows of a sweep as CSV and as Markdown; rows of other measurements read from CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import statistics
import typing
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from converters.errors import DataError
from tools.research.frontier.rows import FLOAT_FILE, STOCK, STOCK_FILE, TFMPQ, Row

FIELDS = [field.name for field in dataclasses.fields(Row)]
_TYPES = typing.get_type_hints(Row)
MEASURED = Row.source
_AVERAGED = [name for name, kind in _TYPES.items() if kind == float | None] + ["bytes", "deflated"]


def to_csv(rows: Iterable[Row]) -> str:
    """One line a row under a line of names; empty cells are unknown."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = dataclasses.asdict(row).items()
        writer.writerow({k: "" if v is None else f"{v:.6g}" if isinstance(v, float) else v for k, v in values})
    return text.getvalue()


def read_csv(path: Path) -> list[Row]:
    """Rows of other measurements: columns as :func:`to_csv` writes them; model, tool and configuration are needed.

    Raises:
        DataError: The file cannot be read, or a column or number makes no sense.
    """
    try:
        with path.open(newline="") as file:
            lines = list(csv.DictReader(file))
        unknown = {str(name) for line in lines for name in line} - set(FIELDS)
        if unknown:
            raise DataError(f"'{path}' has the columns {sorted(unknown)}; known are {', '.join(FIELDS)}")
        cells: list[dict[str, Any]] = [{k: _parse(k, v) for k, v in line.items() if v} for line in lines]
        return [Row(**{**row, "source": path.name}) for row in cells]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"'{path}' is no table of rows: {error}. It needs the columns of frontier.csv.") from error


def _parse(name: str, text: str) -> Any:
    kind = _TYPES[name]
    if kind == int | None or kind is int:
        return int(float(text))
    return float(text) if kind == float | None else text


@dataclasses.dataclass(frozen=True)
class Group:
    """Rows that differ in their seed only: their mean, and how many and how far apart they are."""

    row: Row
    count: int
    spread: float | None  # standard deviation of the agreement (or score) over the seeds


def average_seeds(rows: Iterable[Row]) -> list[Group]:
    """Groups in the order of their first rows. Standard errors are those of a single file: the samples are the same."""
    groups: dict[Row, list[Row]] = {}
    for row in rows:
        blank: dict[str, Any] = dict.fromkeys(_AVERAGED)
        groups.setdefault(dataclasses.replace(row, seed=0, **blank), []).append(row)
    result = []
    for members in groups.values():
        means: dict[str, float | int | None] = {}
        for name in _AVERAGED:
            values = [getattr(m, name) for m in members]
            means[name] = None if None in values else statistics.fmean(values)
            if name in ("bytes", "deflated") and means[name] is not None:
                means[name] = round(typing.cast(float, means[name]))
        metric = [m.score if m.agreement is None else m.agreement for m in members]
        known = [value for value in metric if value is not None]
        spread = statistics.stdev(known) if len(known) > 1 else None
        result.append(
            Group(dataclasses.replace(members[0], **typing.cast(dict[str, Any], means)), len(members), spread)
        )
    return result


def markdown(
    rows: Sequence[Row], *, heading: Sequence[str], failures: Sequence[tuple[str, str]], plots: Sequence[str] = ()
) -> str:
    """Tables of all models, what tfmpq beats and what failed.

    Args:
        rows: of the sweep and of other sources.
        heading: lines that say how it was measured.
        failures: what failed, with its message.
        plots: file names to show, those that start with a model's name below its table.
    """
    parts = ["# Size, accuracy and latency", "", *heading, ""]
    for model in dict.fromkeys(row.model for row in rows):
        groups = average_seeds(row for row in rows if row.model == model)
        parts += [f"## {model}", "", *_table(groups), ""]
        parts += [f"![{name}]({name})" for name in plots if name.startswith(f"{model}_")]
        beaten = beaten_peers([group.row for group in groups])
        if beaten:
            parts += ["", "Beaten by a tfmpq file in score, bytes and latency at once:", ""]
            parts += [f"* {peer}: {by or '**by none**'}" for peer, by in beaten]
        parts.append("")
    if failures:
        parts += ["## Failed", "", *(f"* {what}: {message}" for what, message in failures), ""]
    return "\n".join(parts)


def _table(groups: Sequence[Group]) -> list[str]:
    stock = next((g.row for g in groups if is_stock(g.row)), None)
    lines = [
        "| tool | configuration | bits | budget | views | kB | of stock | deflated kB | score % (s.e.) | "
        "minus stock (s.e.) | agrees with float % (s.e.) | KL | SQNR dB | latency | seconds |",
        "|" + "---|" * 15,
    ]
    for group in groups:
        row = group.row
        of_stock = row.bytes / stock.bytes if row.bytes and stock and stock.bytes else None
        views = "" if row.tool not in (TFMPQ, STOCK) or row.configuration == FLOAT_FILE else str(row.views)
        seeds = f"; {group.count} seeds +- {group.spread:.2f}" if group.spread is not None else ""
        other = "" if row.source == MEASURED else f" (not measured in this run: {row.source})"
        cells = [
            row.tool + other, row.configuration, _number(row.bits, "d"), row.budget, views,
            _number(row.bytes and row.bytes / 1000, ".1f"), _number(of_stock, ".3f"),
            _number(row.deflated and row.deflated / 1000, ".1f"),
            _pair(row.score, row.score_error, ".2f"), _pair(row.minus_stock, row.minus_stock_error, "+.2f"),
            _pair(row.agreement, row.agreement_error, ".1f") + seeds, _number(row.kl, ".4f"),
            _number(row.sqnr_db, ".1f"), _number(row.latency, ".2f"), _number(row.seconds, ".0f"),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def beaten_peers(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """For every row of another tool below 8 bits: the tfmpq row that beats it in score, bytes and latency at once.

    Scores are compared as differences to stock, which rows of other measurements have against their own stock file.

    Returns:
        (the other tool's row, the best of tfmpq's that beat it, "" if there is none).
    """
    result = []
    for peer in rows:
        values = (peer.minus_stock, peer.bytes, peer.latency)
        if peer.tool in (TFMPQ, STOCK) or None in values or (peer.bits or 0) >= 8:
            continue
        better = [row for row in rows if row.tool == TFMPQ and _beats(row, peer)]
        best = max(better, key=lambda row: row.minus_stock or 0.0, default=None)
        result.append((f"{peer.tool} {peer.configuration} ({_figures(peer)})", describe(best) if best else ""))
    return result


def _beats(row: Row, peer: Row) -> bool:
    if None in (row.minus_stock, row.bytes, row.latency):
        return False
    assert row.minus_stock is not None and row.bytes is not None and row.latency is not None  # noqa: PT018
    assert peer.minus_stock is not None and peer.bytes is not None and peer.latency is not None  # noqa: PT018
    return row.minus_stock > peer.minus_stock and row.bytes < peer.bytes and row.latency < peer.latency


def describe(row: Row) -> str:
    """A row in words."""
    views = f", {row.views} views" if row.views > 1 else ""
    return f"{row.configuration} {row.bits} bits {row.budget}{views} ({_figures(row)})"


def _figures(row: Row) -> str:
    return (
        f"{_number(row.minus_stock, '+.2f')} points, {_number(row.bytes and row.bytes / 1000, '.1f')} kB, "
        f"latency {_number(row.latency, '.2f')}"
    )


def is_stock(row: Row) -> bool:
    """Whether the row is the one all others are compared with."""
    return (row.tool, row.configuration, row.views, row.seed) == (STOCK, STOCK_FILE, 1, 0)


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _pair(value: float | None, error: float | None, form: str) -> str:
    return _number(value, form) + ("" if value is None or error is None else f" ({error:.2f})")
