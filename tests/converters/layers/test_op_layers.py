"""Keras layer names of every operator of a bare file."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from converters.frontend.load import load_model
from converters.layers.op_layers import fused_layers, op_layers
from converters.tflite.graph import Model
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, pack_record
from converters.tflite.writer import save
from tests.support.pipeline import RESIDUAL_LAYERS, residual
from tfmpq.recipe.rules import LayerSettings


def names(model: Model) -> list[tuple[str, str]]:
    found = op_layers(model)
    assert set(found.names) == set(model.graph.ops)
    return [(op.name, found.names[op]) for op in model.graph.ops]


def rename(model: Model, change: dict[str, str]) -> Model:
    """The model with pieces of all tensor names exchanged."""
    for tensor in model.graph.tensors():
        for old, new in change.items():
            tensor.name = tensor.name.replace(old, new)
    return model


def test_keras_3_names_lose_their_numbers(conv_net_int8):
    assert names(load(conv_net_int8)) == [
        ("CONV_2D", "stem"),
        ("DEPTHWISE_CONV_2D", "depthwise"),
        ("CONV_2D", "project"),
        ("MEAN", "pool"),
        ("FULLY_CONNECTED", "classifier"),
    ]


def test_keras_2_names_keep_theirs(conv_net_int8):
    # What tf_keras calls the same tensors; one of its layers ends in a number itself.
    model = load(conv_net_int8)
    first = next(t.name.partition("/")[0] for t in model.graph.tensors() if "/stem" in t.name)
    change = {first: "conv_net", "project_1": "project_1", "stem_1": "stem", "depthwise_1": "depthwise"}
    change |= {"pool_1": "pool", "classifier_1": "classifier"}
    assert dict(names(rename(model, change)))["CONV_2D"] == "project_1"


@pytest.mark.parametrize("lowering", ["split", "parallel", "fused"])
@pytest.mark.parametrize("noted", [True, False])
def test_every_operator_of_a_lowering_belongs_to_its_layer(lowering, noted):
    base = residual()
    settings = LayerSettings(4, 2, "radix", lowering)
    rows = {n: base.rows(n, settings, 1 + np.arange(base.layers[n].channels) % 2) for n in ("expand", "project")}
    model = load(base.emit(rows, lowering).content)
    if not noted:  # small files hold the version only
        model.metadata[METADATA_NAME] = pack_record({"version": "test"})
    found = op_layers(model)
    layers = [found.names[op] for op in model.graph.ops]
    assert set(RESIDUAL_LAYERS) <= set(layers)
    for layer in ("expand", "project"):
        several = {"split": 3, "parallel": 4, "fused": 1}[lowering]
        assert layers.count(layer) >= several, layers
    unlowered = [name for _, name in names(load(base.stock))]
    assert list(dict.fromkeys(layers)) == list(dict.fromkeys(unlowered))
    assert {"expand", "project"} <= found.known


def test_a_damaged_note_is_no_obstacle(conv_net_int8):
    model = load(conv_net_int8)
    model.metadata[METADATA_NAME] = b"no deflated JSON"
    assert ("CONV_2D", "stem") in names(load(save(model)))


def test_operators_without_a_name_take_that_of_the_layer_before(conv_net_int8):
    model = load(conv_net_int8)
    last = model.graph.ops[-1]
    for tensor in [t for t in (*last.inputs[1:], *last.outputs) if t is not None]:
        tensor.name = "StatefulPartitionedCall:0"
    assert names(model)[-1] == ("FULLY_CONNECTED", "pool")


def test_a_file_without_any_names_still_gets_some(conv_net_int8):
    model = load(conv_net_int8)
    for number, tensor in enumerate(model.graph.tensors()):
        tensor.name = f"t{number}"
    assert all(name for _, name in names(model))


def test_all_layers_of_a_fused_operator_are_named():
    keras.utils.set_random_seed(0)
    given = keras.Input((8, 8, 3), name="image")
    x = keras.layers.ReLU(6.0, name="cap")(keras.layers.Conv2D(4, 3, name="stem")(given))
    model = load(load_model(keras.Model(given, keras.layers.Conv2D(2, 1, name="head")(x), name="net")).flatbuffer)
    found = fused_layers(model)
    assert [set(found[op.outputs[0]]) for op in model.graph.ops][:1] == [{"cap", "stem"}]
