"""What a simulated Keras 3 model computes with, and what its training does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from converters.errors import DataError, ModelError
from converters.layers.layer import Skipped
from tests.support.keras_nets import NETS, data, reloaded, separable
from tfmpq.keras import Simulate, SimulationSettings, annotate, simulate
from tfmpq.keras.kernels import kernel_of
from tfmpq.keras.measurement import written_layers
from tfmpq.keras.source import find_wrappers

FOUR = SimulationSettings(bits=4)
MOST_ROUNDED = SimulationSettings(bits=2, points=1)
# By day normalizations of both signs, and layers that are used twice.
NAMES = pytest.mark.parametrize(
    "name", [n if n in ("separable", "shared") else pytest.param(n, marks=pytest.mark.nightly) for n in NETS]
)


def wrapper(model: Any, name: str) -> Simulate:
    found = model.get_layer(name)
    assert isinstance(found, Simulate)
    return found


@NAMES
def test_every_layer_computes_with_points_of_its_weight(name: str):
    model = NETS[name]()
    x = data(model)
    before = model(x).numpy()
    annotated = annotate(model, SimulationSettings(bits=4, points=1))
    simulated = simulate(annotated, x)
    for path, found in find_wrappers(simulated).items():
        weight, points = np.asarray(kernel_of(found.layer)), np.asarray(found.simulated_weight())
        # 16 levels over a bell curve of at least 8 weights: a noise of -30 to -14 dB.
        assert 0.03 < np.linalg.norm(points - weight) / np.linalg.norm(weight) < 0.2, path
    assert 0.01 < np.linalg.norm(simulated(x).numpy() - before) / np.linalg.norm(before) < 0.4
    np.testing.assert_array_equal(annotated(x).numpy(), before)


def test_folded_normalization_becomes_part_of_its_layer():
    simulated = simulate(annotate(separable(), FOUR), data(separable()))
    names = [layer.name for layer in simulated.layers]
    assert not [name for name in names if name.endswith("_bn")]
    for name in ("stem", "depthwise", "project"):
        found = wrapper(simulated, name)
        assert found.norm.name == f"{name}_bn"
        np.testing.assert_array_equal(found.sign(), np.sign(found.norm.gamma))
    assert wrapper(simulated, "classifier").norm is None
    np.testing.assert_array_equal(wrapper(simulated, "classifier").sign(), np.ones(4))


def test_sign_follows_gamma():
    simulated = simulate(annotate(separable(), SimulationSettings(bits=2, points=1)), data(separable()))
    stem = wrapper(simulated, "stem")
    before = np.asarray(stem.simulated_weight())
    stem.norm.gamma.assign(-stem.norm.gamma)
    after = np.asarray(stem.simulated_weight())
    # 2-bit codes are -2..1: the row that may use -2 is not the same row turned around.
    assert (before != after).any()
    channel = int(np.argmax(np.asarray(stem.norm.gamma) > 0))
    row = after[..., channel].ravel()
    step = np.abs(row[row != 0]).min()
    assert set(np.rint(row / step).astype(int)) <= {-2, -1, 0, 1}


def test_a_factor_that_is_no_normalization_turns_rows_around_too():
    image = keras.Input((6, 6, 2))
    x = keras.layers.Conv2D(4, 3, name="conv")(image)
    model = keras.Model(image, keras.layers.Rescaling(-0.5, name="negative")(x))
    found = wrapper(simulate(annotate(model, FOUR), data(model)), "conv")
    assert found.norm is None
    assert found.flipped == (0, 1, 2, 3)  # TensorFlow folds the factor into the weight
    np.testing.assert_array_equal(found.sign(), -np.ones(4))


def test_gradients_pass_straight_through():
    layer = keras.layers.Dense(3, use_bias=False, name="dense")
    model = keras.Sequential([keras.Input((4,)), layer])
    x = data(model)
    simulated = simulate(annotate(model, MOST_ROUNDED), x)
    kernel = wrapper(simulated, "dense").layer.kernel
    inside = tf.constant(x[:5] * 0.9)
    with tf.GradientTape() as tape:
        tape.watch(inside)
        loss = tf.reduce_sum(simulated(inside))
    gradients: Any = tape.gradient(loss, [kernel.value, inside])
    by_weight, by_input = gradients
    # d(sum of x w~)/dw is the sum of the inputs as int8 holds them; d/dx is w~, not w.
    found = wrapper(simulated, "dense")
    steps = np.rint(inside.numpy() / found.input_scale) * found.input_scale
    np.testing.assert_allclose(by_weight, np.repeat(steps.sum(0)[:, None], 3, axis=1), rtol=1e-5)
    np.testing.assert_allclose(by_input[0], np.asarray(found.simulated_weight()).sum(1), rtol=1e-6)


def test_activations_are_int8():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, name="dense")])
    model.layers[0].kernel.assign([[1.0]])
    samples = np.linspace(-0.5, 2, 20, dtype=np.float32)[:, None]
    simulated = simulate(annotate(model, SimulationSettings(bits=8, points=1)), samples)
    found = wrapper(simulated, "dense")
    weight = float(np.asarray(found.simulated_weight()).item())
    many = np.linspace(-3, 5, 4001, dtype=np.float32)[:, None]
    outputs = simulated(many).numpy().ravel() / weight
    assert len(np.unique(np.rint(outputs / found.input_scale))) == 256
    assert outputs.min() == pytest.approx(-0.5, abs=found.input_scale)
    assert outputs.max() == pytest.approx(2.0, abs=found.input_scale)
    with tf.GradientTape() as tape:
        x = tf.constant([[-2.0], [1.0], [4.0]])
        tape.watch(x)
        loss = tf.reduce_sum(simulated(x))
    gradient: Any = tape.gradient(loss, x)
    np.testing.assert_allclose(gradient, [[0], [weight], [0]])


def test_fit_runs_in_graph_mode_and_trains_weight_and_normalization():
    simulated = simulate(annotate(separable(), SimulationSettings(bits=3)), data(separable()))
    x = data(simulated)
    target = np.random.default_rng(2).normal(size=(32, 4)).astype(np.float32)
    simulated.compile(keras.optimizers.Adam(1e-2), "mse")
    before = [np.asarray(v) for v in simulated.variables]
    history = simulated.fit(x, target, batch_size=8, epochs=5, verbose=0).history["loss"]
    assert not simulated.run_eagerly
    assert not simulated.jit_compile
    assert history[-1] < 0.9 * history[0]
    assert all((a != np.asarray(b)).any() for a, b in zip(before, simulated.variables, strict=True))


def test_losses_of_the_layer_are_kept():
    regularized: Any = keras.layers.Dense(2, activity_regularizer=keras.regularizers.L2(1.0), name="dense")
    simulated = simulate(annotate(keras.Sequential([keras.Input((3,)), regularized]), FOUR), np.ones((4, 3), "f"))
    outputs = simulated(np.ones((1, 3), np.float32)).numpy()
    np.testing.assert_allclose([np.asarray(loss) for loss in simulated.losses], [(outputs**2).sum()], rtol=1e-5)


def test_data_decide_which_channels_get_points():
    # One large weight makes the grid of channel 0 too coarse for its others; that of channel 1 fits them.
    model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(2, use_bias=False, name="dense")])
    generator = np.random.default_rng(0)
    weight = generator.uniform(-0.1, 0.1, (9, 2))
    weight[0, 0] = 1.0
    model.layers[0].kernel.assign(weight)
    half = SimulationSettings(bits=3, share=0.5)

    def points(columns: slice) -> Any:
        x = np.zeros((16, 9), np.float32)
        x[:, columns] = generator.uniform(-1, 1, x[:, columns].shape)
        return wrapper(simulate(annotate(model, half), x), "dense").settings.points

    assert points(slice(None)) == (2, 1)
    # Where only the large weight meets inputs that are not 0, channel 0 has no error at all.
    assert points(slice(0, 1)) == (1, 2)


def test_the_papers_rule_is_applied_to_the_output():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, use_bias=False, name="dense")])
    model.layers[0].kernel.assign([[1.0], [0.1]])  # at 2 bits the second weight is lost
    settings = SimulationSettings(bits=2, epsilon=0.001)
    x = np.random.default_rng(0).uniform(-1, 1, (16, 2)).astype(np.float32)
    assert wrapper(simulate(annotate(model, settings), x), "dense").settings.points == (2,)
    x[:, 1] = 0
    assert wrapper(simulate(annotate(model, settings), x), "dense").settings.points == (1,)


def test_given_points_are_kept():
    settings = SimulationSettings(bits=4, points=(1, 2, 1, 2))
    simulated = simulate(annotate(separable(), settings, match="classifier"), data(separable()))
    assert wrapper(simulated, "classifier").settings == settings
    assert not any(isinstance(layer, Simulate) for layer in simulated.layers if layer.name != "classifier")
    assert simulated.get_layer("stem_bn")


@NAMES
def test_files_and_clones_compute_the_same(name: str, tmp_path: Path):
    model = NETS[name]()
    x = data(model)
    simulated = simulate(annotate(model, FOUR), x)
    loaded = reloaded(simulated, tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x).numpy(), simulated(x).numpy())
    clone = keras.models.clone_model(simulated)
    clone.set_weights(simulated.get_weights())
    np.testing.assert_array_equal(clone(x).numpy(), simulated(x).numpy())


def test_one_layer_with_normalizations_of_different_signs_is_refused():
    images = [keras.Input((6, 6, 2), name=name) for name in ("left", "right")]
    conv = keras.layers.Conv2D(2, 3, name="conv", use_bias=False)
    norms: list[Any] = [keras.layers.BatchNormalization(name=name) for name in ("one", "two")]
    branches = [norm(conv(image)) for norm, image in zip(norms, images, strict=True)]
    model = keras.Model(images, keras.layers.Concatenate()(branches))
    x = dict.fromkeys(("left", "right"), np.random.default_rng(0).normal(size=(8, 6, 6, 2)).astype(np.float32))
    norms[1].gamma.assign([1.0, -1.0])
    with pytest.raises(ModelError, match=r"'conv' cannot be simulated: it is used 2 times.*channel 1"):
        simulate(annotate(model, FOUR), x)
    norms[1].gamma.assign([1.0, 2.0])
    assert wrapper(simulate(annotate(model, FOUR), x), "conv").norm is None


def test_mix_ups():
    annotated = annotate(separable(), FOUR)
    x = data(annotated)
    simulated = simulate(annotated, x)
    with pytest.raises(ModelError, match=r"is simulated already.*start from the annotated model"):
        simulate(simulated, x)
    with pytest.raises(ModelError, match=r"'stem' is simulated already.*Annotate the float model"):
        annotate(simulated, FOUR)
    with pytest.raises(ModelError, match="'stem' is simulated already"):
        annotate(simulated.get_layer("stem"), FOUR)
    with pytest.raises(ModelError, match=r"no layer of model 'separable' is annotated.*tfmpq\.keras\.annotate"):
        simulate(separable(), x)
    with pytest.raises(ModelError, match=r"'stem' \(Annotate\) is a layer, not a model"):
        simulate(annotated.get_layer("stem"), x)
    with pytest.raises(ModelError, match="is an object of tf_keras"):
        simulate(tf_keras.Sequential([tf_keras.layers.Dense(2)]), x)
    with pytest.raises(ModelError, match="is not built"):
        simulate(keras.Sequential([annotate(keras.layers.Dense(2), FOUR)]), x)
    with pytest.raises(DataError, match="no samples"):
        simulate(annotated, [])


class _Subclassed(keras.Model):
    def __init__(self) -> None:
        super().__init__(name="own")
        self.dense = annotate(keras.layers.Dense(2, name="dense"), FOUR)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def test_layers_out_of_reach_are_refused():
    own = _Subclassed()
    x = np.ones((4, 3), np.float32)
    own(x)
    with pytest.raises(ModelError, match=r"'own' \(_Subclassed\) is subclassed"):
        simulate(own, x)
    image = keras.Input((2, 3))
    inner = annotate(keras.layers.Dense(2, name="dense"), FOUR)
    distributed = keras.Model(image, keras.layers.TimeDistributed(inner, name="steps")(image))
    with pytest.raises(ModelError, match="'steps/dense' is annotated, but stands inside a layer"):
        simulate(distributed, np.ones((4, 2, 3), np.float32))


def test_a_layer_that_is_not_in_the_file_is_refused():
    skipped = Skipped("conv", "CONV_2D", "TensorFlow leaves it in float")
    with pytest.raises(ModelError, match=r"'conv' cannot be simulated.*\(CONV_2D: TensorFlow leaves it in float\)"):
        written_layers("conv", [], [skipped])
