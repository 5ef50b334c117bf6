"""A run: workers that are given mutants for as long as there is time, and counts of what became of them."""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

from tests.fuzz.corpus import Corpus
from tests.fuzz.findings import Findings
from tests.fuzz.lines import LINES
from tests.fuzz.mutate import random_mutant
from tests.fuzz.outcomes import GOOD, KINDS, Outcome
from tests.fuzz.pool import Say, Worker
from tests.fuzz.seeds import Seeds
from tests.fuzz.worker import Task

_TRACED = 40  # one mutant in so many is run with its lines of code noted, which takes ten times as long
_NOTE_EVERY = 60.0  # seconds
_SAVE_EVERY = 5.0


@dataclass
class Counts:
    """Mutants by command line and kind of ending, and seconds by command line; kept in a file over several runs."""

    path: Path | None
    endings: dict[str, dict[str, int]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> Counts:
        """Those of earlier runs."""
        counts = cls(path)
        if path.exists():
            stored = json.loads(path.read_text())
            counts.endings, counts.seconds = stored["endings"], stored["seconds"]
        return counts

    def save(self) -> None:
        """Writes them, whole."""
        if self.path is not None:
            new = self.path.with_suffix(".new")
            new.write_text(json.dumps({"endings": self.endings, "seconds": self.seconds}))
            os.replace(new, self.path)

    def total(self, line: str) -> int:
        """Mutants that went through a command line."""
        return sum(self.endings.get(line, {}).values())

    def add(self, line: str, outcome: Outcome, seconds: float) -> None:
        """Counts one."""
        row = self.endings.setdefault(line, {})
        row[outcome.kind] = row.get(outcome.kind, 0) + 1
        self.seconds[line] = self.seconds.get(line, 0.0) + seconds

    @property
    def bad(self) -> int:
        """Endings that are to be none."""
        return sum(n for row in self.endings.values() for kind, n in row.items() if kind not in GOOD)

    def table(self) -> str:
        """A line for each command line."""
        rows = [["", "mutants", *KINDS, "a second"]]
        for line in LINES:
            if self.total(line):
                numbers = [self.endings[line].get(kind, 0) for kind in KINDS]
                rate = self.total(line) / max(self.seconds[line], 1e-9)
                rows.append([line, str(self.total(line)), *map(str, numbers), f"{rate:.1f}"])
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        return "\n".join(
            "  ".join([row[0].ljust(widths[0]), *(t.rjust(w) for t, w in zip(row[1:], widths[1:], strict=True))])
            for row in rows
        )


@dataclass
class Campaign:
    """One run.

    Attributes:
        seeds: the files that mutations start from.
        folder: of the corpus, the counts and the findings.
        lines: names of the command lines.
        until: command line -> how many mutants in all, earlier runs included, are enough; none: there is no end.
        seed: of the mutants.
        fresh: neither corpus nor counts of earlier runs, and no corpus of its own: the same mutants every time.
    """

    seeds: Seeds
    folder: Path
    lines: Sequence[str]
    until: Mapping[str, int]
    seed: int
    jobs: int
    fresh: bool
    say: Say

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.counts = Counts(None) if self.fresh else Counts.load(self.folder / "counts.json")
        self.corpus = None if self.fresh else Corpus.load(self.folder / "corpus.tsv")
        self.issued = {line: self.counts.total(line) for line in self.lines}
        self.spent = dict.fromkeys(self.lines, 0.0)
        work = self.folder / "work"
        self.workers = [Worker(work / f"{os.getpid()}-{number}", self.seeds) for number in range(self.jobs)]
        repeater = Worker(work / f"{os.getpid()}-repeat", self.seeds)
        self.findings = Findings(self.folder / "findings", self.seeds, repeater, self.say)

    def run(self, seconds: float) -> bool:
        """Works for some seconds at most; whether all endings of this run were good."""
        start = time.monotonic()
        noted = saved = start
        bad_before = self.counts.bad
        try:
            while True:
                now = time.monotonic()
                for worker in self.workers:
                    if worker.task is None and now - start < seconds and (task := self._next()) is not None:
                        worker.start(task)
                busy = [worker for worker in self.workers if worker.task is not None]
                if not busy:
                    break
                wait([worker.connection for worker in busy if worker.connection is not None], timeout=0.2)
                for worker in busy:
                    self._collect(worker)
                if now - saved > _SAVE_EVERY:
                    self.counts.save()
                    saved = now
                if now - noted > _NOTE_EVERY:
                    self.say(f"after {now - start:.0f} s\n{self.counts.table()}")
                    noted = now
        finally:
            for worker in (*self.workers, self.findings.worker):
                worker.end()
            self.counts.save()
        return self.counts.bad == bad_before

    def _next(self) -> Task | None:
        """The next task, of the command line that had the least of its share of the time."""
        left = [line for line in self.lines if line not in self.until or self.issued[line] < self.until[line]]
        if not left:
            return None
        line = min(left, key=lambda name: self.spent[name] / LINES[name].share)
        number = self.issued[line]
        self.issued[line] += 1
        self.spent[line] += 1e-6  # so that the first ones take turns
        rng = random.Random(f"{self.seed}/{line}/{number}")
        bases = LINES[line].bases(sorted(self.seeds.files), rng)
        mutant = (
            random_mutant(bases, rng, bold=LINES[line].bold)
            if self.corpus is None
            else self.corpus.draw(line, bases, rng)
        )
        return Task(line, mutant, traced=self.corpus is not None and number % _TRACED == 0)

    def _collect(self, worker: Worker) -> None:
        task, started = worker.task, worker.started
        assert task is not None
        before = list(worker.history)
        outcome = worker.outcome()
        if outcome is None:
            return
        seconds = time.monotonic() - started
        self.spent[task.line] += seconds
        if not outcome.good and not self.findings.add(task, outcome, before):
            outcome = Outcome("clear", "slow")
        self.counts.add(task.line, outcome, seconds)
        if self.corpus is not None and outcome.kind not in ("hang", "blow-up"):
            self.corpus.consider(task.line, task.mutant, outcome)
