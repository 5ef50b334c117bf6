"""Files compared layer by layer: the broken layer comes first, and the rule that is printed mends it."""

from __future__ import annotations

import functools
import json
import math
import re
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import tfmpq
from converters.errors import DataError, FileFormatError
from converters.runtime.interpreter import inputs, make_interpreter
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.op_models import activation, file_of
from tests.support.pipeline import RESIDUAL_LAYERS, Feed, image_feeds, residual
from tfmpq.analysis.diff import Diff, LayerDiff, diff

FEEDS = image_feeds(24, seed=5)


def compare(first: bytes, second: bytes, feeds: list[Feed] | None = None) -> Diff:
    return diff(first, second, lambda: iter(FEEDS if feeds is None else feeds), progress=False)


@functools.cache
def converted(lowering: str, *rules: tfmpq.Rule) -> bytes:
    base = residual()
    eight = tfmpq.Rule(match="", bits=8)  # all layers as good as they get but for the rules
    result = tfmpq.convert(
        base.model,
        lambda: iter(base.samples),
        lowering=lowering,
        recipe=tfmpq.Recipe([eight, *rules]),
        max_latency_ratio=None,
        equalize="off",  # scales depend on the bits of all layers
        ranges="minmax",
        validate=False,
        progress=False,
    )
    return result.tflite_model


def layers(result: Diff) -> dict[str, LayerDiff]:
    """Layers with weights by name."""
    return {layer.layer: layer for layer in result.layers if layer.layer in RESIDUAL_LAYERS and layer.bits}


def broken(layer: str, bits: int = 2) -> tfmpq.Rule:
    return tfmpq.Rule(match=f"^{layer}$", bits=bits, max_points=1)


@pytest.mark.parametrize(
    ("reference", "layer", "lowering"),
    [
        ("float", "conv", "fused"),
        ("stock", "dw", "fused"),
        ("stock", "expand", "split"),
        ("float", "project", "split"),
        ("float", "conv", "split"),
        ("stock", "conv", "parallel"),
        ("float", "dw", "parallel"),
        ("float", "expand", "parallel"),
    ],
)
def test_the_broken_layer_is_first_and_the_printed_rule_mends_it(reference, layer, lowering):
    base = residual()
    first = base.stock if reference == "stock" else base.model.flatbuffer
    before = compare(first, converted(lowering, broken(layer)))
    worst = before.layers[0]
    assert (worst.layer, worst.bits) == (layer, 2)
    assert worst.own_sqnr_db < min(found.own_sqnr_db for found in before.layers[1:]) - 5
    # Other layers are given sound values: only what comes after it accumulates its error.
    assert layers(before)["stem"].sqnr_db > 25

    (suggestion,) = before.suggestions
    assert suggestion.layer == layer
    assert suggestion.rule == tfmpq.Rule(match=f"^{layer}$", bits=8)
    assert suggestion.error_share > 0.5
    (line,) = [line for line in str(before).splitlines() if "Rule(" in line]
    rule = eval(line.partition("#")[0].strip().rstrip(","), {"Rule": tfmpq.Rule})
    after = compare(first, converted(lowering, broken(layer), rule))
    mended = layers(after)[layer]
    assert mended.bits == 8
    assert mended.own_sqnr_db > worst.own_sqnr_db + 12  # 6 more bits are worth up to 36 dB; activations limit it
    assert not after.suggestions
    assert after.layers[-1].cosine > 0.99


def test_the_error_accumulates_behind_the_broken_layer_only():
    base = residual()
    found = layers(compare(base.model.flatbuffer, converted("fused", broken("project"))))
    intact = layers(compare(base.model.flatbuffer, converted("fused")))
    for name in ("stem", "expand", "dw"):
        assert found[name].sqnr_db == pytest.approx(intact[name].sqnr_db, abs=1e-6)
    for name in ("conv", "classifier"):
        assert found[name].sqnr_db < intact[name].sqnr_db - 3
        # Given the float network's values they are as good as ever.
        assert found[name].own_sqnr_db == pytest.approx(intact[name].own_sqnr_db, abs=1e-6)


