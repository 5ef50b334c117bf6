from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from converters.native_logs import quiet
from converters.reference.tf_ops import OPS, OpError, Program
from converters.runtime.interpreter import make_interpreter
from converters.tflite.graph import BuiltinOperator, Graph, Op, Quantization, Tensor, TensorType, schema
from converters.tflite.reader import load

# Float32 sums in another order; the largest case adds about a hundred products.
TOLERANCE = 1e-4

Function = Callable[..., Any]


@pytest.fixture(scope="module")
def tf() -> Any:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with quiet():
        import tensorflow as tf
    return tf


def _normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


def _elementwise(tf: Any) -> dict[str, Function]:
    """Of x (1, 6, 6, 8), y alike, and positive p alike."""
    row = _normal(8)
    return {
        "ADD": lambda x, y, p: tf.nn.relu(x + y),
        "SUB": lambda x, y, p: tf.nn.relu6(x - row),
        "MUL": lambda x, y, p: x * tf.reduce_mean(y, (1, 2), keepdims=True),
        "DIV": lambda x, y, p: x / p,
        "ADD_N": lambda x, y, p: tf.add_n([x, y, p]),
        "MAXIMUM": lambda x, y, p: tf.maximum(x, y),
        "MINIMUM": lambda x, y, p: tf.minimum(x, row),
        "SQUARED_DIFFERENCE": lambda x, y, p: tf.math.squared_difference(x, y),
        "POW": lambda x, y, p: tf.pow(p, y),
        "NEG": lambda x, y, p: tf.negative(x),
        "ABS": lambda x, y, p: tf.abs(x),
        "LESS": lambda x, y, p: tf.where(x < y, x, p),
        "LESS_EQUAL": lambda x, y, p: tf.where(x <= row, x, p),
        "GREATER": lambda x, y, p: tf.where(x > y, y, p),
        "GREATER_EQUAL": lambda x, y, p: tf.where(x >= row, y, p),
        "EQUAL": lambda x, y, p: tf.where(tf.equal(tf.maximum(x, 0.0), tf.maximum(y, 0.0)), x, p),
        "NOT_EQUAL": lambda x, y, p: tf.where(tf.not_equal(tf.maximum(x, 0.0), tf.maximum(y, 0.0)), x, p),
        "LOGICAL_AND": lambda x, y, p: tf.where(tf.logical_and(x < y, y < p), x, p),
        "LOGICAL_OR": lambda x, y, p: tf.where(tf.logical_or(x < y, y < p), x, p),
        "SELECT_V2": lambda x, y, p: tf.where(x[..., :1] < y, x, row),
        "SELECT": lambda x, y, p: tf.compat.v1.where(x < p, y, x),
        "EXP": lambda x, y, p: tf.exp(x),
        "LOG": lambda x, y, p: tf.math.log(p),
        "SQRT": lambda x, y, p: tf.sqrt(p),
        "RSQRT": lambda x, y, p: tf.math.rsqrt(p),
        "SQUARE": lambda x, y, p: tf.square(x),
        "SIN": lambda x, y, p: tf.sin(x),
        "COS": lambda x, y, p: tf.cos(x),
        "LOGISTIC": lambda x, y, p: tf.sigmoid(x),
        "TANH": lambda x, y, p: tf.tanh(x),
        "RELU": lambda x, y, p: tf.nn.relu(x),
        "RELU6": lambda x, y, p: tf.nn.relu6(tf.transpose(x, (0, 2, 1, 3))),
        "RELU_N1_TO_1": lambda x, y, p: tf.maximum(-1.0, tf.minimum(x, 1.0)),
        "RELU_0_TO_1": lambda x, y, p: tf.maximum(0.0, tf.minimum(x, 1.0)),
        "LEAKY_RELU": lambda x, y, p: tf.nn.leaky_relu(x, 0.3),
        "PRELU": lambda x, y, p: tf.nn.relu(tf.sin(y)) + row[None, None] * tf.nn.relu(-tf.sin(y)),
        "ELU": lambda x, y, p: tf.nn.elu(x),
        "GELU": lambda x, y, p: tf.nn.gelu(y, approximate=False),
        "GELU (approximate)": lambda x, y, p: tf.nn.gelu(x, approximate=True),
        "HARD_SWISH": lambda x, y, p: x * tf.nn.relu6(x + 3.0) * (1 / 6),
        "SOFTMAX": lambda x, y, p: tf.nn.softmax(x),
        "LOG_SOFTMAX": lambda x, y, p: tf.nn.log_softmax(x),
        "L2_NORMALIZATION": lambda x, y, p: tf.math.l2_normalize(x, -1),
        "CAST": lambda x, y, p: tf.cast(tf.cast(4 * x, tf.int32), tf.float32),
    }


