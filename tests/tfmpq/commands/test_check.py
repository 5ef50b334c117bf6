"""``tfmpq check``, from files to an exit code."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from tests.support.documents import checked
from tests.support.rounding_files import rounding_file
from tests.support.shards import npy, write_tar
from tfmpq.gate.junit import errored_junit

NAME = "new <&\"'> release.tflite"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current directory: a fine base, a coarse file with a hostile name, a broken one, and data."""
    (tmp_path / "base.tflite").write_bytes(rounding_file(1 / 16))
    (tmp_path / NAME).write_bytes(rounding_file(1.0))
    (tmp_path / "cut.tflite").write_bytes(rounding_file(1.0)[:100])
    x = np.random.default_rng(0).uniform(-4, 4, (300, 8)).astype(np.float32)
    np.savez(tmp_path / "test.npz", x=x, y=x.argmax(1))
    np.savez(tmp_path / "samples.npz", x=x)
    monkeypatch.chdir(tmp_path)
    return tmp_path


DATA = ("--against=base.tflite", "--labelled=test.npz", "--noprogress")


def test_limits_that_hold(run):
    code, out, err = run("check", NAME, *DATA, "--max_drop=60", "--max-bytes=1.0x", "--json=o.json", "--junit=o.xml")
    assert (code, err.strip().startswith("tfmpq check")) == (0, False), err
    assert f"file                  {NAME}  (" in out
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("max_")] == ["held", "held"]
    document = checked(Path("o.json").read_text(), "check")
    assert (document["verdict"], document["measured"]["samples"]) == ("held", 300)
    assert document["made_by"]["options"]["max_bytes"] == "1.0x"
    suite = ElementTree.parse("o.xml").getroot()[0]
    assert (suite.get("name"), suite.get("tests"), suite.get("failures")) == (f"tfmpq check {NAME}", "2", "0")


def test_shards_are_judged_on_as_arrays_are(run):
    with np.load("test.npz") as arrays:
        x, y = arrays["x"], arrays["y"]
    for number, rows in enumerate((slice(0, 200), slice(200, 300))):
        samples = zip(x[rows], y[rows], strict=True)
        write_tar(Path(f"{number}.tar"), [{"npy": npy(a), "cls": str(b).encode()} for a, b in samples])
    limits = ("check", NAME, "--against=base.tflite", "--noprogress", "--max_drop=60", "--max_kl=5", "--json")
    results = []
    for labelled in ("test.npz", "*.tar"):
        code, out, err = run(*limits, f"--labelled={labelled}")
        assert code == 0, err
        results.append(checked(out, "check")["measured"])
    assert results[0] == results[1]
    code, _, err = run(*limits, "--labelled=*.tar", "--junit=0.tar")
    assert (code, "would overwrite what is read" in err) == (2, True)


def test_limits_that_do_not_hold_or_cannot_be_told(run):
    limits = ("--max_drop=0.5", "--max_bytes=1KiB", "--max_kl=10")
    code, out, err = run("check", NAME, *DATA, *limits, "--junit=o.xml")
    assert code == 1
    (line,) = [line for line in err.splitlines() if line.startswith("tfmpq check: ")]
    assert line.startswith("tfmpq check: 1 of 3 limits: max_drop failed: ")
    assert "max_drop failed: " in " ".join(out.split())
    assert ElementTree.parse("o.xml").getroot().get("failures") == "1"
    same = ("check", "base.tflite", *DATA, "--max_drop=0.5")
    code, _, err = run(*same)
    assert (code, "max_drop cannot be told: 300 samples are too few, about 539 are needed" in err) == (1, True)
    code, out, _ = run(*same, "--allow_untold", "--junit=o.xml", "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "cannot be told")
    assert ElementTree.parse("o.xml").getroot().get("skipped") == "1"


def test_without_labels_and_with_another_metric(run):
    arguments = ("check", NAME, "--against=base.tflite", "--labelled=samples.npz", "--noprogress")
    assert run(*arguments, "--min_agreement=0.3", "--max_kl=5")[0] == 0
    assert run(*arguments, "--metric=cosine", "--max_drop=0.1")[0] == 0
    code, _, err = run(*arguments, "--max_drop=60")
    assert (code, "max_drop needs labels 'y'" in err) == (1, True)
    assert run("check", NAME, "--against=base.tflite", "--max_bytes=2MB")[0] == 0  # needs no data


def test_work_that_fails_leaves_its_error_in_place_of_an_old_result(run):
    Path("o.xml").write_text("<testsuites/>")
    code, out, err = run("check", "cut.tflite", *DATA, "--max_drop=60", "--max_kl=1", "--junit=o.xml")
    assert (code, out, err.count("\n")) == (1, "", 1)
    root = ElementTree.parse("o.xml").getroot()
    assert (root.get("tests"), root.get("errors")) == ("2", "2")
    assert "cut.tflite" in str(root[0][1][0].get("message"))


def green(path: str) -> bytes:
    content = errored_junit("a.tflite", "b.tflite", [], "", seconds=1.0)
    Path(path).write_bytes(content)
    return content


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), RuntimeError("unforeseen"), SystemExit(0)])
def test_no_way_out_leaves_an_old_result(run, monkeypatch, raised):
    green("o.xml")
    seen = []

    def stopped(*_: object, **__: object) -> None:
        seen.append(Path("o.xml").read_text())
        raise raised

    monkeypatch.setattr("tfmpq.commands.check.check", stopped)
    arguments = ("check", NAME, "--against=base.tflite", "--max_bytes=2MB", "--junit", "o.xml")
    with contextlib.suppress(RuntimeError, SystemExit):
        assert run(*arguments)[0] == 130
    assert "the check did not end" in seen[0]  # what a process that is killed leaves
    root = ElementTree.parse("o.xml").getroot()
    assert root.get("errors") == "1"
    assert root[0][1][0].get("message") == (str(raised) or "interrupted")


