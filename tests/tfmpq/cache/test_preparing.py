"""A network from the cache gives the file that it gave before, bit by bit, without any of the work."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import CacheWarning, DataError
from converters.points import MultipointWeight, Point
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.keras_nets import data, separable
from tests.support.loops import loop_net, samples
from tests.support.table_nets import float_table, gather_model, some_ids
from tfmpq.algorithms import ALGORITHMS, Algorithm
from tfmpq.algorithms.nearest import quantize_nearest
from tfmpq.cache import preparing
from tfmpq.cache.preparing import prepare_through
from tfmpq.cache.store import Store
from tfmpq.clock import Clock
from tfmpq.demo.demo import CALIBRATION, MODEL
from tfmpq.files import read_npz
from tfmpq.keras import SimulationSettings, annotate, simulate
from tfmpq.options import Options

pytestmark = pytest.mark.usefixtures("only_keras_classes")

Convert = Callable[..., tfmpq.ConversionResult]
LOW = tfmpq.Recipe([tfmpq.Rule(".*", bits=4)])  # small layers would have 8 bits
FILES = ("tflite_model", "eight_bit_model", "stock_model", "float_model")


def convert(model: object, x: object, **options: Any) -> tfmpq.ConversionResult:
    usual: dict[str, Any] = {"progress": False, "sensitivity": "energy", "budget": tfmpq.ExtraBits(0.1), "recipe": LOW}
    return tfmpq.convert(model, x, **{**usual, **options})


def figures(result: tfmpq.ConversionResult) -> dict[str, Any]:
    return {**result.report.to_dict(), "seconds": None}


def assert_same(first: tfmpq.ConversionResult, second: tfmpq.ConversionResult) -> None:
    assert [getattr(first, name) == getattr(second, name) for name in FILES] == [True] * len(FILES)
    assert figures(first) == figures(second)


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From when it is called on, TensorFlow's converter and the pipeline fail."""

    def forbid() -> None:
        def fail(*_: object, **__: object) -> Any:
            pytest.fail("it is prepared again")

        for name in ("quantize_brought", "prepare_network"):
            monkeypatch.setattr(preparing, name, fail)
        monkeypatch.setattr("tensorflow.lite.TFLiteConverter.convert", fail)
        monkeypatch.setattr("converters.frontend.tf_converter.measured_twin", fail)

    return forbid


def check(model: object, x: object, folder: Path, no_work: Callable[[], None], **options: Any) -> None:
    """Without a cache, into it, and out of it: for the same budget, then for another."""
    other: Any = {**options, "budget": tfmpq.ExtraBits(0.3)}
    plain, plain_other = convert(model, x, **options), convert(model, x, **other)
    assert plain.tflite_model != plain_other.tflite_model
    assert_same(convert(model, x, cache=folder, **options), plain)
    no_work()
    assert_same(convert(model, x, cache=folder, **options), plain)
    assert_same(convert(model, x, cache=folder, **other), plain_other)
    assert len(list(folder.iterdir())) == 1


def test_int8_activations(conv_net_float: bytes, images: np.ndarray, tmp_path: Path, no_work: Callable[[], None]):
    # With all that measures: gradients, equalization, ranges, and the budget that runs files.
    check(conv_net_float, images, tmp_path, no_work, sensitivity="auto")
    like_stock = {"sensitivity": "auto", "budget": tfmpq.LikeStock()}
    assert convert(conv_net_float, images, cache=tmp_path, **like_stock).report.like_stock is not None


def test_float_activations(tmp_path: Path, no_work: Callable[[], None]):
    """A table, and the same rows to multiply with: moments, and how often each row is looked up."""
    table = float_table()
    model = gather_model(table, tied=True)
    ids = [some_ids(model, len(table), seed) for seed in range(40)]
    check(save(model), [[x] for x in ids], tmp_path, no_work, activations="float")


def test_given_points(conv_net_float: bytes, images: np.ndarray, tmp_path: Path, no_work: Callable[[], None]):
    codes = np.random.default_rng(0).integers(-7, 8, (16, 8)).astype(np.int8)
    points = MultipointWeight((Point(codes, np.full(16, 0.1, np.float32)),), np.ones(16, np.int64), 4)
    name = next(layer.name for layer in convert(conv_net_float, images).report.layers if layer.shape[0] == 16)
    check(conv_net_float, images, tmp_path, no_work, points={name: points})


@pytest.mark.slow
@pytest.mark.nightly  # by day: test_prepare_takes_and_fills_the_cache sees that another effort takes the same entry
def test_refined_and_stripped(tmp_path: Path, no_work: Callable[[], None]):
    """One entry serves all efforts. Of a trained network: a random one gains nothing by them."""
    x = read_npz(CALIBRATION)["x"].astype(np.float32)[:128]
    options: Any = {"recipe": None, "budget": tfmpq.ExtraBits(0.0), "names": "strip"}
    best = convert(MODEL, x, effort="best", **options)
    fast = convert(MODEL, x, cache=tmp_path, **options)
    assert fast.tflite_model != best.tflite_model
    no_work()
    assert_same(convert(MODEL, x, cache=tmp_path, effort="best", **options), best)


@pytest.mark.slow
def test_a_simulated_keras_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    net = separable()
    model, x = simulate(annotate(net, SimulationSettings(bits=4)), data(net)), data(net)
    plain = convert(model, x, recipe=None)
    assert_same(convert(model, x, recipe=None, cache=tmp_path), plain)
    monkeypatch.setattr(preparing, "quantize_brought", lambda *_: pytest.fail("it is prepared again"))
    assert_same(convert(model, x, recipe=None, cache=tmp_path), plain)


