"""What is kept is the same afterwards: values, identity, how arrays lie in memory; and it is nothing but that."""

from __future__ import annotations

import io
import os
import pickle
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest

from converters.frontend.float_model import FloatModel
from converters.layers.kinds import CONV
from converters.layers.names import LayerNames
from converters.targets import load_target
from converters.tflite.graph import Graph, Op, Tensor
from tfmpq.algorithms import LayerStatistics
from tfmpq.cache.pickled import NotKeptError, read_pickle, write_pickle
from tfmpq.recipe.rules import Recipe, Rule


def bytes_of(value: object) -> bytes:
    stream = io.BytesIO()
    write_pickle(value, stream)
    return stream.getvalue()


def again(value: Any) -> Any:
    return read_pickle(io.BytesIO(bytes_of(value)))


def test_objects_that_reference_each_other_still_do():
    tensor = Tensor("x", (2,), 0, b"12345678")
    graph = Graph([tensor], [tensor], [Op(0, [tensor], [tensor])])
    found, groups = again((graph, {tensor: "group"}))
    assert found.ops[0].inputs[0] is found.inputs[0] is next(iter(groups))
    assert groups[found.outputs[0]] == "group"


def test_kinds_stay_the_registered_ones():
    assert again([CONV])[0] is CONV


def test_what_was_computed_from_fields_is_left_out():
    target = load_target("xnnpack")
    before = len(bytes_of(target))
    assert any(isinstance(value, cached_property) for value in vars(type(target)).values())
    for name in [name for name, value in vars(type(target)).items() if isinstance(value, cached_property)]:
        getattr(target, name)
    assert len(bytes_of(target)) == before
    assert again(target) == target


def test_a_recipe_is_one():
    recipe = Recipe([Rule("a|b", bits=3)])
    assert again(recipe) == recipe


def test_functions_of_a_float_model_are_left_out():
    model = FloatModel(b"TFL3", (), LayerNames(), "x", lambda samples, io_dtype: b"", lambda: None)
    assert again(model) == model
    assert (again(model).public_int8, again(model).trace) == (None, None)


def test_arrays_in_a_tensors_bytes_stay_there():
    tensor = Tensor("w", (3, 4), 0, np.arange(12, dtype=np.float32).tobytes())
    rows = np.moveaxis(tensor.array(), 1, 0)[1:]
    found, array = again((tensor, rows))
    np.testing.assert_array_equal(array, rows)
    assert array.strides == rows.strides
    root: Any = array
    while isinstance(root, np.ndarray):
        root = root.base
    assert root is found.data


def test_repeated_values_are_written_once():
    wide = np.broadcast_to(np.arange(3.0)[:, None], (3, 100_000))
    assert len(bytes_of(wide)) < 1000
    np.testing.assert_array_equal(again(wide), wide)
    assert again(wide).strides == wide.strides


def statistics(covariance: np.ndarray) -> LayerStatistics:
    return LayerStatistics(np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), covariance, 7, np.zeros(1))


@pytest.mark.parametrize("groups", [1, 5])
def test_of_symmetric_moments_one_half_is_written(groups: int):
    half = np.random.default_rng(0).normal(size=(groups, 40, 40))
    moments = half @ half.transpose(0, 2, 1)
    moments += moments.transpose(0, 2, 1).copy()
    assert len(bytes_of(statistics(moments))) < 0.6 * moments.nbytes
    assert again(statistics(moments)).covariance.tobytes() == moments.tobytes()


@pytest.mark.parametrize("place", [(0, 2, 1), (0, 0, 1)])
def test_moments_that_differ_in_a_bit_are_written_whole(place: tuple[int, int, int]):
    moments = np.zeros((1, 3, 3))
    moments[place] = -0.0
    assert again(statistics(moments)).covariance.tobytes() == moments.tobytes()


@dataclass
class Foreign:
    value: int = 0


@pytest.mark.parametrize("value", [Foreign(), lambda: 0, os.system, [test_a_recipe_is_one]])
def test_what_is_of_others_is_not_kept(value: Any):
    with pytest.raises(NotKeptError):
        bytes_of(value)


@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "tfmpq.cli.run", "converters.paths.os"])
def test_a_pickle_cannot_name_functions(name: str):
    module, _, function = name.rpartition(".")
    content = b"c" + module.encode() + b"\n" + function.encode() + b"\n."
    assert pickle.loads(content) is not None
    with pytest.raises(NotKeptError, match=name.rpartition(".")[2]):
        read_pickle(io.BytesIO(content))
