"""Dimensions that a model leaves open behind the batch: which sizes they get, and what to say if none are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

from converters.errors import ModelError, OptionError
from converters.frontend.float_model import InputSpec
from converters.printable import shown

Shape = tuple[int | None, ...]
GivenSizes = Mapping[str, Sequence[int]] | Sequence[int]


class OpenSizes(Enum):
    """Instead of sizes: those that the model leaves open stay open. Kernels with float activations take any."""

    KEPT = "kept"


# Sizes as the user gives them, or what finds them for the inputs of a model that leaves some open.
Sizes = GivenSizes | Callable[[Sequence[InputSpec]], Mapping[str, Sequence[int]]] | OpenSizes | None


def check_sizes(sizes: object) -> None:
    """Refuses what is no shape and no dict of shapes.

    Raises:
        OptionError: With what is allowed.
    """
    shapes = list(sizes.values()) if isinstance(sizes, Mapping) else [sizes]
    if sizes is None or (shapes and all(_is_shape(shape) for shape in shapes)):
        return
    raise OptionError(
        f"sizes={shown(sizes)}: give the shape of one sample, sizes=(224, 224, 3), or a dict with the shape of each "
        "input, sizes={'tokens': (128,)}; whole numbers from 1."
    )


def fixed_shapes(inputs: Sequence[InputSpec], sizes: Sizes, source: str) -> list[Shape]:
    """The shapes of the inputs with all dimensions but the batch fixed, unless they are to stay open.

    Args:
        inputs: of the model.
        sizes: the shape of one sample, with or without the batch dimension, by input name or alias; one shape is that
            of every input that it fits and that has open dimensions. A function is only called if something is open.
        source: for messages.

    Raises:
        ModelError: A size remains unknown.
        OptionError: A size contradicts the model, or is for an input that it does not have.
    """
    if sizes is OpenSizes.KEPT:
        return [spec.shape for spec in inputs]
    if callable(sizes):
        sizes = sizes(inputs) if any(None in spec.shape[1:] for spec in inputs) else None
    wanted = _by_input(inputs, sizes, source)
    shapes = [_merged(spec, wanted.get(spec.name), source) for spec in inputs]
    for spec, shape in zip(inputs, shapes, strict=True):
        if None in shape[1:]:
            raise ModelError(
                f"{source}: input '{spec.name}' has shape {_text(shape)}: int8 kernels are prepared for fixed sizes, "
                f"so only the first dimension, the batch, may be open. Say which sizes the file is for: {_advice(spec)}"
            )
    return shapes


def _is_shape(shape: object) -> bool:
    if not isinstance(shape, Sequence) or isinstance(shape, (str, bytes)) or not shape:
        return False
    return all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in shape)


def _by_input(inputs: Sequence[InputSpec], sizes: GivenSizes | None, source: str) -> dict[str, Sequence[int]]:
    if sizes is None:
        return {}
    if not isinstance(sizes, Mapping):
        is_open = [spec for spec in inputs if None in spec.shape[1:]]
        fitting = [spec for spec in is_open or inputs if _aligned(spec, sizes) is not None]
        if not fitting:
            shapes = ", ".join(f"'{spec.name}' {_text(spec.shape)}" for spec in inputs)
            raise OptionError(f"sizes={tuple(sizes)}: no input of {source} takes that. Its inputs: {shapes}.")
        return {spec.name: sizes for spec in fitting}
    known = {name: spec.name for spec in inputs for name in (spec.name, *spec.aliases)}
    unknown = [name for name in sizes if name not in known]
    if unknown:
        raise OptionError(f"sizes: {source} has no input {unknown[0]!r}. Its inputs: {[s.name for s in inputs]}.")
    return {known[name]: shape for name, shape in sizes.items()}


def _aligned(spec: InputSpec, given: Sequence[int]) -> Shape | None:
    """The given shape with the model's batch dimension in front; None if it does not fit."""
    if len(given) == len(spec.shape) - 1:
        given = (spec.shape[0] or 1, *given)
    if len(given) != len(spec.shape) or any(n not in (None, g) for n, g in zip(spec.shape, given, strict=True)):
        return None
    return (spec.shape[0], *given[1:])


def _merged(spec: InputSpec, given: Sequence[int] | None, source: str) -> Shape:
    if given is None:
        return spec.shape
    shape = _aligned(spec, given)
    if shape is None:
        raise OptionError(
            f"sizes: {tuple(given)} does not fit input '{spec.name}' of {source}, whose shape is {_text(spec.shape)}. "
            f"For example, {_advice(spec)}"
        )
    return shape


def _advice(spec: InputSpec) -> str:
    image = len(spec.shape) == 4
    example = tuple((224 if image else 128) if n is None else n for n in spec.shape[1:])
    what = "height and width of your images" if image else "the length of your sequences, padded to one"
    return f"sizes={{'{spec.name}': {example}}} with {what}."


def _text(shape: Shape) -> str:
    return f"({', '.join('None' if n is None else str(n) for n in shape)})"
