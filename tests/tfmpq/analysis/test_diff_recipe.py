from __future__ import annotations

import pytest

from converters.layers.counterparts import Counterparts
from converters.tflite.graph import Graph, Model
from converters.tflite.record import METADATA_NAME, pack_record
from tfmpq.analysis.diff_recipe import is_scaled, layer_bits


@pytest.mark.parametrize(
    "layers",
    [{"a": []}, {"a": 4}, {"a": [None]}, {"a": [[4]]}, {"a": [-3]}, {"a": [10**30]}, {"a": ["4"]}, [4], "a", None],
)
def test_notes_of_any_kind_are_no_error(layers: object):
    model = Model([Graph([], [], [])], [], {METADATA_NAME: pack_record({"layers": layers})})
    assert layer_bits(model, Counterparts((), (), (), frozenset())) == {}


@pytest.mark.parametrize(("record", "scaled"), [({"equalized": True}, True), ({}, False), (None, False), ([], False)])
def test_files_say_whether_channels_are_scaled(record: object, scaled: bool):
    model = Model([Graph([], [], [])], [], {} if record is None else {METADATA_NAME: pack_record(record)})  # pyright: ignore
    assert is_scaled(model) == scaled
