"""What small networks come out at: bits are spent where they save bytes, and nowhere else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tfmpq
from tfmpq.result import ConversionResult


def converted(model: Any, data: np.ndarray, **options: Any) -> tuple[ConversionResult, float, float, float]:
    """The result, its share of stock's bytes, and the output SQNR of stock and of the file in dB."""
    budget = tfmpq.ExtraBits(0.10)  # what comes of the same share of bytes
    result = tfmpq.convert(model, data, budget=budget, progress=False, validate=False, **options)
    proxies = result.report.proxies
    assert proxies is not None
    share = len(result.tflite_model) / len(result.stock_model)
    return result, share, proxies.stock.sqnr_db[0], proxies.file.sqnr_db[0]


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


@pytest.fixture(autouse=True)
def _seed() -> None:
    import keras

    keras.utils.set_random_seed(0)


def test_a_first_layer_with_nearly_all_weights_is_not_spared():
    import keras

    k = keras.layers
    model: Any = keras.Sequential(
        [k.Input((28, 28)), k.Flatten(), k.Dense(128, activation="relu"), k.Dense(10, activation="softmax")]
    )
    rng = np.random.default_rng(0)
    centres, labels = rng.normal(size=(10, 28, 28)), rng.integers(0, 10, 1000)
    data = (centres[labels] / 4 + rng.normal(size=(1000, 28, 28))).astype(np.float32)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(data, labels, epochs=5, verbose=0)
    _, share, _, ours = converted(model, data[:200])
    assert share < 0.6
    assert ours > 33  # dB on 25 samples kept aside; what such a network is to come out at


def test_branches_of_an_encoder_without_a_head_are_not_spared():
    import keras

    k = keras.layers
    given = k.Input((12, 64))
    h = k.Dense(64)(given)
    for block in range(3):
        h = h + k.Dense(64, name=f"down{block}")(k.Dense(256, activation="relu")(k.LayerNormalization()(h)))
    result, share, stock, ours = converted(keras.Model(given, k.GlobalAveragePooling1D()(h)), normal(64, 12, 64))
    bits = {layer.name: layer.bits for layer in result.report.layers}
    assert [bits[f"down{block}"] for block in range(3)] == [4, 4, 4]
    assert share < 0.76
    assert ours > stock - 4  # dB, of 4-bit weights


def test_rows_of_an_odd_number_of_inputs_keep_their_bits():
    import keras

    k = keras.layers
    dense = [k.Dense(n, activation="relu") for n in (87, 128)]
    result, *_ = converted(keras.Sequential([k.Input((40,)), *dense, k.Dense(5)]), normal(64, 40))
    assert [layer.bits for layer in result.report.layers] == [4, 8, 8]


def test_convolutions_lose_bits_only_for_a_download():
    import keras

    k = keras.layers
    convolutions = [k.Conv2D(64, 3, padding="same", activation="relu") for _ in range(3)]
    model = keras.Sequential([k.Input((12, 12, 3)), *convolutions, k.GlobalAveragePooling2D(), k.Dense(10)])
    data = normal(40, 12, 12, 3).cumsum(1) / 5
    file, share, stock, ours = converted(model, data)
    assert ours > stock - 0.5  # rounding with feedback is no worse than stock's
    assert any("lowering='compact'" in note for note in file.report.notes)
    download, other, _, low = converted(model, data, optimize="download")
    assert other == pytest.approx(share, abs=0.01)
    assert download.report.file.deflated < 0.75 * file.report.file.deflated
    assert low < ours
    assert any("optimize='download'" in note for note in download.report.notes)
