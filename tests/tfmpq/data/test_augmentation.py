from __future__ import annotations

import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from converters.errors import DataError, OptionError
from converters.frontend.float_model import InputSpec
from tfmpq.data.augmentation import image_views, random_view, resize_part
from tfmpq.data.representative import check_samples

IMAGES = np.random.default_rng(0).uniform(-1, 1, (5, 12, 9, 3)).astype(np.float32)
IMAGE = InputSpec("image", ("input_layer",), (1, 12, 9, 3), np.dtype(np.float32))
SHARES = st.floats(0.05, 1.0)


def stacked(samples: Callable[[], Iterator[list[np.ndarray]]]) -> np.ndarray:
    items = list(samples())
    assert all(len(item) == 1 and item[0].shape[0] == 1 for item in items)
    return np.concatenate([item[0] for item in items])


def generator() -> Iterator[list[np.ndarray]]:
    for image in IMAGES:
        yield [image[None]]


# ---------------------------------------------------------------- order, repetition, forms


def test_one_view_changes_nothing():
    np.testing.assert_array_equal(stacked(image_views(IMAGES, 1)), IMAGES, strict=True)


def test_images_come_first_then_views_of_each_in_the_same_order():
    # Images told apart by their level: views keep it.
    levels = np.arange(5, dtype=np.float32)[:, None, None, None] + 0.1 * np.abs(IMAGES)
    samples = stacked(image_views(levels, 3))
    np.testing.assert_array_equal(samples[:5], levels)
    np.testing.assert_array_equal(samples.min(axis=(1, 2, 3)).astype(int), [0, 1, 2, 3, 4] * 3)
    assert len({sample.tobytes() for sample in samples}) == 15  # no view is like another


def test_views_depend_on_the_seed_and_on_nothing_else(run_python):
    data = image_views(IMAGES, 3, seed=7)
    first = stacked(data)
    np.testing.assert_array_equal(stacked(data), first)  # in every pass
    np.testing.assert_array_equal(stacked(image_views(IMAGES, 2, seed=7)), first[:10])  # however many others there are
    assert not np.array_equal(stacked(image_views(IMAGES, 3, seed=8))[5:], first[5:])
    result = run_python(
        """
        import sys
        import numpy as np
        from tfmpq.data.augmentation import image_views

        images = np.random.default_rng(0).uniform(-1, 1, (5, 12, 9, 3)).astype(np.float32)
        sys.stdout.write(np.concatenate([item[0] for item in image_views(images, 3, seed=7)()]).tobytes().hex())
        """
    )
    assert result.stdout == first.tobytes().hex(), result.stderr


FORMS = {
    "array of single-image batches": IMAGES[:, None],
    "generator function": generator,
    "callable returning an array": lambda: IMAGES,
    "list": list(IMAGES),
    "batches": (IMAGES[:3], IMAGES[3:]),
    "dicts": [{"image": image} for image in IMAGES],
    "one dict": {"image": IMAGES},
    "lists of numbers": [image.tolist() for image in IMAGES],
    "views of views": image_views(IMAGES, 1),
}


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_gives_the_same_views(form: str):
    # Lists of numbers are float64 and are resized as float32 all the same.
    np.testing.assert_array_equal(stacked(image_views(FORMS[form], 2)), stacked(image_views(IMAGES, 2)))


def test_convert_and_the_stock_converter_take_views():
    data = check_samples(image_views(generator, 3, crop=0.5), [IMAGE])
    assert (data.count, data.images, data.views) == (15, 5, 3)
    for _ in range(2):
        np.testing.assert_array_equal(
            np.concatenate([sample["image"] for sample in data()]), stacked(image_views(IMAGES, 3, crop=0.5))
        )


@pytest.mark.slow
def test_stock_converter_takes_views(conv_net: Any, images: np.ndarray):
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(conv_net)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = image_views(images[:4], 2)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about Keras's and NumPy's own matters
        assert converter.convert()[4:8] == b"TFL3"


def test_memory_does_not_grow_with_images_or_views():
    def photos() -> Iterator[np.ndarray]:
        for level in range(20):
            yield np.full((128, 128, 3), level, np.float32)  # 197 kB

    data = image_views(photos, 3)
    next(data())
    tracemalloc.start()
    count = sum(1 for _ in data())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 60
    assert peak < 8 * 197_000  # an image, its view and what lies between them, not 20 of them


