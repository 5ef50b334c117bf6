"""Other papers' methods and tfmpq on the models of a zoo: tables and plots of docs/compare.

    python -m tools.research.compare_methods --zoo ZOO --output docs/compare

One model after the other; each leaves NAME.json, NAME.csv, NAME.md and NAME.png in the output directory, and tables.md
is made anew of all that lie there. A detector's score is the zoo's own (mAP at an overlap of .5).
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tfmpq
from converters.errors import ConversionError
from converters.runtime import interpreter as runtime
from tfmpq.benchmark.device import processor
from tfmpq.comparison.methods import METHODS
from tfmpq.comparison.plot import plot_compare
from tfmpq.files import write_atomic
from tools.research.measuring import command_line, load_zoo, predict, zoo_parser

_SMALL = 100  # pixels: of such images more are evaluated


def compare_entry(entry: Any, options: argparse.Namespace) -> tfmpq.MethodComparison:
    """All methods on one model of a zoo."""
    count = options.evaluation * (2 if entry.input_size < _SMALL else 1)
    images, truth = entry.evaluation(count)
    classes = entry.task == "classification"

    def score(content: bytes) -> float:
        return entry.score(predict(content, {"image": images}), truth)

    result = tfmpq.compare(
        entry.keras_model(),
        entry.calibration(options.calibration),
        tfmpq.Labelled({"image": images}, truth if classes else None),
        bits=options.bits,
        methods=options.methods,
        score=None if classes else score,
        lowering="compact" if entry.name in options.compact else "auto",
        latency=not options.no_times,
    )
    return without_seconds(result) if options.no_times else result


def without_seconds(result: tfmpq.MethodComparison) -> tfmpq.MethodComparison:
    """The same without what depends on the machine's load."""
    return replace(result, rows=[replace(row, seconds=None) for row in result.rows])


def write_tables(folder: Path) -> None:
    """tables.md, of all models whose results lie in ``folder``."""
    parts = ["# Methods side by side", ""]
    for path in sorted(folder.glob("*.json")):
        made_by = json.loads(path.read_text())["made_by"]
        parts += [f"## {path.stem}", "", f"{made_by['when']}; `{made_by['command']}`", ""]
        parts += [path.with_suffix(".md").read_text().rstrip(), ""]
        if path.with_suffix(".png").exists():
            parts += [f"![{path.stem}]({path.stem}.png)", ""]
    write_atomic(folder / "tables.md", "\n".join(parts).encode())


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = zoo_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="directory of the results, made if need be")
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--methods", nargs="+", choices=list(METHODS), help="default: all")
    parser.add_argument("--compact", nargs="*", default=[], help="models whose files are compact, expanded to be run")
    parser.add_argument("--evaluation", type=int, default=500, help="images; twice as many small ones")
    parser.add_argument("--no-times", action="store_true", help="the machine has other things to do")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the script; returns its exit code."""
    options = parse(arguments)
    places = {options.zoo: "ZOO", options.output: "docs/compare"}
    command = command_line("tools.research.compare_methods", arguments, places)
    try:
        zoo = load_zoo(options.zoo)
        options.output.mkdir(parents=True, exist_ok=True)
        for name in options.models or zoo.NAMES:
            result = compare_entry(zoo.load(name), options)
            when = f"{datetime.date.today()}, {processor()}, {runtime.runtime_name()}, XNNPACK, 1 thread"
            result.save(options.output, name=name, made_by={"when": when, "command": command})
            plot_compare(result, options.output / f"{name}.png")
            write_tables(options.output)
            print(result, flush=True)
    except ConversionError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
