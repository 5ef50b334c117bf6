"""How long files of trained models take, relative to stock int8: a column of the tables of docs/training.

    python -m tools.research.training.latency --zoo DIR --output docs/training [--models demo NAME ...]

Time follows from a file's operators, not from what was trained: each form of file is measured once, untrained. Leave
the machine alone meanwhile.
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import tfmpq
from converters.errors import ConversionError
from tfmpq.benchmark.device import processor
from tfmpq.benchmark.latency import many_latency_ratios
from tfmpq.files import write_atomic
from tools.research.measuring import command_line, zoo_parser
from tools.research.training.methods import FEW_BITS, FLOAT, ONE, STOCK, STUDENTS, TWO, Widths
from tools.research.training.subjects import NETWORKS, Subject, load_subjects
from tools.research.training.tables import LATENCIES, write_tables

_EXAMPLES = {ONE: ("LSQ", "W4A8"), TWO: ("TTQ", "W2A8"), FEW_BITS: ("LSQ", "W4A4")}


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = zoo_parser(__doc__)
    parser.set_defaults(models=NETWORKS)
    parser.add_argument("--output", type=Path, required=True, help="directory of the rows")
    return parser.parse_args(arguments)


def measure(subject: Subject) -> dict[str, float]:
    """Form -> time relative to stock int8, XNNPACK, one thread."""
    base = tfmpq.convert(subject.model, subject.calibration, budget=tfmpq.ExtraBits(0.0), progress=False)
    files = {FLOAT: base.float_model, STOCK: base.stock_model}
    files |= {form: file_of(subject, method, Widths.parse(widths)) for form, (method, widths) in _EXAMPLES.items()}
    found = many_latency_ratios(list(files), files.__getitem__, reference=base.stock_model)
    return {form: ratio for forms, ratio in found for form in forms}


def file_of(subject: Subject, method: str, wide: Widths) -> bytes:
    """The expanded file of an untrained student."""
    make = STUDENTS[method].make
    student = make(subject.model, subject.calibration, bits=wide.weights, activation_bits=wide.activations)
    return tfmpq.expand(tfmpq.convert(student, subject.calibration, lowering="compact", progress=False).tflite_model)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    options = parse(arguments)
    path = options.output / LATENCIES
    known = json.loads(path.read_text()) if path.exists() else {}
    command = command_line(
        "tools.research.training.latency", arguments, {options.zoo: "ZOO", options.output: "docs/training"}
    )
    try:
        for subject in load_subjects(options.zoo, options.models, 1, 1, varied=False):
            made_by = {"when": f"{datetime.date.today()}, {processor()}", "command": command}
            known[subject.name] = {**made_by, "ratios": measure(subject)}
            print(subject.name, known[subject.name]["ratios"], flush=True)
            write_atomic(path, json.dumps(known, indent=2).encode() + b"\n")
            write_tables(options.output)
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