@functools.cache
def mixed(lowering: str) -> bytes:
    """Some rows with one point, some with two: split and parallel sort them."""
    base = residual()
    result = tfmpq.convert(
        base.model,
        lambda: iter(base.samples),
        lowering=lowering,
        budget=tfmpq.ExtraBits(0.4),
        recipe=tfmpq.Recipe(
            [tfmpq.Rule(match="expand|project", bits=4), tfmpq.Rule(match="stem|dw|conv|class", bits=8)]
        ),
        max_latency_ratio=None,
        equalize="off",  # scales depend on the bits of all layers
        ranges="minmax",
        validate=False,
        progress=False,
    )
    return result.tflite_model


@pytest.mark.parametrize("lowering", ["split", "parallel"])
def test_channels_in_another_order_are_matched(lowering):
    base = residual()
    content = mixed(lowering)
    plain = compare(base.stock, mixed("fused"))
    assert plain.reordered == 0
    found = compare(base.stock, content)
    assert found.reordered > 3
    for name, layer in layers(found).items():
        # The same points: the same errors but for the rounding of partial sums.
        assert layer.own_sqnr_db > layers(plain)[name].own_sqnr_db - 6, name
        assert layer.cosine > 0.97, name
    other_way = compare(content, base.stock)
    assert other_way.reordered == found.reordered
    assert layers(other_way)["conv"].cosine == pytest.approx(layers(found)["conv"].cosine, abs=1e-9)


def test_two_reordered_files():
    found = compare(mixed("split"), mixed("fused"))
    assert found.reordered > 3
    assert min(layer.own_sqnr_db for layer in layers(found).values()) > 30


def test_layers_that_are_named_by_paths():
    """From a bare float file layers keep the model's name in front; what stock calls their tensors begins so, too."""
    base = residual()
    content = base.model.flatbuffer
    rule = tfmpq.Rule(match="conv", bits=2)
    result = tfmpq.convert(
        content, lambda: iter(base.samples), recipe=tfmpq.Recipe([rule]), validate=False, progress=False
    )
    found = compare(content, result.tflite_model)
    names = {layer.name for layer in result.report.layers}
    assert not names & set(RESIDUAL_LAYERS)
    assert {layer.layer for layer in found.layers if layer.bits} == names
    assert found.suggestions[0].layer in names
    assert found.only_first == found.only_second == ()


def test_equal_files_are_equal():
    base = residual()
    found = compare(base.stock, base.stock)
    assert all(layer.own_sqnr_db == math.inf == layer.sqnr_db for layer in found.layers)
    assert all(layer.max_step == layer.own_max_step == 0 for layer in found.layers)
    assert all(layer.cosine == pytest.approx(1) for layer in found.layers)
    assert not found.suggestions
    assert "not one of tfmpq's" in str(found)


@pytest.mark.parametrize("io_dtype", ["float32", "uint8"])
def test_inputs_and_outputs_of_other_types(io_dtype):
    found = compare(residual().stock, residual(io_dtype).stock)
    assert len(found.layers) == len(load(residual().stock).graph.ops)
    # The same integers inside; a uint8 file's ends are shifted by 128.
    assert all(layer.own_sqnr_db > 60 for layer in found.layers)


def test_figures_against_numpy():
    """SQNR, cosine and steps of the outputs, computed from what both files give."""
    from converters.runtime.interpreter import outputs, run
    from converters.runtime.values import dequantize

    base = residual()
    results = []
    for content in (base.model.flatbuffer, base.stock):
        interpreter = make_interpreter(content, kernels="builtin")
        detail = outputs(interpreter)[0]
        results.append(np.stack([dequantize(run(interpreter, feed)[0], detail) for feed in FEEDS]).astype(float))
    expected, found = results
    last = next(layer for layer in compare(base.model.flatbuffer, base.stock).layers if layer.op == "SOFTMAX")
    assert last.sqnr_db == pytest.approx(10 * np.log10((expected**2).sum() / ((found - expected) ** 2).sum()))
    assert last.step == pytest.approx(1 / 256)
    assert last.max_step == pytest.approx(np.abs(found - expected).max() * 256, rel=1e-5)
    cosine = (expected * found).sum() / np.sqrt((expected**2).sum() * (found**2).sum())
    assert last.cosine == pytest.approx(cosine)


