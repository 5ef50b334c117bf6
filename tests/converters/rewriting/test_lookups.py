"""Tables are read by EMBEDDING_LOOKUP, and give the same rows."""

from __future__ import annotations

import numpy as np
import pytest

from converters.rewriting.lookups import with_lookups
from converters.tflite.graph import BuiltinOperator, Model, Tensor, TensorType
from converters.tflite.new_ops import make_op
from converters.tflite.writer import save
from tests.support.table_nets import COLUMNS, ROWS, float_table, gather_model, looked_up, some_ids


def _names(model: Model) -> list[str]:
    return [op.name for op in model.graph.ops]


@pytest.mark.parametrize("type_", [TensorType.INT32, TensorType.INT64])
@pytest.mark.parametrize("shape", [(7,), (1, 7), (1, 2, 3), (1,)])
def test_rows_are_the_same(shape: tuple[int, ...], type_: int):
    model = gather_model(float_table(), shape, type_=type_)
    new = with_lookups(model)
    assert _names(model) == ["GATHER"]  # it is not changed
    assert "EMBEDDING_LOOKUP" in _names(new)
    assert "GATHER" not in _names(new)
    ids = some_ids(model, ROWS)
    np.testing.assert_array_equal(looked_up(save(new), ids), looked_up(save(model), ids))


def test_a_vector_of_ids_needs_no_reshape():
    assert _names(with_lookups(gather_model(float_table(), (7,)))) == ["EMBEDDING_LOOKUP"]
    assert _names(with_lookups(gather_model(float_table()))) == ["RESHAPE", "EMBEDDING_LOOKUP", "RESHAPE"]


def test_one_open_size_stays_open():
    from ai_edge_litert.interpreter import Interpreter

    model = gather_model(float_table(), (1, 7), open_sizes=(1,))
    content = save(with_lookups(model))
    table = float_table()
    for length in (3, 9):
        interpreter = Interpreter(model_content=content)
        index = interpreter.get_input_details()[0]["index"]
        interpreter.resize_tensor_input(index, (1, length))
        interpreter.allocate_tensors()
        ids = np.arange(length, dtype=np.int32)[None]
        interpreter.set_tensor(index, ids)
        interpreter.invoke()
        found = interpreter.get_tensor(interpreter.get_output_details()[0]["index"])
        np.testing.assert_array_equal(found, table[ids])


@pytest.mark.parametrize(
    "model",
    [
        gather_model(float_table(rows=63, columns=16)),  # 1,008 numbers
        gather_model(float_table(), axis=1),
        gather_model(float_table(), (2, 7), open_sizes=(0, 1)),
    ],
    ids=["small", "other axis", "two open sizes"],
)
def test_others_stay(model: Model):
    assert with_lookups(model) is model


def test_ids_that_the_file_holds_stay():
    model = gather_model(float_table())
    model.graph.ops[0].input(1).data = np.arange(7, dtype=np.int32).tobytes()
    assert with_lookups(model) is model


def test_only_rows_that_are_wanted_are_read_so():
    model = gather_model(float_table(), (7,))
    assert with_lookups(model, wanted=lambda columns: columns > COLUMNS) is model
    assert _names(with_lookups(model, wanted=lambda columns: columns == COLUMNS)) == ["EMBEDDING_LOOKUP"]


def test_tables_that_are_multiplied_with_are_read_so_in_any_case():
    model = gather_model(float_table(), (7,))
    table, rows = model.graph.ops[0].input(0), model.graph.outputs[0]
    scores = Tensor("scores", (7, ROWS), TensorType.FLOAT32)
    options = {"fusedActivationFunction": 0, "weightsFormat": 0, "keepNumDims": False}
    product = make_op(
        BuiltinOperator.FULLY_CONNECTED, [rows, table, None], [scores], 1, "FullyConnectedOptions", **options
    )
    model.graph.ops.append(product)
    assert _names(with_lookups(model, wanted=lambda _: False)) == ["EMBEDDING_LOOKUP", "FULLY_CONNECTED"]
