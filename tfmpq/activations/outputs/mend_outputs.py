"""Outputs whose channels differ in size so much that one int8 scale loses some: their last steps stay in float."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from converters.errors import FileFormatError, MissingDependencyError, ModelError, OptionError
from converters.frontend.float_tail import tail_last
from converters.frontend.tf_converter import int8_twin
from converters.printable import shown
from converters.rewriting.output_parts import scale_rows
from converters.runtime.interpreter import make_interpreter, outputs, run
from converters.runtime.values import dequantize
from converters.tflite.graph import Model, Tensor, TensorType
from converters.tflite.writer import save
from tfmpq.activations.base import runs
from tfmpq.activations.outputs.channel_loss import ChannelSums, channel_axes, channel_ranges
from tfmpq.activations.outputs.tail import Inner, Tail, find_tail
from tfmpq.activations.subject import Case, Mended, Subject
from tfmpq.activations.values.int8_values import rounded
from tfmpq.suspicion.activations import least_share, stored_span
from tfmpq.suspicion.samples import Sample
from tfmpq.suspicion.suspicion import Suspicion
from tfmpq.text import shorten

_SAMPLES = 16  # to find out what is lost, and by which tensor
_CALIBRATION = 32  # samples that give the trial file its ranges
_LEAST_GAIN = 3.0  # dB, that lost channels must gain
_MOST_HARM, _STILL_GOOD = 1.0, 30.0  # dB, that others may lose, unless they keep so many
_NAME = 60  # columns in a sentence


@dataclass(frozen=True, eq=False)
class _Lossy:
    """An output whose int8 scale loses channels.

    Attributes:
        place: among the outputs.
        axis: along which its channels lie.
        sums: what is left of them.
        lost: (channels,).
    """

    place: int
    axis: int
    sums: ChannelSums
    lost: np.ndarray


def output_names(model: Model) -> dict[str, Tensor]:
    """The outputs by the names that users know: of the signature, or the tensors' own without one."""
    graph = model.graph
    signature = next((s for s in model.signatures if s.graph is graph), None)
    named = [(tensor.name, tensor) for tensor in graph.outputs] if signature is None else signature.outputs
    return dict(named)


def check_output_names(model: Model, asked: Mapping[str, str]) -> None:
    """Refuses names of outputs that the model does not have.

    Raises:
        OptionError: With the names it has.
    """
    known = output_names(model)
    for name in asked:
        if name not in known:
            raise OptionError(
                f"outputs names {shown(name)}, and the model has no such output; its outputs are "
                f"{', '.join(map(repr, known))}."
            )


def mend_outputs(subject: Subject, case: Case) -> Subject:
    """Keeps the last steps of outputs in float: where it is asked for, and where int8 would lose channels.

    What is lost is found on samples to judge by; what is done about it is chosen on samples of the fit, and kept where
    a trial file is better on those to judge by.
    """
    names = {tensor: name for name, tensor in output_names(subject.model).items()}
    asked = {t: case.options.outputs.get(names.get(t, "")) for t in subject.model.graph.outputs}
    judge = case.data.judge[:_SAMPLES]
    try:
        lossy = {subject.model.graph.outputs[x.place]: x for x in _find_lossy(subject.model, case, judge)}
    except FileFormatError:  # later stages say why it does not run
        return subject
    samples = _spaced(case, _SAMPLES) if lossy or "float" in asked.values() else []
    for tensor, form in asked.items():
        if tensor.type != TensorType.FLOAT32 or form == "int8" or (form is None and tensor not in lossy):
            continue
        found = lossy.get(tensor)
        try:
            mended = _in_float(subject, case, tensor.name, found, samples, asked=form == "float")
            gain = _gain(mended, case, found, judge) if mended and found and form is None else None
        except (FileFormatError, MissingDependencyError, ModelError):  # a part of the model does not go by itself
            continue
        if mended is None or (form is None and gain is None):
            continue
        name = names.get(tensor, tensor.name)
        if found is not None and gain is not None:
            mended = _announced(mended, case, name, found, gain)
        elif len(mended.mended) > len(subject.mended):
            mended = replace(mended, mended=(*subject.mended, replace(mended.mended[-1], where=name)))
        subject = mended
    return subject


# ---------------------------------------------------------------- what is lost


def _find_lossy(model: Model, case: Case, judge: Sequence[Sample]) -> Iterator[_Lossy]:
    """Outputs of which int8 loses channels by the mere rounding of their values."""
    graph, stock = model.graph, case.stock.graph
    wanted = [
        (place, axis, span)
        for place, (tensor, twin) in enumerate(zip(graph.outputs, stock.outputs, strict=True))
        if tensor.type == TensorType.FLOAT32 and _sized(tensor) and (span := stored_span(stock, twin)) is not None
        for axis in (channel_axes(tensor.shape) if not _probabilities(span) else ())
    ]
    if not wanted or not judge:
        return
    sums = [ChannelSums(graph.outputs[place].shape[axis]) for place, axis, _ in wanted]
    interpreter = make_interpreter(save(model))
    for sample in judge:
        values = run(interpreter, sample)
        for entry, (place, axis, span) in zip(sums, wanted, strict=True):
            entry.add(values[place], rounded(values[place], *span), axis)
    done = set()
    for entry, (place, axis, _) in zip(sums, wanted, strict=True):
        lost, output = entry.lost, graph.outputs[place]
        if place not in done and not lost.all() and lost.any() and lost.mean() >= least_share(graph, output):
            done.add(place)
            yield _Lossy(place, axis, entry, lost)


def _sized(tensor: Tensor) -> bool:
    """Whether all but the batch has a size on file."""
    return min((tensor.shape_signature or tensor.shape)[1:], default=1) > 0


