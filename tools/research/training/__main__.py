"""Training-time methods side by side: tables of docs/training.

    python -m tools.research.training --zoo DIR --output docs/training [--models demo NAME ...] [--images 5000]

DIR holds `zoo.py`, see tools/research/measure_zoo.py, with ``cifar10_training()``. Every method starts from the float
model and is trained as `tfmpq train` does: Adam, the method's usual rate, which falls to 0 along a cosine, labels and
the float model as teacher, normalizations frozen or trained as is usual for the method; the last epoch counts.
Distillation has its own loop and rate. Test images are used for no choice. Each row is written as soon as it is there,
and a run that was stopped goes on with the next; another number of images or epochs, or another rate, gives rows of its
own. tables.md is made anew of all that lies in the directory, with times of tools.research.training.latency.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tfmpq
from converters.errors import ConversionError
from tfmpq.benchmark.device import processor
from tfmpq.files import write_atomic
from tools.research.measuring import command_line, zoo_parser
from tools.research.training.measure import Bench, Row, Schedule
from tools.research.training.methods import AFTERWARDS, METHODS, WIDTHS, Widths, rows
from tools.research.training.subjects import NETWORKS, Subject, load_subjects
from tools.research.training.tables import write_tables


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = zoo_parser(__doc__)
    parser.set_defaults(models=NETWORKS)
    parser.add_argument("--output", type=Path, required=True, help="directory of the results, made if need be")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--widths", nargs="+", type=Widths.parse, default=WIDTHS, help="as W3A8, W4A4")
    parser.add_argument("--images", type=int, default=10_000, help="to train on")
    parser.add_argument("--test", type=int, default=4000, help="images to judge by")
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rate", type=float, help="of Adam; default: the method's usual one")
    parser.add_argument("--teacher", type=float, default=0.7, help="share of the float model in the loss")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--varied", action="store_true", help="shift and mirror images: pays in long trainings only")
    return parser.parse_args(arguments)


def measure(subject: Subject, options: argparse.Namespace, command: str) -> None:
    """Adds the rows that are missing to the subject's file in the output directory."""
    schedule = Schedule(options.epochs, options.batch, options.rate, options.teacher, tuple(options.seeds))
    path = options.output / f"{subject.name}.jsonl"
    images = {"images": len(subject.images), "test": len(subject.truth), "varied": subject.varied}
    done: list[dict[str, Any]] = []
    if path.exists():
        done = [json.loads(line) for line in path.read_text().splitlines()]
    known = {(x["method"], x["widths"]) for x in done if x["method"] in AFTERWARDS or _of(x, subject, schedule)}

    def add(row: Row) -> None:
        conditions = {**images, **schedule.conditions(row.method)}
        made_by = {"when": f"{datetime.date.today()}, {processor()}", "command": command, **conditions}
        done.append({**asdict(row), "made_by": made_by})
        write_atomic(path, "".join(json.dumps(x) + "\n" for x in done).encode())
        write_tables(options.output)
        print(row, flush=True)

    wanted = [(m, w) for m, w in rows(options.methods, options.widths) if (m, str(w)) not in known]
    if not wanted:
        return
    bench = Bench(subject, schedule)
    if not done:
        base = tfmpq.convert(subject.model, subject.calibration, budget=tfmpq.ExtraBits(0.0), progress=False)
        for row in bench.references(base.float_model, base.stock_model):
            add(row)
    for method, wide in wanted:
        add(bench.row(method, wide))


def _of(row: dict[str, Any], subject: Subject, schedule: Schedule) -> bool:
    """Whether a row was trained on as many images for as many epochs, at the same rate."""
    wanted = {"images": len(subject.images), "varied": subject.varied, "epochs": schedule.epochs}
    wanted["rate"] = schedule.conditions(row["method"])["rate"]
    return all(row["made_by"][key] == value for key, value in wanted.items())


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    options = parse(arguments)
    places = {options.zoo: "ZOO", options.output: "docs/training"}
    command = command_line("tools.research.training", arguments, places)
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        samples = options.images, options.test
        for subject in load_subjects(options.zoo, options.models, *samples, varied=options.varied):
            measure(subject, options, command)
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
