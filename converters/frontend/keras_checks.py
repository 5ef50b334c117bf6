"""Keras models of both generations: telling them apart, guards, layer names."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

from converters.errors import ModelError
from converters.frontend.float_model import check_size

PACKAGES = {3: "keras", 2: "tf_keras"}
TFMOT_LAYERS = ("QuantizeAnnotate", "QuantizeWrapperV2", "QuantizeWrapper", "QuantizeLayer")
TFMOT_ADVICE = (
    "models annotated or wrapped by tensorflow-model-optimization are for tfmpq.convert alone, which takes the "
    "wrappers off. Elsewhere give the model as it was before quantize_annotate_model or quantize_apply."
)
_STRIPPERS = {  # wrappers of tfmot that rewrite their weights in every call, and what takes them off
    "PruneLowMagnitude": "tensorflow_model_optimization.sparsity.keras.strip_pruning",
    "ClusterWeights": "tensorflow_model_optimization.clustering.keras.strip_clustering",
}
_FLOAT = re.compile(r"b?float\d")  # names of floating point types


def generation(model: object) -> int | None:
    """3 for a Keras 3 model, 2 for a tf_keras model, None for what is no Keras object.

    Raises:
        ModelError: A Keras layer, or a model of the Keras copy inside TensorFlow.
    """
    for cls in type(model).__mro__:
        package = cls.__module__.partition(".")[0]
        if cls.__name__ not in ("Model", "Layer"):
            continue
        if cls.__module__.startswith("tensorflow.python.keras"):
            raise ModelError(
                f"{type(model).__name__} is built on tensorflow.python.keras, TensorFlow's private copy of Keras, "
                "which cannot be exported. Build it with keras or tf_keras."
            )
        if package in PACKAGES.values():
            if cls.__name__ == "Layer":
                raise ModelError(
                    f"{type(model).__name__} is a Keras layer, not a model. Wrap it: "
                    f"{package}.Sequential([{package}.Input(shape), layer])"
                )
            # Keras 3 moved its models; package `keras` may also be Keras 2.
            return 3 if cls.__module__.startswith("keras.src.models") else 2
    return None


def layers(parent: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every layer below ``parent``, also inside nested models and composite layers, with its path."""
    for child in parent._flatten_layers(include_self=False, recursive=False):
        path = f"{prefix}{child.name}"
        yield path, child
        yield from layers(child, f"{path}/")


def layer_names(model: Any) -> tuple[str, ...]:
    """Paths of the layers that own a kernel (a variable of rank >= 2), in model order, shared layers once."""
    names: dict[int, str] = {}
    for path, layer in layers(model):
        if any(len(v.shape) >= 2 for v in _own_variables(layer)):
            names.setdefault(id(layer), path)
    return tuple(names.values())


def other_names(model: Any) -> tuple[str, ...]:
    """Paths of the layers without a kernel."""
    owners = set(layer_names(model))
    return tuple(dict.fromkeys(path for path, _ in layers(model) if path not in owners))


def grouped_kernels(model: Any) -> dict[str, np.ndarray]:
    """Path -> kernel of every grouped convolution: TensorFlow drops the names of these when it converts a model."""
    return {
        path: np.asarray(layer.kernel)
        for path, layer in layers(model)
        if isinstance(groups := getattr(layer, "groups", 1), int) and groups > 1 and hasattr(layer, "kernel")
    }


def cell_kernels(model: Any) -> dict[str, np.ndarray]:
    """Path -> kernel of every LSTM cell, whose gates stand side by side."""
    return {
        path: np.asarray(layer.kernel)
        for path, layer in layers(model)
        if type(layer).__name__ == "LSTMCell" and hasattr(layer, "kernel")
    }


def check_model(model: Any, keras_generation: int, source: str) -> None:
    """Every guard that needs no conversion.

    Raises:
        ModelError: The model is annotated for tfmot, wrapped for pruning or clustering, unbuilt, not float32, too big,
            or holds NaN or Inf.
    """
    _check_tfmot(model, source)
    _check_built(model, keras_generation, source)
    _check_dtypes(model, keras_generation, source)
    # Counters of adapted layers may have sizes that are open.
    check_size(sum(math.prod(size or 1 for size in v.shape) * 4 for v in model.variables), source)
    _check_finite(model, source)


