from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from converters.errors import DataError, MissingDependencyError, OptionError
from converters.frontend.float_model import InputSpec
from tfmpq.data.calibration_files import open_calibration
from tfmpq.data.preprocessing import PREPROCESSINGS, Preprocessing, preprocessing_of

VECTOR = (InputSpec("x", ("features",), (1, 3), np.dtype(np.float32)),)
TWO = (*VECTOR, InputSpec("ids", (), (1, 2), np.dtype(np.int32)))
DATA = np.arange(30, dtype=np.float32).reshape(10, 3)


def image_input(height: int, width: int, channels: int, dtype: type = np.float32) -> tuple[InputSpec, ...]:
    return (InputSpec("image", (), (1, height, width, channels), np.dtype(dtype)),)


def stacked(samples, name: str = "x") -> np.ndarray:
    items = list(samples())
    assert all(item[name].shape[0] == 1 for item in items)
    return np.concatenate([item[name] for item in items])


@pytest.mark.parametrize("key", ["x", "features", "anything"])
def test_npz_with_one_array(tmp_path, key):
    np.savez(tmp_path / "data.npz", **{key: DATA, "y": np.zeros(10, int)})  # labels are ignored
    samples = open_calibration(tmp_path / "data.npz", VECTOR)
    for _ in range(2):  # every pass starts anew
        np.testing.assert_array_equal(stacked(samples), DATA)
    spaced = open_calibration(tmp_path / "data.npz", VECTOR, max_samples=4)
    np.testing.assert_array_equal(stacked(spaced), DATA[[0, 2, 5, 7]])


def test_npz_for_several_inputs_goes_by_name(tmp_path):
    ids = np.arange(20, dtype=np.int64).reshape(10, 2)
    np.savez(tmp_path / "data.npz", ids=ids, features=DATA)
    samples = open_calibration(tmp_path / "data.npz", TWO)
    np.testing.assert_array_equal(stacked(samples), DATA)
    np.testing.assert_array_equal(stacked(samples, "ids"), ids.astype(np.int32), strict=True)


def test_npy_file_and_directory_of_npy_files(tmp_path):
    np.save(tmp_path / "all.npy", DATA)
    np.testing.assert_array_equal(stacked(open_calibration(tmp_path / "all.npy", VECTOR)), DATA)
    (tmp_path / "many" / "sub").mkdir(parents=True)
    np.save(tmp_path / "many" / "0.npy", DATA[0])  # without batch dimension
    np.save(tmp_path / "many" / "1.npy", DATA[1:2])  # with
    np.save(tmp_path / "many" / "sub" / "2.npy", DATA[2:])  # a batch
    (tmp_path / "many" / ".hidden.npy").write_bytes(b"")
    np.testing.assert_array_equal(stacked(open_calibration(tmp_path / "many", VECTOR)), DATA)


def test_directory_of_npz_files_for_several_inputs(tmp_path):
    for i, row in enumerate(DATA):
        np.savez(tmp_path / f"{i}.npz", x=row, ids=np.array([i, i]))
    samples = open_calibration(tmp_path, TWO)
    np.testing.assert_array_equal(stacked(samples), DATA)
    assert stacked(samples, "ids")[7].tolist() == [7, 7]


def test_images_are_resized_and_preprocessed(tmp_path):
    left_red = np.zeros((20, 40, 3), np.uint8)
    left_red[:, :20, 0] = 255
    Image.fromarray(left_red).save(tmp_path / "a.png")
    Image.fromarray(np.full((5, 5), 51, np.uint8)).save(tmp_path / "b.PNG")  # grey
    inputs = image_input(4, 8, 3)
    unit = stacked(open_calibration(tmp_path, inputs, preprocessing=PREPROCESSINGS["minus_one_one"]), "image")
    assert unit.shape == (2, 4, 8, 3)
    assert unit.dtype == np.float32
    np.testing.assert_array_equal(unit[0, :, 0], np.tile([1.0, -1, -1], (4, 1)))
    np.testing.assert_array_equal(unit[0, :, -1], np.tile([-1.0, -1, -1], (4, 1)))
    np.testing.assert_allclose(unit[1], -0.6, rtol=1e-6)  # 51 / 127.5 - 1
    own = Preprocessing(mean=(1.0, 11.0, 21.0), std=(10.0,))
    np.testing.assert_array_equal(
        stacked(open_calibration(tmp_path, inputs, preprocessing=own), "image")[1, 0, 0], [5, 4, 3]
    )
    grey = open_calibration(tmp_path, image_input(4, 8, 1), preprocessing=PREPROCESSINGS["zero_one"])
    np.testing.assert_allclose(stacked(grey, "image")[1], 0.2, rtol=1e-6)
    pixels = open_calibration(tmp_path, image_input(4, 8, 3, np.uint8), preprocessing=PREPROCESSINGS["raw"])
    assert stacked(pixels, "image").dtype == np.uint8
    assert np.all(stacked(pixels, "image")[1] == 51)


