"""What turns ids into rows, and what there is no reference for."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters.errors import ValidationError
from converters.reference.id_ops import run_id_op
from converters.tflite.graph import BuiltinOperator, Op, Quantization, Tensor, TensorType

IDS = np.array([2, 0, 2, 3], np.int32)


def _gather(axis: int = 0, batch_dims: int = 0) -> Op:
    places = np.array([5, 6, 7, 8], np.int16)
    table = Tensor("map", places.shape, TensorType.INT16, places.tobytes())
    source, result = Tensor("ids", (4,), TensorType.INT32), Tensor("y", (4,), TensorType.INT16)
    options = schema.GatherOptionsT(axis=axis, batchDims=batch_dims)
    return Op(BuiltinOperator.GATHER, [table, source], [result], 4, schema.BuiltinOptions.GatherOptions, options)


def test_maps_and_what_is_made_of_their_entries():
    (found,) = run_id_op(_gather(), [None, IDS])
    np.testing.assert_array_equal(found, np.array([7, 5, 7, 8], np.int16), strict=True)
    source, result = Tensor("x", (4,), TensorType.INT16), Tensor("y", (4,), TensorType.INT32)
    (wide,) = run_id_op(Op(BuiltinOperator.CAST, [source], [result]), [found])
    np.testing.assert_array_equal(wide, np.array([7, 5, 7, 8], np.int32), strict=True)
    most = Tensor("last", (1,), TensorType.INT32, np.array([2], np.int32).tobytes())
    (least,) = run_id_op(Op(BuiltinOperator.MINIMUM, [source, most], [result]), [IDS, None])
    np.testing.assert_array_equal(least, [2, 0, 2, 2])


@pytest.mark.parametrize("beyond", [-1, 4])
def test_ids_beyond_the_map_are_refused(beyond: int):
    with pytest.raises(ValidationError, match="of 4"):
        run_id_op(_gather(), [None, np.array([0, beyond], np.int32)])


def test_others_have_no_reference():
    scaled = _gather()
    scaled.outputs[0].quantization = Quantization(np.ones(1, np.float32), np.zeros(1, np.int64))
    unknown = Op(BuiltinOperator.MAXIMUM, [], [Tensor("y", (4,), TensorType.INT32)])
    for op in (scaled, unknown, _gather(axis=1), _gather(batch_dims=1)):
        with pytest.raises(NotImplementedError):
            run_id_op(op, [None, IDS][: len(op.inputs)])
