"""Weights in loops are told of."""

from __future__ import annotations

import keras

from converters.frontend.load import load_model
from converters.layers.loop_bodies import skipped_in_loops
from converters.tflite.reader import load
from tests.support.recurrent_nets import recurrent


def test_a_loop_with_weights():
    (found,) = skipped_in_loops(load(load_model(recurrent(keras, "lstm")).flatbuffer))
    assert (found.op, found.reason.split(" are ")[0]) == ("WHILE", "its 1,536 weights")  # 4 gates of 16 x (8 + 16)
    assert "recurrent" in found.name


def test_a_network_without_loops():
    assert skipped_in_loops(load(load_model(recurrent(keras, "unrolled")).flatbuffer)) == []
