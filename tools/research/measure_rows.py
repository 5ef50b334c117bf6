"""What points really buy against what was predicted: layer by layer, all together, and row by row.

    python -m tools.research.measure_rows --zoo DIR [--models NAME ...] [--photos 200] [--json F]

Everything is measured in the float network (or in the planned one, with float activations) on photos that nothing was
chosen by: KL in nats of a classifier, squared error over variance of other networks. Three tables a network:

* layers: alone in the float network, with the points that a budget gives them; measured over predicted.
* together: the sum of those against all layers at once: above 1, errors add up to more than themselves.
* marginal: in the network as planned at +10 %, 20 % more rows of one layer get a second point: what that saves a
  byte, and the rank correlation of that with the prediction.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tfmpq
from converters.tflite.graph import Model
from tfmpq.plan.choice import Chooser
from tfmpq.preparation import Prepared
from tfmpq.stages import Planned
from tools.research.measuring import zoo_or_exit, zoo_parser
from tools.research.variants import Change, distances, is_classifier, variants

BUDGETS = (0.0, 0.05, 0.10, 0.20, 0.40)
ALONE = (0.0, 0.10)  # at which layers are measured by themselves
MARGINAL = 0.10
MORE = 0.2  # of a layer's rows
COMPACT = ("mlperftiny_resnet8_cifar10", "cifar10_resnet20")  # 3x3 convolutions: 4 bits only pay in the compact form


@dataclass(frozen=True)
class Alone:
    """One layer rounded in the float network."""

    model: str
    budget: float
    layer: str
    bits: int
    share: float  # of rows that have two points
    predicted: float
    measured: float
    error: float  # standard error of measured


@dataclass(frozen=True)
class Together:
    """All layers rounded."""

    model: str
    budget: float
    predicted: float
    single: float  # sum of layers measured alone; 0 at budgets at which they were not
    measured: float
    error: float


@dataclass(frozen=True)
class Marginal:
    """More rows of one layer with a second point, in the network as planned."""

    model: str
    layer: str
    rows: int
    bytes: float
    predicted: float
    measured: float
    error: float


def plans(prepared: Prepared, budgets: Sequence[float]) -> dict[float, list[Planned]]:
    """The plans of budgets."""
    network = prepared.network
    chooser = Chooser(prepared.weighed, prepared.target, network.stock.graph, network.base.graph)
    choose = chooser.chooser()
    return {budget: choose(budget * chooser.base_bytes) for budget in budgets}


def further(layer: Planned, share: float) -> np.ndarray | None:
    """Counts with ``share`` of the rows served next; None where all have all their points."""
    counts, gains = layer.counts.copy(), layer.gains
    if gains.shape[1] != 1 or (counts > 1).all():
        return None
    order = np.argsort(-gains[:, 0], kind="stable") if layer.order is None else layer.order
    rest = order[counts[order] == 1]
    counts[rest[: max(1, round(share * len(counts)))]] = 2
    return counts


def measure_alone(
    name: str, model: Model, planned: Mapping[float, Sequence[Planned]], photos: np.ndarray
) -> list[Alone]:
    """Every layer by itself at every budget of ``planned``; equal points are measured once."""
    changes: dict[tuple[str, bytes], Change] = {}
    for plan in planned.values():
        for x in plan:
            changes.setdefault((x.name, x.counts.tobytes()), Change(f"{x.name} {len(changes)}", x, x.counts))
    layers = next(iter(planned.values()))
    outputs = variants(model, layers, {}, list(changes.values()), photos)
    reference, probability = outputs.pop(""), is_classifier(model)
    rows = []
    for budget, plan in planned.items():
        for x in plan:
            found = outputs[changes[x.name, x.counts.tobytes()].label]
            each = distances(reference, found, probability=probability)
            share, bits = float((x.counts > 1).mean()), x.settings.bits
            rows.append(Alone(name, budget, x.name, bits, share, x.remaining_cost(x.counts), *_mean(each)))
    return rows


def measure_together(
    name: str, model: Model, planned: Mapping[float, Sequence[Planned]], alone: Sequence[Alone], photos: np.ndarray
) -> list[Together]:
    """All layers rounded, at every budget."""
    probability = is_classifier(model)
    reference = variants(model, [], {}, [], photos)[""]
    rows = []
    for budget, plan in planned.items():
        found = variants(model, plan, {x.name: x.counts for x in plan}, [], photos)[""]
        each = distances(reference, found, probability=probability)
        single = sum(row.measured for row in alone if row.budget == budget)
        predicted = sum(x.remaining_cost(x.counts) for x in plan)
        rows.append(Together(name, budget, predicted, single, *_mean(each)))
    return rows


def measure_marginal(name: str, model: Model, plan: Sequence[Planned], photos: np.ndarray) -> list[Marginal]:
    """20 % more rows, layer by layer."""
    probability = is_classifier(model)
    reference = variants(model, [], {}, [], photos)[""]
    changes = [Change(x.name, x, more) for x in plan if (more := further(x, MORE)) is not None]
    outputs = variants(model, plan, {x.name: x.counts for x in plan}, changes, photos)
    before = distances(reference, outputs[""], probability=probability)
    rows = []
    for change in changes:
        x = next(x for x in plan if x.name == change.label)
        added = change.counts > x.counts
        saved = before - distances(reference, outputs[change.label], probability=probability)
        predicted = x.remaining_cost(x.counts) - x.remaining_cost(change.counts)
        size = int(added.sum()) * x.row_bytes
        rows.append(Marginal(name, x.name, int(added.sum()), size, predicted, *_mean(saved)))
    return rows


def rank_correlation(a: Sequence[float], b: Sequence[float]) -> float:
    """Spearman's."""
    first, second = (np.argsort(np.argsort(values)).astype(float) for values in (a, b))
    return float(np.corrcoef(first, second)[0, 1]) if len(a) > 2 else float("nan")


