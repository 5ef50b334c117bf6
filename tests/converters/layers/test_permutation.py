"""Reordering channels must not change a bit of the outputs, and must be possible wherever it should be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from converters.layers.channel_groups import ChannelGroup, channel_groups
from converters.layers.kinds import KINDS
from converters.layers.permutation import permute_graph, weight_orders
from converters.runtime.interpreter import Kernels, inputs, make_interpreter, run
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Quantization, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.packing import pack_int4
from converters.tflite.reader import load
from converters.tflite.writer import save

Groups = dict[Tensor, tuple[ChannelGroup, ...]]
Orders = dict[ChannelGroup, np.ndarray]
Convert = Callable[..., bytes]

# ---------------------------------------------------------------- models


def _residual(keras: Any, x: Any) -> list[Any]:
    """Three projections share the order of one ADD group; two expansions have their own."""
    layers = keras.layers
    x = layers.Conv2D(8, 3, padding="same")(x)
    for width in (12, 16):
        y = layers.Conv2D(width, 1)(x)
        y = layers.BatchNormalization()(y)
        y = layers.ReLU(6)(y)
        y = layers.DepthwiseConv2D(3, padding="same", activation="relu6")(y)
        y = layers.Conv2D(8, 1)(y)
        x = layers.Add()([x, y])
    return [layers.Dense(5)(layers.GlobalAveragePooling2D()(x))]


def _squeeze_excite(keras: Any, x: Any) -> list[Any]:
    layers = keras.layers
    x = layers.Conv2D(8, 3, strides=2, padding="same", activation="hard_silu")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="relu")(gate)
    gate = layers.Conv2D(8, 1, activation="sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    narrow = layers.GlobalAveragePooling2D()(x)
    return [layers.Dense(5, activation="tanh")(layers.Reshape((8,))(narrow))]


def _concatenation(keras: Any, x: Any) -> list[Any]:
    """A fire module (pieces 6 and 10), then a dense block that reads it together with its squeeze layer (piece 4)."""
    layers = keras.layers
    squeeze = layers.Conv2D(4, 1, activation="relu")(x)
    wide = layers.Conv2D(10, 3, padding="same")(squeeze)
    fire = layers.Concatenate()([layers.Conv2D(6, 1)(squeeze), wide])
    fire = layers.DepthwiseConv2D(3, padding="same")(fire)
    fire = layers.MaxPooling2D(2)(fire)
    dense = layers.Concatenate()([layers.AveragePooling2D(2)(squeeze), fire])
    x = layers.Conv2D(8, 2, activation="relu")(dense)
    rows = layers.Concatenate(axis=1)([x, x])
    return [layers.Dense(5)(layers.GlobalMaxPooling2D()(rows))]


def _flatten(keras: Any, x: Any) -> list[Any]:
    """The convolution is frozen by the flattening, the hidden layer is not."""
    layers = keras.layers
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(x)
    x = layers.Dense(6, activation="relu")(layers.Flatten()(x))
    return [layers.Dense(5)(x)]


def _shared_layer(keras: Any, x: Any) -> list[Any]:
    """Both uses of the shared layer tie their inputs (8) and their outputs (6), each pair of which has one reader."""
    layers = keras.layers
    shared = layers.Conv2D(6, 3, padding="same", activation="relu")
    first = shared(layers.Conv2D(8, 1)(x))
    second = shared(layers.Conv2D(8, 3, padding="same")(x))
    both = layers.Concatenate()([layers.Conv2D(3, 1)(first), layers.Conv2D(7, 1)(second)])
    return [layers.Dense(5)(layers.GlobalAveragePooling2D()(both))]


def _transposed(keras: Any, x: Any) -> list[Any]:
    layers = keras.layers
    x = layers.Conv2D(6, 3, strides=2, padding="same")(x)
    x = layers.LeakyReLU(negative_slope=0.2)(x)
    x = layers.Conv2DTranspose(4, 3, strides=2, padding="same")(x)
    x = layers.PReLU(shared_axes=[1, 2])(x)
    x = layers.Conv2D(7, 3)(x)
    return [layers.Dense(5)(layers.GlobalAveragePooling2D()(x))]


def _two_outputs(keras: Any, x: Any) -> list[Any]:
    """The first output freezes the layer it comes from, not what that layer reads."""
    layers = keras.layers
    x = layers.Conv2D(6, 3, activation="relu")(x)
    y = layers.Conv2D(4, 1)(x)
    z = layers.Dense(7, activation="relu")(layers.GlobalAveragePooling2D()(x))
    return [y, layers.Dense(3)(z)]


def _constants_and_shapes(keras: Any, x: Any) -> list[Any]:
    """Per-channel and scalar constants, moves in space, dense layers on images and sequences, a layer norm."""
    layers, ops = keras.layers, keras.ops
    rng = np.random.default_rng(3)
    x = layers.Conv2D(6, 3, padding="same", activation="relu")(x)
    x = x * rng.normal(size=6).astype("float32") + rng.normal(size=(8, 1, 6)).astype("float32")
    x = 0.5 - x
    x = layers.ZeroPadding2D(1)(x)
    x = layers.Cropping2D(((2, 1), (1, 2)))(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(x)[:, ::2]
    x = layers.Dense(9)(x)
    x = ops.transpose(layers.Activation("relu")(x), (0, 2, 1, 3))
    x = layers.Reshape((-1, 9))(x)
    x = x - ops.mean(x, axis=-1, keepdims=True)
    x = layers.Dense(7, activation="relu")(x)
    return [layers.Dense(3)(x)]


def _tied_channels(keras: Any, x: Any) -> list[Any]:
    """A depthwise convolution of one channel is free (4); those of several rows a channel and grouped ones are not."""
    layers = keras.layers
    one = layers.DepthwiseConv2D(3, depth_multiplier=4)(layers.Conv2D(1, 1)(x))
    x = layers.Conv2D(6, 3)(one)
    x = layers.DepthwiseConv2D(3, depth_multiplier=2, padding="same", activation="relu")(x)
    x = layers.Conv2D(8, 1)(x)
    x = layers.Conv2D(10, 3, groups=2)(x)
    x = layers.Conv2D(7, 1)(x)
    return [layers.Dense(5)(layers.GlobalAveragePooling2D()(x))]


# Model -> sizes of the groups of two channels or more that must be free.
FREE = {
    _residual: [8, 12, 16],
    _squeeze_excite: [4, 8],
    _concatenation: [4, 6, 8, 10],
    _flatten: [6],
    _shared_layer: [3, 6, 7, 8],
    _transposed: [4, 6, 7],
    _two_outputs: [6, 7],
    _constants_and_shapes: [6, 7, 9],
    _tied_channels: [4, 7],
}
MODELS = pytest.mark.parametrize("build", FREE, ids=lambda build: build.__name__[1:])
Files = Callable[[Callable[..., Any]], bytes]


def _keras_model(build: Callable[..., list[Any]]) -> Any:
    """Random everywhere: with zero biases or equal scales a wrong order would go unnoticed."""
    import keras

    rng = np.random.default_rng(0)
    image = keras.Input((8, 8, 3), name="image")
    model = keras.Model(image, build(keras, image))
    for variable in model.weights:
        values = rng.normal(0, 0.4, variable.shape)
        variable.assign(np.abs(values) + 0.5 if "variance" in variable.path else values)
    return model


def _samples() -> list[dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    return [{"image": rng.normal(size=(1, 8, 8, 3)).astype(np.float32)} for _ in range(8)]


@pytest.fixture(scope="module")
def int8_file(to_tflite: Convert) -> Files:
    """Stock int8 file of a model above, converted once."""
    files: dict[Callable[..., Any], bytes] = {}

    def get(build: Callable[..., Any]) -> bytes:
        if build not in files:
            files[build] = to_tflite(_keras_model(build), _samples())
        return files[build]

    return get


# ---------------------------------------------------------------- what every model must obey


def _distinct(groups: Groups) -> list[ChannelGroup]:
    return list(dict.fromkeys(group for segments in groups.values() for group in segments))


def _free(groups: Groups) -> list[ChannelGroup]:
    return [group for group in _distinct(groups) if group.frozen is None and group.size > 1]


def _random_orders(groups: Groups, seed: int = 0) -> Orders:
    """An order that moves every channel of every free group."""
    rng = np.random.default_rng(seed)
    orders = {}
    for group in _free(groups):
        cycle = rng.permutation(group.size)
        orders[group] = np.empty(group.size, np.int64)
        orders[group][cycle] = np.roll(cycle, 1)
    return orders


def _permuted(content: bytes) -> Model:
    model = load(content)
    groups = channel_groups(model.graph)
    permute_graph(model.graph, groups, _random_orders(groups))
    return model


def _outputs(content: bytes, kernels: Kernels) -> list[np.ndarray]:
    interpreter = make_interpreter(content, kernels=kernels)
    feeds = {detail.name: np.concatenate([s["image"] for s in _samples()[:1]]) for detail in inputs(interpreter)}
    return run(interpreter, feeds)


def _equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@MODELS
def test_the_right_groups_are_free(build: Callable[..., Any], int8_file: Files) -> None:
    assert sorted(group.size for group in _free(channel_groups(load(int8_file(build)).graph))) == FREE[build]


@pytest.mark.parametrize("kernels", ["xnnpack", "reference"])
@MODELS
def test_outputs_do_not_change(build: Callable[..., Any], kernels: Kernels, int8_file: Files) -> None:
    stock, permuted = int8_file(build), save(_permuted(int8_file(build)))
    assert stock != permuted
    expected = _outputs(stock, kernels)
    assert all(len(np.unique(values)) > 2 for values in expected)  # saturated outputs would prove nothing
    assert _equal(_outputs(permuted, kernels), expected)


@MODELS
def test_every_changed_constant_matters(build: Callable[..., Any], int8_file: Files) -> None:
    """What the test above can see: putting back any one of the constants changes the outputs."""
    content = int8_file(build)
    model, stock = _permuted(content), load(content)
    expected = _outputs(content, "reference")
    changed = 0
    for op, original in zip(model.graph.ops, stock.graph.ops, strict=True):
        for slot, tensor in enumerate(original.inputs):
            if tensor is not None and tensor.data is not None and tensor.data != op.input(slot).data:
                changed += 1
                op.inputs[slot], kept = tensor, op.inputs[slot]
                assert not _equal(_outputs(save(model), "reference"), expected), (op.name, slot)
                op.inputs[slot] = kept
    assert changed >= len(FREE[build])


@MODELS
def test_weight_orders_describe_the_permuted_weights(build: Callable[..., Any], int8_file: Files) -> None:
    model, stock = load(int8_file(build)), load(int8_file(build))
    groups = channel_groups(model.graph)
    orders = _random_orders(groups)
    permute_graph(model.graph, groups, orders)
    kinds: Any = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "FULLY_CONNECTED": "dense"}
    kinds["TRANSPOSE_CONV"] = "transpose_conv"
    compared = 0
    for op, original in zip(model.graph.ops, stock.graph.ops, strict=True):
        if op.name not in kinds:
            continue
        kind = kinds[op.name]
        activation, slot, bias_slot = KINDS[kind].site
        rows, columns = weight_orders(op, groups, orders)
        before, weight = original.input(slot), op.input(slot)
        matrix = KINDS[kind].rows(before.array())
        row_index = np.arange(matrix.shape[0]) if rows is None else rows
        column_index = np.arange(matrix.shape[1]) if columns is None else columns
        np.testing.assert_array_equal(KINDS[kind].rows(weight.array()), matrix[row_index][:, column_index])
        assert weight.quantization is not None
        assert before.quantization is not None
        if len(before.quantization.scale) > 1:  # the kernels ignore this copy of the bias scale, other readers do not
            np.testing.assert_array_equal(weight.quantization.scale, before.quantization.scale[row_index])
            bias = op.optional_input(bias_slot)
            assert bias is not None
            assert bias.quantization is not None
            expected = weight.quantization.scale * op.input(activation).scale
            np.testing.assert_allclose(bias.quantization.scale, expected, rtol=1e-6)  # a float32 product
        compared += rows is not None or columns is not None
    assert compared >= len(FREE[build])


def test_frozen_groups_say_why(int8_file: Files) -> None:
    def reasons(build: Callable[..., Any]) -> str:
        groups = channel_groups(load(int8_file(build)).graph)
        return "\n".join(f"{group.size}: {group.frozen}" for group in _distinct(groups) if group.frozen)

    assert "3: comes from graph input 'serving_default_image:0'" in reasons(_residual)
    assert "5: reaches graph output 'StatefulPartitionedCall_1:0'" in reasons(_residual)
    assert "4: RESHAPE (1, 3, 3, 4) -> (1, 36) does not keep the channel axis" in reasons(_flatten)
    assert "6: DEPTHWISE_CONV_2D has 2 rows for each channel" in reasons(_tied_channels)
    assert "8: CONV_2D is grouped: each of its rows reads only some channels" in reasons(_tied_channels)
    assert reasons(_two_outputs).count("reaches graph output") == 2


def test_concatenation_is_made_of_its_inputs(int8_file: Files) -> None:
    graph = load(int8_file(_concatenation)).graph
    groups = channel_groups(graph)
    ends = [op.outputs[0] for op in graph.ops if op.name == "CONCATENATION"]
    assert [[group.size for group in groups[tensor]] for tensor in ends] == [[6, 10], [4, 6, 10], [8]]
    depthwise = next(op for op in graph.ops if op.name == "DEPTHWISE_CONV_2D")
    assert groups[depthwise.outputs[0]] == groups[ends[0]] == groups[ends[1]][1:]


def test_a_shared_layer_keeps_one_matrix(int8_file: Files) -> None:
    model = _permuted(int8_file(_shared_layer))
    uses = [op for op in model.graph.ops if op.outputs[0].shape[-1] == 6]
    assert len(uses) == 2
    assert uses[0].input(1) is uses[1].input(1)


# ---------------------------------------------------------------- other number formats


def test_int4_weights(int8_file: Files) -> None:
    model = load(int8_file(_two_outputs))
    op = next(op for op in model.graph.ops if op.name == "FULLY_CONNECTED")
    weight = op.input(1)
    codes = weight.array() // 16
    assert codes.size % 2 == 0
    op.inputs[1] = replace(weight, type=TensorType.INT4, data=pack_int4(codes))
    op.version = 4
    content = save(model)
    assert load(content).graph.ops[model.graph.ops.index(op)].input(1).type == TensorType.INT4
    expected = _outputs(content, "xnnpack")
    assert not _equal(_outputs(int8_file(_two_outputs), "xnnpack"), expected)
    assert _equal(_outputs(save(_permuted(content)), "xnnpack"), expected)


@pytest.mark.parametrize("build", [_residual, _transposed], ids=["residual", "transposed"])
def test_float_layers(build: Callable[..., Any], to_tflite: Convert) -> None:
    """Stock int8 files may hold float layers."""
    content = to_tflite(_keras_model(build))
    assert sorted(group.size for group in _free(channel_groups(load(content).graph))) == FREE[build]
    expected = _outputs(content, "xnnpack")[0]
    permuted = _outputs(save(_permuted(content)), "xnnpack")[0]
    # Sums of at most 100 float32 terms, a few layers deep, in another order.
    np.testing.assert_allclose(permuted, expected, rtol=1e-4, atol=1e-5 * float(np.abs(expected).max()))


def test_a_constant_of_two_orders_is_copied() -> None:
    bias = _constant("bias", np.arange(4, dtype=np.int32))
    x, a, b = (_tensor(name, (1, 4)) for name in "xab")
    graph = _graph(x, [_dense(x, a, bias=bias), _dense(x, b, bias=bias)])
    groups = channel_groups(graph)
    orders = {groups[a][0]: np.array([1, 0, 2, 3]), groups[b][0]: np.array([3, 2, 1, 0])}
    permute_graph(graph, groups, orders)
    assert [op.input(2).array().tolist() for op in graph.ops] == [[1, 0, 2, 3], [3, 2, 1, 0]]
    assert bias.array().tolist() == [0, 1, 2, 3]


def test_orders_are_checked() -> None:
    x, y = _tensor("x", (1, 3)), _tensor("y", (1, 4))
    graph = _graph(x, [_dense(x, y)])
    groups = channel_groups(graph)
    with pytest.raises(ValueError, match=r"must hold 0\.\.3 once each"):
        permute_graph(graph, groups, {groups[y][0]: np.array([0, 1, 2, 2])})
    with pytest.raises(ValueError, match="must stay: comes from graph input 'x'"):
        permute_graph(graph, groups, {groups[x][0]: np.array([1, 0, 2])})
    permute_graph(graph, groups, {groups[x][0]: np.arange(3)})


# ---------------------------------------------------------------- single operators


def _tensor(name: str, shape: tuple[int, ...]) -> Tensor:
    return Tensor(name, shape, TensorType.INT8)


def _constant(name: str, array: Any) -> Tensor:
    values = np.asarray(array)
    kind = {"int8": TensorType.INT8, "int32": TensorType.INT32, "int64": TensorType.INT32}[values.dtype.name]
    data = values.astype(np.int8 if kind == TensorType.INT8 else np.int32).tobytes()
    return Tensor(name, values.shape, kind, data)


def _graph(x: Tensor, ops: list[Op]) -> Graph:
    return Graph([x], [], ops)


def _op(name: str, operands: list[Tensor | None], out: Tensor, **options: Any) -> Op:
    return Op(getattr(BuiltinOperator, name), operands, [out], options=SimpleNamespace(**options))


def _dense(x: Tensor, y: Tensor, *, weight: Tensor | None = None, bias: Tensor | None = None) -> Op:
    shape = y.shape[-1], x.shape[-1]
    weight = weight or _constant("weight", np.zeros(shape, np.int8))
    return _op("FULLY_CONNECTED", [x, weight, bias], y, weightsFormat=0)


def _conv(x: Tensor, y: Tensor) -> Op:
    weight = _constant("weight", np.zeros((y.shape[-1], 1, 1, x.shape[-1]), np.int8))
    return _op("CONV_2D", [x, weight, None], y)


_NO_MASKS = {"beginMask": 0, "endMask": 0, "ellipsisMask": 0, "newAxisMask": 0, "shrinkAxisMask": 0}


def _strided(begin: list[int], strides: list[int], **masks: int) -> tuple[str, list[Any], dict[str, int]]:
    return "STRIDED_SLICE", [begin, [0] * len(begin), strides], {**_NO_MASKS, **masks}


# Operator, its constant arguments, its options, input shape, output shape, reason of the input (None: joined).
SHAPED: dict[str, tuple[str, list[Any], dict[str, Any], tuple[int, ...], tuple[int, ...], str | None]] = {
    "pad": ("PAD", [[[0, 0], [1, 1], [0, 2], [0, 0]]], {}, (1, 4, 4, 8), (1, 6, 6, 8), None),
    "pad channels": ("PAD", [[[0, 0], [0, 0], [0, 0], [2, 2]]], {}, (1, 4, 4, 4), (1, 4, 4, 8), "PAD adds channels"),
    "tile": ("TILE", [[1, 2, 2, 1]], {}, (1, 4, 4, 8), (1, 8, 8, 8), None),
    "tile channels": ("TILE", [[1, 1, 1, 2]], {}, (1, 4, 4, 4), (1, 4, 4, 8), "TILE repeats channels"),
    "transpose": ("TRANSPOSE", [[0, 2, 1, 3]], {}, (1, 8, 8, 8), (1, 8, 8, 8), None),
    "to channels": ("TRANSPOSE", [[0, 3, 1, 2]], {}, (1, 8, 8, 8), (1, 8, 8, 8), "TRANSPOSE moves the channel axis"),
    "slice": ("SLICE", [[0, 1, 1, 0], [1, 2, 2, 8]], {}, (1, 4, 4, 8), (1, 2, 2, 8), None),
    "cut": ("SLICE", [[0, 0, 0, 0], [1, 4, 4, 4]], {}, (1, 4, 4, 8), (1, 4, 4, 4), "SLICE may cut channels"),
    "crop": (*_strided([0, 1, 1, 0], [1, 1, 2, 1]), (1, 4, 4, 8), (1, 3, 2, 8), None),
    "crop short": (*_strided([0, 1], [1, 1]), (1, 4, 4, 8), (1, 3, 4, 8), None),
    "one row": (*_strided([0, 1, 0, 0], [1, 1, 1, 1], shrinkAxisMask=2), (1, 4, 4, 8), (1, 4, 8), None),
    "masked begin": (*_strided([0, 0, 0, 3], [1, 1, 1, 1], beginMask=8), (1, 4, 4, 8), (1, 4, 4, 8), None),
    "reverse": (*_strided([0, 0, 0, 0], [1, 1, 1, -1], beginMask=8), (1, 4, 4, 8), (1, 4, 4, 8), "may cut channels"),
    "one channel": (*_strided([0, 0, 0], [1] * 3, shrinkAxisMask=4), (1, 8, 8), (1, 8), "may cut channels"),
    "ellipsis": (*_strided([0, 0], [1, 1], ellipsisMask=1, shrinkAxisMask=2), (1, 8, 8), (1, 8), "may cut channels"),
    "mean": ("MEAN", [[1, 2]], {"keepDims": False}, (1, 4, 4, 8), (1, 8), None),
    "mean over channels": ("MEAN", [[-1]], {"keepDims": False}, (1, 4, 8, 8), (1, 4, 8), "drops the channel axis"),
    "blocks": ("SPACE_TO_BATCH_ND", [[2, 2], [[0, 0]] * 2], {}, (1, 4, 4, 8), (4, 2, 2, 8), None),
    "blocks of channels": ("BATCH_TO_SPACE_ND", [[1, 1], [[0, 0]] * 2], {}, (4, 2, 8), (4, 2, 8), "may move channels"),
    "reshape": ("RESHAPE", [[1, 8]], {}, (1, 1, 1, 8), (1, 8), None),
    "unflatten": ("RESHAPE", [[1, 2, 4]], {}, (1, 8), (1, 2, 4), "does not keep the channel axis"),
    "squeeze": ("SQUEEZE", [], {}, (1, 1, 8), (1, 8), None),
    "leaky": ("LEAKY_RELU", [], {}, (1, 8), (1, 8), None),
    "softmax": ("SOFTMAX", [], {}, (1, 8), (1, 8), "SOFTMAX adds up channels"),
    "rows": ("GATHER", [[0, 1]], {"axis": 0}, (2, 8), (2, 8), None),
    "channels by index": ("GATHER", [[0, 1]], {"axis": -1}, (1, 8), (1, 8), "GATHER picks channels"),
    "unit length": ("L2_NORMALIZATION", [], {}, (1, 8), (1, 8), None),
    "unknown": ("REVERSE_V2", [[0]], {}, (1, 8), (1, 8), "op REVERSE_V2 is not known to keep channels apart"),
    "loop": ("WHILE", [], {}, (1, 8), (1, 8), "op WHILE is not known to keep channels apart"),
}


@pytest.mark.parametrize("case", SHAPED)
def test_operator(case: str) -> None:
    name, arguments, options, before, after, reason = SHAPED[case]
    image, x, y, z = (_tensor(n, shape) for n, shape in zip("ixyz", [(1, 3), before, after, (1, 5)], strict=True))
    constants = [_constant("argument", a) for a in arguments]
    groups = channel_groups(_graph(image, [_dense(image, x), _op(name, [x, *constants], y, **options), _dense(y, z)]))
    if reason is None:
        assert groups[x] == groups[y]
        assert groups[x][0].frozen is None
    else:
        assert reason in str(groups[x][0].frozen)
        assert reason in str(groups[y][0].frozen)
    assert groups[z][0].frozen is None


@pytest.mark.parametrize(("name", "arguments"), [("PAD", 1), ("TILE", 1), ("SLICE", 2), ("MEAN", 1), ("TRANSPOSE", 1)])
def test_computed_arguments_freeze(name: str, arguments: int) -> None:
    image, x, y = _tensor("i", (1, 3)), _tensor("x", (1, 4, 4, 8)), _tensor("y", (1, 4, 4, 8))
    computed: list[Tensor | None] = [_tensor("a", (4,)) for _ in range(arguments)]
    groups = channel_groups(_graph(image, [_dense(image, x), _op(name, [x, *computed], y)]))
    assert groups[x][0].frozen
    assert groups[y][0].frozen


def test_custom_operators_are_unknown_by_any_name() -> None:
    image, x, y = _tensor("image", (1, 3)), _tensor("x", (1, 4)), _tensor("y", (1, 4))
    custom = Op(BuiltinOperator.CUSTOM, [x], [y], custom_code="RELU")
    groups = channel_groups(_graph(image, [_dense(image, x), custom]))
    assert groups[x][0].frozen == groups[y][0].frozen == "op RELU is not known to keep channels apart"


@pytest.mark.parametrize("name", ["RESHAPE", "RESIZE_BILINEAR"])
def test_computed_shapes_keep_their_order(name: str) -> None:
    image, x, y, shape = (_tensor(n, s) for n, s in zip("ixys", [(1, 3), (1, 4), (1, 4), (2,)], strict=True))
    groups = channel_groups(_graph(image, [_dense(image, x), _dense(image, shape), _op(name, [x, shape], y)]))
    assert groups[x][0].frozen is groups[y][0].frozen is None
    assert groups[shape][0].frozen == f"is an argument of {name}"


def test_computed_bias_freezes_rows_only() -> None:
    image, x, y, bias = (_tensor(n, s) for n, s in zip("ixyb", [(1, 3), (1, 4), (1, 5), (5,)], strict=True))
    groups = channel_groups(_graph(image, [_dense(image, x), _dense(image, bias), _dense(x, y, bias=bias)]))
    assert groups[x][0].frozen is None
    assert groups[y][0].frozen == "the graph computes the bias of FULLY_CONNECTED"
    assert groups[bias][0].frozen == "is an argument of FULLY_CONNECTED"


@pytest.mark.parametrize(("before", "after"), [((1, 4), ()), ((), (1, 4))])
def test_unknown_rank_freezes(before: tuple[int, ...], after: tuple[int, ...]) -> None:
    """Files give tensors of unknown rank no shape."""
    image, x, y = _tensor("image", (1, 3)), _tensor("x", before), _tensor("y", after)
    make = _dense(image, x) if before else _op("GATHER", [image], x)
    groups = channel_groups(_graph(image, [make, _op("RELU", [x], y)]))
    assert groups[x][0].frozen
    assert groups[y][0].frozen


def test_the_first_reason_stays() -> None:
    image, x, y = _tensor("image", (1, 3)), _tensor("x", (1, 4)), _tensor("y", (1, 4))
    graph = Graph([image], [y], [_dense(image, x), _op("SOFTMAX", [x], y)])
    assert "SOFTMAX adds up channels" in str(channel_groups(graph)[y][0].frozen)


def test_reduced_channels_may_have_any_order() -> None:
    """As in a layer norm; the numbers of a SHAPE are no channels."""
    image, x, mean, shape = (_tensor(n, s) for n, s in zip("ixms", [(1, 3), (1, 4, 8), (1, 4, 1), (3,)], strict=True))
    reduce = _op("MEAN", [x, _constant("axes", [2])], mean, keepDims=True)
    groups = channel_groups(_graph(image, [_dense(image, x), reduce, _op("SHAPE", [x], shape)]))
    assert groups[x][0].frozen is None
    assert groups[mean][0].frozen is None
    assert groups[shape][0].frozen == "SHAPE gives no channels"


def _pieces(sizes: tuple[int, ...], image: Tensor, name: str) -> tuple[Tensor, list[Op]]:
    parts = [_tensor(f"{name}{i}", (1, 4, 4, n)) for i, n in enumerate(sizes)]
    whole = _tensor(name, (1, 4, 4, sum(sizes)))
    return whole, [*(_conv(image, p) for p in parts), _op("CONCATENATION", [*parts], whole, axis=3)]


@pytest.mark.parametrize(("second", "free"), [((4, 6), [4, 6]), ((6, 4), []), ((10,), [])])
def test_sum_of_two_concatenations(second: tuple[int, ...], free: list[int]) -> None:
    image = _tensor("image", (1, 4, 4, 3))
    (a, make_a), (b, make_b) = _pieces((4, 6), image, "a"), _pieces(second, image, "b")
    total = _tensor("total", a.shape)
    groups = channel_groups(_graph(image, [*make_a, *make_b, _op("ADD", [a, b], total)]))
    assert sorted(group.size for group in _free(groups)) == free
    if not free:
        assert "concatenated from other pieces" in str(groups[a][0].frozen)
        assert "concatenated from other pieces" in str(groups[b][0].frozen)


def test_concatenated_constant_stays() -> None:
    image, x, y = _tensor("image", (1, 3)), _tensor("x", (1, 4)), _tensor("y", (1, 6))
    constant = _constant("c", np.zeros((1, 2), np.int8))
    graph = _graph(image, [_dense(image, x), _op("CONCATENATION", [x, constant], y, axis=-1)])
    groups = channel_groups(graph)
    assert [group.frozen for group in groups[y]] == [None, "joins constant 'c'"]


def test_broadcast_operands() -> None:
    """A single channel, such as a spatial attention map, has no part in the order; constants of one value stay."""
    image, x, gate, y, z = (
        _tensor(n, s)
        for n, s in zip("ixgyz", [(1, 4, 4, 3), (1, 4, 4, 8), (1, 4, 4, 1), (1, 4, 4, 8), (1, 4, 4, 8)], strict=True)
    )
    scalar, vector = _constant("scalar", np.array([7], np.int8)), _constant("vector", np.arange(8, dtype=np.int8))
    wide = [_op("MUL", [x, gate], y), _op("ADD", [y, scalar], z), _op("ADD", [gate, vector], _tensor("w", z.shape))]
    graph = _graph(image, [_conv(image, x), _conv(image, gate), *wide])
    groups = channel_groups(graph)
    assert groups[x] == groups[y] == groups[z]
    outer = groups[wide[2].outputs[0]]
    assert outer != groups[x]
    assert [g.size for g in _free(groups)] == [8, 8]
    permute_graph(graph, groups, {groups[x][0]: np.arange(8)[::-1], outer[0]: np.roll(np.arange(8), 1)})
    assert wide[1].input(1) is scalar
    assert wide[2].input(1).array().tolist() == [7, 0, 1, 2, 3, 4, 5, 6]


def test_weights_that_cannot_be_reordered() -> None:
    image, x, y = _tensor("image", (1, 3)), _tensor("x", (1, 4)), _tensor("y", (1, 5))

    def reason(*ops: Op) -> str:
        groups = channel_groups(_graph(image, [_dense(image, x), *ops]))
        assert groups[x][0].frozen == groups[y][0].frozen
        return str(groups[y][0].frozen)

    assert reason(_dense(x, y, weight=_tensor("w", (5, 4)))) == "the graph computes the weights of FULLY_CONNECTED"
    shuffled = _dense(x, y)
    shuffled.options.weightsFormat = 1
    assert reason(shuffled) == "FULLY_CONNECTED stores its weights shuffled"
    sparse = _constant("s", np.zeros((5, 4), np.int8))
    sparse.raw = SimpleNamespace(sparsity=object(), quantization=None)
    assert reason(_dense(x, y, weight=sparse)) == "constant 's' is stored sparse"
    blocks = _constant("b", np.zeros((5, 4), np.int8))
    blocks.raw = SimpleNamespace(sparsity=None, quantization=SimpleNamespace(details=object()))
    assert reason(_dense(x, y, weight=blocks)) == "constant 'b' is quantized in blocks"
    table = _constant("t", np.zeros((5, 4), np.int8))
    gather = _op("GATHER", [table, _constant("i", [0])], _tensor("g", (1, 4)))
    assert reason(_dense(x, y, weight=table), gather) == "weight 't' is also an argument of GATHER"


def test_constants_that_cannot_be_reordered() -> None:
    image, x, y = _tensor("image", (1, 3)), _tensor("x", (1, 4)), _tensor("y", (1, 4))
    strange = Tensor("c", (4,), TensorType.STRING, b"....")
    groups = channel_groups(_graph(image, [_dense(image, x), _op("ADD", [x, strange], y)]))
    assert groups[x][0].frozen == groups[y][0].frozen == "constant 'c' has a type that cannot be read"


def test_a_weight_of_two_kinds_freezes_all_its_layers() -> None:
    image, x, y = _tensor("image", (1, 4, 4, 4)), _tensor("x", (1, 4, 4, 4)), _tensor("y", (1, 4, 4, 4))
    weight = _constant("w", np.zeros((1, 2, 2, 4), np.int8))
    transposed = _op("TRANSPOSE_CONV", [_constant("shape", [1, 4, 4, 1]), weight, x], z := _tensor("z", (1, 4, 4, 1)))
    graph = _graph(image, [_conv(image, x), _op("DEPTHWISE_CONV_2D", [x, weight, None], y), transposed])
    groups = channel_groups(graph)
    assert groups[x] == groups[y]
    for tensor in (y, z):
        assert groups[tensor][0].frozen == "weight 'w' is shared by layers of different kinds"


def test_implicit_flattening_freezes_the_input_only() -> None:
    image, x, y = _tensor("image", (1, 2, 2, 3)), _tensor("x", (1, 2, 2, 4)), _tensor("y", (1, 5))
    flat = _dense(x, y, weight=_constant("w", np.zeros((5, 16), np.int8)))
    groups = channel_groups(_graph(image, [_conv(image, x), flat]))
    assert groups[x][0].frozen == "FULLY_CONNECTED flattens (1, 2, 2, 4) to rows of 16"
    assert groups[y][0].frozen is None


def test_channels_known_only_at_run_time_freeze() -> None:
    image, x, y = _tensor("image", (1, 3)), _tensor("x", (1, 4)), _tensor("y", (1, 4))
    y.shape_signature = (-1, -1)
    groups = channel_groups(_graph(image, [_dense(image, x), _op("RELU", [x], y)]))
    assert groups[x][0].frozen == "RELU works on a number of channels known only at run time"


def test_variables_and_scalars() -> None:
    image, x, state, y = _tensor("image", (1, 3)), _tensor("x", (1, 4)), _tensor("state", (1, 4)), _tensor("y", (1, 4))
    scalar = _tensor("scalar", ())
    ops = [_dense(image, x), _op("ADD", [x, state], y), _op("MUL", [scalar, scalar], _tensor("square", ()))]
    groups = channel_groups(_graph(image, ops))
    assert groups[y][0].frozen == "comes from variable 'state'"
    assert groups[scalar][0].size == 1


def test_scales_along_the_reordered_axis_follow() -> None:
    image, x = _tensor("image", (1, 3)), _tensor("x", (1, 4))
    weight = _constant("w", np.zeros((4, 3), np.int8))
    weight.quantization = Quantization(np.arange(4, dtype=np.float32) + 1, np.arange(4))
    graph = _graph(image, [_dense(image, x, weight=weight)])
    groups = channel_groups(graph)
    permute_graph(graph, groups, {groups[x][0]: np.array([2, 0, 3, 1])})
    quantization = graph.ops[0].input(1).quantization
    assert quantization is not None
    assert quantization.scale.tolist() == [3, 1, 4, 2]
    assert quantization.zero_point.tolist() == [2, 0, 3, 1]


@pytest.mark.parametrize("table", [False, True], ids=["dense", "table"])
def test_a_weight_that_is_used_where_sizes_are_open_keeps_its_order_everywhere(table: bool):
    def tensor(name: str, shape: tuple[int, ...], signature: tuple[int, ...] | None = None) -> Tensor:
        return Tensor(name, shape, TensorType.FLOAT32, shape_signature=signature)

    def dense(source: Tensor, weight: Tensor, name: str) -> Op:
        options = {"fusedActivationFunction": 0, "weightsFormat": 0, "keepNumDims": False}
        result = tensor(name, (1, weight.shape[0]))
        operands = [source, weight, None]
        return make_op(BuiltinOperator.FULLY_CONNECTED, operands, [result], 1, "FullyConnectedOptions", **options)

    def matrix(name: str, rows: int, columns: int) -> Tensor:
        values = np.ones((rows, columns), np.float32)
        return Tensor(name, values.shape, TensorType.FLOAT32, values.tobytes())

    shared = matrix("shared", 5, 4)
    first = dense(tensor("x", (1, 3)), matrix("own", 4, 3), "hidden")
    second = dense(first.outputs[0], shared, "y")
    if table:
        ids = Tensor("ids", (1,), TensorType.INT32, shape_signature=(-1,))
        other = Op(BuiltinOperator.EMBEDDING_LOOKUP, [ids, shared], [tensor("rows", (1, 4), (-1, 4))])
    else:
        other = dense(tensor("reshaped", (1, 1), (-1, -1)), shared, "z")
    graph = Graph([first.input(0), other.input(0)], [second.outputs[0], other.outputs[0]], [first, second, other])
    (hidden,) = channel_groups(graph)[first.outputs[0]]
    assert hidden.frozen is not None
