"""Data of a training: arrays, images and datasets, split and checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from converters.errors import DataError, OptionError
from tests.support.keras_nets import data, separable
from tests.support.shards import npy, write_tar
from tfmpq.data.preprocessing import PREPROCESSINGS
from tfmpq.training.course_data import CourseData, Reading, read_course_data
from tfmpq.training.examples import error_line

LABELS = np.arange(32) % 4
PIPELINE = """
import numpy as np
import tensorflow as tf

X, Y = np.load(__file__.replace("pipeline.py", "x.npy")), np.arange(32) % 4
DATA = tf.data.Dataset.from_tensor_slices((X, Y))
SHAPES = tf.TensorSpec((8, 8, 3)), tf.TensorSpec((), tf.int64)

def samples():
    return DATA.shuffle(32)

def batches():
    return tf.data.Dataset.from_tensor_slices(({"image": X}, Y[:, None])).batch(10)

def generator():
    return tf.data.Dataset.from_generator(lambda: iter(zip(X, Y)), output_signature=SHAPES)

def pairs():
    yield from zip(X, Y)

def unlabelled():
    return DATA.map(lambda x, y: x)

def number():
    return 3

def empty():
    return DATA.take(0)

def endless():
    return DATA.repeat()

def cut():
    return DATA.map(lambda x, y: (x[:4], y))

def high():
    return DATA.map(lambda x, y: (x, y + 1))

def changing(*, number=lambda y: y, length=32):
    passes = []
    def items():
        passes.append(1)
        later = len(passes) > 2  # one to see what labels are, and one to check
        yield from zip(X, map(number, Y) if later else Y) if length == 32 or not later else zip(X[:length], Y)
    floats = SHAPES[0], tf.TensorSpec((), tf.float32)
    return tf.data.Dataset.from_generator(items, output_signature=floats)

def higher():
    return changing(number=lambda y: y + 4)

def cut_off():
    return changing(number=lambda y: y + 0.5)

def shorter():
    return changing(length=5)

def nothing():
    pass

def weighed():
    return DATA.map(lambda x, y: (x, y, 1.0))

def broken():
    return DATA.map(lambda x, y: (tf.where(tf.reduce_all(x == X[17]), np.nan, x), y)).batch(5)

def late():
    def items():
        yield X[0], 0
        raise KeyError("late")
    return tf.data.Dataset.from_generator(items, output_signature=SHAPES)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    x = data(separable())
    np.savez(tmp_path / "labelled.npz", x=x, y=LABELS)
    np.savez(tmp_path / "unlabelled.npz", x=x)
    np.save(tmp_path / "x.npy", x)
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    return tmp_path


def read(path: Path | str, validation: str | float = 0.25, **how: Any) -> CourseData:
    return read_course_data(separable(), str(path), validation, Reading(8, **how))


def rows(found: CourseData, epochs: int = 1) -> list[bytes]:
    return [sample.tobytes() for batch in found.examples.batches(epochs).as_numpy_iterator() for sample in batch[0][0]]


def test_arrays_are_split_by_chance_and_shuffled_anew(folder: Path):
    found = read(folder / "labelled.npz")
    assert (found.examples.count, found.examples.steps, found.examples.labelled) == (24, 3, True)
    assert found.objective.kind == "logits"
    assert found.held is not None
    assert found.held.count == 8
    assert found.measured_on == f"8 samples held back from '{folder / 'labelled.npz'}'"
    of = {sample.tobytes(): label for sample, label in zip(data(separable()), LABELS, strict=True)}
    both = rows(found, 2)
    first, second = both[:24], both[24:]
    assert first != second
    assert sorted(first) == sorted(second)
    held = [sample.tobytes() for sample in found.held.inputs["image"]]
    assert sorted([*first, *held]) == sorted(of)
    assert found.held.labels is not None
    assert [of[sample] for sample in held] == found.held.labels.tolist()
    for batch in found.examples.batches(1).as_numpy_iterator():
        assert [of[sample.tobytes()] for sample in batch[0][0]] == batch[1].tolist()
    keras.utils.set_random_seed(5)  # which changes nothing
    assert rows(read(folder / "labelled.npz"), 2) == both
    assert rows(read(folder / "labelled.npz", seed=1)) != first


