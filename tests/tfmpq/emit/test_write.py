"""From points to a file: what it computes, what stays as it was, and what is written about it."""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

import tfmpq
from converters.errors import LoweringError
from converters.layers.channel_groups import channel_groups
from converters.layers.find import find_layers
from converters.lowering.result import LoweredLayer
from converters.points import MultipointWeight
from converters.tflite.file import File
from converters.tflite.graph import Model
from converters.tflite.reader import load
from converters.tflite.writer import BUFFER_ALIGNMENT, save
from tests.support import pipeline
from tests.support.pipeline import (
    RESIDUAL_LAYERS,
    Converted,
    Rows,
    image_feeds,
    on_grid,
    random_vectors,
    residual,
    rounding_noise,
    run_raw,
    run_real,
    validate,
)
from tfmpq.emit.write import METADATA_NAME
from tfmpq.plan.channel_order import row_groups
from tfmpq.plan.layer_plan import Fallback
from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import Network

TRUNK, INNER = ("stem", "project", "conv"), ("expand", "dw")  # tied by the additions, and by the depthwise convolution
MOVABLE = (*TRUNK, *INNER)


def four_bits(converted: Converted, counts: dict[str, np.ndarray]) -> dict[str, Rows]:
    """4-bit points with the given counts, one point in every row of the other layers."""
    settings = LayerSettings(4, 2, "radix", "")
    ones = {name: np.ones(layer.channels, int) for name, layer in converted.layers.items()}
    return {name: converted.rows(name, settings, {**ones, **counts}[name]) for name in RESIDUAL_LAYERS}


def prefixes(converted: Converted) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """(orders, counts): random gains, and a quarter to a half of the rows with two points, prefixes of the orders."""
    rng = np.random.default_rng(5)
    gains = {name: rng.random(converted.layers[name].channels) for name in MOVABLE}
    orders = converted.orders(MOVABLE, gains)
    counts = {}
    for name, share in zip(MOVABLE, (0.25, 0.5, 0.3, 0.4, 0.3), strict=True):
        counts[name] = np.ones(len(gains[name]), int)
        counts[name][orders[name][: int(share * len(gains[name]))]] = 2
    return orders, counts


# ---------------------------------------------------------------- stock's own integers


@pytest.mark.parametrize("io_dtype", ["int8", "uint8", "float32"])
def test_stocks_own_integers_give_stocks_own_outputs(io_dtype: str):
    converted = residual(io_dtype)
    rows = {name: converted.stock_rows(name) for name in converted.layers}
    emission = converted.emit(rows, "fused")
    assert [op.name for op in load(emission.content).graph.ops] == [op.name for op in load(converted.stock).graph.ops]
    feeds = image_feeds(8, seed=1)
    ours, theirs = run_raw(emission.content, feeds), run_raw(converted.stock, feeds)
    assert ours[0].dtype == io_dtype
    np.testing.assert_array_equal(ours[0], theirs[0])
    # One integer changed in the first layer is seen at the output: the comparison above could have failed.
    codes = rows["stem"].weight.points[0].codes.copy()
    codes[0, 13] = -codes[0, 13]
    point = type(rows["stem"].weight.points[0])(codes, rows["stem"].weight.points[0].scale)
    rows["stem"] = Rows(MultipointWeight((point,), rows["stem"].weight.counts, 8), rows["stem"].biases)
    assert (run_raw(converted.emit(rows, "fused").content, feeds)[0] != theirs[0]).any()


def test_layers_without_rows_stay_as_stock_has_them():
    converted = residual()
    orders, counts = prefixes(converted)
    rows = four_bits(converted, counts)
    kept = {"conv", "expand"}
    rows = {name: entry for name, entry in rows.items() if name not in kept}
    emission = converted.emit(rows, "parallel", orders=orders)
    assert {entry.layer for entry in emission.lowered} == set(RESIDUAL_LAYERS) - kept
    stock = {t.name: t for t in load(converted.stock).graph.tensors()}
    ours = {t.name: t for t in load(emission.content).graph.tensors()}
    for name in kept:
        weight = converted.layers[name].uses[0].int8_op.input(1)
        theirs = stock[weight.name].array()
        assert ours[weight.name].type == weight.type
        # Their integers, in the channel order of their neighbours.
        order = orders[name]
        columns = order if name == "conv" else orders["stem"]
        np.testing.assert_array_equal(ours[weight.name].array(), theirs[order][..., columns])
        assert (ours[weight.name].array() != theirs).any()


# ---------------------------------------------------------------- the parallel form in a residual network


