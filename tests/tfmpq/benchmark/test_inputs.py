"""Inputs of a benchmark: the same random words in every language, or arrays from a file."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.errors import DataError
from converters.runtime import interpreter as runtime
from converters.runtime.values import IoDetail, dequantize
from tfmpq.benchmark.inputs import given_inputs, random_inputs

MASK = 2**64 - 1


def splitmix64(seed: int, count: int) -> list[int]:
    """The generator as published, in plain integers."""
    words, state = [], seed
    for _ in range(count):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        z = state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        words.append(z ^ (z >> 31))
    return words


def detail(name: str, dtype: Any, shape: tuple[int, ...], signature: tuple[int, ...] | None = None) -> IoDetail:
    return IoDetail(name, 0, shape, shape if signature is None else signature, np.dtype(dtype), 0.0, 0)


def test_the_published_generator():
    # The usual example of seed 1234567, as on Rosetta Code.
    assert splitmix64(1234567, 2) == [6457827717110365317, 3203168211198807973]


@pytest.mark.parametrize("seed", [0, 1, 2**64 - 1])
def test_words_run_on_over_the_inputs(seed: int):
    inputs = [
        detail("a", np.int8, (1, 2, 3)),
        detail("b", np.float32, (4,)),
        detail("c", np.int32, (2,)),
        detail("d", np.bool_, (5,)),
        detail("e", np.uint8, (1, 3)),
        detail("f", np.int16, (2,)),
    ]
    words = splitmix64(seed, 22)
    feeds = random_inputs(inputs, seed)
    assert list(feeds) == list("abcdef")
    assert all(feeds[d.name].shape == d.shape and feeds[d.name].dtype == d.dtype for d in inputs)
    assert feeds["a"].ravel().view(np.uint8).tolist() == [w & 255 for w in words[:6]]
    assert feeds["b"].tolist() == [(w >> 40) / 2**23 - 1 for w in words[6:10]]
    assert feeds["c"].tolist() == [0, 0]  # indices
    assert feeds["d"].tolist() == [bool(w & 1) for w in words[12:17]]
    assert feeds["e"].ravel().tolist() == [w & 255 for w in words[17:20]]
    assert feeds["f"].view(np.uint16).tolist() == [w & 65535 for w in words[20:22]]


def test_open_dimensions_become_1():
    feeds = random_inputs([detail("x", np.float32, (1, 4, 3), (-1, -1, 3)), detail("n", np.float32, ())], 0)
    assert feeds["x"].shape == (1, 1, 3)
    assert feeds["n"].shape == ()


def test_text_has_no_random_values():
    with pytest.raises(DataError, match="input 'words' takes object"):
        random_inputs([detail("words", object, (1,))], 0)


def test_given_arrays_by_name():
    a, b = np.zeros(3, np.float32), np.ones(3, np.float32)
    inputs = [detail("a", np.float32, (3,)), detail("b", np.float32, (3,))]
    assert given_inputs({"b": b, "unused": b, "a": a}, inputs) == {"a": a, "b": b}
    with pytest.raises(DataError, match="there is no array for 'b'; there are 'a', 'c'"):
        given_inputs({"a": a, "c": b}, inputs)
    assert given_inputs({"any": a}, inputs[:1]) == {"a": a}
    with pytest.raises(DataError, match="there is no array for 'a'; there are 'x', 'y'"):
        given_inputs({"x": a, "y": b}, inputs[:1])
    for bad in (np.nan, np.inf):
        with pytest.raises(DataError, match="'a' has NaN or infinite"):
            given_inputs({"a": np.array([0, bad, 0], np.float32), "b": b}, inputs)


def test_real_values_are_the_same_for_int8_and_float_io(conv_net_int8: bytes, conv_net_float: bytes, images: Any):
    """Their outputs agree, which they would not on other inputs."""
    outputs = []
    for content in (conv_net_float, conv_net_int8):
        interpreter = runtime.make_interpreter(content)
        (output,) = runtime.run(interpreter, given_inputs({"x": images[:1]}, runtime.inputs(interpreter)))
        outputs.append(dequantize(output, runtime.outputs(interpreter)[0]))
    # 8 bits of the output's own range, and as much again for what the layers before add
    np.testing.assert_allclose(outputs[1], outputs[0], atol=np.ptp(outputs[0]) / 50)
