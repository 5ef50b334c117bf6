"""Activations held as two: the same in float; in int8 small steps within the narrow range, and nothing of the rest."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.frontend.tf_converter import int8_twin
from converters.layers.find import find_layers
from converters.rewriting.idle_ops import without_idle_ops
from converters.rewriting.two_points import (
    Range,
    TwoPoints,
    holdable,
    on_grid,
    readers_of,
    rest_range,
    step_of,
    two_points,
)
from converters.runtime.interpreter import make_interpreter, run
from converters.tflite.graph import Model, Tensor
from converters.tflite.probe import probe
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import KERNELS

keras = pytest.importorskip("keras")

_WRITERS = "conv depthwise up sum difference product leaky prelu swish gelu pool dense".split()  # noqa: SIM905


def _network() -> Any:
    """Every operator that may write what is held as two, each read by a layer of its own."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((8, 8, 4), name="image")
    base = layers.Conv2D(8, 1, name="base")(image)
    made = {
        "conv": layers.Conv2D(8, 3, padding="same", activation="relu", name="conv")(base),
        "depthwise": layers.DepthwiseConv2D(3, padding="same", name="depthwise")(base),
        "up": layers.Conv2DTranspose(8, 2, strides=2, name="up")(base),
    }
    made["sum"] = layers.Add(name="sum")([base, made["depthwise"]])
    made["difference"] = layers.Subtract(name="difference")([base, made["depthwise"]])
    made["product"] = layers.Multiply(name="product")([base, made["depthwise"]])
    made["leaky"] = layers.LeakyReLU(name="leaky")(made["difference"])
    slopes = keras.initializers.Constant(0.3)
    made["prelu"] = layers.PReLU(shared_axes=[1, 2], alpha_initializer=slopes, name="prelu")(made["sum"])
    made["swish"] = layers.Activation("hard_swish", name="swish")(made["product"])
    made["gelu"] = layers.Activation("gelu", name="gelu")(made["product"])
    made["pool"] = layers.GlobalAveragePooling2D(name="pool")(base)
    made["dense"] = layers.Dense(8, name="dense")(made["pool"])
    read = []
    for name, x in made.items():
        flat = len(x.shape) == 2
        reader = layers.Dense(4, name="of_pool") if flat else layers.Conv2D(4, 1, activation="relu", name=f"of_{name}")
        read.append(layers.Dense(4, name="of_dense")(x) if name == "dense" else reader(x))
    return keras.Model(image, read)


@dataclass
class Case:
    model: Model
    held: Model
    int8: Model
    samples: list[dict[str, np.ndarray]]
    names: dict[str, str]  # writer -> tensor
    narrow: dict[str, Range]  # by tensor


@pytest.fixture(scope="module")
def case() -> Case:
    loaded = load_model(_network())
    model = load(loaded.flatbuffer)
    rng = np.random.default_rng(0)
    shape = (6, 1, 8, 8, 4)
    far = np.where(rng.random((*shape[:-1], 1)) < 0.03, 20, 1)
    samples = [{"image": x} for x in (rng.normal(size=shape) * far).astype(np.float32)]
    written = [op.outputs[0] for op in model.graph.ops]
    names = {w: next(t.name for t in written if f"/{w}_1/" in t.name) for w in _WRITERS}
    values = _values(model, written, samples)
    held, ranges, narrow = model, {}, {}
    for name in names.values():
        low, high = float(values[name].min()), float(values[name].max())
        reach = max(-low, high) / 8
        narrow[name] = on_grid((max(low, -reach), min(high, reach)))
        found = two_points(held, name, (low, high), narrow[name])
        held, ranges = found.model, {**ranges, **found.ranges}
    rewritten = replace(loaded, flatbuffer=save(held), public_int8=None)
    int8 = without_idle_ops(load(int8_twin(rewritten, lambda: iter(samples), ranges=ranges)))
    return Case(model, held, int8, samples, names, narrow)


def _values(
    model: Model, tensors: list[Tensor], samples: list[dict[str, np.ndarray]], kernels: Any = "xnnpack"
) -> dict[str, np.ndarray]:
    interpreter = make_interpreter(probe(model, tensors), kernels=kernels)
    runs = [run(interpreter, sample) for sample in samples]
    return {t.name: np.concatenate([r[i] for r in runs]) for i, t in enumerate(tensors)}


def test_the_float_model_computes_the_same(case: Case):
    first, second = (_values(m, m.graph.outputs, case.samples) for m in (case.model, case.held))
    assert first.keys() == second.keys()
    for name, values in first.items():
        # float32 adds up a layer in two parts: some 2^-22 of the largest of 8 to 72 summands
        np.testing.assert_allclose(second[name], values, rtol=0, atol=1e-6 * np.abs(values).max(), err_msg=name)