def _layers(tf: Any) -> dict[str, Function]:
    """Of x (1, 9, 10, 8) and rows r (1, 5, 8)."""
    full, grouped, depthwise = _normal(3, 3, 8, 6), _normal(3, 3, 4, 6), _normal(3, 3, 8, 2)
    single, transposed, matrix, bias = _normal(3, 2, 1, 16), _normal(3, 3, 6, 8), _normal(8, 6), _normal(6)

    def conv(x: Any, kernel: np.ndarray, strides: Any, padding: str, dilations: Any = 1) -> Any:
        return tf.nn.conv2d(x, kernel, strides, padding, dilations=dilations)

    def slide(x: Any, strides: tuple[int, int], padding: str, dilations: tuple[int, int] = (1, 1)) -> Any:
        return tf.nn.depthwise_conv2d(x, depthwise, (1, *strides, 1), padding, dilations=dilations)

    return {
        "CONV_2D": lambda x, r: tf.nn.relu(conv(x, full, 1, "SAME") + bias),
        "CONV_2D (strides)": lambda x, r: tf.nn.relu6(conv(x, full, 2, "SAME") + bias),
        "CONV_2D (unequal strides)": lambda x, r: conv(x, full, (2, 1), "VALID"),
        "CONV_2D (dilation)": lambda x, r: conv(x, full, 1, "SAME", 2),
        "CONV_2D (strides and dilation)": lambda x, r: conv(x, full, 2, "SAME", (2, 3)) + bias,
        "CONV_2D (groups)": lambda x, r: conv(x, grouped, 1, "SAME") + bias,
        "CONV_2D (one channel a group)": lambda x, r: conv(x, single, 2, "VALID"),
        "DEPTHWISE_CONV_2D": lambda x, r: tf.nn.relu6(slide(x, (2, 2), "SAME")),
        "DEPTHWISE_CONV_2D (unequal strides)": lambda x, r: slide(x, (1, 2), "SAME"),
        "DEPTHWISE_CONV_2D (dilation)": lambda x, r: slide(x, (1, 1), "VALID", (2, 2)),
        "TRANSPOSE_CONV": lambda x, r: tf.nn.conv2d_transpose(x, transposed, (1, 17, 20, 6), 2, "SAME") + bias,
        "TRANSPOSE_CONV (valid)": lambda x, r: tf.nn.conv2d_transpose(x, transposed, (1, 19, 12, 6), (2, 1), "VALID"),
        "FULLY_CONNECTED": lambda x, r: tf.nn.relu(tf.reshape(x, (1, -1)) @ _normal(720, 6) + bias),
        "FULLY_CONNECTED (rank 3)": lambda x, r: tf.tensordot(r, matrix, 1) + bias,
        "BATCH_MATMUL": lambda x, r: tf.matmul(r, r, transpose_b=True),
        "BATCH_MATMUL (heads)": lambda x, r: tf.matmul(x, 2 * x, transpose_a=True),
    }


