"""Training with quantization in Keras 3, by methods that end in points.

    import tfmpq.training

    student = tfmpq.training.lg_lsq(model, images, bits=4)
    student.compile("adam", "sparse_categorical_crossentropy")
    student.fit(images, labels, epochs=10, callbacks=tfmpq.training.callbacks(student))
    tfmpq.convert(student, images).save("model.tflite")

It is the mechanism of :mod:`tfmpq.keras`: layers of the model become :class:`tfmpq.keras.Simulate` layers, with
quantizers that learn in place of the fixed rounding. Importing this package registers them, which
``keras.models.load_model`` needs to read files that hold them.

Raises:
    MissingDependencyError: There is no Keras 3, or it runs on another backend than TensorFlow.
"""

from __future__ import annotations

from tfmpq.keras.backend import require_keras

require_keras()

from tfmpq.training.callbacks import callbacks  # noqa: E402
from tfmpq.training.differentiable import differentiable  # noqa: E402
from tfmpq.training.distill import Distilled, distill  # noqa: E402
from tfmpq.training.fixed_point_updates import FixedPointUpdates  # noqa: E402
from tfmpq.training.inq import inq  # noqa: E402
from tfmpq.training.lg_lsq import lg_lsq  # noqa: E402
from tfmpq.training.limited_precision import limited_precision  # noqa: E402
from tfmpq.training.norms import freeze_norms  # noqa: E402
from tfmpq.training.taught import with_teacher  # noqa: E402
from tfmpq.training.ttq import ttq  # noqa: E402

__all__ = [
    "Distilled",
    "FixedPointUpdates",
    "callbacks",
    "differentiable",
    "distill",
    "freeze_norms",
    "inq",
    "lg_lsq",
    "limited_precision",
    "ttq",
    "with_teacher",
]
