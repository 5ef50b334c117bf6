"""Where files run: what answers amount to, the table, a runtime that refuses, hangs or dies, and a real one."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tfmpq.target.models import file_of, layer
from tools.compat import environments, table
from tools.compat.environments import Home, InstallError, prepare
from tools.compat.models import STOCK, Subject
from tools.compat.runtimes import RUNTIMES, Runtime
from tools.compat.session import Answer, Job, ask
from tools.compat.table import Row, insert, render
from tools.compat.verdict import Verdict, judge, plain

HERE = next(runtime for runtime in RUNTIMES if runtime.key == "here")


# ---------------------------------------------------------------- what an answer amounts to


def references(**outputs: list[int]) -> dict[str, np.ndarray]:
    return {name.replace("_", "-"): np.array(values, np.int8) for name, values in outputs.items()}


def test_the_same_bits_as_any_kernels_of_this_environment():
    known = references(XNNPACK=[10, 20, 30], built_in=[10, 21, 30])
    for values, kernels in (([10, 20, 30], "XNNPACK"), ([10, 21, 30], "built-in")):
        verdict = judge(Answer(np.array(values, np.int8), ratio=1.02), known, 0)
        assert (verdict.words, verdict.same_as, verdict.steps) == (("runs",), kernels, 0)


def test_differences_are_told_in_decibels_and_steps():
    verdict = judge(Answer(np.array([10, 22, 30], np.int8)), references(XNNPACK=[10, 20, 30]), 10)
    assert (verdict.words, verdict.steps) == (("different",), 2)
    assert verdict.sqnr == pytest.approx(10 * np.log10((0 + 100 + 400) / 4))
    floats = judge(Answer(np.array([1, np.nan], np.float32)), {"XNNPACK": np.ones(2, np.float32)}, 0)
    assert (floats.words, floats.sqnr, floats.steps) == (("different",), -np.inf, None)


def test_slow_is_beside_stock_and_goes_with_the_rest():
    known, ran = references(XNNPACK=[1, 2]), np.array([1, 2], np.int8)
    assert judge(Answer(ran, ratio=1.2), known, 0).words == ("runs",)
    assert judge(Answer(ran, ratio=1.3), known, 0).words == ("slow",)
    assert judge(Answer(ran + 1, ratio=1.3), known, 0).words == ("different", "slow")


def test_refusals():
    assert judge(Answer(None, "RuntimeError: no"), references(XNNPACK=[1]), 0).words == ("refuses",)
    other = judge(Answer(np.array([1.0, 2.0], np.float32)), references(XNNPACK=[1, 2]), 0)
    assert other.refuses == "it gives 2 values of float32, not 2 of int8"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            "RuntimeError: tensorflow/lite/kernels/conv.cc:12 a != b.Node number 7 (CONV_2D) failed to prepare.",
            "conv.cc:12 a != b. node (CONV_2D) failed to prepare.",
        ),
        ("RuntimeError: Exception from src/a/b.cpp:1:\nTranspose for i4/u4 only", "Transpose for i4/u4 only"),
        (
            "Error: ERROR: Unsupported type 17 in tensor ERROR: Unsupported type 17 in tensor",
            "Unsupported type 17 in tensor",
        ),
        ("a | b", "a / b"),
        ("word " * 100, "word " * 39 + "wo..."),
    ],
)
def test_messages_in_a_line(message: str, expected: str):
    assert plain(message) == expected


# ---------------------------------------------------------------- the page


def test_the_table():
    cells = {
        "stock": Verdict(same_as="XNNPACK", steps=0, ratio=1.0),
        "auto": Verdict(same_as="built-in kernels", steps=0, ratio=2.5),
        "split": Verdict(sqnr=41.6, steps=1, ratio=1.4),
        "compact": Verdict(refuses="no kernel"),
    }
    runtime = replace(HERE, title="One", differs="it rounds down")
    ran = Row(runtime, "one 1.2.3", verdicts={("net", "int8", form): verdict for form, verdict in cells.items()})
    absent = Row(replace(runtime, title="Two"), missing="pip: no such version")
    text = render([ran, absent], ["a machine"])
    assert "* a machine\n" in text
    assert "### Net, int8 inputs and outputs\n\n| runtime | version | stock | auto | split | compact |\n" in text
    line = (
        "| One | 1.2.3 | runs 1.00 | **slow** (built-in kernels) 2.50 | different (1) 42 dB, 1 step, **slow** 1.40 |"
        " **refuses** (2) |"
    )
    assert line in text
    assert "| Two |  | could not be installed (3) |  |  |  |" in text
    assert text.endswith("1. it rounds down\n2. no kernel\n3. pip: no such version\n")


def test_the_measured_part_is_replaced_and_nothing_else():
    page = f"# A\n\n{table.BEGIN}\nold\n{table.END}\n\nlast\n"
    once = insert(page, "new\n")
    assert once == insert(once, "new\n") == f"# A\n\n{table.BEGIN}\n\nnew\n\n{table.END}\n\nlast\n"
    with pytest.raises(ValueError, match="no part between"):
        insert("# A", "new")


# ---------------------------------------------------------------- runtimes


def test_every_runtime_is_a_row_of_its_own():
    assert len({runtime.key for runtime in RUNTIMES}) == len({runtime.title for runtime in RUNTIMES}) == len(RUNTIMES)
    assert all(bool(runtime.packages) == (runtime.home != "here") for runtime in RUNTIMES)
    assert all(re.fullmatch(r"[a-z0-9.-]+", runtime.key) for runtime in RUNTIMES)


def test_what_cannot_be_installed_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    monkeypatch.setenv("PATH", "")
    npm = Runtime("x", "X", "x", "npm", ("x",))
    with pytest.raises(InstallError, match=r"npm is not installed \(Debian: apt-get install npm\)"):
        prepare(npm)
    with pytest.raises(InstallError, match="qemu-aarch64 is not installed"):
        prepare(replace(npm, home="arm64"))
    assert environments.last_line("\nwarning\nERROR: no such thing\nhint\n") == "ERROR: no such thing"


WORKER = """
import json, os, sys, time
given, log = json.load(open(sys.argv[2])), open(sys.argv[3], "a")
def say(**line):
    log.write(json.dumps(line) + "\\n"); log.flush()
