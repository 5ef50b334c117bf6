"""``tfmpq diff`` and ``tfmpq inspect --delegate`` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support import delegate_cases


@pytest.fixture(scope="module")
def files(tmp_path_factory, conv_net_float, conv_net_int8, images) -> Path:
    """float.tflite, int8.tflite, data.npz, and photos/ of 3 images."""
    path = tmp_path_factory.mktemp("diff")
    (path / "float.tflite").write_bytes(conv_net_float)
    (path / "int8.tflite").write_bytes(conv_net_int8)
    np.savez(path / "data.npz", x=images[:20], y=np.zeros(20, int))
    (path / "photos").mkdir()
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(path / "photos" / f"{number}.png")
    return path


def test_table_and_json(run, files):
    pair = (files / "float.tflite", files / "int8.tflite")
    code, out, err = run("diff", *pair, "--data", files / "data.npz", "--noprogress")
    assert (code, "error" in err.lower()) == (0, False)
    assert out.splitlines()[0].split()[:3] == ["layer", "op", "output"]
    assert "20 samples, builtin kernels" in out
    page = files / "page.html"
    given = ("--data", files / "data.npz", "--limit=7", "--json", "--noprogress", "--html", page)
    code, out, _ = run("diff", *pair, *given)
    found = json.loads(out)
    assert (code, found["samples"]) == (0, 7)
    assert page.read_text().count("<img src=") == 6  # of the samples that differ most
    assert {layer["layer"] for layer in found["layers"]} == {"stem", "depthwise", "project", "pool", "classifier"}
    # Stock int8 of an 8-bit network: tens of dB, but not equal.
    assert all(20 < layer["own_sqnr_db"] < 70 for layer in found["layers"])


def test_images_need_preprocessing(run, files):
    pair = (files / "float.tflite", files / "int8.tflite")
    code, _, err = run("diff", *pair, "--data", files / "photos", "--noprogress")
    assert (code, "--preprocess=minus_one_one" in err) == (2, True)
    code, out, _ = run("diff", *pair, "--data", files / "photos", "--preprocess=minus_one_one", "--noprogress")
    assert (code, "3 samples" in out) == (0, True)


def test_errors_are_one_line(run, files, tmp_path, conv_net_int8):
    (tmp_path / "cut.tflite").write_bytes(conv_net_int8[:2000])
    np.savez(tmp_path / "empty.npz", x=np.zeros((0, 8, 8, 3), np.float32))
    np.savez(tmp_path / "pixels.npz", x=np.full((2, 8, 8, 3), 200.0, np.float32))
    other = load(conv_net_int8)
    other.graph.inputs[0].shape = other.graph.inputs[0].shape_signature = (1, 9, 9, 3)
    (tmp_path / "other.tflite").write_bytes(save(other))
    good, data = files / "int8.tflite", files / "data.npz"
    for arguments, message in [
        ((good, tmp_path / "cut.tflite", "--data", data), "cut.tflite': byte "),
        ((tmp_path / "cut.tflite", good, "--data", data), "cut.tflite': byte "),
        ((good, tmp_path / "none.tflite", "--data", data), "none.tflite' cannot be read"),
        ((good, good, "--data", tmp_path / "none.npz"), "none.npz' cannot be read"),
        ((good, good, "--data", tmp_path / "empty.npz"), "empty.npz': its arrays hold"),
        ((good, good, "--data", tmp_path / "pixels.npz"), "the range of file"),
        ((good, tmp_path / "other.tflite", "--data", data), "the files' inputs do not match"),
    ]:
        code, out, err = run("diff", *arguments, "--noprogress")
        assert (code, out) == (1, ""), arguments
        message_lines = [line for line in err.splitlines() if line.startswith("tfmpq diff: ")]
        assert len(message_lines) == 1
        assert message in message_lines[0]
        assert "Traceback" not in err


def test_usage(run, files):
    code, _, err = run("diff", files / "int8.tflite", "--data", files / "data.npz")
    assert (code, "2 argument(s) expected" in err) == (2, True)
    code, _, err = run("diff", files / "int8.tflite", files / "int8.tflite")
    assert (code, "--data must be given" in err) == (2, True)


def test_works_without_tensorflow(run_python, files):
    code = """
    import sys
    from tfmpq.cli import run
    assert run(["diff", sys.argv[1], sys.argv[2], "--data", sys.argv[3], "--noprogress"]) == 0
    """
    blocked = ("tensorflow", "keras", "tf_keras", "PIL")
    arguments = (files / "float.tflite", files / "int8.tflite", files / "data.npz")
    result = run_python(code, *arguments, blocked=blocked)
    assert result.returncode == 0, result.stderr
    assert "own SQNR" in result.stdout


def test_inspect_says_what_the_delegate_leaves(run, tmp_path):
    path = tmp_path / "joined.tflite"
    path.write_bytes(delegate_cases.joined(6))
    code, out, _ = run("inspect", path, "--delegate")
    assert code == 0
    assert "CONCATENATION left to slower kernels because it joins 6 pieces" in " ".join(out.split())
    assert "joins 6" not in run("inspect", path)[1]
    found = json.loads(run("inspect", path, "--delegate", "--json")[1])
    assert found["delegate"]["left"][0]["reason"] == "many joined"
    assert "delegate" not in json.loads(run("inspect", path, "--json")[1])
