"""Size, accuracy and latency of a model in many forms, beside stock int8 and litert-quantizer: CSV, Markdown, plots.

    python -m tools.research.frontier --model M --data LABELLED.npz --calibration-data D --output DIR
    python -m tools.research.frontier --zoo ZOO --models NAME ... --output DIR

Every combination of --bits, --budgets, --lowerings, --views and --seeds becomes a row. Finished rows are kept in
DIR/work (or --work): the same command goes on where it stopped, and another one adds its rows to the tables. A row that
fails is listed with its message. Accuracy comes first; latencies are measured when nothing else of this tool runs.
"""

from __future__ import annotations

import argparse
import datetime
import functools
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from converters.errors import ConversionError
from converters.lowering.forms import lowerings
from converters.runtime import interpreter as runtime
from tfmpq.benchmark.device import processor
from tfmpq.files import write_atomic
from tfmpq.html.page import save_page
from tfmpq.recipe.budget_text import parse_budget
from tfmpq.sweep.pool import run_tasks
from tools.research.frontier.files import Files
from tools.research.frontier.latency import measure_latencies
from tools.research.frontier.page import frontier_page
from tools.research.frontier.peers import PEERS
from tools.research.frontier.plot import X_AXES, Y_AXES, save_plot
from tools.research.frontier.rows import EXPAND, PACKAGES, Job, Row, Settings, Sweep, plan_jobs, row_key, versions
from tools.research.frontier.store import Store
from tools.research.frontier.subjects import Subject, file_subject, zoo_subject
from tools.research.frontier.tables import markdown, read_csv, to_csv
from tools.research.frontier.work import execute
from tools.research.measuring import load_zoo

PLOTS = ("size:score", "size:agreement", "latency:agreement")


@dataclass(frozen=True)
class Task:
    """A job with the rows of it that are missing, for another process."""

    job: Job
    keys: Mapping[Settings, str]
    files: Files


def work(task: Task, send: Callable[[tuple[Settings, str, Row | None]], None]) -> None:
    """Does a task; sends the settings of every row, and the row, or its message if it failed."""
    execute(task.job, task.keys, task.files, lambda settings, failure, row: send((settings, failure, row)))


def run_sweep(jobs: Sequence[Job], store: Store, *, processes: int, progress: bool = True) -> list[tuple[str, str]]:
    """Makes the rows that are missing.

    Args:
        jobs: of all models.
        store: where finished rows are.
        processes: at most so many at a time; 0: this one only.
        progress: show a bar on stderr.

    Returns:
        What failed, with its message.
    """
    tasks = [Task(job, missing, store.files) for job in jobs if (missing := missing_rows(job, store))]
    tasks.sort(key=lambda task: (not task.job.is_base, -task.job.work))
    bases = {job.subject: job for job in jobs if job.is_base}
    failures: list[tuple[str, str]] = []
    reported: set[tuple[Subject, Settings]] = set()
    with tqdm(total=sum(len(t.keys) for t in tasks), desc="rows", disable=not progress, unit="row") as bar:

        def note(task: Task, message: tuple[Settings, str, Row | None]) -> None:
            settings, failure, row = message
            if row is not None:
                store.put(task.job.subject, row)
            reported.add((task.job.subject, settings))
            if failure:
                failures.append((f"{task.job.subject.name}, {settings.label}", failure))
            bar.set_postfix_str(f"{task.job.subject.name} {settings.configuration}", refresh=False)
            bar.update()

        def failed(task: Task, failure: str) -> None:
            for settings in task.keys:
                if (task.job.subject, settings) not in reported:
                    note(task, (settings, failure, None))

        def ready(task: Task) -> bool:
            base = bases[task.job.subject]
            return task.job.is_base or not missing_rows(base, store)

        run_tasks(
            tasks, work, processes=processes, logs=store.files.folder / "logs", ready=ready, note=note, failed=failed
        )
    return failures


def missing_rows(job: Job, store: Store) -> dict[Settings, str]:
    """Rows of a job that are not finished, with their keys."""
    keys = {settings: row_key(job.subject, settings) for settings in job.settings}
    if job.is_base and not store.files.base(job.subject).exists():
        return keys
    return {settings: key for settings, key in keys.items() if not store.has(key)}


def write_results(
    rows: Sequence[Row],
    folder: Path,
    *,
    heading: Sequence[str],
    failures: Sequence[tuple[str, str]],
    plots: Sequence[str],
) -> None:
    """Writes frontier.csv, frontier.md, frontier.html and the plots."""
    drawn = []
    for model in dict.fromkeys(row.model for row in rows):
        for plot in plots:
            x, y = plot.split(":")
            name = f"{model}_{x}_{y}.png"
            if save_plot([row for row in rows if row.model == model], x, y, folder / name):
                drawn.append(name)
    write_atomic(folder / "frontier.csv", to_csv(rows).encode())
    text = markdown(rows, heading=heading, failures=failures, plots=drawn)
    write_atomic(folder / "frontier.md", text.encode())
    save_page(folder / "frontier.html", frontier_page(rows, heading))


