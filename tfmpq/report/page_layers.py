"""What was done to layers, as a page shows it: bars, the table with a rule to copy for each, and the graph."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence

from tfmpq.html.op_map import Place, op_map
from tfmpq.html.tables import Cell, Row, bar_table, stacked_bar
from tfmpq.html.tags import Html, joined, tag
from tfmpq.report.layer_report import LEGEND, LayerReport, percent
from tfmpq.report.operators import Operator
from tfmpq.text import Column, plural, quantity

_COLUMNS = (
    Column("layer"),
    Column("bits", numeric=True),
    Column("bytes", numeric=True),
    Column("error", numeric=True),
    Column("SQNR dB", numeric=True),
    Column("before", numeric=True),
    Column("op"),
    Column("weight"),
    Column("rows by points"),
    Column("lowering"),
    Column("algorithm"),
    Column("rule for 8 bits"),
)
_NOTES = (
    "bytes: bar in the colour of the bits; the line across it is the size before, in the int8 file.",
    LEGEND,
    "rule for 8 bits: an entry for the rules of --recipe; what it costs is the difference of bytes and before.",
    "Times of layers are not part of a conversion: tfmpq benchmark FILE --per_op --html=PAGE measures them.",
)


def layer_name(number: int) -> str:
    """What links to a layer's row are called."""
    return f"layer-{number}"


def layers_html(layers: Sequence[LayerReport]) -> Html:
    """All layers in graph order."""
    return joined([_bytes_by_bits(layers), _table(layers)])


def _bytes_by_bits(layers: Sequence[LayerReport]) -> Html:
    sizes: Counter[int] = Counter()
    for layer in layers:
        sizes[layer.bits] += layer.bytes_after
    total = sum(sizes.values())
    parts = [
        (f"{bits} bits: {quantity(size, 'B')}, {percent(size / total, 0)}", f"bits{bits}", float(size))
        for bits, size in sorted(sizes.items())
        if size
    ]
    title = f"bytes of {plural(len(layers), 'layer')} by bits: {quantity(total, 'B')}"
    return joined([tag("p", title), stacked_bar(parts, title=title)]) if parts else joined([])


def _table(layers: Sequence[LayerReport]) -> Html:
    most = max((max(layer.bytes_after, layer.bytes_before) for layer in layers), default=1) or 1
    worst = max((layer.error_share or 0.0 for layer in layers), default=0.0) or 1.0
    rows = [Row(_cells(layer, most, worst), layer_name(number)) for number, layer in enumerate(layers)]
    return bar_table(_COLUMNS, rows, name="layers", notes=_NOTES)


def _cells(layer: LayerReport, most: int, worst: float) -> tuple[Cell, ...]:
    name, op, shape, bits, algorithm, points, lowering, before, after, sqnr, error = layer.cells()
    share, size = layer.error_share, layer.bytes_after
    return (
        Cell(name),
        Cell(bits, layer.bits),
        Cell(after, size, size / most, layer.bytes_before / most, f"bits{layer.bits}"),
        Cell(error, -1.0 if share is None else share, None if share is None else share / worst, kind="error"),
        Cell(sqnr, layer.sqnr_db),
        Cell(before, layer.bytes_before),
        Cell(op),
        Cell(shape),
        Cell(points),
        Cell(lowering),
        Cell(algorithm),
        Cell(json.dumps({"match": f"^{re.escape(name)}$", "bits": 8}) if layer.bits < 8 else "", copy=True),
    )


def graph_html(operators: Sequence[Operator], layers: Sequence[LayerReport]) -> Html:
    """The main graph of the file, and what the delegate runs of it."""
    rows: Mapping[str, int] = {layer.name: number for number, layer in enumerate(layers)}
    places = [
        Place(
            operator.op,
            operator.layer,
            operator.delegated,
            f"writes {operator.output}" if operator.output else "",
            layer_name(rows[operator.layer]) if operator.layer in rows else "",
        )
        for operator in operators
    ]
    left = Counter(operator.op for operator in operators if not operator.delegated)
    words = ", ".join(f"{count} {name}" for name, count in sorted(left.items()))
    said = f"left to the built-in kernels: {words}; tfmpq inspect --delegate says why" if left else ""
    return joined([op_map(places, title="operators in their order"), tag("p", said, class_="note") if said else None])