def _shapes(tf: Any) -> dict[str, Function]:
    """Of x (1, 6, 8, 4) and tokens t (1, 3)."""
    order, table = np.array([3, 0, 1]), _normal(7, 5)
    resize, nearest = tf.raw_ops.ResizeBilinear, tf.raw_ops.ResizeNearestNeighbor
    pool = tf.nn.avg_pool2d
    return {
        "MEAN": lambda x, t: tf.reduce_mean(x, (1, 2)),
        "SUM": lambda x, t: tf.reduce_sum(x, -1, keepdims=True),
        "REDUCE_MAX": lambda x, t: tf.reduce_max(x, 1),
        "REDUCE_MIN": lambda x, t: tf.reduce_min(x, (2, 3)),
        "REDUCE_PROD": lambda x, t: tf.reduce_prod(x, 3),
        "MAX_POOL_2D": lambda x, t: tf.nn.max_pool2d(x, 3, 2, "SAME"),
        "AVERAGE_POOL_2D": lambda x, t: pool(x, (3, 2), (2, 1), "SAME"),
        "AVERAGE_POOL_2D (valid)": lambda x, t: tf.nn.relu(pool(x, 2, 2, "VALID")),
        "RESIZE_BILINEAR": lambda x, t: tf.image.resize(x, (9, 5)),
        "RESIZE_BILINEAR (corners)": lambda x, t: resize(images=x, size=(11, 12), align_corners=True),
        "RESIZE_BILINEAR (plain)": lambda x, t: resize(images=x, size=(12, 16)),
        "RESIZE_NEAREST_NEIGHBOR": lambda x, t: tf.image.resize(x, (9, 12), "nearest"),
        "RESIZE_NEAREST_NEIGHBOR (plain)": lambda x, t: nearest(images=x, size=(9, 5)),
        "RESHAPE": lambda x, t: tf.reshape(x, (1, 3, 2, 32)),
        "RESHAPE (rows)": lambda x, t: tf.reshape(tf.nn.relu(tf.reshape(x, (48, 4))), (1, 48, 4)),
        "TRANSPOSE": lambda x, t: tf.transpose(x, (0, 3, 2, 1)),
        "CONCATENATION": lambda x, t: tf.concat([x, tf.abs(x)], -1),
        "PACK": lambda x, t: tf.stack([x, tf.abs(x)], 2),
        "UNPACK": lambda x, t: tf.multiply(*tf.unstack(x, axis=3)[1:3]),
        "SPLIT": lambda x, t: tf.multiply(*tf.split(x, 2, 2)),
        "SPLIT_V": lambda x, t: tf.split(x, (1, 5, 2), 2)[1],
        "SLICE": lambda x, t: tf.slice(x, (0, 1, 0, 2), (1, 4, -1, 2)),
        "STRIDED_SLICE": lambda x, t: x[:, 1:-1:2, ..., tf.newaxis, 1],
        "STRIDED_SLICE (whole batch)": lambda x, t: x[0:1, ::-1, 2:],
        "GATHER": lambda x, t: tf.gather(x, order, axis=3),
        "GATHER (of indices)": lambda x, t: tf.gather(table, t),
        "TILE": lambda x, t: tf.tile(x, (1, 2, 1, 3)),
        "REVERSE_V2": lambda x, t: tf.reverse(x, (2,)),
        "PAD": lambda x, t: tf.pad(x, ((0, 0), (1, 0), (2, 3), (0, 1))),
        "PADV2": lambda x, t: tf.pad(x, ((0, 0), (1, 0), (2, 3), (0, 1)), constant_values=-1.5),
        "MIRROR_PAD": lambda x, t: tf.pad(x, ((0, 0), (1, 0), (2, 3), (0, 1)), "REFLECT"),
        "MIRROR_PAD (symmetric)": lambda x, t: tf.pad(x, ((0, 0), (1, 0), (2, 3), (0, 1)), "SYMMETRIC"),
        "SPACE_TO_BATCH_ND": lambda x, t: tf.batch_to_space(
            tf.abs(tf.space_to_batch(x, (2, 2), ((0, 0), (1, 1)))), (2, 2), ((0, 0), (1, 1))
        ),
        "BATCH_TO_SPACE_ND": lambda x, t: tf.batch_to_space(
            tf.exp(tf.space_to_batch(x, (3, 1), ((0, 0), (0, 0)))), (3, 1), ((1, 0), (0, 2))
        ),
        "SPACE_TO_DEPTH": lambda x, t: tf.nn.space_to_depth(x, 2),
        "DEPTH_TO_SPACE": lambda x, t: tf.nn.depth_to_space(x, 2),
    }


