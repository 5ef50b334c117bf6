"""Checks of an emitted file, on every conversion: it holds the chosen integers, and runtimes compute with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

import numpy as np

from converters.errors import FileFormatError
from converters.frontend.first_run import place
from converters.layers.kinds import kind_of, weights_of
from converters.lowering.restoring import restoring_ops
from converters.lowering.result import EmittedWeight, LoweredLayer
from converters.runtime.activations import Feed, make_reader
from converters.runtime.child_process import Refusal, refusal, refusals
from converters.runtime.interpreter import Kernels
from converters.tflite.file import File
from converters.tflite.graph import TYPE_NAMES, Graph, Model, Op, TensorType
from tfmpq.emit.comparison import Tally, fault

KERNELS: tuple[Kernels, ...] = ("xnnpack", "builtin", "reference")
_FLOATS = {TensorType.FLOAT16, TensorType.FLOAT32, TensorType.FLOAT64, TensorType.BFLOAT16}
_CONVERSIONS = {"QUANTIZE", "DEQUANTIZE"}


@dataclass(frozen=True)
class ValidationReport:
    """What was checked and found.

    Attributes:
        kernels: kernel sets the file ran under.
        ops_checked: operators compared with the integer reference under each of them.
        max_step: largest difference, in output steps (0 or 1).
        mismatch_share: share of outputs that differ at all, over all kernel sets.
        deviation: of float outputs, the largest difference relative to what float32 and ties of rounding allow, see
            :mod:`converters.reference.dynamic_ops`; None: there are none.
        notes: what stock itself does not allow.
    """

    kernels: tuple[str, ...]
    ops_checked: int
    max_step: int
    mismatch_share: float
    notes: tuple[str, ...]
    deviation: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    def __str__(self) -> str:
        found = "equal to" if self.max_step == 0 else f"within {self.max_step} step of"
        share = f" ({self.mismatch_share:.2%} of outputs differ)" if self.max_step else ""
        if self.deviation is not None:
            found, share = "within float32's tolerance of", f" (at most {self.deviation:.2f} of it)"
        head = f"integers as chosen; {self.ops_checked} ops {found} the integer reference{share}"
        if not self.ops_checked:
            head = "no layer was rewritten: there are no points to check"
        return "\n".join([head, f"ran with {', '.join(self.kernels) or 'no'} kernels", *self.notes])


def parse_emitted(content: bytes) -> File:
    """The emitted file as a reader finds it.

    Raises:
        ValidationError: It cannot be read back.
    """
    try:
        return File.parse(content)
    except FileFormatError as error:
        raise fault(f"the emitted file cannot be read back: {error}") from error


def validate(
    file: File,
    stock: File,
    lowered: Sequence[LoweredLayer],
    samples: Sequence[Feed],
    *,
    reference_samples: int = 1,
    apart: Collection[int] = (),
) -> ValidationReport:
    """Checks an emitted file against what the lowerings say they wrote, and against the stock int8 file.

    Args:
        file: the emitted file, from :func:`parse_emitted`.
        stock: the stock int8 file it was made from. What that leaves in float or cannot run is noted, not refused.
        lowered: the rewritten layers.
        samples: feeds by signature input name; real values are quantized.
        reference_samples: how many of them the slow reference kernels get.
        apart: numbers of graphs that were checked as files of their own.

    Raises:
        ValidationError: The file is not what it should be; says which layer, which operator, and how.
        ValueError: There are no samples.
    """
    if not samples:
        raise ValueError("validate needs at least one sample")
    content, model = file.content, file.model
    _check_interface(model, stock.model)
    ops = _find_ops(model, lowered)
    floating = any(tensor.type in _FLOATS for _, op in ops for tensor in op.outputs)
    if floating:
        ops = list(dict.fromkeys([*ops, *((op.outputs[0].name, op) for op in restoring_ops(model.graph))]))
    notes = _check_types(model, stock.model, {op for _, op in ops} if floating else set(), apart)
    _check_weights(model, lowered)
    tally, kernels = Tally(), list[str]()
    refused = refusals(content, samples[0], KERNELS)  # kernels may abort, some on values that others take
    for name in KERNELS:
        taken = samples[:reference_samples] if name == "reference" else samples
        if name in refused:
            reason = refused[name].reason + _place(file, samples[0], name, refused[name])
            notes.append(_as_little_as_stock(name, reason, refusal(stock.content, samples[0], name)))
            continue
        try:
            read = make_reader(content, model, [op for _, op in ops], kernels=name)
            for feed in taken:
                values = read(feed)
                for layer, op in ops:
                    tally.compare(layer, op, values, name)
        except FileFormatError as error:
            notes.append(_as_little_as_stock(name, str(error), refusal(stock.content, samples[0], name)))
        else:
            kernels.append(name)
    share, deviation = tally.differing / max(tally.total, 1), tally.deviation if floating else None
    return ValidationReport(tuple(kernels), len(ops), tally.worst, share, tuple(notes), deviation)


def check_first_run(content: bytes, feed: Feed) -> None:
    """Loads and runs an emitted file once in a process of its own, for those that are not validated.

    Raises:
        ValidationError: It does not run.
    """
    refused = refusals(content, feed, KERNELS[:1])
    for name, found in refused.items():
        where = _place(parse_emitted(content), feed, name, found)
        raise fault(f"the emitted file does not run with {name} kernels: {found.reason}{where}")


def _place(file: File, feed: Feed, kernels: Kernels, refused: Refusal) -> str:
    return place(file, feed, kernels) if refused.died else ""


# ---------------------------------------------------------------- relative to stock


def _check_interface(model: Model, stock: Model) -> None:
    """Inputs, outputs and signatures must be those of the stock file."""
    for side in ("inputs", "outputs"):
        for describe in (_tensors, _names):
            for ours, theirs in zip_longest(describe(model, side), describe(stock, side), fillvalue="nothing"):
                if ours != theirs:
                    raise fault(
                        f"the emitted file has {ours} among its {side} where the file it was made from has {theirs}"
                    )


def _tensors(model: Model, side: str) -> Iterator[str]:
    for tensor in getattr(model.graph, side):
        scaling = "" if tensor.quantization is None else f", scale {tensor.scale:.9g}, zero point {tensor.zero_point}"
        yield f"{TYPE_NAMES[tensor.type]} {tensor.shape_signature or tensor.shape}{scaling}"


def _names(model: Model, side: str) -> Iterator[str]:
    for signature in model.signatures:
        yield f"{[name for name, _ in getattr(signature, side)]} in signature {signature.key!r}"
    if not model.signatures:  # then they are told apart by the tensors' names
        yield str([tensor.name for tensor in getattr(model.graph, side)])


def _check_types(model: Model, stock: Model, written: Collection[Op], apart: Collection[int]) -> list[str]:
    """No operator may work on float tensors but those that do in the stock file; returns notes on these.

    Beside float activations a lowering's own operators do too (``written``): they are checked one by one, and there is
    nothing to note.
    """
    # Lowerings write in other graphs too then, which check_other_graphs looks at.
    numbers = [0] if written else [number for number in range(len(model.graphs)) if number not in apart]
    ours, theirs = (_float_ops([m.graphs[number] for number in numbers], but=written) for m in (model, stock))
    known = {name for names in theirs.values() for name in names}
    for (op, types), names in ours.items():
        if len(names) > len(theirs.get((op, types), ())):
            name = next((n for n in names if n not in known), names[-1])
            raise fault(f"{op} writing {name!r} computes in float ({types}) and is not in the file it was made from")
    left = Counter({op: 0 for op, _ in ours if op not in _CONVERSIONS})
    for (op, _), names in ours.items():
        if op in left:
            left[op] += len(names)
    if written or not left:
        return []
    return ["in float, as in the file it was made from: " + ", ".join(f"{n} {op}" for op, n in sorted(left.items()))]


def _float_ops(graphs: Sequence[Graph], *, but: Collection[Op] = ()) -> dict[tuple[str, str], list[str]]:
    """(operator, its types) -> output names, of operators with a float input or output."""
    result: dict[tuple[str, str], list[str]] = {}
    for op in (op for graph in graphs for op in graph.ops if op not in but):
        tensors = [t for t in op.inputs if t is not None]
        constant = all(t.data is not None for t in tensors)  # computed once, whatever is computed from it
        if any(t.type in _FLOATS for t in (*tensors, *op.outputs)) and not constant:
            sides = (", ".join(TYPE_NAMES[t.type] for t in side) for side in (tensors, op.outputs))
            result.setdefault((op.name, " -> ".join(sides)), []).append(op.outputs[0].name if op.outputs else "nothing")
    return result


def _as_little_as_stock(kernels: Kernels, ours: str, stock: str | None) -> str:
    """The note on kernels that refuse both files; a fault where stock runs."""
    if stock is None:
        raise fault(
            f"the emitted file does not run with {kernels} kernels although the file it was made from does: {ours}"
        )
    return f"not run with {kernels} kernels, as little as the file it was made from: {stock}"


# ---------------------------------------------------------------- what the lowerings wrote


def _find_ops(model: Model, lowered: Sequence[LoweredLayer]) -> list[tuple[str, Op]]:
    """(layer, operator) of every operator the lowerings wrote."""
    writers: dict[str, list[Op]] = {}
    for op in model.graph.ops:
        for tensor in op.outputs:
            writers.setdefault(tensor.name, []).append(op)
    found: dict[Op, str] = {}
    for entry in lowered:
        declared = {weight.tensor for weight in entry.weights}
        for name in entry.outputs:
            ops = writers.get(name, [])
            if len(ops) != 1:
                raise fault(
                    f"layer {entry.layer!r} ({entry.lowering}): {len(ops)} operators of the file write {name!r} "
                    f"instead of one"
                )
            found[ops[0]] = entry.layer
            _check_layer_op(entry.layer, ops[0], declared)
    return [(layer, op) for op, layer in found.items()]


def _check_layer_op(layer: str, op: Op, declared: set[str]) -> None:
    """A layer's operator reads a weight that was declared, and has the constant bias without which kernels fail."""
    kind = kind_of(op)
    if kind is None:
        return
    where = f"layer {layer!r}: {op.name} writing {op.outputs[0].name!r}"
    for site in kind.sites:
        weight, bias = op.input(site.weight), op.optional_input(site.bias)
        if weight.name not in declared:
            raise fault(f"{where} reads the weight {weight.name!r}, which its lowering did not declare")
        if bias is not None and bias.data is None:
            raise fault(f"{where} reads the bias {bias.name!r}, which another operator makes: it must be a constant")
    if kind.needs_bias and op.optional_input(kind.site.bias) is None:
        # The kernels refuse such a CONV_2D and crash on such a DEPTHWISE_CONV_2D, taking the process with them.
        raise fault(f"{where} has no bias; int8 kernels need one, if only of zeros")


