"""The files that the Android app's expand code is tested with say what `tfmpq.expand` makes of them today."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import tfmpq
from converters.tflite.graph import TensorType
from converters.tflite.reader import load
from tools.android.make_expand_fixtures import FOLDER, fixtures


def test_the_index_says_what_expand_makes_of_each_file():
    index = json.loads((FOLDER / "index.json").read_text())
    assert list(index) == [name for name, _ in fixtures()]
    assert {path.stem for path in FOLDER.glob("*.tflite")} == set(index)
    for name, expected in index.items():
        content = (FOLDER / f"{name}.tflite").read_bytes()
        expanded = tfmpq.expand(content)
        found = hashlib.sha256(expanded).hexdigest()
        assert (len(expanded), found, expanded != content) == tuple(expected[k] for k in ("bytes", "sha256", "changed"))


def test_all_files_have_something_to_expand_but_the_fused_one():
    index = json.loads((FOLDER / "index.json").read_text())
    assert [name for name, entry in index.items() if not entry["changed"]] == ["convolutions_fused"]


def test_every_op_of_a_lowering_occurs():
    seen: Counter[str] = Counter()
    for path in FOLDER.glob("*.tflite"):
        seen += Counter(op.name for op in load(path.read_bytes()).graph.ops)
    lowered = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "ADD", "CONCATENATION"}
    assert lowered | {"GATHER", "SLICE"} <= set(seen)


def test_every_way_to_store_points_beside_float_activations_occurs():
    found: set[str] = set()
    for path in FOLDER.glob("float_*.tflite"):
        model = load(path.read_bytes())
        found |= {"graphs"} if len(model.graphs) > 1 else set()
        for op in (op for graph in model.graphs for op in graph.ops if op.outputs[0].type == TensorType.FLOAT32):
            int4 = any(t is not None and t.type == TensorType.INT4 for t in op.inputs)
            found.add(f"{op.name} INT4" if int4 else op.name)
    stored = {f"{name} INT4" for name in ("CONV_2D", "FULLY_CONNECTED", "EMBEDDING_LOOKUP")}
    assert stored | {"ADD", "CONCATENATION", "graphs"} <= found
    tensors = load((FOLDER / "float_encoder.tflite").read_bytes()).graph.tensors()
    assert any(tensor.name.endswith("/rows1/map") for tensor in tensors)  # from ids to rows with a second point
    tied = load((FOLDER / "float_tied.tflite").read_bytes()).graph
    tables = {op.name: op.input(1) for op in tied.ops if op.name in ("EMBEDDING_LOOKUP", "FULLY_CONNECTED")}
    assert tables["EMBEDDING_LOOKUP"] is tables["FULLY_CONNECTED"]  # the last one