def _any_batch(tf: Any) -> dict[str, Function]:
    """Of x (None, 6, 8): shapes are computed by the graph itself."""
    kernel = _normal(3, 3, 6, 8)
    return {
        "SHAPE": lambda x: tf.tensordot(x, _normal(8, 6), 1),
        "EXPAND_DIMS": lambda x: tf.expand_dims(x, 2) + 1.0,
        "BROADCAST_TO": lambda x: tf.broadcast_to(tf.reduce_max(x, 2, keepdims=True), tf.shape(x)),
        "TRANSPOSE_CONV": lambda x: tf.nn.conv2d_transpose(x[:, None], kernel, (tf.shape(x)[0], 2, 12, 6), 2, "SAME"),
    }


CASES: dict[str, tuple[Callable[[Any], dict[str, Function]], list[tuple[int | None, ...]]]] = {
    "elementwise": (_elementwise, [(1, 6, 6, 8)] * 3),
    "layers": (_layers, [(1, 9, 10, 8), (1, 5, 8)]),
    "shapes": (_shapes, [(1, 6, 8, 4), (1, 3)]),
    "any batch": (_any_batch, [(None, 6, 8)]),
}
# Not made by the converter from float functions alone: tests of their own below.
BY_HAND = {"SQUEEZE", "QUANTIZE", "DEQUANTIZE", "EMBEDDING_LOOKUP", "LOGICAL_NOT", "FILL"}


def _flatbuffer(tf: Any, function: Function, specs: list[Any], *, float16: bool = False) -> bytes:
    traced = tf.function(function, input_signature=specs, autograph=False).get_concrete_function()
    with quiet():
        converter = tf.lite.TFLiteConverter.from_concrete_functions([traced])
        if float16:
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()


def _samples(graph: Graph, count: int) -> list[dict[Tensor, np.ndarray]]:
    """Random inputs: indices 0..6, positive values for an input called ``p``."""
    rng = np.random.default_rng(7)

    def value(tensor: Tensor) -> np.ndarray:
        if tensor.type == TensorType.INT32:
            return rng.integers(0, 7, tensor.shape, np.int32)
        values = rng.normal(size=tensor.shape).astype(np.float32)
        return np.abs(values) + np.float32(0.1) if tensor.name.startswith("p") else values

    return [{tensor: value(tensor) for tensor in graph.inputs} for _ in range(count)]


def _assert_like_interpreter(tf: Any, content: bytes, graph: Graph, *, tolerance: float = TOLERANCE) -> None:
    (feeds,) = _samples(graph, 1)
    values, _ = Program(tf, graph, graph.outputs).run(feeds)
    interpreter = make_interpreter(content)
    for detail in interpreter.get_input_details():
        (tensor,) = [t for t in graph.inputs if t.name == detail["name"]]
        interpreter.set_tensor(detail["index"], feeds[tensor])
    interpreter.invoke()
    for tensor, detail in zip(graph.outputs, interpreter.get_output_details(), strict=True):
        expected = interpreter.get_tensor(detail["index"])
        found = np.asarray(values[tensor])
        assert found.shape == expected.shape, tensor.name
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max(), (
            tensor.name,
            graph.producers()[tensor],
        )


@pytest.fixture(scope="module", params=CASES)
def converted(request: pytest.FixtureRequest, tf: Any) -> tuple[set[str], bytes, Graph]:
    """Operators that should be in the model, the model, its graph."""
    build, shapes = CASES[request.param]
    functions = build(tf)
    specs = [tf.TensorSpec(shape, tf.int32 if shape == (1, 3) else tf.float32) for shape in shapes]
    if request.param == "elementwise":
        specs[2] = tf.TensorSpec(shapes[2], name="p")
    content = _flatbuffer(tf, lambda *x: [tf.identity(f(*x)) for f in functions.values()], specs)
    return {name.split()[0] for name in functions}, content, load(content).graph


