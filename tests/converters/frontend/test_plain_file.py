"""Float files as other converters write them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import ModelError, OptionError
from converters.frontend.load import load_model
from converters.frontend.plain_file import choose_signature, plain_file
from converters.frontend.tf_converter import int8_twin
from converters.runtime import interpreter as runtime
from converters.tflite.graph import BuiltinOperator, Graph, Model, Op, Signature, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")

VECTORS = np.random.default_rng(0).normal(size=(40, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(0)
    x = keras.Input((16,), name="x")
    y = keras.layers.Dense(64, activation="relu", name="body")(x)
    return keras.Model(x, keras.layers.Dense(64, name="head")(y) + keras.layers.Dense(64, name="side")(y))


@pytest.fixture(scope="module")
def content(model: Any) -> bytes:
    return load_model(model).flatbuffer


def with_metadata(content: bytes, **entries: bytes) -> bytes:
    changed = load(content)
    changed.metadata.update(entries)
    return save(changed)


def output(content: bytes, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return runtime.run(runtime.make_interpreter(content, kernels="builtin"), feeds)[0]


def samples() -> Iterator[dict[str, np.ndarray]]:
    return ({"x": vector[None]} for vector in VECTORS)


# ---------------------------------------------------------------- metadata


def test_files_for_stablehlo_are_quantized(content: bytes):
    foreign = with_metadata(content, keep_stablehlo_constant=b"true", other=b"kept")
    loaded = load_model(foreign)
    found = load(loaded.flatbuffer)
    assert (found.metadata["other"], "keep_stablehlo_constant" in found.metadata) == (b"kept", False)
    twin = load(int8_twin(loaded, samples))
    weights = [op.input(1).type for op in twin.graph.ops if op.name == "FULLY_CONNECTED"]
    assert weights == [TensorType.INT8] * 3
    # Why it must go: with it, TensorFlow leaves every layer in float.
    kept = load(int8_twin(type(loaded)(foreign, loaded.inputs, loaded.names, "kept"), samples))
    assert TensorType.INT8 not in [op.input(1).type for op in kept.graph.ops if op.name == "FULLY_CONNECTED"]


def test_such_files_convert_to_the_same_bytes(content: bytes):
    options: dict[str, Any] = {"progress": False, "validate": False, "sensitivity": "energy"}
    results = [
        tfmpq.convert(file, VECTORS, **options)
        for file in (save(load(content)), with_metadata(content, keep_stablehlo_constant=b"true"))
    ]
    assert results[0].tflite_model == results[1].tflite_model


# ---------------------------------------------------------------- float16


def float16(model: Any) -> bytes:
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations, converter.target_spec.supported_types = [tf.lite.Optimize.DEFAULT], [tf.float16]
    return converter.convert()


@pytest.mark.filterwarnings("ignore:Statistics for quantized inputs were expected:UserWarning")
def test_float16_constants_become_float32(model: Any):
    file = float16(model)
    assert TensorType.FLOAT16 in [t.type for t in load(file).graph.tensors()]
    loaded = load_model(file)
    graph = load(loaded.flatbuffer).graph
    assert {t.type for t in graph.tensors()} <= {TensorType.FLOAT32, TensorType.INT32}
    assert "DEQUANTIZE" not in [op.name for op in graph.ops]
    feeds = {"x": VECTORS[:1]}
    np.testing.assert_array_equal(output(loaded.flatbuffer, feeds), output(file, feeds))
    result = tfmpq.convert(file, VECTORS, progress=False, validate=False)
    assert len(result.report.layers) == 3


@pytest.mark.parametrize("conversion", ["DEQUANTIZE", "CAST"])
def test_a_constant_for_several_operators(conversion: str):
    table = np.arange(6, dtype=np.float16).reshape(2, 3)
    stored = Tensor("w", (2, 3), TensorType.FLOAT16, table.tobytes())
    wide = Tensor("w/wide", (2, 3), TensorType.FLOAT32)
    x, y, z = (Tensor(name, (2, 3), TensorType.FLOAT32) for name in "xyz")
    ops = [
        Op(getattr(BuiltinOperator, conversion), [stored], [wide]),
        Op(BuiltinOperator.MAXIMUM, [x, wide], [y]),
        Op(BuiltinOperator.MINIMUM, [y, wide], [z]),
    ]
    found = load(plain_file(save(Model([Graph([x], [z], ops)], [], {})), None, "file")).graph
    assert [op.name for op in found.ops] == ["MAXIMUM", "MINIMUM"]
    for op in found.ops:
        np.testing.assert_array_equal(op.input(1).array(), table.astype(np.float32))


def test_float16_activations_are_refused(content: bytes):
    model = load(content)
    model.graph.inputs[0].type = TensorType.FLOAT16
    with pytest.raises(ModelError, match=r"is FLOAT16.*constants in float16 are fine, activations are not"):
        load_model(save(model))


# ---------------------------------------------------------------- lookups


def test_lookups_become_gathers():
    table = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    ids = Tensor("ids", (3,), TensorType.INT32)
    rows = Tensor("rows", (3, 4), TensorType.FLOAT32)
    lookup = Op(
        BuiltinOperator.EMBEDDING_LOOKUP,
        [ids, Tensor("table", table.shape, TensorType.FLOAT32, table.tobytes())],
        [rows],
    )
    file = save(Model([Graph([ids], [rows], [lookup])], [], {}))
    loaded = load_model(file)
    assert [op.name for op in load(loaded.flatbuffer).graph.ops] == ["GATHER"]
    feeds = {"ids": np.array([7, 0, 7], np.int32)}
    np.testing.assert_array_equal(output(loaded.flatbuffer, feeds), table[[7, 0, 7]])


# ---------------------------------------------------------------- signatures


def two_entries(content: bytes) -> bytes:
    """The file's graph twice, the second time with twice the weights of its first layer."""
    first, second = load(content), load(content)
    weight = second.graph.ops[0].input(1)
    weight.data = (2 * weight.array()).tobytes()
    second.graph.ops[0].inputs[2] = None
    signatures = [
        Signature(key, s.inputs, s.outputs, s.graph)
        for key, s in (("plain", first.signatures[0]), ("double", second.signatures[0]))
    ]
    return save(Model([first.graph, second.graph], signatures, {}))


