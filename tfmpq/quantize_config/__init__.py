"""tfmot plugin: multipoint weights in the workflow of tensorflow-model-optimization (annotate, apply, fine-tune).

    import tensorflow_model_optimization as tfmot
    from tfmpq.quantize_config import MultipointQuantizeConfig

    annotated = tfmot.quantization.keras.quantize_annotate_layer(layer, MultipointQuantizeConfig(bits=4))

Models are tf_keras models (Keras 2). Importing tfmot, and so this package, switches ``tf.keras`` of the whole process
to Keras 2 (TF_USE_LEGACY_KERAS). It also teaches tfmot's default scheme to keep the configs of this package
(:mod:`tfmpq.quantize_config.layout`), and its functions to say that they do not take Keras 3 objects
(:mod:`tfmpq.quantize_config.guards`).
"""

from __future__ import annotations

from converters.errors import MissingDependencyError

try:
    import tensorflow_model_optimization as _tfmot  # noqa: F401
except ImportError as error:
    raise MissingDependencyError(
        "tfmpq.quantize_config is the plugin for tensorflow-model-optimization, which cannot be imported here "
        f"({error}). Install it: pip install 'tfmpq[tfmot]'. For Keras 3 models use tfmpq.keras, which does without it."
    ) from error

from tfmpq.quantize_config import guards, layout
from tfmpq.quantize_config.config import MultipointQuantizeConfig
from tfmpq.quantize_config.quantizer import MultipointQuantizer

__all__ = ["MultipointQuantizeConfig", "MultipointQuantizer"]

guards.install()
layout.install()
