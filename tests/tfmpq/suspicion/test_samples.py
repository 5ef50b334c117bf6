import numpy as np
import pytest

from converters.frontend.float_model import InputSpec
from tests.support.photo_nets import photos
from tfmpq.data.augmentation import image_views
from tfmpq.data.representative import check_samples
from tfmpq.suspicion.samples import FEW, LOOKED_AT, look_at_some, sample_signs

IMAGE = InputSpec("image", (), (1, 16, 16, 3), np.dtype(np.float32))
PHOTOS = photos(40)


def signs(count: int, *inputs: np.ndarray) -> list[str]:
    samples = [{f"x{i}": value for i, value in enumerate(values)} for values in zip(*inputs, strict=True)]
    return [s.sign for s in sample_signs(count, samples)]


def test_some_are_looked_at_evenly_spaced_and_no_views():
    numbered = np.arange(100, dtype=np.float32)[:, None, None, None] * np.ones((1, 16, 16, 3), np.float32)
    seen = [s["image"].flat[0] for s in look_at_some(check_samples(numbered, [IMAGE]))]
    assert len(seen) == LOOKED_AT == len(set(seen))
    assert seen[0] == 0
    assert seen[-1] >= 95  # data sorted by class end with another one
    views = check_samples(image_views(PHOTOS[:20], 3), [IMAGE])
    assert len(look_at_some(views)) == 20


def test_good_samples_are_not_suspected():
    assert signs(FEW, PHOTOS[:FEW]) == []
    mask = np.ones((FEW, 16))
    assert signs(FEW, PHOTOS[:FEW], mask) == []  # the mask of texts of one length


@pytest.mark.parametrize("value", [0.0, 127.0])
def test_constants(value: float):
    (sign,) = sample_signs(40, [{"image": np.full((1, 8, 8, 3), value)}] * 32)
    assert sign.sign == "constant inputs"
    assert f"'image' is {value:g} everywhere" in sign.text


def test_one_sample_again_and_again_and_blank_ones():
    assert signs(40, PHOTOS[:1].repeat(32, axis=0)) == ["constant inputs"]
    assert signs(40, PHOTOS[:1].repeat(32, axis=0), np.ones((32, 4))) == ["constant inputs"]
    blank = PHOTOS[:32].copy()
    blank[:20] = np.arange(20)[:, None, None, None]
    assert signs(40, blank) == ["constant inputs"]
    assert signs(40, np.concatenate([blank[:1], PHOTOS[1:32]])) == []  # a black photo now and then
    assert signs(40, np.arange(32.0)[:, None]) == []  # inputs of one number


def test_few():
    (sign,) = sample_signs(3, [{"image": image} for image in PHOTOS[:3]])
    assert "only 3 samples" in sign.text
    (sign,) = sample_signs(1, [{"image": PHOTOS[0]}])
    assert "is only 1 sample " in sign.text
