"""The harness itself: mutants are reproducible, and it sees what it is to find."""

from __future__ import annotations

import os
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz.lines import LINES
from tests.fuzz.minimize import fewer_bytes, fewer_steps
from tests.fuzz.mutate import Mutant, build, child, random_mutant
from tests.fuzz.outcomes import judge
from tests.fuzz.pool import Worker
from tests.fuzz.seeds import Seeds
from tests.fuzz.worker import Task
from tests.support.op_models import activation, bias, file_of, layer_op, weight


def small_file() -> bytes:
    source, result = activation("x", (1, 4), 0.1, 0), activation("y", (1, 3), 0.1, 0)
    kernel = weight("w", "dense", np.arange(12).reshape(3, 4), np.full(3, 0.1))
    return file_of(
        [layer_op("dense", source, kernel, bias("b", np.zeros(3), source, kernel), result)], [source], [result]
    )


SEEDS = {"a": small_file(), "b": small_file()}


def test_a_mutant_is_the_same_file_each_time_and_mutants_differ():
    mutants = [random_mutant(["a", "b"], random.Random(number)) for number in range(200)]
    files = [build(mutant, SEEDS) for mutant in mutants]
    assert files == [build(Mutant.from_json(mutant.to_json()), SEEDS) for mutant in mutants]
    assert len(set(files)) > 150
    assert len({name for mutant in mutants for name, _ in mutant.steps}) > 30


def test_children_are_made_of_their_parents_steps():
    rng = random.Random(0)
    parent, other = Mutant("a", (("bits", 1), ("shape", 2))), Mutant("b", (("scale", 3),))
    children = [child(parent, other, rng) for _ in range(50)]
    assert {mutant.base for mutant in children} == {"a"}
    assert all(set(mutant.steps) & set(parent.steps) for mutant in children)
    assert any(set(mutant.steps) & set(other.steps) for mutant in children)


def test_the_smallest_mutant_keeps_what_matters():
    mutant = Mutant("a", (("axis", 5), ("bits", 1), ("scale", 2), ("word", 3)))
    assert fewer_steps(mutant, lambda m, _: ("scale", 2) in m.steps).steps == (("scale", 2),)
    content = fewer_bytes(
        Mutant("a", ()), SEEDS, lambda _, c: c is not None and len(c) > 100 and c[4:8] == b"TFL3", seconds=10
    )
    assert 100 < len(content) < 120
    assert not any(content[8:])


@pytest.mark.parametrize(
    ("code", "err", "files", "kind"),
    [
        (0, "", {"out": None}, "ok"),
        (0, "", {"out": "missing"}, "wrong"),
        (1, "tfmpq inspect: it is corrupt\n", {"out": "missing"}, "clear"),
        (1, "tfmpq inspect: it is corrupt\n", {"out": None}, "wrong"),
        (1, "", {"out": "missing"}, "wrong"),
        (1, "tfmpq inspect: one\ntwo\n", {"out": "missing"}, "wrong"),
        (2, "tfmpq inspect: no such flag\nSee: tfmpq inspect --help\n", {"out": "missing"}, "clear"),
        (1, "tfmpq inspect: \x1b[31m is corrupt\n", {"out": "missing"}, "wrong"),
        (3, "tfmpq inspect: it is corrupt\n", {"out": "missing"}, "wrong"),
    ],
)
def test_endings_are_told_apart(code, err, files, kind):
    assert judge(code, "", err, files).kind == kind


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Workers that are forked from a process with another ``run``."""
    import tfmpq.cli

    path = tmp_path / "a.tflite"
    path.write_bytes(SEEDS["a"])
    made = Worker(tmp_path / "work", Seeds(SEEDS, {}, {}, {"a": path}))

    def start(run):
        monkeypatch.setattr(tfmpq.cli, "run", run)
        return made

    yield start
    made.end()


def test_what_ends_a_process_is_seen_and_the_next_mutant_finds_another(worker, monkeypatch):
    def run(arguments):
        size = Path(arguments[1]).stat().st_size
        if size == 1:
            os.abort()
        elif size == 2:
            time.sleep(60)
        elif size == 3:
            raise KeyError("a")
        elif size == 4:
            bytearray(b"a" * (150 << 20))
        os.write(2, b"tfmpq inspect: it is corrupt\n")
        return 1

    made = worker(run)
    monkeypatch.setitem(LINES, "inspect", replace(LINES["inspect"], seconds=4.0, megabytes=100))
    found = [made.run(Task("inspect", Mutant("a", ()), bytes(size))).kind for size in (1, 5, 2, 3, 4, 5)]
    assert found == ["death", "clear", "hang", "traceback", "blow-up", "clear"]
