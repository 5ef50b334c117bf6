"""What a conversion costs beside TensorFlow's own: CPU seconds by stage, peak memory, growth with images and layers.

    python -m tools.research.conversion_cost --zoo DIR [--models NAME ...] [--images 50 100 200] [--depths 10 20 40]

DIR is that of tools/research/measure_zoo.py. Every conversion runs in a process of its own, with TensorFlow, the model
and the images loaded before the clock starts. CPU seconds are those of the process and of all that it starts: on a
busy machine they tell more than the clock does. Memory is the peak above what was there before the conversion. Depths
are of chains of convolutions, converted with the first number of images.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tools.research.measuring import load_zoo, zoo_or_exit

_TICKS = os.sysconf("SC_CLK_TCK")
_CHAIN = "chain of "  # and its depth: a network that is built here


def cpu_seconds() -> float:
    """Of this process, and of its children, those that still run too."""
    own = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(u.ru_utime + u.ru_stime for u in own) + sum(_running(os.getpid()))


def _running(parent: int) -> list[float]:
    """CPU seconds of every process below ``parent``, and of what these have waited for."""
    children: dict[int, list[tuple[int, float]]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append((int(folder.name), sum(map(int, fields[11:15])) / _TICKS))
    found, waiting = list[float](), [parent]
    while waiting:
        for number, seconds in children.get(waiting.pop(), ()):
            found.append(seconds)
            waiting.append(number)
    return found


def memory(key: str) -> int:
    """MB, of a line of /proc/self/status: VmRSS, or the peak VmHWM."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(key))


def convert_stock(model: Any, images: np.ndarray) -> dict[str, float]:
    """TensorFlow's own int8 conversion; no stages."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    converter.convert()
    return {}


def convert_ours(model: Any, images: np.ndarray) -> dict[str, float]:
    """A conversion by tfmpq's defaults; CPU seconds by stage."""
    import tfmpq
    from tfmpq.clock import Clock

    stages: dict[str, float] = {}
    plain, last = Clock.lap, [cpu_seconds()]

    def lap(self: Clock, stage: str) -> None:
        plain(self, stage)
        now = cpu_seconds()
        stages[stage] = stages.get(stage, 0.0) + now - last[0]
        last[0] = now

    Clock.lap = lap
    tfmpq.convert(model, images, progress=False)
    stages["report"] = cpu_seconds() - last[0]
    return stages


def chain(depth: int, count: int) -> tuple[Any, np.ndarray]:
    """A classifier of ``depth`` convolutions with weights by chance, and images for it."""
    import keras

    keras.utils.set_random_seed(0)
    source = x = keras.Input((32, 32, 3))
    for number in range(depth):
        x = keras.layers.Conv2D(32, 3, strides=2 if number == 0 else 1, padding="same", use_bias=False)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Dense(10, activation="softmax")(keras.layers.GlobalAveragePooling2D()(x))
    images = np.random.default_rng(0).normal(size=(count, 32, 32, 3)).cumsum(axis=1) / 4
    return keras.Model(source, x), images.astype(np.float32)


def measure_here(options: argparse.Namespace) -> None:
    """Converts one model in this process and prints what it cost."""
    name, form, count = options.alone
    if name.startswith(_CHAIN):
        model, images = chain(int(name.removeprefix(_CHAIN)), int(count))
    else:
        entry = load_zoo(options.zoo).load(name)
        model, images = entry.keras_model(), entry.calibration(int(count))
    import tfmpq  # noqa: F401  (what it imports is no part of a conversion)

    convert: Callable[[Any, np.ndarray], dict[str, float]] = convert_stock if form == "stock" else convert_ours
    base, start, spent = memory("VmRSS"), time.perf_counter(), cpu_seconds()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    stages = convert(model, images)
    wall, cpu = time.perf_counter() - start, cpu_seconds() - spent
    print(json.dumps({"cpu": cpu, "wall": wall, "peak": memory("VmHWM") - base, "stages": stages}))


def measure(zoo: Path, name: str, form: str, count: int) -> dict[str, Any]:
    """What :func:`measure_here` finds, in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--zoo", str(zoo), "--alone", name, form, str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr[-2000:])
    found = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, {count} images, {form}: {found}", file=sys.stderr, flush=True)
    return found


def row(name: str, count: int, stock: dict[str, Any], ours: dict[str, Any]) -> str:
    """A line of the table."""
    stages = ", ".join(f"{stage} {seconds:.1f}" for stage, seconds in ours["stages"].items() if seconds >= 0.1)
    return (
        f"| {name} | {count} | {stock['cpu']:.1f} | {ours['cpu']:.1f} | {ours['cpu'] / stock['cpu']:.2f} | "
        f"{stock['wall']:.0f} | {ours['wall']:.0f} | {stock['peak']} | {ours['peak']} | {stages} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", type=Path, required=True, help="directory that holds zoo.py")
    parser.add_argument("--models", nargs="*", help="zoo names; default: all")
    parser.add_argument("--images", nargs="+", type=int, default=[100])
    parser.add_argument("--depths", nargs="*", type=int, default=[])
    parser.add_argument("--alone", nargs=3, help=argparse.SUPPRESS)  # of the processes that this one starts
    options = parser.parse_args()
    if options.alone:
        measure_here(options)
        return
    zoo = zoo_or_exit(options.zoo)
    models = zoo.NAMES if options.models is None else options.models
    wanted = [(name, count) for name in models for count in options.images]
    wanted += [(f"{_CHAIN}{depth}", options.images[0]) for depth in options.depths]
    heads = "model | images | CPU s: stock | tfmpq | ratio | s: stock | tfmpq | MB: stock | tfmpq | CPU s by stage"
    print(f"| {heads} |\n{'|---' * (heads.count('|') + 1)}|")
    for name, count in wanted:
        stock, ours = (measure(options.zoo, name, form, count) for form in ("stock", "tfmpq"))
        print(row(name, count, stock, ours), flush=True)


if __name__ == "__main__":
    main()
