"""quantize_apply: what a model with multipoint layers computes, and what the converted file holds of it."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tf_keras

import tfmpq
from converters.errors import ModelError, OptionError
from converters.layers.kinds import KINDS as LAYER_KINDS
from converters.points import merge
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME
from tests.tfmpq.quantize_config.tfmot.networks import (
    CONFIGS,
    MultipointQuantizeConfig,
    annotate,
    images,
    inner,
    layers,
    network,
    qat,
    simulated_rows,
    train,
    wrapper,
)
from tfmpq.quantize_config.folding import row_sign
from tfmpq.simulation.points import channel_rows, simulated_points
from tfmpq.sources import read_source

AXES = {"depthwise": (2, 3), "up": (2,)}
KINDS = {"stem": "conv", "depthwise": "depthwise", "up": "transpose_conv", "hidden": "dense", "classifier": "dense"}


@functools.cache
def trained() -> Any:
    """The network, annotated as a whole, quantized and trained for a few steps."""
    return train(qat.quantize_apply(annotate(network(), everything=True)))


def converted(model: Any, **options: Any) -> tfmpq.ConversionResult:
    return tfmpq.convert(model, images(40), progress=False, **options)


def rows_of(model: Any, name: str) -> np.ndarray:
    """(C, d): the trained float weight."""
    [(weight, _, _)] = wrapper(model, name)._weight_vars
    return channel_rows(weight.numpy(), AXES.get(name, (-1,)))


def sign_of(model: Any, name: str) -> np.ndarray | None:
    sign = row_sign(wrapper(model, name))
    return None if sign is None else sign.numpy()


def settings_of(name: str) -> Any:
    return MultipointQuantizeConfig(**CONFIGS[name]).settings


@pytest.mark.parametrize("name", list(CONFIGS))
def test_training_moves_weights_through_the_rounding(name: str):
    before, after = channel_rows(kernel(network(), name), AXES.get(name, (-1,))), rows_of(trained(), name)
    assert (before != after).any()


def kernel(model: Any, name: str) -> np.ndarray:
    layer = model.get_layer(name)
    return (layer.depthwise_kernel if name == "depthwise" else layer.kernel).numpy()


def test_gradients_pass_straight_through():
    import tensorflow as tf

    found = wrapper(trained(), "project")
    [(weight, quantizer, variables)] = found._weight_vars
    upstream = tf.random.normal(weight.shape, seed=0)

    @tf.function
    def gradient() -> Any:
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(quantizer(weight, True, weights=variables) * upstream)
        return tape.gradient(loss, weight)

    np.testing.assert_array_equal(gradient(), upstream)


@pytest.mark.parametrize("name", list(CONFIGS))
def test_forward_pass_has_the_points_of_the_row_in_the_file(name: str):
    model = trained()
    sign, rows = sign_of(model, name), rows_of(model, name)
    points = simulated_points(rows, settings_of(name), sign).weight()
    real = points.reconstruct() * (1.0 if sign is None else sign[:, None])
    # The layer's weight is float32, and so the sum of its points is rounded once.
    np.testing.assert_array_equal(simulated_rows(model, name, AXES.get(name, (-1,))), real.astype(np.float32))


def test_negative_scales_change_the_points():
    """The test above would prove little if rows could be turned around afterwards."""
    model = trained()
    sign, rows = sign_of(model, "project"), rows_of(model, "project")
    assert sign is not None
    assert set(sign) == {-1.0, 1.0}
    plain = simulated_points(rows, settings_of("project")).weight().reconstruct()
    signed = simulated_points(rows, settings_of("project"), sign).weight().reconstruct() * sign[:, None]
    changed = (plain != signed).any(axis=1)
    assert changed.any()
    assert not changed[sign > 0].any()


def integers(content: bytes) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """(codes (C, d), scales) of every op with int8 weights in a file without permuted rows, by its place."""
    kinds = {"CONV_2D": "conv", "DEPTHWISE_CONV_2D": "depthwise", "TRANSPOSE_CONV": "transpose_conv",
             "FULLY_CONNECTED": "dense"}  # fmt: skip
    found = {}
    names = [name for name in CONFIGS if name != "up"]
    for op in load(content).graph.ops:
        if op.name in kinds and op.name != "TRANSPOSE_CONV":
            kind = LAYER_KINDS[kinds[op.name]]
            tensor = op.input(kind.site.weight)
            assert tensor.quantization is not None
            found[names[len(found)]] = kind.rows(tensor.array()), tensor.quantization.scale
    return found


def test_file_holds_the_simulated_integers():
    """Bit for bit, after training, in every layer whose points merge into one int8 row."""
    model = trained()
    rules = [tfmpq.Rule(f"^{name}$", lowering="fused") for name in CONFIGS if name != "up"]
    result = converted(model, recipe=tfmpq.Recipe(rules))
    found = integers(result.tflite_model)
    assert list(found) == [name for name in CONFIGS if name != "up"]
    for name, (codes, scales) in found.items():
        sign, rows = sign_of(model, name), rows_of(model, name)
        merged = merge(simulated_points(rows, settings_of(name), sign).weight())
        assert merged is not None
        np.testing.assert_array_equal(codes, merged.codes, err_msg=name)
        # The integers the forward pass has, counted in the row's own step.
        signed = simulated_rows(model, name, AXES.get(name, (-1,))) * (1.0 if sign is None else sign[:, None])
        np.testing.assert_array_equal(codes, np.rint(signed / merged.scale[:, None]), err_msg=name)
        if sign is None:
            np.testing.assert_array_equal(scales, merged.scale)
        else:
            assert (scales != merged.scale).all()  # the factor of the normalization


def test_parallel_file_holds_the_simulated_points():
    model = trained()
    prepared = tfmpq.prepare(model, images(40), lowering="parallel", progress=False)
    result = prepared.finish()  # with the check that the file's integers are those of the plan
    for name in CONFIGS:
        points = simulated_points(rows_of(model, name), settings_of(name), sign_of(model, name))
        weight = points.weight()
        [layer] = [layer for layer in prepared.weighed if layer.name == name]
        planned = layer.weight(result.plan.layers[name].counts)
        expected = np.stack([p.codes for p in weight.points])
        for number, point in enumerate(planned.points):
            codes = expected[number] if number < len(expected) else np.zeros_like(expected[0])
            np.testing.assert_array_equal(point.codes, codes, err_msg=name)
        assert (planned.counts >= points.counts).all()
        # The biases were trained with these points, and no mean error is moved into them.
        np.testing.assert_array_equal(layer.biases(planned)[0], layer.layer.uses[0].bias)
    assert result.plan.layers["up"].settings.algorithm == "greedy"
    assert result.plan.layers["full"].counts.tolist() == [2] * 8
    assert result.plan.layers["classifier"].counts.tolist() == [1, 2, 1, 2, 1, 2]


def test_file_is_as_close_to_the_simulation_as_int8_activations_allow():
    """Stock's file of the very weights that are simulated differs only by activations and 8-bit weights."""
    result = converted(trained())
    closeness = result.report.proxies
    assert closeness is not None
    # Six samples: the noise of two files with equal steps differs by a few tenths of a dB, and by 3 dB at most.
    assert closeness.file.sqnr_db[0] > closeness.stock.sqnr_db[0] - 3
    assert result.report.notes == () or all("points" not in note for note in result.report.notes)


