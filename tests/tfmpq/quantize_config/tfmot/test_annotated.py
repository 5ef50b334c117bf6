"""Annotated models: their settings, the float model inside, files, and every mix-up with its message."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tf_keras

import tfmpq
from converters.errors import ModelError, OptionError
from tests.tfmpq.quantize_config.tfmot.networks import (
    CONFIGS,
    MultipointQuantizeConfig,
    annotate,
    images,
    inner,
    layers,
    network,
    qat,
    tfmot,
)
from tfmpq.quantize_config import MultipointQuantizer
from tfmpq.quantize_config.folding import activation_name
from tfmpq.sources import read_source

UNSIGNED = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file:UserWarning")


@pytest.mark.parametrize("everything", [False, True])
def test_settings_become_rules_and_the_float_model_is_the_same(everything: bool):
    model = network()
    annotated = annotate(model, everything=everything)
    source = read_source(annotated)
    clean: Any = source.model
    assert not source.simulated
    assert [layer.name for layer in clean.layers] == [layer.name for layer in model.layers]
    x = images(8)
    np.testing.assert_array_equal(clean(x), model(x))
    clean.layers[1].set_weights([0 * w for w in clean.layers[1].get_weights()])
    assert not np.array_equal(clean(x), annotated(x))  # a copy: the annotated model keeps its weights
    recipe = tfmpq.Recipe(source.rules)
    for name, config in CONFIGS.items():
        found = recipe.resolve(name, tfmpq.recipe.rules.LayerSettings(5, 3, "nearest", "auto"))
        algorithm = "greedy" if config.get("algorithm") == "greedy" else "radix"  # with data, not data-free
        assert (found.bits, found.max_points, found.algorithm) == (
            config["bits"],
            MultipointQuantizeConfig(**config).settings.max_points,
            algorithm,
        )
    assert recipe.resolve("other", tfmpq.recipe.rules.LayerSettings(5, 3, "nearest", "auto")).bits == 8


def test_conversion_takes_data_and_the_recipe_has_the_last_word():
    chosen = {"project": {"bits": 3}, "full": {"bits": 2}}
    recipe = tfmpq.Recipe([tfmpq.Rule("^full$", bits=5)])
    result = tfmpq.convert(annotate(network(), chosen), images(40), recipe=recipe, progress=False)
    bits = {name: p.settings.bits for name, p in result.plan.layers.items()}
    assert bits == {**dict.fromkeys(CONFIGS, 8), "project": 3, "full": 5}
    assert result.plan.layers["project"].settings.algorithm == "radix"


@UNSIGNED
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_saving(suffix: str, tmp_path: Path):
    annotated, path = annotate(network(), everything=True), tmp_path / f"model{suffix}"
    annotated.save(path)
    with qat.quantize_scope():
        loaded: Any = tf_keras.models.load_model(path)
    assert read_source(loaded).rules == read_source(annotated).rules
    np.testing.assert_array_equal(loaded(images(4)), annotated(images(4)))
    for layer in annotated.layers:
        if isinstance(getattr(layer, "quantize_config", None), MultipointQuantizeConfig):
            assert loaded.get_layer(layer.name).quantize_config == layer.quantize_config
    if suffix == ".h5":
        with pytest.raises(ModelError, match=r"quantize_scope\(\), and give the model to tfmpq.convert"):
            tfmpq.convert(path, images(8), progress=False)


def test_configs():
    config = MultipointQuantizeConfig(
        bits=3, max_points=3, points=[1, 3], algorithm="greedy", quantize_activation=False
    )
    again = MultipointQuantizeConfig.from_config(config.get_config())
    assert again == config
    assert hash(again) == hash(config)
    assert again != MultipointQuantizeConfig(bits=3)
    quantizer = config.weight_quantizer
    assert MultipointQuantizer.from_config(quantizer.get_config()) == quantizer
    with pytest.raises(OptionError, match=r"algorithm='radix' cannot be simulated.*nearest_radix"):
        MultipointQuantizeConfig(algorithm="radix")


def test_scopes_of_tfmot():
    """Objects of this package are found whether or not a scope names them."""
    config = MultipointQuantizeConfig(bits=3)
    names = {"MultipointQuantizeConfig": MultipointQuantizeConfig, "MultipointQuantizer": MultipointQuantizer}
    layer = qat.quantize_annotate_layer(layers.Dense(3, name="dense"), config)
    for scope in (qat.quantize_scope(), qat.quantize_scope(names)):
        with scope:
            again = type(layer).from_config(layer.get_config())
        assert again.quantize_config == config


def test_activations_are_rounded_where_the_file_rounds_them():
    """Once behind a normalization and its ReLU; tfmot alone would raise an error, or drop the config before a ReLU."""
    model = qat.quantize_apply(annotate(network(), everything=True))
    rounded = {
        inner(layer).name: bool(layer.quantize_config.get_output_quantizers(inner(layer)))
        or bool(layer.quantize_config.get_activations_and_quantizers(inner(layer)))
        for layer in model.layers
        if inner(layer) is not layer
    }
    for name in CONFIGS:
        assert isinstance(model.get_layer(f"quant_{name}").quantize_config, MultipointQuantizeConfig)
        assert rounded[name] == (name in ("hidden", "classifier"))
    for name in ("stem", "depthwise", "full", "up"):
        assert rounded[f"{name}_relu"]
        assert not rounded.get(f"{name}_bn")
    assert rounded["project_bn"]
    assert activation_name(inner(model.get_layer("quant_hidden"))) == "relu"


def test_tfmot_alone_loses_the_config(monkeypatch: pytest.MonkeyPatch):
    """Why the layout exists; if this fails, tfmot has been repaired and the layout may go."""
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_layout_transform as default_layout,
    )
    from tensorflow_model_optimization.python.core.quantization.keras.default_8bit import (
        default_8bit_quantize_scheme as default_scheme,
    )

    annotated = annotate(network(), {"full": {}}, everything=True)
    with_normalization = annotate(network(), {"stem": {}}, everything=True)
    monkeypatch.setattr(
        default_scheme.Default8BitQuantizeScheme,
        "get_layout_transformer",
        lambda self: default_layout.Default8BitQuantizeLayoutTransform(),
    )
    lost = qat.quantize_apply(annotated).get_layer("quant_full").quantize_config
    assert not isinstance(lost, MultipointQuantizeConfig)
    with pytest.raises(RuntimeError, match=r"Layer stem_bn.* is not supported"):
        qat.quantize_apply(with_normalization)


@pytest.mark.parametrize(
    ("layer", "advice"),
    [
        (layers.SeparableConv2D(4, 3), "DepthwiseConv2D and Conv2D"),
        (layers.Conv1D(4, 3), "Conv2D on inputs with an extra axis"),
        (layers.Conv3D(4, 3), "without a config"),
        (layers.BatchNormalization(), "without a config"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_layers_that_cannot_be_simulated(layer: Any, advice: str):
    shape = {"Conv1D": (8, 3), "Conv3D": (8, 8, 8, 3)}.get(type(layer).__name__, (8, 8, 3))
    image = layers.Input(shape)
    annotated = tf_keras.Model(image, qat.quantize_annotate_layer(layer, MultipointQuantizeConfig())(image))
    expected = rf"layer '{layer.name}' \({type(layer).__name__}\) cannot take a MultipointQuantizeConfig.*{advice}"
    with pytest.raises(ModelError, match=expected):
        qat.quantize_apply(annotated)
    with pytest.raises(ModelError, match=expected):
        tfmpq.convert(annotated, np.zeros((8, *shape), np.float32), progress=False)


def test_keras_3_objects():
    layer = keras.layers.Dense(4, name="new")
    model = keras.Sequential([keras.Input((3,)), layer], name="new_model")
    config = MultipointQuantizeConfig()
    calls = [
        (lambda: qat.quantize_annotate_layer(layer, config), "new"),
        (lambda: qat.quantize_annotate_layer(to_annotate=layer), "new"),
        (lambda: qat.quantize_annotate_model(model), "new_model"),
        (lambda: qat.quantize_apply(model), "new_model"),
        (lambda: qat.quantize_model(model), "new_model"),
        (lambda: config.get_weights_and_quantizers(layer), "new"),
    ]
    for call, name in calls:
        with pytest.raises(ModelError, match=rf"'{name}' .* is a Keras 3 object.*tfmpq\.keras\.annotate"):
            call()
    assert tfmot.quantization.keras.quantize_annotate_layer.__name__ == "quantize_annotate_layer"


def test_keras_3_models_still_convert_beside_tfmot():
    """Tfmot sets TF_USE_LEGACY_KERAS for the process, which must not reach models of Keras 3."""
    model = keras.Sequential(
        [keras.Input((6,), name="x"), keras.layers.Dense(16, name="a"), keras.layers.Dense(4, name="b")]
    )
    result = tfmpq.convert(model, np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32), progress=False)
    assert set(result.plan.layers) == {"a", "b"}


def test_layers_that_do_not_say_what_they_are():
    @tf_keras.utils.register_keras_serializable()
    class Times(tf_keras.layers.Layer):
        factor = 1.0

        def call(self, x: Any) -> Any:
            return self.factor * x

    image = layers.Input((4,))
    times = Times()
    times.factor = 2.0
    dense = qat.quantize_annotate_layer(layers.Dense(3, name="dense"), MultipointQuantizeConfig())
    model = tf_keras.Model(image, dense(times(image)), name="odd")
    with pytest.raises(ModelError, match=r"'odd' computes something else in output 0.*get_config"):
        tfmpq.convert(model, np.zeros((8, 4), np.float32), progress=False)


def test_annotated_and_quantized_at_once():
    image = layers.Input((4,))
    dense = qat.quantize_annotate_layer(layers.Dense(4, name="first"), MultipointQuantizeConfig())
    quantized = qat.quantize_apply(tf_keras.Model(image, dense(image)))
    more = qat.quantize_annotate_layer(layers.Dense(3, name="second"), MultipointQuantizeConfig())
    model = tf_keras.Model(quantized.input, more(quantized.output), name="mixed")
    with pytest.raises(ModelError, match=r"'mixed' is annotated .* and quantized at once"):
        tfmpq.convert(model, np.zeros((8, 4), np.float32), progress=False)
