"""What was found: made small, written down with the way to repeat it, and said once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.lines import LINES, MUTANT
from tests.fuzz.minimize import Fails, fewer_bytes, fewer_steps, smaller_seed
from tests.fuzz.mutate import Mutant, build
from tests.fuzz.outcomes import Outcome
from tests.fuzz.pool import Say, Worker
from tests.fuzz.seeds import Seeds
from tests.fuzz.worker import Task

_SECONDS = 30.0  # for making one finding small


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
        """Writes a finding, unless one with the same ending is there; False where it was only a slow moment."""
        key = f"{task.line}\t{outcome.signature}"
        if key in self.known:
            return True
        plain = Task(task.line, task.mutant, task.content)
        again = self._fresh(plain)
        if again.good and outcome.kind == "hang":
            return False  # the machine was busy: alone it ends in time
        repeats = again.kind == outcome.kind
        self.known.add(key)
        mutant, content = task.mutant, task.content
        if repeats and outcome.kind != "hang":
            mutant, content = self._smallest(plain, again)
        if content is None:
            content = build(mutant, self.seeds.files)
        self._write(key, task.line, mutant, content, again if repeats else outcome, [] if repeats else before)
        return True

    def _fresh(self, task: Task) -> Outcome:
        self.worker.end()
        return self.worker.run(task)

    def _smallest(self, task: Task, outcome: Outcome) -> tuple[Mutant, bytes | None]:
        def fails(mutant: Mutant, content: bytes | None) -> bool:
            found = self.worker.run(Task(task.line, mutant, content))
            return found.signature == outcome.signature

        if task.content is not None:
            return task.mutant, task.content
        check: Fails = fails
        mutant = smaller_seed(fewer_steps(task.mutant, check), self.seeds.files, check)
        return mutant, fewer_bytes(mutant, self.seeds.files, check, seconds=_SECONDS)

    def _write(
        self, key: str, line: str, mutant: Mutant, content: bytes, outcome: Outcome, before: list[Task]
    ) -> None:
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
            f"  {mutant.base} with {steps}; {len(content)} bytes\n  {repeat}\n  make fuzz-repeat FINDING={note}"
        )