@pytest.mark.parametrize("wrong", ["--max_drop=much", "--max_bytes=many", "--nothing", "--max_kl=-1"])
def test_a_wrong_command_line_leaves_no_old_result_and_removes_nothing_else(run, wrong):
    green("o.xml")
    for spelling in (("--junit=o.xml",), ("--junit", "o.xml")):
        assert run("check", NAME, "--against=base.tflite", wrong, *spelling)[0] == 2
        assert not Path("o.xml").exists()
        green("o.xml")
    Path("mine.xml").write_text("<testsuites/>")
    assert run("check", NAME, "--against=base.tflite", wrong, "--junit=mine.xml")[0] == 2
    assert Path("mine.xml").read_text() == "<testsuites/>"
    content = green("o.xml")
    assert run("check", "--help", "--junit=o.xml")[0] == 0
    assert Path("o.xml").read_bytes() == content


def test_class_folders(run, folder, conv_net_int8, conv_net_float):
    (folder / "int8.tflite").write_bytes(conv_net_int8)
    (folder / "float.tflite").write_bytes(conv_net_float)
    for number in range(40):
        (folder / "photos" / str(number % 10)).mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "photos" / str(number % 10) / f"{number}.png")
    arguments = ("check", "int8.tflite", "--against=float.tflite", "--labelled=photos", "--max_drop=40", "--noprogress")
    assert run(*arguments, "--preprocess=minus_one_one")[0] == 0
    code, _, err = run(*arguments)
    assert (code, "--preprocess=minus_one_one" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max_drop=1",), "--against must be given"),
        (("--against=base.tflite",), "give at least one limit: --max_drop"),
        (("--against=base.tflite", "--max_drop=1"), "judged on samples: --labelled=DATA"),
        ((*DATA, "--max_bytes=many"), "--max_bytes=many: give 1600000"),
        ((*DATA, "--max_bytes=1.2.3x"), "--max_bytes=1.2.3x"),
        ((*DATA, "--max_bytes=0x"), "--max_bytes=0x"),
        ((*DATA, "--max_bytes="), "--max_bytes="),
        ((*DATA, "--min_agreement=99"), "0.99, not 99"),
        ((*DATA, "--max_drop=nan"), "max_drop=nan"),
        ((*DATA, "--max_drop=1", "--junit=base.tflite"), "would overwrite what is read"),
        ((*DATA, "--max_drop=1", "--junit=o", "--json=o"), "give each a file of its own"),
        ((*DATA, "--max_latency_ratio=1", "--kernels=reference"), "xnnpack or builtin"),
        ((*DATA, "--max_latency_ratio=1", "--rounds=5"), "rounds"),
    ],
)
def test_usage(run, arguments, message):
    code, out, err = run("check", NAME, *arguments)
    assert (code, out) == (2, "")
    assert message in err
