"""Time of one operator inside a network, on a machine that may be busy."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import FileFormatError
from converters.runtime.delegation import delegate_coverage
from converters.runtime.interpreter import Kernels, make_interpreter
from converters.tflite.graph import TensorType
from tfmpq.target.models import Case, file_of
from tfmpq.target.operators import chain_of, plain

PASSES = 3
ROUNDS = 6
_SLICE = 0.004  # seconds of a file's turn: the first runs find its weights far away
_BATCH = 16  # files timed in turns
_COLD = 5e6  # bytes of weights: more than the cache next to a core, as a network runs each once
_WARM = 1.5e6  # bytes of outputs: a network's activations mostly stay in that cache
_MOST = 128  # copies
_WITHOUT_WEIGHTS = 8  # copies of operators that have none
_CHAIN = 16  # operators
_CHAIN_ROUNDS = 150
_MOST_RUNS = 500  # of a file in its turn
_LEAST = 1e-8  # seconds

Clock = Callable[[], float]


@dataclass(frozen=True)
class Timed:
    """One operator measured.

    Attributes:
        case: the operator.
        delegated: whether the delegate runs it.
        microseconds: a run's time.
    """

    case: Case
    delegated: bool
    microseconds: float


def copies_of(case: Case) -> int:
    """How many copies make its weights cold and leave its outputs warm."""
    weights = max((len(t.data) for t in case.op.inputs if t is not None and t.data is not None), default=0)
    written = sum((4 if t.type == TensorType.FLOAT32 else 1) * math.prod(t.shape) for t in case.op.outputs)
    wanted = math.ceil(_COLD / max(weights, 1)) if case.work.weights else _WITHOUT_WEIGHTS
    return max(1, min(wanted, int(_WARM / written), _MOST))


def time_cases(
    cases: Sequence[Case],
    kernels: Kernels,
    *,
    passes: int = PASSES,
    rounds: int = ROUNDS,
    clock: Clock = time.perf_counter,
    progress: Callable[[Iterable[int], int], Iterable[int]] = lambda items, total: items,
) -> list[Timed]:
    """Times each operator; those the runtime refuses are left out.

    The fastest of many short runs counts, spread over passes through all operators, so that other programs must be busy
    all the time to be seen.

    Args:
        cases: operators.
        kernels: which kernels.
        passes: how often everything is measured.
        rounds: turns of a file in a pass.
        clock: seconds.
        progress: wraps the numbers of the batches.
    """
    overhead = _Overhead(kernels)
    batches = [range(i, min(i + _BATCH, len(cases))) for i in range(0, len(cases), _BATCH)]
    best = [math.inf] * len(cases)
    delegated = [False] * len(cases)
    for step in progress(range(passes * len(batches)), passes * len(batches)):
        batch = batches[step % len(batches)]
        overhead.time(rounds, clock)
        runs, numbers = [], []
        for number in batch:
            try:
                interpreter = make_interpreter(file_of(cases[number], copies_of(cases[number])), kernels=kernels)
                _fill(interpreter)
                interpreter.invoke()
            except (FileFormatError, RuntimeError):  # an operator this runtime does not have
                continue
            delegated[number] = not delegate_coverage(interpreter).left
            runs.append(interpreter.invoke)
            numbers.append(number)
        for number, seconds in zip(numbers, fastest(runs, rounds, clock), strict=True):
            best[number] = min(best[number], seconds)
    shares = [(seconds - overhead.seconds) / copies_of(case) for case, seconds in zip(cases, best, strict=True)]
    return [
        Timed(case, delegated[i], max(share, _LEAST) * 1e6)
        for i, (case, share) in enumerate(zip(cases, shares, strict=True))
        if math.isfinite(share)
    ]


def _fill(interpreter: Any) -> None:
    """Random inputs: some kernels branch on the values."""
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        values = rng.normal(size=detail["shape"]) * (1 if detail["dtype"] == np.float32 else 40)
        values = np.abs(values) if detail["dtype"] == np.int32 else values  # ids
        interpreter.set_tensor(detail["index"], np.clip(values, -128, 127).astype(detail["dtype"]))


def fastest(runs: Sequence[Callable[[], object]], rounds: int, clock: Clock) -> list[float]:
    """Seconds of the fastest run of each, run in turns."""
    turns, best = [], []
    for run in runs:
        start = clock()
        run()
        best.append(clock() - start)
        turns.append(max(2, min(round(_SLICE / max(best[-1], 1e-6)), _MOST_RUNS)))
    for _ in range(rounds):
        for i, run in enumerate(runs):
            for _ in range(turns[i]):
                start = clock()
                run()
                best[i] = min(best[i], clock() - start)
    return best


class _Overhead:
    """What a run takes beyond its operators: from a file with one tiny operator and one with many."""

    _FEW, _MANY = 1, 33

    def __init__(self, kernels: Kernels) -> None:
        files = [file_of(plain("ADD", 0, 1), copies) for copies in (self._FEW, self._MANY)]
        self._runs = [make_interpreter(file, kernels=kernels).invoke for file in files]
        self._best = [math.inf, math.inf]

    def time(self, rounds: int, clock: Clock) -> None:
        """Once more; the fastest counts."""
        self._best = [min(pair) for pair in zip(self._best, fastest(self._runs, rounds, clock), strict=True)]

    @property
    def seconds(self) -> float:
        """Seconds a run."""
        few, many = self._best
        return max(0.0, few - self._FEW * (many - few) / (self._MANY - self._FEW))


def time_partition(kernels: Kernels, *, rounds: int = _CHAIN_ROUNDS, clock: Clock = time.perf_counter) -> float:
    """Microseconds a delegated graph loses to one operator in its middle that is not; 0 where nothing is delegated."""
    files = [chain_of(["ADD"] * _CHAIN), chain_of(["GATHER"] * _CHAIN), chain_of(["ADD", "GATHER"] * _CHAIN)]
    interpreters = [make_interpreter(file, kernels=kernels) for file in files]
    partitions = [delegate_coverage(interpreter).partitions for interpreter in interpreters]
    overhead = _Overhead(kernels)
    overhead.time(rounds, clock)
    fast, slow, mixed = fastest([interpreter.invoke for interpreter in interpreters], rounds, clock)
    further = partitions[2] - partitions[0] - partitions[1]
    lost = mixed - fast - slow + overhead.seconds  # which both have
    return max(0.0, lost) / further * 1e6 if further > 0 else 0.0
