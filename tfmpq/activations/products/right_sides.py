"""Right sides of products of two activations, as those of attention, at zero point 0: XNNPACK takes no others.

A range that reaches as far down as up gives that zero point. Where values lie mostly on one side of zero its step is
larger, at worst twice as large; the product then runs in fast kernels, at a tenth of the time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from converters.errors import FileFormatError, RecipeError
from converters.printable import shown
from converters.targets import Target, work_of
from converters.tflite.graph import BuiltinOperator, Graph, Op, Tensor, TensorType
from tfmpq.activations.base import base_of, runs
from tfmpq.activations.output_noise import Gain, gain_of, noises, read_outputs
from tfmpq.activations.ranges.by_hand import owners_by_hand
from tfmpq.activations.scale_ties import Ties, ties_of
from tfmpq.activations.subject import Case, Mended, Range, Subject
from tfmpq.text import plural

_LOWEST, _HIGHEST = 128, 127  # codes on either side of zero
_LOSS = 0.5  # dB of the outputs that the time is worth, on samples nothing was fitted to
_LITTLE = 1.15  # times as large a step: what is tried where all together lose more
_JUDGED = 32  # samples
_NAMED = 3


@dataclass(frozen=True, eq=False)
class _Side:
    """Right sides of one int8 scale.

    Attributes:
        owner: name of the tensor whose range makes the scale.
        span: the range that gives zero point 0.
        growth: by what the step is multiplied.
        products: operators that have them on the right.
        times: predicted microseconds of these, as they are and at zero point 0.
    """

    owner: str
    span: Range
    growth: float
    products: Sequence[Op]
    times: tuple[float, float]


def mend_right_sides(subject: Subject, case: Case) -> Subject:
    """Gives right sides of BATCH_MATMUL the zero point 0, where the target runs it faster then, or rules ask for it.

    Without a rule, all are changed only if the int8 file's outputs lose no more than 0.5 dB by it on held-back samples;
    if they do, those whose steps hardly grow. Ranges set by rules, those of the model's inputs and outputs, and all
    with ``ranges="minmax"`` stay. ``Rule(activations="symmetric")`` asks for it, of any activation;
    ``Rule(activations="int8")`` forbids it.

    Args:
        subject: the float model as it will be quantized.
        case: the conversion.

    Raises:
        ConversionError: TensorFlow cannot quantize the model.
        RecipeError: A rule asks it of what has a fixed scale, or of what another rule sets a range of.
    """
    asked, products = _asked(subject.model.graph, case), _products(subject)
    if not asked and (case.options.ranges == "minmax" or not products):
        return subject
    subject, ties = ties_of(subject, case)
    by_hand = owners_by_hand(subject, case)
    wanted = _wanted(asked, ties, by_hand, case)
    sides = _sides(wanted, products, ties, subject, case)
    subject = _with(subject, [side for side in sides if side.owner in wanted], case, None)
    if case.options.ranges == "minmax":
        return subject
    free = [s for s in sides if s.owner not in wanted and s.owner not in by_hand and _may(s, ties, subject, case)]
    return _where_it_pays(subject, case, [side for side in free if side.times[1] < side.times[0]])


def symmetric(span: Range) -> Range:
    """The smallest range around another for which TensorFlow chooses zero point 0.

    Args:
        span: (smallest, largest).

    Returns:
        128 steps down and 127 up, of the smallest step at which both ends are reached.
    """
    step = max(-span[0] / _LOWEST, span[1] / _HIGHEST, 0.0)
    return -_LOWEST * step, _HIGHEST * step


# ---------------------------------------------------------------- which


def _products(subject: Subject) -> Mapping[Tensor, Sequence[Op]]:
    """Right sides that are computed while the network runs, and the products that read them in int8."""
    found: dict[Tensor, list[Op]] = {}
    for op in subject.model.graph.ops:
        if op.code != BuiltinOperator.BATCH_MATMUL or op.outputs[0].name in subject.float_tail:
            continue
        right = op.input(1)
        if right.data is None and right.type == TensorType.FLOAT32:
            found.setdefault(right, []).append(op)
    return found


def _asked(graph: Graph, case: Case) -> list[Tensor]:
    """What rules want symmetric."""
    if not any(rule.activations == "symmetric" for rule in case.recipe.rules):
        return []
    given = [t for t in graph.inputs if case.input_settings(t).activations == "symmetric"]
    return given + [t for op in graph.ops if case.settings(op).activations == "symmetric" for t in op.outputs]


def _wanted(asked: Sequence[Tensor], ties: Ties, by_hand: Collection[str], case: Case) -> set[str]:
    """Owners of the scales that rules want symmetric."""
    owners = {tensor: owner for tensor in asked if (owner := ties.owner(tensor)) is not None}
    for rule in case.recipe.rules:
        if rule.activations != "symmetric":
            continue
        named = [t for t in asked if any(map(rule.matches, (t.name, case.called(t.name), *_layers(t, case))))]
        fixed = [t for t in named if t not in owners]
        if named and len(fixed) == len(named):
            raise RecipeError(
                f"rule {shown(rule.match)}: activations='symmetric' cannot be had: '{case.called(fixed[0].name)}' has "
                "a fixed scale, or none. In a product, put it on the left, where any zero point will do."
            )
        for tensor in named:
            if owners.get(tensor) in by_hand:
                raise RecipeError(
                    f"rule {shown(rule.match)}: '{case.called(tensor.name)}' cannot be symmetric and have the range "
                    "that another rule sets for its scale; drop one of the rules."
                )
    return set(owners.values())


def _layers(tensor: Tensor, case: Case) -> Sequence[str]:
    return case.rule_names.get(tensor.name, ())


def _sides(
    wanted: Collection[str], products: Mapping[Tensor, Sequence[Op]], ties: Ties, subject: Subject, case: Case
) -> list[_Side]:
    readers: dict[str, list[Op]] = {owner: [] for owner in sorted(wanted)}
    for tensor, ops in products.items():
        owner = ties.owner(tensor)
        if owner is not None:
            readers.setdefault(owner, []).extend(ops)
    known = {**(subject.measured or {}), **subject.ranges}
    sides = []
    for owner, ops in readers.items():
        low, high = min(known[owner][0], 0.0), max(known[owner][1], 0.0)
        span = symmetric((low, high))
        if low < high and span != (low, high):
            times = [sum(_microseconds(op, case.target, zero) for op in ops) for zero in (False, True)]
            sides.append(_Side(owner, span, (span[1] - span[0]) / (high - low), ops, (times[0], times[1])))
    return sides


def _microseconds(op: Op, target: Target, at_zero: bool) -> float:
    return target.microseconds(replace(work_of(op), activation="INT8", symmetric=int(at_zero)))


def _may(side: _Side, ties: Ties, subject: Subject, case: Case) -> bool:
    """Whether nobody else knows the scale, and no rule wants it as it is."""
    graph, group = subject.model.graph, ties.groups[side.owner]
    inputs = [t for t in group if t in graph.inputs]
    settings = [case.input_settings(t) for t in inputs]
    settings += [case.settings(op) for op in graph.ops if any(t in group for t in op.outputs)]
    seen = any(t in graph.outputs for t in group) or (inputs and case.options.io_dtype != "float32")
    return not seen and all(found.activations is None for found in settings)


# ---------------------------------------------------------------- what it is worth


def _where_it_pays(subject: Subject, case: Case, sides: Sequence[_Side]) -> Subject:
    samples = list(case.data.judge[:_JUDGED])
    if not sides or not samples:
        return subject
    base = base_of(subject, case)
    if not runs(base.content, case):
        return subject
    try:
        reference = read_outputs(subject.model, samples)
    except FileFormatError:  # later stages say why the runtime refuses the model, or do without what it refuses
        return subject
    if not reference.values:
        return subject
    before = noises(reference, read_outputs(base.model, samples))
    little = [side for side in sides if side.growth <= _LITTLE]
    for chosen in (sides, little) if 0 < len(little) < len(sides) else (sides,):
        trial = base_of(replace(subject, ranges={**subject.ranges, **_ranges(chosen)}), case)
        if runs(trial.content, case):
            gain = gain_of(before, noises(reference, read_outputs(trial.model, samples)))
            if gain.mean >= -_LOSS:
                return _with(subject, chosen, case, gain)
    return subject


def _ranges(sides: Sequence[_Side]) -> dict[str, Range]:
    return {side.owner: side.span for side in sides}


def _with(subject: Subject, sides: Sequence[_Side], case: Case, gain: Gain | None) -> Subject:
    """With the ranges, and an entry that says so."""
    if not sides:
        return subject
    names = list(dict.fromkeys(case.called(side.owner) for side in sides))
    where = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    why = f"zero point 0; steps up to {max(side.growth for side in sides):.2f} times as large"
    products = [op for side in sides for op in side.products]
    if products:
        before, after = (sum(side.times[i] for side in sides) for i in range(2))
        count = plural(len(products), "product")
        why = f"right side of {count}, {before:.3g} -> {after:.3g} us predicted: {why}"
    levels = (None, None) if gain is None else (gain.before, gain.before + gain.mean)
    done = Mended("symmetric", where, why, *levels)
    return replace(subject, ranges={**subject.ranges, **_ranges(sides)}, mended=(*subject.mended, done))
