"""One of several signatures in front."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.errors import OptionError
from converters.frontend.entry_file import entry_alone, entry_first
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.whole_files import WIDTH, run_entry, two_entries

STEPS = np.random.default_rng(0).normal(size=(6, 1, WIDTH)).astype(np.float32)


def test_the_signature_becomes_the_main_one(tmp_path: Path):
    path = tmp_path / "two.tflite"
    path.write_bytes(two_entries())
    for model in (path, two_entries()):
        content = entry_first(model, "decode")
        assert [s.key for s in load(content).signatures] == ["decode", "prefill"]
        (found,) = run(make_interpreter(content), {"x": STEPS[:1]})
        assert np.array_equal(found, run_entry(two_entries(), "decode", x=STEPS[:1]))


def test_unknown_ones_are_told():
    with pytest.raises(OptionError, match=r"signature='train'.*\['prefill', 'decode'\]"):
        entry_first(two_entries(), "train")
    nameless = load(two_entries())
    nameless.signatures = []
    with pytest.raises(OptionError, match="has no signatures: leave it out"):
        entry_first(save(nameless), "prefill")


def test_one_alone_has_only_what_its_graph_calls():
    content = entry_alone(two_entries(), "decode")
    parsed = load(content)
    assert ([s.key for s in parsed.signatures], [g.name for g in parsed.graphs]) == (["decode"], ["decode"])
    (found,) = run(make_interpreter(content), {"x": STEPS[:1]})
    assert np.array_equal(found, run_entry(two_entries(), "decode", x=STEPS[:1]))