def _probabilities(span: tuple[float, float]) -> bool:
    """Whether a sigmoid, softmax or tanh gives the scale; a class that no sample shows is one value, rightly."""
    step = (span[1] - span[0]) / 255
    return bool(np.isclose([step, step * 2], 1 / 128, rtol=1e-5).any())


def _spaced(case: Case, count: int) -> Sequence[Sample]:
    fit = case.data.fit
    return list(islice(fit(), 0, None, max(1, fit.count // count)))[:count]


# ---------------------------------------------------------------- what is done


def _in_float(
    subject: Subject, case: Case, output: str, found: _Lossy | None, samples: Sequence[Sample], *, asked: bool
) -> Subject | None:
    """The model with a tail for an output; None where none helps, or can be named."""
    model = subject.model
    tensor = next(t for t in model.graph.outputs if t.name == output)
    if not _sized(tensor):
        return replace(subject, float_outputs=subject.float_outputs | {output})
    axis = found.axis if found else (channel_axes(tensor.shape) or (0,))[0]
    lost = found.lost if found else np.zeros(tensor.shape[axis] if tensor.shape else 1, bool)
    fixed = [op for op in model.graph.ops if case.is_given(op)]
    tail = find_tail(Inner(model, tensor, samples), axis, lost, fixed=fixed, least=int(found is None))
    if not tail.ops and not tail.scalings:
        return replace(subject, float_outputs=subject.float_outputs | {output}) if asked else None
    if not asked and (tail.after.lost & lost).sum() > lost.sum() / 2:
        return None
    written = [t.name for op in tail.ops for t in op.outputs]
    counts = Counter(t.name for op in model.graph.ops for t in op.outputs)
    scaled = [t.name for t in tail.scalings]
    if any(not name or counts[name] > 1 for name in (*written, *scaled)):
        return None  # names tell float and int8 tensors apart
    for entry, scaling in tail.scalings.items():
        model = scale_rows(model, entry.name, scaling.axis, scaling.factors)
    names = subject.float_tail | {*written, *scaled}
    why = _what(tail, case)
    mended = (*subject.mended, Mended("output", output, why))
    return replace(subject, model=tail_last(model, names), float_tail=names, mended=mended)


def _what(tail: Tail, case: Case) -> str:
    ops = ", ".join(dict.fromkeys(op.name for op in tail.ops))
    layers = dict.fromkeys(
        case.layer_names.get(rows.op.outputs[0].name, rows.op.name) for s in tail.scalings.values() for rows in s.rows
    )
    scaled = f"rows of {', '.join(map(repr, layers))} are scaled to one range, and the results back in float (MUL)"
    return " and ".join([*([f"{ops} in float"] if ops else []), *([scaled] if layers else [])])


def _gain(mended: Subject, case: Case, found: _Lossy, judge: Sequence[Sample]) -> tuple[float, float] | None:
    """Median decibels of the lost channels in stock's file and in a trial file; None where that is not better."""
    samples = _spaced(case, _CALIBRATION)
    written = replace(case.float_model, flatbuffer=save(mended.model), public_int8=None)
    trial = int8_twin(
        written,
        lambda: iter(dict(s) for s in samples),
        io_dtype=case.options.io_dtype,
        float_tail=mended.float_tail,
        float_outputs=mended.float_outputs,
    )
    if not runs(trial, case):
        return None
    files = [make_interpreter(c) for c in (case.float_model.flatbuffer, case.stock.content, trial)]
    before, after = (ChannelSums(found.lost.size) for _ in range(2))
    for sample in judge:
        real, *made = (dequantize(run(f, sample)[found.place], outputs(f)[found.place]) for f in files)
        for sums, values in zip((before, after), made, strict=True):
            sums.add(real, values, found.axis)
    lost, change = found.lost, after.decibels - before.decibels
    harmed = (change < -_MOST_HARM) & (after.decibels < _STILL_GOOD) & ~lost
    if np.median(change[lost]) < _LEAST_GAIN or harmed.sum() > (~lost).sum() / 2:
        return None
    return float(np.median(before.decibels[lost])), float(np.median(after.decibels[lost]))


# ---------------------------------------------------------------- what is said


def _announced(mended: Subject, case: Case, name: str, found: _Lossy, gain: tuple[float, float]) -> Subject:
    """The subject with the gain on record, and a warning where the type of the output changes."""
    done = replace(mended.mended[-1], where=name, before_db=gain[0], after_db=gain[1])
    io_dtype = case.options.io_dtype
    warnings = [*mended.warnings]
    if io_dtype != "float32":
        warnings.append(Suspicion("activations", "float output", _float_output(name, io_dtype, found, done.why)))
    return replace(mended, mended=(*mended.mended[:-1], done), warnings=tuple(warnings))


def _float_output(name: str, io_dtype: str, found: _Lossy, done: str) -> str:
    lost, sums = found.lost, found.sums
    which, constant = channel_ranges(np.flatnonzero(lost)), int(sums.constant[lost].sum())
    return (
        f"Output '{shorten(name, _NAME)}' is float32, not {io_dtype}: its channels differ too much for one "
        f"{io_dtype} scale. {np.count_nonzero(lost)} of {lost.size} ({which}) hold {_span(sums, lost)}, the others "
        f"{_span(sums, ~lost)}; in stock int8 {constant} of them never change. What was done: {done}. "
        f"outputs={{'{name}': 'int8'}} keeps stock's form, 'split' makes its parts outputs of their own, and "
        "io_dtype='float32' makes all inputs and outputs float32."
    )


def _span(sums: ChannelSums, which: np.ndarray) -> str:
    return f"{sums.least[which].min():.3g} to {sums.most[which].max():.3g}"