def test_operators_equal_the_interpreter(tf: Any, converted: tuple[set[str], bytes, Graph]) -> None:
    names, content, graph = converted
    assert names <= {op.name for op in graph.ops}
    _assert_like_interpreter(tf, content, graph)


def test_operators_run_several_samples_at_once(tf: Any, converted: tuple[set[str], bytes, Graph]) -> None:
    graph = converted[2]
    samples = _samples(graph, 3)
    program = Program(tf, graph, graph.outputs)
    alone = [program.run(sample)[0] for sample in samples]
    together, _ = program.run({t: np.concatenate([sample[t] for sample in samples]) for t in graph.inputs})
    for tensor in graph.outputs:
        expected = np.concatenate([values[tensor] for values in alone])
        # The same float32 sums, blocked otherwise.
        np.testing.assert_allclose(
            together[tensor], expected, atol=TOLERANCE * np.abs(expected).max(), err_msg=tensor.name
        )


def test_every_operator_has_a_gradient(tf: Any, converted: tuple[set[str], bytes, Graph]) -> None:
    graph = converted[2]
    (feeds,) = _samples(graph, 1)
    inputs = {t: tf.constant(value) for t, value in feeds.items()}
    sources = [value for value in inputs.values() if value.dtype == tf.float32]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        values, _ = Program(tf, graph, graph.outputs).run(inputs)
        total = tf.add_n([tf.reduce_sum(values[t]) for t in graph.outputs])
    for gradient in tape.gradient(total, sources):
        assert np.isfinite(gradient).all()
        assert np.any(gradient)


def test_the_cases_cover_the_table(tf: Any) -> None:
    tested = {name.split()[0] for build, _ in CASES.values() for name in build(tf)}
    assert tested | BY_HAND == set(OPS)


def test_logical_not(tf: Any) -> None:
    shown = Tensor("shown", (3,), TensorType.BOOL)
    op = Op(BuiltinOperator.LOGICAL_NOT, [shown], [Tensor("hidden", (3,), TensorType.BOOL)])
    values, _ = Program(tf, Graph([shown], op.outputs, [op]), op.outputs).run({shown: np.array([True, False, True])})
    np.testing.assert_array_equal(values[op.outputs[0]], [False, True, False])


def test_fill(tf: Any) -> None:
    """Of a size that the graph computes: ones of constant sizes are constants."""
    sizes, value = Tensor("sizes", (2,), TensorType.INT32), Tensor("value", (), TensorType.FLOAT32)
    op = Op(BuiltinOperator.FILL, [sizes, value], [Tensor("filled", (3, 4), TensorType.FLOAT32)])
    program = Program(tf, Graph([sizes, value], op.outputs, [op]), op.outputs)
    values, _ = program.run({sizes: np.array([3, 4], np.int32), value: np.float32(0.5)})
    np.testing.assert_array_equal(values[op.outputs[0]], np.full((3, 4), 0.5, np.float32))


def test_squeeze(tf: Any) -> None:
    source = Tensor("x", (1, 5, 1, 3), TensorType.FLOAT32)
    target = Tensor("y", (1, 5, 3), TensorType.FLOAT32)
    options = schema.SqueezeOptionsT()
    options.squeezeDims = [2]
    op = Op(BuiltinOperator.SQUEEZE, [source], [target], options=options)
    graph = Graph([source], [target], [op])
    x = np.arange(30, dtype=np.float32).reshape(2, 5, 1, 3)
    values, _ = Program(tf, graph, [target]).run({source: x})
    np.testing.assert_array_equal(values[target], x[:, :, 0])


def test_embedding_lookup(tf: Any) -> None:
    rows = _normal(9, 4)
    table = Tensor("w", rows.shape, TensorType.FLOAT32, rows.tobytes())
    source, target = Tensor("x", (3,), TensorType.INT32), Tensor("y", (3, 4), TensorType.FLOAT32)
    graph = Graph([source], [target], [Op(BuiltinOperator.EMBEDDING_LOOKUP, [source, table], [target])])
    ids = np.array([8, 0, 8], np.int32)
    values, _ = Program(tf, graph, [target]).run({source: ids})
    np.testing.assert_array_equal(values[target], rows[ids])


