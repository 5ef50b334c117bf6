import gc
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from converters.errors import DataError
from converters.frontend.float_model import InputSpec
from tfmpq.data import representative
from tfmpq.data.augmentation import image_views
from tfmpq.data.representative import RepresentativeData, check_samples

IMAGE = InputSpec("image", ("input_layer",), (1, 4, 4, 3), np.dtype(np.float32))
SCALE = InputSpec("scale", ("k",), (1, 2), np.dtype(np.float32))
TOKENS = InputSpec("tokens", (), (1, 5), np.dtype(np.int32))
OPEN_BATCH = InputSpec("image", ("input_layer",), (None, 4, 4, 3), np.dtype(np.float32))
BATCH_4 = InputSpec("image", (), (4, 2), np.dtype(np.float32))

IMAGES = np.arange(6 * 4 * 4 * 3, dtype=np.float32).reshape(6, 4, 4, 3)
SCALES = np.arange(12, dtype=np.float32).reshape(6, 2)


def stack(data: RepresentativeData, name: str = "image") -> np.ndarray:
    return np.concatenate([sample[name] for sample in data()])


def generator_function() -> Iterator[list[np.ndarray]]:
    for image in IMAGES:
        yield [image[None]]


class Indexed:
    def __len__(self) -> int:
        return len(IMAGES)

    def __getitem__(self, index: int) -> np.ndarray:  # without end, as a Keras PyDataset
        return IMAGES[index % len(IMAGES)]


ACCEPTED = {
    "generator function": generator_function,
    "callable returning a list": lambda: list(IMAGES),
    "callable returning an array": lambda: IMAGES,
    "array": IMAGES,
    "array of single-image batches": IMAGES[:, None],
    "list of arrays": list(IMAGES),
    "tuple of batches": (IMAGES[:4], IMAGES[4:]),
    "list of lists": [[image] for image in IMAGES],
    "list of tuples": [(image[None],) for image in IMAGES],
    "dicts by name": [{"image": image} for image in IMAGES],
    "dicts by alias": [{"input_layer": image} for image in IMAGES],
    "one dict of arrays": {"image": IMAGES},
    "one dict of stacked batches": {"image": IMAGES[:, None]},
    "signature key and dict": [("serving_default", {"image": image}) for image in IMAGES],
    "object array": np.array([*(image for image in IMAGES), None], dtype=object)[:-1],
    "lists of numbers in a dict": [{"image": image.tolist()} for image in IMAGES],
    "indexed without iterator": Indexed(),
    "integers": IMAGES.astype(np.uint16),
    "other byte order": IMAGES.astype(">f4"),
}


@pytest.mark.parametrize("form", ACCEPTED, ids=str)
@pytest.mark.parametrize("spec", [IMAGE, OPEN_BATCH], ids=["batch 1", "open batch"])
def test_every_form_gives_the_same_samples_in_every_pass(form: str, spec: InputSpec):
    data = check_samples(ACCEPTED[form], [spec])
    assert data.count == 6
    for _ in range(2):
        samples = list(data())
        assert [set(s) for s in samples] == [{"image"}] * 6
        assert all(s["image"].shape == (1, 4, 4, 3) and s["image"].dtype == np.dtype("=f4") for s in samples)
        np.testing.assert_array_equal(stack(data), IMAGES)


@pytest.mark.parametrize("batch", [None, 1, 4])
def test_tf_data_batched_or_not(batch: int | None):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices(IMAGES)
    data = check_samples(dataset if batch is None else dataset.batch(batch), [IMAGE])
    assert data.count == 6
    np.testing.assert_array_equal(stack(data), IMAGES)

    with pytest.raises(DataError, match=r"repeats for ever.*take\(100\)"):
        check_samples(dataset.repeat(), [IMAGE])
    labelled = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(6)))
    data = check_samples(labelled if batch is None else labelled.batch(batch), [IMAGE])
    np.testing.assert_array_equal(stack(data), IMAGES)
    assert "labels" in data.notes[0]
    two = tf.data.Dataset.from_tensor_slices({"k": SCALES, "image": IMAGES}).batch(5)
    np.testing.assert_array_equal(stack(check_samples(two, [IMAGE, SCALE]), "scale"), SCALES)
    ragged = tf.data.Dataset.from_tensor_slices(tf.ragged.constant([[1.0], [2.0, 3.0]])).batch(2)
    with pytest.raises(DataError, match=r"sample 0 .*'scale'"):
        check_samples(ragged, [SCALE])


LABELLED = {
    "tuples": [(image, 3) for image in IMAGES],
    "lists": [[image, np.int64(3)] for image in IMAGES],
    "one-hot": [(image, np.eye(4)[1]) for image in IMAGES],
    "weights": [(image, 3, 0.5) for image in IMAGES],
    "batches": [(IMAGES[:4], np.zeros(4)), (IMAGES[4:], np.zeros(2))],
    "dicts": [({"image": image}, 1) for image in IMAGES],
    "only some": [IMAGES[0], *((image, 3) for image in IMAGES[1:])],
}


