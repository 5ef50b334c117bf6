import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from converters.errors import FileFormatError, ModelError, OptionError
from converters.frontend.float_model import FloatModel
from converters.frontend.load import load_model
from converters.runtime import interpreter as runtime
from converters.tflite.reader import load

tf = pytest.importorskip("tensorflow")
keras = pytest.importorskip("keras")
tf_keras = pytest.importorskip("tf_keras")

BOTH = pytest.mark.parametrize("k", [keras, tf_keras], ids=["keras 3", "tf_keras"])


def ops(model: FloatModel) -> list[str]:
    return [op.name for op in load(model.flatbuffer).graph.ops]


def run(model: FloatModel, feeds: dict[str, np.ndarray]) -> np.ndarray:
    outputs = runtime.run(runtime.make_interpreter(model.flatbuffer, kernels="builtin"), feeds)
    assert len(outputs) == 1
    return outputs[0]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def towers(k: Any, first: Any, second: Any) -> Any:
    """An output to which the two inputs, shaped alike, contribute differently."""
    return k.layers.Dense(2, name="d1")(first) + 3.0 * k.layers.Dense(2, name="d2")(second)


def two_inputs(k: Any) -> tuple[Any, Any]:
    # "zeta" comes first: signatures are sorted by name, and what a user gives in order must not be.
    return k.Input((4,), name="zeta"), k.Input((4,), name="alpha")


def as_list(k: Any) -> Any:
    first, second = two_inputs(k)
    return k.Model([first, second], towers(k, first, second))


def as_dict(k: Any) -> Any:
    first, second = two_inputs(k)
    return k.Model({"zeta": first, "alpha": second}, towers(k, first, second))


def nested_list(k: Any) -> Any:
    first, second = two_inputs(k)
    return k.Model([first, [second]], towers(k, first, second))


def subclassed(k: Any, get: Callable[[Any], tuple[Any, Any]], sample: Any) -> Any:
    class Towers(k.Model):
        def __init__(self) -> None:
            super().__init__(name="towers")
            self.d1, self.d2 = k.layers.Dense(2, name="d1"), k.layers.Dense(2, name="d2")
            self.unused = k.layers.Dense(7, name="unused")

        def call(self, both: Any) -> Any:
            first, second = get(both)
            return self.d1(first) + 3.0 * self.d2(second)

    model = Towers()
    model(sample)
    return model


def subclassed_list(k: Any) -> Any:
    return subclassed(k, lambda both: (both[0], both[1]), [np.zeros((2, 4), np.float32)] * 2)


def subclassed_dict(k: Any) -> Any:
    sample = {"zeta": np.zeros((2, 4), np.float32), "alpha": np.zeros((2, 4), np.float32)}
    return subclassed(k, lambda both: (both["zeta"], both["alpha"]), sample)


@pytest.mark.filterwarnings("ignore:`build\\(\\)` was called on layer:UserWarning")  # of a layer left unused
@BOTH
@pytest.mark.parametrize(
    ("build", "pack", "order"),
    [
        (as_list, lambda z, a: [z, a], ("zeta", "alpha")),
        (nested_list, lambda z, a: [z, [a]], ("zeta", "alpha")),
        (as_dict, lambda z, a: {"zeta": z, "alpha": a}, ("alpha", "zeta")),  # Keras sorts dicts
        (subclassed_list, lambda z, a: [z, a], None),
        (subclassed_dict, lambda z, a: {"zeta": z, "alpha": a}, ("alpha", "zeta")),
    ],
)
def test_two_inputs_keep_order_and_meaning(k: Any, build: Any, pack: Any, order: tuple[str, ...] | None):
    model = build(k)
    converted = load_model(model)
    names = [spec.name for spec in converted.inputs]
    if order is not None:
        assert tuple(names) == order
    values = {"zeta": noise(1, 4, seed=1), "alpha": noise(1, 4, seed=2)}
    in_order = [values[name] for name in order or ("zeta", "alpha")]
    expected = np.asarray(model(pack(values["zeta"], values["alpha"])))
    # Float kernels sum in another order: a few float32 roundings of values near 1.
    np.testing.assert_allclose(run(converted, dict(zip(names, in_order, strict=True))), expected, atol=1e-5)


