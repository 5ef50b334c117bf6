"""Algorithms: float rows and input statistics in, points out. A new one is a function and a line in the registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from converters.errors import OptionError
from converters.printable import shown
from tfmpq.algorithms.aciq import quantize_aciq
from tfmpq.algorithms.adaround import quantize_adaround
from tfmpq.algorithms.evidence import Evidence, LayerStatistics, Need
from tfmpq.algorithms.greedy import quantize_greedy
from tfmpq.algorithms.lapq import POWERS, quantize_lapq
from tfmpq.algorithms.nearest import quantize_nearest
from tfmpq.algorithms.ocs import quantize_ocs
from tfmpq.algorithms.problem import Candidate, Problem
from tfmpq.algorithms.radix import quantize_nearest_radix, quantize_radix

__all__ = [
    "ALGORITHMS",
    "BUILT_IN",
    "Algorithm",
    "Candidate",
    "Evidence",
    "LayerStatistics",
    "Need",
    "Problem",
    "register_algorithm",
]


@dataclass(frozen=True)
class Algorithm:
    """A way to choose points.

    Attributes:
        quantize: (problem, max_points) -> candidates with 1..max_points points.
        needs: evidence it asks for; it finds it in ``problem.evidence``.
        by_rows: whether it rounds every row on its own, so that large layers may be given to it some rows at a time;
            ``problem.shared`` then stays the same for all parts of a layer.
        corrects_bias: whether the mean output error is moved into the bias, so that the centred moment is the
            right one to minimize.
        parameters: values of a number common to all layers: the network's loss says which is best, or which between
            them would be; it finds that one in ``problem.evidence``.
        integer_ratios: whether each scale of a row is an integer multiple of the next, so that points may merge into
            one int8 row; None: not known before they are chosen.
    """

    quantize: Callable[[Problem, int], list[Candidate]]
    corrects_bias: bool
    integer_ratios: bool | None = None
    needs: frozenset[Need] = frozenset()
    by_rows: bool = False
    parameters: tuple[float, ...] = ()


ALGORITHMS: dict[str, Algorithm] = {
    "radix": Algorithm(quantize_radix, corrects_bias=True, integer_ratios=True, by_rows=True),
    "nearest_radix": Algorithm(quantize_nearest_radix, corrects_bias=True, integer_ratios=True, by_rows=True),
    "greedy": Algorithm(quantize_greedy, corrects_bias=False, integer_ratios=False, by_rows=True),
    "nearest": Algorithm(quantize_nearest, corrects_bias=False, integer_ratios=False, by_rows=True),
    "nearest_bias": Algorithm(quantize_nearest, corrects_bias=True, integer_ratios=False, by_rows=True),
    "ocs": Algorithm(quantize_ocs, corrects_bias=False),
    "aciq": Algorithm(quantize_aciq, corrects_bias=True, integer_ratios=False, by_rows=True),
    "lapq": Algorithm(quantize_lapq, corrects_bias=True, integer_ratios=False, by_rows=True, parameters=POWERS),
    "adaround": Algorithm(
        quantize_adaround, corrects_bias=False, integer_ratios=False, needs=frozenset({Need.SAMPLES})
    ),
}

BUILT_IN: Mapping[str, Algorithm] = MappingProxyType(dict(ALGORITHMS))


def register_algorithm(name: str, algorithm: Algorithm) -> None:
    """Makes ``algorithm`` available to ``convert(algorithm=name)`` and recipes.

    Raises:
        OptionError: The name is taken, or these are no name and no :class:`Algorithm`.
    """
    if not isinstance(name, str) or not isinstance(algorithm, Algorithm):
        raise OptionError(
            f"register_algorithm takes a name and an Algorithm, not {shown(name)} and {shown(algorithm)}."
        )
    if name in ALGORITHMS:
        raise OptionError(f"algorithm {name!r} is already registered; choose another name.")
    ALGORITHMS[name] = algorithm
