"""The model of ``tfmpq convert``: how flags have it loaded, and when the cache does without."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from absl import flags

from tfmpq import model_files
from tfmpq.commands.convert import CONVERT
from tfmpq.commands.model_loading import load_source

pytestmark = pytest.mark.usefixtures("only_keras_classes")


def values_of(*arguments: object) -> flags.FlagValues:
    values = flags.FlagValues()
    CONVERT.define_flags(values)
    values(["convert", *map(str, arguments)])
    return values


def open_data(inputs: Any) -> Any:
    def samples() -> Iterator[dict[str, np.ndarray]]:
        yield {spec.name: np.zeros((1, 5, *spec.shape[2:]), spec.dtype) for spec in inputs}

    return samples


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What models are loaded with."""
    calls: list[dict[str, Any]] = []
    usual = model_files.load_model

    def load_model(model: object, **options: Any) -> Any:
        calls.append(options)
        return usual(model, **options)

    monkeypatch.setattr(model_files, "load_model", load_model)
    return calls


def test_without_a_cache_it_is_loaded(conv_net_float: bytes, asked: list, tmp_path: Path):
    (tmp_path / "net.tflite").write_bytes(conv_net_float)
    values = values_of(f"--model={tmp_path / 'net.tflite'}", "--signature=serving_default")
    model: Any = load_source(values, open_data, 1).model
    assert model.inputs[0].shape == (1, 8, 8, 3)
    assert [(a["batch_size"], a["signature"], a["entries"]) for a in asked] == [(1, "serving_default", None)]


def test_float_activations_keep_files_whole_and_open(conv_net_float: bytes, asked: list, tmp_path: Path):
    (tmp_path / "net.tflite").write_bytes(conv_net_float)
    load_source(values_of(f"--model={tmp_path / 'net.tflite'}", "--activations=float"), open_data, 1)
    assert asked[0]["entries"] is not None
    assert asked[0]["sizes"].name == "KEPT"


def test_with_a_cache_it_is_loaded_once(conv_net_path: Path, asked: list, tmp_path: Path):
    values = values_of(f"--model={conv_net_path}", f"--cache={tmp_path / 'cache'}")
    first, second = (load_source(values, open_data, 1).model for _ in range(2))
    assert first == second
    assert len(asked) == 1
