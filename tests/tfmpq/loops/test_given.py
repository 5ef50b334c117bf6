"""Which rules, points and options are for the layers of a loop."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import ConversionError
from converters.frontend.load import load_model
from converters.frontend.loop_bodies import Loop, find_loops
from converters.points import MultipointWeight, Point
from converters.tflite.reader import load
from tests.support.loops import loop_net
from tfmpq.loops.given import loop_options, other_points, other_rules, stays
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe, Rule

IN, BACK = "recurrent/MatMul", "recurrent/MatMul_1"


@pytest.fixture(scope="module")
def loop() -> Loop:
    (found,), _ = find_loops(load(load_model(loop_net("lstm")).flatbuffer), "the network")
    return found


def some_points() -> MultipointWeight:
    return MultipointWeight((Point(np.ones((2, 4), np.int8), np.ones(2, np.float32)),), np.ones(2, np.int64), 4)


@pytest.mark.parametrize(
    ("match", "left"),
    [
        ("^recurrent$", False),  # the layer that is the loop
        (f"^{IN}$", False),
        ("MatMul", False),
        ("^head$", True),
        ("recurrent|head", True),
        ("nothing", True),  # so that it is reported as a rule without a layer
    ],
)
def test_rules_for_loops_alone_are_not_the_network_s(loop: Loop, match: str, left: bool):
    rule = Rule(match, bits=8)
    assert other_rules(Recipe([rule]), [loop], ["head"]).rules == ((rule,) if left else ())


def test_rules_for_activations_stay_with_the_network(loop: Loop):
    rule = Rule("^recurrent$", equalize="off")
    assert other_rules(Recipe([rule]), [loop], ["head"]).rules == (rule,)


def test_points_go_where_their_layers_are(loop: Loop):
    points = {IN: some_points(), "head": some_points()}
    options = Options(points=points, io_dtype="int8", progress=True)
    assert set(loop_options(options, loop).points) == {IN}
    assert set(other_points(points, [loop])) == {"head"}


def test_states_are_float_and_loops_are_silent(loop: Loop):
    own = loop_options(Options(io_dtype="int8", progress=True, bits=3), loop)
    assert (own.io_dtype, own.progress, own.sizes, own.signature, own.bits) == ("float32", False, None, None, 3)


def test_what_stays_says_why(loop: Loop):
    left = stays(loop, ConversionError("too odd"))
    assert (left.name, left.op) == ("recurrent", "WHILE")
    assert left.reason.endswith("stays as it is: too odd")
