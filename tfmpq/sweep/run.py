"""A sweep from its spec to its summary; killed at any moment and run again, it redoes what was under way."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from tqdm import tqdm

from tfmpq.cache.anywhere import open_store
from tfmpq.cache.store import default_folder
from tfmpq.html.page import save_page
from tfmpq.storage import Place, Remote, filled, place, placed, remove_folder
from tfmpq.sweep.collection import FOLDER as STATISTICS
from tfmpq.sweep.jobs import ROW
from tfmpq.sweep.latency import measure_latencies
from tfmpq.sweep.lease import leased
from tfmpq.sweep.local_engine import run_local
from tfmpq.sweep.lock import locked
from tfmpq.sweep.page import PAGE, summary_page
from tfmpq.sweep.plan import FILES, SCRATCH, Group, missing, plan_sweep, rows_of
from tfmpq.sweep.ray_engine import run_ray
from tfmpq.sweep.results import Journal, open_results, read_results
from tfmpq.sweep.spec import LATENCY, Spec, read_spec
from tfmpq.sweep.summary import SweepResult

Engine = Literal["local", "ray"]
OFF = "off"
_TEMPORARY = ".*.tmp"  # files that a process was ended in

Plain = dict[str, Any]


@dataclass(frozen=True)
class OpenSweep:
    """A sweep whose folder this process holds.

    Attributes:
        spec: what is asked for.
        folder: of the results.
        groups: all jobs.
        journal: the rows that are there.
        check: raises OptionError once another process holds the folder, as can be in a store.
    """

    spec: Spec
    folder: Place
    groups: Sequence[Group]
    journal: Journal
    check: Callable[[], None]

    @property
    def left(self) -> list[Group]:
        """The jobs that are not done."""
        return missing(self.groups, self.journal.entries)

    def record(self, result: Plain) -> None:
        """Keeps what a job returned; of jobs that prepare there is nothing to keep, of one that was done twice once."""
        self.check()
        if result["kind"] == ROW and result["key"] not in self.journal.entries:
            self.journal.append(result)

    def result(self) -> SweepResult:
        """The rows that are there, in the order of the spec."""
        keys = [row["key"] for row in rows_of(self.groups)]
        return SweepResult(self.folder, len(keys), read_results(self.folder, keys))


@contextmanager
def open_sweep(
    spec: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    cache: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
) -> Iterator[OpenSweep]:
    """Plans a sweep and holds its folder; whoever calls runs the jobs, with an engine of their own for example.

    Args:
        spec: path of the file that says what is asked for, see docs/fleets.md.
        output_dir: for the results, made if need be; None: the path of the spec without its ending. It may be a URL.
        cache: folder of the cache, or its URL; None: ``tfmpq`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; ``"off"``: one
            in the output folder, which goes once all rows are there.
        retry_failed: do rows again that are errors.

    Raises:
        OptionError: The spec is wrong, others may write to the cache, or another sweep runs in the folder.
        ConversionError: A file of the folder is damaged.
        OSError: The folder cannot be made or reached, or a model or data not be read.
    """
    asked = read_spec(spec)
    folder = place(os.path.splitext(asked.path)[0] if output_dir is None else output_dir).absolute()
    scratch = folder / SCRATCH
    prepared = default_folder() if cache is None else str(scratch / "prepared") if cache == OFF else cache
    kept = open_store(prepared).folder
    with _held(folder) as check:
        groups = plan_sweep(asked, folder, kept)
        keys = {row["key"] for row in rows_of(groups)}
        journal = open_results(folder, keys, retry_failed=retry_failed)
        yield OpenSweep(asked, folder, groups, journal, check)
        check()
        journal.close()
        remove_folder(scratch)


@contextmanager
def _held(folder: Place) -> Iterator[Callable[[], None]]:
    """Holds the folder, in which no other process writes; gives what raises once one does."""
    if isinstance(folder, Remote):
        with leased(folder) as check:
            yield check
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        for where in (folder.glob, (folder / FILES).rglob, (folder / STATISTICS).rglob):
            for forgotten in where(_TEMPORARY):
                forgotten.unlink(missing_ok=True)
        yield lambda: None


def run_sweep(
    spec: str | os.PathLike[str],
    output_dir: str | os.PathLike[str] | None = None,
    *,
    processes: int | None = None,
    threads: int | None = None,
    cache: str | os.PathLike[str] | None = None,
    engine: Engine = "local",
    address: str | None = None,
    retry_failed: bool = False,
    progress: bool = True,
) -> SweepResult:
    """Makes and measures all files that a spec asks for and that are not there yet.

    Args:
        spec, output_dir, cache, retry_failed: see :func:`open_sweep`.
        processes: at most so many at a time, of the local engine; None: what processors and memory allow.
        threads: of each job; None: 1.
        engine: ``"local"``, or ``"ray"``: a cluster, whose machines share the paths of the spec, output and cache, or
            reach their URLs.
        address: of the Ray cluster.
        progress: show a bar on stderr.

    Returns:
        All rows; one that failed is a row with its error and stops no other.

    Raises:
        ConversionError: See :func:`open_sweep`; or the engine cannot be started.
        OSError: See there; or a row cannot be written.
    """
    with open_sweep(spec, output_dir, cache=cache, retry_failed=retry_failed) as sweep:
        try:
            with _watched(sweep, progress) as (note, started):
                if engine == "ray":
                    run_ray(sweep.left, note, started=started, address=address, threads=threads)
                else:
                    with filled(sweep.folder / "logs") as logs:
                        run_local(sweep.left, note, started=started, processes=processes, threads=threads, logs=logs)
            if LATENCY in sweep.spec.metrics:
                measure_latencies(sweep.folder, sweep.result().rows, progress=progress)
        finally:
            result = sweep.result()
            result.save()
            with placed(result.folder / PAGE) as page:
                save_page(page, summary_page(result))
    return result


@contextmanager
def _watched(sweep: OpenSweep, progress: bool) -> Iterator[tuple[Callable[[Plain], None], Callable[[Plain], None]]]:
    """What engines tell of jobs, as rows on disk and as a bar: rows done, running, failed, and the time left."""
    left = sum(len(group.rows) for group in sweep.left)
    asked = len(list(rows_of(sweep.groups)))
    running = failed = 0
    with tqdm(total=asked, initial=asked - left, desc="rows", unit="row", disable=not progress) as bar:

        def show(change: int) -> None:
            nonlocal running
            running += change
            bar.set_postfix_str(f"{running} running, {failed} failed")

        def note(result: Plain) -> None:
            nonlocal failed
            sweep.record(result)
            if result["kind"] == ROW:
                failed += "error" in result
                bar.update()
            show(-1)

        yield note, lambda spec: show(1)
