"""Kills ``tfmpq sweep`` at random moments, starts it again, and looks for rows that are lost, doubled or half written.

    python -m tools.research.sweep_kills --kills 20 --folder FOLDER

A tiny network of random weights, two variants and two budgets. Every kill is a SIGKILL to the process that was started;
its workers have to end by themselves. Once a sweep is complete, its rows and files are held against those of one that
nothing ended, and a new one begins, with an empty cache.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

_SPEC = """
budgets = ["extra:0", "extra:0.3"]
[models.net]
path = "net.tflite"
data = "calibration.npz"
labelled = "test.npz"
[[variants]]
name = "auto"
[[variants]]
name = "parallel"
options = { lowering = "parallel" }
"""
_MARK = "TFMPQ_SWEEP_KILLS"  # an environment variable that a sweep's workers inherit
_SECONDS = 600
_PATIENCE = 60  # seconds; a process that loads TensorFlow can end once that is done, which takes long on a busy machine
_ROWS = 6


def prepare(folder: Path, float_file: bytes, images: np.ndarray) -> None:
    """Writes a spec with its network and data.

    Args:
        folder: for them.
        float_file: a small classifier of 10 classes.
        images: its samples.
    """
    (folder / "net.tflite").write_bytes(float_file)
    np.savez(folder / "calibration.npz", images)
    np.savez(folder / "test.npz", x=images, y=np.arange(len(images)) % 10)
    (folder / "spec.toml").write_text(_SPEC)


def kill_sweeps(folder: Path, kills: int, *, seed: int = 0) -> Iterator[str]:
    """Ends sweeps as often as asked, then lets the last one finish.

    Args:
        folder: with what :func:`prepare` writes.
        kills: how often.
        seed: of the moments.

    Yields:
        What is wrong.
    """
    rng = random.Random(seed)
    start = time.monotonic()
    if _start(folder, "whole").wait(_SECONDS) != 0:
        yield "the sweep that nothing ends fails"
        return
    seconds, whole = time.monotonic() - start, _content(folder / "whole")
    name, done, is_new = "killed", 0, True
    while done < kills or not is_new:
        if is_new:
            for made in (name, f"{name}_cache"):
                shutil.rmtree(folder / made, ignore_errors=True)
        process = _start(folder, name)
        try:
            code = process.wait(rng.uniform(0, seconds) if done < kills else _SECONDS)
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            done, is_new = done + 1, False
            yield from _left_over(folder / name, f"kill {done}")
            continue
        is_new = True
        if code or _content(folder / name) != whole:
            yield f"the sweep after {done} kills is not what one without kills is (exit code {code})"


def _start(folder: Path, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tfmpq", "sweep", "spec.toml", f"--output_dir={name}", f"--cache={name}_cache"]
    command += ["--processes=2", "--quiet"]
    environment = {**os.environ, _MARK: str(folder), "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    with open(folder / f"{name}.log", "ab") as log:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)


def _left_over(folder: Path, when: str) -> Iterator[str]:
    """What is wrong in a folder whose sweep was killed."""
    deadline = time.monotonic() + _PATIENCE
    while workers := _workers(folder.parent):
        if time.monotonic() > deadline:
            yield f"{when}: processes {workers} are still there"
            break
        time.sleep(0.1)
    rows = _rows(folder)
    if len({row["key"] for row in rows}) < len(rows):
        yield f"{when}: a row is there twice"
    for row in rows:
        path = folder / row["file"]
        if "error" in row or not path.exists() or path.stat().st_size != row["bytes"]:
            yield f"{when}: {row['file']} is not whole, or its row is an error"


def _workers(folder: Path) -> list[int]:
    """Processes that a sweep in the folder started."""
    found, mark = [], f"{_MARK}={folder}".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:  # it is gone, or another user's
            continue
    return found


def _rows(folder: Path) -> list[dict[str, Any]]:
    path = folder / "results.jsonl"
    content = path.read_bytes() if path.exists() else b""
    return [json.loads(line) for line in content[: content.rfind(b"\n") + 1].splitlines()]


def _content(folder: Path) -> tuple[list[str], dict[str, bytes]]:
    """Rows and files, without what differs from run to run."""
    rows = [{key: value for key, value in row.items() if key not in ("seconds", "host")} for row in _rows(folder)]
    files = {str(p.relative_to(folder)): p.read_bytes() for p in (folder / "files").rglob("*") if p.is_file()}
    assert len(rows) == len(files) == _ROWS, (len(rows), list(files))
    return sorted(json.dumps(row, sort_keys=True) for row in rows), files


def main(arguments: list[str] | None = None) -> int:
    """Runs the tool; exit code 1 where anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--folder", type=Path, required=True, help="for the work, made if need be")
    options = parser.parse_args(arguments)
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    images = np.random.default_rng(1).uniform(-1, 1, (32, 8, 8, 3)).astype(np.float32)
    prepare(folder, _network(), images)
    problems = list(kill_sweeps(folder, options.kills, seed=options.seed))
    print("\n".join(problems))
    print(f"{options.kills} kills, {len(problems)} problems")
    return 1 if problems else 0


def _network() -> bytes:
    import keras

    from converters.frontend.load import load_model

    keras.utils.set_random_seed(0)
    layers = [
        keras.layers.Conv2D(8, 3, padding="same", activation="relu"),
        keras.layers.Conv2D(16, 1, activation="relu6"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(10),
    ]
    return load_model(keras.Sequential([keras.Input((8, 8, 3)), *layers])).flatbuffer


if __name__ == "__main__":
    sys.exit(main())
