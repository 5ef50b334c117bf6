"""Size, quality and latency of what float, stock, litert-quantizer and given files are for one of the three models.

    python -m tools.research.transformers.compare --model encoder [--files a.tflite,b.tflite] [--folder DIR]

The folder is what sentence_encoder, vit and char_lm write to. Prints Markdown. Latency is the median ratio to the float
file, XNNPACK, in turns, so that what else the machine does meets all files.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from absl import app, flags

from converters.errors import ConversionError
from converters.frontend.load import load_model
from tfmpq.benchmark.latency import latency_ratios
from tfmpq.text import Column, Table, to_markdown
from tools.research.transformers.baselines import FLOAT, NAMES, baseline
from tools.research.transformers.subjects import MODELS, Cells, Subject, open_subject

_MODEL = flags.DEFINE_enum("model", None, list(MODELS), "Which model.")
_FILES = flags.DEFINE_list("files", [], "Further .tflite files of the same model, in the table under their names.")
_FOLDER = flags.DEFINE_string("folder", "build/transformers", "Directory of models and data.")
_BASELINES = flags.DEFINE_bool("baselines", True, "Whether stock's and litert-quantizer's files are made and shown.")
_SAVE = flags.DEFINE_string("save", None, "Directory to write the baselines to.")
_SAMPLES = flags.DEFINE_integer("samples", 500, "Pairs, images or sequences at most.", lower_bound=2)
_THREADS = flags.DEFINE_integer("threads", 1, "CPU threads of the quality runs; latency is always that of one.")


_REPEATS = 5  # of the latencies, each with interpreters of its own: where their memory lies makes a difference too


def make_baselines(subject: Subject) -> tuple[dict[str, bytes], dict[str, str]]:
    """(name -> file, name -> why there is none)."""
    model = load_model(subject.keras)
    files: dict[str, bytes] = {}
    failures: dict[str, str] = {}
    for name in NAMES:
        try:
            files[name] = baseline(name, model, subject.calibration)
        except ConversionError as error:
            failures[name] = str(error)
    return files, failures


def table(title: str, files: Mapping[str, bytes], rows: Sequence[Cells], ratios: Mapping[str, float]) -> Table:
    """A row a file: name, bytes, what it is judged by, latency."""
    measures = list(dict.fromkeys(name for cells in rows for name in cells))
    columns = [Column("file"), *(Column(n, numeric=True) for n in ("bytes", "of float", *measures, "latency"))]
    full = len(files[FLOAT])
    lines = []
    for (name, content), cells in zip(files.items(), rows, strict=True):
        size = (f"{len(content):,}", f"{len(content) / full:.1%}")
        lines.append((name, *size, *(cells.get(m, "") for m in measures), f"{ratios[name]:.2f}"))
    return Table(tuple(columns), tuple(lines), title=title)


def latencies(files: Mapping[str, bytes], subject: Subject) -> dict[str, float]:
    """Ratios to the float file: medians of several measurements."""
    found = [latency_ratios(files, reference=FLOAT, sample=subject.sample) for _ in range(_REPEATS)]
    return {name: statistics.median(ratios[name] for ratios in found) for name in files}


def save_baselines(files: Mapping[str, bytes], folder: Path) -> None:
    """Writes each file under the model's name and its own, blanks as underscores."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        plain = f"{_MODEL.value} {name}".replace(" ", "_").replace(",", "")
        (folder / f"{plain}.tflite").write_bytes(content)


def main(_: list[str]) -> None:
    subject = open_subject(Path(_FOLDER.value), _MODEL.value, samples=_SAMPLES.value, threads=_THREADS.value)
    failures: dict[str, str] = {}
    if _BASELINES.value:
        files, failures = make_baselines(subject)
    else:
        files = {FLOAT: (Path(_FOLDER.value) / f"{_MODEL.value}_float.tflite").read_bytes()}
    if _SAVE.value:
        save_baselines(files, Path(_SAVE.value))
    files |= {Path(path).name: Path(path).read_bytes() for path in _FILES.value}
    rows = []
    for name, content in files.items():
        try:
            rows.append(subject.judge(content))
        except ConversionError as error:  # a file that cannot run keeps its line and loses its numbers
            rows.append({})
            failures[name] = str(error)
    runnable = {name: content for name, content in files.items() if name not in failures}
    ratios = {name: float("nan") for name in files} | latencies(runnable, subject)
    print(to_markdown([table(_MODEL.value, files, rows, ratios)]))
    for name, reason in failures.items():
        print(f"{name}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    flags.mark_flag_as_required("model")
    app.run(main)
