"""What samples in shards cost: memory, time and bytes of `tfmpq collect` and `tfmpq evaluate` over thousands of images.

    python -m tools.research.measure_shards [--samples 20000] [--folder DIR]

Writes labelled images (the demo's digits at half their size, with noise) as tar files and a network of four layers with
random weights; sums and counts the first quarter and all of the images in processes of their own, then all in two
parts, and says how far the parts together are from one pass.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np

DEMO = Path(__file__).parents[2] / "tfmpq" / "demo"
FILES = 16  # of shards
CALIBRATION = 100  # images that are in no shard


def write_shards(folder: Path, samples: int) -> None:
    """Files of samples, each an .npy and a label."""
    with np.load(DEMO / "digits_test.npz") as held:
        images, labels = held["x"][CALIBRATION:, ::2, ::2], held["y"][CALIBRATION:]
    rng = np.random.default_rng(0)
    for file in range(FILES):
        with tarfile.open(folder / f"{file:02}.tar", "w") as archive:
            for number in range(file * samples // FILES, (file + 1) * samples // FILES):
                image = images[number % len(images)] + rng.normal(0, 8, images.shape[1:])
                stream = io.BytesIO()
                np.save(stream, np.clip(image, 0, 255).astype(np.uint8))
                label = str(int(labels[number % len(images)])).encode()
                for kind, content in (("npy", stream.getvalue()), ("cls", label)):
                    info = tarfile.TarInfo(f"{number:07}.{kind}")
                    info.size = len(content)
                    archive.addfile(info, io.BytesIO(content))


def write_network(folder: Path) -> None:
    """``net.keras``, ``net.tflite`` in float, and ``calibration.npz``."""
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    k = keras.layers
    source = keras.Input((16, 16, 1))
    x = k.Conv2D(8, 3, strides=2, padding="same", activation="relu")(source)
    x = k.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = k.Conv2D(32, 3, strides=2, padding="same", activation="relu")(x)
    model = keras.Model(source, k.Dense(10, activation="softmax")(k.GlobalAveragePooling2D()(x)))
    model.save(folder / "net.keras")
    (folder / "net.tflite").write_bytes(tf.lite.TFLiteConverter.from_keras_model(model).convert())
    with np.load(DEMO / "digits_test.npz") as held:
        np.savez(folder / "calibration.npz", x=held["x"][:CALIBRATION, ::2, ::2])


def measured(*arguments: object) -> tuple[float, float, float]:
    """Wall seconds, processor seconds and peak MiB of a command of tfmpq in a process of its own."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "tfmpq", *map(str, arguments), "--noprogress", "--quiet"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed with exit code {process.returncode}")
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def difference(whole: Path, parts: list[Path]) -> float:
    """Largest difference of added parts from one pass, relative to the largest value of each array."""
    with np.load(whole) as one:
        held = [np.load(path) for path in parts]
        worst = 0.0
        for name in one.files:
            if name != "header" and not name.endswith("shift"):
                added, wanted = sum(part[name] for part in held), one[name]
                worst = max(worst, float(np.abs(added - wanted).max() / max(np.abs(wanted).max(), 1e-300)))
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        write_shards(folder, arguments.samples)
        size = sum(path.stat().st_size for path in folder.glob("*.tar"))
        print(f"{arguments.samples:,} images in {FILES} files, {size / 1e6:.1f} MB", flush=True)
        # Not here: what a process holds counts as the peak of those that it starts.
        writer = multiprocessing.get_context("spawn").Process(target=write_network, args=(folder,))
        writer.start()
        writer.join()
        collect = ("collect", folder / "net.keras", "--data", folder / "calibration.npz")
        file = folder / "net.tflite"
        print("| | images | wall s | processor s | peak MiB |\n|---|---|---|---|---|", flush=True)
        for pattern, share in (("0[0-3].tar", 4), ("*.tar", 1)):
            for what, command in (
                ("collect", (*collect, "--shards", folder / pattern, "-o", folder / f"whole{share}.npz")),
                ("evaluate", ("evaluate", file, "--data", folder / pattern, "--write_counts", folder / "whole.json")),
            ):
                wall, processor, peak = measured(*command)
                row = f"| {what} | {arguments.samples // share:,} | {wall:.1f} | {processor:.1f} | {peak:.0f} |"
                print(row, flush=True)
        parts = []
        for part in (1, 2):
            parts.append(folder / f"part{part}.npz")
            whole = (*collect, "--shards", folder / "*.tar", f"--part={part}/2", "-o", parts[-1])
            wall, processor, peak = measured(*whole)
            share = arguments.samples // 2
            print(f"| collect, part {part}/2 | {share:,} | {wall:.1f} | {processor:.1f} | {peak:.0f} |")
            evaluate = ("evaluate", file, "--data", folder / "*.tar", f"--part={part}/2")
            measured(*evaluate, "--write_counts", folder / f"part{part}.json")
        print(f"sums of two parts: {difference(folder / 'whole1.npz', parts):.1e} of the largest value from one pass")
        print(f"a part of sums: {parts[0].stat().st_size:,} bytes")
        measured("evaluate", file, "--counts", folder / "part?.json", f"--json={folder / 'merged.json'}")
        counts = json.loads((folder / "whole.json").read_text())["sums"]
        top1 = json.loads((folder / "merged.json").read_text())["top1"]
        print(f"top-1 of two parts {top1}, of one pass {counts['ours']['first'] / counts['samples']}")


if __name__ == "__main__":
    main()
