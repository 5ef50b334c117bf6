"""Networks to be trained with quantization, and their images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tfmpq
from tools.research.measuring import load_zoo

DEMO = "demo"
NETWORKS = (DEMO, "mlperftiny_resnet8_cifar10", "cifar10_resnet20")
_PAD = 4  # pixels that a CIFAR image is shifted by at most, as is usual


@dataclass(frozen=True, eq=False)
class Subject:
    """A float model and what it is trained and tested on; images as the model takes them.

    Attributes:
        name: in tables.
        model: float Keras model.
        calibration: for conversion and for the start of steps, without labels.
        images, labels: to be trained on.
        test, truth: to be judged by; used for no choice.
        varied: whether images are shifted and mirrored from epoch to epoch.
    """

    name: str
    model: Any
    calibration: np.ndarray
    images: np.ndarray
    labels: np.ndarray
    test: np.ndarray
    truth: np.ndarray
    varied: bool

    def batches(self, size: int, seed: int) -> Any:
        """A tf.data.Dataset of (images, labels), in a new order each epoch."""
        import tensorflow as tf

        found = tf.data.Dataset.from_tensor_slices((self.images, self.labels)).shuffle(len(self.images), seed=seed)
        if self.varied:

            def vary(image: Any, label: Any) -> Any:
                padded = tf.pad(tf.image.random_flip_left_right(image, seed=seed), [[_PAD, _PAD], [_PAD, _PAD], [0, 0]])
                return tf.image.random_crop(padded, image.shape, seed=seed), label

            found = found.map(vary)
        return found.batch(size, drop_remainder=True)


def load_subjects(zoo: Path, names: Sequence[str], images: int, tested: int, *, varied: bool) -> Iterator[Subject]:
    """The networks of these names, the others than :data:`DEMO` from the zoo in a directory.

    Raises:
        DataError: It is no zoo.
    """
    for name in names:
        if name == DEMO:
            yield demo(images, tested)
        else:
            yield of_zoo(load_zoo(zoo), name, images, tested, varied=varied)


def demo(images: int, tested: int) -> Subject:
    """The bundled digit classifier and ``images`` newly drawn digits."""
    import keras

    from tools.research.train_demo_model import CONTRAST, draw, split

    folder = Path(tfmpq.__file__).parent / "demo"
    (digits, labels), _ = split()
    chosen = np.arange(images) % len(digits)
    drawn = draw(digits[chosen], CONTRAST, np.random.default_rng(3)).astype(np.float32)
    with np.load(folder / "digits_test.npz") as test, np.load(folder / "digits_calibration.npz") as calibration:
        return Subject(
            DEMO,
            keras.models.load_model(folder / "digits_net.keras", compile=False),
            calibration["x"][:100].astype(np.float32),
            drawn,
            labels[chosen].astype(np.int64),
            test["x"][:tested].astype(np.float32),
            test["y"][:tested].astype(np.int64),
            varied=False,
        )


def of_zoo(zoo: Any, name: str, images: int, tested: int, *, varied: bool) -> Subject:
    """A classifier of CIFAR-10 from a zoo that has ``cifar10_training()``."""
    entry = zoo.load(name)
    pixels, labels = zoo.cifar10_training(images)
    test, truth = entry.evaluation(tested)
    return Subject(
        name,
        entry.keras_model(),
        entry.calibration(100),
        entry.preprocess(pixels),
        labels.astype(np.int64),
        test,
        truth.astype(np.int64),
        varied=varied,
    )
