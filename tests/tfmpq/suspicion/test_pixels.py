import numpy as np
import pytest

from converters.frontend.float_model import InputSpec
from tests.support.photo_nets import photos
from tfmpq.suspicion.pixels import IMAGENET, MINUS_ONE_ONE, RANGES, RAW, TWICE, ZERO_ONE, PixelRange, recognize

IMAGE = InputSpec("image", (), (1, 16, 16, 3), np.dtype(np.float32))
PHOTOS = photos(6)


def samples(data: np.ndarray) -> list[dict[str, np.ndarray]]:
    return [{"image": image[None].astype(np.float32)} for image in data]


@pytest.mark.parametrize("held", [RAW, ZERO_ONE, MINUS_ONE_ONE, IMAGENET, TWICE], ids=lambda r: r.range)
def test_a_range_is_recognized_and_every_other_one_made_of_it(held: PixelRange):
    found = recognize([IMAGE], samples(held.preprocessing(PHOTOS)))
    assert found is not None
    assert found.range is held
    assert found.whole == (held is RAW)
    assert not found.grey
    grey = recognize([IMAGE], samples(held.preprocessing(PHOTOS[..., :1].repeat(3, axis=-1))))
    assert grey is not None
    assert grey.grey
    assert set(found.others()) == set(RANGES) - {held}
    for other in found.others():
        made = np.concatenate([s["image"] for s in found.in_range(samples(held.preprocessing(PHOTOS)), other)])
        # Float32 there and back: 255 / 2^24 relative to the largest pixel, some operations.
        np.testing.assert_allclose(made, other.preprocessing(PHOTOS), atol=2e-4)


def test_channels_first():
    spec = InputSpec("image", (), (1, 3, 16, 16), np.dtype(np.float32))
    found = recognize([spec], samples(np.moveaxis(PHOTOS, -1, 1)))
    assert found is not None
    assert (found.range, found.axis) == (RAW, 1)
    (first, *_) = found.in_range(samples(np.moveaxis(PHOTOS, -1, 1)), IMAGENET)
    np.testing.assert_allclose(np.moveaxis(first["image"][0], 0, -1), IMAGENET.preprocessing(PHOTOS[0]), atol=2e-4)


@pytest.mark.parametrize(
    ("spec", "data"),
    [
        (IMAGE, PHOTOS * 3),
        (IMAGE, PHOTOS // 100),  # counts 0, 1, 2
        (IMAGE, np.random.default_rng(0).normal(0, 3, PHOTOS.shape)),
        (InputSpec("image", (), (1, 16, 16, 8), np.dtype(np.float32)), np.zeros((2, 16, 16, 8))),
        (InputSpec("image", (), (1, 16), np.dtype(np.float32)), np.ones((2, 16))),
        (InputSpec("image", (), (1, 16, 16, 3), np.dtype(np.uint8)), PHOTOS),
    ],
    ids=["wider", "counts", "noise", "features", "vectors", "integers"],
)
def test_what_is_no_image_or_has_no_usual_range(spec: InputSpec, data: np.ndarray):
    assert recognize([spec], samples(data)) is None
    assert recognize([spec, spec], samples(data)) is None
