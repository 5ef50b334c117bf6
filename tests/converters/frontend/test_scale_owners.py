"""Who has whose scale, against the scales of stock's files."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.frontend.scale_owners import scale_owners
from converters.frontend.tf_converter import measured_twin
from converters.tflite.reader import load

keras = pytest.importorskip("keras")


def owners_of(model: Any, shape: tuple[int, ...]) -> tuple[dict[str, str], dict[str, float]]:
    """Owners, and scales of the stock file, by tensor name without the model's name."""
    loaded = load_model(model)
    rows = np.random.default_rng(0).normal(size=(4, 1, *shape)).astype(np.float32)
    content, measured = measured_twin(loaded, lambda: iter([{"x": row} for row in rows]))
    found = scale_owners(loaded, lambda: iter([{"x": rows[0]}]), measured)
    scaled = (t for t in load(content).graph.tensors() if t.data is None and t.quantization is not None)
    return found, {t.name: t.scale for t in scaled}


def part(names: Any, piece: str) -> str:
    (name,) = (n for n in names if piece in n)
    return name


def test_joins_own_the_scales_of_what_they_join():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((8, 8, 4), name="x")
    plain = layers.Conv2D(4, 3, padding="same", name="plain")(x)
    bounded = layers.Conv2D(4, 3, padding="same", activation="sigmoid", name="bounded")(x)
    y = layers.MaxPooling2D(2, name="pool")(layers.Concatenate(name="join")([plain, bounded]))
    model = keras.Model(x, layers.Softmax(name="soft")(layers.Conv2D(6, 3, name="after")(y)), name="net")
    found, scales = owners_of(model, (8, 8, 4))
    join = part(scales, "/join_1/")
    group = {part(found, piece) for piece in ("/plain_1/", "/join_1/", "/pool_1/")}
    assert {name for name, owner in found.items() if owner == join} == group
    for name in ("serving_default_x", "/after_1/"):
        assert found[part(found, name)] == part(found, name)
    assert not any("Sigmoid" in name or "StatefulPartitionedCall" in name for name in found)  # fixed scales
    assert all(scales[name] == scales[owner] for name, owner in found.items())


def test_inputs_may_have_the_scale_of_a_join():
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    joined = keras.layers.Concatenate(name="join")([x, keras.layers.Dense(8, name="first")(x)])
    found, scales = owners_of(keras.Model(x, keras.layers.Dense(3, name="last")(joined), name="net"), (16,))
    assert found[part(found, "serving_default_x")] == part(found, "/join_1/")
    assert all(scales[name] == scales[owner] for name, owner in found.items())


def test_without_ranges_nothing_is_owned():
    x = keras.Input((4,), name="x")
    assert scale_owners(load_model(keras.Model(x, keras.layers.Dense(2)(x))), lambda: iter([]), []) == {}
