"""The middle of the pipeline: settings, costs, gains and plans."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from converters.errors import RecipeError
from converters.reference.gradients import GradientResult
from converters.tflite.graph import Tensor
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.pipeline import QUIET, RESIDUAL_LAYERS, Converted, image_feeds, residual, run_real
from tfmpq import stages
from tfmpq.algorithms import Candidate
from tfmpq.emit.write import Rows
from tfmpq.recipe.rules import LayerSettings, Recipe, Rule
from tfmpq.stages import (
    Costs,
    base_bytes,
    epsilon_plan,
    knapsack,
    layer_gains,
    make_rows,
    measure_costs,
    output_energy,
    quantize_layers,
    remaining_costs,
    resolve_settings,
    row_bytes,
)

DEFAULTS: dict[str, Any] = {"bits": 4, "max_points": None, "algorithm": "radix", "lowering": "parallel"}


def layers_of(names: tuple[str, ...] = RESIDUAL_LAYERS) -> list:
    found = residual().layers
    return [found[name] for name in names]


def resolved(*rules: Rule, **options: Any) -> dict[str, LayerSettings]:
    return resolve_settings(layers_of(), Recipe(rules), **{**DEFAULTS, **options})


# ---------------------------------------------------------------- settings


def test_tender_layers_have_eight_bits():
    found = resolved()
    assert {name: s.bits for name, s in found.items()} == {
        "stem": 8,  # first
        "expand": 4,
        "dw": 8,  # depthwise
        "project": 4,
        "conv": 4,
        "classifier": 8,  # last
    }
    assert {name: s.max_points for name, s in found.items()} == {n: 1 if s.bits == 8 else 2 for n, s in found.items()}
    assert {(s.algorithm, s.lowering, s.keep) for s in found.values()} == {("radix", "parallel", None)}


def test_small_layers_have_eight_bits():
    expand, large = layers_of(("expand", "conv"))
    wide = replace(large, weight=np.ones((16, 99 * expand.weight.size // 16), np.float32))
    found = resolve_settings([expand, wide], Recipe(), **DEFAULTS)
    assert found["expand"].bits == 4  # one percent is enough
    wider = replace(large, weight=np.ones((16, 100 * expand.weight.size // 16), np.float32))
    found = resolve_settings([expand, wider], Recipe(), **DEFAULTS)
    assert (found["expand"].bits, found["conv"].bits) == (8, 4)


def test_rules_win_over_defaults():
    found = resolved(Rule("stem|dw", bits=3), Rule("conv", max_points=4, algorithm="greedy"), Rule("stem", bits=5))
    assert (found["stem"].bits, found["stem"].max_points) == (5, 2)
    assert (found["dw"].bits, found["dw"].max_points) == (3, 2)
    assert (found["conv"].bits, found["conv"].max_points, found["conv"].algorithm) == (4, 4, "greedy")
    assert found["classifier"].bits == 8


def test_the_points_asked_for():
    points = {name: s.max_points for name, s in resolved(max_points=3).items()}
    # 8-bit rows among lower ones keep one.
    assert points == {"stem": 1, "expand": 3, "dw": 1, "project": 3, "conv": 3, "classifier": 1}
    # Asked for 8 bits and more points, all rows may take them; a rule that lowers a layer's bits leaves it the default.
    assert {s.max_points for s in resolved(bits=8, max_points=3).values()} == {3}
    assert {s.max_points for s in resolved(bits=8).values()} == {1}
    assert resolved(Rule("stem", max_points=2))["stem"].max_points == 2


def test_recipes_are_checked():
    with pytest.raises(RecipeError, match=r"'steam' matches none .* Nearest: 'stem'"):
        resolved(Rule("steam", bits=4))
    with pytest.raises(RecipeError, match="there is no algorithm 'redix'"):
        resolved(Rule("stem", algorithm="redix"))


# ---------------------------------------------------------------- points


def test_candidates_and_rows():
    converted = residual()
    layers = layers_of(("conv", "dw"))
    settings = {"conv": LayerSettings(4, 3, "radix", ""), "dw": LayerSettings(8, 1, "greedy", "")}
    candidates = quantize_layers(layers, settings, converted.statistics, QUIET)
    assert [len(candidates[name]) for name in ("conv", "dw")] == [3, 1]
    assert [c.codes.shape for c in candidates["conv"]] == [(1, 16, 144), (2, 16, 144), (3, 16, 144)]
    counts = 1 + np.arange(16) % 3
    known = converted.statistics["conv"]
    rows = make_rows(layers[0], settings["conv"], candidates["conv"], counts, known)
    np.testing.assert_array_equal(rows.weight.counts, counts)
    # With the corrected bias the mean output over the data, of inputs as int8 holds them, is that of the float layer.
    use = layers[0].uses[0]
    ours = rows.weight.reconstruct() @ known.quantized_means[0, 0] + rows.biases[0]
    theirs = layers[0].weight.astype(np.float64) @ known.means[0, 0] + use.bias
    np.testing.assert_allclose(ours, theirs, atol=1e-5)  # biases are float32
    assert np.abs(rows.biases[0] - use.bias).max() > 1e-4
    # The paper's algorithm leaves biases alone.
    plain = make_rows(layers[1], settings["dw"], candidates["dw"], np.ones(24, int), converted.statistics["dw"])
    np.testing.assert_array_equal(plain.biases[0], layers[1].uses[0].bias)


def test_what_an_algorithm_minimizes(monkeypatch: pytest.MonkeyPatch):
    """The covariance where the bias takes the mean, the raw moment where it does not; rows gathered by input group."""
    converted = residual()
    layers = layers_of(("dw",))
    seen = {}

    def spy(name: str):
        algorithm = stages.ALGORITHMS[name]

        def quantize(problem, points):
            seen[name] = problem
            return algorithm.quantize(problem, points)

        return replace(algorithm, quantize=quantize)

    monkeypatch.setattr(stages, "ALGORITHMS", {name: spy(name) for name in ("radix", "nearest")})
    known = converted.statistics["dw"]
    for name in ("radix", "nearest"):
        quantize_layers(layers, {"dw": LayerSettings(4, 1, name, "")}, converted.statistics, QUIET)
        assert seen[name].weight.shape == (24, 1, 9)
        assert seen[name].scale_floor.shape == (24, 1)
    np.testing.assert_array_equal(seen["radix"].moment, known.covariance)
    raw = known.covariance + known.means[0][:, :, None] * known.means[0][:, None, :]
    np.testing.assert_allclose(seen["nearest"].moment, raw, rtol=1e-9)


# ---------------------------------------------------------------- costs


@pytest.fixture(scope="module")
def priced() -> dict[str, Any]:
    """Arguments of measure_costs for two layers with up to two 3-bit points."""
    converted = residual()
    settings = {name: LayerSettings(3, 2, "radix", "parallel") for name in ("conv", "project")}
    layers = layers_of(("project", "conv"))
    return {
        "model": converted.graph,
        "layers": layers,
        "settings": settings,
        "candidates": {name: converted.candidates(name, s) for name, s in settings.items()},
        "statistics": converted.statistics,
    }


def samples():
    return iter(image_feeds(6))


def costs(priced: dict[str, Any], measure: Any) -> Costs:
    return measure_costs(**priced, samples=samples, measure=measure, seed=0, progress=QUIET)


def test_energy_is_error_over_variance(priced):
    found = costs(priced, "energy")
    assert found.gradients is None
    for layer in priced["layers"]:
        known = priced["statistics"][layer.name]
        delta = priced["candidates"][layer.name][0]
        real = delta.codes[0] * delta.scales[0][:, None].astype(np.float64) - layer.weight
        weight = layer.weight.astype(np.float64)
        noise = np.einsum("cd,de,ce->", real, known.covariance[0], real)
        signal = np.einsum("cd,de,ce->", weight, known.covariance[0], weight)
        assert found.layers[layer.name] == pytest.approx(noise / signal, rel=1e-6)
        assert output_energy(layer, known).sum() == pytest.approx(signal, rel=1e-6)


def test_kl_is_that_of_the_simulated_network(priced):
    converted = residual()
    found = costs(priced, "kl")
    assert found.gradients is None
    feeds = image_feeds(6)
    (reference,) = run_real(converted.model.flatbuffer, feeds)
    for layer in priced["layers"]:
        name = layer.name
        one = converted.rows(name, priced["settings"][name], np.ones(layer.channels, int))
        # The other layers in float: their own rows, which `simulate` would otherwise take from the stock file.
        (changed,) = run_real(with_one_layer(converted, name, one), feeds)
        p, q = (v.reshape(-1, 10).astype(np.float64) for v in (reference, changed))
        expected = (p * np.log(p / q)).sum(axis=1).mean()
        assert found.layers[name] == pytest.approx(expected, rel=1e-3)  # float32 probabilities


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


def test_gradients_where_the_model_gives_them(priced, monkeypatch: pytest.MonkeyPatch):
    found = costs(priced, "kl+gradient")
    assert found.layers == costs(priced, "kl").layers
    assert found.gradients is not None
    assert {name: g.shape for name, g in found.gradients.items()} == {"project": (16,), "conv": (16,)}
    assert costs(priced, "auto").gradients is not None
    assert found.notes == ()
    monkeypatch.setattr(stages, "channel_gradients", lambda *_, **__: GradientResult(None, "no operator FOO"))
    without = costs(priced, "auto")
    assert without.gradients is None
    assert without.layers == found.layers
    assert without.notes == ("channels are weighted equally within a layer: no operator FOO",)


def test_gradients_are_not_asked_for_if_nothing_can_be_chosen(priced, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(stages, "channel_gradients", lambda *_, **__: pytest.fail("nobody needs them"))
    one = {name: replace(s, max_points=1) for name, s in priced["settings"].items()}
    assert costs({**priced, "settings": one}, "auto").gradients is None


# ---------------------------------------------------------------- bytes, gains and plans


def small() -> tuple[list, dict[str, LayerSettings], dict[str, list[Candidate]]]:
    """Two layers with made-up errors for one, two and three points."""
    layers = layers_of(("project", "classifier"))
    settings = {"project": LayerSettings(4, 3, "radix", ""), "classifier": LayerSettings(8, 1, "radix", "")}
    errors = {"project": [np.linspace(8, 23, 16), np.full(16, 4.0), np.full(16, 1.0)], "classifier": [np.ones(10)]}
    empty = np.zeros((1, 1, 1), np.int8)
    return layers, settings, {n: [Candidate(empty, empty[0], e) for e in v] for n, v in errors.items()}


def test_bytes():
    layers, settings, _ = small()
    assert row_bytes(layers[0], settings["project"]) == 24 * 4 / 8 + 4
    assert row_bytes(layers[1], settings["classifier"]) == 16 + 4
    assert base_bytes(layers, settings) == 16 * 16  # layers of 8 bits do not count


def test_gains_share_the_measured_cost_out():
    layers, _, candidates = small()
    gains = layer_gains(layers, candidates, Costs({"project": 2.0, "classifier": 1.0}, None))
    total = candidates["project"][0].error.sum()
    np.testing.assert_allclose(gains["project"][:, 0], 2.0 * (np.linspace(8, 23, 16) - 4) / total)
    np.testing.assert_allclose(gains["project"][:, 1], 2.0 * 3 / total)
    assert gains["classifier"].shape == (10, 0)
    # Channels to which the output does not react gain nothing.
    weights = {"project": np.where(np.arange(16) < 4, 1.0, 0.0), "classifier": np.ones(10)}
    weighted = layer_gains(layers, candidates, Costs({"project": 2.0, "classifier": 1.0}, weights))["project"]
    assert weighted[:4].all()
    assert not weighted[4:].any()


def test_knapsack_plans_within_the_budget():
    layers, settings, candidates = small()
    gains = layer_gains(layers, candidates, Costs({"project": 2.0, "classifier": 1.0}, None))
    choose = knapsack(layers, settings, gains, {})
    plan = choose(5 * 16.0)
    assert plan.layers["project"].counts.tolist() == [1] * 11 + [2] * 5  # the rows with the largest error
    assert plan.layers["project"].settings is settings["project"]
    assert plan.layers["classifier"].counts.tolist() == [1] * 10
    order = np.roll(np.arange(16), 4)
    prefix = knapsack(layers, settings, gains, {"project": order})(5 * 16.0).layers["project"].counts
    assert prefix[order].tolist() == [2] * 5 + [1] * 11


def test_epsilon_plan():
    layers, settings, candidates = small()
    converted = residual()
    energy = output_energy(layers[0], converted.statistics["project"])
    # Errors as multiples of each row's energy: 0.8 to 2.3 times with one point, 0.4 with two, 0.1 with three.
    candidates["project"] = [replace(c, error=c.error / 10 * energy) for c in candidates["project"]]
    everything = {"classifier": candidates["classifier"], "project": candidates["project"]}

    def counts(value: float, orders: dict[str, np.ndarray]) -> list[int]:
        plan = epsilon_plan(layers, settings, everything, converted.statistics, orders, value)
        return plan.layers["project"].counts.tolist()

    assert counts(1.05, {}) == [1] * 3 + [2] * 13  # 0.8, 0.9, 1.0 are small enough
    assert counts(0.2, {}) == [3] * 16
    assert counts(0.01, {}) == [3] * 16  # there are no more
    # In a shared order every row up to the last that needs a point has it.
    order = np.array([0, 5, 1, 4, 3, 2, *range(6, 16)])
    assert counts(1.05, {"project": order}) == [2] * 16
    order = np.array([*range(3, 16), 0, 1, 2])
    assert counts(1.05, {"project": order}) == [1] * 3 + [2] * 13


def test_epsilon_is_relative_to_what_the_algorithm_minimizes():
    """Variance where the bias takes the mean, mean square where it does not."""
    converted = residual()
    layer, known = converted.layers["project"], converted.statistics["project"]
    centred, raw = output_energy(layer, known), output_energy(layer, known, centred=False)
    assert (raw > 1.2 * centred).any()
    between = np.sqrt(raw * centred)
    empty = np.zeros((1, 1, 1), np.int8)
    candidates = {"project": [Candidate(empty, empty[0], e) for e in (between, 0 * between)]}
    far = raw > 1.2 * centred
    for algorithm, expected in (("radix", 2), ("greedy", 1)):
        settings = {"project": LayerSettings(4, 2, algorithm, "")}
        plan = epsilon_plan([layer], settings, candidates, converted.statistics, {}, 1.0)
        assert set(plan.layers["project"].counts[far]) == {expected}


def test_remaining_costs():
    layers, settings, candidates = small()
    measured = Costs({"project": 2.0, "classifier": 1.0}, None)
    gains = layer_gains(layers, candidates, measured)
    choose = knapsack(layers, settings, gains, {})
    none, all_of_them = (remaining_costs(layers, candidates, measured, choose(b)) for b in (0.0, 1e9))
    assert none == {"project": 2.0, "classifier": 1.0}
    # What is left is in proportion to the errors that are left.
    total = candidates["project"][0].error.sum()
    assert all_of_them["project"] == pytest.approx(2.0 * 16 * 1.0 / total)
    assert all_of_them["classifier"] == 1.0
