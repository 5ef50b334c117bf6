"""Bytes against KL of rows that start from 4, 3 or 2 bits, in the compact form.

    python -m tools.research.measure_bits --zoo DIR [--models NAME ...] [--photos 250] [--json F]

Points of b bits stack while b x points <= 8: rows of 4 or 8 bits, of 3 or 6, of 2, 4, 6 or 8. KL in nats to the float
network, with float activations (the weights' part, which is all that differs), on photos that nothing was chosen by.
Bytes three times: of the file, in which a code of a row with one point takes 4 bits and of any other 8; packed, as if
rows took the bits of their points; and deflated. All are relative to stock's file (deflated: to stock's deflated).
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import tfmpq
from tfmpq.emit.write import Emission, emit
from tfmpq.preparation import Prepared
from tfmpq.progress import Progress
from tfmpq.stages import Planned
from tools.research.measure_rows import plans
from tools.research.measuring import zoo_or_exit, zoo_parser
from tools.research.variants import distances, is_classifier, variants

BASES = {4: 2, 3: 2, 2: 4}  # bits -> most points
BUDGETS = {
    4: (0.0, 0.05, 0.1, 0.2, 0.4, 0.7),
    3: (0.0, 0.1, 0.2, 0.4, 0.6, 0.8),
    2: (0.0, 0.25, 0.5, 1.0, 1.5, 2.0),
}
MODELS = ("mobilenet_v1_075_224", "mobilenet_v2_100_224_deq8", "cifar10_resnet20")


@dataclass(frozen=True)
class Row:
    """One file. Sizes relative to stock's; rows: shares of codes below 8 bits in rows with 1, 2, ... points."""

    model: str
    bits: int
    budget: float
    file: float
    packed: float
    deflated: float
    kl: float
    kl_error: float
    agreement: float
    rows: tuple[float, ...]


def measure_base(name: str, prepared: Prepared, budgets: Sequence[float], photos: np.ndarray) -> list[Row]:
    """All budgets of one base."""
    stock = prepared.network.stock.content
    model = prepared.network.model
    reference = variants(model, [], {}, [], photos)[""]
    rows = []
    for budget, plan in plans(prepared, budgets).items():
        written = write(prepared, plan)
        outputs = variants(model, plan, {x.name: x.counts for x in plan}, [], photos)[""]
        each = distances(reference, outputs, probability=is_classifier(model))
        same = outputs[0].reshape(len(photos), -1).argmax(1) == reference[0].reshape(len(photos), -1).argmax(1)
        low = [x for x in plan if x.settings.bits < 8]
        points = np.sum([np.bincount(x.counts, minlength=5)[1:] * x.layer.columns for x in low], axis=0)
        bits = max(x.settings.bits for x in low)
        size = len(written.content)
        rows.append(
            Row(name, bits, budget, size / len(stock), (size + spared(written)) / len(stock),
                _deflated(written.content) / _deflated(stock), float(each.mean()),
                float(each.std() / np.sqrt(len(each))), float(same.mean()), tuple((points / points.sum()).tolist()))
        )  # fmt: skip
    return rows


def write(prepared: Prepared, plan: Sequence[Planned]) -> Emission:
    """The file of a plan, for its size."""
    return emit(
        prepared.network,
        plan,
        storage="auto",
        samples=None,
        count=0,
        metadata={"version": tfmpq.__version__},
        progress=Progress(False),
    )


def spared(written: Emission) -> float:
    """Bytes (below 0) that rows as wide as their points would take less than in the file."""
    total = 0.0
    for x in written.layers:
        if x.settings.bits == 8:
            continue
        compact = x.form.name == "compact"
        stored = np.where((x.counts == 1) & compact, 4, 8)
        total += float(((x.settings.bits * x.counts - stored) * x.layer.columns).sum()) / 8
    return total


def _deflated(content: bytes) -> int:
    return len(zlib.compress(content, 9))


def markdown(rows: Sequence[Row]) -> str:
    """The table."""
    lines = [
        "| model | base | budget | file | packed | deflated | KL (s.e.) | agrees % | rows of 1, 2, 3, 4 points |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for r in rows:
        shares = " / ".join(f"{share:.0%}" for share in r.rows[: BASES[r.bits]])
        lines.append(
            f"| {r.model} | {r.bits} bits | +{r.budget:.0%} | {r.file:.3f} | {r.packed:.3f} | {r.deflated:.3f} | "
            f"{r.kl:.4f} ({r.kl_error:.4f}) | {100 * r.agreement:.1f} | {shares} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = zoo_parser(__doc__)
    parser.set_defaults(models=list(MODELS))
    parser.add_argument("--bits", nargs="*", type=int, default=list(BASES), choices=list(BASES))
    parser.add_argument("--photos", type=int, default=250, help="of the evaluation set")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    zoo = zoo_or_exit(options.zoo)
    rows: list[Row] = []
    for name in options.models:
        entry = zoo.load(name)
        samples, photos = entry.calibration(options.calibration), entry.evaluation(options.photos)[0]
        for bits in options.bits:
            model, points = entry.keras_model(), BASES[bits]
            prepared = tfmpq.prepare(
                model, samples, bits=bits, max_points=points, lowering="compact", seed=0, progress=False
            )
            rows += measure_base(name, prepared, BUDGETS[bits], photos)
            if options.json:
                options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1))
    print(markdown(rows))


if __name__ == "__main__":
    main()
