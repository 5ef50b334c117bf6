"""What the input side hands on: a float flatbuffer and what its inputs are called."""

from __future__ import annotations

import keyword
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import ModelError

if TYPE_CHECKING:
    # Both load the schema, which evaluating a file does without.
    from converters.layers.names import LayerNames
    from converters.tflite.graph import Model

MAX_BYTES = 2**31 - 1  # a flatbuffer holds no more, and neither does the protobuf TensorFlow converts from

Samples = Callable[[], Iterator[dict[str, np.ndarray]]]


@dataclass(frozen=True)
class InputSpec:
    """One model input.

    Attributes:
        name: signature input name, or the tensor's name where a file has no signature.
        aliases: other names a user may use in dict samples (Keras input layer, dict key, tensor).
        shape: with the batch dimension in front; None: any size.
        dtype: NumPy type of the values.
    """

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int | None, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class Origin:
    """How a file was before its main graph was put in front; see :mod:`converters.frontend.whole_file`.

    Attributes:
        graphs, signatures: place in that file of each graph and signature.
        chosen: graphs, as numbered now, whose weights may change.
        opened: whether sizes of a sample stand in for those that are open.
    """

    graphs: tuple[int, ...]
    signatures: tuple[int, ...]
    chosen: tuple[int, ...]
    opened: bool = False

    @classmethod
    def plain(cls, model: Model) -> Origin:
        """Of a file whose graphs stand where they stood."""
        graphs = tuple(range(len(model.graphs)))
        return cls(graphs, tuple(range(len(model.signatures))), graphs)


@dataclass(frozen=True)
class FloatModel:
    """A float .tflite model and where it came from.

    Attributes:
        flatbuffer: content of the float .tflite file.
        inputs: in the user's order: ``model.inputs`` for Keras, signature order for SavedModels and files.
        names: what the user calls its layers.
        source: for messages, e.g. ``"Keras 3 model 'mobilenet'"`` or ``"file 'x.tflite'"``.
        public_int8: the int8 model by TensorFlow's public converter, for (samples, io_dtype); None for .tflite files.
        trace: gives the model as a concrete TensorFlow function whose inputs are named as in samples, with all that
            the float file has folded; None for .tflite files.
        origin: how the file was, where it is whole; None: as it is here.
    """

    flatbuffer: bytes = field(repr=False)
    inputs: tuple[InputSpec, ...]
    names: LayerNames
    source: str
    public_int8: Callable[[Samples, str], bytes] | None = field(default=None, repr=False, compare=False)
    trace: Callable[[], Any] | None = field(default=None, repr=False, compare=False)
    origin: Origin | None = field(default=None, repr=False)


def check_size(size: int, source: str) -> None:
    """Refuses models that no .tflite file can hold.

    Raises:
        ModelError: ``size`` bytes are too many.
    """
    if size > MAX_BYTES:
        raise ModelError(
            f"{source} holds {size / 2**30:.2f} GiB of parameters; a .tflite file holds at most "
            f"{MAX_BYTES / 2**30:.2f} GiB. Split the model into parts and convert them one by one."
        )


def argument_names(names: Sequence[str]) -> list[str]:
    """The names, changed where they cannot name a Python argument or differ from an earlier one only in case."""
    result: list[str] = []
    for name in names:
        safe = re.sub(r"\W", "_", name, flags=re.ASCII)
        if not re.match(r"[A-Za-z]", safe) or keyword.iskeyword(safe) or safe == "self":
            safe = f"input_{safe.lstrip('_')}"
        taken = {other.lower() for other in result}  # SavedModel signatures fold case
        number, candidate = 1, safe
        while candidate.lower() in taken:
            candidate, number = f"{safe}_{number}", number + 1
        result.append(candidate)
    return result


def order_inputs(
    found: Sequence[InputSpec], expected: Sequence[tuple[str, tuple[str, ...]]], source: str
) -> tuple[InputSpec, ...]:
    """The converted file's inputs in the user's order, with the user's names as aliases.

    Args:
        found: inputs of the converted file.
        expected: (name asked for, aliases) in the user's order.
        source: for messages.

    Raises:
        ModelError: A name is missing from the file, or stands for two inputs.
    """
    by_name = {spec.name: spec for spec in found}
    if set(by_name) != {name for name, _ in expected} or len(found) != len(expected):
        raise ModelError(
            f"{source}: the inputs {[name for name, _ in expected]} became {sorted(by_name)} in the .tflite file, so "
            "which is which is not certain. Give every input its own name made of letters, digits and underscores."
        )
    result = tuple(
        InputSpec(
            name, tuple(dict.fromkeys(a for a in aliases if a and a != name)), by_name[name].shape, by_name[name].dtype
        )
        for name, aliases in expected
    )
    check_names(result, source)
    return result


def check_names(inputs: Sequence[InputSpec], source: str) -> None:
    """Refuses inputs that cannot be told apart by name.

    Raises:
        ModelError: A name or alias stands for two inputs.
    """
    counts = Counter(name for spec in inputs for name in {spec.name, *spec.aliases})
    shared = sorted(name for name, n in counts.items() if n > 1)
    if shared:
        raise ModelError(
            f"{source}: {shared} names more than one input, so dict samples would be ambiguous. "
            "Give every input a name of its own, and the same as its key if the inputs are a dict."
        )
