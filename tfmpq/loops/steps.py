"""The states of a loop at some of its steps, found by running it step by step: samples for its body."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from converters.errors import ModelError
from converters.frontend.loop_bodies import Loop
from converters.runtime.interpreter import make_interpreter, run
from converters.runtime.stepper import Stepper
from converters.tflite.graph import Model, Tensor
from converters.tflite.probe import probe
from tfmpq.data.holdout import EVERY
from tfmpq.measure.moments import Samples, input_names
from tfmpq.threads import INFERENCE_THREADS

_STEPS = 4096  # in all: what a layer of a thousand inputs needs, and a second of inference
_MOST_BYTES = 1 << 28  # of all states that are kept
_LEAST_A_SAMPLE = 2
_MOST_WALKED, _LEAST_SAMPLES = 1 << 16, 32  # steps that are run, of fewer samples where these have many

State = dict[str, np.ndarray]


@dataclass(frozen=True)
class Steps:
    """What a loop does on the data.

    Attributes:
        states: before some of its steps.
        a_sample: how many steps it takes for a sample, on average.
    """

    states: Sequence[State]
    a_sample: float


def loop_steps(model: Model, loop: Loop, samples: Samples, count: int, *, seed: int) -> Steps:
    """States at some steps of all samples, so ordered that hold-outs are steps of other samples.

    Args:
        model: the float model that the loop is in.
        loop: of it.
        samples: the representative data.
        count: how many there are.
        seed: of the choice of steps.

    Raises:
        ModelError: It takes no step on them.
    """
    rng = np.random.default_rng(seed)
    wanted = max(_LEAST_A_SAMPLE, -(-_STEPS // count))
    walker, by_sample = _Walker(loop), []
    for starts in _starts(model, loop, samples):
        kept: list[State] = []
        for start in starts:
            _keep_some(kept, walker.walk(start), wanted, rng)
        by_sample.append([kept[i] for i in rng.permutation(len(kept))])
        if walker.walked >= _MOST_WALKED and len(by_sample) >= _LEAST_SAMPLES:
            break
        size = sum(array.nbytes for state in kept[:1] for array in state.values())
        wanted = min(wanted, max(_LEAST_A_SAMPLE, _MOST_BYTES // (count * max(size, 1))))
    states = _interleaved([kept for kept in by_sample if kept])
    if not states:
        raise ModelError(f"loop '{loop.name}' takes no step on the representative samples")
    return Steps(states, walker.walked / len(by_sample))


def _keep_some(kept: list[State], steps: Iterator[State], wanted: int, rng: np.random.Generator) -> None:
    """Some of the steps, all with the same chance however many there are (Vitter's algorithm R, 1985)."""
    for number, state in enumerate(steps):
        if number < wanted:
            kept.append(state)
        elif (place := int(rng.integers(number + 1))) < wanted:
            kept[place] = state


def _interleaved(by_sample: Sequence[Sequence[State]]) -> list[State]:
    """Steps in an order in which every eighth is of one and the same eighth of the samples, as data are split."""
    parts = [
        [step for steps in zip(*by_sample[first::EVERY], strict=False) for step in steps] for first in range(EVERY)
    ]
    return _across(parts if all(parts) else by_sample)


def _across(parts: Sequence[Sequence[State]]) -> list[State]:
    """The first of every part, then the second, ... as long as all have one."""
    return [step for steps in zip(*parts, strict=False) for step in steps]


def _starts(model: Model, loop: Loop, samples: Samples) -> Iterator[list[State]]:
    """For every sample, the states that each operator of the loop starts with."""
    tensors = list(dict.fromkeys(op.input(i) for op in loop.ops for i in range(len(op.inputs))))
    named = input_names(model)
    constants = {t: t.array() for t in tensors if t.data is not None}
    computed = [t for t in tensors if t not in constants and t not in named]
    interpreter = make_interpreter(probe(model, computed), threads=INFERENCE_THREADS) if computed else None
    sizes = {spec.name: spec.shape for spec in loop.step.inputs}
    for feeds in samples():
        values: dict[Tensor, np.ndarray] = {**constants, **{t: feeds[named[t]] for t in tensors if t in named}}
        if interpreter is not None:
            values.update(zip(computed, run(interpreter, feeds), strict=True))
        starts = [{f"state_{i}": values[op.input(i)] for i in range(len(op.inputs))} for op in loop.ops]
        if all(array.shape == sizes[name] for start in starts for name, array in start.items()):
            yield starts  # samples of other sizes than most have no part in this


class _Walker:
    """Runs a loop step by step."""

    def __init__(self, loop: Loop) -> None:
        self._loop = loop
        self.walked = 0
        self._condition = Stepper(make_interpreter(loop.condition))
        self._body = Stepper(make_interpreter(loop.step.flatbuffer))

    def walk(self, start: State) -> Iterator[State]:
        """The states before every step."""
        state = start
        while bool(np.all(self._condition.run(state)[0])):
            yield state
            self.walked += 1
            found = {f"next_{i}": value for i, value in enumerate(self._body.run(state))}
            state = {
                name: old if new is None else found[new]
                for (name, old), new in zip(state.items(), self._loop.states, strict=True)
            }