def test_without_labels_the_float_model_gives_those_to_measure_by(folder: Path):
    found = read(folder / "unlabelled.npz", outputs="logits")
    assert not found.examples.labelled
    assert found.agreement
    assert found.held is not None
    outputs = np.asarray(separable()(found.held.inputs["image"]))
    np.testing.assert_array_equal(found.held.labels, outputs.argmax(axis=-1))


def test_shards_are_read_anew_in_every_epoch(folder: Path):
    x = data(separable())
    for number in range(2):  # sorted by class, as files often are
        chosen = [i for i in range(32) if LABELS[i] // 2 == number]
        samples = [{"npy": npy(x[i]), "cls": str(LABELS[i]).encode()} for i in chosen]
        write_tar(folder / f"{number}.tar", samples)
        write_tar(folder / f"bare{number}.tar", [{"npy": sample["npy"]} for sample in samples])
    pattern = f"{folder}/[01].tar"
    found = read(pattern)
    assert (found.examples.count, found.examples.steps, found.examples.labelled) == (24, 3, True)
    assert found.held is not None
    assert found.measured_on == f"8 samples held back from '{pattern}'"
    of = {sample.tobytes(): label for sample, label in zip(x, LABELS, strict=True)}
    both = rows(found, 2)
    assert both[:24] != both[24:]
    held = [sample.tobytes() for sample in found.held.inputs["image"][np.arange(8)]]
    assert sorted([*both[:24], *held]) == sorted([*both[24:], *held]) == sorted(of)
    assert [of[sample] for sample in held] == np.asarray(found.held.labels).tolist()
    for batch in found.examples.batches(1).as_numpy_iterator():
        assert [of[sample.tobytes()] for sample in batch[0][0]] == batch[1].tolist()
    assert {sample[0].tobytes() for sample in found.examples.samples} == set(both)
    assert rows(read(pattern), 2) == both
    assert rows(read(pattern, seed=1)) != both[:24]
    bare = read(f"{folder}/bare*.tar", outputs="logits")
    assert (bare.examples.labelled, bare.agreement) == (False, True)
    assert read(f"{folder}/pipeline.py:pairs", f"{folder}/0.tar").examples.count == 32


@pytest.mark.parametrize(("name", "steps"), [("samples", 4), ("batches", 4), ("generator", 4)])
def test_datasets_are_read_as_they_are(folder: Path, name: str, steps: int):
    found = read(f"{folder}/pipeline.py:{name}", str(folder / "labelled.npz"))
    assert (found.examples.count, found.examples.steps) == (32, steps)
    assert sorted(rows(found)) == sorted(sample.tobytes() for sample in data(separable()))
    assert int(found.examples.batches(1).cardinality()) == steps
    assert all(batch[1].ndim == 1 for batch in found.examples.batches(1).as_numpy_iterator())
    assert len(found.examples.samples) == 32
    assert found.held is not None
    assert found.held.count == 32


def test_a_dataset_can_be_measured_on(folder: Path):
    found = read(folder / "labelled.npz", f"{folder}/pipeline.py:batches")
    assert found.examples.count == 32
    assert found.held is not None
    np.testing.assert_array_equal(found.held.labels, LABELS)
    assert read(f"{folder}/pipeline.py:unlabelled", 0, outputs="logits").held is None


def test_images_are_read_as_they_are_needed(folder: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
    for number, image in enumerate(pixels):
        path = folder / "photos" / str(number % 4) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
        (folder / "flat").mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / "flat" / f"{number}.png")
    found = read(folder / "photos", preprocessing=PREPROCESSINGS["raw"])
    of = {image.astype(np.float32).tobytes(): number % 4 for number, image in enumerate(pixels)}
    batches = list(found.examples.batches(1).as_numpy_iterator())
    assert [of[sample.tobytes()] for batch in batches for sample in batch[0][0]] == [n for b in batches for n in b[1]]
    assert found.held is not None
    assert found.held.count == 3
    flat = read(folder / "flat", preprocessing=PREPROCESSINGS["raw"], outputs="logits")
    assert not flat.examples.labelled
    assert flat.examples.count == 9
    globbed = read(folder / "flat" / "*.png", preprocessing=PREPROCESSINGS["raw"], outputs="logits")
    assert globbed.examples.count == 9


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("number", "gives int, no tf.data.Dataset"),
        ("empty", "gives no samples"),
        ("endless", r"gives a dataset without an end. Take .repeat\(\) off it"),
        ("cut", r"has samples of shape \(4, 8, 3\) for input 'image', which takes \(8, 8, 3\)"),
        ("high", "has the label 4; the model has 4 classes"),
        ("weighed", "gives weights of samples beside them, which are not taken"),
        ("broken", "batch 4 holds NaN or infinity"),
        ("late", "raised an error at batch 1: KeyError: 'late'"),
    ],
)
def test_datasets_that_cannot_be_trained_on(folder: Path, name: str, message: str):
    with pytest.raises(DataError, match=rf"pipeline\.py:{name}'.* ?{message}"):
        read(f"{folder}/pipeline.py:{name}", 0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("higher", "gives labels that are no class numbers in a later pass than its first"),
        ("cut_off", "gives labels that are no class numbers in a later pass than its first"),
        ("shorter", "dataset was expected to contain 4 elements but contained only 1"),
    ],
)
def test_datasets_that_change_after_they_were_checked(folder: Path, name: str, message: str):
    batches = read(f"{folder}/pipeline.py:{name}", 0, outputs="logits").examples.batches(2)
    with pytest.raises(tf.errors.OpError) as raised:
        list(batches)
    assert message in error_line(raised.value)


