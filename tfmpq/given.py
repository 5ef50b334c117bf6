"""What a conversion starts from: model, data and TensorFlow's own int8 file, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from converters.frontend.first_run import check_int8, check_stock
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.frontend.open_sizes import OpenSizes, Sizes
from converters.frontend.whole_file import Entries, with_shapes
from converters.targets import load_target
from converters.tflite.reader import load
from tfmpq.activations.outputs.mend_outputs import check_output_names
from tfmpq.activations.outputs.split import split_outputs
from tfmpq.clock import Clock
from tfmpq.data.entry_data import fitting_signature
from tfmpq.data.first_sample import commonest_sizes, first_shapes
from tfmpq.data.holdout import Split, hold_out
from tfmpq.data.id_check import check_ids
from tfmpq.data.representative import check_samples
from tfmpq.emit.lean import refuse_shared_scales
from tfmpq.measure.moments import input_names
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe
from tfmpq.sources import Source, read_source
from tfmpq.suspicion.data import Look, look_at_data
from tfmpq.suspicion.predictions import check_finite
from tfmpq.suspicion.suspicion import announce
from tfmpq.twin import Twin, choose_twin
from tfmpq.unheeded import refuse_int8_wishes, unheeded_notes

LoadSource = Callable[[object, object, Options, "str | None"], Source]


@dataclass(frozen=True, eq=False)
class Given:
    """All that comes from the caller.

    Attributes:
        source: the model with what it brings along.
        recipe: rules of the model itself and of the caller.
        float_model: its float file.
        data: representative samples.
        look: what they look like.
        twin: what TensorFlow makes of it, and what layers are replaced in.
        notes: what was made of outputs and data that the caller may not expect.
    """

    source: Source
    recipe: Recipe
    float_model: FloatModel
    data: Split
    look: Look
    twin: Twin
    notes: Sequence[str]


@dataclass(frozen=True, eq=False)
class Brought:
    """What comes from the caller, read and checked; nothing is made of it yet.

    Attributes:
        source: the model with what it brings along.
        recipe: rules of the model itself and of the caller.
        float_model: its float file.
        data: representative samples.
    """

    source: Source
    recipe: Recipe
    float_model: FloatModel
    data: Split


def read_given(model: object, rep_dataset: object, options: Options, clock: Clock, key: str | None = None) -> Given:
    """Reads the caller's model and data and quantizes the model as TensorFlow would.

    Args:
        model, rep_dataset, options: as for :func:`tfmpq.convert`.
        clock: gets the seconds of each stage.
        key: the signature that the samples are for, of a file with several; None: the first that takes them.

    Raises:
        ConversionError: With what is wrong, where, why and what to do; see :mod:`tfmpq.errors`.
    """
    return quantize_brought(read_brought(model, rep_dataset, options, clock, key), options, clock)


def read_brought(
    model: object,
    rep_dataset: object,
    options: Options,
    clock: Clock,
    key: str | None = None,
    *,
    load: LoadSource | None = None,
) -> Brought:
    """Reads the caller's model and data; see :func:`read_given`.

    Args:
        model, rep_dataset, options, clock, key: see there.
        load: loads the model, as :func:`load_source` does; None: that.
    """
    own = options.recipe or Recipe([])
    target = load_target(options.target)
    refuse_int8_wishes(options, own, target)
    refuse_shared_scales(options, target)
    source = (load or load_source)(model, rep_dataset, options, key)
    recipe = Recipe([*source.rules, *own.rules])
    float_model: Any = source.model
    clock.lap("float conversion")
    data = hold_out(check_samples(rep_dataset, float_model.inputs))
    return Brought(source, recipe, float_model, data)


def quantize_brought(brought: Brought, options: Options, clock: Clock) -> Given:
    """Looks at the data and quantizes the model as TensorFlow would; see :func:`read_given`."""
    data, float_model = brought.data, brought.float_model
    if options.activations == "float":
        float_model = with_shapes(float_model, commonest_sizes([*data.judge, *data.held_out]))
    check_output_names(load(float_model.flatbuffer), options.outputs)
    split = split_outputs(float_model, options.outputs, data.judge)
    float_model, parsed = split.float_model, load(split.float_model.flatbuffer)
    check_ids(parsed, data.whole.originals, input_names(parsed))
    look = look_at_data(data.whole, float_model, parsed)
    if look.predictions is not None:
        check_finite(look.predictions, parsed.graph, float_model.source)
    announce(look.suspicions, strict=options.strict, stacklevel=5)
    clock.lap("data check")
    twin = choose_twin(float_model, parsed, data, options)
    clock.lap("stock conversion")
    if twin.dynamic:
        what = f"{float_model.source}: the file with int8 weights and float activations that tfmpq starts from"
        check_int8(twin.base, data.held_out[0], what)
    else:
        check_stock(twin.base, data.held_out[0], float_model.source)
    clock.lap("stock run")
    unheeded = unheeded_notes(options, options.recipe or Recipe([])) if twin.dynamic else ()
    notes = (*data.whole.notes, *split.notes, *twin.notes, *unheeded)
    return Given(brought.source, brought.recipe, float_model, data, look, twin, notes)


def load_source(model: object, rep_dataset: object, options: Options, key: str | None, sizes: Sizes = None) -> Source:
    """The model with what it brings along, its float model in its place; see :func:`read_given` for the arguments.

    Whole and with open sizes for float activations, else one entry point at fixed sizes.

    Args:
        model, rep_dataset, options, key: see there.
        sizes: of what the model leaves open; None: :func:`open_sizes`.
    """
    source, keys = read_source(model, trust=options.trust), options.signature
    entries = None
    if options.activations == "float":
        named = [keys] if isinstance(keys, str) else keys
        entries = Entries(named, partial(fitting_signature, rep_dataset) if key is None else lambda inputs: key)
    float_model = load_model(
        source.model,
        batch_size=options.batch_size,
        signature=keys if keys is None or isinstance(keys, str) else ", ".join(keys),  # which no other model has
        sizes=open_sizes(rep_dataset, options) if sizes is None else sizes,
        trust=options.trust,
        entries=entries,
    )
    return replace(source, model=float_model)


def open_sizes(rep_dataset: object, options: Options) -> Sizes:
    """The sizes of what a model leaves open: as asked for, open with float activations, or the first sample's."""
    if options.sizes is not None:
        return options.sizes
    return OpenSizes.KEPT if options.activations == "float" else partial(first_shapes, rep_dataset)