def test_residual_network_in_parallel():
    converted = residual()
    orders, counts = prefixes(converted)
    assert set(orders) == set(MOVABLE)  # nobody is alone in its group
    for group in (TRUNK, INNER):
        assert all(orders[name] is orders[group[0]] for name in group)
    rows = four_bits(converted, counts)
    emission = converted.emit(rows, "parallel", orders=orders)
    assert emission.fallbacks == ()
    assert {entry.lowering for entry in emission.lowered} == {"parallel"}
    for entry in emission.lowered:
        if entry.layer in counts:
            two = int((counts[entry.layer] == 2).sum())
            assert {len(w.codes) for w in entry.weights} == {two, len(counts[entry.layer]) - two}
            first = rows[entry.layer].weight.points[0]
            several = next(w for w in entry.weights if w.tensor.endswith("points2/weight0"))
            # The rows with two points, in the joint order.
            np.testing.assert_array_equal(several.scale, first.scale[orders[entry.layer][:two]])
    feeds = image_feeds(6, seed=2)
    validate(emission.content, converted.stock, emission.lowered, feeds[:2])
    (found,), (expected,) = run_real(emission.content, feeds), converted.simulate(rows, feeds)
    (merged,) = run_real(converted.emit(rows, "fused", orders=orders).content, feeds)
    # All three have the same weights and differ by the rounding of activations: a step or two of the softmax's 1/256
    # (0.9, 1.0 when written; stock against its own weights in float 1.1). Rows or columns out of order change tenths.
    assert np.abs(found - expected).max() < 2.5 / 256
    assert np.abs(merged - expected).max() < 2.5 / 256
    assert expected.std() > 16 / 256


def test_counts_that_are_no_prefix_of_the_shared_order_are_refused():
    converted = residual()
    orders, counts = prefixes(converted)
    counts["conv"] = counts["conv"][::-1].copy()
    with pytest.raises(LoweringError, match=r"layer 'conv': points per row are no prefix of the channel order"):
        converted.emit(four_bits(converted, counts), "parallel", orders=orders)


def test_frozen_rows_fall_back():
    converted = residual()
    mixed = 1 + np.arange(10) % 2
    rows = four_bits(converted, {"classifier": mixed})
    # Softmax adds up channels: the classifier's rows cannot be sorted. Two radix points merge.
    emission = converted.emit({"classifier": rows["classifier"]}, "parallel")
    (fallback,) = emission.fallbacks
    assert (fallback.layer, fallback.asked, fallback.used) == ("classifier", "parallel", "one int8 op")
    assert fallback.reason.startswith("the channel order must stay: SOFTMAX adds up channels")
    assert [entry.lowering for entry in emission.lowered] == ["fused"]
    # Greedy points do not: every point is an op over all rows, zero where a row has none.
    greedy = converted.rows("classifier", LayerSettings(4, 2, "greedy", ""), mixed)
    emission = converted.emit({"classifier": greedy}, "parallel")
    assert emission.fallbacks == (Fallback("classifier", "parallel", "parallel ops over all rows", fallback.reason),)
    (entry,) = emission.lowered
    assert [w.codes.shape for w in entry.weights] == [(10, 16), (10, 16)]
    assert not entry.weights[1].codes[mixed == 1].any()
    validate(emission.content, converted.stock, emission.lowered, image_feeds(2))
    with pytest.raises(LoweringError, match=r"layer 'classifier': its 2 points of 4 bits do not merge"):
        converted.emit({"classifier": greedy}, "fused")


def test_rows_with_equally_many_points_need_no_order():
    converted = residual()
    rows = four_bits(converted, {"classifier": np.full(10, 2)})
    emission = converted.emit({"classifier": rows["classifier"]}, "parallel")
    assert emission.fallbacks == ()
    assert [entry.lowering for entry in emission.lowered] == ["parallel"]


# ---------------------------------------------------------------- channel freedom


def test_row_groups_and_shared_orders():
    converted = residual()
    placed = {name: row_groups(layer, converted.network.groups) for name, layer in converted.layers.items()}
    assert {name: frozen is None for name, (_, frozen) in placed.items()} == {
        **dict.fromkeys(MOVABLE, True),
        "classifier": False,
    }
    gains = {name: np.arange(converted.layers[name].channels, dtype=float) for name in RESIDUAL_LAYERS}
    gains["stem"] = 10 * gains["stem"][::-1]  # normalized: as much as the others
    orders = converted.orders(RESIDUAL_LAYERS, gains)
    assert sorted(orders) == sorted(MOVABLE)
    # Three members, two of which rank the last channel first.
    np.testing.assert_array_equal(orders["stem"], np.arange(16)[::-1])
    # Alone in its group, a layer takes its own order; who has one point everywhere has no say.
    assert converted.orders(("stem", "dw"), gains) == {}


