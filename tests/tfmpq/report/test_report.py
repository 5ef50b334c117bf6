from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.frontend.load import load_model
from converters.layers.channel_groups import channel_groups
from converters.layers.find import find_layers
from converters.layers.names import LayerNames
from converters.points import MultipointWeight, Point
from converters.tflite.file import File
from converters.tflite.reader import load
from tests.support.pipeline import QUIET, candidates_of
from tfmpq.emit.write import Emission, emit
from tfmpq.measure.moments import collect_statistics
from tfmpq.plan.channel_order import row_groups
from tfmpq.recipe.rules import LayerSettings, Rule
from tfmpq.report.build import build_report
from tfmpq.report.report import Report
from tfmpq.stages import Measured, Network, Planned, Written, advance

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
def arguments(conv_net_float, conv_net_int8, images) -> dict[str, Any]:
    """What the pipeline hands over, for the shared network quantized by hand; depthwise kept, project with points."""
    float_model = dataclasses.replace(load_model(conv_net_float), names=LayerNames(tuple(SETTINGS), 3))
    stock = File.parse(conv_net_int8)
    network = Network(float_model, stock, load(conv_net_float), stock, channel_groups(stock.graph))
    layers, skipped = find_layers(network.model.graph, stock.graph, names=float_model.names)
    samples = [{"image": image[None]} for image in images]
    statistics = collect_statistics(network.model, layers, lambda: iter(samples), len(samples))
    measured = [Measured(layer, SETTINGS[layer.name], None, statistics[layer.name]) for layer in layers]
    plan = [planned(network, layer) for layer in measured if layer.name != "depthwise"]
    emission = emit(
        network, plan, storage="auto", samples=lambda: iter(samples[:4]), count=4, metadata={"version": "test"},
        progress=QUIET,
    )  # fmt: skip
    return {
        "network": network,
        "file": File.parse(emission.content),
        "layers": measured,
        "emission": emission,
        "skipped": skipped,
        "samples": samples[:40],
        "fitted": False,
        "validation": None,
        "seconds": {"statistics": 1.5},
        "notes": ["a note"],
        "images": 40,
        "views": 1,
        "lowering_costs": (),
    }


def planned(network: Network, layer: Measured) -> Planned:
    """A layer rounded by hand."""
    bits, rows = layer.settings.bits, TWO_POINT_ROWS * (layer.name == "project")
    weight = nearest(layer.layer.weight, bits, rows)
    groups, frozen = row_groups(layer.layer, network.groups)
    values: dict[str, Any] = {
        "candidates": candidates_of(weight), "given_counts": None, "notes": (), "cost": COSTS[layer.name],
        "gains": np.zeros((layer.layer.channels, 0)), "groups": groups, "frozen": frozen, "order": None,
        "lowering": layer.settings.lowering, "counts": weight.counts,
    }  # fmt: skip
    return advance(Planned, layer, **values)


def altered(arguments: dict[str, Any], change: Callable[[Written], Written | None]) -> dict[str, Any]:
    """The arguments with other layers; None: one is left out."""
    layers = tuple(found for layer in arguments["emission"].layers if (found := change(layer)) is not None)
    kept = {layer.name for layer in layers} | {"depthwise"}
    measured = [layer for layer in arguments["layers"] if layer.name in kept]
    return {**arguments, "emission": Emission(arguments["emission"].content, layers), "layers": measured}


@pytest.fixture(scope="module")
def report(arguments) -> Report:
    return build_report(**arguments)


def activations(conv_net, images, before: str) -> np.ndarray:
    """Input of a layer, computed by Keras."""
    import keras

    return np.asarray(keras.Model(conv_net.inputs[0], conv_net.get_layer(before).output)(images), np.float64)


MEASURED_ON = 32  # of the images; the statistics are of all


def decibels(signal: np.ndarray, noise: np.ndarray, *, centred: bool) -> float:
    """From outputs and output errors (N, ..., C): variance over mean square about 0, or about all images' mean."""
    error = noise - noise.mean(axis=tuple(range(noise.ndim - 1))) * centred
    rows = signal[:MEASURED_ON].reshape(-1, signal.shape[-1])
    power = (error[:MEASURED_ON].reshape(-1, signal.shape[-1]) ** 2).mean(axis=0)
    return 10 * math.log10(rows.var(axis=0).sum() / power.sum())


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

    real = {layer.name: layer.points.reconstruct() for layer in arguments["emission"].layers}
    kernel = {name: np.asarray(conv_net.get_layer(name).get_weights()[0], np.float64) for name in SETTINGS}
    x = activations(conv_net, images, "depthwise")  # radix moves the mean error into the bias
    project = kernel["project"][0, 0]
    expected = {"project": decibels(x @ project, x @ (real["project"].T - project), centred=True)}
    x = activations(conv_net, images, "pool")  # nearest does not
    dense = kernel["classifier"]
    expected["classifier"] = decibels(x @ dense, x @ (real["classifier"].T - dense), centred=False)
    x = activations(conv_net, images, "stem")
    stock = next(layer for layer in arguments["layers"] if layer.name == "depthwise").layer.uses[0].int8_op.input(1)
    rounded = (stock.array() * stock.quantization.scale).reshape(3, 3, 8, 1)
    signal, noise = (
        tf.nn.depthwise_conv2d(x, w, (1, 1, 1, 1), "SAME").numpy()
        for w in (kernel["depthwise"], rounded - kernel["depthwise"])
    )
    expected["depthwise"] = decibels(signal, noise, centred=False)
    found = {layer.name: layer.sqnr_db for layer in report.layers if layer.name in expected}
    # Float32 products: relative errors of 1e-5, far below 0.01 dB.
    assert found == pytest.approx(expected, abs=0.01)


