"""Files that stay whole: signatures, the order of graphs, open sizes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.errors import ModelError, OptionError
from converters.frontend.load import load_model
from converters.frontend.open_sizes import OpenSizes
from converters.frontend.origin import as_brought
from converters.frontend.whole_file import Entries, with_shapes
from converters.tflite.graph import BuiltinOperator, Op, Tensor, TensorType
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support.whole_files import UNSTEERED, WIDTH, open_length, run_entry, two_entries

X = np.random.default_rng(0).normal(size=(1, 8, WIDTH)).astype(np.float32)


def whole(content: bytes, *keys: str, front: str = "", sizes: Any = OpenSizes.KEPT) -> Any:
    asked: list[list[str]] = []

    def choose(inputs: Any) -> str:
        asked.append(list(inputs))
        return front

    found = load_model(content, sizes=sizes, entries=Entries(keys or None, choose))
    return found, asked


def test_all_signatures_stay_and_the_chosen_one_comes_first():
    found, asked = whole(two_entries(), front="decode")
    model = load(found.flatbuffer)
    assert asked == [["prefill", "decode"]]
    assert [s.key for s in model.signatures] == ["decode", "prefill"]
    assert [g.name for g in model.graphs] == ["decode", "prefill"]
    assert [spec.shape for spec in found.inputs] == [(1, 1, WIDTH)]
    assert found.origin.chosen == (0, 1)


def test_one_signature_needs_no_choice():
    found, asked = whole(two_entries(), "decode")
    assert asked == []
    assert found.origin.graphs == (1, 0)
    assert found.origin.chosen == (0,)


def test_the_order_is_put_back():
    content = two_entries()
    found, _ = whole(content, "decode")
    back = load(as_brought(found.flatbuffer, found.origin))
    assert [s.key for s in back.signatures] == ["prefill", "decode"]
    assert [g.name for g in back.graphs] == ["prefill", "decode"]
    assert np.array_equal(run_entry(save(back), "prefill", x=X), run_entry(content, "prefill", x=X))


def test_metadata_stay_but_for_the_numbers_of_operators():
    model = load(two_entries())
    model.metadata["model_control_dependencies"] = b"\0"
    found, _ = whole(save(model), "prefill")
    assert list(load(found.flatbuffer).metadata) == [UNSTEERED]


def test_unknown_signatures_are_named():
    with pytest.raises(OptionError, match=r"signature='train'.*\['prefill', 'decode'\]"):
        whole(two_entries(), "train")


def test_open_sizes_stay_open():
    found, _ = whole(open_length())
    assert [spec.shape for spec in found.inputs] == [(1, None, WIDTH)]
    with pytest.raises(ModelError, match="Say which sizes"):
        whole(open_length(), sizes=None)


def test_sizes_that_are_given_are_fixed():
    found, _ = whole(open_length(), sizes=(5, WIDTH))
    assert [spec.shape for spec in found.inputs] == [(1, 5, WIDTH)]


def test_shapes_of_a_sample_stand_in_until_the_end():
    found, _ = whole(open_length())
    sized = with_shapes(found, {"x": X})
    tensors = list(load(sized.flatbuffer).graph.tensors())
    assert {t.shape[1] for t in tensors if t.data is None} == {8}
    assert {t.shape_signature[1] for t in tensors if t.data is None and t.shape_signature} == {-1}
    back = load(as_brought(sized.flatbuffer, sized.origin)).graph
    assert {t.shape[1] for t in back.tensors() if t.data is None} == {1}
    assert np.array_equal(
        run_entry(sized.flatbuffer, "serving_default", x=X), run_entry(open_length(), "serving_default", x=X)
    )


def test_models_of_fixed_sizes_are_left_alone():
    found, _ = whole(two_entries(), "prefill")
    assert with_shapes(found, {"x": X}) is found


def test_sizes_that_do_not_run_are_told():
    found, _ = whole(open_length())
    with pytest.raises(ModelError, match="of the first sample"):
        with_shapes(found, {"x": X[..., :7]})


def test_float16_weights_are_widened_and_stay_shared():
    model = load(two_entries())
    for graph in model.graphs:
        op = graph.ops[0]
        wide = op.input(1)
        half = Tensor(wide.name, wide.shape, TensorType.FLOAT16, wide.array().astype(np.float16).tobytes())
        op.inputs[1] = Tensor("wide", wide.shape, TensorType.FLOAT32)
        graph.ops.insert(0, Op(BuiltinOperator.DEQUANTIZE, [half], [op.inputs[1]]))
    found, _ = whole(save(model), front="prefill")
    first, second = (graph.ops[0].input(1) for graph in load(found.flatbuffer).graphs)
    assert first.type == TensorType.FLOAT32
    assert first.data is second.data