def test_photos_are_turned_upright(tmp_path):
    pixels = np.zeros((10, 20, 3), np.uint8)
    pixels[:, :10] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: turn by 90 degrees clockwise to view
    Image.fromarray(pixels).save(tmp_path / "photo.png", exif=exif)
    samples = open_calibration(tmp_path, image_input(20, 10, 3), preprocessing=PREPROCESSINGS["zero_one"])
    image = stacked(samples, "image")[0]
    assert image[:10].min() == 1
    assert image[10:].max() == 0


def test_large_jpegs_are_decoded_at_a_fraction_of_their_size(tmp_path):
    """Reduced while decoding, to no less than twice the model's size: the same image up to rounding."""
    y, x = np.mgrid[0:600, 0:800]
    pixels = np.stack([127 + 120 * np.sin(x / 50), 127 + 120 * np.cos(y / 60), (x + y) / 6], axis=-1).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.jpg", quality=95)
    with Image.open(tmp_path / "photo.jpg") as photo:
        wanted = np.asarray(photo.resize((40, 30), Image.Resampling.BILINEAR))
    samples = open_calibration(tmp_path, image_input(30, 40, 3), preprocessing=PREPROCESSINGS["raw"])
    image = stacked(samples, "image")[0]
    assert np.abs(image - wanted).max() <= 3  # of 255: two filters instead of one on a smooth image
    tracemalloc.start()
    list(samples())
    assert tracemalloc.get_traced_memory()[1] < 600 * 800  # a whole photo takes three times that
    tracemalloc.stop()


def test_memory_does_not_grow_with_the_number_of_files(tmp_path):
    size = 128  # one image as float32: 196 kB
    for i in range(40):
        Image.fromarray(np.full((size, size, 3), i, np.uint8)).save(tmp_path / f"{i}.png")
    samples = open_calibration(tmp_path, image_input(size, size, 3), preprocessing=PREPROCESSINGS["minus_one_one"])
    next(samples())  # loads the decoder
    tracemalloc.start()
    count = sum(1 for _ in samples())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 40
    assert peak < 8 * size * size * 3 * 4  # the image in a few forms at once (bytes, float, copies), not 40 of them


@pytest.mark.parametrize(
    ("arrays", "inputs", "message"),
    [
        ({"a": DATA, "b": DATA}, VECTOR, r"holds the arrays \['a', 'b'\], but the model's inputs are 'x' \(1, 3\)"),
        ({"y": DATA}, VECTOR, r"holds the arrays \['y'\]"),
        ({"x": DATA}, TWO, "lacks input 'ids'"),
        ({"x": DATA, "ids": np.zeros((9, 2), int)}, TWO, r"hold \{'x': 10, 'ids': 9\} samples"),
        ({"x": DATA[:0]}, VECTOR, r"hold \{'x': 0\} samples"),
        ({"x": DATA[:, :2]}, VECTOR, r"sample 0 of '.*data\.npz', input 'x' has shape \(2,\)"),
        ({"x": np.where(DATA == 13, np.nan, DATA)}, VECTOR, r"sample 4 of '.*data\.npz', input 'x' is nan"),
    ],
)
def test_bad_npz(tmp_path, arrays, inputs, message):
    np.savez(tmp_path / "data.npz", **arrays)
    with pytest.raises(DataError, match=message):
        list(open_calibration(tmp_path / "data.npz", inputs)())


