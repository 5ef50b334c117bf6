"""``tfmpq cache``, and ``tfmpq convert --cache``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.documents import checked
from tfmpq.cache.store import Store

pytestmark = pytest.mark.usefixtures("only_keras_classes")

KEY = f"{0:040x}"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    store = Store.open(tmp_path / "cache")
    header = {"model": "file 'net.keras'", "samples": 40, "data": "ab", "options": {"bits": "3", "seed": "1"}}
    store.put(KEY, "prepared", header, b"x" * 5000)
    store.put(KEY, "model", {"model": "file 'net.keras'"}, b"x")
    os.utime(store.folder / f"{KEY}.model", (0, 0))
    return store.folder


def test_list(run: Run, folder: Path):
    code, out, err = run("cache", "list", "--cache", folder)
    assert (code, err) == (0, "")
    header, first, second, total = (line.split() for line in out.splitlines() if line)
    assert header[:2] == ["model", "samples"]
    assert " ".join(first[:6]) == "file 'net.keras' 40 bits=3, seed=1 5.2"
    assert " ".join(second[:4]) == "file 'net.keras' (float file)"
    assert " ".join(total[1:]) == "2 files, 5.4 kB"


def test_list_as_json(run: Run, folder: Path):
    code, out, _ = run("cache", "list", f"--cache={folder}", "--json")
    content = checked(out, "cache")
    assert code == 0
    assert content["folder"] == str(folder)
    assert [(entry["kind"], entry.get("samples")) for entry in content["list"]] == [("prepared", 40), ("model", None)]
    assert content["list"][0]["options"] == {"bits": "3", "seed": "1"}


def test_headers_do_not_say_which_file_it_is(run: Run, folder: Path):
    Store(folder).put(KEY, "model", {"model": "a", "file": "/etc/passwd", "bytes": "x"}, b"x")
    content = json.loads(run("cache", "list", f"--cache={folder}", "--json")[1])
    assert content["list"][0]["file"] == f"{KEY}.model"
    assert content["list"][0]["bytes"] == (folder / f"{KEY}.model").stat().st_size


def test_clear(run: Run, folder: Path):
    (folder / "notes.txt").write_text("mine")
    code, out, err = run("cache", "clear", "--cache", folder, "--max_bytes=5.25kB")
    assert (code, err) == (0, "")
    assert "1 file, " in out
    assert sorted(path.name for path in folder.iterdir()) == [f"{KEY}.prepared", "notes.txt"]
    assert run("cache", "clear", "--cache", folder)[0] == 0
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]


def test_the_usual_folder_is_that_of_xdg(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    code, out, _ = run("cache", "list")
    assert code == 0
    assert f"'{tmp_path / 'tfmpq'}': 0 files, 0 B" in out


def test_nothing_is_made_where_there_is_no_cache(run: Run, tmp_path: Path):
    pytest.importorskip("fsspec")
    from tests.support.stores import OddStore, odd_store

    with odd_store():
        for action in ("list", "clear"):
            for folder in ("odd://mistyped/cache", tmp_path / "mistyped"):
                code, out, _ = run("cache", action, "--cache", folder)
                assert code == 0
                assert f"'{folder}': 0 files, 0 B" in out
        assert OddStore.store == {}
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["forget"], "there is no 'forget': say list or clear"),
        ([], "1 argument(s) expected"),
        (["list", "--max_bytes=1"], "--max_bytes is for tfmpq cache clear"),
        (["clear", "--max_bytes=much"], "--max_bytes=much: give a number of bytes"),
        (["clear", "--max_bytes=1XB"], "--max_bytes=1XB: give a number of bytes"),
        (["list", "--cache=/dev/null"], "cache='/dev/null' is no folder"),
    ],
)
def test_bad_command_lines(run: Run, arguments: list[str], message: str):
    code, out, err = run("cache", *arguments)
    assert (code, out) == (2, "")
    assert message in err


def test_a_folder_of_others_is_refused_before_any_work(
    run: Run, conv_net_float: bytes, tmp_path: Path, monkeypatch: Any
):
    monkeypatch.setattr("converters.frontend.load.load_model", lambda *_, **__: pytest.fail("it loads the model"))
    (tmp_path / "net.tflite").write_bytes(conv_net_float)
    np.save(tmp_path / "x.npy", np.zeros((40, 8, 8, 3), np.float32))
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    code, _, err = run(
        "convert", tmp_path / "net.tflite", f"--data={tmp_path / 'x.npy'}", "-o", tmp_path / "o.tflite",
        f"--cache={tmp_path / 'open'}",
    )  # fmt: skip
    assert code == 2
    assert "can be written to by others" in err


def test_convert_keeps_and_finds(
    run: Run, conv_net_path: Path, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    np.save(tmp_path / "x.npy", images[:40])
    usual = ["convert", conv_net_path, f"--data={tmp_path / 'x.npy'}", "--sensitivity=energy", "--noprogress"]
    usual += ["--recipe=recipe.json"]
    monkeypatch.chdir(tmp_path)
    Path("recipe.json").write_text('{"rules": [{"match": ".*", "bits": 4}]}')  # small layers would have 8 bits
    for name, more in (("plain", []), ("first", ["--cache=cache"])):
        assert run(*usual, "--budget=extra:0.1", "-o", f"{name}.tflite", f"--json={name}.json", *more)[0] == 0
    monkeypatch.setattr("converters.frontend.load.load_model", lambda *_, **__: pytest.fail("it loads the model"))
    assert run(*usual, "--budget=extra:0.1", "-o", "again.tflite", "--json=again.json", "--cache=cache")[0] == 0
    assert run(*usual, "--budget=extra:0.3", "-o", "other.tflite", "--cache=cache")[0] == 0
    files = [Path(f"{name}.tflite").read_bytes() for name in ("plain", "first", "again", "other")]
    assert files[0] == files[1] == files[2] != files[3]
    contents = [json.loads(Path(f"{name}.json").read_text()) for name in ("plain", "again")]
    for content in contents:
        content["seconds"] = content["made_by"]["files"] = None
    assert contents[0] == contents[1]


def test_a_damaged_entry_is_a_warning_line(run: Run, conv_net_float: bytes, images: np.ndarray, tmp_path: Path):
    (tmp_path / "net.tflite").write_bytes(conv_net_float)
    np.save(tmp_path / "x.npy", images[:40])
    arguments = [
        "convert", tmp_path / "net.tflite", f"--data={tmp_path / 'x.npy'}", "-o", tmp_path / "o.tflite",
        f"--cache={tmp_path / 'cache'}", "--budget=extra:0", "--sensitivity=energy", "--noprogress",
    ]  # fmt: skip
    assert run(*arguments)[0] == 0
    (path,) = (tmp_path / "cache").iterdir()
    path.write_bytes(path.read_bytes()[:-100])
    code, _, err = run(*arguments)
    assert code == 0
    lines = [line for line in err.splitlines() if "cache" in line]
    assert len(lines) == 1
    assert lines[0].startswith("tfmpq convert: warning: cache: '")
    assert "made anew: it is cut off" in lines[0]
