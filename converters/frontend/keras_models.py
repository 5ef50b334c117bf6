"""Keras models, of Keras 3 and of tf_keras (Keras 2), to float .tflite."""

from __future__ import annotations

import functools
import inspect
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converters.errors import ModelError, OptionError
from converters.frontend.float_file import read_inputs
from converters.frontend.float_model import FloatModel, InputSpec, argument_names, order_inputs
from converters.frontend.keras_checks import (
    cell_kernels,
    check_model,
    generation,
    grouped_kernels,
    layer_names,
    other_names,
)
from converters.frontend.open_sizes import Sizes, fixed_shapes
from converters.frontend.tf_converter import OpenConverter, convert_float, convert_int8
from converters.layers.names import LayerNames


def from_keras(
    model: Any, *, batch_size: int | None, signature: str | None, sizes: Sizes, origin: str = ""
) -> FloatModel:
    """Checks a Keras model of either generation and converts it.

    Args:
        model: a built model.
        batch_size: batch dimension of the result; None leaves it open.
        signature: None; Keras models have none.
        sizes: of dimensions that the model leaves open; see :func:`converters.frontend.open_sizes.fixed_shapes`.
        origin: where the model was loaded from, for messages.

    Raises:
        ModelError: A guard refuses the model, or TensorFlow cannot convert it.
        OptionError: ``signature`` is given, or ``sizes`` contradict the model.
    """
    keras_generation = generation(model)
    assert keras_generation is not None, type(model)
    source = f"{'Keras 3' if keras_generation == 3 else 'tf_keras'} model '{model.name}'{origin}"
    check_model(model, keras_generation, source)
    if keras_generation == 3:
        _check_backend(source)
        arguments = _keras3_arguments(model, source)
    else:
        arguments = _tf_keras_arguments(model)
    if signature is not None:
        raise OptionError(f"signature={signature!r}: {source} has no signatures: leave the option out.")
    arguments = _with_sizes(arguments, sizes, source)
    leaves = _flatten(arguments)
    names = argument_names([leaf.name for leaf in leaves])
    inputs = _Inputs(arguments, dict(zip(map(id, leaves), names, strict=True)), batch_size)
    if keras_generation == 3:
        open_converter, trace = _keras3_converter(model, inputs), functools.partial(_keras3_trace, model, inputs)
    else:
        open_converter, trace = _tf_keras_converter(model, inputs), functools.partial(_tf_keras_trace, model, inputs)
    flatbuffer = convert_float(open_converter, source)
    expected = [(name, (leaf.name, *leaf.aliases)) for name, leaf in zip(names, leaves, strict=True)]
    return FloatModel(
        flatbuffer,
        order_inputs(read_inputs(flatbuffer, source, sizes), expected, source),
        LayerNames(
            layer_names(model),
            keras_generation,
            grouped_kernels(model),
            other_names(model),
            cell_kernels=cell_kernels(model),
        ),
        source,
        functools.partial(convert_int8, open_converter, source),
        trace,
    )


@dataclass(frozen=True, eq=False)
class _Leaf:
    """One input tensor of a model call."""

    name: str
    aliases: tuple[str, ...]
    shape: tuple[int | None, ...]
    dtype: str


@dataclass(frozen=True)
class _Inputs:
    """The positional arguments of a model call: lists and dicts with leaves, and what each leaf is exported as."""

    arguments: list[Any]
    names: dict[int, str]  # id of the leaf -> name
    batch_size: int | None

    def map(self, function: Callable[[str, tuple[int | None, ...], str], Any]) -> list[Any]:
        """The arguments with every leaf replaced by ``function(name, shape, dtype)``."""
        return _map(
            lambda path, leaf: function(self.names[id(leaf)], (self.batch_size, *leaf.shape[1:]), leaf.dtype),
            self.arguments,
        )


def _map(function: Callable[[tuple[Any, ...], Any], Any], structure: Any, path: tuple[Any, ...] = ()) -> Any:
    if isinstance(structure, Mapping):
        return {key: _map(function, value, (*path, key)) for key, value in structure.items()}
    if isinstance(structure, (list, tuple)):
        return [_map(function, value, (*path, i)) for i, value in enumerate(structure)]
    return function(path, structure)


def _flatten(structure: Any) -> list[Any]:
    """Leaves in the order of ``model.inputs``: both generations of Keras sort dicts by key."""
    if isinstance(structure, Mapping):
        return [leaf for key in sorted(structure) for leaf in _flatten(structure[key])]
    if isinstance(structure, (list, tuple)):
        return [leaf for value in structure for leaf in _flatten(value)]
    return [structure]


def _with_sizes(arguments: list[Any], sizes: Sizes, source: str) -> list[Any]:
    leaves = _flatten(arguments)
    # Sizes do not depend on types, which are looked at later.
    specs = [InputSpec(leaf.name, leaf.aliases, leaf.shape, np.dtype(np.float32)) for leaf in leaves]
    shapes = dict(zip(map(id, leaves), fixed_shapes(specs, sizes, source), strict=True))
    return _map(lambda path, leaf: replace(leaf, shape=shapes[id(leaf)]), arguments)


def _key(path: tuple[Any, ...]) -> tuple[str, ...]:
    return (path[-1],) if path and isinstance(path[-1], str) else ()


# ---------------------------------------------------------------- Keras 3


def _check_backend(source: str) -> None:
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ModelError(
            f"{source} runs on Keras' {backend} backend; .tflite files are made from the TensorFlow backend. Save the "
            "model as .keras, then convert that file in a process started with KERAS_BACKEND=tensorflow."
        )


