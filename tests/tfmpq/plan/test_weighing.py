"""What rounding costs at the network's output, and what further points bring."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import pytest

from converters.reference.gradients import GradientResult
from converters.tflite.graph import Tensor
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.pipeline import QUIET, Converted, Rows, image_feeds, residual, run_real
from tfmpq.data.holdout import Split
from tfmpq.measure.evidence import Gatherer
from tfmpq.measure.output_noise import RowsInUse, output_noise
from tfmpq.plan.weighing import Costs, layer_gains, lookup_order, measure_costs, output_energy, runs_a_layer
from tfmpq.recipe.rules import LayerSettings
from tfmpq.stages import Rounded


@pytest.fixture(scope="module")
def priced() -> list[Rounded]:
    """Two layers with up to two 3-bit points."""
    return [residual().rounded(name, LayerSettings(3, 2, "radix", "parallel")) for name in ("project", "conv")]


@dataclass(frozen=True)
class Feeds:
    """A pass over inputs, as data are given."""

    feeds: list[dict[str, np.ndarray]]

    def __call__(self):
        return iter(self.feeds)


samples = Feeds(image_feeds(6))
DATA: Any = Split(*[samples] * 2, *[samples.feeds] * 2)  # pyright: ignore (few: they serve for everything)


def measured() -> GradientResult:
    converted = residual()
    layers = [converted.measured(name, LayerSettings(3, 2, "radix", "parallel")) for name in ("project", "conv")]
    return Gatherer(layers, converted.network, samples, 6, seed=0).gradients


def costs(priced: list[Rounded], measure: Any, gradients: Any = measured, data: Any = DATA) -> Costs:
    return measure_costs(priced, residual().network, data, measure=measure, gradients=gradients, progress=QUIET)


def test_energy_is_error_over_variance(priced):
    found = costs(priced, "energy")
    assert found.gradients is None
    for layer in priced:
        known, delta = layer.statistics, layer.candidates[0]
        real = delta.codes[0] * delta.scales[0][:, None].astype(np.float64) - layer.layer.weight
        weight = layer.layer.weight.astype(np.float64)
        noise = np.einsum("cd,de,ce->", real, known.covariance[0], real)
        signal = np.einsum("cd,de,ce->", weight, known.covariance[0], weight)
        assert found.layers[layer.name] == pytest.approx(noise / signal, rel=1e-6)
        assert output_energy(layer).sum() == pytest.approx(signal, rel=1e-6)


def test_kl_is_that_of_the_simulated_network(priced):
    converted = residual()
    found = costs(priced, "kl")
    assert found.gradients is None
    feeds = image_feeds(6)
    (reference,) = run_real(converted.model.flatbuffer, feeds)
    plain, even = {}, {}
    for layer in priced:
        name = layer.name
        one = converted.rows(name, layer.settings, np.ones(layer.layer.channels, int))
        # The other layers in float: their own rows, which `simulate` would otherwise take from the stock file.
        (changed,) = run_real(with_one_layer(converted, name, one), feeds)
        p, q = (v.reshape(-1, 10).astype(np.float64) for v in (reference, changed))
        plain[name] = (p * np.log(p / q)).sum(axis=1).mean()
        p, q = (v**0.25 / (v**0.25).sum(axis=1, keepdims=True) for v in (p, q))  # logits over 4
        even[name] = (p * np.log(p / q)).sum(axis=1).mean()
    expected = {name: sum(plain.values()) * value / sum(even.values()) for name, value in even.items()}
    assert found.layers == pytest.approx(expected, rel=1e-3)  # float32 probabilities


def with_one_layer(converted: Converted, name: str, rows: Rows) -> bytes:
    model = load(converted.model.flatbuffer)
    op = next(
        op for op, same in zip(model.graph.ops, converted.graph.graph.ops, strict=True)
        if same is converted.layers[name].uses[0].float_op
    )  # fmt: skip
    old, real = op.input(1), rows.weight.reconstruct().astype(np.float32)
    data = converted.layers[name].kind.tensor(real, old.shape).tobytes()
    op.inputs[1] = Tensor("w", old.shape, old.type, data)
    op.inputs[2] = Tensor("b", rows.biases[0].shape, old.type, rows.biases[0].astype(np.float32).tobytes())
    return save(model)


def test_costs_grow_by_what_fitted_samples_hide(priced):
    """Samples unlike those of the fit, on which rows rounded for those err more: costs rise by just that."""
    unlike = [{"image": np.abs(feeds["image"][:, ::-1] ** 3)} for feeds in image_feeds(6, seed=3)]
    data: Any = Split(cast("Any", None), cast("Any", samples), unlike, [])
    network, known, found = residual().network, costs(priced, "kl"), costs(priced, "kl", data=data)
    rows = []
    for layer in priced:
        weight = layer.weight(np.ones(layer.layer.channels, np.int64))
        rows.append(RowsInUse(layer.layer, weight.rows, layer.statistics.means))
    before, after = (output_noise(network.model, rows, side) for side in (samples.feeds, unlike))
    for name, cost in known.layers.items():
        ratio = (after[name][1] / after[name][0]) / (before[name][1] / before[name][0])
        assert found.layers[name] == pytest.approx(
            cost * max(ratio, 1.0), rel=2.0**-11
        )  # ratios are rounded to 11 bits
    assert max(found.layers[name] / known.layers[name] for name in known.layers) > 1.1


def test_growth_is_bounded_by_what_can_be_known(priced):
    """An input that the fit never saw active says that the cost is higher, not that it is infinite."""
    silent = Feeds(
        [{"image": np.full_like(f["image"], 0.3)} for f in samples.feeds]
    )  # nothing for the errors to vary by
    data: Any = Split(cast("Any", None), cast("Any", silent), samples.feeds, [])
    found = costs(priced, "kl", data=data)
    for cost in found.layers.values():
        assert 0 <= cost < np.inf
    fitted: Any = Split(*[silent] * 2, *[silent.feeds] * 2)  # pyright: ignore
    known = costs(priced, "kl", data=fitted)  # without growth
    assert all(found.layers[name] <= 20 * cost * (1 + 1e-9) for name, cost in known.layers.items())


def test_gradients_where_the_model_gives_them(priced):
    found = costs(priced, "kl+gradient")
    assert found.layers == costs(priced, "kl").layers
    assert found.gradients is not None
    assert {name: g.shape for name, g in found.gradients.items()} == {"project": (16,), "conv": (16,)}
    assert costs(priced, "auto").gradients is not None
    assert found.notes == ()
    without = costs(priced, "auto", lambda: GradientResult(None, reason="no operator FOO"))
    assert without.gradients is None
    assert without.layers == found.layers
    assert without.notes == ("channels are weighted equally within a layer: no operator FOO",)


def test_channels_that_few_samples_tell_apart_count_alike(priced):
    values = {name: np.arange(16.0) for name in ("project", "conv")}
    exact, vague = np.zeros(16), np.full(16, 1e3)
    found = costs(priced, "kl+gradient", lambda: GradientResult(values, {"project": exact, "conv": vague}))
    assert found.gradients is not None
    np.testing.assert_array_equal(found.gradients["project"], np.arange(16.0))
    np.testing.assert_array_equal(found.gradients["conv"], np.full(16, 7.5))


def test_gradients_are_not_asked_for_if_nothing_can_be_chosen(priced):
    one = [replace(layer, candidates=layer.candidates[:1]) for layer in priced]
    assert costs(one, "auto", lambda: pytest.fail("nobody needs them")).gradients is None


def test_gains_share_the_measured_cost_out(priced):
    errors = [np.linspace(8, 23, 16), np.full(16, 4.0), np.full(16, 1.0)]
    made = tuple(replace(priced[0].candidates[0], error=e) for e in errors)
    project = replace(priced[0], candidates=made)
    gains = layer_gains(project, Costs({"project": 2.0}, None))
    total = errors[0].sum()
    np.testing.assert_allclose(gains[:, 0], 2.0 * (np.linspace(8, 23, 16) - 4) / total)
    np.testing.assert_allclose(gains[:, 1], 2.0 * 3 / total)
    single = replace(project, candidates=made[:1])
    assert layer_gains(single, Costs({"project": 1.0}, None)).shape == (16, 0)
    # Channels to which the output does not react gain nothing.
    weights = {"project": np.where(np.arange(16) < 4, 1.0, 0.0)}
    weighted = layer_gains(project, Costs({"project": 2.0}, weights))
    assert weighted[:4].all()
    assert not weighted[4:].any()


@pytest.mark.parametrize(("slope", "columns", "own"), [(1.0, 64, True), (1.0, 768, True), (0.0, 64, False)])
def test_tables_sorted_by_use_need_no_map(slope: float, columns: int, own: bool):
    rng = np.random.default_rng(0)
    gains = 1 / np.arange(1, 5001) ** slope * rng.exponential(size=5000)
    if slope:
        gains = np.sort(gains)[::-1] * rng.uniform(0.9, 1.1, 5000)
    order = lookup_order(gains[:, None], columns / 2 + 4)
    assert (order is not None) == own
    if order is not None:
        np.testing.assert_array_equal(order, np.arange(5000))
    assert lookup_order(gains[::-1, None], columns / 2 + 4) is None
    assert lookup_order(np.zeros((5000, 0)), columns / 2 + 4) is None


def test_runs_of_the_network_do_not_grow_with_its_depth():
    runs = [layers * runs_a_layer(1e6, layers) / 2 for layers in (20, 40, 80, 100)]
    assert max(runs) <= 1.1 * min(runs)
    assert runs_a_layer(1e6, 1000) >= 8  # that tell layers apart
    assert runs_a_layer(5e9, 50) < runs_a_layer(3e8, 50)  # large networks have fewer