@BOTH
def test_single_inputs_and_their_names(k: Any):
    def layers() -> list[Any]:
        return [k.layers.Conv2D(2, 3), k.layers.Flatten(), k.layers.Dense(3)]

    plain = k.Sequential([k.Input((6, 6, 1), name="pixels"), *layers()])
    called = k.Sequential(layers())
    called(np.zeros((2, 6, 6, 1), np.float32))

    class Subclassed(k.Model):
        def __init__(self) -> None:
            super().__init__()
            self.stack = layers()

        def call(self, x: Any, training: bool = True) -> Any:
            for layer in self.stack:
                x = layer(x)
            return -x if training else x  # a model may default to training

    own = Subclassed()
    own(np.zeros((2, 6, 6, 1), np.float32), training=False)
    for model in (plain, called, own):
        converted = load_model(model)
        (spec,) = converted.inputs
        assert (spec.shape, spec.dtype) == ((1, 6, 6, 1), np.float32)
        image = noise(1, 6, 6, 1)
        np.testing.assert_allclose(run(converted, {spec.name: image}), model(image, training=False), atol=1e-5)
    assert load_model(plain).inputs[0].name == "pixels"


@BOTH
def test_names_that_no_signature_takes_become_aliases(k: Any):
    first, second = k.Input((4,), name="class"), k.Input((4,), name="a.b")
    model = load_model(k.Model([first, second], towers(k, first, second)))
    assert [(s.name, s.aliases) for s in model.inputs] == [("input_class", ("class",)), ("a_b", ("a.b",))]


@pytest.mark.filterwarnings("ignore:When providing `inputs` as a dict:UserWarning")
@BOTH
def test_dict_keys_are_aliases_unless_they_contradict_the_names(k: Any):
    first, second = two_inputs(k)
    model = load_model(k.Model({"one": first, "two": second}, towers(k, first, second)))
    assert {s.name: s.aliases for s in model.inputs} == {"zeta": ("one",), "alpha": ("two",)}
    crossed = k.Model({"alpha": first, "zeta": second}, towers(k, first, second))
    with pytest.raises(ModelError, match="names more than one input"):
        load_model(crossed)


def test_layers_still_wrapped_for_pruning_are_refused():
    """They would rewrite their weights in the file too. tfmot's own are told by their names, as it is no dependency."""
    pruned = type("PruneLowMagnitude", (tf_keras.layers.Wrapper,), {"call": lambda self, x: self.layer(x)})
    model = tf_keras.Sequential([tf_keras.Input((4,)), pruned(tf_keras.layers.Dense(2), name="slim")], name="net")
    with pytest.raises(ModelError, match=r"'net': layer 'slim' is a PruneLowMagnitude, .*\.strip_pruning returns it"):
        load_model(model)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # TensorFlow's, in adapt
def test_variables_of_open_size_are_no_obstacle():
    buckets = tf_keras.layers.Discretization(num_bins=4)
    buckets.adapt(noise(1, 64).reshape(64, 1))
    model = tf_keras.Sequential([tf_keras.Input((1,), name="x"), buckets])
    assert any(None in variable.shape for variable in model.variables)
    found = run(load_model(model), {"x": np.full((1, 1), 0.1, np.float32)})
    np.testing.assert_array_equal(found, model(np.full((1, 1), 0.1)))


@BOTH
def test_integer_inputs_and_rank(k: Any):
    tokens = k.Input((5,), dtype="int32", name="tokens")
    model = load_model(k.Model(tokens, k.layers.Dense(2)(k.layers.Embedding(7, 3)(tokens))))
    assert [(s.name, s.shape, s.dtype) for s in model.inputs] == [("tokens", (1, 5), np.int32)]


@BOTH
def test_layer_names_are_paths_in_model_order(k: Any):
    shared = k.layers.Dense(4, name="shared")
    inner = k.Sequential([k.Input((4, 4, 3)), k.layers.Conv2D(3, 1, name="conv"), k.layers.ReLU()], name="block")
    x = k.Input((4, 4, 3))
    y = inner(k.layers.Conv2D(3, 1, name="stem")(x))
    y = k.layers.BatchNormalization()(k.layers.DepthwiseConv2D(3, name="dw")(y))
    y = k.layers.Reshape((4, 3))(y)
    y = k.layers.MultiHeadAttention(1, 2, name="mha")(y, y)
    y = k.layers.Dense(4, name="head")(shared(shared(k.layers.Dense(4, name="pre")(y))))
    assert load_model(k.Model(x, y)).names.paths == (
        *("stem", "block/conv", "dw"),
        *(f"mha/{part}" for part in ("query", "key", "value", ("attention_output"))),
        *("pre", "shared", "head"),
    )


