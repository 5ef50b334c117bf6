"""``--sizes``, and what stands for it where it is not given."""

from __future__ import annotations

import numpy as np
import pytest
from absl import flags

from converters.errors import OptionError
from converters.frontend.float_model import InputSpec
from tfmpq.commands.model_flags import define_model_flags, read_sizes


def sizes(*texts: str):
    values = flags.FlagValues()
    define_model_flags(values)
    values(["tfmpq", *(f"--sizes={text}" for text in texts)])
    return read_sizes(values, lambda inputs: lambda: iter([{inputs[0].name: np.zeros((1, 7), np.int32)}]))


def test_shapes():
    assert sizes("224,224,3") == (224, 224, 3)
    assert sizes("12") == (12,)
    assert sizes("ids:12", "image:8x6x3") == {"ids": (12,), "image": (8, 6, 3)}


def test_default_is_the_first_sample():
    asked = sizes()
    assert callable(asked)
    assert asked([InputSpec("ids", (), (None, None), np.dtype(np.int32))]) == {"ids": (1, 7)}


@pytest.mark.parametrize("texts", [("224,0",), ("a:",), ("12", "a:3"), ("a:1", "a:2"), ("-1,3",), ("1.5",)])
def test_what_is_no_shape(texts: tuple[str, ...]):
    with pytest.raises(OptionError, match=r"--sizes=.*give one shape"):
        sizes(*texts)