def test_samples_are_not_kept():
    base = residual()
    alive: list[weakref.ref[np.ndarray]] = []
    most = 0

    def samples() -> Iterator[Feed]:
        nonlocal most
        for number in range(40):
            most = max(most, sum(ref() is not None for ref in alive))
            image = FEEDS[number % len(FEEDS)]["image"] * (1 - number / 100)
            alive.append(weakref.ref(image))
            yield {"image": image}
            del image

    found = diff(base.stock, mixed("split"), samples, progress=False)
    assert found.samples == 40
    assert most <= 18  # the first 16 wait for the order of channels; two are under way


def test_dict_is_json_and_text_fits():
    found = compare(residual().stock, converted("fused", broken("conv")))
    data = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert data["layers"][0]["layer"] == "conv"
    assert data["suggestions"][0]["rule"] == {"match": "^conv$", "bits": 8}
    assert any(layer["own_sqnr_db"] is None for layer in data["layers"])  # equal: infinite
    assert max(map(len, str(found).splitlines())) <= 120


def test_files_of_different_networks(conv_net_int8):
    other = load(conv_net_int8)
    other.graph.inputs[0].name = "image"
    with pytest.raises(FileFormatError, match=r"different networks: 'stem' \(1, 8, 8, 16\), .* have no counterpart in"):
        compare(residual().stock, save(other))


def test_inputs_that_do_not_match(conv_net_int8):
    other = load(conv_net_int8)
    other.graph.inputs[0].shape = other.graph.inputs[0].shape_signature = (1, 9, 9, 3)
    with pytest.raises(
        DataError, match=r"inputs do not match: 'image' \(1, 8, 8, 3\) int8 of .*'image' \(1, 9, 9, 3\)"
    ):
        compare(conv_net_int8, save(other))


def test_no_samples_and_values_out_of_range():
    base = residual()
    with pytest.raises(DataError, match="no samples"):
        compare(base.stock, base.stock, [])
    (detail,) = inputs(make_interpreter(base.stock))
    high = 127 * detail.scale * 30
    with pytest.raises(DataError, match="100% of the first sample's values for input 'image' are outside"):
        compare(base.stock, base.stock, [{"image": np.full((1, 8, 8, 3), high, np.float32)}])


def test_corrupt_files(tmp_path):
    base = residual()
    for pair in ((base.stock[:3000], base.stock), (base.stock, base.stock[:3000])):
        with pytest.raises(FileFormatError, match=r"the model .* cut off or corrupt"):
            compare(*pair)
    with pytest.raises(FileFormatError, match=re.escape("cannot be read")):
        diff(tmp_path / "none.tflite", base.stock, lambda: iter(FEEDS))


def test_layers_that_compute_no_numbers():
    """A float layer with a NaN in its weight: everything behind it is lost, and it is the first to be blamed."""
    base = residual()
    model = load(base.model.flatbuffer)
    conv = next(op for op in model.graph.ops if op.name == "DEPTHWISE_CONV_2D")
    kernel = conv.input(1).array().copy()
    kernel[0, 0, 0, 0] = np.nan
    conv.input(1).data = kernel.tobytes()
    found = compare(base.model.flatbuffer, save(model))
    assert (found.layers[0].layer, found.layers[0].own_sqnr_db) == ("dw", -math.inf)
    assert sum(layer.own_sqnr_db == -math.inf for layer in found.layers) == 1
    json.dumps(found.to_dict(), allow_nan=False)


def test_files_without_operators():
    x = activation("x", (1, 4), 0.1, 0)
    with pytest.raises(FileFormatError, match="nothing to compare"):
        compare(file_of([], [x], [x]), file_of([], [x], [x]))
