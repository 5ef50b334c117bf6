from __future__ import annotations

import io
import time
import zipfile
from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import FileFormatError
from converters.runtime.interpreter import inputs, make_interpreter, run
from converters.tflite.graph import NUMPY_TYPES, BuiltinOperator, Graph, Model, Op, Tensor, TensorType
from converters.tflite.packing import pack_int4, unpack_codes
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import KERNELS, activation, bias, file_of, layer_op, run_kernels, weight


def outputs_of(content: bytes, kernels, calls: int = 1) -> list[bytes]:
    """Raw outputs for fixed random feeds; several calls for models that keep a state."""
    interpreter = make_interpreter(content, kernels=kernels)
    rng = np.random.default_rng(0)
    results = []
    for _ in range(calls):
        feeds = {d.name: rng.uniform(-1, 1, d.shape).astype(np.float32) for d in inputs(interpreter)}
        results += [array.tobytes() for array in run(interpreter, feeds)]
    return results


def parsed(content: bytes) -> Any:
    """The schema object, read without load()."""
    return schema.ModelT.InitFromPackedBuf(content, 0)


def packed(raw: Any) -> bytes:
    """A schema object written as it stands, without save()."""
    builder = flatbuffers.Builder(1024)
    builder.Finish(raw.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


@pytest.fixture(params=["conv_net_float", "conv_net_int8"])
def content(request) -> bytes:
    return request.getfixturevalue(request.param)


# ---------------------------------------------------------------- round trip


def test_a_round_trip_changes_no_output(content):
    written = save(load(content))
    for kernels in KERNELS:
        assert outputs_of(written, kernels) == outputs_of(content, kernels)


def test_save_is_deterministic_and_idempotent(content):
    written = save(load(content))
    assert save(load(content)) == written
    assert save(load(written)) == written


def test_everything_but_the_order_is_kept(content):
    before, after = load(content), load(save(load(content)))
    assert [s.key for s in after.signatures] == [s.key for s in before.signatures] == ["serving_default"]
    assert after.signatures[0].inputs[0][0] == before.signatures[0].inputs[0][0] == "image"
    assert after.signatures[0].inputs[0][1] is after.graph.inputs[0]
    assert after.metadata == before.metadata
    assert "min_runtime_version" in after.metadata
    assert (after.description, after.version) == (before.description, before.version)
    for old, new in zip(before.graph.ops, after.graph.ops, strict=True):
        assert (old.name, old.version, old.options_type) == (new.name, new.version, new.options_type)
        assert vars(old.options or object) == vars(new.options or object)
    for old, new in zip(before.graph.tensors(), after.graph.tensors(), strict=True):
        fields = ("name", "shape", "type", "data", "shape_signature")
        assert [getattr(old, f) for f in fields] == [getattr(new, f) for f in fields]
        assert (old.quantization is None) == (new.quantization is None)
        if old.quantization is not None and new.quantization is not None:
            np.testing.assert_array_equal(old.quantization.scale, new.quantization.scale)
            np.testing.assert_array_equal(old.quantization.zero_point, new.quantization.zero_point)
            assert old.quantization.axis == new.quantization.axis


def addresses(content: bytes) -> list[int]:
    """Where each buffer's data start in the file, read without the object API."""
    model = schema.Model.GetRootAs(content)
    starts = []
    for i in range(model.BuffersLength()):
        buffer = model.Buffers(i)
        assert buffer is not None
        if buffer.DataLength():
            data: Any = buffer.DataAsNumpy()
            starts.append(data.__array_interface__["data"][0] - np.frombuffer(content, np.uint8).ctypes.data)
    return starts


def test_buffers_are_aligned_and_none_is_orphaned(content):
    model = load(content)
    model.metadata["odd"] = b"13 bytes long"  # shifts what follows unless alignment is kept
    dropped = model.graph.ops[0].input(1)
    replacement = np.ones(dropped.shape, NUMPY_TYPES[dropped.type])
    model.graph.ops[0].inputs[1] = Tensor(
        "new", dropped.shape, dropped.type, replacement.tobytes(), dropped.quantization
    )
    written = save(model)
    starts = addresses(written)
    assert len(starts) > 5
    assert all(start % 16 == 0 for start in starts)

    raw = parsed(written)
    (subgraph,) = raw.subgraphs
    used = {*subgraph.inputs, *subgraph.outputs} | {i for op in subgraph.operators for i in (*op.inputs, *op.outputs)}
    assert used - {-1} == set(range(len(subgraph.tensors)))
    named = {t.buffer for t in subgraph.tensors} | {m.buffer for m in raw.metadata}
    assert named | {0} == set(range(len(raw.buffers)))
    assert dropped.name not in {t.name.decode() for t in subgraph.tensors}
    assert dropped.data not in [None if b.data is None else bytes(b.data) for b in raw.buffers]
    assert {op.opcodeIndex for op in subgraph.operators} == set(range(len(raw.operatorCodes)))


def test_equal_constants_share_a_buffer():
    x, y = activation("x", (1, 4), 0.1, 0), activation("y", (1, 4), 0.1, 0)
    middle = activation("m", (1, 4), 0.1, 0)
    codes = np.arange(16).reshape(4, 4)
    weights = [weight(name, "dense", codes, np.full(4, 0.01)) for name in ("v", "w")]
    written = file_of(
        [layer_op("dense", x, weights[0], None, middle), layer_op("dense", middle, weights[1], None, y)], [x], [y]
    )
    assert written.count(codes.astype(np.int8).tobytes()) == 1
    assert len({t.name for t in load(written).graph.tensors()}) == 5


def test_equal_vectors_are_written_once():
    """Per-channel zero points are rows of zeros: 16 bytes a channel with those of the bias."""
    channels = 1000
    x, y = activation("x", (1, 4), 0.1, 0), activation("y", (1, channels), 0.1, 0)
    scale = np.full(channels, 0.01)
    w = weight("w", "dense", np.ones((channels, 4)), scale)
    content = file_of([layer_op("dense", x, w, bias("b", np.zeros(channels), x, w), y)], [x], [y])
    # Weights 4, bias 4, two scales of 4 and one row of zero points of 8 bytes a channel, and the structure.
    assert len(content) < channels * (4 + 4 + 4 + 4 + 8) + 1000
    (op,) = load(content).graph.ops
    for tensor in (op.input(1), op.input(2)):
        assert tensor.quantization is not None
        np.testing.assert_array_equal(tensor.quantization.zero_point, np.zeros(channels, np.int64), strict=True)
    (found,) = run_kernels(content, "xnnpack", [np.full((1, 4), 100, np.int8)])
    np.testing.assert_array_equal(found, np.full((1, channels), 4))  # 4 * 10 * 0.01 / 0.1


def test_an_omitted_input_stays_omitted():
    x, y = activation("x", (1, 4), 0.1, 0), activation("y", (1, 3), 0.1, 0)
    op = layer_op("dense", x, weight("w", "dense", np.ones((3, 4)), np.ones(3)), None, y)
    (after,) = load(file_of([op], [x], [y])).graph.ops
    assert after.inputs[2:] == [None]
    for missing in (2, 3):
        with pytest.raises(FileFormatError, match=f"FULLY_CONNECTED has no input {missing}: the file is corrupt"):
            after.input(missing)


@pytest.mark.parametrize("tensor", [Tensor("t", (1,), TensorType.UINT32, b"1234"), Tensor("t", (1,), TensorType.INT32)])
def test_values_that_cannot_be_had_are_an_error_of_the_file(tensor: Tensor):
    with pytest.raises(FileFormatError, match=r"'t' (has type UINT32|is no constant)"):
        tensor.array()
    with pytest.raises(FileFormatError, match="'t' has no scale"):
        _ = tensor.scale, tensor.zero_point


def test_graph_relations():
    x, h, y = (activation(name, (1, 4), 0.1, 0) for name in "xhy")
    shared = weight("w", "dense", np.ones((4, 4)), np.ones(4))
    first, second = layer_op("dense", x, shared, None, h), layer_op("dense", h, shared, None, y)
    part = Graph([x], [y], [first, second])
    assert part.consumers() == {x: [first], shared: [first, second], h: [second]}
    assert part.producers() == {h: first, y: second}
    assert list(part.tensors()) == [x, shared, h, y]


# ---------------------------------------------------------------- associated files


def test_appended_files_survive_an_edit(conv_net_int8):
    stream = io.BytesIO(conv_net_int8)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n", zipfile.ZIP_DEFLATED)
        archive.writestr(zipfile.ZipInfo("vocab/words.txt", (2020, 2, 3, 4, 5, 6)), "a b c")
    model = load(stream.getvalue())
    model.metadata["more"] = b"x" * 1000
    written = save(model)
    assert save(load(written)) == written
    with zipfile.ZipFile(io.BytesIO(written)) as archive:
        assert archive.testzip() is None
        assert archive.read("labels.txt") == b"cat\ndog\n"
        assert archive.read("vocab/words.txt") == b"a b c"
        assert archive.getinfo("vocab/words.txt").date_time == (2020, 2, 3, 4, 5, 6)
        assert archive.getinfo("labels.txt").compress_type == zipfile.ZIP_DEFLATED
    assert outputs_of(written, "xnnpack") == outputs_of(conv_net_int8, "xnnpack")


def test_a_broken_archive_is_refused(conv_net_int8):
    stream = io.BytesIO(conv_net_int8)
    with zipfile.ZipFile(stream, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    broken = stream.getvalue().replace(b"cat\ndog\n", b"cow\ndog\n")  # the checksum no longer fits
    with pytest.raises(FileFormatError, match=r"associated files that cannot be read .*labels.txt"):
        load(broken)


# ---------------------------------------------------------------- int4


@given(st.lists(st.integers(-8, 7), max_size=40))
def test_int4_packing_is_invertible(codes):
    array = np.array(codes, np.int8)
    packed = pack_int4(array)
    assert len(packed) == (len(codes) + 1) // 2
    np.testing.assert_array_equal(unpack_codes(packed, len(codes), bits=4, dtype=np.dtype(np.int8)), array, strict=True)


def test_int4_layout():
    assert pack_int4(np.array([[1, -2], [3, -8], [7, 0]])) == bytes([0xE1, 0x83, 0x07])
    tensor = Tensor("w", (3, 1), TensorType.INT4, bytes([0xE1, 0x03]))  # odd: the last nibble is padding
    np.testing.assert_array_equal(tensor.array(), np.array([[1], [-2], [3]], np.int8), strict=True)


def test_int4_means_to_the_kernels_what_it_means_here():
    rng = np.random.default_rng(0)
    codes, x = rng.integers(-8, 8, (5, 6)), rng.integers(-128, 128, (1, 6), dtype=np.int8)
    results = []
    for int4 in (False, True):
        source, output = activation("x", (1, 6), 0.1, 3), activation("y", (1, 5), 0.1, 0)
        weights = weight("w", "dense", codes, np.full(5, 0.02), int4=int4)
        biases = bias("b", np.arange(5), source, weights)
        written = save(load(file_of([layer_op("dense", source, weights, biases, output)], [source], [output])))
        results.append(run_kernels(written, "reference", [x])[0])
    np.testing.assert_array_equal(results[0], results[1])


# ---------------------------------------------------------------- states, control flow, several signatures


@pytest.fixture(scope="module")
def stateful(to_tflite: Callable[..., bytes]) -> bytes:
    """A running sum in a variable."""
    import tensorflow as tf

    class Accumulator(tf.Module):
        def __init__(self) -> None:
            self.total = tf.Variable(tf.zeros((1, 3)))

        @tf.function(input_signature=[tf.TensorSpec((1, 3), tf.float32, "x")])
        def add(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"total": self.total.assign_add(x)}

    module = Accumulator()
    return to_tflite(module, signatures=module.add)


def test_variables_survive(stateful):
    written = save(load(stateful))
    assert "ASSIGN_VARIABLE" in {op.name for op in load(written).graph.ops}
    results = outputs_of(written, "builtin", calls=3)
    assert results == outputs_of(stateful, "builtin", calls=3)
    assert len(set(results)) == 3


def test_state_tensors_stay_variables():
    def real(name: str, shape: tuple[int, ...], values: np.ndarray | None = None) -> Tensor:
        data = None if values is None else values.astype(np.float32).tobytes()
        return Tensor(name, shape, TensorType.FLOAT32, data)

    state = real("state", (1, 8))
    state.raw = schema.TensorT()
    state.raw.isVariable = True
    options = schema.SVDFOptionsT()
    options.rank = 1
    x, y = real("x", (1, 3)), real("y", (1, 2))
    features, times = real("features", (2, 3), np.arange(6)), real("times", (2, 4), np.arange(8))
    op = Op(BuiltinOperator.SVDF, [x, features, times, None, state], [y], 1, schema.BuiltinOptions.SVDFOptions, options)
    content = file_of([op], [x], [y])
    written = save(load(content))
    results = outputs_of(written, "builtin", calls=3)
    assert results == outputs_of(content, "builtin", calls=3)
    assert [t.isVariable for t in parsed(written).subgraphs[0].tensors].count(True) == 1


@pytest.fixture(scope="module")
def controlled(to_tflite: Callable[..., bytes]) -> bytes:
    """Two signatures: one with a loop, one with a branch."""
    import tensorflow as tf

    module = tf.Module()
    spec = tf.TensorSpec((1, 3), tf.float32, "x")

    @tf.function(input_signature=[spec])
    def grow(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"grown": tf.while_loop(lambda v: tf.reduce_sum(v) < 100.0, lambda v: [v * 2.0 + 3.0], [x])[0]}

    @tf.function(input_signature=[spec])
    def choose(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"chosen": tf.cond(tf.reduce_sum(x) > 0, lambda: x * 3.0, lambda: x - 7.0)}

    return to_tflite(module, signatures={"grow": grow, "choose": choose})


def test_control_flow_and_signatures_survive(controlled):
    written = save(load(controlled))
    model = load(written)
    assert len(model.graphs) == len(load(controlled).graphs) > 3
    assert {s.key for s in model.signatures} == {"grow", "choose"}
    assert {op.name for part in model.graphs for op in part.ops} >= {"WHILE", "IF"}
    for key in ("grow", "choose"):
        for x in (np.ones((1, 3), np.float32), -np.ones((1, 3), np.float32)):
            old, new = (make_interpreter(c).get_signature_runner(key)(x=x) for c in (controlled, written))
            assert old.keys() == new.keys()
            for name in old:
                np.testing.assert_array_equal(old[name], new[name])


# ---------------------------------------------------------------- buffers behind the flatbuffer


def moved_out(content: bytes) -> bytes:
    """The file with all its constants behind the flatbuffer, as the converter writes big models."""
    raw = parsed(content)
    data = {i: bytes(b.data) for i, b in enumerate(raw.buffers) if b.data is not None and len(b.data)}

    def pack(starts: dict[int, int]) -> bytes:
        for i in data:
            raw.buffers[i].data = None
            raw.buffers[i].offset, raw.buffers[i].size = starts[i], len(data[i])
        return packed(raw)

    length = len(pack(dict.fromkeys(data, 2)))  # an offset takes its 8 bytes whatever its value
    starts, tail = {}, b""
    for i, values in data.items():
        tail += b"\0" * (-(length + len(tail)) % 16)
        starts[i] = length + len(tail)
        tail += values
    return pack(starts) + tail


def test_buffers_behind_the_flatbuffer_are_read(conv_net_int8):
    outside = moved_out(conv_net_int8)
    assert len(parsed(outside).buffers) > 5
    assert outputs_of(outside, "builtin") == outputs_of(conv_net_int8, "builtin")
    assert save(load(outside)) == save(load(conv_net_int8))
    with pytest.raises(FileFormatError, match="end past the file's"):
        load(outside[:-1])


# ---------------------------------------------------------------- corrupt files


def load_or_refuse(content: bytes) -> None:
    started = time.monotonic()
    message = "again"
    try:
        load(content)
    except FileFormatError as error:
        message = str(error)
    assert "again" in message or "TFL3" in message  # says what to do
    # a few milliseconds, up to half a second where a flipped length makes the reader follow thousands of offsets
    assert time.monotonic() - started < 10


def test_truncated_files_are_refused(conv_net_int8):
    # Constants come first in the converter's files and last in ours: cut both.
    for content in (conv_net_int8, save(load(conv_net_int8))):
        for length in [*range(64), *range(64, len(content) - 1, 97)]:
            load_or_refuse(content[:length])
        with pytest.raises(FileFormatError):
            load(content[: len(content) // 2])


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4))
def test_flipped_bytes_are_refused_or_load(conv_net_int8, flips):
    broken = bytearray(conv_net_int8)
    for where, value in flips:
        broken[int(where * len(broken))] = value
    load_or_refuse(bytes(broken))


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\0" * 100, b"<html>not a model</html>"])
def test_other_files_are_refused(content):
    with pytest.raises(FileFormatError, match="TFL3"):
        load(content)


def test_a_file_without_a_graph_is_refused():
    with pytest.raises(FileFormatError, match="no graph"):
        load(save(Model([], [], {})))


def test_numbers_out_of_range_are_refused(conv_net_int8):
    raw = parsed(conv_net_int8)
    raw.subgraphs[0].operators[0].outputs = [-1]  # Python would take it for the last tensor
    with pytest.raises(FileFormatError, match=r"operator 0 .* tensor number -1"):
        load(packed(raw))


def test_op_names_cover_custom_operators():
    x, y = activation("x", (1, 4), 0.1, 0), activation("y", (1, 4), 0.1, 0)
    op = Op(BuiltinOperator.CUSTOM, [x], [y], custom_code="Mine")
    (after,) = load(file_of([op], [x], [y])).graph.ops
    assert (after.name, after.custom_code) == ("Mine", "Mine")


# ---------------------------------------------------------------- copies


def test_a_clone_is_the_same_file_and_shares_nothing_that_can_be_edited(conv_net_int8: bytes):
    model = load(conv_net_int8)
    clone = model.clone()
    assert save(clone.model) == save(model)
    assert [clone.ops[op] for op in model.graph.ops] == clone.model.graph.ops
    assert set(clone.tensors) == set(model.graph.tensors())
    assert not set(clone.tensors) & set(clone.model.graph.tensors())
    before = save(model)
    for op in clone.model.graph.ops:
        op.version += 1
        op.options.fusedActivationFunction = 1 if hasattr(op.options, "fusedActivationFunction") else 0
        op.inputs.reverse()
    clone.model.graph.outputs.clear()
    clone.model.metadata["new"] = b"entry"
    clone.model.signatures[0].inputs.clear()
    assert save(model) == before


def test_other_ops_over_the_same_tensors(conv_net_int8: bytes):
    model = load(conv_net_int8)
    before = list(model.graph.ops)
    shorter = model.with_ops(before[:-1])
    assert shorter.graph.ops == before[:-1]
    assert shorter.signatures[0].graph is shorter.graph
    assert model.graph.ops == before
    assert model.signatures[0].graph is model.graph
