"""The report of a conversion: what was done to every layer, what the file costs, and what to try next."""

from __future__ import annotations

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from converters.layers.layer import Skipped
from converters.runtime.delegation import Coverage
from tfmpq.activations.losses.culprits import plain
from tfmpq.activations.losses.losses import TensorLoss
from tfmpq.activations.subject import Mended
from tfmpq.html.blocks import cards, from_blocks
from tfmpq.html.page import Page, Section, save_page
from tfmpq.html.scatter import charts
from tfmpq.html.tags import joined, tag
from tfmpq.plan.layer_plan import Fallback
from tfmpq.report.activation_blocks import done, separated, worst_activations
from tfmpq.report.file_figures import FileFigures
from tfmpq.report.layer_report import LayerReport, decibels, layer_table, moments_in_blocks, percent
from tfmpq.report.operators import Operator
from tfmpq.report.page_files import file_charts, key_figures
from tfmpq.report.page_layers import graph_html, layers_html
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.report.suggestion import Suggestion, rules_to_paste
from tfmpq.report.weight_share import WeightShare
from tfmpq.report.wilson import wilson_interval
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.text import Block, Facts, plural, quantity, shorten, to_plain, to_terminal

if TYPE_CHECKING:
    from tfmpq.emit.validation import ValidationReport
    from tfmpq.plan.lowering_cost import LoweringCost
    from tfmpq.report.like_stock import LikeStockFigures

_NAME = 60  # columns a layer name may take inside a sentence
_OUTPUTS = 8  # more are in the dict
_FEW_DB, _MUCH_DB = 20.0, 10.0  # channels of fewer decibels, and by so much fewer than their output, get a word

Entry = tuple[str, str]


