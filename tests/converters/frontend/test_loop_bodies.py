"""Bodies of loops as models of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend.load import load_model
from converters.frontend.loop_bodies import Loop, find_loops, with_step
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.loops import STEPS, UNITS, loop_net, samples


@pytest.fixture(scope="module")
def lstm() -> Model:
    return load(load_model(loop_net("lstm")).flatbuffer)


def only_loop(model: Model) -> Loop:
    loops, skipped = find_loops(model, "the network")
    assert not skipped
    (loop,) = loops
    return loop


def test_names_and_states(lstm: Model):
    loop = only_loop(lstm)
    assert loop.name == "recurrent"
    assert sorted(loop.layers) == ["recurrent/MatMul", "recurrent/MatMul_1"]
    assert loop.states[-1] is None  # the input, which every step reads
    assert [spec.shape for spec in loop.step.inputs][2:5] == [(1, 1, UNITS), (1, UNITS), (1, UNITS)]


def test_a_step_is_the_loop_s_own(lstm: Model):
    """Steps taken by hand end where the loop does."""
    loop = only_loop(lstm)
    body, condition = make_interpreter(loop.step.flatbuffer), make_interpreter(loop.condition)
    (op,) = loop.ops
    sample = samples(1)[0]
    state = {f"state_{i}": op.input(i).array() for i in range(5)} | {"state_5": np.swapaxes(sample, 0, 1).copy()}
    taken = 0
    while run(condition, state)[0].all():
        found = {f"next_{i}": value for i, value in enumerate(run(body, state))}
        state = {k: v if new is None else found[new] for (k, v), new in zip(state.items(), loop.states, strict=True)}
        taken += 1
    assert taken == STEPS
    whole = replace(lstm.graph, outputs=[op.outputs[2]], ops=lstm.graph.ops[: lstm.graph.ops.index(op) + 1])
    content = save(Model([whole, *lstm.graphs[1:]], [], {}))
    # The same kernels on the same numbers: nothing is rounded in another order.
    np.testing.assert_array_equal(
        run(make_interpreter(content), {lstm.graph.inputs[0].name: sample})[0], state["state_2"]
    )


def test_a_step_goes_back_where_it_was(lstm: Model):
    loop = only_loop(lstm)
    content = save(lstm)
    copy = load(content)
    with_step(copy, loop, load(loop.step.flatbuffer).graph)
    feeds = {lstm.signatures[0].inputs[0][0]: samples(1)[0]}
    np.testing.assert_array_equal(run(make_interpreter(save(copy)), feeds)[0], run(make_interpreter(content), feeds)[0])


def test_states_of_another_type_are_refused(lstm: Model):
    loop = only_loop(lstm)
    step = load(loop.step.flatbuffer).graph
    step.inputs[3].type = TensorType.INT8
    with pytest.raises(ModelError, match="other types"):
        with_step(load(save(lstm)), loop, step)


def test_open_sizes_are_those_of_the_states_that_a_loop_starts_with():
    model = load(load_model(loop_net("gru", steps=None, sequences=True), sizes={"x": (6, 40)}).flatbuffer)
    assert only_loop(model).step.inputs[-1].shape == (6, 1, 40)


def test_shared_weights_stay(lstm: Model):
    copy = load(save(lstm))
    body = copy.graphs[only_loop(copy).number]
    dense = next(op for op in body.ops if op.name == "FULLY_CONNECTED")
    copy.graph.ops.append(
        replace(dense, inputs=[copy.graph.inputs[0], *dense.inputs[1:]], outputs=[replace(dense.outputs[0])])
    )
    loops, skipped = find_loops(copy, "the network")
    assert not loops
    (left,) = skipped.values()
    assert "outside of it" in left.reason


def test_a_loop_that_ends_by_its_values_stays():
    import keras
    from keras import ops

    x = keras.Input((40,), batch_size=1, name="x")
    matrix = np.random.default_rng(0).normal(size=(40, 40)).astype(np.float32)

    def goes_on(state: Any) -> Any:
        total: Any = ops.sum(state)
        return total > 1.0

    def body(state: Any) -> Any:
        scaled: Any = ops.tanh(state @ matrix)
        return (scaled * 0.5,)

    loop: Any = ops.while_loop(goes_on, body, (x,))
    loops, skipped = find_loops(load(load_model(keras.Model(x, loop[0])).flatbuffer), "the network")
    assert not loops
    (left,) = skipped.values()
    assert "how many steps" in left.reason


def test_small_loops_are_no_loops():
    import keras

    x = keras.Input((STEPS, 4), batch_size=1)
    model = load(load_model(keras.Model(x, keras.layers.LSTM(4)(x))).flatbuffer)
    assert find_loops(model, "the network") == ([], {})


def test_tf_keras_names_its_layer_by_a_variable():
    import tf_keras

    x = tf_keras.Input((STEPS, 40), batch_size=1, name="x")
    y, hidden, _ = tf_keras.layers.LSTM(UNITS, return_state=True, name="recurrent")(x)  # which is no operator then
    loop = only_loop(load(load_model(tf_keras.Model(x, [y, hidden])).flatbuffer))
    assert sorted(loop.layers) == ["recurrent/MatMul", "recurrent/MatMul_1"]
