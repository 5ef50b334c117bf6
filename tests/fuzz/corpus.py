"""Mutants worth changing further: the first of every new ending, and those that reach new code."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.fuzz.lines import LINES
from tests.fuzz.mutate import Mutant, child, random_mutant
from tests.fuzz.outcomes import Outcome

_FROM_CORPUS = 0.5


@dataclass
class Corpus:
    """Mutants kept in a file, a line each: they are parents of others."""

    path: Path
    mutants: dict[str, list[Mutant]] = field(default_factory=dict)  # by command line
    known: set[str] = field(default_factory=set)
    lines: set[int] = field(default_factory=set)

    @classmethod
    def load(cls, path: Path) -> Corpus:
        """The corpus of earlier runs."""
        corpus = cls(path)
        if path.exists():
            for entry in path.read_text(encoding="utf-8").splitlines():
                line, signature, mutant = entry.split("\t", 2)
                corpus.known.add(f"{line}\t{signature}")
                corpus.mutants.setdefault(line, []).append(Mutant.from_json(mutant))
        return corpus

    def draw(self, line: str, bases: Sequence[str], rng: random.Random) -> Mutant:
        """A mutant for a command line: a child of what is kept, or a new one."""
        parents = self.mutants.get(line, [])
        parent = rng.choice(parents) if parents and rng.random() < _FROM_CORPUS else None
        if parent is None or parent.base not in bases:
            return random_mutant(bases, rng, bold=LINES[line].bold)
        return child(parent, rng.choice(parents), rng)

    def consider(self, line: str, mutant: Mutant, outcome: Outcome) -> bool:
        """Keeps a mutant whose ending is new or that reached lines no other did; says whether it did."""
        key = f"{line}\t{' '.join(outcome.signature.split())}"
        new_lines = outcome.lines - self.lines
        self.lines |= new_lines
        if key in self.known and not new_lines:
            return False
        self.known.add(key)
        self.mutants.setdefault(line, []).append(mutant)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(f"{key}\t{mutant.to_json()}\n")
        return True
