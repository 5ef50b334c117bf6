from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest

import tfmpq
from converters.layers.find import find_layers
from converters.layers.names import LayerNames
from converters.lowering.fused import lower_fused
from converters.lowering.parallel import lower_parallel
from converters.lowering.quantized_layer import QuantizedLayer
from converters.lowering.ranges import PartialKey
from converters.points import MultipointWeight, Point
from converters.tflite.reader import load
from converters.tflite.writer import save
from tfmpq.measure.moments import collect_statistics
from tfmpq.plan.layer_plan import Fallback
from tfmpq.recipe.rules import LayerSettings, Rule
from tfmpq.report.report import Report, build_report

SETTINGS = {
    "stem": LayerSettings(8, 1, "nearest", "fused"),
    "depthwise": LayerSettings(8, 1, "nearest", "fused", keep="int8"),
    "project": LayerSettings(4, 2, "radix", "parallel"),
    "classifier": LayerSettings(4, 1, "nearest", "parallel"),
}
COSTS = {"stem": 4.0, "project": 3.0, "classifier": 1.0}
TWO_POINT_ROWS = 2  # of project's 16


def nearest(weight: np.ndarray, bits: int, two_point_rows: int = 0) -> MultipointWeight:
    """Plain rounding; the first rows get a second point for what is left over."""
    high = 2 ** (bits - 1) - 1
    scale = (np.abs(weight).max(axis=1) / high).astype(np.float32)
    codes = np.clip(np.rint(weight / scale[:, None]), -high, high).astype(np.int8)
    counts = np.ones(len(weight), np.int64)
    if not two_point_rows:
        return MultipointWeight((Point(codes, scale),), counts, bits)
    counts[:two_point_rows] = 2
    fine = (scale / 16).astype(np.float32)
    rest = np.clip(np.rint((weight - scale[:, None] * codes) / fine[:, None]), -high, high).astype(np.int8)
    rest[two_point_rows:] = 0
    return MultipointWeight((Point(codes, scale), Point(rest, fine)), counts, bits)


@pytest.fixture(scope="module")
def arguments(conv_net_float, conv_net_int8, images):
    """What the pipeline hands over, for the shared network quantized by hand; depthwise kept, project with points."""
    float_model, target = load(conv_net_float), load(conv_net_int8)
    layers, skipped = find_layers(float_model.graph, target.graph, names=LayerNames(tuple(SETTINGS), 3))
    weights = {
        layer.name: nearest(layer.weight, SETTINGS[layer.name].bits, TWO_POINT_ROWS * (layer.name == "project"))
        for layer in layers
        if layer.name != "depthwise"
    }
    samples = [{"image": image[None]} for image in images]
    lowered = []
    for layer in layers:
        if layer.name not in weights:
            continue
        quantized = QuantizedLayer(layer, weights[layer.name], tuple(use.bias for use in layer.uses))
        if layer.name == "stem":
            lowered.append(lower_fused(target.graph, quantized))
        else:
            ranges = {PartialKey("project", 0, 2, p): (-4.0, 4.0) for p in range(2)}
            lowered.append(lower_parallel(target.graph, quantized, ranges))
    untouched, _ = find_layers(float_model.graph, load(conv_net_int8).graph, names=LayerNames(tuple(SETTINGS), 3))
    return {
        "float_file": conv_net_float,
        "stock_file": conv_net_int8,
        "file": save(target),
        "layers": untouched,
        "settings": SETTINGS,
        "weights": weights,
        "statistics": collect_statistics(float_model, layers, lambda: iter(samples), len(samples)),
        "costs": COSTS,
        "lowered": lowered,
        "skipped": skipped,
        "fallbacks": [Fallback("project", "parallel", "fused", "a test says so")],
        "held_back": samples[:40],
        "held_back_is_calibration": False,
        "validation": None,
        "seconds": {"statistics": 1.5},
        "notes": ["a note"],
        "images": 40,
        "views": 1,
    }


@pytest.fixture(scope="module")
def report(arguments) -> Report:
    return build_report(**arguments)


def activations(conv_net, images, before: str) -> np.ndarray:
    """Input of a layer, computed by Keras."""
    import keras

    return np.asarray(keras.Model(conv_net.inputs[0], conv_net.get_layer(before).output)(images), np.float64)


