"""What the outputs of a network are: on that depends which loss is right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import keras

from converters.errors import OptionError
from converters.printable import shown

Outputs = Literal["probabilities", "logits", "binary", "binary_logits", "values"]
_OF_CLASSES = ("probabilities", "logits")


def check_outputs_kind(outputs: Any) -> None:
    """Raises an :class:`OptionError` for what is neither a kind of outputs, nor kinds of several, nor None."""
    several = isinstance(outputs, Sequence) and not isinstance(outputs, str)
    for kind in outputs if several else (outputs,):
        if kind is None and not several:
            continue
        if not isinstance(kind, str) or kind not in get_args(Outputs):
            kinds = ", ".join(f"'{name}'" for name in get_args(Outputs))
            raise OptionError(
                f"outputs={shown(outputs)}: give one of {kinds}, a list with one for each output, or None."
            )


def kinds_of(
    model: Any, given: Outputs | Sequence[Outputs] | None, caller: str, *, unknown: Outputs | None = None
) -> tuple[Outputs, ...]:
    """The kind of every output of a Keras model.

    What ends in a softmax over the last axis is probabilities of classes, what ends in a sigmoid is probabilities of
    yes or no, and other activations give values. A linear end may be anything.

    Args:
        model: Sequential or functional model.
        given: the kind of all outputs, or of each; None: as they end.
        caller: the user's function, for messages.
        unknown: the kind of outputs whose end tells nothing; None: they are refused.

    Raises:
        OptionError: The kind of an output is not known, not as many as outputs, or one of classes for a single unit.
    """
    check_outputs_kind(given)
    tensors = list(model.outputs)
    kinds: list[Any]
    names = [tensor._keras_history.operation.name for tensor in tensors]
    if given is None:
        kinds = [_end(tensor) or unknown for tensor in tensors]
    elif isinstance(given, str):
        kinds = [given] * len(tensors)
    else:
        kinds = list(given)
    if len(kinds) != len(tensors):
        raise OptionError(
            f"outputs={shown(given)} are {len(kinds)} kinds, but model '{model.name}' has {len(tensors)} outputs: "
            f"{', '.join(names)}. Give one for each."
        )
    return tuple(_checked(*one, caller, given is None) for one in zip(kinds, tensors, names, strict=True))


def _checked(kind: Outputs | None, tensor: Any, name: str, caller: str, seen: bool) -> Outputs:
    if kind is None:
        raise OptionError(
            f"{caller}: output '{name}' ends in neither softmax nor sigmoid, so that what it is cannot be seen. Say "
            "outputs='logits' (scores of classes, for a softmax), 'binary_logits' (scores of yes or no, for a sigmoid) "
            "or 'values' (anything else, judged by squared errors)."
        )
    if kind in _OF_CLASSES and tensor.shape[-1] == 1:
        end = "ends in a softmax of one unit, which is always 1" if seen else "has one unit, and a softmax of it is 1"
        raise OptionError(
            f"{caller}: output '{name}' {end}: no loss can tell such outputs apart. A single unit says yes or no "
            "(outputs='binary' after a sigmoid, 'binary_logits' before one) or is a value (outputs='values')."
        )
    return kind


def _end(tensor: Any) -> Outputs | None:
    """The kind of an output by the activation that it ends in; None: that may be anything."""
    last = tensor._keras_history.operation
    while isinstance(last, keras.Model) and len(last.outputs) == 1:
        last = last.outputs[0]._keras_history.operation
    while isinstance(last, keras.layers.Wrapper):
        last = last.layer
    activation = getattr(last, "activation", None)
    name = type(last).__name__.lower()  # layers and operations of keras.ops are called the same
    if activation is keras.activations.softmax or name == "softmax":
        axis = getattr(last, "axis", -1)
        return "probabilities" if axis in (-1, len(tensor.shape) - 1) else "values"
    if activation is keras.activations.sigmoid or name == "sigmoid":
        return "binary"
    if activation is None or activation is keras.activations.linear:
        return None
    return "values"
