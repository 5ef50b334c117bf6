"""What was asked for of int8 activations, where activations are in float: said, not passed over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields

from converters.errors import OptionError
from converters.targets import Target
from tfmpq.options import Options
from tfmpq.recipe.rules import ActivationSettings, Recipe

_NO_WISH = ("auto", "off")  # of channels to be scaled: with float activations none are


def refuse_int8_wishes(options: Options, recipe: Recipe, target: Target) -> None:
    """Refuses what float activations cannot give, before any work.

    Args:
        options: of the conversion.
        recipe: rules of the caller.
        target: what the file is for.

    Raises:
        OptionError: ``activations="float"`` is asked for together with something of int8 activations, or for a target
            of which only int8 ones are known.
    """
    if options.activations != "float":
        return
    if target.stated is not None:
        raise OptionError(
            f"activations='float': of target {target.name!r} it is only stated what it takes with int8 activations. "
            "Use activations='int8', or target='xnnpack' for a file that TensorFlow Lite runs."
        )
    for wish in _wishes(options, recipe):
        raise OptionError(f"activations='float': {wish}. Leave it out, or use activations='int8'.")


def unheeded_notes(options: Options, recipe: Recipe) -> tuple[str, ...]:
    """The same as notes, for a conversion that found float activations to be better."""
    return tuple(f"activations are in float: {wish}" for wish in _wishes(options, recipe))


def _wishes(options: Options, recipe: Recipe) -> Iterator[str]:
    """Only what a caller must have given: defaults say nothing."""
    if options.io_dtype == "uint8":
        yield "io_dtype='uint8' has no effect, as inputs and outputs keep the model's own types"
    if options.bias_scales == "shared":
        yield "bias_scales='shared' has no effect, as biases are float numbers without scales"
    for name, form in options.outputs.items():
        if form == "int8":
            yield f"outputs={{{name!r}: 'int8'}} has no effect, as outputs keep the model's own types"
    names = [field.name for field in fields(ActivationSettings)]
    for rule in recipe.rules:
        asked = [name for name in names if getattr(rule, name) not in (None, *_NO_WISH)]
        if asked:
            yield f"rule {rule.match!r} sets {' and '.join(asked)}, which is for int8 activations"