def test_float16_weights(tf: Any) -> None:
    kernel = _normal(8, 64)
    content = _flatbuffer(tf, lambda x: x @ kernel, [tf.TensorSpec((1, 8))], float16=True)
    graph = load(content).graph
    assert [op.name for op in graph.ops] == ["DEQUANTIZE", "FULLY_CONNECTED"]
    _assert_like_interpreter(tf, content, graph)


def test_quantized_constant(tf: Any) -> None:
    scale, zero = np.array([0.5, 2.0], np.float32), np.array([1, 0])
    codes = np.array([[3, -5], [127, -128]], np.int8)
    stored = Tensor("w", (2, 2), TensorType.INT8, codes.tobytes(), Quantization(scale, zero, axis=1))
    target = Tensor("y", (2, 2), TensorType.FLOAT32)
    graph = Graph([], [target], [Op(BuiltinOperator.DEQUANTIZE, [stored], [target])])
    values, _ = Program(tf, graph, [target]).run({})
    np.testing.assert_array_equal(values[target], [[1.0, -10.0], [63.0, -256.0]])


def test_fake_quantization_keeps_values(tf: Any) -> None:
    steps = 255
    content = _flatbuffer(tf, lambda x: tf.quantization.fake_quant_with_min_max_args(x, -4, 4), [tf.TensorSpec((1, 9))])
    graph = load(content).graph
    assert [op.name for op in graph.ops] == ["QUANTIZE", "DEQUANTIZE"]
    # The interpreter rounds to a step, 8 / 255 wide and moved by up to half a step to hold zero.
    _assert_like_interpreter(tf, content, graph, tolerance=8 / steps)


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (0, [-9, -0.5, 0.5, 9]),
        (1, [0, 0, 0.5, 9]),
        (2, [-1, -0.5, 0.5, 1]),
        (3, [0, 0, 0.5, 6]),
        (4, np.tanh([-9, -0.5, 0.5, 9])),
    ],
)
def test_fused_activations(tf: Any, code: int, expected: list[float]) -> None:
    x, zero = Tensor("x", (1, 4), TensorType.FLOAT32), Tensor("zero", (1,), TensorType.FLOAT32, bytes(4))
    y = Tensor("y", (1, 4), TensorType.FLOAT32)
    options = schema.AddOptionsT()
    options.fusedActivationFunction = code
    op = Op(BuiltinOperator.ADD, [x, zero], [y], options=options)
    plain = np.array([[-9, -0.5, 0.5, 9]], np.float32)
    values, raw = Program(tf, Graph([x], [y], [op]), [y]).run({x: plain})
    np.testing.assert_allclose(values[y], [expected], rtol=1e-6)  # float32 tanh
    np.testing.assert_array_equal(raw[op], plain)


def test_errors_name_the_operator(tf: Any) -> None:
    x, y = Tensor("x", (1, 4), TensorType.FLOAT32), Tensor("spectrum", (1, 3), TensorType.FLOAT32)
    unknown = Graph([x], [y], [Op(BuiltinOperator.RFFT2D, [x], [y])])
    with pytest.raises(OpError, match=r"RFFT2D .'spectrum'. has no"):
        Program(tf, unknown, [y])
    impossible = Graph([x], [y], [Op(BuiltinOperator.ADD, [x, Tensor("c", (3,), TensorType.FLOAT32, bytes(12))], [y])])
    with pytest.raises(OpError, match=r"ADD .'spectrum'.: InvalidArgumentError"):
        Program(tf, impossible, [y]).run({x: np.zeros((1, 4), np.float32)})
    unused = Op(BuiltinOperator.RFFT2D, [x], [Tensor("other", (1, 3), TensorType.FLOAT32)])
    copied = Op(BuiltinOperator.NEG, [x], [y])
    assert Program(tf, Graph([x], [y], [unused, copied]), [y]).ops == [copied]
