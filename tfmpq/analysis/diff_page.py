"""A comparison of two files as a page: layers by their own error, rules that help, and the samples that differ most."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from tfmpq.analysis.diff_result import Diff, LayerDiff
from tfmpq.analysis.worst_samples import Answer, WorstSample, WorstSamples
from tfmpq.html.blocks import from_blocks
from tfmpq.html.page import Page, Section
from tfmpq.html.tables import Cell, Row, bar_table
from tfmpq.html.tags import Html, joined, tag
from tfmpq.html.thumbnails import thumbnail
from tfmpq.report.wilson import wilson_interval
from tfmpq.text import Block, Column, plural

_COLUMNS = (
    Column("layer"),
    *(Column(title, numeric=True) for title in ("own SQNR dB", "SQNR dB", "cosine", "own steps", "steps", "bits")),
    Column("op"),
    Column("output"),
)
_BAR = "bars: noise in what a layer writes, beside the worst layer's; own: see below."


def diff_page(
    result: Diff, worst: WorstSamples | None, *, first: str, second: str, about: Sequence[Block] = ()
) -> Page:
    """The page of a comparison.

    Args:
        result: layer by layer.
        worst: the samples that differ most; None: they were not looked for.
        first, second: what the files are called.
        about: what else is to be read of how it was made.
    """
    table, *others = result.blocks()
    notes = getattr(table, "notes", ())
    sections = [Section("layers", "Layers, worst own error first", _layers(result, notes))]
    if worst is not None:
        sections.append(Section("samples", "Samples that differ most", _samples(worst, first, second)))
    sections.append(Section("measured", "What to do, and what was measured", from_blocks([*others, *about])))
    lead = f"{second} beside {first}: {plural(result.samples, 'sample')}, {result.runtime}"
    return Page("comparison of two files", lead, tuple(sections))


def _layers(result: Diff, notes: tuple[str, ...]) -> Html:
    noises = [_noise(layer) for layer in result.layers]
    worst = max(noises, default=0.0) or 1.0
    rows = [Row(tuple(_cells(layer, noise / worst))) for layer, noise in zip(result.layers, noises, strict=True)]
    return bar_table(
        _COLUMNS, rows, name="layers", notes=(_BAR, *(note for note in notes if not note.startswith("and ")))
    )


def _noise(layer: LayerDiff) -> float:
    """Noise over signal of the layer's own error; what is no number is all noise."""
    return 1.0 if math.isnan(layer.own_sqnr_db) else min(10 ** (-layer.own_sqnr_db / 10), 1.0)


def _cells(layer: LayerDiff, share: float) -> Iterator[Cell]:
    name, op, output, bits, own, own_steps, accumulated, cosine, steps = layer.cells()
    yield Cell(name)
    yield Cell(own, layer.own_sqnr_db, share, kind="error")
    yield Cell(accumulated, layer.sqnr_db)
    yield Cell(cosine, layer.cosine)
    yield Cell(own_steps, layer.own_max_step)
    yield Cell(steps, layer.max_step)
    yield Cell(bits)
    yield Cell(op)
    yield Cell(output)


def _samples(worst: WorstSamples, first: str, second: str) -> Html:
    said = f"the {len(worst.samples)} worst of {plural(worst.count, 'sample')}, by the SQNR of their outputs"
    if worst.changed is not None and worst.count:
        low, high = wilson_interval(worst.changed, worst.count)
        said += f"; answers as class: score; the class changes on {worst.changed} of {worst.count}"
        said += (
            f" ({100 * low:.1f}-{100 * high:.1f} %, a 95 % interval){', and these come first' * bool(worst.changed)}"
        )
    images = [sample.image for sample in worst.samples if sample.image is not None]
    low, high = (float(np.nan_to_num(f([f(image) for image in images]))) if images else 0.0 for f in (np.min, np.max))
    articles = (_sample(sample, first, second, low, high) for sample in worst.samples)
    scale = f"images as the model is given them: black is {low:.3g}, white {high:.3g}" if images else None
    notes = (tag("p", text, class_="note") for text in (said, scale) if text)
    return joined([*notes, tag("div", *articles, class_="samples")])


def _sample(sample: WorstSample, first: str, second: str, low: float, high: float) -> Html:
    picture = None
    if sample.image is not None:
        source = thumbnail(sample.image, low=low, high=high)
        picture = tag("img", src=source, alt=f"input of sample {sample.number}")
    noise = "equal" if sample.sqnr_db == math.inf else f"{sample.sqnr_db:.1f} dB"
    changed = ", another class" if sample.changed else ""
    heading = tag("h3", f"sample {sample.number}: {noise}{changed}")
    return tag("article", picture, tag("div", heading, _answers(sample, first, second)))


def _answers(sample: WorstSample, first: str, second: str) -> Html | None:
    if not sample.first:
        return None
    head = tag("tr", *(tag("th", name, scope="col") for name in (first, second)))
    rows = (tag("tr", *map(_answer, pair)) for pair in zip(sample.first, sample.second, strict=True))
    return tag("table", tag("thead", head), tag("tbody", *rows))


def _answer(answer: Answer) -> Html:
    number, score = answer
    return tag("td", f"{number}: {score:.3g}")
