"""Runs the files of single operators in turns, next to the whole and to almost empty files."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import FileFormatError
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import Kernels, make_interpreter
from converters.runtime.op_slices import OpSlice, Slices
from converters.tflite.graph import BuiltinOperator, Graph, Model, Quantization, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.writer import save
from tfmpq.progress import Progress

_SECONDS = 4.0  # how long the rounds take, within these limits
_LEAST_ROUNDS, _MOST_ROUNDS = 15, 200

Clock = Callable[[], float]


class Piece:
    """A file to be timed, with what it reads and writes."""

    def __init__(
        self, interpreter: Any, inputs: Sequence[np.ndarray], outputs: Sequence[tuple[tuple[int, ...], np.dtype]]
    ) -> None:
        self.interpreter = interpreter
        written = zip(interpreter.get_output_details(), outputs, strict=False)
        zeros = [(d, np.zeros(shape, dtype)) for d, (shape, dtype) in written if tuple(d["shape"]) == shape]
        # The inputs last: the operator before has just written them.
        pairs = [*zeros, *zip(interpreter.get_input_details(), inputs, strict=True)]
        self.touched = [(int(detail["index"]), values) for detail, values in pairs]

    def seconds(self, clock: Clock, *, warm: bool = False) -> float:
        """Time of one run; ``warm``: after another one, untimed."""
        for index, values in self.touched:
            self.interpreter.set_tensor(index, values)
        if warm:
            self.interpreter.invoke()
        start = clock()
        self.interpreter.invoke()
        return clock() - start


@dataclass(frozen=True)
class TimedSlice:
    """A slice's file, the empty file that is run beside it, whether a delegate may run both, and what is odd."""

    cut: OpSlice
    piece: Piece
    empty: Piece
    delegated: bool
    note: str


def prepare(
    slices: Slices, kernels: Kernels, threads: int, fallen_back: set[int]
) -> tuple[list[TimedSlice], dict[int, str]]:
    """Makes the slices' files ready to run.

    Args:
        slices: all operators of a file.
        kernels: what runs them.
        threads: CPU threads.
        fallen_back: numbers of the operators that the delegate does not take in the whole file.

    Returns:
        The slices that run, and number of an operator -> why it has no time.
    """
    left_out = dict(slices.left_out)
    pieces = []
    for cut in slices.slices:
        try:
            interpreter = make_interpreter(cut.content, kernels=kernels, threads=threads)
            taken = not delegate_coverage(interpreter).left
            piece = Piece(interpreter, cut.inputs, cut.outputs)
            piece.seconds(time.perf_counter)
        except (FileFormatError, RuntimeError, ValueError) as error:
            reason = " ".join(str(error).partition(". ")[0].split())
            left_out.update(dict.fromkeys((*cut.with_ops, cut.op), f"cannot be run alone: {reason}"))
            continue
        note = ""
        if kernels == "xnnpack" and taken == (cut.op in fallen_back):
            note = "alone with XNNPACK, in the file without" if taken else "alone without XNNPACK, in the file with it"
        # Kernels with and without the delegate cost differently to call.
        empty = make_interpreter(_almost_empty(), kernels="xnnpack" if taken and kernels == "xnnpack" else "builtin")
        shape = ((1, 1), np.dtype(np.int8))
        pieces.append(TimedSlice(cut, piece, Piece(empty, [np.ones(*shape)], [shape]), taken, note))
    return pieces, left_out


@functools.cache
def _almost_empty() -> bytes:
    """A file that adds one number to itself."""
    scaling = Quantization(np.array([0.1], np.float32), np.array([0], np.int64))
    source, result = (Tensor(name, (1, 1), TensorType.INT8, None, scaling) for name in ("x", "y"))
    op = make_op(BuiltinOperator.ADD, [source, source], [result], 2, "AddOptions")
    return save(Model([Graph([source], [result], [op])], [], {}))


@dataclass(frozen=True)
class Times:
    """Seconds in every round: of the whole, and of each slice's file and empty file."""

    whole: list[float]
    pieces: list[list[float]]
    empty: list[list[float]]


def measure(
    whole: Piece, pieces: Sequence[TimedSlice], rounds: int | None, threads: int, clock: Clock, progress: Progress
) -> Times:
    """Runs everything in turns, in graph order.

    Args:
        whole: the whole file.
        pieces: its operators.
        rounds: how often; None: as often as fits into a few seconds.
        threads: CPU threads that the files use.
        clock: seconds.
        progress: shows a bar.
    """
    times = Times([], [[] for _ in pieces], [[] for _ in pieces])
    # One run of several threads wakes them; inside a network they are awake.
    warm = threads > 1

    def turn() -> None:
        times.whole.append(whole.seconds(clock, warm=True))
        for timed in pieces:  # as before the whole: what a run leaves in the cache is there for the next
            timed.piece.seconds(clock)
            timed.empty.seconds(clock)
        for i, timed in enumerate(pieces):
            times.pieces[i].append(timed.piece.seconds(clock, warm=warm))
            times.empty[i].append(timed.empty.seconds(clock, warm=warm))

    start = clock()
    turn()
    seconds = max(clock() - start, 1e-6)
    for found in (times.whole, *times.pieces, *times.empty):
        found.clear()  # the first run of everything
    count = rounds or int(min(max(_SECONDS / seconds, _LEAST_ROUNDS), _MOST_ROUNDS))
    for _ in progress(range(count), count, "time of each operator"):
        turn()
    return times
