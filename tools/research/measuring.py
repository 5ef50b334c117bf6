"""What the measuring scripts share: the zoo and outputs of a file on many samples."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from converters.errors import DataError
from converters.runtime import interpreter as runtime
from converters.runtime.values import dequantize

_LEAST, _HALF_STEP = 1e-3, 1 / 512  # of a probability: what counts, and what int8 rounds to 0


def load_zoo(folder: Path) -> Any:
    """The module ``zoo.py`` of a directory: ``NAMES`` and ``load(name)``, see tools/research/measure_zoo.py.

    Raises:
        DataError: There is none.
    """
    path = folder / "zoo.py"
    spec = importlib.util.spec_from_file_location("zoo", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise DataError(f"zoo '{folder}': there is no zoo.py in it; give the directory that holds it")
    zoo = importlib.util.module_from_spec(spec)
    sys.modules["zoo"] = zoo  # its dataclasses look their module up
    spec.loader.exec_module(zoo)
    return zoo


def zoo_or_exit(folder: Path) -> Any:
    """As :func:`load_zoo`; the program ends with a message where there is none."""
    try:
        return load_zoo(folder)
    except DataError as error:
        sys.exit(str(error))


def zoo_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser of what all scripts that measure a zoo's models take: ``--zoo``, ``--models`` and ``--calibration``.

    Args:
        description: what ``--help`` begins with, lines as they are.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", type=Path, required=True, help="directory that holds zoo.py")
    parser.add_argument("--models", nargs="*", help="zoo names; default: all that the script can measure")
    parser.add_argument("--calibration", type=int, default=100, help="samples to calibrate on")
    return parser


def command_line(module: str, arguments: Sequence[str] | None, places: Mapping[Path, str]) -> str:
    """The command of a script as documentation shows it.

    Args:
        module: that is run.
        arguments: None: those of the process.
        places: the user's own paths, and what stands for them.
    """
    named = {str(path): name for path, name in places.items()}
    words = sys.argv[1:] if arguments is None else arguments
    return shlex.join(["python", "-m", module, *(named.get(word, word) for word in words)])


def predict(content: bytes, inputs: Mapping[str, np.ndarray], *, threads: int = 1) -> list[np.ndarray]:
    """Real outputs of every sample, float32, one array an output with samples first.

    Args:
        content: a .tflite file of batch size 1.
        inputs: input name -> array, samples first; a file with one input takes a single array of any name.
        threads: CPU threads.
    """
    interpreter = runtime.make_interpreter(content, threads=threads)
    names = [detail.name for detail in runtime.inputs(interpreter)]
    arrays = dict(zip(names, inputs.values(), strict=True)) if len(names) == len(inputs) == 1 else dict(inputs)
    count = len(next(iter(arrays.values())))
    collected: list[list[np.ndarray]] = []
    for i in range(count):
        collected.append(runtime.run(interpreter, {name: array[i : i + 1] for name, array in arrays.items()}))
    return [
        dequantize(np.concatenate([result[i] for result in collected]), detail).astype(np.float32)
        for i, detail in enumerate(runtime.outputs(interpreter))
    ]


def shown_divergence(reference: np.ndarray, outputs: np.ndarray) -> np.ndarray:
    """KL divergence of each sample in nats, (n, classes) to (n,), over classes that int8 probabilities can show."""
    p, q = reference.astype(np.float64), np.maximum(outputs.astype(np.float64), _HALF_STEP)
    return np.where(p > _LEAST, p * np.log(np.maximum(p, _LEAST) / q), 0.0).sum(axis=1)
