"""Bodies of loops go back into the network's file."""

from __future__ import annotations

import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend.load import load_model
from converters.frontend.loop_bodies import Loop, find_loops
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record, unpack_record
from converters.tflite.writer import save
from tests.support.loops import loop_net, samples
from tfmpq.emit.loops import with_steps


@pytest.fixture(scope="module")
def net() -> tuple[bytes, Loop]:
    content = load_model(loop_net("gru")).flatbuffer
    (loop,), _ = find_loops(load(content), "the network")
    return content, loop


def with_record(content: bytes, layers: dict[str, object]) -> bytes:
    model = load(content)
    model.metadata[METADATA_NAME] = pack_record({"layers": layers, "version": "x"})
    return save(model)


def test_without_loops_the_file_is_the_same(net: tuple[bytes, Loop]):
    assert with_steps(net[0], []) is net[0]


def test_a_changed_step_changes_the_network(net: tuple[bytes, Loop]):
    content, loop = net
    step = load(loop.step.flatbuffer)
    for op in step.graph.ops:
        if op.name == "FULLY_CONNECTED":
            op.input(1).data = bytes(op.input(1).array().nbytes)
    feeds = {"x": samples(1)[0]}
    (before,) = run(make_interpreter(with_steps(content, [(loop, loop.step.flatbuffer)])), feeds)
    np.testing.assert_array_equal(before, run(make_interpreter(content), feeds)[0])
    found = with_steps(content, [(loop, save(step))])
    matrices = [op for graph in load(found).graphs[1:] for op in graph.ops if op.name == "FULLY_CONNECTED"]
    assert matrices
    assert not any(op.input(1).array().any() for op in matrices)
    assert not np.array_equal(before, run(make_interpreter(found), feeds)[0])


def test_records_of_steps_join_the_network_s(net: tuple[bytes, Loop]):
    content, loop = net
    step = with_record(loop.step.flatbuffer, {"recurrent/MatMul": {"bits": 4}})
    found = load(with_steps(with_record(content, {"head": {"bits": 3}}), [(loop, step)]))
    record = unpack_record(found.metadata[METADATA_NAME])
    assert record == {"layers": {"head": {"bits": 3}, "recurrent/MatMul": {"bits": 4}}, "version": "x"}
    # A file without a record, because there was no room for one, gets none from its steps.
    assert METADATA_NAME not in load(with_steps(content, [(loop, step)])).metadata


def test_states_of_another_type_are_refused(net: tuple[bytes, Loop]):
    content, loop = net
    step = load(loop.step.flatbuffer)
    step.graph.inputs[3].type = TensorType.INT8
    with pytest.raises(ModelError, match="other types"):
        with_steps(content, [(loop, save(step))])