def test_simulated_model_is_what_the_file_is_measured_against():
    """The float model inside has the simulated weights, the running statistics and the biases of the trained one."""
    model = trained()
    clean: Any = read_source(model).model
    x = images(4)
    unrounded = tf_keras.models.clone_model(clean)
    unrounded.set_weights(clean.get_weights())
    for name in CONFIGS:
        np.testing.assert_array_equal(
            channel_rows(kernel(clean, name), AXES.get(name, (-1,))),
            simulated_rows(model, name, AXES.get(name, (-1,))),
        )
    for layer in clean.layers:
        if isinstance(layer, layers.BatchNormalization):
            trained_layer = inner(model.get_layer(f"quant_{layer.name}"))
            for ours, theirs in zip(layer.weights, trained_layer.weights, strict=True):
                np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert np.isfinite(unrounded(x)).all()


def test_unannotated_layers_take_8_bits():
    chosen = {"project": {"bits": 3, "points": 1}}
    model = qat.quantize_apply(annotate(network(), chosen))
    plan = converted(model).plan
    assert {name: p.settings.bits for name, p in plan.layers.items()} == {
        name: 3 if name == "project" else 8 for name in CONFIGS
    }
    assert plan.layers["project"].settings.algorithm == "nearest_radix"


def test_default_tfmot_model_is_converted_like_a_float_one():
    model = train(qat.quantize_model(network()))
    source = read_source(model)
    assert not source.rules
    assert not source.simulated
    trained_kernel = wrapper(model, "project")._weight_vars[0][0]
    np.testing.assert_array_equal(kernel(source.model, "project"), trained_kernel.numpy())