def test_one_of_several_entry_points(content: bytes):
    file = two_entries(content)
    with pytest.raises(ModelError, match=r"signatures \['plain', 'double'\].*Name it: signature='plain'"):
        load_model(file)
    with pytest.raises(OptionError, match=r"signature='triple'.*has the signatures \['plain', 'double'\]"):
        load_model(file, signature="triple")
    feeds = {"x": VECTORS[:1]}
    interpreter = runtime.make_interpreter(file, kernels="builtin")
    for key in ("plain", "double"):
        loaded = load_model(file, signature=key)
        found = load(loaded.flatbuffer)
        assert (len(found.graphs), [s.key for s in found.signatures]) == (1, [key])
        expected = interpreter.get_signature_runner(key)(x=VECTORS[:1])
        np.testing.assert_allclose(output(loaded.flatbuffer, feeds), next(iter(expected.values())), rtol=1e-6)


def test_the_serving_signature_is_the_default(content: bytes):
    model = load(two_entries(content))
    model.signatures[1].key = "serving_default"
    loaded = load(load_model(save(model)).flatbuffer)
    assert [s.key for s in loaded.signatures] == ["serving_default"]
    assert loaded.graph.ops[0].inputs[2] is None


def test_graphs_that_are_called_come_along(content: bytes):
    """CALL_ONCE of the third graph by the second: both stay, under new numbers."""
    from ai_edge_litert import schema_py_generated as schema

    model = load(two_entries(content))
    options: Any = schema.CallOnceOptionsT()
    options.initSubgraphIndex = 2
    model.graphs.append(Graph([], [], [], "init"))
    call = Op(BuiltinOperator.CALL_ONCE, [], [], options_type=schema.BuiltinOptions.CallOnceOptions, options=options)
    model.graphs[1].ops.insert(0, call)
    found = load(plain_file(save(model), "double", "file"))
    assert [graph.name for graph in found.graphs][1:] == ["init"]
    assert found.graph.ops[0].options.initSubgraphIndex == 1


def test_a_signature_where_there_is_none(content: bytes, model: Any):
    bare = load(content)
    bare.signatures = []
    with pytest.raises(OptionError, match=r"signature='x': .* has no signatures: leave the option out"):
        load_model(save(bare), signature="x")
    with pytest.raises(OptionError, match=r"signature='x': Keras 3 model .* has no signatures"):
        load_model(model, signature="x")


def test_without_signatures_there_is_nothing_to_name():
    with pytest.raises(ModelError, match=r"has no signatures.*Export it with `signatures=`"):
        choose_signature([], None, "SavedModel")
