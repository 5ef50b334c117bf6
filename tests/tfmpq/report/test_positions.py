"""Figures of layers that are computed at positions that do not count: filling behind a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfmpq

LENGTH, ROWS, WIDTH, SHOWN = 8, 64, 32, 3  # weights of 1,024 numbers and more: smaller ones stay in float


def _network() -> Any:
    """The mean over the tokens that a mask shows, of a table's rows and a dense layer at each of them."""
    import keras
    from keras import layers, ops

    keras.utils.set_random_seed(4)
    ids, mask = keras.Input((LENGTH,), dtype="int32", name="ids"), keras.Input((LENGTH, 1), name="mask")
    large: Any = _rows
    rows = layers.Embedding(ROWS, WIDTH, embeddings_initializer=large, name="token")(ids)
    x = layers.Dense(WIDTH, activation="tanh", name="each")(rows)
    return keras.Model([ids, mask], layers.Dense(WIDTH, name="head")(ops.sum(x * mask, axis=1)))


def _rows(shape: Any, dtype: Any = None) -> np.ndarray:
    """The second half of a table is larger by far, and its rows are coarser: 0, 10, -10."""
    rng = np.random.default_rng(0)
    small, large = rng.normal(size=(ROWS // 2, WIDTH)), 10.0 * rng.integers(-1, 2, (ROWS // 2, WIDTH))
    return np.concatenate([small, large]).astype(np.float32)


def _samples(filling: int) -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    mask = (np.arange(LENGTH) < SHOWN).astype(np.float32).reshape(1, LENGTH, 1)
    ids = np.where(mask[0, :, 0] > 0, rng.integers(0, ROWS // 2, (40, 1, LENGTH)), filling).astype(np.int32)
    return [{"ids": one, "mask": mask} for one in ids]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("activations", ["float", "int8"])
def test_filling_has_no_part_in_a_layers_figure(activations: Any):
    def layers(filling: int) -> dict[str, float]:
        options: dict[str, Any] = {"bits": 4, "activations": activations, "budget": tfmpq.ExtraBits(0.10)}
        result = tfmpq.convert(_network(), lambda: iter(_samples(filling)), progress=False, **options)
        return {layer.name: layer.sqnr_db for layer in result.report.layers}

    found, other = layers(0), layers(ROWS - 1)
    assert set(found) == ({"token", "each", "head"} if activations == "float" else {"each", "head"})
    # Rows are chosen without the filling as well, and measured in float64; int8 ranges do depend on it.
    assert found == pytest.approx(other, abs=1e-6 if activations == "float" else 0.3)
    assert all(10 < value < 60 for value in found.values())  # of 4-bit rows, and of int8 ones
