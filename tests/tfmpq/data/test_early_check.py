from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from converters.errors import DataError, OptionError
from tfmpq.data.early_check import check_calibration, check_evaluation
from tfmpq.data.preprocessing import PREPROCESSINGS

WRONG = np.zeros((6, 2, 3), np.float32)
WRONG[3, 1, 2] = np.nan


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_values_that_are_not_finite_are_found_where_they_are(tmp_path, suffix):
    path = tmp_path / f"data{suffix}"
    np.save(path, WRONG) if suffix == ".npy" else np.savez(path, x=WRONG, y=np.full(6, np.nan))
    with pytest.raises(DataError, match=r"sample 3 of '.*data.*'.* is nan at \(1, 2\)"):
        check_calibration(path)
    check_calibration(path, max_samples=3)  # 0, 2 and 4
    with pytest.raises(DataError, match="sample 3 of"):
        check_calibration(tmp_path)


def test_integers_and_good_data_pass(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((2, 3), np.uint8))
    np.save(tmp_path / "b.npy", np.zeros((), np.float32))
    check_calibration(tmp_path)


def test_images_need_to_be_there_and_preprocessing_to_be_said(tmp_path):
    with pytest.raises(DataError, match="neither arrays nor images"):
        check_calibration(tmp_path)
    (tmp_path / "cat").mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "cat" / "0.png")
    for check in (check_calibration, check_evaluation):
        with pytest.raises(OptionError, match="--preprocess=minus_one_one"):
            check(tmp_path)
        check(tmp_path, preprocessing=PREPROCESSINGS["raw"])


def test_evaluation_needs_labels(tmp_path):
    np.savez(tmp_path / "d.npz", x=np.zeros((2, 3)))
    with pytest.raises(DataError, match="has no labels"):
        check_evaluation(tmp_path / "d.npz")
