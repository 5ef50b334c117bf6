"""Whether plans by better costs of layers are better plans: KL at equal bytes on photos that no cost was measured on.

    python -m tools.research.measure_replanning --zoo DIR [--models NAME ...] [--photos 400] [--budgets 0.1 0.2]

Half of the photos are measured on, the other half judges. Against the plan of the product, three others:

* alone: every layer's cost is what it costs by itself in the float network on that half: what no estimate can beat.
* typical: from the product's own samples: the KL that all samples' probabilities together, and not each its own, make
  of a layer's errors of the logits. Classifiers only.
* second pass: what the rest of every layer costs in the network as planned on that half, all other layers rounded;
  a layer's prediction counts as right to a half, so that noise does not move bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

import tfmpq
from tfmpq.measure.sensitivity import output_distance
from tfmpq.preparation import Prepared
from tfmpq.stages import Planned, Weighed
from tools.research.measure_rows import COMPACT, plans
from tools.research.measuring import zoo_or_exit, zoo_parser
from tools.research.variants import Change, distances, is_classifier, variants

_TEMPERATURE = 4.0  # of the product's own measure
_TRUST = 0.5  # relative standard deviation that predictions are given
_MOST = 4.0  # times that a second pass may raise or lower a cost
_LEAST = 1e-12

Costs = Mapping[str, float]  # layer name -> factor of its cost


@dataclass(frozen=True)
class Row:
    """A plan by other costs against the product's at the same budget."""

    model: str
    budget: float
    by: str
    moved: float  # bytes of further points that are elsewhere
    bytes: float  # of all of them, minus the product's
    kl: float
    minus_product: float
    error: float  # paired standard error


def alone(prepared: Prepared, photos: np.ndarray) -> Costs:
    """Measured over predicted cost with one point everywhere, each layer by itself."""
    model, low = prepared.network.model, _low(prepared.weighed)
    outputs = variants(model, [], {}, _one_point(low), photos)
    probability = is_classifier(model)
    return {
        x.name: float(distances(outputs[""], outputs[x.name], probability=probability).mean()) / x.cost for x in low
    }


def typical(prepared: Prepared) -> Costs:
    """As the module says, over the product's tempered KL on the same samples."""
    model, low = prepared.network.model, _low(prepared.weighed)
    samples = np.concatenate([next(iter(feeds.values())) for feeds in prepared.data.fit()])
    outputs = variants(model, [], {}, _one_point(low), samples)
    p = outputs[""][0].reshape(len(samples), -1).astype(np.float64)
    fisher = np.diag(p.mean(0)) - p.T @ p / len(p)
    result = {}
    for x in low:
        q = outputs[x.name][0].reshape(len(samples), -1).astype(np.float64)
        moved = np.log(q + _LEAST) - np.log(p + _LEAST)
        typical_cost = 0.5 * float(np.einsum("ni,ij,nj->", moved, fisher, moved)) / len(p)
        result[x.name] = typical_cost / output_distance([p], [q], probability=True, temperature=_TEMPERATURE)
    return result


def second_pass(prepared: Prepared, plan: Sequence[Planned], photos: np.ndarray) -> Costs:
    """What the rest of each layer costs in the planned network, over what was predicted."""
    model = prepared.network.model
    changes = []
    for x in plan:
        full = np.full(x.layer.channels, len(x.candidates))
        if (x.counts < full).any():
            changes.append(Change(x.name, x, full))
    outputs = variants(model, plan, {x.name: x.counts for x in plan}, changes, photos)
    reference, probability = variants(model, [], {}, [], photos)[""], is_classifier(model)
    before = distances(reference, outputs[""], probability=probability)
    falls = {c.label: before - distances(reference, outputs[c.label], probability=probability) for c in changes}
    rest = {x.name: x.remaining_cost(x.counts) for x in plan if x.name in falls}
    level = sum(float(fall.mean()) for fall in falls.values()) / sum(rest.values())
    result = {}
    for name, fall in falls.items():
        predicted = level * rest[name]
        noise, trust = float(fall.var()) / len(fall), (_TRUST * predicted) ** 2
        found = (float(fall.mean()) * trust + predicted * noise) / (trust + noise) if trust + noise > 0 else predicted
        result[name] = float(np.clip(found / predicted, 1 / _MOST, _MOST)) if predicted > 0 else 1.0
    return result


def measure_model(name: str, prepared: Prepared, budgets: Sequence[float], photos: np.ndarray) -> list[Row]:
    """All rows of a network."""
    model = prepared.network.model
    half, other = photos[: len(photos) // 2], photos[len(photos) // 2 :]
    probability, reference = is_classifier(model), variants(model, [], {}, [], other)[""]

    def loss(plan: Sequence[Planned]) -> np.ndarray:
        outputs = variants(model, plan, {x.name: x.counts for x in plan}, [], other)[""]
        return distances(reference, outputs, probability=probability)

    first: dict[str, Costs] = {"alone": alone(prepared, half)}
    if probability:
        first["typical"] = typical(prepared)
    rows = []
    for budget, plan in plans(prepared, budgets).items():
        before = loss(plan)
        for by, factors in {**first, "second pass": second_pass(prepared, plan, half)}.items():
            again = plans(replace(prepared, weighed=_reweighed(prepared.weighed, factors)), [budget])[budget]
            difference = loss(again) - before
            rows.append(
                Row(name, budget, by, _moved(plan, again, abs), _moved(plan, again, float), float(before.mean()),
                    float(difference.mean()), float(difference.std() / np.sqrt(len(difference))))
            )  # fmt: skip
    return rows


def _low(layers: Sequence[Weighed]) -> list[Weighed]:
    return [x for x in layers if x.gains.shape[1] and x.cost > 0]


def _one_point(layers: Sequence[Weighed]) -> list[Change]:
    return [Change(x.name, x, np.ones(x.layer.channels, np.int64)) for x in layers]


def _reweighed(layers: Sequence[Weighed], factors: Costs) -> list[Weighed]:
    return [
        replace(x, cost=x.cost * factors.get(x.name, 1.0), gains=x.gains * factors.get(x.name, 1.0)) for x in layers
    ]


def _moved(plan: Sequence[Planned], other: Sequence[Planned], size: Callable[[float], float]) -> float:
    return sum(
        size(float(n)) * x.row_bytes for x, y in zip(plan, other, strict=True) for n in (y.counts - x.counts).tolist()
    )


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| model | budget | plan by | bytes moved | bytes more | loss of the product's | minus product (s.e.) | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        lines.append(
            f"| {r.model} | +{r.budget:.0%} | {r.by} | {r.moved:.0f} | {r.bytes:+.0f} | {r.kl:.5f} | "
            f"{r.minus_product:+.5f} ({r.error:.5f}) | {r.minus_product / r.kl:+.1%} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = zoo_parser(__doc__)
    parser.add_argument("--photos", type=int, default=400, help="of the evaluation set, both halves together")
    parser.add_argument("--budgets", nargs="*", type=float, default=[0.1, 0.2])
    options = parser.parse_args()
    zoo = zoo_or_exit(options.zoo)
    rows: list[Row] = []
    for name in options.models or zoo.NAMES:
        entry = zoo.load(name)
        lowering = "compact" if name in COMPACT else "auto"
        samples = entry.calibration(options.calibration)
        prepared = tfmpq.prepare(entry.keras_model(), samples, seed=0, progress=False, lowering=lowering)
        rows += measure_model(name, prepared, options.budgets, entry.evaluation(options.photos)[0])
    print(markdown(rows))


if __name__ == "__main__":
    main()
