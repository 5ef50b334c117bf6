"""Networks that look up embeddings, with float activations: found, rounded, written, reported."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from keras import layers

from converters.layers.kinds import EMBEDDING
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from tests.support.table_nets import looked_up
from tfmpq import ExtraBits, Recipe, Rule, convert

ROWS, COLUMNS, LENGTH = 400, 32, 10
COMMON: dict[str, Any] = {"activations": "float", "progress": False, "validate": False}


def _network(
    *, mask_zero: bool = False, dtype: str = "int32", tied: bool = False, rows: int = ROWS, columns: int = COLUMNS
) -> Any:
    import keras

    keras.utils.set_random_seed(4)
    ids = keras.Input((LENGTH,), dtype=dtype, name="ids")
    table = (
        layers.ReversibleEmbedding(rows, columns, name="token")
        if tied
        else layers.Embedding(rows, columns, name="token", mask_zero=mask_zero)
    )
    x = layers.LayerNormalization(name="norm")(table(ids))
    x = layers.Dense(columns, activation="relu", name="inner")(x)
    if tied:
        return keras.Model(ids, layers.Softmax()(table(x, reverse=True)))
    return keras.Model(ids, layers.Dense(64, name="head")(layers.GlobalAveragePooling1D()(x)))


def _ids(rows: int = ROWS, count: int = 40, dtype: str = "int32") -> np.ndarray:
    """Few tokens are most of a text; which, is nothing that their ids tell."""
    rng = np.random.default_rng(2)
    chances = rng.permutation(1 / np.arange(2, rows + 2))
    return rng.choice(rows, (count, LENGTH), p=chances / chances.sum()).astype(dtype)


def _tables(content: bytes) -> list[Any]:
    return [op.input(1) for op in load(content).graph.ops if op.code == EMBEDDING.code]


@pytest.mark.parametrize("network", [{}, {"mask_zero": True}, {"dtype": "int64"}], ids=["plain", "mask", "int64"])
def test_a_table_is_int4_rows_named_as_its_layer(network: dict[str, Any]):
    data = _ids(dtype=network.get("dtype", "int32"))
    result = convert(_network(**network), data, budget=ExtraBits(0.0), **COMMON)
    (table,) = _tables(result.tflite_model)
    assert (table.name, table.type, table.shape) == ("token/rows", TensorType.INT4, (ROWS, COLUMNS))
    report = next(layer for layer in result.report.layers if layer.name == "token")
    assert report.op == "EMBEDDING_LOOKUP"
    assert report.lowering == "lookup"
    assert report.bytes_after == ROWS * (COLUMNS / 2 + 4)
    assert 15 < report.sqnr_db < 35  # of 4-bit rows
    assert "embedding" in str(result.report)
    # 4-bit rows are about 20 dB; a wrong row would be as large as the right one.
    ids = data[:1]
    before, after = looked_up(result.float_model, ids), looked_up(result.tflite_model, ids)
    assert np.linalg.norm(after - before) < 0.3 * np.linalg.norm(before)


def test_second_points_go_to_rows_in_use_and_the_file_is_the_same_each_time():
    model, data = _network(), _ids()
    options: dict[str, Any] = {**COMMON, "budget": ExtraBits(0.12), "recipe": Recipe([Rule("inner|head", bits=8)])}
    checked: dict[str, Any] = {**options, "validate": True}
    result = convert(model, data, **checked)
    counts = result.plan.layers["token"].counts
    several = np.flatnonzero(counts > 1)
    assert 0 < len(several) < ROWS / 4
    seen = np.bincount(data[:35].reshape(-1), minlength=ROWS)
    assert seen[several].mean() > 3 * seen.mean()
    assert convert(model, data, **options).tflite_model == result.tflite_model


def test_all_points_are_one_int8_table():
    result = convert(_network(), _ids(), budget=ExtraBits(1.0), **COMMON)
    (table,) = _tables(result.tflite_model)
    assert table.type == TensorType.INT8
    assert (result.plan.layers["token"].counts == 2).all()


def test_other_tokens_than_those_of_the_data_are_looked_up_too():
    data = np.full((40, LENGTH), 7, np.int32)  # one row of all
    model = _network()
    result = convert(model, data, budget=ExtraBits(0.12), **COMMON)
    ids = np.arange(LENGTH, dtype=np.int32)[None]
    before, after = looked_up(result.float_model, ids), looked_up(result.tflite_model, ids)
    assert np.linalg.norm(after - before) < 0.4 * np.linalg.norm(before)  # as for 4-bit rows above, with 4-bit layers


def test_a_tied_table_is_in_the_file_once():
    result = convert(_network(tied=True), _ids(), budget=ExtraBits(0.0), **COMMON)
    file = load(result.tflite_model)
    (lookup,) = (op for op in file.graph.ops if op.code == EMBEDDING.code)
    readers = [op.name for op in file.graph.ops if lookup.input(1) in op.inputs]
    assert sorted(readers) == ["EMBEDDING_LOOKUP", "FULLY_CONNECTED"]
    assert lookup.input(1).type == TensorType.INT4
    # Half of the codes, less the bias that makes up for the mean error of each logit.
    assert len(result.tflite_model) < len(result.stock_model) - ROWS * (COLUMNS / 2 - 4) + 500
    report = next(layer for layer in result.report.layers if layer.name == "token")
    assert report.lowering == "tied"
    whole = convert(_network(tied=True), _ids(), budget=ExtraBits(1.0), lowering="compact", **COMMON)
    (table,) = _tables(whole.tflite_model)
    assert table.type == TensorType.INT8
    weight = whole.plan.layers["token"]
    assert (weight.counts == 2).all()


def test_rows_of_odd_length_have_eight_bits_and_the_report_says_why():
    result = convert(_network(columns=129), _ids(), budget=ExtraBits(0.0), **COMMON)
    (table,) = _tables(result.tflite_model)
    assert table.type == TensorType.INT8
    assert any("table 'token': 8 bits instead of 4" in note for note in result.report.notes)


def test_a_rule_keeps_a_table_as_int8():
    result = convert(_network(), _ids(), recipe=Recipe([Rule("token", keep="int8")]), **COMMON)
    (table,) = _tables(result.tflite_model)
    assert table.type == TensorType.INT8
    assert table.name != "token/rows"


def test_a_batch_that_is_open_stays_open():
    from ai_edge_litert.interpreter import Interpreter

    data = _ids()
    result = convert(_network(), data, batch_size=None, budget=ExtraBits(0.1), **COMMON)
    interpreter = Interpreter(model_content=result.tflite_model)
    index = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(index, (3, LENGTH))
    interpreter.allocate_tensors()
    interpreter.set_tensor(index, data[:3])
    interpreter.invoke()
    together = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
    alone = [looked_up(result.tflite_model, data[i : i + 1])[0] for i in range(3)]
    # The kernels round each sample's rows by themselves: float sums in another order are all that differs.
    np.testing.assert_allclose(together, np.stack(alone), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("columns", "bits"), [(16, 4), (31, 4), (32, 8)])
def test_rows_too_short_for_scales_of_their_own_stay_as_stock_has_them(columns: int, bits: int):
    options: dict[str, Any] = {**COMMON, "validate": True, "bits": bits, "sensitivity": "energy"}
    result = convert(_network(columns=columns, rows=3000), _ids(rows=3000), **options)
    assert _tables(result.tflite_model) == []
    assert any("one scale for all" in skipped.reason for skipped in result.report.skipped)
    # Biases that make up for the mean error are no longer all zeros, which stand in a file once.
    assert len(result.tflite_model) < 1.02 * len(result.stock_model)
    assert {layer.name for layer in result.report.layers} <= {"inner", "head"}


def test_short_rows_that_a_dense_layer_multiplies_with_too_are_one_table():
    result = convert(_network(columns=16, tied=True), _ids(), **COMMON)
    (table,) = _tables(result.tflite_model)
    assert table.name == "token/rows"