def test_rows_of_several_groups_stay_where_they_are():
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    x = keras.Input((6, 6, 4), name="image")
    joined = layers.Concatenate()([layers.Conv2D(n, 1, name=f"part{n}")(x) for n in (4, 6)])
    y = layers.Conv2D(5, 1, name="head")(layers.DepthwiseConv2D(3, name="dw")(joined))
    values = np.random.default_rng(1).normal(size=(6, 1, 6, 6, 4)).astype(np.float32)
    converted = pipeline.convert_once(random_vectors(keras.Model(x, y)), [{"image": 2 * v} for v in values])
    settings = LayerSettings(4, 2, "radix", "")
    rows = {
        name: converted.rows(name, settings, 1 + np.arange(converted.layers[name].channels) % 2)
        for name in ("part4", "part6", "dw")
    }
    emission = converted.emit(rows, "parallel")
    reason = "the channel order must stay: its channels belong to several groups"
    assert emission.fallbacks == (Fallback("dw", "parallel", "one int8 op", reason),)
    # Its rows and the head's columns follow the orders of both parts all the same.
    feeds = on_grid(emission.content, [{"image": v} for v in values])
    (found,), (expected,) = run_real(emission.content, feeds), converted.simulate(rows, feeds)
    step, (noise,) = load(emission.content).graph.outputs[0].scale, rounding_noise(emission.content)
    assert np.sqrt(((found - expected) ** 2).mean()) < 1.25 * noise * step  # as in test_matrix.py
    assert expected.std() > 10 * step


# ---------------------------------------------------------------- the file


def bulky(converted: Converted) -> bytes:
    """The stock file with enough constants that half a percent of it holds a record."""
    model = load(converted.stock)
    model.metadata["padding"] = bytes(np.random.default_rng(0).integers(0, 256, 200_000, np.uint8))
    return save(model)


def emit_over(converted: Converted, stock: bytes, metadata: dict[str, object]) -> bytes:
    rows = {"conv": four_bits(converted, {"conv": 1 + (np.arange(16) < 4)})["conv"]}
    return over(converted, stock=stock).emit(rows, "parallel", metadata=metadata, samples=None).content


def over(converted: Converted, *, stock: bytes, model: Model | None = None) -> Converted:
    """The same network with another stock file, or float model."""
    float_model, names = converted.model, converted.model.names
    file = File.parse(stock)
    network = Network(float_model, file, model or converted.graph, file, channel_groups(file.graph))
    layers, _ = find_layers(network.model.graph, file.graph, names=names)
    return replace(converted, network=network, layers={layer.name: layer for layer in layers})


def test_the_record_in_the_file():
    converted = residual()
    recipe = [{"match": "conv", "bits": 4}]
    content = emit_over(converted, bulky(converted), {"version": "1.2", "recipe": recipe})
    assert tfmpq.inspect(content).metadata == {
        "version": "1.2",
        "recipe": recipe,
        "layers": {"conv": [4, "radix", "parallel", 12, 4]},
    }
    without = load(content)
    entry = without.metadata.pop(METADATA_NAME)
    assert len(content) - len(save(without)) <= 0.005 * len(content)
    assert json.loads(zlib.decompress(entry))["version"] == "1.2"


def test_the_record_never_takes_more_than_its_share():
    converted = residual()
    # Least important first: the layers go, then the recipe. The version stays: `expand` knows its own files by it.
    noise = np.random.default_rng(0).integers(0, 10**9, 300).tolist()
    content = emit_over(converted, bulky(converted), {"version": "1.2", "recipe": noise})
    assert tfmpq.inspect(content).metadata == {"version": "1.2"}
    least = tfmpq.inspect(emit_over(converted, converted.stock, {"version": "1.2", "recipe": []})).metadata
    assert least == {"version": "1.2"}


def test_files_are_deterministic_and_lean():
    converted = residual()
    orders, counts = prefixes(converted)
    rows = four_bits(converted, counts)
    first, second = (converted.emit(rows, "parallel", orders=orders).content for _ in range(2))
    assert first == second
    raw: Any = schema.ModelT.InitFromPackedBuf(first, 0)
    main = raw.subgraphs[0]
    used = {*main.inputs, *main.outputs}
    for op in main.operators:
        used |= {*op.inputs, *op.outputs}
    assert used - {-1} == set(range(len(main.tensors)))  # no orphan tensor
    buffers = {t.buffer for t in main.tensors} | {m.buffer for m in raw.metadata} | {0}
    assert buffers == set(range(len(raw.buffers)))  # no orphan buffer
    root: Any = schema.Model.GetRootAs(first, 0)
    for i in range(root.BuffersLength()):
        buffer = root.Buffers(i)
        if buffer.DataLength():
            address = buffer.DataAsNumpy().__array_interface__["data"][0]
            assert (address - np.frombuffer(first, np.uint8).__array_interface__["data"][0]) % BUFFER_ALIGNMENT == 0


