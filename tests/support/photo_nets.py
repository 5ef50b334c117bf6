"""Photos and classifiers whose batch normalizations know them: data that are right, and networks that can tell."""

from __future__ import annotations

from typing import Any

import numpy as np


def photos(count: int, *, seed: int = 0) -> np.ndarray:
    """Pixels 0..255, whole float32 numbers (count, 16, 16, 3), as different in brightness and colour as photos are."""
    rng = np.random.default_rng(seed)
    coarse = rng.uniform(0, 255, (count, 4, 4, 3)).repeat(4, axis=1).repeat(4, axis=2)
    brightness = rng.uniform(0.4, 1.0, (count, 1, 1, 1))
    return np.rint(np.clip(coarse * brightness + rng.normal(0, 12, (count, 16, 16, 3)), 0, 255)).astype(np.float32)


def to_minus_one_one(pixels: np.ndarray) -> np.ndarray:
    return pixels / np.float32(127.5) - np.float32(1)


def classifier(package: Any, data: np.ndarray, *, classes: int = 8, normalized: bool = True) -> Any:
    """A network as trained on ``data``: convolution, batch normalization, a softmax that tells its images apart.

    Args:
        package: ``keras`` or ``tf_keras``.
        data: images, which the moving averages are those of.
        classes: of the softmax.
        normalized: with batch normalization.
    """
    package.utils.set_random_seed(0)
    layers = package.layers
    image = package.Input(data.shape[1:], name="image")
    x = layers.Conv2D(12, 3, strides=2, use_bias=not normalized, name="stem")(image)
    if normalized:
        x = layers.BatchNormalization(name="stem_bn")(x)
    x = layers.ReLU(6.0, name="stem_relu")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    x = layers.Dense(classes, activation="softmax", name="classes")(x)
    model = package.Model(image, x)
    if normalized:
        stem = package.Model(image, model.get_layer("stem").output)(data).numpy()
        gamma, beta = np.full(12, 1.5), np.full(12, 0.5)
        model.get_layer("stem_bn").set_weights([gamma, beta, stem.mean((0, 1, 2)), stem.var((0, 1, 2))])
    pooled = package.Model(image, model.get_layer("pool").output)(data).numpy()
    # Each class is nearest to one of the images, so that the images are spread over the classes.
    centred = pooled - pooled.mean(0)
    kernel = 40 * centred[:classes].T / (np.linalg.norm(centred[:classes], axis=1) + 1e-9)
    model.get_layer("classes").set_weights([kernel, -pooled.mean(0) @ kernel])
    return model