# ---------------------------------------------------------------- the views themselves


@given(height=st.integers(2, 24), width=st.integers(2, 24), share=SHARES, place=st.floats(0, 1), slope=st.floats(-3, 3))
def test_part_of_a_ramp_is_a_ramp(height, width, share, place, slope):
    """Pixel centres at halves: value = slope * position stays true in the part's own coordinates."""
    y, x = np.mgrid[0:height, 0:width] + 0.5
    ramp = (y + slope * x)[..., None].astype(np.float32)
    top, left = place * (1 - share) * height, (1 - place) * (1 - share) * width
    part = resize_part(ramp, (top, left), (share * height, share * width))
    # Beyond the outermost pixel centres the image goes on unchanged.
    expected = np.clip(top + share * y, 0.5, height - 0.5) + slope * np.clip(left + share * x, 0.5, width - 0.5)
    # float32: values up to 24 + 3 * 24, each the result of a few operations, half an ulp (2^-18 at 96) each
    np.testing.assert_allclose(part[..., 0], expected, rtol=0, atol=1e-4)


@given(
    image=arrays(
        np.float32, st.tuples(st.integers(2, 9), st.integers(2, 9), st.just(2)), elements=st.floats(-9, 9, width=32)
    ),
    crop=SHARES,
    seed=st.integers(0, 2**32),
)
def test_views_stay_within_the_range_of_the_image(image, crop, seed):
    view = random_view(image, np.random.default_rng(seed), crop=crop, flip=True)
    assert (view.shape, view.dtype) == (image.shape, image.dtype)
    assert view.min() >= image.min()
    assert view.max() <= image.max()


@given(level=st.floats(-1e6, 1e6, width=32), seed=st.integers(0, 2**32))
def test_constant_images_stay_as_they_are(level, seed):
    image = np.full((5, 7, 3), level, np.float32)
    np.testing.assert_array_equal(random_view(image, np.random.default_rng(seed), crop=0.3, flip=True), image)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32))
def test_flips(seed):
    image = IMAGES[0]
    plain = random_view(image, np.random.default_rng(seed), crop=0.6, flip=False)
    maybe = random_view(image, np.random.default_rng(seed), crop=0.6, flip=True)
    assert np.array_equal(maybe, plain) or np.array_equal(maybe[:, ::-1], plain)
    # The mirrored part of the mirrored image is the part itself, mirrored.
    whole = resize_part(image, (2.5, 1.25), (6.0, 4.5))
    mirrored = resize_part(image[:, ::-1], (2.5, 9 - 1.25 - 4.5), (6.0, 4.5))
    np.testing.assert_allclose(mirrored[:, ::-1], whole, atol=1e-6)  # float32 rounding of values below 1


def test_half_of_the_views_are_mirrored_and_whole_images_stay_whole():
    samples = stacked(image_views(IMAGES[:1], 401, crop=1.0))
    mirrored = (samples == IMAGES[0, :, ::-1]).all(axis=(1, 2, 3))
    assert (mirrored | (samples == IMAGES[0]).all(axis=(1, 2, 3))).all()
    assert 150 < mirrored.sum() < 250  # 200 of 400, five standard deviations of 10


def test_crops_have_the_sizes_asked_for():
    """Measured on two ramps, along rows and columns: the step from pixel to pixel is the share."""
    height, width = 40, 60
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    steps = []
    starts = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        view = random_view(np.stack([y, x], axis=-1), rng, crop=0.6, flip=False)
        centre = view[10:-10, 10:-10]
        steps.append((np.diff(centre[..., 0], axis=0).mean(), np.diff(centre[..., 1], axis=1).mean()))
        starts.append(view[0, 0] / (height, width))
    shares = np.array(steps)
    np.testing.assert_allclose(shares[:, 0], shares[:, 1], atol=1e-5)  # the aspect ratio stays
    assert 0.6 <= shares.min() < 0.63
    assert 0.97 < shares.max() <= 1 + 1e-5
    assert abs(shares.mean() - 0.8) < 0.03  # evenly drawn: 4 standard errors of 0.115 / sqrt(300)
    assert np.max(starts, axis=0) == pytest.approx([0.4, 0.4], abs=0.08)  # every corner is reached
    assert np.min(starts, axis=0) == pytest.approx([0, 0], abs=0.01)


