"""`tfmpq collect`, and conversions with what it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.documents import checked
from tests.support.shards import npy, write_tar


@pytest.fixture
def folder(tmp_path: Path, conv_net_float: bytes, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("float.tflite").write_bytes(conv_net_float)
    np.savez("calibration.npz", x=images[:40])
    for number in range(3):
        write_tar(Path(f"{number}.tar"), [{"npy": npy(image)} for image in images[number::3]])
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--part=0/2"], 2, "--part=0/2: give K/N with K from 1 to N"),
        (["--part=3/2"], 2, "--part=3/2: give K/N"),
        (["--part=1/4"], 1, "3 files cannot be shared by 4 parts"),
        (["--shards=none*.tar"], 1, "no file matches 'none*.tar'"),
        (["--shards=calibration.npz"], 1, "'calibration.npz' is no glob of files"),
        (["--output=0.tar"], 2, "would overwrite what is read"),
        (["--bits=9"], 2, "bits"),
    ],
)
def test_what_is_wrong_is_found_before_tensorflow_loads(
    run: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
):
    monkeypatch.setattr("converters.frontend.load.load_model", lambda *_, **__: pytest.fail("it loads the model"))
    usual = ("float.tflite", "--data=calibration.npz", "--shards=*.tar", "--output=part.npz")
    found, out, err = run("collect", *usual, *arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert not (folder / "part.npz").exists()


@pytest.mark.slow
def test_parts_give_the_moments_of_a_conversion(run: Any, folder: Path):
    collect = ("collect", "float.tflite", "--data=calibration.npz", "--shards=*.tar", "--noprogress")
    for part in (1, 2):
        code, out, err = run(*collect, f"--part={part}/2", "-o", f"part{part}.npz", "--json")
        assert code == 0, err
        document = checked(out, "collect")
        assert (document["part"], document["parts"], document["layers"]) == (part, 2, 4)
        assert document["bytes"] == Path(f"part{part}.npz").stat().st_size
    convert = ("convert", "float.tflite", "--data=calibration.npz", "--noprogress", "--quiet")
    files = []
    for number in range(2):  # made, and then found in the cache
        code, _, err = run(*convert, "--statistics=part*.npz", f"--cache={folder}/cache", "-o", f"{number}.tflite")
        assert code == 0, err
        files.append(Path(f"{number}.tflite").read_bytes())
    assert files[0] == files[1]
    code, _, err = run(*convert, "-o", "plain.tflite")
    assert (code, Path("plain.tflite").read_bytes() == files[0]) == (0, False), err
    code, _, err = run(*convert, "--statistics=part1.npz", "-o", "absent.tflite")
    assert (code, "part 2/2 of the statistics is missing" in err) == (1, True)
    code, _, err = run(*convert, "--statistics=part*.npz", "--equalize=off", "--seed=5", "-o", "absent.tflite")
    assert (code, "was collected for another network" in err) == (1, True)
