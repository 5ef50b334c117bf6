"""Where two files of the same network differ: layer by layer, on data.

Two errors are measured for every layer. The accumulated one: both files run on the sample, and the layer's outputs are
compared. The layer's own: it is given what the first file's layers before it computed, so that only it is to blame.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np

from converters.errors import DataError, FileFormatError
from converters.layers.counterparts import Counterparts, Step, find_counterparts
from converters.runtime import interpreter as runtime
from converters.runtime.values import IoDetail
from converters.tflite.graph import Tensor
from tfmpq.activations.losses.losses import SAMPLES, activation_losses
from tfmpq.analysis.channel_factors import ChannelFactors, in_first_order, scaled_by
from tfmpq.analysis.channel_match import ChannelMatcher
from tfmpq.analysis.diff_files import ComparedFile, ForcedFile, pair_inputs, values_of
from tfmpq.analysis.diff_recipe import is_scaled, layer_bits, suggestions, tried_cures
from tfmpq.analysis.diff_result import Diff, LayerDiff
from tfmpq.analysis.diff_sums import DifferenceSums
from tfmpq.progress import Progress
from tfmpq.threads import serial_blas

Source = bytes | str | os.PathLike[str]
Feed = Mapping[str, np.ndarray]
Samples = Callable[[], Iterator[Feed]]

_ORDER_SAMPLES = 16  # that channels are told apart by
_LEAST_PAIRED = 0.75  # of the layers with weights, or the files are no two forms of one network
_NAMED = 6  # layers that a message lists


def input_details(source: Source, signature: str | None = None) -> tuple[IoDetail, ...]:
    """Inputs of a file, for reading the samples of :func:`diff`."""
    return ComparedFile(source, signature).inputs


def diff(
    first: Source,
    second: Source,
    samples: Samples,
    *,
    count: int | None = None,
    progress: bool = True,
    signature: str | None = None,
) -> Diff:
    """Compares two files of one network.

    Args:
        first: the reference, content or path: the float file, or stock int8.
        second: the file to be explained, in any lowering.
        samples: starts a pass over the data: real values, as the float model takes them, by the first file's input
            names and with batch dimension. They are quantized for quantized inputs.
        count: number of samples, for the progress bar.
        progress: show a bar on stderr.
        signature: which one to compare, of files with several; None: that of the main graph.

    Raises:
        DataError: There are no samples, or they do not fit.
        FileFormatError: A file cannot be read or run, or the two are no forms of one network.
        OptionError: A file has no such signature.
    """
    with serial_blas():
        return _diff(
            ComparedFile(first, signature), ComparedFile(second, signature), samples, count, Progress(progress)
        )


def _diff(a: ComparedFile, b: ComparedFile, samples: Samples, count: int | None, progress: Progress) -> Diff:
    names = pair_inputs(a, b)
    found = find_counterparts(a.model, b.model)
    _check_same_network(found, a, b)
    comparison = _Comparison(a, b, found.pairs)
    done = 0
    bar = progress(_feeds(samples, names, a, b), count or 0, "compare layers")
    waiting: list[tuple[Feed, Feed]] = []  # samples that come before the channels' order is known
    looked_at: list[Feed] = []  # for what integers lose by themselves
    for pair in bar:
        done += 1
        if done <= SAMPLES:
            looked_at.append(pair[0])
        if comparison.ordered:
            comparison.add(*pair)
            continue
        waiting.append(pair)
        comparison.look(*pair)
        if done == _ORDER_SAMPLES:
            comparison.order(waiting)
    if not done:
        raise DataError("there are no samples to compare the files on")
    if not comparison.ordered:
        comparison.order(waiting)
    bits = layer_bits(b.model, found)
    return Diff(
        layers=comparison.layers(bits),
        suggestions=suggestions(found, bits, comparison.noise(), written_by_tfmpq=b.written_by_tfmpq),
        only_first=_names(found.only_first),
        only_second=_names(found.only_second),
        reordered=comparison.reordered,
        scaled=comparison.scaled,
        samples=done,
        written_by_tfmpq=b.written_by_tfmpq,
        kernels=(a.kernels, b.kernels),
        runtime=runtime.runtime_name(),
        notes=tuple(f"{file.label}: {file.note}" for file in (a, b) if file.note),
        activations=activation_losses(
            a.model, b.model, looked_at, tried=tried_cures(b.model), factors=comparison.factors()
        ),
    )


def _feeds(samples: Samples, names: Mapping[str, str], a: ComparedFile, b: ComparedFile) -> Iterator[tuple[Feed, Feed]]:
    """Each sample under the input names of either file."""
    for number, sample in enumerate(samples()):
        other = {names[name]: values for name, values in sample.items()}
        if number == 0:
            a.check_ranges(sample)
            b.check_ranges(other)
        yield sample, other


def _names(steps: Sequence[Step]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(step.layer for step in steps))


def _check_same_network(found: Counterparts, a: ComparedFile, b: ComparedFile) -> None:
    if not (found.pairs or found.only_first or found.only_second):
        raise FileFormatError(f"there is nothing to compare: {a.label} and {b.label} have no operators")
    paired = sum(step.has_weights for _, step in found.pairs)
    for left, label, other in ((found.only_first, a.label, b.label), (found.only_second, b.label, a.label)):
        lost = [step for step in left if step.has_weights]
        if paired < _LEAST_PAIRED * (paired + len(lost)) or not found.pairs:
            shapes = [f"'{s.layer}' {s.output.shape}" for s in (lost or list(left))[:_NAMED]]
            more = f" and {len(lost) - _NAMED} more" if len(lost) > _NAMED else ""
            lost_names = "".join(f" Or their names are missing: of {x.label}, {x.note}." for x in (a, b) if x.note)
            raise FileFormatError(
                f"these are files of different networks: {', '.join(shapes)}{more} of {label} have no counterpart in "
                f"{other}. Give two files of one model.{lost_names}"
            )


class _Comparison:
    """Both files, and the sums of every pair of steps."""

    def __init__(self, a: ComparedFile, b: ComparedFile, pairs: Sequence[tuple[Step, Step]]) -> None:
        self._first, self._second = zip(*pairs, strict=True)
        self._read_a, self._read_b = a.reader(self._first), b.reader(self._second)
        self._forced = ForcedFile(b, [step.output for step in self._second])
        self._accumulated = [DifferenceSums() for _ in pairs]
        self._own = [DifferenceSums() for _ in pairs]
        self._orders: list[np.ndarray | None] = [None] * len(pairs)
        self._factors: list[np.ndarray | None] = [None] * len(pairs)
        self._scaled = False
        self.ordered = not (a.written_by_tfmpq or b.written_by_tfmpq)
        self._matcher: ChannelMatcher | None = None
        if not self.ordered:
            plain, steps = (b, self._second) if a.written_by_tfmpq else (a, self._first)
            widths = [step.output.shape[-1] if step.output.shape else 1 for step in self._second]
            self._scaled = is_scaled(a.model) or is_scaled(b.model)
            self._matcher = ChannelMatcher(
                plain.model.graph,
                [s.output for s in steps],
                widths,
                lowered=plain.written_by_tfmpq,
                scaled=self._scaled,
            )

    @property
    def reordered(self) -> int:
        """Steps whose channels stand in another order in the second file."""
        return sum(order is not None for order in self._orders)

    def _values(self, sample: Feed, other: Feed) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        ours, theirs = values_of(self._read_a, sample, self._first), values_of(self._read_b, other, self._second)
        for number, (x, y) in enumerate(zip(ours, theirs, strict=True)):
            if x.size != y.size:
                raise FileFormatError(
                    f"these are files of different networks: layer '{self._second[number].layer}' gives shape "
                    f"{x.shape} in the first and {y.shape} in the second"
                )
            yield x.reshape(y.shape), y

    def look(self, sample: Feed, other: Feed) -> None:
        """Gathers evidence on the order of channels."""
        assert self._matcher is not None
        for number, (x, y) in enumerate(self._values(sample, other)):
            self._matcher.add(number, x, y)

    def order(self, waiting: Sequence[tuple[Feed, Feed]]) -> None:
        """Decides on the order of channels and adds the samples that waited for it."""
        assert self._matcher is not None
        self._orders = self._matcher.orders()
        self.ordered = True
        if self._scaled:
            self._find_factors(waiting)
        for pair in waiting:
            self.add(*pair)

    def add(self, sample: Feed, other: Feed) -> None:
        """Adds one sample to all sums."""
        given = []
        known = zip(self._values(sample, other), self._orders, self._factors, self._accumulated, strict=True)
        for (x, y), order, factors, sums in known:
            given.append(scaled_by(x if order is None else x[..., order], factors))
            sums.add(given[-1], y)
        for expected, values, sums in zip(given, self._forced.run(other, given), self._own, strict=True):
            sums.add(expected, values)

    def _find_factors(self, samples: Sequence[tuple[Feed, Feed]]) -> None:
        found = [ChannelFactors() for _ in self._orders]
        for pair in samples:
            for (x, y), order, factors in zip(self._values(*pair), self._orders, found, strict=True):
                factors.add(x if order is None else x[..., order], y)
        self._factors = [factors.result() for factors in found]

    def factors(self) -> dict[Tensor, np.ndarray]:
        """What the first file writes -> by what its channels are scaled in the second, where they are."""
        known = zip(self._first, self._factors, self._orders, strict=True)
        return {x.output: in_first_order(factors, order) for x, factors, order in known if factors is not None}

    @property
    def scaled(self) -> int:
        """Steps whose channels are scaled in the second file."""
        return sum(factors is not None for factors in self._factors)

    def noise(self) -> dict[str, float]:
        """Own relative error of the layers with weights."""
        return {y.layer: own.relative_noise for y, own in zip(self._second, self._own, strict=True) if y.has_weights}

    def layers(self, bits: Mapping[str, int]) -> tuple[LayerDiff, ...]:
        """The result, worst own error first."""
        found = []
        for x, y, own, both in zip(self._first, self._second, self._own, self._accumulated, strict=True):
            step = next((t.scale for t in (y.output, x.output) if t.quantization is not None), None)
            op = "+".join(dict.fromkeys(op.name for op in y.ops))
            known = bits.get(y.layer) if y.has_weights else None
            found.append(
                LayerDiff(
                    layer=y.layer,
                    op=op,
                    shape=y.output.shape,
                    bits=known,
                    own_sqnr_db=own.sqnr_db,
                    own_max_step=own.largest(step),
                    sqnr_db=both.sqnr_db,
                    cosine=both.cosine,
                    max_step=both.largest(step),
                    step=step,
                )
            )
        return tuple(sorted(found, key=lambda layer: (layer.own_sqnr_db, layer.sqnr_db)))
