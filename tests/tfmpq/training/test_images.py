"""Unlabelled images: what is refused, what is held back, and what crops show."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

from converters.errors import DataError, OptionError
from tests.support.keras_nets import separable, sequence
from tfmpq.training.images import Crops, Inputs, hold_back, read_inputs, training_batches


def images(count: int = 24) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (count, 8, 8, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((0, 8, 8, 3), np.float32), "images gives no samples"),
        (np.zeros((4, 9, 8, 3), np.float32), r"images is an array of shape \(4, 9, 8, 3\)"),
        (np.full((4, 8, 8, 3), np.nan, np.float32), "sample 0 of images, input 'image'.* is nan"),
        (None, "images"),
    ],
)
def test_images_that_do_not_fit(given: Any, message: str):
    with pytest.raises(DataError, match=message):
        read_inputs(separable(), given)


def test_every_form_of_data_is_the_same_arrays():
    x = images()
    for given in (x, list(x), lambda: iter(x[:, None]), [(one[None],) for one in x]):
        np.testing.assert_array_equal(read_inputs(separable(), given).arrays[0], x)


def test_several_inputs_keep_their_order():
    one, two = keras.Input((2,), name="one"), keras.Input((3,), name="two")
    model = keras.Model({"one": one, "two": two}, keras.layers.Concatenate()([one, two]))
    given = {"two": np.ones((5, 3), np.float32), "one": np.zeros((5, 2), np.float32)}
    found = read_inputs(model, given)
    assert [array.shape for array in found.arrays] == [(5, 2), (5, 3)]
    ((first, second),) = next(iter(found.batches(5)))
    assert (first.shape, second.shape) == ((5, 2), (5, 3))


@pytest.mark.parametrize(("count", "held"), [(2, 1), (5, 1), (8, 1), (24, 3), (100, 12)])
def test_an_eighth_is_held_back(count: int, held: int):
    training, judged = hold_back(Inputs([np.arange(count)]))
    assert len(judged) == held
    np.testing.assert_array_equal(np.sort(np.r_[training.arrays[0], judged.arrays[0]]), np.arange(count))


def test_one_image_is_not_enough():
    with pytest.raises(DataError, match="images gives one sample"):
        hold_back(Inputs([images(1)]))


def test_batches_of_all_epochs_hold_every_image_once_an_epoch():
    inputs = Inputs([np.arange(20, dtype=np.float32)])
    whole = [np.asarray(b) for ((b,),) in training_batches(inputs, 5, 2, Crops(1.0, False, 3))]
    assert [len(b) for b in whole] == [5] * 8
    for epoch in (whole[:4], whole[4:]):
        np.testing.assert_array_equal(np.sort(np.concatenate(epoch)), inputs.arrays[0])
    assert (np.concatenate(whole[:4]) != np.concatenate(whole[4:])).any()
    again = [np.asarray(b) for ((b,),) in training_batches(inputs, 5, 2, Crops(1.0, False, 3))]
    np.testing.assert_array_equal(whole, again)
    assert len(next(iter(training_batches(inputs, 64, 1, Crops(1.0, False, 3))))[0][0]) == 20


def test_crops_show_parts_and_some_mirrored():
    ramp = np.broadcast_to(np.linspace(0, 1, 16, dtype=np.float32)[:, None], (64, 16, 16, 1)).copy()
    shown = np.asarray(Crops(0.5, True, 0)(np.int64(4), ramp))
    assert shown.shape == ramp.shape
    left, right = shown[:, 0, 0, 0], shown[:, 0, -1, 0]
    # An image's columns rise, so do a crop's, and a mirrored one's fall; the span is the share that is shown.
    assert 16 < (left < right).sum() < 48
    span = np.abs(right - left)
    assert span.min() >= 0.5 - 1e-5
    assert span.max() <= 1 + 1e-5
    assert span.std() > 0.1
    np.testing.assert_array_equal(shown, np.asarray(Crops(0.5, True, 0)(np.int64(4), ramp)))
    assert (shown != np.asarray(Crops(0.5, True, 0)(np.int64(5), ramp))).any()


def test_crops_are_for_images():
    signals = read_inputs(sequence(), np.zeros((4, 16, 4), np.float32))
    Crops(1.0, False, 0).check(signals)
    with pytest.raises(OptionError, match="crop and flip are for models of one input of float images"):
        Crops(1.0, True, 0).check(signals)
    with pytest.raises(OptionError, match="crop=0 is no share"):
        Crops(0, False, 0).check(Inputs([images()]))