@dataclass(frozen=True)
class Report:
    """Everything worth knowing about a conversion; print it, or take :meth:`to_dict`.

    Attributes:
        layers: in graph order.
        runtime: interpreter that gave the delegate coverage and the proxies.
        float_bytes: size of the float file.
        stock, file: figures of the stock int8 file and of the emitted one.
        extra_bits: bytes of further points / bytes of all one-point rows of the layers below 8 bits; None if there
            are no such layers.
        proxies: closeness to the float model on a few samples; None without samples.
        fallbacks: layers that could not be written as asked.
        skipped: ops that stay as stock has them, and why.
        validation: result of the file's check; None if it was switched off.
        suggestions: rules for the layers that cost most.
        seconds: time of each stage.
        notes: what else the user should know.
        images, views: calibration samples, and views made of each.
        lowering_costs: size and predicted latency of the same points as written and in each lowering.
        warnings: signs that the data are wrong, or that int8 activations are; first of all in print.
        unspent: why the budget was not spent, and what would spend it; None if it was.
        like_stock: how the smallest file like stock was found; None for other budgets, or where nothing was to choose.
        losses: what int8 loses of every activation, in graph order.
        mended: what was done for activations before a weight was rounded, and for the codes of LSTMs.
        activations: what the files compute with; stock's has int8 weights and float activations beside float ones.
        operators: of the file's main graph, in their order.
    """

    layers: tuple[LayerReport, ...]
    runtime: str
    float_bytes: int
    stock: FileFigures
    file: FileFigures
    extra_bits: float | None
    proxies: Proxies | None
    fallbacks: tuple[Fallback, ...]
    skipped: tuple[Skipped, ...]
    validation: ValidationReport | None
    suggestions: tuple[Suggestion, ...]
    seconds: dict[str, float]
    notes: tuple[str, ...]
    images: int
    views: int
    lowering_costs: tuple[LoweringCost, ...]
    warnings: tuple[Suspicion, ...] = ()
    unspent: str | None = None
    losses: tuple[TensorLoss, ...] = ()
    mended: tuple[Mended, ...] = ()
    weights: WeightShare | None = None
    like_stock: LikeStockFigures | None = None
    activations: Literal["int8", "float"] = "int8"
    operators: tuple[Operator, ...] = ()

    @property
    def stock_name(self) -> str:
        """What the file is called that figures are held against."""
        return "stock int8" if self.activations == "int8" else "stock dynamic int8"

    def ops_added(self) -> dict[str, int]:
        """Operator name -> how many more (or fewer) than in the stock file; unchanged ones are left out."""
        difference = Counter(self.file.operators)
        difference.subtract(self.stock.operators)
        return {name: count for name, count in sorted(difference.items()) if count}

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, which has no infinity: the SQNR of exact results becomes None."""
        result = dataclasses.asdict(self)
        result["ops_added"] = self.ops_added()
        for entry, suggestion in zip(result["suggestions"], self.suggestions, strict=True):
            entry["rule"] = {"match": suggestion.rule.match, **suggestion.rule.settings()}
        result["losses"] = [plain(loss) for loss in self.losses]
        return to_plain(result)

    def to_json(self) -> str:
        """:meth:`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def blocks(self) -> tuple[Block, ...]:
        """What there is to read, for :mod:`tfmpq.text`."""
        validation = "not done" if self.validation is None else str(self.validation)
        doubtful = any(warning.about == "data" for warning in self.warnings)
        return (
            Facts(tuple(("warning", str(warning)) for warning in self.warnings)),
            layer_table(self.layers),
            worst_activations(self.losses, weights={layer.name: layer.sqnr_db for layer in self.layers}),
            Facts((*_totals(self), _calibration(self), *_accuracy(self, doubtful=doubtful))),
            Facts((*separated(self.proxies, floating=self.activations == "float"), *done(self.mended))),
            Facts(_grouped("written otherwise", map(_fallback, self.fallbacks))),
            Facts(_grouped("left as in stock", ((s.name, f"{s.op}: {s.reason}") for s in self.skipped))),
            Facts(_grouped("input moments", moments_in_blocks(self.layers))),
            Facts(_lowering_costs(self.lowering_costs)),
            Facts((("validation", validation),)),
            rules_to_paste(self.suggestions, title="to spend more on the layers that cost most, add to the recipe:"),
            Facts(_seconds(self.seconds)),
            Facts(tuple(("note", note) for note in self.notes)),
        )

    def __str__(self) -> str:
        return to_terminal(self.blocks())

    def page(self, title: str = "conversion", *, about: Sequence[Block] = ()) -> Page:
        """What there is to look at: all that there is to read, with charts, bars of layers and a map of operators.

        Args:
            title: of the page.
            about: what else is to be read of how the file was made.
        """
        warnings, _, activations, *others = self.blocks()
        sizes = {"tfmpq": self.file.bytes, self.stock_name: self.stock.bytes, "float": self.float_bytes}
        found = file_charts(sizes, self.proxies, self.lowering_costs, self.like_stock)
        figures = cards(key_figures(sizes, self.proxies, self.lowering_costs))
        suspicions = tag("div", from_blocks([warnings]), class_="warnings") if self.warnings else None
        sections = [
            Section("summary", "Summary", joined([suspicions, figures, charts(found)])),
            Section("layers", "Layers", layers_html(self.layers)),
        ]
        if self.operators:
            sections.append(Section("graph", "Graph", graph_html(self.operators, self.layers)))
        sections.append(
            Section("measured", "What was measured, and on what", from_blocks([*about, *others, activations]))
        )
        lead = f"{plural(len(self.layers), 'layer')}, {_calibration(self)[1]} to calibrate with, {self.runtime}"
        return Page(title, lead, tuple(sections))

    def save_html(
        self, path: str | os.PathLike[str], *, title: str = "conversion", about: Sequence[Block] = ()
    ) -> None:
        """Writes :meth:`page` to a file, in full or not at all: it needs no other file and no network.

        Args:
            path: of the file.
            title, about: see :meth:`page`.

        Raises:
            OSError: The file cannot be written; an existing one is untouched.
        """
        save_page(path, self.page(title, about=about))


def _totals(report: Report) -> Iterator[Entry]:
    stock, file, name = report.stock, report.file, report.stock_name
    yield (
        "size",
        f"{file.bytes:,} bytes = {percent(file.bytes / stock.bytes, 1)} of {name} ({stock.bytes:,}), "
        f"{percent(file.bytes / report.float_bytes, 1)} of float ({report.float_bytes:,})",
    )
    yield (
        "size deflated",
        f"{file.deflated:,} bytes = {percent(file.deflated / stock.deflated, 1)} of {name} ({stock.deflated:,})",
    )
    if report.weights is not None and report.weights.total:
        yield ("weights below 8 bits", str(report.weights))
    if report.extra_bits is not None:
        extra = percent(report.extra_bits, 2)
        yield ("extra bits", f"{extra} (bytes of further points / of first points in layers below 8 bits)")
    if report.unspent is not None:
        yield ("budget", report.unspent)
    if report.like_stock is not None:
        yield from report.like_stock.entries(name)
    added = ", ".join(f"{name} {count:+d}" for name, count in report.ops_added().items())
    before, after = sum(stock.operators.values()), sum(file.operators.values())
    yield ("operators", f"{after}; {name}: {before}" + (f" ({added})" if added else ""))
    share = f" = {percent(file.macs / stock.macs, 1)} of {name}" if stock.macs else ""
    yield ("multiply-adds", f"{quantity(file.macs)}{share}")
    yield ("XNNPACK", f"{_coverage(file.coverage, stock.coverage, name)} ({report.runtime})")


def _coverage(file: Coverage, stock: Coverage, stock_name: str) -> str:
    def summary(coverage: Coverage) -> str:
        pieces = plural(coverage.partitions, "partition")
        return f"{coverage.delegated_ops} of {coverage.total_ops} operators in {pieces}"

    ours, theirs = (Counter(name for _, name in coverage.left) for coverage in (file, stock))
    text = f"{summary(file)}; {stock_name}: {summary(stock)}"
    for names, what in ((ours - theirs, "left to slower kernels"), (ours & theirs, f"left in {stock_name} too")):
        if names:
            text += f"; {what}: " + ", ".join(f"{count} {name}" for name, count in sorted(names.items()))
    return text


def _accuracy(report: Report, *, doubtful: bool) -> Iterator[Entry]:
    proxies, stock = report.proxies, report.stock_name
    if proxies is None:
        yield ("accuracy", "not measured: there were no samples")
        return
    origin = "held back from fitting the weights"
    if not proxies.held_back:
        origin = "the calibration samples themselves: expect less on new data, or give more samples"
    if doubtful:
        origin += "; these data are doubtful (see the warnings above), and so are the figures measured on them"
    yield ("measured on", f"{plural(proxies.samples, 'sample')}, {origin}")
    if proxies.predictions is not None:

        def agreement(closeness: Closeness) -> str:
            low, high = wilson_interval(closeness.agreeing or 0, proxies.predictions or 1)
            return f"{closeness.agreeing} of {proxies.predictions} ({100 * low:.0f}-{100 * high:.0f} %)"

        text = f"{agreement(proxies.file)} predictions; {stock}: {agreement(proxies.stock)}"
        text += "; on doubtful data" if doubtful else ""
        yield ("agrees with float", text)
    if proxies.file.cosine is not None:
        yield ("cosine to float", f"{proxies.file.cosine:.4f}; {stock}: {proxies.stock.cosine:.4f}")
    for number, name in enumerate(proxies.outputs[:_OUTPUTS]):
        ours, theirs = (decibels(c.sqnr_db[number]) for c in (proxies.file, proxies.stock))
        which = f"{shorten(name, _NAME)}: " if len(proxies.outputs) > 1 else ""
        hidden = _hidden(proxies, number)
        yield ("" if number else "output SQNR", f"{which}{ours}; {stock}: {theirs}{hidden}")
    if len(proxies.outputs) > _OUTPUTS:
        yield ("", f"and {len(proxies.outputs) - _OUTPUTS} further outputs")


def _hidden(proxies: Proxies, number: int) -> str:
    """What the figure of an output hides: channels that are small beside others and keep much less."""
    half = proxies.channels[number].median_db if proxies.channels else None
    if half is None or half >= min(_FEW_DB, proxies.file.sqnr_db[number] - _MUCH_DB):
        return ""
    return f"; half of its channels {'have less than' if half > 0 else 'are lost: below'} {max(half, 0.0):.1f} dB"


def _calibration(report: Report) -> Entry:
    views = report.views
    return "calibration", f"{report.images} images x {views} views" if views > 1 else f"{report.images} samples"


def _lowering_costs(costs: Sequence[LoweringCost]) -> tuple[Entry, ...]:
    """Size and predicted speed in each lowering; the first is what was written, and its size is known."""
    lines = []
    for number, cost in enumerate(costs):
        size = f"{'~' if number else ''}{quantity(cost.bytes, 'B')}"
        lines.append(f"{cost.lowering:<11} {size}, {cost.predicted}")
    return (("predicted cost", "\n".join(lines)),) if lines else ()


def _fallback(fallback: Fallback) -> Entry:
    return fallback.layer, f"{fallback.used} instead of {fallback.asked}: {fallback.reason}"


def _grouped(label: str, entries: Iterable[Entry]) -> tuple[Entry, ...]:
    """(layer, reason) pairs, layers with the same reason together."""
    groups: dict[str, list[str]] = {}
    for name, reason in entries:
        groups.setdefault(reason, []).append(shorten(name, _NAME))
    texts = [f"{', '.join(names)}: {reason}" for reason, names in groups.items()]
    return tuple(zip([label, *[""] * len(texts)], texts, strict=False))


def _seconds(seconds: Mapping[str, float]) -> tuple[Entry, ...]:
    stages = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    return (("time", f"{sum(seconds.values()):.1f} s: {stages}"),) if seconds else ()