@pytest.mark.parametrize("form", LABELLED, ids=str)
def test_labels_beside_the_one_input_are_dropped_and_noted(form: str):
    data = check_samples(LABELLED[form], [IMAGE])
    np.testing.assert_array_equal(stack(data), IMAGES)
    assert data.notes == ("rep_dataset holds labels beside the inputs; they were dropped",)
    assert check_samples(IMAGES, [IMAGE]).notes == ()


def test_the_second_of_two_inputs_is_no_label():
    data = check_samples([(image, scale) for image, scale in zip(IMAGES, SCALES, strict=True)], [IMAGE, SCALE])
    np.testing.assert_array_equal(stack(data, "scale"), SCALES)
    assert data.notes == ()
    with pytest.raises(DataError, match=r"tuple of 3 values.*2 input"):
        check_samples([(IMAGES[0], SCALES[0], 1)], [IMAGE, SCALE])


@pytest.mark.parametrize(
    "items",
    [
        list(zip(IMAGES, SCALES, strict=True)),
        [[image[None], scale[None]] for image, scale in zip(IMAGES, SCALES, strict=True)],
        [(IMAGES, SCALES)],
        [{"k": SCALES, "image": IMAGES}],
        {"scale": SCALES, "image": IMAGES},
    ],
    ids=["tuples", "lists", "one batch", "dict batch", "dict of arrays"],
)
def test_two_inputs_follow_the_model_or_their_names(items: object):
    data = check_samples(items, [IMAGE, SCALE])
    assert data.count == 6
    np.testing.assert_array_equal(stack(data, "image"), IMAGES)
    np.testing.assert_array_equal(stack(data, "scale"), SCALES)


def test_a_fixed_batch_is_one_sample():
    data = check_samples(np.zeros((3, 4, 2), np.float32), [BATCH_4])
    assert data.count == 3
    assert next(data())["image"].shape == (4, 2)
    with pytest.raises(DataError, match=r"shape \(2,\).*takes \(4, 2\)"):
        check_samples([np.zeros(2, np.float32)], [BATCH_4])


def bad_image(index: int, value: object) -> list[object]:
    items: list[object] = list(IMAGES)
    items[index] = value
    return items


NOT_FINITE = IMAGES[0].copy()
NOT_FINITE[1, 2, 0] = np.nan

REFUSED = {
    "NaN": (bad_image(3, NOT_FINITE), [IMAGE], r"sample 3 .*'image' is nan at \(1, 2, 0\)"),
    "overflow to infinity": (bad_image(1, IMAGES[0].astype(np.float64) + 1e300), [IMAGE], r"sample 1 .* is inf"),
    "size": (bad_image(2, IMAGES[0, :3]), [IMAGE], r"sample 2 .*'image' has shape \(3, 4, 3\).*\(1, 4, 4, 3\)"),
    "second input": ([(IMAGES[0], SCALES[0, :1])], [IMAGE, SCALE], r"sample 0 .*'scale' has shape \(1,\)"),
    "None": (bad_image(5, None), [IMAGE], r"sample 5 .*'image' is None"),
    "strings": ([np.array(["a", "b"])], [SCALE], r"sample 0 .*'scale' .*<U1"),
    "ragged": ([{"scale": [[1.0], [2.0, 3.0]]}], [SCALE], r"sample 0 .*'scale'.*cannot become an array"),
    "complex": ([SCALES[0] * 1j], [SCALE], "complex"),
    "float for int": ([np.zeros(5, np.float32)], [TOKENS], r"'tokens' has values of type float32.*astype\('int32'\)"),
    "int beyond int32": ([np.full(5, 2**40)], [TOKENS], "beyond int32"),
    "int beyond float32": ([np.full(2, 2**24 + 1)], [SCALE], r"beyond 2\^24"),
    "targets of the input's shape": ([(IMAGES[0], IMAGES[1])], [IMAGE], "labels.*lambda x, y: x"),
    "two batches": ([[IMAGES[:2], IMAGES[2:3]]], [IMAGE], "labels"),
    "labels beside tuple": ([((IMAGES[0], SCALES[0]), 1)], [IMAGE, SCALE], "labels"),
    "labels beside dict": ([({"image": IMAGES[0], "scale": SCALES[0]}, 1)], [IMAGE, SCALE], "labels"),
    "too many values": ([[1.0, 2.0, 3.0, 4.0]], [SCALE], r"list of 4 values; the model has 1 input.*'scale' \(1, 2\)"),
    "one value for two": ([IMAGES[0]], [IMAGE, SCALE], r"one value.*2 inputs.*'image'"),
    "array for two": (IMAGES, [IMAGE, SCALE], r"rep_dataset is one array.*2 inputs"),
    "unknown name": ([{"img": IMAGES[0]}], [IMAGE], r"input 'img', which the model has not.*'image'"),
    "missing name": ([{"image": IMAGES[0]}], [IMAGE, SCALE], r"lacks input 'scale'"),
    "name and alias": ([{"image": IMAGES[0], "input_layer": IMAGES[0]}], [IMAGE], "'image' twice"),
    "uneven batches": ([(IMAGES, SCALES[:4])], [IMAGE, SCALE], r"different numbers of samples.*6.*4"),
    "single image": (IMAGES[0], [IMAGE], r"shape \(4, 4, 3\).*\(N, 4, 4, 3\).*array\[None\]"),
    "empty list": ([], [IMAGE], "no samples"),
    "empty array": (IMAGES[:0], [IMAGE], "no samples"),
    "empty generator": (lambda: iter(()), [IMAGE], "no samples"),
    "generator object": (generator_function(), [IMAGE], r"generator.*only once.*not rep_dataset=samples\(\)"),
    "map object": (map(np.asarray, IMAGES), [IMAGE], "map.*only once"),
    "path": ("images/", [IMAGE], "'images/', no data"),
    "nothing": (None, [IMAGE], "rep_dataset is None"),
    "function returning nothing": (lambda: None, [IMAGE], r"what rep_dataset\(\) returns is None"),
    "number": (7, [IMAGE], "type int, which cannot be iterated"),
    "arguments": (lambda path: iter(path), [IMAGE], r"without arguments.*'path'.*lambda"),
}