def test_exact_weights_have_no_noise(arguments):
    def exact(layer: Written) -> Written | None:
        if layer.name != "stem":
            return None
        # Powers of two make scale * code exact in float32.
        point = Point(layer.points.points[0].codes, np.full(8, 2.0**-8, np.float32))
        weight = (point.codes * point.scale[:, None]).astype(np.float32)
        candidates = candidates_of(MultipointWeight((point,), layer.counts, 8))
        return dataclasses.replace(layer, candidates=candidates, layer=dataclasses.replace(layer.layer, weight=weight))

    report = build_report(**altered(arguments, exact))
    stem = next(layer for layer in report.layers if layer.name == "stem")
    assert stem.sqnr_db == math.inf
    assert report.to_dict()["layers"][0]["sqnr_db"] is None
    assert "exact" in str(report).splitlines()[1]


def test_error_shares_and_suggested_rules(arguments, report):
    shares = {layer.name: layer.error_share for layer in report.layers}
    assert shares == {"stem": 0.5, "depthwise": None, "project": 0.375, "classifier": 0.125}
    # At 8 bits they are as large as in stock: 16 rows of 8 codes, against 18 rows of 4 bytes and 2 x 12 bytes of bias
    # and scales more; the classifier's INT4 rows save what its new bias costs. What project's two further points of 8
    # bytes took is spent elsewhere then.
    assert [(s.layer, s.rule, s.added_bytes) for s in report.suggestions] == [
        ("project", Rule("^project$", bits=8), 16 * 8 - (18 * 4 + 2 * 12) + 2 * 8),
        ("classifier", Rule("^classifier$", bits=8), 0),
    ]  # the stem has 8 bits already
    little = build_report(
        **altered(arguments, lambda x: dataclasses.replace(x, cost=0.06) if x.name == "classifier" else x)
    )
    assert [s.layer for s in little.suggestions] == ["project"]  # 0.8 % is not worth a rule


def test_totals(arguments, report):
    assert report.float_bytes == len(arguments["network"].float_model.flatbuffer)
    assert report.stock.bytes == len(arguments["network"].stock.content)
    assert report.file.bytes == len(arguments["file"].content)
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
    known = build_report(**{**arguments, "samples": arguments["samples"][:1], "fitted": True})
    assert "1 sample, the calibration samples themselves" in str(known)
    assert "not measured" in str(build_report(**{**arguments, "samples": []}))


def test_dict_is_plain_json(report):
    content = report.to_dict()
    assert json.loads(report.to_json()) == content
    assert content["layers"][2]["points"] == {"1": 14, "2": 2}
    assert [layer["moment_blocks"] for layer in content["layers"]] == [1, None, 1, 1]  # depthwise is stock's
    assert content["suggestions"][1]["rule"] == {"match": "^classifier$", "bits": 8}
    assert content["ops_added"] == report.ops_added()
    assert content["fallbacks"] == []
    assert content["seconds"] == {"statistics": 1.5}


def test_moments_in_blocks_are_said(arguments):
    def split_up(layer: Written) -> Written:
        if layer.name != "project":
            return layer
        (whole,) = layer.statistics.covariance
        blocks = np.stack([whole[:4, :4], whole[4:, 4:]])
        statistics = dataclasses.replace(layer.statistics, covariance=blocks, shrinkage=np.zeros(2))
        return dataclasses.replace(layer, statistics=statistics)

    report = build_report(**altered(arguments, split_up))
    assert [layer.moment_blocks for layer in report.layers] == [1, None, 2, 1]
    assert re.search(r"^input moments +project: 2 blocks of 4 columns, not one of 8$", str(report), re.MULTILINE)


def test_without_low_bit_layers_there_are_no_extra_bits_and_nothing_to_suggest(arguments):
    report = build_report(
        **altered(arguments, lambda x: dataclasses.replace(x, cost=0.0) if x.name == "stem" else None)
    )
    assert report.extra_bits is None
    assert report.suggestions == ()
    assert report.layers[0].error_share == 0.0  # no cost at all, and no division by it


def test_a_conversion_reports_itself(conv_net, images):
    result = tfmpq.convert(conv_net, images, lowering="parallel", budget=tfmpq.ExtraBits(0.10), progress=False)
    report = result.report
    assert [layer.name for layer in report.layers] == list(SETTINGS)
    assert {x.name: x.points for x in report.layers} == {n: p.histogram() for n, p in result.plan.layers.items()}
    assert sum(layer.error_share or 0 for layer in report.layers) == pytest.approx(1)
    assert (report.file.bytes, report.stock.bytes) == (len(result.tflite_model), len(result.stock_model))
    assert report.extra_bits is not None
    assert 0 < report.extra_bits <= 0.10
    assert report.proxies is not None
    assert (report.proxies.samples, report.proxies.held_back) == (8, True)  # every eighth of 64
    assert json.loads(report.to_json()) == report.to_dict()
    text = str(report)
    assert max(map(len, text.splitlines())) <= 120
    for part in (*SETTINGS, f"{len(result.tflite_model):,} bytes", *str(report.validation).splitlines()[:1]):
        assert part in text
