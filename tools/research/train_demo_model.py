"""Trains the demo's network and writes it, its calibration images and its test images to ``tfmpq/demo``.

The task: hand-written digits (scikit-learn's, 8x8 pixels, nothing to download), turned, scaled, sheared and shifted on
a 32x32 image, in any brightness, dark on light as well as light on dark. The network must tell small differences from
large common brightness, as networks for camera images must, and that is what coarse weights destroy: most at low
contrast, so the test images are from the low end of the contrasts the network is trained on.

    python -m tools.research.train_demo_model          # four minutes on two cores; needs the [dev] extra

The seeds are fixed; another version of TensorFlow or another processor still ends in slightly other weights.
"""

from __future__ import annotations

import json
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from absl import app, flags
from scipy import ndimage
from sklearn.datasets import load_digits

SIZE = 32
TEST_DIGITS, CALIBRATION_IMAGES = 700, 200
CONTRAST, TEST_CONTRAST = (0.15, 0.6), (0.15, 0.3)  # of the full range 0..255
BATCH, LEARNING_RATE, WEIGHT_DECAY = 64, 5e-3, 1e-5

_NEWER = {
    "input_axes": None, "output_axes": None, "quantization_config": None, "renorm": False, "renorm_clipping": None,
    "renorm_momentum": 0.99,
}  # fmt: skip

# Depthwise-separable blocks: output channels, stride, residual
BLOCKS = (
    (32, 1, False),
    (48, 2, False),
    (48, 1, True),
    (48, 1, True),
    (64, 1, False),
    (64, 1, False),
    (64, 1, False),
    (96, 2, False),
    (96, 1, False),
    (96, 1, False),
)

_OUTPUT = flags.DEFINE_string("output_dir", str(Path(__file__).parents[2] / "tfmpq" / "demo"), "Where the files go.")
_EPOCHS = flags.DEFINE_integer("epochs", 160, "Passes over the training digits, each time drawn anew.")


def split() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """(digits, labels) for training and for the test; digits are float32 (n, 8, 8), 0..1. No digit is in both."""
    pixels, labels = load_digits(return_X_y=True)
    digits = (pixels.reshape(-1, 8, 8) / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(digits))
    test, train = order[:TEST_DIGITS], order[TEST_DIGITS:]
    return (digits[train], labels[train]), (digits[test], labels[test])