def _own_variables(layer: Any) -> list[Any]:
    if hasattr(layer, "_trainable_variables"):  # Keras 3; tf_keras calls them weights
        return [*layer._trainable_variables, *layer._non_trainable_variables]
    return [*layer._trainable_weights, *layer._non_trainable_weights]


def is_tfmot_model(model: Any) -> bool:
    """Whether layers of the model are annotated or wrapped by tensorflow-model-optimization."""
    return any(_is_tfmot_layer(layer) for _, layer in layers(model))


def _is_tfmot_layer(layer: Any) -> bool:
    return any(cls.__name__ in TFMOT_LAYERS for cls in type(layer).__mro__)


def _check_tfmot(model: Any, source: str) -> None:
    for path, layer in layers(model):
        if _is_tfmot_layer(layer):
            raise ModelError(f"{source}: layer '{path}' is a {type(layer).__name__}; {TFMOT_ADVICE}")
        stripper = _STRIPPERS.get(type(layer).__name__)
        if stripper is not None:
            raise ModelError(
                f"{source}: layer '{path}' is a {type(layer).__name__}, a wrapper for training whose weights change as "
                f"it is called. Give the model as {stripper} returns it."
            )


def _check_built(model: Any, keras_generation: int, source: str) -> None:
    unbuilt = [path for path, layer in layers(model) if not layer.built]
    if keras_generation == 3:
        # A called model may keep layers it does not use; one that was only built makes its weights at the first call,
        # and exporting it would give random ones.
        complete = getattr(model, "inputs", None) or getattr(model, "_called", False) or not unbuilt
    else:
        complete = model.save_spec() is not None  # the shapes of the first call
    if model.built and complete:
        return
    which = f" (layers without weights so far: {', '.join(unbuilt[:3])})" if unbuilt else ""
    raise ModelError(
        f"{source} is not built{which}: its input shape is unknown, or its weights do not exist yet. Call it once on a "
        "sample, model(numpy.zeros((1, ...), 'float32')), or start it with an Input layer; then load the weights."
    )


def _check_dtypes(model: Any, keras_generation: int, source: str) -> None:
    for path, layer in [*layers(model), (model.name, model)]:
        if next(layers(layer), None) and not _own_variables(layer):
            continue  # a container: what counts are its parts
        mode = getattr(layer, "quantization_mode", None)
        if mode:
            raise ModelError(
                f"{source}: layer '{path}' is already quantized by Keras ({mode}). Give the float model, before "
                "model.quantize()."
            )
        kinds = {str(layer.compute_dtype), str(layer.variable_dtype)}
        other = sorted(kind for kind in kinds if _FLOAT.match(kind) and kind != "float32")
        if other:
            setter = {3: "keras.config.set_dtype_policy", 2: "tf_keras.mixed_precision.set_global_policy"}
            raise ModelError(
                f"{source} is not a float32 model: layer '{path}' uses {other[0]} (dtype policy "
                f"'{layer.dtype_policy.name}'). tfmpq starts from float32 weights and activations. Save the weights, "
                f"call {setter[keras_generation]}('float32'), build the model again and load them."
            )


def _check_finite(model: Any, source: str) -> None:
    for path, layer in [*layers(model), (model.name, model)]:
        for variable in _own_variables(layer):
            values = np.asarray(variable)
            if values.dtype.kind == "f" and not np.isfinite(values).all():
                where = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
                name = variable.name.rpartition("/")[2].partition(":")[0]
                channel = f"channel {where[-1]}, index {where}" if where else "its only value"
                raise ModelError(
                    f"{source}: layer '{path}', variable '{name}' of shape {tuple(values.shape)}, is {values[where]} "
                    f"at {channel}. Quantization needs finite weights: check the checkpoint, or retrain the layer."
                )
