"""Layers that the runtime would refuse with few bits keep more of them, and inputs that int8 cannot show are noted."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import OptionError
from converters.lowering.quantized_layer import scale_ceiling
from converters.points import MultipointWeight, Point
from converters.targets import load_target
from tests.support.pipeline import Converted, convert_once, run_real
from tests.support.table_nets import float_table, gather_model, table_layer
from tfmpq.algorithms import LayerStatistics
from tfmpq.plan.given_points import take_given
from tfmpq.plan.limits import table_notes, unseen_inputs, within_limits
from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import Found, Measured

LOW = LayerSettings(4, 2, "radix", "auto")


def net(bias: float, clipped: str = "relu6") -> Any:
    """A layer with a huge bias, and one behind it whose outputs are clipped."""
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((6, 6, 8), name="x"),
            layers.Conv2D(24, 1, activation="relu", name="before"),
            layers.Conv2D(24, 1, activation=clipped, name="behind"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(64, activation="relu", name="hidden"),
            layers.Dense(10),
        ]
    )
    kernel, offset = model.get_layer("before").get_weights()
    offset[2] = bias
    model.get_layer("before").set_weights([kernel, offset])
    return model


def samples(scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(40, 6, 6, 8)).astype(np.float32) * np.float32(scale)


@pytest.fixture(scope="module")
def converted() -> Converted:
    return convert_once(net(1e5), [{"x": row[None]} for row in samples()[:12]])


def limited(converted: Converted, name: str, settings: LayerSettings = LOW) -> tuple[LayerSettings, tuple[str, ...]]:
    (found,), notes = within_limits([Found(converted.layers[name], settings, None)])
    return found.settings, notes


def test_a_layer_of_huge_inputs_and_clipped_outputs_takes_8_bits(converted: Converted):
    settings, notes = limited(converted, "behind")
    assert settings == replace(LOW, bits=8, max_points=1)
    assert len(notes) == 1
    assert notes[0].startswith("layer 'behind': 8 bits instead of 4 bits, because its inputs (steps of 39")
    kept = replace(LOW, keep="int8")
    assert limited(converted, "before") == (LOW, ())
    assert limited(converted, "behind", kept) == (kept, ())


def test_where_8_bits_are_too_few_stock_stays(converted: Converted):
    layer = converted.layers["behind"]
    (found,), notes = within_limits([Found(replace(layer, weight=layer.weight * 16), LOW, None)])
    assert found.settings.keep == "int8"
    assert "as stock has it instead of 4 bits" in notes[0]


def test_given_points_beyond_the_limit_are_refused(converted: Converted):
    layer = converted.layers["behind"]
    columns = layer.columns
    scale = np.full(layer.channels, np.float32(scale_ceiling(layer) * 1.01))
    weight = MultipointWeight(
        (Point(np.ones((layer.channels, columns), np.int8), scale),), np.ones(layer.channels, np.int64), 4
    )
    measured = Measured(layer, LOW, weight, converted.statistics["behind"])
    with pytest.raises(OptionError, match=r"layer 'behind': the scale .* of point 0 in row 0 is not below"):
        take_given(measured)


@pytest.mark.slow
@pytest.mark.parametrize("lowering", ["auto", "fused", "split", "parallel", "compact"])
def test_a_huge_bias_converts_in_every_form(lowering: str):
    data = samples()
    result = tfmpq.convert(
        net(1e5), data, lowering=lowering, budget=tfmpq.ExtraBits(0.3), sensitivity="energy", progress=False
    )
    feeds = [{"x": row[None]} for row in data[:12]]
    expected, stock, ours = (
        run_real(content, feeds)[0] for content in (result.float_model, result.stock_model, result.tflite_model)
    )
    # Both are dominated by the step of 392 that the bias gives the activations in between.
    assert np.square(expected - ours).sum() <= 1.5 * np.square(expected - stock).sum()


def test_inputs_below_half_a_step_are_noted(converted: Converted):
    layer = converted.layers["before"]
    known = converted.statistics["before"]

    def measured(scale: float) -> Measured:
        statistics = LayerStatistics(
            known.means * scale,
            known.quantized_means * scale,
            known.covariance * scale**2,
            known.positions,
            known.shrinkage,
        )
        return Measured(layer, LOW, None, statistics)

    step = layer.uses[0].int8_input.scale
    assert unseen_inputs([measured(1.0), measured(0.0)]) == ()
    (note,) = unseen_inputs([measured(1.0), measured(step / 10), measured(step / 20)])
    assert note.startswith("layer 'before' reads values of about")
    assert f"smallest step is {step:.3g}" in note


@pytest.mark.parametrize("scale", [1e-30, 1e20, 1e30])
def test_data_of_any_range_convert(scale: float):
    result = tfmpq.convert(net(0.0, "relu"), samples(scale), progress=False)
    notes = " ".join(result.report.notes)
    assert ("reads values of about" in notes) == (scale < 1)
    assert "NaN" not in notes
    if scale > 1:  # biases vanish beside such data, so that everything is as with data of range 1
        assert result.report.proxies is not None
        assert min(result.report.proxies.file.sqnr_db) > min(result.report.proxies.stock.sqnr_db) - 12


@pytest.mark.parametrize(("columns", "target", "why"), [(17, "xnnpack", "odd length"), (16, "qnn", "no INT4 rows")])
def test_tables_that_have_more_bits_than_asked_for_are_noted(columns: int, target: str, why: str):
    _, layer = table_layer(gather_model(float_table(columns=columns)))
    found = [Found(layer, LayerSettings(8, 1, "radix", "lookup"), None)]
    (note,) = table_notes(found, load_target(target), 4)
    assert layer.name in note
    assert why in note
    assert not table_notes(found, load_target(target), 8)
    asked = [Found(layer, LayerSettings(4, 2, "radix", "lookup"), None)]
    assert not table_notes(asked, load_target(target), 4)