@pytest.mark.parametrize("writer", _WRITERS)
def test_int8_has_small_steps_in_the_narrow_range_and_no_clip(case: Case, writer: str):
    name = case.names[writer]
    tensors = {t.name: t for t in case.int8.graph.tensors()}
    fine, whole = tensors[f"{name}_fine"], tensors[name]
    assert fine.scale == pytest.approx(step_of(case.narrow[name]), rel=1e-6)  # a float32
    assert whole.scale > 3.9 * fine.scale  # 8 times, where both ranges have two sides
    producers = case.int8.graph.producers()
    assert producers[fine].name == producers[whole].name
    assert not {"MINIMUM", "MAXIMUM"} & {op.name for op in case.int8.graph.ops}


@pytest.mark.parametrize("kernels", KERNELS)
def test_nothing_is_left_of_the_rest_within_the_narrow_range(case: Case, kernels: str):
    tensors = {t.name: t for t in case.int8.graph.tensors()}
    names = list(case.names.values())
    parts = [tensors[f"{name}_{part}"] for name in names for part in ("fine", "rest")]
    found = _values(case.int8, parts, case.samples, kernels)
    for name in names:
        fine, rest = (found[f"{name}_{part}"].astype(int) for part in ("fine", "rest"))
        rest -= tensors[f"{name}_rest"].zero_point
        inside = (fine > -128) & (fine < 127)
        assert inside.any(), name
        assert not rest[inside].any(), name
        assert rest.any(), name  # there are values beyond


def test_one_weight_serves_both(case: Case):
    fine, rest = (f"{case.names['conv']}_{part}" for part in ("fine_clipped", "rest"))
    readers = [op for op in case.held.graph.ops if op.name == "CONV_2D" and op.input(0).name in (fine, rest)]
    assert [op.input(0).name for op in readers] == [fine, rest]
    assert readers[0].input(1) is readers[1].input(1)
    assert not readers[1].input(2).array().any()  # the bias counts once
    assert [op.options.fusedActivationFunction for op in readers] == [0, 0]  # that of the sum comes after
    (total,) = (op for op in case.held.graph.ops if readers[0].outputs[0] in op.inputs)
    assert (total.name, total.options.fusedActivationFunction) == ("ADD", 1)


# ---------------------------------------------------------------- sums


@functools.cache
def _residual() -> tuple[FloatModel, Model, dict[str, str]]:
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((4, 4, 8), name="image")
    x = layers.Conv2D(8, 1, name="stem")(image)
    first = layers.Add(name="first")([x, layers.Conv2D(8, 1, name="one")(x)])
    second = layers.Add(name="second")([first, layers.Conv2D(8, 1, name="two")(first)])
    third = layers.ReLU(name="third")(layers.Add(name="last_sum")([second, layers.Conv2D(8, 1, name="three")(second)]))
    loaded = load_model(keras.Model(image, layers.Conv2D(3, 1, name="head")(third)))
    model = load(loaded.flatbuffer)
    called = ("stem", "one", "first", "second", "last_sum")
    names = {n: next(op.outputs[0].name for op in model.graph.ops if n in op.outputs[0].name) for n in called}
    return loaded, model, names


def test_sums_are_carried_along_and_end_at_an_activation_function():
    loaded, model, names = _residual()
    readers = readers_of(model, names["second"])
    assert (readers.sums, readers.held) == ((names["last_sum"],), frozenset())
    assert names["second"] in readers_of(model, names["first"]).held
    sums = {names["second"]: True, names["last_sum"]: True}
    found = two_points(model, names["first"], (-8.0, 8.0), (-1.0, 1.0), sums=sums)
    graph = found.model.graph
    rest = next(t for t in graph.tensors() if t.name == f"{names['first']}_rest")
    # the same rest goes into layers "two" and "three", and is added in the sum with the activation function
    assert [op.name for op in graph.ops if rest in op.inputs] == ["CONV_2D", "CONV_2D", "ADD"]
    assert names["second"] not in {t.name for t in graph.tensors()}  # nothing reads it as one any more
    assert {f"{names[n]}_of_fine" for n in ("second", "last_sum")} <= set(found.partial)
    feed = {"image": np.random.default_rng(0).normal(0, 3, (1, 4, 4, 8)).astype(np.float32)}
    runs = [run(make_interpreter(content), feed)[0] for content in (loaded.flatbuffer, save(found.model))]
    np.testing.assert_allclose(*runs, rtol=0, atol=1e-5 * np.abs(runs[0]).max())  # three layers' float32 sums


def test_sums_that_are_not_named_read_all_of_it():
    _, model, names = _residual()
    before = readers_of(model, names["first"])
    found = two_points(model, names["first"], (-8.0, 8.0), (-1.0, 1.0))
    after = readers_of(found.model, names["first"])
    assert after.sums == before.sums == (names["second"],)
    assert (len(before.layers), after.layers) == (1, ())


