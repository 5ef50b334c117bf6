"""Float .tflite content: what may pass, and what its inputs are."""

from __future__ import annotations

import numpy as np

from converters.errors import FileFormatError, ModelError
from converters.frontend.float_model import FloatModel, InputSpec, check_names, check_size
from converters.frontend.open_sizes import OpenSizes, Sizes, fixed_shapes
from converters.frontend.plain_file import plain_file
from converters.frontend.resize_file import resized
from converters.frontend.unknown_file import check_file
from converters.layers.names import LayerNames
from converters.runtime.interpreter import Kernels, make_interpreter
from converters.tflite import graph
from converters.tflite.model_file import read_model
from converters.tflite.reader import load
from converters.tflite.soundness import check_sound

_KERNELS: tuple[Kernels, ...] = ("builtin", "xnnpack")  # of TensorFlow's calibrator, and of what looks at data
_WEIGHT_OPS = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "BATCH_MATMUL", "CONV_3D"}
_OTHER_FLOATS = {"FLOAT16", "BFLOAT16", "FLOAT64"}


def from_flatbuffer(content: bytes, source: str, *, signature: str | None, sizes: Sizes) -> FloatModel:
    """A float .tflite file the user brings, with float32 or float16 weights.

    Args:
        content: of the file.
        source: for messages.
        signature: the entry point; None: the only one, or ``serving_default``.
        sizes: of dimensions that the file leaves open; see :func:`converters.frontend.open_sizes.fixed_shapes`.

    Raises:
        FileFormatError: Not a .tflite file, cut off or corrupt, or of operators the runtime does not have.
        ModelError: It is quantized, computes in something else than float32, or cannot be fed unambiguously.
        OptionError: There is no such signature or input, or a size contradicts the file.
    """
    check_float_file(content, source)
    content = plain_file(content, signature, source)
    check_file(content, source, _KERNELS)
    fixed = _with_sizes(content, sizes, source)
    if fixed is not content:
        check_file(fixed, source, _KERNELS)
    content = fixed
    inputs = read_inputs(content, source)
    try:
        make_interpreter(content, kernels="builtin")  # TensorFlow's calibrator may crash on what the runtime refuses
    except FileFormatError as error:
        raise FileFormatError(f"{source}: {error}") from error
    return FloatModel(content, inputs, LayerNames(), source)


def read_inputs(content: bytes, source: str, sizes: Sizes = None) -> tuple[InputSpec, ...]:
    """Checks a float flatbuffer and lists its inputs in signature order (graph order without a signature).

    Args:
        content: of the file.
        source: for messages.
        sizes: :attr:`OpenSizes.KEPT` where dimensions behind the batch may be open.

    Raises:
        FileFormatError: Not a .tflite file, cut off or corrupt.
        ModelError: It is quantized, not float32, or cannot be fed unambiguously.
    """
    model = check_float_file(content, source)
    _refuse_other_types(model, source)
    _refuse_broken_weights(model, source)
    inputs = tuple(input_spec(name, tensor, source) for name, tensor in _named_inputs(model, source))
    fixed_shapes(inputs, sizes if sizes is OpenSizes.KEPT else None, source)
    check_names(inputs, source)
    return inputs


def check_float_file(content: bytes, source: str) -> graph.Model:
    """Parses a file that native code may be given.

    Raises:
        FileFormatError: Not a .tflite file, cut off or corrupt.
        ModelError: It is larger than a file can be.
    """
    check_size(len(content), source)
    try:
        check_sound(read_model(content), quantizer=True)
        return load(content)
    except FileFormatError as error:
        raise FileFormatError(f"{source}: {error}. Convert or download it again.") from error


def _with_sizes(content: bytes, sizes: Sizes, source: str) -> bytes:
    """The file with fixed sizes; as it is where nothing but the batch is open."""
    model = load(content)
    named = _named_inputs(model, source)
    specs = [input_spec(name, tensor, source) for name, tensor in named]
    shapes = fixed_shapes(specs, sizes, source)
    if all(spec.shape == shape for spec, shape in zip(specs, shapes, strict=True)):
        return content
    wanted = {tensor: [n or 1 for n in shape] for (_, tensor), shape in zip(named, shapes, strict=True)}
    return resized(model, wanted, source)


def graph_order(model: graph.Model, source: str) -> list[str]:
    """Names of the inputs in the order of the main graph, which is how the calibrator takes arrays."""
    names = {id(tensor): name for name, tensor in _named_inputs(model, source)}
    return [names[id(tensor)] for tensor in model.graph.inputs]


def _named_inputs(model: graph.Model, source: str) -> list[tuple[str, graph.Tensor]]:
    if not model.signatures:
        return [(tensor.name, tensor) for tensor in model.graph.inputs]
    signature = model.signatures[0]
    if {id(t) for _, t in signature.inputs} != {id(t) for t in model.graph.inputs}:
        raise ModelError(
            f"{source}: signature '{signature.key}' does not name all {len(model.graph.inputs)} inputs of the graph "
            f"(it has {[name for name, _ in signature.inputs]}). Export the model again."
        )
    return signature.inputs


def input_spec(name: str, tensor: graph.Tensor, source: str) -> InputSpec:
    """What an input takes.

    Raises:
        ModelError: Values of a type that NumPy has not.
    """
    if tensor.type not in graph.NUMPY_TYPES:
        raise ModelError(
            f"{source}: input '{name}' holds values of type {graph.TYPE_NAMES.get(tensor.type, tensor.type)}, which no "
            "integer model takes. Leave that part (text processing, for example) out of the model."
        )
    shape = tuple(None if n < 0 else n for n in tensor.shape_signature or tensor.shape)
    aliases = (tensor.name,) if tensor.name and tensor.name != name else ()
    return InputSpec(name, aliases, shape, graph.NUMPY_TYPES[tensor.type])


def _refuse_other_types(model: graph.Model, source: str) -> None:
    for part in model.graphs:
        for tensor in part.tensors():
            kind = graph.TYPE_NAMES.get(tensor.type, str(tensor.type))
            if tensor.quantization is not None:
                raise ModelError(
                    f"{source} is already quantized: tensor '{tensor.name}' ({kind}) carries a scale. tfmpq starts "
                    "from float32 weights. Convert without `optimizations` and without fake-quantization, or give the "
                    "float Keras model."
                )
            if kind in _OTHER_FLOATS:
                raise ModelError(
                    f"{source} is not a float32 model: tensor '{tensor.name}' is {kind}. tfmpq starts from float32 "
                    "weights; constants in float16 are fine, activations are not. Export it under the dtype policy "
                    "'float32' (PyTorch: model.float())."
                )


def _refuse_broken_weights(model: graph.Model, source: str) -> None:
    seen: set[tuple[graph.Tensor, bool]] = set()  # what many operators share is looked through once
    for part in model.graphs:
        for op in part.ops:
            for tensor in op.inputs:
                if tensor is None or tensor.data is None or tensor.type != graph.TensorType.FLOAT32:
                    continue
                if (use := (tensor, op.name in _WEIGHT_OPS)) in seen:
                    continue
                seen.add(use)
                values = tensor.array()
                # An infinite constant is a legal mask elsewhere, but no weight.
                bad = ~np.isfinite(values) if op.name in _WEIGHT_OPS else np.isnan(values)
                if bad.any():
                    where = tuple(int(i) for i in np.argwhere(bad)[0])
                    raise ModelError(
                        f"{source}: constant '{tensor.name}' of {op.name}, shape {tensor.shape}, is "
                        f"{values[where]} at {where}. Quantization needs finite weights: check the checkpoint."
                    )