def decibels(signal: np.ndarray, noise: np.ndarray, *, centred: bool) -> float:
    """From outputs and output errors (..., C): the signal's variance over the noise's variance or mean square."""
    energy = noise.reshape(-1, noise.shape[-1])
    power = energy.var(axis=0) if centred else (energy**2).mean(axis=0)
    return 10 * math.log10(signal.reshape(-1, signal.shape[-1]).var(axis=0).sum() / power.sum())


def test_layers_in_order_with_names_shapes_and_points(report):
    assert [(x.name, x.op, x.shape, x.rows, x.bits, x.algorithm, x.lowering, x.points) for x in report.layers] == [
        ("stem", "CONV_2D", (8, 3, 3, 3), 8, 8, "nearest", "fused", {1: 8}),
        ("depthwise", "DEPTHWISE_CONV_2D", (1, 3, 3, 8), 8, 8, None, "stock", {1: 8}),
        ("project", "CONV_2D", (16, 1, 1, 8), 16, 4, "radix", "parallel", {1: 14, 2: 2}),
        ("classifier", "FULLY_CONNECTED", (10, 16), 10, 4, "nearest", "parallel", {1: 10}),
    ]


def test_bytes_of_each_layer(report):
    def size(codes: int, rows: int) -> int:  # int32 bias and the scales of weight and bias, 4 bytes each
        return codes + 12 * rows

    assert {layer.name: (layer.bytes_before, layer.bytes_after) for layer in report.layers} == {
        "stem": (size(216, 8), size(216, 8)),
        "depthwise": (size(72, 8), size(72, 8)),
        # INT4: two ops for the 2 rows with two points, one op for the other 14
        "project": (size(128, 16), 2 * size(2 * 8 // 2, 2) + size(14 * 8 // 2, 14)),
        # stock drops a bias of zeros and its scales
        "classifier": (size(160, 10) - 8 * 10, size(160 // 2, 10)),
    }


def test_sqnr_equals_that_of_measured_outputs(arguments, report, conv_net, images):
    import tensorflow as tf

    real = {name: weight.reconstruct() for name, weight in arguments["weights"].items()}
    kernel = {name: np.asarray(conv_net.get_layer(name).get_weights()[0], np.float64) for name in SETTINGS}
    x = activations(conv_net, images, "depthwise")  # radix moves the mean error into the bias
    project = kernel["project"][0, 0]
    expected = {"project": decibels(x @ project, x @ (real["project"].T - project), centred=True)}
    x = activations(conv_net, images, "pool")  # nearest does not
    dense = kernel["classifier"]
    expected["classifier"] = decibels(x @ dense, x @ (real["classifier"].T - dense), centred=False)
    x = activations(conv_net, images, "stem")
    stock = next(layer for layer in arguments["layers"] if layer.name == "depthwise").uses[0].int8_op.input(1)
    rounded = (stock.array() * stock.quantization.scale).reshape(3, 3, 8, 1)
    signal, noise = (
        tf.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), "SAME").numpy()
        for w in (kernel["depthwise"], rounded - kernel["depthwise"])
    )
    expected["depthwise"] = decibels(signal, noise, centred=False)
    found = {layer.name: layer.sqnr_db for layer in report.layers if layer.name in expected}
    # The moments are summed from float32 products: relative errors of 1e-5, far below 0.01 dB.
    assert found == pytest.approx(expected, abs=0.01)


def test_exact_weights_have_no_noise_and_unknown_statistics_no_figure(arguments):
    layers = [layer for layer in arguments["layers"] if layer.name in ("stem", "classifier")]
    stem = arguments["weights"]["stem"]
    layers[0] = dataclasses.replace(layers[0], weight=stem.reconstruct().astype(np.float32))
    # Powers of two make scale * code exact in float32.
    point = Point(stem.points[0].codes, np.full(8, 2.0**-8, np.float32))
    layers[0] = dataclasses.replace(layers[0], weight=(point.codes * point.scale[:, None]).astype(np.float32))
    weights = {**arguments["weights"], "stem": MultipointWeight((point,), stem.counts, 8)}
    changed = {
        "layers": layers,
        "weights": {name: weights[name] for name in ("stem", "classifier")},
        "statistics": {"stem": arguments["statistics"]["stem"]},
    }
    report = build_report(**{**arguments, **changed})
    assert [layer.sqnr_db for layer in report.layers] == [math.inf, None]
    assert [layer["sqnr_db"] for layer in report.to_dict()["layers"]] == [None, None]
    assert "exact" in str(report).splitlines()[1]


def test_error_shares_and_suggested_rules(arguments, report):
    shares = {layer.name: layer.error_share for layer in report.layers}
    assert shares == {"stem": 0.5, "depthwise": None, "project": 0.375, "classifier": 0.125}
    # At 8 bits they are as large as in stock: 16 rows of 8 codes, against 18 rows of 4 bytes and 2 x 12 bytes of bias
    # and scales more; the classifier's INT4 rows save what its new bias costs.
    assert [(s.layer, s.rule, s.added_bytes) for s in report.suggestions] == [
        ("project", Rule("^project$", bits=8), 16 * 8 - (18 * 4 + 2 * 12)),
        ("classifier", Rule("^classifier$", bits=8), 0),
    ]  # the stem has 8 bits already
    little = build_report(**{**arguments, "costs": {**COSTS, "classifier": 0.06}})
    assert [s.layer for s in little.suggestions] == ["project"]  # 0.8 % is not worth a rule


def test_totals(arguments, report):
    assert report.float_bytes == len(arguments["float_file"])
    assert report.stock.bytes == len(arguments["stock_file"])
    assert report.file.bytes == len(arguments["file"])
    assert report.ops_added() == {"ADD": 1, "CONCATENATION": 1, "CONV_2D": -1, "FULLY_CONNECTED": 3}
    # project's rows with two points run twice
    assert report.file.macs - report.stock.macs == 64 * TWO_POINT_ROWS * 8
    # further points: 2 rows of 8 codes and a scale; first points: project's 16 rows and the classifier's 10 of 16 codes
    assert report.extra_bits == pytest.approx(2 * (8 / 2 + 4) / (16 * (8 / 2 + 4) + 10 * (16 / 2 + 4)), rel=1e-12)


def test_proxies_use_at_most_32_samples_and_say_where_they_come_from(arguments, report):
    assert report.proxies is not None
    assert (report.proxies.samples, report.proxies.held_back) == (32, True)
    assert report.proxies.stock.sqnr_db[0] > report.proxies.file.sqnr_db[0]
    assert "32 samples, held back" in str(report)
    known = build_report(**{**arguments, "held_back": arguments["held_back"][:1], "held_back_is_calibration": True})
    assert "1 sample, the calibration samples themselves" in str(known)
    assert "not measured" in str(build_report(**{**arguments, "held_back": []}))


def test_dict_is_plain_json(report):
    content = report.to_dict()
    assert json.loads(report.to_json()) == content
    assert content["layers"][2]["points"] == {"1": 14, "2": 2}
    assert content["suggestions"][1]["rule"] == {"match": "^classifier$", "bits": 8}
    assert content["ops_added"] == report.ops_added()
    assert content["fallbacks"][0]["reason"] == "a test says so"
    assert content["seconds"] == {"statistics": 1.5}


def test_without_low_bit_layers_there_are_no_extra_bits_and_nothing_to_suggest(arguments):
    layers = [layer for layer in arguments["layers"] if layer.name in ("stem", "depthwise")]
    weights = {"stem": arguments["weights"]["stem"]}
    report = build_report(**{**arguments, "layers": layers, "weights": weights, "costs": {"stem": 0.0}})
    assert report.extra_bits is None
    assert report.suggestions == ()
    assert report.layers[0].error_share == 0.0  # no cost at all, and no division by it


def test_a_conversion_reports_itself(conv_net, images):
    result = tfmpq.convert(conv_net, images, lowering="parallel", progress=False)
    report = result.report
    assert [layer.name for layer in report.layers] == list(SETTINGS)
    assert {x.name: x.points for x in report.layers} == {n: p.histogram() for n, p in result.plan.layers.items()}
    assert sum(layer.error_share or 0 for layer in report.layers) == pytest.approx(1)
    assert (report.file.bytes, report.stock.bytes) == (len(result.tflite_model), len(result.stock_model))
    assert report.extra_bits is not None
    assert 0 < report.extra_bits <= 0.10  # the default budget
    assert report.proxies is not None
    assert (report.proxies.samples, report.proxies.held_back) == (8, True)  # every eighth of 64
    assert json.loads(report.to_json()) == report.to_dict()
    text = str(report)
    assert max(map(len, text.splitlines())) <= 120
    for part in (*SETTINGS, f"{len(result.tflite_model):,} bytes", *str(report.validation).splitlines()[:1]):
        assert part in text
