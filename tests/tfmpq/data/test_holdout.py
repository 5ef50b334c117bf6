"""Which samples serve for what."""

from __future__ import annotations

import numpy as np
import pytest

from converters.frontend.float_model import InputSpec
from tfmpq.data.augmentation import image_views
from tfmpq.data.holdout import Subset, hold_out
from tfmpq.data.representative import check_samples

SPEC = [InputSpec("image", (), (1, 6, 6, 1), np.dtype(np.float32))]


def levels(count: int) -> np.ndarray:
    """Constant images, each with a level of its own, which views keep."""
    return np.broadcast_to(np.arange(count, dtype=np.float32)[:, None, None, None], (count, 6, 6, 1))


def seen(samples) -> list[float]:
    return [round(float(s["image"].mean()), 3) for s in samples]


def test_few_samples_serve_for_everything():
    data = check_samples(levels(31), SPEC)
    split = hold_out(data)
    assert split.fit is data
    assert split.fitted
    assert seen(split.held_out) == seen(split.judge) == list(range(31))


def test_every_eighth_is_kept_out():
    split = hold_out(check_samples(levels(40), SPEC))
    fit, held_out = split.fit, split.held_out
    assert isinstance(fit, Subset)
    assert seen(held_out) == [7, 15, 23, 31, 39]
    assert seen(split.judge) == [3, 11, 19, 27, 35]
    assert fit.count == 30 == len(seen(fit()))
    assert not set(seen(fit())) & {*seen(held_out), *seen(split.judge)}
    assert seen(fit()) == seen(fit())  # every pass anew


def test_at_most_thirty_two():
    split = hold_out(check_samples(levels(300), SPEC))
    fit, held_out = split.fit, split.held_out
    assert len(held_out) == len(split.judge) == 32
    assert fit.count == 300 - 64


@pytest.mark.parametrize("views", [2, 3])
def test_views_of_an_image_stay_together(views: int):
    data = check_samples(image_views(levels(40), views), SPEC)
    split = hold_out(data)
    fit, held_out = split.fit, split.held_out
    assert seen(held_out) == [7, 15, 23, 31, 39]
    inside = seen(fit())
    assert len(inside) == fit.count == 30 * views
    assert seen(split.judge) == [3, 11, 19, 27, 35]
    assert not set(inside) & {*seen(held_out), *seen(split.judge)}
    assert {inside.count(level) for level in set(inside)} == {views}
    few = check_samples(image_views(levels(20), views), SPEC)
    assert seen(hold_out(few).held_out) == list(range(20))  # the images as they are, once
