"""Which signature samples are for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from converters.errors import DataError
from converters.frontend.float_model import InputSpec
from tfmpq.data.entry_data import fitting_calibration, fitting_signature


def spec(name: str, *shape: int | None) -> InputSpec:
    return InputSpec(name, (), shape, np.dtype(np.int32))


INPUTS = {"prefill": [spec("ids", 1, 16)], "decode": [spec("ids", 1, 1)], "embed": [spec("text", 1, 1), spec("n", 1)]}


def test_the_first_signature_that_takes_the_first_sample():
    assert fitting_signature(np.zeros((5, 16), np.int32), INPUTS) == "prefill"
    assert fitting_signature(np.zeros((5, 1), np.int32), INPUTS) == "decode"
    assert fitting_signature([{"text": np.zeros((1, 1), np.int32), "n": np.zeros(1, np.int32)}], INPUTS) == "embed"


def test_samples_may_name_it():
    assert fitting_signature(lambda: iter([("decode", {"ids": np.zeros((1, 1), np.int32)})]), INPUTS) == "decode"


def test_data_that_fit_none_are_told_why():
    with pytest.raises(DataError, match=r"none of the signatures: 'prefill' takes 'ids' \(1, 16\).*'decode' takes"):
        fitting_signature(np.zeros((5, 7), np.int32), INPUTS)
    with pytest.raises(DataError, match="no samples"):
        fitting_signature([], INPUTS)


def test_files_are_opened_for_each():
    def open_data(specs: Any) -> Any:
        if len(specs) > 1:
            raise DataError("one array for each input")

        def samples() -> Iterator[np.ndarray]:
            return iter(np.zeros((3, 1, 1), np.int32))

        return samples

    order = {key: INPUTS[key] for key in ("embed", "prefill", "decode")}
    assert fitting_calibration(open_data, order) == "decode"
    with pytest.raises(DataError, match="one array for each input"):
        fitting_calibration(open_data, {"embed": INPUTS["embed"]})