@BOTH
def test_batch_one_keeps_dilated_convolutions_and_rank_3_dense_one_op(k: Any):
    x = k.Input((8, 8, 2))
    dilated = k.Model(x, k.layers.Conv2D(3, 3, dilation_rate=2, padding="same")(x))
    assert ops(load_model(dilated)) == ["CONV_2D"]
    x = k.Input((5, 4))
    dense = k.Model(x, k.layers.Dense(3)(x))
    assert [name for name in ops(load_model(dense)) if name != "RESHAPE"] == ["FULLY_CONNECTED"]
    assert len(ops(load_model(dense, batch_size=None))) > 5  # the reason batch 1 is the default


@BOTH
@pytest.mark.parametrize("batch_size", [None, 1, 3])
def test_batch_size(k: Any, batch_size: int | None):
    x = k.Input((6, 6, 1), name="x")
    model = k.Model(x, k.layers.Dense(2)(k.layers.Flatten()(k.layers.Conv2D(2, 3)(x))))
    converted = load_model(model, batch_size=batch_size)
    assert converted.inputs[0].shape == (batch_size, 6, 6, 1)
    images = noise(batch_size or 5, 6, 6, 1)
    np.testing.assert_allclose(run(converted, {"x": images}), model(images), atol=1e-5)


@BOTH
def test_a_fixed_batch_of_the_model_gives_way(k: Any):
    x = k.Input(batch_size=4, shape=(6, 6, 1), name="x")
    model = k.Model(x, k.layers.Flatten()(k.layers.Conv2D(2, 3)(x)))
    assert load_model(model).inputs[0].shape == (1, 6, 6, 1)


@BOTH
def test_conversion_is_deterministic(k: Any):
    x = k.Input((6, 6, 1))
    model = k.Model(x, k.layers.Dense(2)(k.layers.Flatten()(k.layers.Conv2D(2, 3)(x))))
    assert load_model(model).flatbuffer == load_model(model).flatbuffer


def test_variables_that_belong_to_no_layer():
    factor = tf.Variable([1.0, -2.0])
    x = tf_keras.Input((4,), name="x")
    times = type("Times", (tf_keras.layers.Layer,), {"call": lambda self, x: x * factor})
    model = tf_keras.Model(x, times()(tf_keras.layers.Dense(2)(x)))
    feed = noise(1, 4)
    np.testing.assert_allclose(run(load_model(model), {"x": feed}), model(feed), rtol=1e-5)


def test_sources_for_messages():
    x = keras.Input((4,))
    model = load_model(keras.Model(x, keras.layers.Dense(2)(x), name="tiny"))
    assert (model.source, model.names.keras_generation) == ("Keras 3 model 'tiny'", 3)
    x = tf_keras.Input((4,))
    model = load_model(tf_keras.Model(x, tf_keras.layers.Dense(2)(x), name="tiny"))
    assert (model.source, model.names.keras_generation) == ("tf_keras model 'tiny'", 2)


def test_what_is_no_model():
    for thing, message in [
        (42, "object of type builtins.int is no model"),
        (None, "object of type builtins.NoneType"),
        (keras.Model, "class 'Model' is no model"),
        (keras.applications.MobileNet, "function 'MobileNet' is no model"),
        (keras.layers.Dense(2), r"Dense is a Keras layer.*keras.Sequential\(\["),
        (tf_keras.layers.Dense(2), r"Dense is a Keras layer.*tf_keras.Sequential\(\["),
        (type("Net", (type("Model", (), {"__module__": "tensorflow.python.keras.engine"}),), {})(), "private copy"),
    ]:
        with pytest.raises(ModelError, match=message):
            load_model(thing)
    with pytest.raises(FileFormatError, match="TFL3"):
        load_model(b"no flatbuffer")


@pytest.mark.parametrize("batch_size", [0, -1, 1.0, True, "1"])
def test_bad_batch_size(batch_size: Any):
    with pytest.raises(OptionError, match="batch_size"):
        load_model(keras.Model, batch_size=batch_size)


def test_importing_loads_no_tensorflow():
    code = (
        "import sys, converters.frontend.load, tfmpq.data.representative; "
        "print([m for m in ('tensorflow', 'keras', 'tf_keras', 'h5py') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


LEGACY = """
import keras, tf_keras, tensorflow as tf
from converters.frontend.load import load_model
assert tf.keras.Model is tf_keras.Model
for k in (keras, tf_keras):
    x = k.Input((4,), name="x")
    print(load_model(k.Model(x, k.layers.Dense(2)(x))).names.keras_generation)
"""


def test_legacy_keras_setting_confuses_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    result = subprocess.run([sys.executable, "-c", LEGACY], capture_output=True, text=True, check=False)
    assert result.stdout.split() == ["3", "2"], result.stderr
