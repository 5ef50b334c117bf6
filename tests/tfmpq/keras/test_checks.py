from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError
from converters.frontend import keras_models
from converters.frontend.load import load_model

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")

BOTH = pytest.mark.parametrize("k", [keras, tf_keras], ids=["keras 3", "tf_keras"])


@pytest.fixture(autouse=True)
def no_conversion(monkeypatch: pytest.MonkeyPatch):
    """Guards speak before the slow part."""

    def fail(*args: Any) -> bytes:
        raise AssertionError("the guard let the model through")

    monkeypatch.setattr(keras_models, "convert_float", fail)


def small(k: Any, **layer_options: Any) -> Any:
    x = k.Input((6, 6, 1))
    y = k.layers.Conv2D(3, 3, name="conv", **layer_options)(x)
    return k.Model(x, k.layers.Dense(2, name="head")(k.layers.Flatten()(y)), name="small")


@BOTH
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16", "float64"])
def test_other_floats(k: Any, policy: str):
    with pytest.raises(ModelError, match=rf"'small' is not a float32 model: layer 'conv'.*'{policy}'.*'float32'"):
        load_model(small(k, dtype=policy))


@pytest.mark.filterwarnings("ignore:Layer .* does not have a `quantize` method:UserWarning")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")  # Keras's
def test_models_quantized_by_keras():
    model = small(keras)
    model.quantize("int8")
    with pytest.raises(ModelError, match=r"layer 'head' is already quantized by Keras \(int8\)"):
        load_model(model)


@BOTH
def test_open_sizes(k: Any):
    x = k.Input((None, None, 3), name="image")
    model = k.Model(x, k.layers.Conv2D(2, 3)(x))
    shape = r"'image' has shape \(None, None, None, 3\)"
    with pytest.raises(ModelError, match=shape + r".*sizes=\{'image': \(224, 224, 3\)\}"):
        load_model(model)
    with pytest.raises(AssertionError, match="let the model through"):
        load_model(model, sizes={"image": (8, 8, 3)})  # what the message advises


@BOTH
def test_unbuilt(k: Any):
    with pytest.raises(ModelError, match=r"is not built.*Call it once on a sample"):
        load_model(k.Sequential([k.layers.Dense(2)]))

    class Net(k.Model):
        def __init__(self) -> None:
            super().__init__(name="net")
            self.dense = k.layers.Dense(2, name="dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    with pytest.raises(ModelError, match="'net' is not built"):
        load_model(Net())


@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer:UserWarning")
def test_built_by_name_only_would_export_random_weights():
    class Net(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="net")
            self.dense = keras.layers.Dense(2, name="dense")

        def call(self, x: Any) -> Any:
            return self.dense(x)

    model = Net()
    model.build((None, 4))
    with pytest.raises(ModelError, match=r"'net' is not built \(layers without weights so far: dense\)"):
        load_model(model)


def test_a_call_of_several_arguments_needs_a_list():
    class Net(keras.Model):
        def call(self, first: Any, second: Any) -> Any:
            return first + second

    model = Net(name="net")
    model(np.zeros((1, 4), np.float32), np.zeros((1, 4), np.float32))
    with pytest.raises(ModelError, match=r"call\(\) takes \['first', 'second'\].*one list or dict"):
        load_model(model)


@BOTH
@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_broken_weights_are_located(k: Any, value: float):
    x = k.Input((6, 6, 1))
    inner = k.Sequential([k.Input((6, 6, 1)), k.layers.Conv2D(5, 3, name="conv")], name="block")
    model = k.Model(x, inner(x))
    kernel, bias = inner.get_weights()
    kernel[0, 2, 0, 4] = value
    inner.set_weights([kernel, bias])
    with pytest.raises(ModelError, match=rf"layer 'block/conv', variable 'kernel' .* is {value} at channel 4, index"):
        load_model(model)


@BOTH
def test_broken_batch_norm(k: Any):
    x = k.Input((6, 6, 1))
    model = k.Model(x, k.layers.BatchNormalization(name="bn")(k.layers.Conv2D(3, 1)(x)))
    weights = model.layers[-1].get_weights()
    weights[3][1] = np.inf
    model.layers[-1].set_weights(weights)
    with pytest.raises(ModelError, match=r"layer 'bn', variable 'moving_variance' .* is inf at channel 1"):
        load_model(model)


@BOTH
def test_too_big(k: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(
        "converters.frontend.float_model.MAX_BYTES", 4 * 3 * 3 * 3
    )  # less than the first kernel with its bias
    with pytest.raises(ModelError, match=r"model 'small' holds .* GiB of parameters.*Split"):
        load_model(small(k))


def test_keras_on_another_backend(monkeypatch: pytest.MonkeyPatch):
    model = small(keras)
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ModelError, match=r"jax backend.*KERAS_BACKEND=tensorflow"):
        load_model(model)


@pytest.mark.parametrize("name", ["QuantizeAnnotate", "QuantizeWrapper", "QuantizeWrapperV2", "QuantizeLayer"])
def test_models_of_tfmot(name: str):
    # The class names of tensorflow-model-optimization, which need not be installed.
    wrapper = type(name, (tf_keras.layers.Wrapper,), {"call": lambda self, x: self.layer(x)})
    x = tf_keras.Input((4,))
    model = tf_keras.Model(x, wrapper(tf_keras.layers.Dense(2), name="wrapped")(x))
    with pytest.raises(
        ModelError, match=rf"layer 'wrapped' is a {name}; .*tensorflow-model-optimization are for tfmpq.convert alone"
    ):
        load_model(model)