def test_resize_matches_pillow():
    image = np.random.default_rng(1).integers(0, 256, (40, 56, 3), np.uint8)
    ours = resize_part(image, (5.25, 7.5), (30.0, 33.5))
    assert ours.dtype == np.uint8
    box = (7.5, 5.25, 7.5 + 33.5, 5.25 + 30.0)
    theirs = np.asarray(Image.fromarray(image).resize((56, 40), Image.Resampling.BILINEAR, box=box))
    inner = np.s_[1:-1, 1:-1]  # Pillow does not look beyond the box
    # Pillow rounds after each direction, with 8-bit weights: one level each.
    assert np.abs(ours.astype(int) - theirs)[inner].max() <= 2


def test_integers_are_rounded_and_stay_integers():
    pixels = np.random.default_rng(2).integers(0, 256, (3, 8, 8, 3), np.uint8)
    real = stacked(image_views(pixels.astype(np.float32), 3))
    whole = stacked(image_views(pixels, 3))
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole, np.rint(real))


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n=0"),
        ({"n": True}, "n=True"),
        ({"n": 2.5}, "n=2.5"),
        ({"crop": 0}, "crop=0 .*above 0"),
        ({"crop": 1.01}, r"crop=1\.01"),
        ({"crop": float("nan")}, "crop=nan"),
        ({"crop": "0.5"}, "crop='0.5'"),
        ({"crop": None}, "crop=None"),
        ({"flip": 1}, "flip=1 must be True or False"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": None}, "seed=None"),
        ({"crop": 1, "flip": False}, "all the same image"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(OptionError, match=message):
        image_views(IMAGES, **{"n": 2, **options})


REFUSED_AT_ONCE = {
    "one image": (IMAGES[0], r"array of shape \(12, 9, 3\).*array\[None\]"),
    "grey without channels": (IMAGES[..., 0], r"\(5, 12, 9\).*array\[\.\.\., None\]"),
    "vectors": (IMAGES[:, 0, :, 0], r"\(5, 9\).*leave the views out"),
    "channels first": (np.moveaxis(IMAGES, -1, 1), r"\(5, 3, 12, 9\).*Channels come last"),
    "empty": (IMAGES[:0], r"\(0, 12, 9, 3\)"),
    "generator object": (generator(), r"only once.*images=samples, not images=samples\(\)"),
    "path": ("photos/", "images is 'photos/', no data"),
    "arguments": (lambda path: path, r"images is called without arguments.*images=lambda"),
}
REFUSED_LATER = {
    "row": (IMAGES[0, :, :, 0], r"sample 1 of images has shape \(12, 9\)"),
    "several inputs": ({"a": IMAGES[0], "b": IMAGES[1]}, "sample 1 of images is a dict of 2 values.*several inputs"),
    "labels": ((IMAGES[0], 3), "tuple of 2 values.*drop labels"),
    "grey batch": (IMAGES[:1, :, :, 0], r"\(1, 12, 9\).*Channels come last"),
    "text": (np.full((4, 4, 1), "a"), "holds <U1, no pixels"),
    "ragged": ([[[1.0], [2.0]], [[3.0]]], "cannot become an array"),
    "nothing": (None, "holds object, no pixels"),
}


@pytest.mark.parametrize("case", REFUSED_AT_ONCE, ids=str)
def test_refused_at_once(case: str):
    data, message = REFUSED_AT_ONCE[case]
    with pytest.raises(DataError, match=message):
        image_views(data, 2)


@pytest.mark.parametrize("case", REFUSED_LATER, ids=str)
def test_refused_when_read(case: str):
    item, message = REFUSED_LATER[case]
    data = image_views([IMAGES[0], item], 2)
    with pytest.raises(DataError, match=message):
        check_samples(data, [IMAGE])


def test_images_that_change_or_run_out_between_passes():
    lengths = iter([5, 4])
    with pytest.raises(DataError, match="5 images at first and 4 in a later pass"):
        list(image_views(lambda: IMAGES[: next(lengths)], 2)())
    shared = generator()
    with pytest.raises(DataError, match="5 images at first and 0 in a later pass"):
        check_samples(image_views(lambda: shared, 2), [IMAGE])


def test_not_a_number_is_found_in_the_image_itself():
    images = IMAGES.copy()
    images[3, 2, 1, 0] = np.nan
    with pytest.raises(DataError, match=r"sample 3 of rep_dataset, input 'image' is nan at \(0, 2, 1, 0\)"):
        check_samples(image_views(images, 2), [IMAGE])