def test_ranges_do_not_change_the_size():
    """What MaxBytes relies on: a file with placeholder ranges is as large as the one with measured ones."""
    converted = residual()
    orders, counts = prefixes(converted)
    rows = four_bits(converted, counts)
    placeholder = converted.emit(rows, "parallel", orders=orders, samples=None).content
    measured = converted.emit(rows, "parallel", orders=orders).content
    assert len(placeholder) == len(measured)
    assert placeholder != measured


def test_signatures_metadata_and_attached_files_are_kept():
    converted = residual()
    source = load(converted.model.flatbuffer)
    source.attachments = [(zipfile.ZipInfo("labels.txt"), b"cat\ndog\n")]
    stock = load(converted.stock)
    stock.metadata["TFLITE_METADATA"] = b"a model card"
    altered = over(converted, stock=save(stock), model=source)
    rows = {"conv": four_bits(converted, {})["conv"]}
    emission = altered.emit(rows, "fused")
    with zipfile.ZipFile(io.BytesIO(emission.content)) as archive:
        assert archive.read("labels.txt") == b"cat\ndog\n"
    model = load(emission.content)
    assert model.metadata["TFLITE_METADATA"] == b"a model card"
    assert [[name for name, _ in s.inputs] for s in model.signatures] == [["image"]]
    (output,) = run_raw(emission.content, image_feeds(1))  # still a file that runs
    np.testing.assert_array_equal(output, run_raw(converted.emit(rows, "fused").content, image_feeds(1))[0])


def test_an_open_batch_stays_open():
    converted = residual(batch_size=None)
    orders, counts = prefixes(converted)
    emission = converted.emit(four_bits(converted, counts), "parallel", orders=orders)
    feeds = image_feeds(3, seed=4)
    together = run_raw(emission.content, [{"image": np.concatenate([f["image"] for f in feeds])}])[0][0]
    np.testing.assert_array_equal(together, np.concatenate(run_raw(emission.content, feeds)[0]))
    for op in load(emission.content).graph.ops:
        assert all(t.shape_signature is not None and t.shape_signature[0] == -1 for t in op.outputs), op.name


def test_a_transposed_convolution_of_an_open_batch():
    import keras

    keras.utils.set_random_seed(0)
    x = keras.Input((4, 4, 6), name="image")
    y = keras.layers.Conv2DTranspose(8, 3, strides=2, name="up")(x)
    model = random_vectors(keras.Model(x, keras.layers.Conv2D(3, 1, name="head")(y)))
    values = np.random.default_rng(1).normal(size=(6, 1, 4, 4, 6)).astype(np.float32)
    converted = pipeline.convert_once(model, [{"image": 2 * v} for v in values], batch_size=None)
    rows = {"up": converted.rows("up", LayerSettings(4, 2, "greedy", ""), 1 + np.arange(8) % 2)}
    emission = converted.emit(rows, "parallel")
    (fallback,) = emission.fallbacks
    assert fallback.used == "parallel ops over all rows"
    assert fallback.reason == "the channel order must stay: output shape computed at run time"
    feeds = on_grid(emission.content, [{"image": v} for v in values])
    (found,), (expected,) = run_real(emission.content, feeds), converted.simulate(rows, feeds)
    step, (noise,) = load(emission.content).graph.outputs[0].scale, rounding_noise(emission.content)
    assert np.sqrt(((found - expected) ** 2).mean()) < 1.25 * noise * step  # as in test_matrix.py
    together = run_real(emission.content, [{"image": np.concatenate([f["image"] for f in feeds])}])[0]
    np.testing.assert_array_equal(together[0], found[:, 0])


def test_lowered_says_what_stands_in_the_file():
    converted = residual()
    orders, counts = prefixes(converted)
    emission = converted.emit(four_bits(converted, counts), "parallel", orders=orders)
    names = [t.name for op in load(emission.content).graph.ops for t in op.outputs]
    assert len(names) == len(set(names))
    written = [name for entry in emission.lowered for name in entry.outputs]
    others = {"ADD", "MEAN", "SOFTMAX"}
    rest = [op.outputs[0].name for op in load(converted.stock).graph.ops if op.name in others]
    assert sorted(written + rest) == sorted(names)
    assert all(isinstance(entry, LoweredLayer) for entry in emission.lowered)
