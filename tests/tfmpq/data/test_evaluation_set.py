from __future__ import annotations

import numpy as np
import pytest

from converters.errors import DataError
from tfmpq.data.evaluation_set import Labelled, load_labelled

X = np.zeros((4, 3), np.float32)
Y = np.array([0, 1, 2, 1])


def test_reads_samples_and_labels(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=X, y=Y[:, None].astype(np.float64))  # a column of floats is a common way to hold labels
    data = load_labelled(path)
    assert data.labels is not None
    np.testing.assert_array_equal(data.labels, Y)
    assert data.labels.dtype == np.int64
    assert (list(data.inputs), data.count) == (["x"], 4)
    np.savez(path, left=X, right=X)
    unlabelled = load_labelled(path)
    assert unlabelled.labels is None
    assert sorted(unlabelled.inputs) == ["left", "right"]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y": Y}, "holds no samples"),
        ({}, "holds no samples"),
        ({"x": X[:0], "y": Y[:0]}, "array 'x' is empty"),
        ({"x": X, "y": Y[:3]}, "'y' has 3 labels for 4 samples"),
        ({"a": X, "b": X[:3]}, "array 'b' has 3 samples, the first array 4"),
        ({"x": np.where(np.arange(4)[:, None] == 2, np.nan, X), "y": Y}, "'x' has NaN .* first in sample 2"),
        ({"x": np.full((4, 3), "a"), "y": Y}, "no array of samples"),
        ({"x": np.float32(3), "y": Y}, "no array of samples"),
        ({"x": X, "y": np.eye(4)}, r"one-hot labels take argmax\(axis=1\)\. .*class_labels=False.*--metric"),
        ({"x": X, "y": Y + 0.5}, "must hold class numbers"),
        ({"x": X, "y": Y - 1}, "must hold class numbers"),
        ({"x": X, "y": np.full(4, np.nan)}, "must hold class numbers"),
        ({"x": X, "y": np.full(4, "cat")}, "must hold class numbers"),
        ({"x": np.array([None] * 4), "y": Y}, "is no .npz of plain arrays"),
    ],
)
def test_bad_data(arrays, message, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=f"data\\.npz'.*{message}"):
        load_labelled(path)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(12), "'y' has 12 labels for 4 samples"),  # all sequences in one
        (np.int32(3), "no array with one entry a sample"),
        (np.where(np.arange(4) == 1, np.nan, 0.0), "'y' has NaN or infinite values, first in sample 1"),
    ],
)
def test_labels_of_other_metrics(labels, message, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=X, y=labels)
    wanted = r"for perplexity they are the next tokens, integers of shape \(samples, length\); for cosine the outputs"
    with pytest.raises(DataError, match=f"data\\.npz'.*{message}: {wanted}"):
        load_labelled(path, class_labels=False)
    with pytest.raises(DataError) as caught:
        load_labelled(path)
    assert "perplexity they" not in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(DataError, match=r"absent\.npz' cannot be read"):
        load_labelled(tmp_path / "absent.npz")
    for content in (b"", b"no zip at all", b"PK\x03\x04cut"):
        (tmp_path / "text.npz").write_bytes(content)
        with pytest.raises(DataError, match=r"text\.npz' is no \.npz"):
            load_labelled(tmp_path / "text.npz")
    np.save(tmp_path / "single.npy", X)
    with pytest.raises(DataError, match=r"single\.npy' is no \.npz"):
        load_labelled(tmp_path / "single.npy")


def test_count_is_the_number_of_samples():
    assert Labelled({"x": X}, None).count == 4
