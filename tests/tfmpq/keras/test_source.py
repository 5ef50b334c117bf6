"""Conversion of annotated and simulated Keras 3 models: the integers of the file, its outputs, its bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import tfmpq
from converters.errors import ModelError
from converters.layers.find import find_layers
from converters.layers.layer import Layer
from converters.points import merge
from converters.tflite.reader import load
from tests.support.keras_nets import NETS, data, reloaded, separable, shared
from tests.support.pipeline import run_real
from tfmpq import cli
from tfmpq.keras import SimulationSettings, annotate, simulate
from tfmpq.keras.kernels import CHANNEL_AXES, kernel_of
from tfmpq.keras.source import find_wrappers, read
from tfmpq.preparation import Prepared
from tfmpq.simulation.points import channel_rows, simulated_points


def prepared(model: Any, x: np.ndarray, **options: Any) -> Prepared:
    return tfmpq.prepare(model, x, progress=False, sensitivity="energy", **options)


def outputs(content: bytes, name: str, x: np.ndarray) -> np.ndarray:
    return run_real(content, [{name: sample[None]} for sample in x])[0][:, 0]


def input_name(model: Prepared) -> str:
    return model.network.float_model.inputs[0].name


def file_layers(known: Prepared, content: bytes) -> dict[str, Layer]:
    """Layers of a file in which every layer is still one op."""
    float_model = known.network.float_model
    layers, _ = find_layers(
        load(float_model.flatbuffer).graph,
        load(content).graph,
        names=float_model.names,
    )
    return {layer.name: layer for layer in layers}


def integers(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """Codes (C, d) and scales (C,) of a layer of an int8 file."""
    tensor = layer.uses[0].int8_op.input(layer.kind.site.weight)
    assert tensor.quantization is not None
    return layer.kind.rows(tensor.array()), tensor.quantization.scale


def factors(wrapper: Any, rows: int) -> np.ndarray:
    """What folding multiplies into the rows."""
    if wrapper.norm is None:
        return np.ones(rows)
    return np.asarray(wrapper.norm.gamma) / np.sqrt(np.asarray(wrapper.norm.moving_variance) + wrapper.norm.epsilon)


def check_integers(model: Any, known: Prepared, content: bytes) -> None:
    """The file holds the very integers that the model computes with, and their scales times the folded factors."""
    written = file_layers(known, content)
    for path, wrapper in find_wrappers(model).items():
        codes, scales = integers(written[path])
        axes = CHANNEL_AXES[type(wrapper.layer)]
        computed = channel_rows(np.asarray(wrapper.simulated_weight()), axes).astype(np.float64)
        sign = np.asarray(wrapper.sign())
        points = simulated_points(channel_rows(np.asarray(kernel_of(wrapper.layer)), axes), wrapper.settings, sign)
        row = merge(points.weight())
        assert row is not None
        np.testing.assert_array_equal(codes, row.codes, err_msg=path)
        np.testing.assert_array_equal(np.rint(computed / row.scale[:, None]), codes * sign[:, None], err_msg=path)
        # float32: TensorFlow's product, and ours of scale and factor.
        np.testing.assert_allclose(scales, row.scale * np.abs(factors(wrapper, len(codes))), rtol=1e-5, err_msg=path)


# By day normalizations of both signs, and layers that are used twice.
@pytest.mark.parametrize(
    ("name", "bits"),
    [
        pytest.param(name, 3 + number % 2, marks=[] if name in ("separable", "shared") else [pytest.mark.nightly])
        for number, name in enumerate(NETS)
    ],
)
def test_the_file_has_the_simulated_integers(name: str, bits: int):
    model = NETS[name]()
    x = data(model)
    simulated = simulate(annotate(model, SimulationSettings(bits=bits)), x)
    known = prepared(simulated, x, lowering="fused")
    result = known.finish()
    check_integers(simulated, known, result.tflite_model)
    computed = simulated(x).numpy()
    written = outputs(result.tflite_model, input_name(known), x)
    # The weights are the same, so that all that is left is the rounding of activations. The simulation has most of it;
    # it lacks that of the values it adds, pools or gives out. Together this is at most what the whole of it amounts
    # to (the file against the float model with the same weights), and half a step of the output for ties. A layer that
    # is used twice rounds both inputs on one grid where the file has two: there both errors count.
    grids = 2 if name == "shared" else 1
    everything = np.abs(written - outputs(result.float_model, input_name(known), x)).max()
    step = load(result.tflite_model).graph.outputs[0].scale
    assert np.abs(written - computed).max() <= grids * everything + step / 2
    assert everything < 0.05 * np.abs(computed).max()


def test_greedy_points_come_as_they_are():
    x = data(separable())
    simulated = simulate(annotate(separable(), SimulationSettings(bits=4, algorithm="greedy")), x)
    known = prepared(simulated, x, lowering="parallel")
    for path, wrapper in find_wrappers(simulated).items():
        axes = CHANNEL_AXES[type(wrapper.layer)]
        sign = np.asarray(wrapper.sign())
        wanted = simulated_points(channel_rows(np.asarray(kernel_of(wrapper.layer)), axes), wrapper.settings, sign)
        layer = next(layer for layer in known.weighed if layer.name == path)
        found = layer.weight(wanted.counts)
        for a, b in zip(found.points, wanted.weight().points, strict=True):
            np.testing.assert_array_equal(a.codes, b.codes)
        assert layer.given_counts is not None
        assert (layer.given_counts >= wanted.counts).all()  # rows that share their order may get points of zeros
    result = known.finish()  # validation compares every point with the file
    written = outputs(result.tflite_model, input_name(known), x)
    everything = np.abs(written - outputs(result.float_model, input_name(known), x)).max()
    assert np.abs(written - simulated(x).numpy()).max() <= everything + load(result.tflite_model).graph.outputs[0].scale


def test_signs_that_training_changed():
    x = data(separable())
    simulated = simulate(annotate(separable(), SimulationSettings(bits=2, points=1)), x)
    for wrapper in find_wrappers(simulated).values():
        if wrapper.norm is not None:
            wrapper.norm.gamma.assign(-wrapper.norm.gamma)
    known = prepared(simulated, x, lowering="fused")
    result = known.finish()
    check_integers(simulated, known, result.tflite_model)
    assert not known.notes
    low = [integers(layer)[0].min() for layer in file_layers(known, result.tflite_model).values()]
    assert min(low) == -2  # the full range is used: a turned row would not fit


@pytest.mark.parametrize("factor", [0.25, -0.25])
def test_a_rescaling_is_folded_as_well(factor: float):
    image = keras.Input((6, 6, 2), name="image")
    x = keras.layers.Conv2D(4, 3, name="conv")(keras.layers.Rescaling(factor, name="scaled")(image))
    norm: Any = keras.layers.BatchNormalization(name="bn")
    model = keras.Model(image, norm(x))
    norm.gamma.assign([1.0, -1.0, 2.0, -2.0])
    samples = data(model)
    simulated = simulate(annotate(model, SimulationSettings(bits=2, points=1)), samples)
    conv = find_wrappers(simulated)["conv"]
    assert conv.norm is not None
    conv.norm.gamma.assign([-1.0, -1.0, 2.0, 2.0])
    known = prepared(simulated, samples, lowering="fused")
    written = file_layers(known, known.finish().tflite_model)["conv"]
    folded = np.sign((written.weight * channel_rows(np.asarray(conv.layer.kernel), (-1,))).sum(axis=1))
    np.testing.assert_array_equal(np.asarray(conv.sign()), folded)
    codes = channel_rows(np.asarray(conv.simulated_weight()), (-1,)) * folded[:, None]
    np.testing.assert_array_equal(np.sign(codes), np.sign(integers(written)[0]))
    assert not known.notes


def test_rows_that_fold_to_nothing():
    model = separable()
    gamma = np.asarray(model.get_layer("stem_bn").gamma).copy()
    gamma[0] = 0
    model.get_layer("stem_bn").gamma.assign(gamma)
    model.get_layer("project").kernel.assign(model.get_layer("project").kernel * [0.0, *[1.0] * 7])
    x = data(model)
    simulated = simulate(annotate(model, SimulationSettings(bits=4)), x)
    written = outputs(tfmpq.convert(simulated, x, progress=False).tflite_model, "image", x)
    np.testing.assert_allclose(written, simulated(x).numpy(), atol=0.03 * np.abs(written).max())


def test_fine_tuned_model_converts_to_what_it_computes(tmp_path: Path):
    x = data(shared())
    simulated = simulate(annotate(shared(), SimulationSettings(bits=3)), x)
    labels = np.random.default_rng(0).integers(0, 3, len(x))
    simulated.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    before = read(simulated).simulated["block/conv"].rows
    simulated.fit(x, labels, batch_size=8, epochs=3, verbose=0)
    assert (read(simulated).simulated["block/conv"].rows != before).any()
    known = prepared(simulated, x, lowering="fused")
    content = known.finish().tflite_model
    check_integers(simulated, known, content)
    again = reloaded(simulated, tmp_path / "tuned.keras")
    np.testing.assert_array_equal(again(x).numpy(), simulated(x).numpy())
    assert prepared(again, x, lowering="fused").finish().tflite_model == content


def test_annotated_model_takes_the_path_with_data(tmp_path: Path):
    x = data(separable())
    annotated = annotate(separable(), SimulationSettings(bits=4), match="^(project|classifier)$")
    annotate(annotated.get_layer("classifier"), SimulationSettings(bits=3, max_points=1))
    rules = [
        tfmpq.Rule(".*", bits=8),
        tfmpq.Rule("^project$", bits=4, max_points=2, algorithm="radix"),
        tfmpq.Rule("^classifier$", bits=3, max_points=1, algorithm="radix"),
    ]
    content = tfmpq.convert(annotated, x, progress=False).tflite_model
    by_recipe = tfmpq.convert(separable(), x, recipe=tfmpq.Recipe(rules), progress=False)
    plan = {name: (p.settings.bits, p.settings.algorithm) for name, p in by_recipe.plan.layers.items()}
    assert plan["project"] == (4, "radix")
    assert plan["stem"] == (8, "radix")
    for first, second in zip(*(load(c).graph.ops for c in (content, by_recipe.tflite_model)), strict=True):
        assert [t and t.data for t in first.inputs] == [t and t.data for t in second.inputs]
    loaded = reloaded(annotated, tmp_path / "annotated.keras")
    assert tfmpq.convert(loaded, x, progress=False).tflite_model == content


@pytest.mark.slow
@pytest.mark.nightly  # by day: test_trained_files.py converts a simulated model by its path
def test_files_convert_by_their_path(tmp_path: Path):
    x = data(separable())
    annotated = annotate(separable(), SimulationSettings(bits=4))
    path = tmp_path / "model.keras"
    reloaded(annotated, path)
    by_path, itself = (tfmpq.convert(m, x, progress=False).tflite_model for m in (path, annotated))
    assert by_path == itself
    simulated = simulate(annotated, x)
    reloaded(simulated, path)
    itself = tfmpq.convert(simulated, x, progress=False).tflite_model
    np.save(tmp_path / "x.npy", x)
    arguments = [f"--model={path}", f"--data={tmp_path / 'x.npy'}", f"--output={tmp_path / 'x.tflite'}"]
    assert cli.run(["convert", *arguments, "--noprogress"]) == 0
    assert (tmp_path / "x.tflite").read_bytes() == itself


def test_annotated_and_simulated_layers_in_one_model_are_refused():
    x = data(separable())
    simulated = simulate(annotate(separable(), SimulationSettings(bits=4)), x)
    image = keras.Input((8, 8, 3))
    late = annotate(keras.layers.Dense(2, name="late"), SimulationSettings(bits=4))
    with pytest.raises(ModelError, match="some layers are simulated and others, such as 'late', only annotated"):
        tfmpq.convert(keras.Model(image, late(simulated(image))), x)


def test_subclassed_models_are_refused():
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="own")
            self.dense = annotate(keras.layers.Dense(2, name="dense"), SimulationSettings(bits=4))

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    own = Own()
    x = np.ones((4, 3), np.float32)
    own(x)
    with pytest.raises(ModelError, match=r"tfmpq\.convert: model 'own' \(Own\) is subclassed"):
        tfmpq.convert(own, x)
