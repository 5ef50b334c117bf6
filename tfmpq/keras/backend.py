"""The Keras this package works with: Keras 3 on its TensorFlow backend."""

from __future__ import annotations

from converters.errors import MissingDependencyError


def require_keras() -> None:
    """Loads Keras.

    Raises:
        MissingDependencyError: There is none, it is Keras 2, or it runs on another backend.
    """
    try:
        import keras
    except ImportError as error:
        raise MissingDependencyError(
            f"tfmpq.keras needs Keras 3 on its TensorFlow backend, but keras cannot be imported: {error}. Set "
            "KERAS_BACKEND=tensorflow before Python starts (Keras also reads ~/.keras/keras.json), and see that keras "
            "and tensorflow are installed."
        ) from error
    if int(keras.__version__.partition(".")[0]) < 3:
        raise MissingDependencyError(
            f"tfmpq.keras needs Keras 3; this is Keras {keras.__version__}. Keras 2 has the plugin for tfmot, "
            "tfmpq.quantize_config."
        )
    backend = keras.config.backend()
    if backend != "tensorflow":
        raise MissingDependencyError(
            "tfmpq.keras works on Keras' TensorFlow backend, which .tflite files are made from; this process runs "
            f"on '{backend}'. Save the model as .keras, which is the same for all backends, and go on in a process "
            "started with KERAS_BACKEND=tensorflow."
        )