say(runtime="toy 1.0")
for job in given["jobs"]:
    say(begun=job["name"])
    if job["name"] == "dies":
        os.abort()
    if job["name"] == "hangs":
        time.sleep(60)
    if job["name"] == "leaves":
        print("ERROR: out of luck", file=sys.stderr); sys.exit(3)
    if job["name"] == "refuses":
        say(done="refuses", refused="RuntimeError: no")
    else:
        say(done=job["name"], output="0102", dtype="int8", ratio=2.0)
"""


def test_a_file_that_kills_the_runtime_costs_only_itself(tmp_path: Path):
    script = tmp_path / "worker.py"
    script.write_text(WORKER)
    nothing = Path(os.devnull)
    names = ("first", "dies", "refuses", "leaves", "hangs", "last")
    jobs = [Job(name, nothing, nothing, nothing, 1) for name in names]
    found = ask(HERE, Home((sys.executable, str(script))), jobs, 1, seconds=3)
    assert found.version == "toy 1.0"
    assert {name: answer.refused for name, answer in found.answers.items()} == {
        "first": "",
        "dies": "the process died of SIGABRT",
        "refuses": "RuntimeError: no",
        "leaves": "the process ended with status 3: ERROR: out of luck",
        "hangs": "no end within 3 s",
        "last": "",
    }
    last = found.answers["last"]
    assert last.output is not None
    assert (last.output.tolist(), last.ratio) == ([1, 2], 2.0)


def test_a_runtime_that_cannot_start(tmp_path: Path):
    script = tmp_path / "worker.py"
    script.write_text("raise ImportError('libthing.so is missing')")
    nothing = Path(os.devnull)
    job = Job("one", nothing, nothing, nothing, 1)
    found = ask(HERE, Home((sys.executable, str(script))), [job], 1)
    assert "libthing.so is missing" in found.answers["one"].refused


def test_this_environment_for_real(tmp_path: Path):
    """The worker as it is run everywhere: the same bits as the interpreter here, a refusal, and times."""
    (tmp_path / "conv.tflite").write_bytes(file_of(layer("conv", 4, 8, 8, kernel=3), 1))
    (tmp_path / "bad.tflite").write_bytes(b"no model")
    values = np.random.default_rng(0).integers(-128, 128, (2, 1, 4, 4, 8)).astype(np.int8)
    (tmp_path / "inputs").write_bytes(values.tobytes())
    jobs = [
        Job(name, tmp_path / f"{name}.tflite", tmp_path / "conv.tflite", tmp_path / "inputs", 2)
        for name in ("bad", "conv")
    ]
    expected = ask(replace(HERE, kernels="reference"), prepare(HERE), jobs[1:], 0).answers["conv"].output
    found = ask(HERE, prepare(HERE), jobs, 4)
    assert found.version.startswith("ai-edge-litert ")
    assert "ValueError" in found.answers["bad"].refused
    answer = found.answers["conv"]
    assert expected is not None
    assert judge(answer, {"reference": expected}, 0).same_as == "reference"
    assert answer.ratio is not None
    assert 0.1 < answer.ratio < 10  # of the same file twice


def test_names_of_files():
    subject = Subject("classifier", "compact, expanded", "int8", b"")
    assert (subject.name, subject.stock) == ("classifier-compact-expanded-int8", f"classifier-{STOCK}-int8")
