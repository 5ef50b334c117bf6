"""Which twin of the float model a conversion starts from: int8 activations, or float ones."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from converters.errors import ConversionError
from converters.frontend.dynamic_file import dynamic_file
from converters.frontend.float_model import FloatModel
from converters.frontend.stock_dynamic import stock_dynamic_file
from converters.frontend.tf_converter import measured_twin
from converters.layers.kinds import kind_of
from converters.lowering.lookup import INT4_BITS, SCALE_BYTES
from converters.rewriting.lookups import with_lookups
from converters.rewriting.summed_masks import with_summed_masks
from converters.targets import Target, load_target, predict, work_of
from converters.tflite.file import File
from converters.tflite.graph import Model
from tfmpq.activations.subject import Range
from tfmpq.data.holdout import Split
from tfmpq.options import Options

# Of stock's bytes of a row, what its own scale may take: 4-bit rows are to stay smaller, 8-bit ones hardly larger.
_SCALE_SHARE = {4: 0.4, 8: 0.1}
_ADVISED = 0.75  # of the int8 file's predicted time, from which float activations are worth a word
_WORTH = 0.9  # of the int8 file's predicted time: predictions are off by some percent


@dataclass(frozen=True, eq=False)
class Twin:
    """What a conversion starts from.

    Attributes:
        model: the float model whose weights are rounded: the caller's, or one that computes the same.
        stock: the file that results are held against: TensorFlow's int8 file of the caller's model, or its file with
            int8 weights and float activations.
        base: what layers are found and replaced in: stock, or with float activations ``model`` with int8 rows.
        dynamic: whether activations are float.
        ranges: of activations, that the int8 file was made with.
        notes: why this one, where it was to be found out.
    """

    model: Model
    stock: File
    base: File
    dynamic: bool
    ranges: Mapping[str, Range] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def choose_twin(float_model: FloatModel, model: Model, data: Split, options: Options) -> Twin:
    """The twin that ``activations`` asks for.

    Args:
        float_model: the float model.
        model: its file, parsed.
        data: representative samples.
        options: of the conversion.

    Raises:
        ConversionError: TensorFlow cannot make the int8 file; see :mod:`converters.frontend.tf_converter`.
    """
    if options.activations == "int8":
        return _advised(_int8(float_model, model, data, options), options)
    target = load_target(options.target)
    if options.activations == "auto" and target.stated is not None:
        note = f"activations are in int8: of target {target.name!r} it is only stated what it takes with these"
        return replace(_int8(float_model, model, data, options), notes=(note,))
    graphs = chosen_graphs(float_model, model)
    rewritten = with_summed_masks(with_lookups(model, graphs, wanted=partial(_is_smaller, options.bits)))
    base = dynamic_file(rewritten, graphs)
    dynamic = Twin(rewritten, stock_dynamic_file(model), base, dynamic=True)
    if options.activations == "float":
        return dynamic
    try:
        int8 = _int8(float_model, model, data, options)
    except ConversionError as error:
        return replace(dynamic, notes=(f"activations are in float: int8 ones are not possible: {error}",))
    static, floating = (predict(twin.stock.graph, target) for twin in (int8, dynamic))
    chosen = "float" if floating < _WORTH * static else "int8"
    note = (
        f"activations are in {chosen}: with int8 ones stock is predicted to take {static / 1e3:.3g} ms on target "
        f"{target.name!r}, with float ones {floating / 1e3:.3g} ms"
    )
    return replace(dynamic if chosen == "float" else int8, notes=(note,))


def _is_smaller(bits: int, columns: int) -> bool:
    """Whether rows of a table with scales of their own are worth it: stock has one for all of them."""
    int4 = bits <= INT4_BITS and columns % 2 == 0
    return _SCALE_SHARE[4 if int4 else 8] * columns >= SCALE_BYTES


def _advised(twin: Twin, options: Options) -> Twin:
    """The int8 twin, with a word where float activations would be much faster, as in transformers."""
    target = load_target(options.target)
    if target.stated is not None:  # who takes int8 files only
        return twin
    static, floating = predict(twin.stock.graph, target), _dynamic_time(twin.model, target)
    if floating >= _ADVISED * static:
        return twin
    note = (
        f"activations='float' is predicted to take {floating / static:.2f} of stock int8's time on target "
        f"{target.name!r}: much of this network has no fast int8 kernels"
    )
    return replace(twin, notes=(*twin.notes, note))


def _dynamic_time(model: Model, target: Target) -> float:
    """Predicted microseconds of the model with int8 weights and float activations."""
    total = 0.0
    for op in model.graph.ops:
        work, kind = work_of(op), kind_of(op)
        if kind is not None and kind.stays_float is None and work.weights == "FLOAT32":
            work = replace(work, weights="INT8")
        total += target.microseconds(work)
    return total


def chosen_graphs(float_model: FloatModel, model: Model) -> Collection[int]:
    """Numbers of the graphs whose weights may change."""
    return range(len(model.graphs)) if float_model.origin is None else float_model.origin.chosen


def _int8(float_model: FloatModel, model: Model, data: Split, options: Options) -> Twin:
    content, ranges = measured_twin(float_model, data.whole.originals, io_dtype=options.io_dtype)  # as users would
    stock = File.parse(content)
    return Twin(model, stock, stock, dynamic=False, ranges=ranges)
