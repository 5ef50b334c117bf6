"""The processes of one configuration: started, compared, timed in turns, ended."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from converters.errors import FileFormatError
from tfmpq.benchmark.process import Worker
from tfmpq.benchmark.statistics import Times
from tfmpq.benchmark.worker import Job, Ready
from tfmpq.progress import Progress


@dataclass(frozen=True)
class Plan:
    """How long each process is measured.

    Attributes:
        rounds: in how many rounds.
        runs: fewest inferences of a round.
        seconds: fewest seconds of them.
        seed: of the order within rounds.
        timeout: seconds to wait for an answer.
    """

    rounds: int
    runs: int
    seconds: float
    seed: int
    timeout: float


@dataclass
class Subject:
    """A process, before, while and after it is measured.

    Attributes:
        job: what it runs.
        worker: the process, once it is started.
        ready: what it has found out about the file.
        peak_rss_mb: its peak memory after the last round.
        rounds: times of every round it has finished.
        error: why there are no more; None: all is well.
    """

    job: Job
    worker: Worker | None = None
    ready: Ready | None = None
    peak_rss_mb: float | None = None
    rounds: list[Times] = field(default_factory=list)
    error: str | None = None


@dataclass
class Group:
    """All processes of one configuration.

    Attributes:
        subjects: one for each file.
        twin: the first of them that runs once more, the other half of the A/A pair.
    """

    subjects: list[Subject]
    twin: Subject | None = None

    def running(self) -> list[Subject]:
        """Those without an error."""
        everyone = [*self.subjects, *([] if self.twin is None else [self.twin])]
        return [subject for subject in everyone if subject.error is None]


def measure(group: Group, plan: Plan, progress: Progress) -> None:
    """Starts the processes of a configuration, lets them take turns, and ends them, also on Ctrl-C.

    What is found is in the group's subjects, the errors of single processes too.
    """
    with contextlib.ExitStack() as processes:
        for subject in group.subjects:
            _start(subject, plan, processes)
        _compare_inputs(group.subjects)
        if not group.running():
            return
        group.twin = Subject(group.running()[0].job)
        _start(group.twin, plan, processes)
        order = random.Random(plan.seed)
        job = group.twin.job
        for _ in progress(range(plan.rounds), plan.rounds, f"{job.delegate}, threads {job.threads}"):
            turns = group.running()
            order.shuffle(turns)
            for subject in turns:
                with _failing(subject):
                    assert subject.worker is not None
                    times, subject.peak_rss_mb = subject.worker.run_round(plan.runs, plan.seconds)
                    subject.rounds.append(times)


def _start(subject: Subject, plan: Plan, processes: contextlib.ExitStack) -> None:
    with _failing(subject):
        subject.worker = processes.enter_context(Worker(subject.job, timeout=plan.timeout))
        subject.ready = subject.worker.ready()


@contextlib.contextmanager
def _failing(subject: Subject) -> Iterator[None]:
    """A problem of this process ends its part only."""
    try:
        yield
    except FileFormatError as error:
        subject.error = str(error)


def _compare_inputs(subjects: Sequence[Subject]) -> None:
    """Refuses files that would not do the same work as the first one that runs."""
    reference: Subject | None = None
    for subject in subjects:
        if subject.ready is None:
            continue
        if reference is None or reference.ready is None:
            reference = subject
            continue
        mine, other = subject.ready, reference.ready
        if mine.shapes != other.shapes and list(mine.shapes.values()) != list(other.shapes.values()):
            subject.error = (
                f"its inputs are {_shapes(mine)}, those of '{reference.job.path}' {_shapes(other)}: "
                "times of different work cannot be compared, give it a benchmark of its own"
            )
        elif subject.job.inputs is not None and bool(mine.raw) != bool(other.raw):
            subject.error = (
                f"the integers in '{subject.job.inputs}' are quantized values for one file and real values for the "
                f"other ('{reference.job.path}'): give real values as float32"
            )


def _shapes(ready: Ready) -> str:
    return ", ".join(f"'{name}' {tuple(shape)}" for name, shape in ready.shapes.items())