def _mean(values: np.ndarray) -> tuple[float, float]:
    return float(values.mean()), float(values.std() / np.sqrt(len(values)))


def markdown(alone: Sequence[Alone], together: Sequence[Together], marginal: Sequence[Marginal]) -> str:
    """The three tables."""
    lines = ["| model | budget | predicted | sum of layers alone | all together (s.e.) |", "|---|---|---|---|---|"]
    for t in together:
        single = f"{t.single:.4f}" if t.single else ""
        lines.append(
            f"| {t.model} | +{t.budget:.0%} | {t.predicted:.4f} | {single} | {t.measured:.4f} ({t.error:.4f}) |"
        )
    lines += [
        "",
        "| model | budget | layer | bits | rows with two | predicted | measured (s.e.) | ratio |",
        "|" + "---|" * 8,
    ]
    for a in alone:
        ratio = a.measured / a.predicted if a.predicted > 0 else float("inf")
        lines.append(
            f"| {a.model} | +{a.budget:.0%} | {a.layer} | {a.bits} | {a.share:.0%} | {a.predicted:.5f} | "
            f"{a.measured:.5f} ({a.error:.5f}) | {ratio:.2f} |"
        )
    lines += ["", "| model | layer | rows | bytes | predicted saving / kB | measured (s.e.) / kB |", "|" + "---|" * 6]
    for name in dict.fromkeys(m.model for m in marginal):
        own = [m for m in marginal if m.model == name]
        rank = rank_correlation([m.predicted / m.bytes for m in own], [m.measured / m.bytes for m in own])
        for m in sorted(own, key=lambda m: -m.predicted / m.bytes):
            unit = 1e3 / m.bytes
            lines.append(
                f"| {name} | {m.layer} | {m.rows} | {m.bytes:.0f} | {1e3 * m.predicted * unit:.3f}e-3 | "
                f"{1e3 * m.measured * unit:.3f} ({1e3 * m.error * unit:.3f})e-3 |"
            )
        lines.append(f"| {name} | rank correlation {rank:.2f} | | | | |")
    return "\n".join(lines) + "\n"


def measure_model(
    name: str, prepared: Prepared, photos: np.ndarray
) -> tuple[list[Alone], list[Together], list[Marginal]]:
    """All three of a network."""
    model, planned = prepared.network.model, plans(prepared, BUDGETS)
    alone = measure_alone(name, model, {b: planned[b] for b in ALONE}, photos)
    together = measure_together(name, model, planned, alone, photos)
    return alone, together, measure_marginal(name, model, planned[MARGINAL], photos)


def main() -> None:
    parser = zoo_parser(__doc__)
    parser.add_argument("--photos", type=int, default=200, help="of the evaluation set")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    zoo = zoo_or_exit(options.zoo)
    found: tuple[list[Any], ...] = ([], [], [])
    for name in options.models or zoo.NAMES:
        entry = zoo.load(name)
        lowering = "compact" if name in COMPACT else "auto"
        samples = entry.calibration(options.calibration)
        prepared = tfmpq.prepare(entry.keras_model(), samples, seed=0, progress=False, lowering=lowering)
        for rows, new in zip(found, measure_model(name, prepared, entry.evaluation(options.photos)[0]), strict=True):
            rows += new
        if options.json:
            options.json.write_text(json.dumps([[asdict(row) for row in rows] for rows in found], indent=1))
    print(markdown(*found))


if __name__ == "__main__":
    main()