@pytest.mark.parametrize(
    "text",
    [
        "Graph execution error:\n\nDetected at node a defined at (most recent call last):\n  File x, line 3\n\n{}",
        "Detected at node a defined at (most recent):\n<stack traces unavailable>\n{}\n\t [[{{{{node a}}}}]]",
        "Graph execution error:\n\n2 root error(s) found.\n  (0) {}\n\t [[{{{{node a}}}}]]\n0 successful operations.",
        "{}\nTraceback (most recent call last):\n\n  File 'x.py', line 3\n\nKeyError: 1",
    ],
)
def test_what_tensorflow_says_is_found_among_places(text: str):
    said = "Received a label value of 9 which is outside the valid range of [0, 4)."
    assert error_line(tf.errors.InvalidArgumentError(None, None, text.format(said))) == said


def test_data_that_do_not_fit(folder: Path):
    with pytest.raises(OptionError, match=r"no part of it can be held back. Give --validation"):
        read(f"{folder}/pipeline.py:samples", 0.1)
    with pytest.raises(DataError, match=r"gives NoneType, no tf\.data\.Dataset"):
        read(f"{folder}/pipeline.py:nothing", 0.1)
    x = data(separable())
    np.savez(folder / "wide.npz", x=x.astype(np.float64) * 1e200, y=LABELS)
    with pytest.raises(DataError, match=r"wide\.npz' holds NaN, infinity or values beyond float32 for input 'image'"):
        read(folder / "wide.npz")
    np.savez(folder / "high.npz", x=x, y=LABELS + 1)
    with pytest.raises(DataError, match=r"has the label 4 in sample \d+; the model has 4 classes"):
        read(folder / "high.npz")
    np.savez(folder / "two.npz", x=x, z=x, y=LABELS)
    with pytest.raises(DataError, match=r"holds the arrays \['x', 'z'\], but the model's inputs are 'image'"):
        read(folder / "two.npz")
    np.savez(folder / "one.npz", x=x[:1], y=LABELS[:1])
    with pytest.raises(DataError, match=r"holds 1 sample\(s\); there must be some to train on"):
        read(folder / "one.npz")
    np.savez(folder / "nan.npz", x=np.where(x > 0.99, np.nan, x), y=LABELS)
    with pytest.raises(DataError, match=r"has NaN or infinite values, first in sample"):
        read(folder / "nan.npz")