@pytest.mark.parametrize("case", REFUSED, ids=str)
def test_refused(case: str):
    rep_dataset, inputs, message = REFUSED[case]
    with pytest.raises(DataError, match=message):
        check_samples(rep_dataset, inputs)


def test_casts_that_lose_nothing_that_matters():
    tokens = check_samples([np.arange(5, dtype=np.int64), np.ones(5, bool)], [TOKENS])
    assert [s["tokens"].dtype for s in tokens()] == [np.int32, np.int32]
    np.testing.assert_array_equal(next(tokens())["tokens"], [[0, 1, 2, 3, 4]])
    third = next(check_samples([np.full(2, 1 / 3)], [SCALE])())["scale"]
    np.testing.assert_array_equal(third, np.full((1, 2), np.float32(1 / 3)))
    np.testing.assert_array_equal(next(check_samples([np.full(2, 2**24)], [SCALE])())["scale"], [[2.0**24] * 2])


def test_an_iterator_made_outside_is_found_at_the_second_call():
    shared = generator_function()
    with pytest.raises(DataError, match="only at the first call"):
        check_samples(lambda: shared, [IMAGE])
    exhausted = generator_function()
    with pytest.raises(DataError, match="only at the first call"):
        check_samples(lambda: (item for item in exhausted), [IMAGE])


def test_a_later_pass_of_another_length_is_an_error():
    lengths = iter([6, 6, 4, 6])
    data = check_samples(lambda: iter(IMAGES[: next(lengths)]), [IMAGE])
    with pytest.raises(DataError, match="6 samples at first and 4 in a later pass"):
        list(data())
    assert len(list(data())) == 6


def test_errors_of_the_callers_code_say_where():
    def broken() -> Iterator[np.ndarray]:
        yield IMAGES[0]
        raise OSError("disk gone")

    with pytest.raises(DataError, match="OSError at sample 1: disk gone") as caught:
        check_samples(broken, [IMAGE])
    assert isinstance(caught.value.__cause__, OSError)


def test_a_generator_without_end_is_stopped(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(representative, "MAX_SAMPLES", 10)

    def forever() -> Iterator[np.ndarray]:
        while True:
            yield IMAGES[0]

    with pytest.raises(DataError, match="more than 10 samples and does not end"):
        check_samples(forever, [IMAGE])


def test_samples_are_streamed():
    references: list[weakref.ref[np.ndarray]] = []
    most = 0

    def samples() -> Iterator[np.ndarray]:
        nonlocal most
        for _ in range(8):
            image = np.zeros((1, 4, 4, 3), np.float32)
            references.append(weakref.ref(image))
            yield image
            del image
            gc.collect()
            most = max(most, sum(r() is not None for r in references))

    data = check_samples(samples, [IMAGE])
    for _ in data():
        pass
    # The item in hand may still be referenced while the next one is made, never more.
    assert most <= 1


def test_samples_are_copies_of_a_reused_buffer():
    buffer = np.zeros((1, 2), np.float32)

    def samples() -> Iterator[np.ndarray]:
        for value in range(3):
            buffer[:] = value
            yield buffer

    kept = [sample["scale"][0, 0] for sample in list(check_samples(samples, [SCALE])())]
    assert kept == [0, 1, 2]


def test_originals_are_the_samples_that_are_no_views():
    plain = check_samples(IMAGES, [IMAGE])
    assert (plain.views, plain.images) == (1, 6)
    assert len(list(plain.originals())) == 6
    opened = 0

    def images() -> Iterator[np.ndarray]:
        nonlocal opened
        opened += 1
        yield from IMAGES

    data = check_samples(image_views(images, 3), [IMAGE])
    assert (data.views, data.images, data.count) == (3, 6, 18)
    before = opened
    originals = np.concatenate([sample["image"] for sample in data.originals()])
    np.testing.assert_array_equal(originals, IMAGES)
    np.testing.assert_array_equal(stack(data)[:6], IMAGES)
    assert opened == before + 1 + 3  # one for the originals, one for each view of the whole pass
