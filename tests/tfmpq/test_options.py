"""Options out of range are refused before any work."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any, get_type_hints

import numpy as np
import pytest

import tfmpq
from converters.errors import OptionError
from tfmpq.options import OF_A_FILE, Options, OptionValues


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bits": 1}, "bits=1 is out of range; give a whole number from 2 to 8"),
        ({"bits": True}, "bits=True is out of range"),
        ({"max_points": 5}, "max_points=5 is out of range; give a whole number from 1 to 4"),
        ({"batch_size": 2}, "batch_size=2 is out of range"),
        ({"seed": -1}, "seed=-1 is out of range"),
        (
            {"lowering": "merged"},
            "lowering='merged' is not known; choose one of 'auto', 'split', 'fused', 'parallel', 'compact'",
        ),
        ({"algorithm": "magic"}, "algorithm='magic' is not known; choose one of 'radix'"),
        ({"sensitivity": "none"}, "sensitivity='none' is not known"),
        ({"io_dtype": "int16"}, "io_dtype='int16' is not known"),
        ({"recipe": {"rules": []}}, "is no Recipe"),
    ],
)
def test_of_the_model(change: dict[str, Any], text: str):
    with pytest.raises(OptionError, match=text):
        Options(**change)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"weights": "int2"}, "weights='int2' is not known; choose one of 'auto'"),
        ({"names": "none"}, "names='none' is not known; choose one of 'keep', 'strip'"),
        ({"bias_scales": "none"}, "bias_scales='none' is not known; choose one of 'exact', 'shared'"),
        ({"budget": 0.1}, r"budget=0.1 is no budget; give LikeStock\(margin\), ExtraBits\(fraction\)"),
        *(
            ({"max_latency_ratio": value}, "out of range; give the most latency you accept relative to stock int8")
            for value in (0, -1.0, float("nan"), float("inf"), "1.02", True)
        ),
    ],
)
def test_of_a_file(change: dict[str, Any], text: str):
    assert Options.of({"max_latency_ratio": 1}, OF_A_FILE) == Options(max_latency_ratio=1)
    with pytest.raises(OptionError, match=text):
        Options.of(change, OF_A_FILE)


def test_unknown_names_are_named():
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'bit'; options are activations, bits"):
        Options.of({"bit": 4})
    of_a_file = "budget, weights, max_latency_ratio, names, bias_scales, validate"
    with pytest.raises(TypeError, match=f"'bits'; options are {of_a_file}"):
        Options.of({"bits": 4}, OF_A_FILE)


def test_every_view_of_the_options_has_all_of_them():
    names = [field.name for field in dataclasses.fields(Options)]
    assert list(get_type_hints(OptionValues)) == names
    documented = inspect.getdoc(Options)
    assert documented is not None
    assert [name for name in names if f"\n    {name}: " not in documented] == []
    whole, before, after = (
        [p for p in inspect.signature(f).parameters if p not in ("self", "model", "rep_dataset")]
        for f in (tfmpq.convert, tfmpq.prepare, tfmpq.Prepared.finish)
    )
    assert whole == names
    assert set(before) | set(after) == set(names)
    assert not set(before) & set(after)
    assert inspect.signature(tfmpq.convert).parameters["bits"].default == 4


def test_points_must_be_points():
    with pytest.raises(OptionError, match=r"give a dict, layer name -> tfmpq\.MultipointWeight"):
        Options(points={"conv": np.zeros((2, 2))})  # pyright: ignore


def test_the_former_spelling_of_the_compact_form_is_on_its_way_out():
    with pytest.warns(FutureWarning, match="lowering='compact' is the same"):
        Options(weights="int4")
