"""Which batch normalization belongs to which layer."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from tests.support.keras_nets import NETS
from tfmpq.keras import SimulationSettings, annotate
from tfmpq.keras.folding import is_factor_of, norms_behind, row_factors
from tfmpq.keras.source import find_wrappers


def pairs(model: Any) -> dict[str, str]:
    annotated = annotate(model, SimulationSettings())
    norms = norms_behind(annotated)
    return {path: norms[id(layer)].name for path, layer in find_wrappers(annotated).items() if id(layer) in norms}


def test_normalizations_are_found():
    assert pairs(NETS["separable"]()) == {name: f"{name}_bn" for name in ("stem", "depthwise", "project")}
    assert pairs(NETS["shared"]()) == {"block/conv": "bn"}
    assert pairs(NETS["sequence"]()) == {"conv": "bn"}
    assert pairs(NETS["transposed"]()) == {"up": "up_bn"}


def test_what_is_in_between_or_beside_prevents_it():
    image = keras.Input((6, 6, 2))

    def conv(name: str, **options: Any) -> Any:
        return layers.Conv2D(2, 3, padding="same", name=name, **options)(image)

    active = layers.BatchNormalization()(conv("active", activation="relu"))
    rows = layers.BatchNormalization(axis=1)(conv("rows"))
    twice = conv("twice")
    both = layers.Add()([layers.BatchNormalization()(twice), twice])
    given_out = conv("given_out")
    end = layers.BatchNormalization()(given_out)
    inference = layers.BatchNormalization()(conv("inference"), training=False)
    model = keras.Model(image, [active, rows, both, given_out, end, inference])
    assert pairs(model) == {}
    only = keras.Model(image, layers.BatchNormalization(name="bn")(conv("only")))
    assert pairs(only) == {"only": "bn"}


def test_factors_of_rows():
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(4, 9)).astype(np.float32)
    rows[2] = 0
    norm: Any = layers.BatchNormalization(epsilon=1e-3)
    norm.build((None, 4))
    norm.gamma.assign([1.0, -2.0, 3.0, 0.5])
    norm.moving_variance.assign([1.0, 4.0, 1.0, 0.25])
    folded = np.array([1.0, -2.0, 3.0, 0.5]) / np.sqrt(np.array([1.0, 4.0, 1.0, 0.25]) + 1e-3)
    factors = row_factors((rows * folded[:, None]).astype(np.float32), rows)
    np.testing.assert_allclose(factors, folded * [1, 1, 0, 1], rtol=1e-6)
    assert is_factor_of(norm, factors, rows)
    assert is_factor_of(norm, -factors / 255, rows)
    assert not is_factor_of(norm, np.ones(4), rows)