def test_recipe_cannot_change_simulated_points():
    model = trained()
    with pytest.raises(OptionError, match=r"layer 'project' computes with 3-bit points .* recipe asks for 8 bits"):
        converted(model, recipe=tfmpq.Recipe([tfmpq.Rule("^project$", bits=8)]))
    kept = converted(model, recipe=tfmpq.Recipe([tfmpq.Rule("^project$", keep="int8")]))
    assert "project" not in kept.plan.layers


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")
def test_saved_as_h5(tmp_path: Path):
    model, path = trained(), tmp_path / "model.h5"
    model.save(path)
    with qat.quantize_scope():
        loaded: Any = tf_keras.models.load_model(path)
    x = images(4)
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    for name in CONFIGS:
        axes = AXES.get(name, (-1,))
        np.testing.assert_array_equal(simulated_rows(loaded, name, axes), simulated_rows(model, name, axes))
    # Only the record of the file's own making may differ.
    files = [load(converted(m, validate=False).tflite_model) for m in (model, loaded)]
    for file in files:
        file.metadata.pop(METADATA_NAME, None)
    ops = [[(op.name, [t.data for t in op.inputs if t is not None]) for op in file.graph.ops] for file in files]
    assert ops[0] == ops[1]


def test_shared_channel_order():
    """Both branches of a sum have rows with two points, in other channels: zeros fill up what the order demands."""
    x = image = layers.Input((8, 8, 4), name="image")
    sums = [layers.Conv2D(6, 1, name=name)(x) for name in ("left", "right")]
    x = layers.GlobalAveragePooling2D(name="pool")(layers.Add(name="sum")(sums))
    model = tf_keras.Model(image, layers.Dense(4, name="out")(x))
    chosen: dict[str, dict[str, Any]] = {
        "left": {"points": [2, 1, 1, 1, 2, 1]},
        "right": {"points": [1, 2, 1, 1, 1, 2], "algorithm": "greedy"},
    }
    model = qat.quantize_apply(annotate(model, chosen))
    data = np.random.default_rng(0).normal(size=(40, 8, 8, 4)).astype(np.float32)
    prepared = tfmpq.prepare(model, data, lowering="parallel", progress=False)
    result = prepared.finish()
    for name, options in chosen.items():
        counts = result.plan.layers[name].counts
        assert (counts >= options["points"]).all()
        settings = MultipointQuantizeConfig(**options).settings
        expected = simulated_points(rows_of(model, name), settings).weight()
        [layer] = [layer for layer in prepared.weighed if layer.name == name]
        planned = layer.weight(counts)
        np.testing.assert_array_equal(planned.reconstruct(), expected.reconstruct())
    assert any((result.plan.layers[n].counts > o["points"]).any() for n, o in chosen.items())


def test_two_normalizations_behind_one_layer_turn_rows_where_nobody_can_know():
    """An output of the model reads the layer too, so that TensorFlow folds nothing, which the layer cannot see."""
    image = layers.Input((8, 8, 4), name="image")
    y = layers.Conv2D(6, 1, name="conv")(image)
    normalized = layers.BatchNormalization(name="bn")(y)
    model = tf_keras.Model(image, [layers.GlobalAveragePooling2D()(normalized), y])
    bn: Any = model.get_layer("bn")
    bn.gamma.assign([-1, 1, -1, 1, 1, 1])
    model = qat.quantize_apply(annotate(model, {"conv": {"points": 1}}))
    data = np.random.default_rng(0).normal(size=(40, 8, 8, 4)).astype(np.float32)
    result = tfmpq.convert(model, data, progress=False)
    assert [note for note in result.report.notes if re.search(r"'conv': 2 of 6 rows have the other sign", note)]


def test_subclassed_models():
    class Own(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.part = qat.quantize_annotate_layer(layers.Dense(4), MultipointQuantizeConfig())

        def call(self, inputs: Any) -> Any:
            return self.part(inputs)

    model = Own()
    model(np.zeros((1, 4), np.float32))
    with pytest.raises(ModelError, match=r"'own' is neither Sequential nor functional"):
        tfmpq.convert(model, np.zeros((8, 4), np.float32), progress=False)
