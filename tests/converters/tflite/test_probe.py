"""Cut-down copies that expose inner tensors."""

from __future__ import annotations

import numpy as np
import pytest

from converters.runtime.interpreter import inputs, make_interpreter, run
from converters.tflite.probe import probe
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import activation, add_op, file_of


@pytest.fixture
def model(conv_net_float: bytes):
    return load(conv_net_float)


def test_inner_tensors_are_those_keras_computes(model, conv_net, images):
    import keras

    stem, depthwise, _, pool, _ = model.graph.ops
    names = ("pool", "stem", "depthwise")
    tap = keras.Model(conv_net.inputs[0], [conv_net.get_layer(name).output for name in names])
    content = probe(model, [pool.outputs[0], stem.outputs[0], depthwise.outputs[0]])
    found = run(make_interpreter(content), {"image": images[:1]})
    for ours, theirs in zip(found, tap(images[:1]), strict=True):
        np.testing.assert_allclose(ours, np.asarray(theirs), rtol=1e-5, atol=1e-6)  # float32, other kernels


def test_tables_are_filled_in_the_copy_too(tmp_path):
    tf = pytest.importorskip("tensorflow")

    class Lookup(tf.Module):
        def __init__(self) -> None:
            super().__init__()
            numbers = tf.constant([1, 2], tf.int64)
            words = tf.lookup.KeyValueTensorInitializer(numbers, tf.constant(["a", "b"]))
            back = tf.lookup.KeyValueTensorInitializer(tf.constant(["a", "b"]), tf.constant([4, 7], tf.int64))
            self.words, self.back = tf.lookup.StaticHashTable(words, "z"), tf.lookup.StaticHashTable(back, 0)

        @tf.function(input_signature=[tf.TensorSpec([1], tf.int64, name="number")])
        def __call__(self, number):
            return {"y": tf.cast(self.back.lookup(self.words.lookup(number)), tf.float32) * 2.0}

    module = Lookup()
    tf.saved_model.save(module, str(tmp_path), signatures=module.__call__.get_concrete_function())
    model = load(tf.lite.TFLiteConverter.from_saved_model(str(tmp_path)).convert())
    cast = next(op for op in model.graph.ops if op.name == "CAST")
    (found,) = run(make_interpreter(probe(model, cast.outputs)), {"number": np.array([2])})
    assert found.tolist() == [7.0]


def test_only_what_is_needed_is_kept(model):
    depthwise = model.graph.ops[1]
    part = load(probe(model, [depthwise.outputs[0]]))
    assert [op.name for op in part.graph.ops] == ["CONV_2D", "DEPTHWISE_CONV_2D"]
    ((name, _),) = part.signatures[0].inputs
    assert name == "image"
    assert [name for name, _ in part.signatures[0].outputs] == ["output_0"]


def test_starting_in_the_middle(model, images):
    stem, depthwise, project, *_ = model.graph.ops
    middle = run(make_interpreter(probe(model, [depthwise.outputs[0]])), {"image": images[:1]})
    content = probe(model, [project.outputs[0]], inputs=[depthwise.outputs[0], stem.outputs[0]])
    interpreter = make_interpreter(content)
    assert [op.name for op in load(content).graph.ops] == ["CONV_2D"]
    assert [detail.name for detail in inputs(interpreter)] == ["input_0", "input_1"]
    unused = np.zeros(stem.outputs[0].shape, np.float32)
    (found,) = run(interpreter, {"input_0": middle[0], "input_1": unused})
    (whole,) = run(make_interpreter(probe(model, [project.outputs[0]])), {"image": images[:1]})
    np.testing.assert_allclose(found, whole, rtol=1e-5, atol=1e-6)


def test_an_input_that_is_also_asked_for_passes_through(model, images):
    stem, depthwise, *_ = model.graph.ops
    start = stem.outputs[0]
    content = probe(model, [start, depthwise.outputs[0]], inputs=[start])
    given = np.random.default_rng(0).normal(size=start.shape).astype(np.float32)
    same, _ = run(make_interpreter(content), {"input_0": given})
    np.testing.assert_array_equal(same, given)


def test_the_model_stays_as_it_is(model):
    before = save(model)
    probe(model, [model.graph.ops[1].outputs[0]], inputs=[model.graph.ops[0].outputs[0]])
    assert save(model) == before


def test_a_file_without_signature():
    first, second = activation("a", (1, 4), 0.1, 0), activation("b", (1, 4), 0.1, 0)
    middle, last = activation("m", (1, 4), 0.1, 0), activation("y", (1, 4), 0.1, 0)
    model = load(file_of([add_op(first, second, middle), add_op(middle, second, last)], [first, second], [last]))
    content = probe(model, [model.graph.ops[0].outputs[0]])
    ones = np.ones((1, 4), np.int8)
    (found,) = run(make_interpreter(content), {"a": ones, "b": 2 * ones})
    np.testing.assert_array_equal(found, 3 * ones)
