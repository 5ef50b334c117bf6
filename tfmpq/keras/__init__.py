"""Choosing, simulating and fine-tuning points inside Keras 3.

    import tfmpq.keras

    annotated = tfmpq.keras.annotate(model, tfmpq.keras.SimulationSettings(bits=3))
    simulated = tfmpq.keras.simulate(annotated, rep_dataset)
    simulated.compile(...)
    simulated.fit(...)
    tfmpq.convert(simulated, rep_dataset).save("model.tflite")

Importing this package loads Keras and registers its layers, which ``keras.models.load_model`` needs to read files that
hold them.

Raises:
    MissingDependencyError: There is no Keras 3, or it runs on another backend than TensorFlow.
"""

from __future__ import annotations

from tfmpq.keras.backend import require_keras

require_keras()

from tfmpq.keras.annotation import annotate  # noqa: E402
from tfmpq.keras.simulation import simulate  # noqa: E402
from tfmpq.keras.wrappers import Annotate, Simulate  # noqa: E402
from tfmpq.simulation import SimulationSettings  # noqa: E402

__all__ = ["Annotate", "Simulate", "SimulationSettings", "annotate", "simulate"]
