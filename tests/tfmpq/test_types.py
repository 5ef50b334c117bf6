"""Whatever type a value has: it is taken, or refused with a message."""

from __future__ import annotations

import dataclasses
import functools
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tfmpq
from converters.points import MultipointWeight, Point
from converters.targets import load_target
from tfmpq.benchmark.run import benchmark
from tfmpq.options import Options

IMAGES = np.zeros((2, 8, 8, 3), np.float32)
CODES, SCALE = np.zeros((1, 1), np.int8), np.ones(1, np.float32)
BASE: Mapping[str, Any] = {"files": ["none.tflite"], "progress": False, "rounds": 1, "min_runs": 1, "min_seconds": 0.0}

plain = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**70, -(2**70), 10**5000, np.int64(4), np.float32(0.5), np.bool_(True), 1j, object(), len, int])
    | st.floats()
    | st.sampled_from(["", "4", "auto", "xnnpack", "a\0", "\ud800", "a" * 10_000, "[", b"x", bytearray(b"x")])
    | st.text(max_size=5)
    | st.sampled_from([Path("x"), Path("a\0"), np.array(4), np.array([1, 2]), np.zeros((2, 2)), np.array("auto")])
)
values = plain | st.lists(plain, max_size=2) | st.dictionaries(st.text(max_size=2) | st.integers(), plain, max_size=2)


def public() -> dict[str, Callable[[Any], object]]:
    """What takes a value from a caller, before any work."""
    options = {f"Options.{f.name}": f.name for f in dataclasses.fields(Options)}
    views = {f"image_views.{name}": name for name in ("n", "crop", "flip", "seed")}
    timed = {f"benchmark.{name}": name for name in ("files", "delegates", "warmup", "rounds", "timeout", "seed")}
    rules = {f"Rule.{name}": name for name in ("match", "bits", "max_points", "algorithm", "lowering", "keep")}
    limits = {f"Limits.{f.name}": f.name for f in dataclasses.fields(tfmpq.Limits)}
    checks = {f"check.{name}": name for name in ("file", "data", "limits", "metric", "kernels", "seed", "rounds")}
    evaluate = functools.partial(tfmpq.evaluate, against="none.tflite")
    return {
        **{key: lambda v, name=name: Options(**{name: v}) for key, name in options.items()},
        **{key: lambda v, name=name: tfmpq.image_views(IMAGES, **{"n": 2, name: v}) for key, name in views.items()},
        **{key: lambda v, name=name: tfmpq.Rule(**{"match": "a", "bits": 4, name: v}) for key, name in rules.items()},
        **{key: lambda v, name=name: _refused_before_work(name, v) for key, name in timed.items()},
        **{key: lambda v, name=name: tfmpq.Limits(**{name: v}) for key, name in limits.items()},
        **{key: lambda v, name=name: _check(name, v) for key, name in checks.items()},
        "ExtraBits": tfmpq.ExtraBits,
        "MaxBytes": tfmpq.MaxBytes,
        "Epsilon": tfmpq.Epsilon,
        "MaxDrop": lambda v: tfmpq.MaxDrop(v, v),
        "Recipe": tfmpq.Recipe,
        "Recipe.from_json": tfmpq.Recipe.from_json,
        "expand": tfmpq.expand,
        "inspect": tfmpq.inspect,
        "load_labelled": tfmpq.load_labelled,
        "load_target": load_target,
        "evaluate": lambda v: evaluate("none.tflite", v),
        "Labelled.inputs": lambda v: evaluate("none.tflite", tfmpq.Labelled({"x": v}, None)),
        "Labelled.labels": lambda v: evaluate("none.tflite", tfmpq.Labelled({"x": IMAGES}, v)),
        "points": lambda v: MultipointWeight(v, np.array([1]), 4),
        "counts": lambda v: MultipointWeight((Point(CODES, SCALE),), v, 4),
        "bits": lambda v: MultipointWeight((Point(CODES, SCALE),), np.array([1]), v),
        "codes": lambda v: MultipointWeight((Point(v, SCALE),), np.array([1]), 4),
        "convert": lambda v: tfmpq.convert(v, IMAGES),
    }


def _refused_before_work(name: str, value: Any) -> None:
    benchmark(**{**BASE, "inputs": "none.npz", name: value})  # which is read before anything is run


def _check(name: str, value: Any) -> None:
    given = {"file": "none.tflite", "data": tfmpq.Labelled({"x": IMAGES}, None), "limits": tfmpq.Limits(max_kl=1)}
    tfmpq.check(**{"against": "none.tflite", **given, name: value})


@pytest.mark.parametrize("name", public())
@settings(max_examples=40, deadline=None, derandomize=True)
@given(value=values)
def test_taken_or_refused_with_a_message(name: str, value: Any):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            public()[name](value)
            message = ""
        except tfmpq.ConversionError as error:
            message = str(error)
    assert len(message) < 3000
    assert message.replace("\n", "").isprintable()


def test_wrong_types_are_named():
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"bits": "4"}, "bits='4' is out of range; give a whole number from 2 to 8"),
        ({"budget": []}, r"budget=\[\] is no budget"),
        ({"trust": "false"}, "trust='false' must be True or False"),
        ({"seed": 10**5000}, "seed=a number of 16610 bits is out of range"),
        ({"io_dtype": ["int8"]}, r"io_dtype=\['int8'\] is not known"),
    ]
    for change, text in wrong:
        with pytest.raises(tfmpq.ConversionError, match=text):
            Options(**change)