def heading(options: argparse.Namespace) -> list[str]:
    """How, when and on what the rows were measured. Paths are left out: they are the user's own."""
    command = ["python", "-m", "tools.research.frontier"]
    for name in ("models", "bits", "budgets", "lowerings", "views", "seeds", "peers", "calibration", "evaluation"):
        value = getattr(options, name)
        if value is not None:
            command += [f"--{name}", *map(str, value if isinstance(value, list) else [value])]
    command += ["--expand"] if options.expand else []
    tools = "; ".join(versions(tool) for tool in PACKAGES)
    return [
        f"{datetime.date.today()}, {processor()}, {runtime.runtime_name()}, XNNPACK, 1 thread. {tools}.",
        "",
        f"Last command: `{shlex.join(command)}`. Latency: interleaved medians relative to stock int8. Differences to "
        "stock and their standard errors are over the same samples. Rows of several seeds (other calibration samples "
        "and views) are means; the standard errors are those of one file. Seconds were taken with other conversions "
        "beside them.",
    ]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Options, checked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, help="a .keras, .h5 or float .tflite file, or a SavedModel directory")
    parser.add_argument("--data", type=Path, help="labelled evaluation samples, .npz with x and y")
    parser.add_argument("--calibration-data", type=Path, help=".npz, .npy, or a directory of arrays or images")
    parser.add_argument("--preprocess", help="of calibration images: minus_one_one, zero_one, raw or mean=M,std=S")
    parser.add_argument("--zoo", type=Path, help="directory that holds zoo.py, see tools/research/measure_zoo.py")
    parser.add_argument("--models", nargs="+", help="zoo names; default: all")
    parser.add_argument("--output", type=Path, required=True, help="directory of the results, made if need be")
    parser.add_argument("--work", type=Path, help="directory of finished rows and files; default: OUTPUT/work")
    parser.add_argument("--bits", type=int, nargs="+", default=[4, 8])
    parser.add_argument("--budgets", nargs="+", default=["extra:0", "extra:0.05", "extra:0.1", "extra:0.2"])
    parser.add_argument("--lowerings", nargs="+", choices=lowerings(), default=["auto", "fused"])
    parser.add_argument("--expand", action="store_true", help="add the compact file, run as tfmpq.expand makes it")
    parser.add_argument("--views", type=int, nargs="+", default=[1], help="views of every calibration image")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="each draws other calibration samples")
    parser.add_argument("--peers", nargs="+", choices=(*PEERS, "none"), default=list(PEERS))
    parser.add_argument("--calibration", type=int, default=200, help="calibration samples")
    parser.add_argument("--evaluation", type=int, help="evaluation samples; default: all")
    parser.add_argument("--also", type=Path, action="append", default=[], help="CSV of rows measured elsewhere")
    parser.add_argument("--plots", nargs="+", default=list(PLOTS), help="x:y, or none")
    parser.add_argument("--jobs", type=int, default=2, help="processes; 0: everything in this one")
    parser.add_argument("--no-latency", action="store_true", help="do not measure latencies")
    parser.add_argument("--latency-anew", action="store_true", help="measure those of all rows, not only of new ones")
    parser.add_argument("--any-sources", action="store_true", help="keep rows of other states of tfmpq's sources")
    options = parser.parse_args(arguments)
    if (options.zoo is None) == (options.model is None):
        parser.error("give either --zoo or --model")
    if options.model is not None and (options.data is None or options.calibration_data is None):
        parser.error("--model needs --data and --calibration-data")
    options.plots = [] if options.plots == ["none"] else options.plots
    for plot in options.plots:
        x, _, y = plot.partition(":")
        if x not in X_AXES or y not in Y_AXES:
            parser.error(f"--plots {plot}: give x:y, x of {', '.join(X_AXES)}, y of {', '.join(Y_AXES)}")
    return options


def subjects_of(options: argparse.Namespace) -> list[Subject]:
    """The models asked for."""
    counts = {"calibration": options.calibration, "evaluation": options.evaluation}
    if options.zoo is None:
        return [
            file_subject(options.model, options.data, options.calibration_data, preprocess=options.preprocess, **counts)
        ]
    names = options.models or load_zoo(options.zoo).NAMES
    return [zoo_subject(options.zoo, name, **counts) for name in names]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the tool; returns its exit code: 1 if a row failed, 130 if it was interrupted."""
    options = parse(arguments)
    try:
        for budget in options.budgets:
            parse_budget(budget)
        lowerings = [*options.lowerings, *([EXPAND] if options.expand else [])]
        peers = [name for name in options.peers if name != "none"]
        sweep = Sweep(options.bits, options.budgets, lowerings, options.views, options.seeds, peers)
        subjects = subjects_of(options)
        jobs = [job for subject in subjects for job in plan_jobs(subject, sweep)]
        also = [row for path in options.also for row in read_csv(path)]
        store = Store(options.work or options.output / "work", sources=not options.any_sources)
        options.output.mkdir(parents=True, exist_ok=True)
    except ConversionError as error:
        sys.exit(str(error))
    failures: list[tuple[str, str]] = []
    interrupted = False
    try:
        failures = run_sweep(jobs, store, processes=options.jobs)
        if not options.no_latency:
            measure_latencies(store, store.entries(subjects), anew=options.latency_anew)
    except KeyboardInterrupt:
        interrupted = True
    rows = [entry.row for entry in store.entries(subjects)]
    measured = {row.model for row in rows}
    rows += [row for row in also if row.model in measured]
    results = functools.partial(write_results, rows, options.output, heading=heading(options), failures=failures)
    try:
        results(plots=options.plots)
    except ConversionError as error:  # no matplotlib: the tables are not lost for it
        print(error, file=sys.stderr)
        results(plots=[])
    for what, message in failures:
        print(f"failed: {what}: {message}", file=sys.stderr)
    print(f"{len(rows)} rows: {options.output / 'frontier.md'}")
    return 130 if interrupted else 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
