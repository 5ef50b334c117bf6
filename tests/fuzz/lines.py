"""The command lines that a mutant goes through, and what they may take."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.seeds import Seeds

MUTANT = "mutant.tflite"
_FAVOURED = 0.85


@dataclass(frozen=True)
class Line:
    """One way through the program.

    Attributes:
        arguments: (seeds, name of the seed file of which the mutant is made) -> the command line for ``mutant.tflite``.
        outputs: files that it writes if all is well, and no others.
        seconds: most time.
        megabytes: most memory beside what the process has before, and what any child of it takes.
        share: of the time of a run.
        heavy: whether it loads TensorFlow.
        bold: how many steps mutants take: less of it where most are refused before the work.
        reports: whether it writes what it found out where the work fails, too.
        forms: which seed files most mutants are made of, by the ends of their names; none: all alike.
    """

    arguments: Callable[[Seeds, str], list[str]]
    outputs: Mapping[str, Callable[[bytes], object]]
    seconds: float
    megabytes: int
    share: float
    heavy: bool = False
    forms: tuple[str, ...] = ()
    bold: float = 0.4
    reports: bool = False

    def bases(self, names: Sequence[str], rng: random.Random) -> list[str]:
        """Names of the seed files that a mutant is to be made of."""
        if not self.forms or rng.random() > _FAVOURED:
            return list(names)
        return [name for name in names if name.endswith(self.forms)]


def _tflite(content: bytes) -> object:
    from converters.tflite.model_file import read_model

    return read_model(content)


def _convert(seeds: Seeds, base: str) -> list[str]:
    data = f"--data={seeds.data[base]}"
    return ["convert", MUTANT, data, "-o", "out.tflite", "--json=out.json", "--noprogress"]


_COMPACT, _FLOAT = ("_compact", "_parallel", "_opensize"), ("_float", "_half")
_JSON: dict[str, Callable[[bytes], object]] = {"out.json": json.loads}
_FILE: dict[str, Callable[[bytes], object]] = {"out.tflite": _tflite}

LINES: dict[str, Line] = {
    "inspect": Line(lambda *_: ["inspect", MUTANT, "--json=out.json"], _JSON, 20, 400, 1.0),
    "expand": Line(lambda *_: ["expand", MUTANT, "-o", "out.tflite"], _FILE, 20, 400, 1.0, forms=_COMPACT),
    "delegate": Line(lambda *_: ["inspect", MUTANT, "--delegate", "--json=out.json"], _JSON, 60, 800, 0.3),
    "evaluate": Line(
        lambda seeds, base: [
            "evaluate", MUTANT, f"--data={seeds.labelled[base]}", f"--against={seeds.paths[base]}", "--json=out.json",
            "--noprogress",
        ],
        _JSON, 120, 1000, 0.7,
    ),
    "diff": Line(
        lambda seeds, base: [
            "diff", str(seeds.paths[base]), MUTANT, f"--data={seeds.data[base]}", "--limit=3", "--json=out.json",
            "--noprogress",
        ],
        _JSON, 120, 1000, 0.7,
    ),
    "diff_first": Line(
        lambda seeds, base: [
            "diff", MUTANT, str(seeds.paths[base]), f"--data={seeds.data[base]}", "--limit=3", "--json=out.json",
            "--noprogress",
        ],
        _JSON, 120, 1000, 0.3,
    ),
    "benchmark": Line(
        lambda *_: [
            "benchmark", MUTANT, "--warmup=0", "--min_runs=1", "--min_seconds=0", "--rounds=1", "--json=out.json",
            "--noprogress",
        ],
        _JSON, 120, 1000, 0.2, reports=True,
    ),
    "convert": Line(_convert, _FILE | _JSON, 240, 1500, 2.0, heavy=True, forms=_FLOAT, bold=0.1),
}  # fmt: skip


def prepare_folder(folder: Path) -> None:
    """Empties the folder that a command line runs in."""
    for path in folder.iterdir():
        if path.is_file() or path.is_symlink():
            path.unlink()