def test_bad_paths(tmp_path: Path):
    with pytest.raises(DataError, match=r"absent' cannot be read: No such file"):
        open_calibration(tmp_path / "absent", VECTOR)
    with pytest.raises(DataError, match="holds neither arrays nor images"):
        open_calibration(tmp_path, VECTOR)
    (tmp_path / "data.npy").write_bytes(b"text")
    with pytest.raises(DataError, match=r"data\.npy' is no \.npy array"):
        open_calibration(tmp_path / "data.npy", VECTOR)
    with pytest.raises(DataError, match=r"data\.npy' is no \.npy array"):
        list(open_calibration(tmp_path, VECTOR)())
    (tmp_path / "image.png").write_bytes(b"text")
    with pytest.raises(DataError, match="both arrays and images"):
        open_calibration(tmp_path, VECTOR)


def test_images_that_do_not_fit(tmp_path, monkeypatch):
    (tmp_path / "broken.png").write_bytes(b"text")
    unit = PREPROCESSINGS["minus_one_one"]
    with pytest.raises(OptionError, match="--preprocess=minus_one_one"):
        open_calibration(tmp_path, image_input(4, 4, 3))
    for inputs in (image_input(4, 4, 2), VECTOR, TWO):
        with pytest.raises(DataError, match="no single image of 1, 3 or 4 channels"):
            open_calibration(tmp_path, inputs, preprocessing=unit)
    with pytest.raises(DataError, match=r"image '.*broken\.png' cannot be read"):
        list(open_calibration(tmp_path, image_input(4, 4, 3), preprocessing=unit)())
    Image.new("RGB", (4, 4)).save(tmp_path / "broken.png")
    with pytest.raises(OptionError, match="mean has 2 values, but the model's images have 3 channels"):
        list(open_calibration(tmp_path, image_input(4, 4, 3), preprocessing=Preprocessing((1, 2), (1,)))())
    with pytest.raises(OptionError, match="std not 0"):
        Preprocessing((0,), (0,))
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(MissingDependencyError, match="pip install pillow"):
        open_calibration(tmp_path, image_input(4, 4, 3), preprocessing=unit)


def test_preprocessing_has_names_that_cannot_be_misread():
    assert preprocessing_of("minus_one_one")(np.array([[[0, 255]]], np.uint8)).tolist() == [[[-1, 1]]]
    assert preprocessing_of("zero_one")(np.array([[[0, 255]]], np.uint8)).tolist() == [[[0, 1]]]
    assert preprocessing_of("raw")(np.array([[[0, 255]]], np.uint8)).tolist() == [[[0, 255]]]
    assert preprocessing_of("mean=123.7,116.3,103.5,std=58.4") == Preprocessing((123.7, 116.3, 103.5), (58.4,))
    for text in ("Raw", "mean=1", "std=1,mean=1", "mean=1,std=a", "mean=1e,std=2", "mean=,std=1", ""):
        with pytest.raises(OptionError, match="minus_one_one"):
            preprocessing_of(text)
    with pytest.raises(OptionError, match="std not 0"):
        preprocessing_of("mean=1,std=0")
    for former, name in (("unit", "minus_one_one"), ("none", "raw")):
        with pytest.warns(FutureWarning, match=f"is called '{name}' now"):
            assert preprocessing_of(former) == PREPROCESSINGS[name]


def test_suffixes_may_be_in_capitals(tmp_path):
    path = tmp_path / "DATA.NPZ"
    with path.open("wb") as file:
        np.savez(file, x=np.ones((2, 3), np.float32))
    assert len(list(open_calibration(path, VECTOR)())) == 2


def test_images_of_other_formats_and_sizes_are_refused(tmp_path, monkeypatch):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", format="TGA")  # Pillow would open it by what it holds
    samples = open_calibration(tmp_path, image_input(4, 4, 3), preprocessing=PREPROCESSINGS["raw"])
    with pytest.raises(DataError, match=r"a\.png' cannot be read: cannot identify"):
        list(samples())
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert len(list(samples())) == 1
    monkeypatch.setattr("tfmpq.data.images._MOST_PIXELS", 63)
    with pytest.raises(DataError, match="it has 8 x 8 pixels, more than 63"):
        list(samples())
    (tmp_path / "a.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read"):
        list(samples())