def _check_weights(model: Model, lowered: Sequence[LoweredLayer]) -> None:
    """The file holds exactly the integers and scales that were chosen."""
    readers: dict[str, list[Op]] = {}
    for op in model.graph.ops:
        for tensor in weights_of(op):
            readers.setdefault(tensor.name, []).append(op)
    for weight in (weight for entry in lowered for weight in entry.weights):
        if weight.tensor not in readers:
            raise fault(f"layer {weight.layer!r}: no operator of the file reads {weight.tensor!r}")
        for op in readers[weight.tensor]:  # several where a layer is shared
            _check_weight(weight, op)


def _check_weight(weight: EmittedWeight, op: Op) -> None:
    kind, tensor = kind_of(op), next(tensor for tensor in weights_of(op) if tensor.name == weight.tensor)
    assert kind is not None, op.name
    where = f"layer {weight.layer!r}: weight {weight.tensor!r} of {op.name}"
    scaling = tensor.quantization
    if tensor.data is None or tensor.type not in (TensorType.INT8, TensorType.INT4) or scaling is None:
        raise fault(f"{where} is no quantized int8 or int4 constant")
    codes = kind.rows(tensor.array())
    if codes.shape != weight.codes.shape:
        raise fault(f"{where} has rows of shape {codes.shape}, the points {weight.codes.shape}")
    if len(wrong := np.argwhere(codes != weight.codes)):
        row, column = wrong[0]
        raise fault(
            f"{where}: {len(wrong)} of {codes.size} codes differ from the points; "
            f"the first, row {row} column {column}, is {codes[row, column]} instead of {weight.codes[row, column]}"
        )
    if scaling.scale.shape != weight.scale.shape or scaling.axis != kind.row_axis or scaling.zero_point.any():
        raise fault(
            f"{where}: {scaling.scale.size} scales on axis {scaling.axis}, zero points up to "
            f"{np.abs(scaling.zero_point).max()}, instead of {weight.scale.size} on axis {kind.row_axis} and 0"
        )
    if len(wrong := np.flatnonzero(scaling.scale != weight.scale)):
        row = wrong[0]
        raise fault(
            f"{where}: {len(wrong)} scales differ from the points'; "
            f"the first, of row {row}, is {scaling.scale[row]:.9g} instead of {weight.scale[row]:.9g}"
        )