def test_a_sum_that_reads_both_need_not_be_two():
    _, model, names = _residual()
    found = two_points(model, names["first"], (-8.0, 8.0), (-1.0, 1.0), sums={names["second"]: False})
    graph = found.model.graph
    (op,) = (op for op in graph.ops if op.outputs[0].name == names["second"])
    assert [t.name for t in op.inputs if t is not None] == [f"{names['second']}_of_fine", f"{names['first']}_rest"]
    assert len(graph.consumers()[op.outputs[0]]) == 2  # layer "three" and the next sum


# ---------------------------------------------------------------- ranges, and what cannot be


def test_ranges():
    low, high = on_grid((-1.0, 2.0))
    assert (low, high) == pytest.approx((-1, 2), abs=0.5 * 3 / 255)
    assert low / step_of((low, high)) == pytest.approx(round(low / step_of((low, high))), abs=1e-9)
    assert on_grid((1.0, 4.0)) == (0.0, 4.0)
    narrow = on_grid((-1.0, 1.0))
    assert step_of(rest_range((-64.0, 64.0), narrow)) == pytest.approx(1.3 * (128 + 2) / 255, rel=1e-2)
    wide = rest_range((0.0, 100.0), on_grid((0.0, 25.0)))
    assert wide == pytest.approx((0.0, 1.3 * 125))
    assert step_of(wide) == pytest.approx(1.3 * (step_of((0.0, 100.0)) + step_of((0.0, 25.0))))


def test_what_cannot_be_held_as_two():
    x = keras.Input((8, 8, 4), name="x")
    numbers = keras.Input((3,), dtype="int32", name="numbers")
    y = keras.layers.MaxPooling2D(name="pooled")(keras.layers.Conv2D(4, 1, name="conv")(x))
    scores = keras.layers.Softmax(name="scores")(keras.layers.Conv2D(4, 1, name="second")(y))
    outputs = [keras.layers.Conv2D(2, 1, name="third")(scores), keras.ops.cast(numbers, "float32")]
    model = load(load_model(keras.Model([x, numbers], outputs)).flatbuffer)
    reasons = holdable(model)
    (pooled,) = (op.outputs[0].name for op in model.graph.ops if op.name == "MAX_POOL_2D")
    (soft,) = (op.outputs[0].name for op in model.graph.ops if op.name == "SOFTMAX")
    assert reasons[pooled] == "MAX_POOL_2D writes it at a scale that is not its own"
    assert reasons[soft] == "SOFTMAX writes it at a scale that is not its own"
    last = [op.outputs[0].name for op in model.graph.ops if op.name == "CONV_2D"][-1]
    assert reasons[last] == "no layer with constant weights and no sum reads it"
    by_name = dict(model.signatures[0].inputs)
    assert reasons[by_name["numbers"].name] == "it holds no float values"
    assert reasons[by_name["x"].name] is None
    for name, whole, narrow in (
        (soft, (0, 1), (0, 0.1)),
        ("none", (0, 1), (0, 0.1)),
        (by_name["x"].name, (0, 1), (0, 1)),
    ):
        with pytest.raises(ValueError, match=f"{re.escape(name)}|no narrower part"):
            two_points(model, name, whole, narrow)


def test_names_stay_apart():
    _, model, names = _residual()
    once = two_points(model, names["first"], (-8.0, 8.0), (-1.0, 1.0), sums={names["second"]: False})
    twice: TwoPoints = two_points(once.model, names["second"], (-9.0, 9.0), (-1.0, 1.0))
    written = [t.name for op in twice.model.graph.ops for t in op.outputs]
    assert len(set(written)) == len(written)


def test_a_layer_stays_one_layer_and_the_last_one():
    keras.utils.set_random_seed(0)
    layers = keras.layers
    image = keras.Input((4, 4, 8), name="image")
    boxes = layers.Conv2D(6, 1, name="boxes")(layers.Conv2D(8, 1, name="stem")(image))
    scores = layers.Dense(3, name="scores")(layers.GlobalAveragePooling2D(name="pool")(boxes))
    loaded = load_model(keras.Model(image, [boxes, scores]))
    plain = load(loaded.flatbuffer)
    (stem,) = (op.outputs[0].name for op in plain.graph.ops if "stem" in op.outputs[0].name)
    samples = [{"image": x} for x in np.random.default_rng(0).normal(size=(4, 1, 4, 4, 8)).astype(np.float32)]
    found = two_points(plain, stem, (-8.0, 8.0), (-1.0, 1.0))
    told = []
    for model, ranges in ((plain, {}), (found.model, found.ranges)):
        content = int8_twin(
            replace(loaded, flatbuffer=save(model), public_int8=None), lambda: iter(samples), ranges=ranges
        )
        known, _ = find_layers(model.graph, without_idle_ops(load(content)).graph, names=loaded.names)
        told.append([(layer.name, layer.is_first, layer.is_last) for layer in known])
    assert told[0] == told[1] == [("stem", True, False), ("boxes", False, True), ("scores", False, True)]
    assert [len(layer.uses) for layer in known] == [2, 2, 1]
