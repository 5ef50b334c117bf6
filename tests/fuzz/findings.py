"""What was found: made small, written down with the way to repeat it, and said once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fuzz.lines import LINES, MUTANT
from tests.fuzz.minimize import Fails, fewer_bytes, fewer_steps, smaller_seed
from tests.fuzz.mutate import Mutant, build
from tests.fuzz.outcomes import Outcome
from tests.fuzz.pool import Say, Worker
from tests.fuzz.seeds import Seeds
from tests.fuzz.worker import Task

_SECONDS = 30.0  # for making one finding small
_ALIKE = 20  # endings of one kind of one command line that are written down


@dataclass
class Findings:
    """The folder of findings; ``worker`` is one of its own, for repeating them."""

    folder: Path
    seeds: Seeds
    worker: Worker
    say: Say
    known: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.known |= {json.loads(path.read_text())["key"] for path in self.folder.glob("*.json")}

    def add(self, task: Task, outcome: Outcome, before: list[Task]) -> bool:
        """Writes a finding, unless one like it is there; False where it was only a slow moment.

        Args:
            task: what was run.
            outcome: how it ended.
            before: what the process had run before.
        """
        key = f"{task.line}\t{outcome.signature}"
        if key in self.known or sum(other.startswith(key) for other in self.known) >= _ALIKE:
            return True
        again = self._fresh(task)
        if again.good and outcome.kind == "hang":
            return False  # the machine was busy: alone it ends in time
        repeats = again.signature == outcome.signature
        mutant = task.mutant
        if repeats and outcome.kind != "hang":
            mutant = smaller_seed(
                fewer_steps(mutant, self._like(task, again)), self.seeds.files, self._like(task, again)
            )
        if outcome.signature == outcome.kind:  # it says nothing of the cause; the steps that are left do
            key = f"{key} by {' '.join(sorted({name for name, _ in mutant.steps}))}"
            if key in self.known:
                return True
        self.known.add(key)
        content = build(mutant, self.seeds.files)
        if repeats and outcome.kind != "hang":
            content = fewer_bytes(mutant, self.seeds.files, self._like(task, again), seconds=_SECONDS)
        self._write(key, task.line, mutant, content, again if repeats else outcome, [] if repeats else before)
        return True

    def _fresh(self, task: Task) -> Outcome:
        self.worker.end()
        return self.worker.run(replace(task, traced=False))

    def _like(self, task: Task, outcome: Outcome) -> Fails:
        return lambda mutant, content: self.worker.run(Task(task.line, mutant, content)).signature == outcome.signature

    def _write(self, key: str, line: str, mutant: Mutant, content: bytes, outcome: Outcome, before: list[Task]) -> None:
        name = f"{line}-{outcome.kind}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
        file, note = self.folder / f"{name}.tflite", self.folder / f"{name}.json"
        file.write_bytes(content)
        words = [str(file) if a == MUTANT else a for a in LINES[line].arguments(self.seeds, mutant.base)]
        repeat = f"tfmpq {' '.join(words)}"
        entry = {
            "key": key,
            "line": line,
            "kind": outcome.kind,
            "message": outcome.message,
            "where": outcome.where,
            "mutant": json.loads(mutant.to_json()),
            "repeat": repeat,
            "only_after": [json.loads(earlier.mutant.to_json()) for earlier in before],
        }
        note.write_text(json.dumps(entry, indent=1))
        steps = ", ".join(name for name, _ in mutant.steps)
        alone = "" if not before else " (only in a process that had run others)"
        self.say(
            f"FOUND {outcome.kind} in {line}{alone}: {outcome.message} {outcome.where}\n"
            f"  {mutant.base} with {steps}; {len(content)} bytes\n  {repeat}\n  python -m tests.fuzz --repeat {note}"
        )