def _keras3_arguments(model: Any, source: str) -> list[Any]:
    import keras

    tensors = getattr(model, "inputs", None)
    if not tensors:
        return _subclassed_arguments(model, source)

    def leaf(path: tuple[Any, ...], tensor: Any) -> _Leaf:
        layer = getattr(getattr(tensor, "_keras_history", None), "operation", None)
        aliases = (*_key(path), *((layer.name,) if layer else ()))
        return _Leaf(tensor.name, aliases, tuple(tensor.shape), tensor.dtype)

    return [_map(leaf, tensors[0] if isinstance(model, keras.Sequential) else model.input)]


def _subclassed_arguments(model: Any, source: str) -> list[Any]:
    # Keras notes the shapes of the first call, and nothing else about the inputs of a subclassed model.
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    parameters = [p for p in inspect.signature(model.call).parameters.values() if p.name not in ("training", "mask")]
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if not shapes or len(required) > len(shapes):
        raise ModelError(
            f"{source}: call() takes {required}, but Keras noted the shapes of {list(shapes)} only. Let call() take "
            "one list or dict of tensors and call the model once on a sample, or wrap it in a functional model: "
            "keras.Model(inputs, model(...))."
        )

    def leaves(name: str, shape: Any) -> Any:
        if isinstance(shape, Mapping):
            return {key: leaves(str(key), value) for key, value in shape.items()}
        if all(n is None or isinstance(n, int) for n in shape):
            return _Leaf(name, (), tuple(shape), model.input_dtype)
        return [leaves(f"{name}_{i}", value) for i, value in enumerate(shape)]

    return [leaves(parameter.name, shape) for parameter, shape in zip(parameters, shapes.values(), strict=False)]


def _keras3_converter(model: Any, inputs: _Inputs) -> OpenConverter:
    import keras

    def spec(name: str, shape: tuple[int | None, ...], dtype: str) -> Any:
        return keras.layers.InputSpec(shape=shape, dtype=dtype, name=name)

    @contextmanager
    def open_converter() -> Iterator[Any]:
        import tensorflow as tf

        with tempfile.TemporaryDirectory() as folder:
            archive: Any = keras.export.ExportArchive()
            archive.track(model)
            # What model.export does, except that it leaves `training` to the default of call(), which may be True.
            archive.add_endpoint("serve", lambda *tensors: model(*tensors, training=False), inputs.map(spec))
            archive.write_out(folder, verbose=False)
            yield tf.lite.TFLiteConverter.from_saved_model(folder)

    return open_converter


def _keras3_trace(model: Any, inputs: _Inputs) -> Any:
    return _trace(inputs, lambda *tensors: model(*tensors, training=False))


def _trace(inputs: _Inputs, call: Callable[..., Any]) -> Any:
    """A call of the model as a concrete function whose arguments have the names that samples have."""
    import tensorflow as tf

    specs = _flatten(inputs.map(lambda name, shape, dtype: tf.TensorSpec(shape, dtype, name)))

    def serve(**tensors: Any) -> Any:
        return call(*inputs.map(lambda name, shape, dtype: tensors[name]))

    return tf.function(serve).get_concrete_function(**{spec.name: spec for spec in specs})


# ---------------------------------------------------------------- tf_keras


def _tf_keras_arguments(model: Any) -> list[Any]:
    specs, _ = model.save_spec()
    parameters = [name for name in inspect.signature(model.call).parameters if name not in ("training", "mask")]

    def leaf(path: tuple[Any, ...], spec: Any) -> _Leaf:
        name = spec.name or "_".join(str(part) for part in (parameters[path[0]], *path[1:]))
        return _Leaf(name, _key(path), tuple(spec.shape), spec.dtype.name)

    return _map(leaf, specs)


def _tf_keras_converter(model: Any, inputs: _Inputs) -> OpenConverter:
    @contextmanager
    def open_converter() -> Iterator[Any]:
        import tensorflow as tf

        trace = _tf_keras_trace(model, inputs)
        yield tf.lite.TFLiteConverter.from_concrete_functions([trace], _holder(model, trace))

    return open_converter


def _holder(model: Any, trace: Any) -> Any:
    """What TensorFlow saves beside the trace: the model's variables, where the trace captures nothing else.

    With the model itself, tf_keras traces every layer anew, in training too: ten times as long for an LSTM.
    """
    import tensorflow as tf

    variables = list(model.variables)
    handles = {id(variable.handle) for variable in variables}
    if any(id(captured) not in handles for captured in trace.captured_inputs):
        return model  # tables, and variables of no layer
    holder: Any = tf.Module()
    holder.variables_of_model = variables
    return holder


def _tf_keras_trace(model: Any, inputs: _Inputs) -> Any:
    import tensorflow as tf

    # A model may have its own default for `training`; passing it to one that does not take it is an error.
    inference = {"training": False} if "training" in inspect.signature(model.call).parameters else {}

    def call(*arguments: Any) -> Any:
        outputs = model(*arguments, **inference)
        if isinstance(outputs, Mapping):
            return {str(key): value for key, value in outputs.items()}
        outputs = tf.nest.flatten(outputs)
        names = getattr(model, "output_names", None) or []
        if len(set(names)) != len(outputs):
            names = [f"output_{i}" for i in range(len(outputs))]
        return dict(zip(argument_names(names), outputs, strict=True))

    return _trace(inputs, call)
