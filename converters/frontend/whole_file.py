"""A float .tflite file that is to stay whole: all its graphs and signatures, one of which samples are given for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from converters.errors import FileFormatError, ModelError, OptionError
from converters.frontend.float_file import check_float_file, input_spec, read_inputs
from converters.frontend.float_model import FloatModel, InputSpec, Origin
from converters.frontend.open_sizes import OpenSizes, Sizes, fixed_shapes
from converters.frontend.plain_file import CONTROL_DEPENDENCIES, widened, without_metadata
from converters.frontend.resize_file import resized
from converters.frontend.unknown_file import check_file
from converters.layers.names import LayerNames
from converters.runtime.interpreter import make_interpreter
from converters.tflite.calls import arranged, reached
from converters.tflite.graph import Model, Signature
from converters.tflite.reader import load
from converters.tflite.writer import save

# Tells which of several signatures samples are for, given the inputs of each.
ChooseEntry = Callable[[Mapping[str, Sequence[InputSpec]]], str]


@dataclass(frozen=True, eq=False)
class Entries:
    """What is asked for of a file with several signatures.

    Attributes:
        keys: those whose weights may change; None: all.
        choose: which of them samples are for.
    """

    keys: Sequence[str] | None
    choose: ChooseEntry


def whole_file(content: bytes, source: str, *, entries: Entries, sizes: Sizes) -> FloatModel:
    """A float file with all its graphs, that of one signature in front; nothing is lost of it.

    Args:
        content: of the file.
        source: for messages.
        entries: signatures that are asked for.
        sizes: of dimensions that the file leaves open, of the graph in front.

    Raises:
        FileFormatError: Not a .tflite file, cut off or corrupt, or of operators the runtime does not have.
        ModelError: It is quantized, computes in something else than float32, or cannot be fed unambiguously.
        OptionError: There is no such signature or input, or a size contradicts the file.
    """
    model = check_float_file(content, source)
    # Its indices are those of the operators as they are now; the order of the file is one of those that it allows.
    model = without_metadata(widened(model), [CONTROL_DEPENDENCIES])
    asked = _asked(model, entries.keys, source)
    front = _main_first(model, _front(asked, entries.choose, source))
    content = save(front.model)
    check_file(content, source, ("builtin", "xnnpack"))
    inputs = read_inputs(content, source, OpenSizes.KEPT)
    shapes = fixed_shapes(inputs, sizes, source)
    if any(spec.shape != shape for spec, shape in zip(inputs, shapes, strict=True)):
        content = _at_sizes(content, inputs, shapes, source)
        inputs = read_inputs(content, source)
    try:
        make_interpreter(content, kernels="builtin")
    except FileFormatError as error:
        raise FileFormatError(f"{source}: {error}") from error
    chosen = reached([s.graph for s in asked] or model.graphs[:1], model)
    origin = Origin(
        graphs=front.graphs,
        signatures=front.signatures,
        chosen=tuple(i for i, place in enumerate(front.graphs) if model.graphs[place] in chosen),
    )
    return FloatModel(content, inputs, LayerNames(), source, origin=origin)


def _asked(model: Model, keys: Sequence[str] | None, source: str) -> list[Signature]:
    known = [signature.key for signature in model.signatures]
    for key in keys or ():
        if key not in known:
            has = f"has the signatures {known}" if known else "has no signatures: leave the option out"
            raise OptionError(f"signature={key!r}: {source} {has}.")
    return [s for s in model.signatures if keys is None or s.key in keys]


def _front(asked: Sequence[Signature], choose: ChooseEntry, source: str) -> Signature | None:
    """The signature that samples are for; None in a file that has none."""
    if len({s.graph for s in asked}) < 2:
        return asked[0] if asked else None
    inputs = {s.key: [input_spec(name, tensor, source) for name, tensor in s.inputs] for s in asked}
    key = choose(inputs)
    return next(s for s in asked if s.key == key)


@dataclass(frozen=True, eq=False)
class _Front:
    """A model with another graph in front, and where its graphs and signatures were."""

    model: Model
    graphs: tuple[int, ...]
    signatures: tuple[int, ...]


def _main_first(model: Model, entry: Signature | None) -> _Front:
    main = model.graph if entry is None else entry.graph
    graphs = [main, *(graph for graph in model.graphs if graph is not main)]
    signatures = [*([] if entry is None else [entry]), *(s for s in model.signatures if s is not entry)]
    return _Front(
        arranged(model, graphs, signatures),
        tuple(model.graphs.index(graph) for graph in graphs),
        tuple(model.signatures.index(signature) for signature in signatures),
    )


def _at_sizes(
    content: bytes, inputs: Sequence[InputSpec], shapes: Sequence[tuple[int | None, ...]], source: str
) -> bytes:
    model = load(content)
    named = dict(model.signatures[0].inputs) if model.signatures else {t.name: t for t in model.graph.inputs}
    wanted = {named[spec.name]: [n or 1 for n in shape] for spec, shape in zip(inputs, shapes, strict=True)}
    return resized(model, wanted, source)


def with_shapes(float_model: FloatModel, feeds: Mapping[str, np.ndarray]) -> FloatModel:
    """The model with the shapes of one sample on file, where it leaves some open; they stay open.

    Exporters put 1 there, at which no prediction of times is worth anything.

    Args:
        float_model: the model.
        feeds: a sample, by input name.

    Raises:
        ModelError: The runtime cannot run the model at these sizes.
    """
    if not any(None in spec.shape for spec in float_model.inputs):
        return float_model
    model = load(float_model.flatbuffer)
    clone = model.clone()
    try:
        known = _shapes_at(model, feeds)
    except (FileFormatError, RuntimeError, ValueError) as error:
        sizes = {name: array.shape for name, array in feeds.items()}
        raise ModelError(
            f"{float_model.source}: the runtime cannot run it at the sizes {sizes} of the first sample: "
            f"{' '.join(str(error).split())[:300]}. Give samples of sizes that the model was made for."
        ) from error
    for tensor, shape in zip(clone.model.graph.tensors(), known, strict=True):
        if tensor.data is None and tensor.shape != shape:
            tensor.shape_signature = tensor.shape_signature or _open(tensor.shape, shape)
            tensor.shape = shape
    origin = float_model.origin or Origin.plain(clone.model)
    return replace(float_model, flatbuffer=save(clone.model), origin=replace(origin, opened=True))


def _shapes_at(model: Model, feeds: Mapping[str, np.ndarray]) -> list[tuple[int, ...]]:
    """Shapes of all tensors of the main graph once it has run on a sample."""
    names = {t: name for name, t in model.signatures[0].inputs} if model.signatures else {}
    interpreter = make_interpreter(save(model), kernels="builtin", preserve_all_tensors=True)
    details = interpreter.get_input_details()
    arrays = [feeds[names.get(tensor, tensor.name)] for tensor in model.graph.inputs]
    for detail, array in zip(details, arrays, strict=True):
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    for detail, array in zip(details, arrays, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    found = {d["index"]: tuple(int(n) for n in d["shape"]) for d in interpreter.get_tensor_details()}
    return [found[number] for number, _ in enumerate(model.graph.tensors())]  # which is how the writer numbers them


def _open(shape: tuple[int, ...], found: tuple[int, ...]) -> tuple[int, ...] | None:
    """A signature for a tensor without one, whose dimensions turned out to be others."""
    if len(shape) != len(found):
        return None
    return tuple(n if n == other else -1 for n, other in zip(shape, found, strict=True))
