"""Mutants: a seed file and the steps that change it, each of which a number makes reproducible."""

from __future__ import annotations

import functools
import json
import pickle
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import flatbuffers
from ai_edge_litert import schema_py_generated as schema

from tests.fuzz import model_edits, op_edits, record_edits, tensor_edits  # noqa: F401 (they register their edits)
from tests.fuzz.edits import EDITS
from tests.fuzz.raw import ATTACHMENTS, CHANGES

# The order in which steps are taken, whatever the order in which they were added: objects, what is appended, bytes.
_GROUPS: tuple[Mapping[str, object], ...] = (EDITS, ATTACHMENTS, CHANGES)
_SHARES = (0.76, 0.04, 0.20)
_MOST_STEPS = 12
_BOLD = 0.4
_MOST_BYTES = 1 << 20  # small files that do harm are what is sought


@dataclass(frozen=True)
class Mutant:
    """A file that is made from a seed file.

    Attributes:
        base: name of the seed file.
        steps: (name of the edit or change, number that decides its details).
    """

    base: str
    steps: tuple[tuple[str, int], ...]

    def to_json(self) -> str:
        """One line; :meth:`from_json` reads it."""
        return json.dumps({"base": self.base, "steps": self.steps})

    @classmethod
    def from_json(cls, text: str) -> Mutant:
        """Inverse of :meth:`to_json`."""
        content = json.loads(text)
        return cls(content["base"], tuple((name, int(number)) for name, number in content["steps"]))


def random_mutant(bases: Sequence[str], rng: random.Random, *, bold: float = _BOLD) -> Mutant:
    """A mutant of one of the seed files, with 1 + 4 x `bold` steps on average."""
    count = 1 + sum(rng.random() < bold for _ in range(4))
    return Mutant(rng.choice(bases), tuple(_step(rng) for _ in range(count)))


def child(parent: Mutant, other: Mutant, rng: random.Random) -> Mutant:
    """A mutant with further steps, with one step less, or with those of another one too."""
    steps = list(parent.steps)
    if len(steps) > 1 and rng.random() < 0.2:
        del steps[rng.randrange(len(steps))]
    if rng.random() < 0.3:
        steps += rng.sample(other.steps, 1 + rng.randrange(len(other.steps))) if other.steps else []
    steps += [_step(rng) for _ in range(rng.randrange(1, 3))]
    return Mutant(parent.base, tuple(steps[-_MOST_STEPS:]))


def _step(rng: random.Random) -> tuple[str, int]:
    group = rng.choices(_GROUPS, _SHARES)[0]
    return rng.choice(sorted(group)), rng.getrandbits(32)


def build(mutant: Mutant, seeds: Mapping[str, bytes]) -> bytes:
    """The file. A step that does not fit what earlier ones left changes nothing."""
    content = seeds[mutant.base]
    others = list(seeds.values())
    edits = [step for step in mutant.steps if step[0] in EDITS]
    if edits:
        content = _edited(content, edits)
    for group in (ATTACHMENTS, CHANGES):
        for name, number in mutant.steps:
            if name in group and content:
                try:
                    content = group[name](content, others, random.Random(number))
                except (ValueError, IndexError):
                    continue
    return content


def _edited(content: bytes, edits: Sequence[tuple[str, int]]) -> bytes:
    model = pickle.loads(_objects(content))
    last = content
    for name, number in edits:
        try:
            EDITS[name](model, random.Random(number))
            packed = _packed(model)
            if len(packed) > _MOST_BYTES:
                raise ValueError("too large")
            last = packed
        except Exception:
            # What one edit leaves may be nothing that a later one can change, or that can be written: leave that out.
            model = pickle.loads(_objects(last))
    return last


@functools.lru_cache(64)
def _objects(content: bytes) -> bytes:
    return pickle.dumps(_read(content))


def _read(content: bytes) -> Any:
    return schema.ModelT.InitFromPackedBuf(content, 0)


def _packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1 << 14)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
