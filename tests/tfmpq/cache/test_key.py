"""Keys: which options are in them, and that everything else that matters is."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.frontend.float_model import FloatModel, InputSpec
from converters.layers.kinds import KINDS
from converters.layers.names import LayerNames
from converters.lowering.forms import FORMS
from converters.points import MultipointWeight, Point
from converters.targets import load_target, to_json
from tfmpq.algorithms import ALGORITHMS, Algorithm
from tfmpq.algorithms.nearest import quantize_nearest
from tfmpq.cache import key as module
from tfmpq.cache.digest import NoDigestError
from tfmpq.cache.key import data_digest, prepared_key
from tfmpq.data.augmentation import image_views
from tfmpq.data.holdout import hold_out
from tfmpq.data.representative import check_samples
from tfmpq.given import Brought
from tfmpq.options import Options
from tfmpq.recipe.rules import Recipe, Rule
from tfmpq.simulation.source import Source

INPUTS = (InputSpec("x", (), (1, 4, 4, 1), np.dtype(np.float32)),)
IMAGES = np.random.default_rng(0).normal(size=(5, 4, 4, 1)).astype(np.float32)
POINTS = MultipointWeight((Point(np.ones((1, 2), np.int8), np.ones(1, np.float32)),), np.ones(1, np.int64), 4)
# Another value of every option, and whether what is prepared may be other by it.
CHANGES: dict[str, tuple[Any, bool]] = {
    "activations": ("float", True),
    "bits": (3, True),
    "budget": (tfmpq.ExtraBits(0.2), False),
    "lowering": ("split", True),
    "optimize": ("download", True),
    "effort": ("best", False),
    "target": ("builtin", True),
    "max_latency_ratio": (1.5, True),
    "algorithm": ("greedy", True),
    "max_points": (1, True),
    "sensitivity": ("energy", True),
    "recipe": (Recipe([Rule("a", bits=8)]), True),
    "points": ({"a": POINTS}, True),
    "equalize": ("off", True),
    "ranges": ("minmax", True),
    "outputs": ({"y": "float"}, True),
    "weights": ("int8", False),
    "names": ("strip", False),
    "bias_scales": ("shared", False),
    "io_dtype": ("float32", True),
    "batch_size": (None, True),
    "signature": ("serving_default", True),
    "sizes": ((4, 4, 1), True),
    "seed": (1, True),
    "cache": ("elsewhere", False),
    "statistics": ([__file__], True),
    "progress": (False, False),
    "validate": (False, False),
    "strict": (True, True),
    "trust": (True, True),
}


def brought(**changes: Any) -> Brought:
    model = FloatModel(b"TFL3", INPUTS, LayerNames(("a",)), "a model")
    data = hold_out(check_samples(changes.pop("data", IMAGES), INPUTS))
    rules = changes.pop("rules", ())
    return Brought(Source(None, rules), Recipe(rules), replace(model, **changes), data)


def key(given: Brought | None = None, signature: str | None = None, **options: Any) -> str:
    given = given or brought()
    return prepared_key(given, Options(**options), data_digest(given.data.whole), signature)


def test_every_option_is_either_in_the_key_or_known_to_change_nothing():
    assert CHANGES.keys() == {field.name for field in dataclasses.fields(Options)}
    usual = key()
    told = {name: (value, key(**{name: value}) != usual) for name, (value, _) in CHANGES.items()}
    assert told == CHANGES


def test_options_of_a_file_that_are_looked_at_before():
    assert key(budget=tfmpq.ExtraBits(0.0)) != key()  # then no row gets a second point
    assert key(activations="auto", bias_scales="shared") != key(activations="auto")  # a note says what is unheeded


def test_a_target_is_what_its_table_says(tmp_path: Path):
    text = to_json(load_target("xnnpack"))
    (tmp_path / "sub").mkdir()
    for name, content in (("a", text), ("sub/a", text), ("b", text.replace(b'"error": ', b'"error": 1'))):
        (tmp_path / f"{name}.json").write_bytes(content)
    one, same, other = (key(target=tmp_path / f"{name}.json") for name in ("a", "sub/a", "b"))
    assert one == same != other


@pytest.mark.parametrize(
    "change",
    [
        {"flatbuffer": b"other"},
        {"inputs": (replace(INPUTS[0], aliases=("image",)),)},
        {"names": LayerNames(("b",))},
        {"names": LayerNames(("a",), by_output={"y": "a"})},  # dataclasses leave that out of comparisons
        {"trace": lambda: None},
        {"rules": (Rule("a", bits=8),)},
        {"data": IMAGES[:4]},
        {"data": IMAGES + np.float32(1e-6)},
        {"data": IMAGES[::-1]},
        {"data": image_views(IMAGES, 2)},
    ],
)
def test_model_and_data_are_in_the_key(change: dict[str, Any]):
    assert key(brought(**change)) != key()


def test_what_a_model_is_called_and_how_data_are_given_is_not():
    def one_by_one() -> Iterator[list[np.ndarray]]:
        return ([image[None]] for image in IMAGES)

    assert key(brought(source="another file", data=one_by_one)) == key()


def test_statistics_are_what_their_files_hold(tmp_path: Path):
    for name, content in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / name).write_bytes(content)
    one, same, other = (key(statistics=[tmp_path / name]) for name in "abc")
    assert one == same != other


def test_versions_and_signatures_are_in_the_key(monkeypatch: pytest.MonkeyPatch):
    usual = key()
    assert key(signature="a") != usual
    monkeypatch.setattr(module, "versions", lambda: {"numpy": "other"})
    assert key() != usual


@pytest.mark.parametrize("way", ["option", "rule", "own rule"])
def test_algorithms_of_others_have_no_key(monkeypatch: pytest.MonkeyPatch, way: str):
    def mine(problem: Any, max_points: int) -> Any:
        return quantize_nearest(problem, max_points)

    monkeypatch.setitem(ALGORITHMS, "mine", Algorithm(mine, corrects_bias=False))
    assert key()  # it is there, and takes no part
    rule = Rule("a", algorithm="mine")
    given = brought(rules=(rule,)) if way != "option" else brought()
    ways: dict[str, dict[str, Any]] = {"option": {"algorithm": "mine"}, "rule": {"recipe": Recipe([rule])}}
    with pytest.raises(NoDigestError, match="algorithm 'mine', which is code of your own"):
        key(given, **ways.get(way, {}))


@pytest.mark.parametrize(
    ("registry", "name", "entry"),
    [
        (ALGORITHMS, "mine", replace(ALGORITHMS["lapq"], parameters=(1.5,))),
        (ALGORITHMS, "radix", ALGORITHMS["nearest"]),
        (FORMS, "split", FORMS["fused"]),
        (KINDS, "conv", KINDS["dense"]),
    ],
)
def test_only_the_very_objects_of_this_package_have_a_key(
    monkeypatch: pytest.MonkeyPatch, registry: Any, name: str, entry: object
):
    """Names do not tell which of its functions, or with which parameters."""
    monkeypatch.setitem(registry, name, entry)
    with pytest.raises(NoDigestError, match=repr(name)):
        key(algorithm="mine" if name == "mine" else "greedy")