# By day float ones; test_int8_activations has a network without loops.
@pytest.mark.slow
@pytest.mark.parametrize("activations", [pytest.param("int8", marks=pytest.mark.nightly), "float"])
def test_loops(activations: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Their bodies were prepared on states that the loops went through: those are kept with them."""
    model, x, options = loop_net("lstm"), samples(), {"activations": activations, "io_dtype": "float32"}
    if activations == "float":
        del options["io_dtype"]
    plain = convert(model, x, **options)
    assert_same(convert(model, x, cache=tmp_path, **options), plain)
    monkeypatch.setattr(preparing, "quantize_brought", lambda *_: pytest.fail("it is prepared again"))
    assert_same(convert(model, x, cache=tmp_path, **options), plain)


def test_prepare_takes_and_fills_the_cache(conv_net_float: bytes, images: np.ndarray, tmp_path: Path, no_work: Any):
    options: Any = {"progress": False, "sensitivity": "energy", "recipe": LOW}
    usual: Any = {**options, "cache": tmp_path}
    first = tfmpq.prepare(conv_net_float, images, **usual)
    no_work()
    second = tfmpq.prepare(conv_net_float, images, **usual)
    third = prepare_through(Store.open(tmp_path), conv_net_float, images, Options(effort="best", **options), Clock())
    assert third.options.effort == "best"
    assert list(second.seconds) == ["float conversion", "cache"]
    budgets = [tfmpq.ExtraBits(0.0), tfmpq.MaxBytes(len(first.network.stock.content)), tfmpq.Epsilon(0.01)]
    for budget in budgets:
        assert first.finish(budget=budget).tflite_model == second.finish(budget=budget).tflite_model
    # Moments are whole: points by another algorithm can be chosen from them.
    for a, b in zip(first.weighed, second.weighed, strict=True):
        assert a.statistics.covariance.tobytes() == b.statistics.covariance.tobytes()


def test_other_data_or_options_are_another_entry(conv_net_float: bytes, images: np.ndarray, tmp_path: Path):
    for x, options in ((images, {}), (images[:40], {}), (images, {"recipe": None}), (images, {"seed": 1})):
        convert(conv_net_float, x, cache=tmp_path, **options)
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.parametrize("damage", ["cut off", "changed", "no pickle of ours"])
def test_a_damaged_entry_is_made_anew(conv_net_float: bytes, images: np.ndarray, tmp_path: Path, damage: str):
    plain = convert(conv_net_float, images, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    if damage == "no pickle of ours":
        Store.open(tmp_path).put(path.stem, "prepared", {}, 0)
        path.write_bytes(path.read_bytes()[:-32])
    else:
        path.write_bytes(content[: len(content) // 2] + (b"" if damage == "cut off" else b"\0" + content[-99:]))
    with pytest.warns(CacheWarning, match="made anew"):
        assert_same(convert(conv_net_float, images, cache=tmp_path), plain)
    with warnings.catch_warnings():
        warnings.simplefilter("error", CacheWarning)
        assert_same(convert(conv_net_float, images, cache=tmp_path), plain)


def test_a_conversion_goes_on_where_nothing_can_be_kept(
    conv_net_float: bytes, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    plain = convert(conv_net_float, images)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.warns(CacheWarning, match="No space left"):
        assert_same(convert(conv_net_float, images, cache=tmp_path), plain)


def test_algorithms_of_others_are_not_kept(
    conv_net_float: bytes, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def mine(problem: Any, max_points: int) -> Any:
        return quantize_nearest(problem, max_points)

    mine.__module__ = "mine"
    monkeypatch.setitem(ALGORITHMS, "mine", Algorithm(mine, corrects_bias=False))
    with pytest.warns(CacheWarning, match="algorithm 'mine', which is code of your own"):
        result = convert(conv_net_float, images, cache=tmp_path, algorithm="mine", recipe=None)
    assert load(result.tflite_model)
    assert not any(tmp_path.iterdir())


def test_warnings_are_given_again_and_strict_ones_are_errors(conv_net_float: bytes, tmp_path: Path):
    constant = np.ones((40, 8, 8, 3), np.float32)
    for _ in range(2):
        with pytest.warns(tfmpq.errors.DataWarning, match="same"):
            convert(conv_net_float, constant, cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(DataError, match="strict=True"):
        convert(conv_net_float, constant, cache=tmp_path, strict=True)


@pytest.mark.parametrize("what", ["samples", "sources", "sources before"])
def test_what_changes_meanwhile_is_not_kept(
    conv_net_float: bytes, images: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    data, changed = images.copy(), ["'a.py' was changed"] if what == "sources before" else []

    def prepare(*_: object) -> Any:
        if what == "samples":
            data[0] += 1
        else:
            changed.append("'a.py' was changed")

    monkeypatch.setattr(preparing, "quantize_brought", lambda *_: None)
    monkeypatch.setattr(preparing, "prepare_network", prepare)
    monkeypatch.setattr(preparing, "changed_sources", lambda: next(iter(changed), None))
    with pytest.warns(CacheWarning, match=r"nothing is kept of this conversion: (its samples have|'a.py' was) changed"):
        prepare_through(Store.open(tmp_path), conv_net_float, data, Options(progress=False), Clock())
    assert list(tmp_path.iterdir()) == []
