"""How far a file's outputs are from the float model's, beside the stock int8 file's: what LikeStock is judged by."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

import numpy as np

from converters.layers.output_kind import output_kind, scores_tokens
from converters.tflite.graph import Graph, Model
from tfmpq.activations.output_noise import Feed, Outputs, read_outputs
from tfmpq.measure.competition import ROWS, Competition, logit_noise

Measure = Literal["predictions", "variance"]
# Percentage points that LikeStock allows where no margin is given: of predictions that change, of which about a quarter
# is lost in top-1; of variance, 1 is a cosine of .005 for an embedding.
PREDICTIONS, EMBEDDING, VALUES = 2.0, 1.0, 0.2
_FURTHER = 64  # samples, where those that files are run on do not give rows enough
_MOST_BYTES, _LEAST_SAMPLES = 1 << 27, 4  # of a file's outputs; samples that are run however large these are
_CONSTANT = 1e-12  # variance relative to the mean square


@dataclass(frozen=True)
class Part:
    """What is compared of an output.

    Attributes:
        output: its number.
        measure: share of ``"predictions"`` that change, or of its ``"variance"`` that is error.
        margin: percentage points that are allowed where nothing else is asked for.
    """

    output: int
    measure: Measure
    margin: float


@dataclass(frozen=True, eq=False)
class Yardstick:
    """The float model's outputs on samples, and the stock file's distance from them.

    Attributes:
        parts: what is compared.
        samples: that files are run on.
        reference: the float model's outputs on them.
        stock: (samples, parts) noise of the stock file.
        competition: by number of a part that compares predictions.
    """

    parts: tuple[Part, ...]
    samples: Sequence[Feed]
    reference: Outputs
    stock: np.ndarray
    competition: Mapping[int, Competition]

    @classmethod
    def of(cls, model: Model, stock: Model, samples: Sequence[Feed], further: Iterable[Feed]) -> Yardstick | None:
        """Runs the float model and the stock file.

        Args:
            model, stock: these.
            samples: that files are to be run on.
            further: others, of which only relations are taken that a fit to them does not change.

        Returns:
            None where outputs tell nothing: they are the same for all samples, or others in the stock file.
        """
        samples = _affordable(model, samples)
        reference, found = read_outputs(model, samples), read_outputs(stock, samples)
        parts = _parts(reference, model.graph)
        if not parts or len(found.values) != len(reference.values):
            return None
        ranked = {number: part.output for number, part in enumerate(parts) if part.measure == "predictions"}
        expected = {number: list(reference.values[output]) for number, output in ranked.items()}
        made = {number: list(found.values[output]) for number, output in ranked.items()}
        if any(sum(logits[..., 0].size for logits in every) < ROWS for every in expected.values()):
            more = _affordable(model, list(islice(further, _FURTHER)))
            for every, file in ((expected, model), (made, stock)):
                values = read_outputs(file, more).values if more else [[]] * len(reference.values)
                for number, output in ranked.items():
                    every[number] += values[output]
        competition = {number: Competition.of(expected[number], made[number]) for number in ranked}
        return cls(parts, samples, reference, _noises(parts, reference, found), competition)

    def noise(self, model: Model) -> np.ndarray:
        """(samples, parts) mean squared error of a file: of logits, or relative to the variance.

        It is what rises evenly with the predicted cost of rounding.
        """
        return _noises(self.parts, self.reference, read_outputs(model, self.samples))

    def distance(self, noise: np.ndarray) -> np.ndarray:
        """(parts,) percentage points that such a mean noise, (parts,), is worth."""
        known = self.competition
        return np.array([100 * (known[n].changed(float(x)) if n in known else float(x)) for n, x in enumerate(noise)])


def _affordable(model: Model, samples: Sequence[Feed]) -> Sequence[Feed]:
    """As many of the samples as outputs can be kept of."""
    size = 8 * sum(math.prod(abs(n) for n in output.shape) for output in model.graph.outputs)
    return samples[: max(_MOST_BYTES // max(size, 1), _LEAST_SAMPLES)]


def _parts(reference: Outputs, graph: Graph) -> tuple[Part, ...]:
    parts: list[Part] = []
    kind, known = output_kind(graph), len(reference.values) == len(graph.outputs)
    for number, soft in enumerate(reference.probabilities):
        if not _varies(reference.values[number]):
            continue
        scores = soft or kind == "classes" or (known and scores_tokens(graph, graph.outputs[number]))
        ranked = scores and reference.values[number][0].shape[-1] > 1
        if ranked:
            parts.append(Part(number, "predictions", PREDICTIONS))
        if not soft or not ranked:  # numbers that look like logits may be measurements: they count as both
            margin = PREDICTIONS if ranked else EMBEDDING if kind == "embedding" else VALUES
            parts.append(Part(number, "variance", margin))
    return tuple(parts)


def _varies(values: Sequence[np.ndarray]) -> bool:
    """Whether numbers are finite and not all the same."""
    every = np.concatenate([np.ravel(x) for x in values])
    power = float((every**2).mean()) if every.size else 0.0
    return bool(np.isfinite(power) and every.var() > _CONSTANT * power)


def _noises(parts: Sequence[Part], reference: Outputs, found: Outputs) -> np.ndarray:
    """(samples, parts) mean squared error."""
    columns = []
    for part in parts:
        expected, made = reference.values[part.output], found.values[part.output]
        if part.measure == "predictions":
            columns.append([logit_noise(x, y) for x, y in zip(expected, made, strict=True)])
            continue
        variance = float(np.concatenate([np.ravel(x) for x in expected]).var())
        columns.append([float(((x - y) ** 2).mean()) / variance for x, y in zip(expected, made, strict=True)])
    return np.array(columns).T