def draw(digits: np.ndarray, contrast: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """One random image of each digit at a contrast within the limits: uint8 (n, SIZE, SIZE, 1)."""
    return np.stack([_light(_place(digit, rng), contrast, rng) for digit in digits])[..., None]


def _place(digit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The digit turned, scaled, sheared and shifted on an empty image, 0..1."""
    angle = np.deg2rad(rng.uniform(-25, 25))
    scale = SIZE / 8 / 1.35 * np.exp(rng.uniform(-0.25, 0.25))
    aspect = np.exp(rng.uniform(-0.15, 0.15))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    shear = np.array([[1, rng.uniform(-0.25, 0.25)], [0, 1]])
    to_digit = turn @ shear @ np.diag([1 / (scale * aspect), aspect / scale])
    center = (SIZE - 1) / 2 + rng.uniform(-SIZE / 9, SIZE / 9, 2)
    offset = np.array([3.5, 3.5]) - to_digit @ center
    placed = ndimage.affine_transform(digit, np.c_[to_digit, offset], output_shape=(SIZE, SIZE), order=3)
    return np.rint(np.clip(placed, 0, 1) * 15) / 15  # 16 levels, as the originals have: the files stay small


def _light(image: np.ndarray, contrast: tuple[float, float], rng: np.random.Generator) -> np.ndarray:
    """The image at a random contrast, polarity and brightness: uint8."""
    ink = rng.uniform(*contrast) * rng.choice([-1, 1])
    darkest = rng.uniform(0, 1 - abs(ink))
    background = darkest + max(0.0, -ink)
    return np.rint(255 * (background + ink * image)).astype(np.uint8)


def data_sets() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Calibration images, test images and test labels, as committed."""
    (train, _), (test, labels) = split()
    rng = np.random.default_rng(1)
    return draw(train[:CALIBRATION_IMAGES], CONTRAST, rng), draw(test, TEST_CONTRAST, rng), labels.astype(np.uint8)


def build(package: Any | None = None) -> Any:
    """The network; takes pixel values 0..255.

    Args:
        package: the Keras to build it with; None: ``keras``.
    """
    if package is None:
        import keras as package
    layers = package.layers
    decay = package.regularizers.L2(WEIGHT_DECAY)

    def normalized(x: Any, layer: Any) -> Any:
        x = layers.BatchNormalization(momentum=0.9, name=f"{layer.name}_bn")(layer(x))
        return layers.ReLU(6.0, name=f"{layer.name}_relu")(x)

    def convolution(x: Any, channels: int, kernel: int, stride: int, name: str) -> Any:
        options: dict[str, Any] = {"padding": "same", "use_bias": False, "kernel_regularizer": decay, "name": name}
        return normalized(x, layers.Conv2D(channels, kernel, stride, **options))

    def depthwise(x: Any, stride: int, name: str) -> Any:
        options: dict[str, Any] = {"padding": "same", "use_bias": False, "depthwise_regularizer": decay, "name": name}
        return normalized(x, layers.DepthwiseConv2D(3, stride, **options))

    image = package.Input((SIZE, SIZE, 1), name="image")
    x = convolution(image, 16, 3, 2, "stem")
    for number, (channels, stride, residual) in enumerate(BLOCKS, 1):
        y = depthwise(x, stride, f"block{number}_depthwise")
        y = convolution(y, channels, 1, 1, f"block{number}_pointwise")
        x = layers.Add(name=f"block{number}_add")([x, y]) if residual else y
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    scores = layers.Dense(10, activation="softmax", kernel_regularizer=decay, name="classifier")(x)
    return package.Model(image, scores, name="digits_net")


def train(model: Any, epochs: int) -> None:
    """Fits the model, each epoch on newly drawn images."""
    import keras

    (digits, labels), _ = split()
    steps = epochs * -(-len(digits) // BATCH)
    rate: Any = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)
    # XLA makes the backward pass of depthwise convolutions several times slower on CPUs.
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], jit_compile=False
    )
    rng = np.random.default_rng(2)
    start = time.monotonic()
    for epoch in range(epochs):
        history = model.fit(draw(digits, CONTRAST, rng).astype(np.float32), labels, batch_size=BATCH, verbose=0).history
        if epoch % 10 == 9:
            seconds = time.monotonic() - start
            print(f"epoch {epoch + 1}: accuracy {history['accuracy'][0]:.3f}, {seconds:.0f} s", flush=True)


def save(model: Any, path: Path) -> None:
    """Saves the bare model without optimizer, the archive deflated: Keras itself stores it as it is."""
    import keras

    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / path.name
        keras.Model(model.inputs, model.outputs, name=model.name).save(plain)
        with zipfile.ZipFile(plain) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as out:
            for name in source.namelist():
                content = source.read(name)
                content = portable(content) if name == "config.json" else content
                out.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)


def portable(config: bytes) -> bytes:
    """The configuration without options at their defaults that the Keras of Python 3.10 (3.12) does not know."""

    def known(part: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in part.items() if name not in _NEWER or value != _NEWER[name]}

    return json.dumps(json.loads(config, object_hook=known)).encode()


def main(_: list[str]) -> None:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(1)
    tf.config.experimental.enable_op_determinism()
    folder = Path(_OUTPUT.value)
    calibration, test, labels = data_sets()
    np.savez_compressed(folder / "digits_calibration.npz", x=calibration)
    np.savez_compressed(folder / "digits_test.npz", x=test, y=labels)
    model = build()
    train(model, _EPOCHS.value)
    save(model, folder / "digits_net.keras")
    predicted = model.predict(test.astype(np.float32), verbose=0).argmax(axis=1)
    print(f"{model.count_params()} parameters, test accuracy {np.mean(predicted == labels):.2%}")


if __name__ == "__main__":
    app.run(main)
