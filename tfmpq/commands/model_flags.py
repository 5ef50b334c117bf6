"""Flags about the model: its entry point, and the sizes of what it leaves open."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import flags

from converters.errors import OptionError
from tfmpq.data.first_sample import first_shapes

if TYPE_CHECKING:
    from converters.frontend.float_model import InputSpec
    from converters.frontend.open_sizes import GivenSizes, Sizes

OpenData = Callable[["Sequence[InputSpec]"], Callable[[], Iterator[Mapping[str, np.ndarray]]]]
_SIZES = (
    "The shape of one sample where the model leaves dimensions open, as 224,224,3, or NAME:SHAPE for one input, and as "
    "often as there are inputs; default: that of the first sample."
)


def define_model_flags(values: flags.FlagValues) -> None:
    """Defines ``--signature`` and ``--sizes``."""
    from tfmpq.options import help_of  # loads the file schema, which other commands do without

    flags.DEFINE_string("signature", None, help_of("signature"), values)
    flags.DEFINE_multi_string("sizes", None, _SIZES, values)


def read_sizes(values: flags.FlagValues, open_data: OpenData) -> Sizes:
    """The sizes given, or a function that takes them from the first sample.

    Args:
        values: of the flags.
        open_data: opens the calibration data for a model's inputs.

    Raises:
        OptionError: A size that cannot be read.
    """
    given = given_sizes(values)
    return (lambda inputs: first_shapes(open_data(inputs), inputs)) if given is None else given


def given_sizes(values: flags.FlagValues) -> GivenSizes | None:
    """What ``--sizes`` says; None: nothing.

    Raises:
        OptionError: A size that cannot be read.
    """
    given: Sequence[str] | None = values.sizes
    if not given:
        return None
    parsed: dict[str, tuple[int, ...]] = {}
    for text in given:
        name, _, shape = text.rpartition(":")
        if not re.fullmatch(r"[1-9]\d*([,x][1-9]\d*)*", shape) or name in parsed or (not name and len(given) > 1):
            raise OptionError(f"--sizes={text}: give one shape, 224,224,3, or NAME:SHAPE once for each input.")
        parsed[name] = tuple(int(n) for n in re.split("[,x]", shape))
    result: Any = parsed.get("", parsed)
    return result
