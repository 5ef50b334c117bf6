"""What Model Explorer reads: its public format, and the names of the tensors that operators write."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from converters.lowering.stripping import strip_names
from converters.runtime.delegation import Coverage
from converters.tflite.reader import load
from tests.support.reports import LAYER, make
from tfmpq.plan.layer_plan import Plan
from tfmpq.report.node_data import node_data_paths
from tfmpq.report.operators import operators_of
from tfmpq.result import ConversionResult

# Reads the file with Model Explorer's own adapter, and the data into its own classes.
REAL = """
import json, sys
from model_explorer.builtin_tflite_flatbuffer_adapter import BuiltinTfliteFlatbufferAdapter
from model_explorer.node_data_builder import GraphNodeData, NodeDataResult

(collection,) = BuiltinTfliteFlatbufferAdapter().convert(sys.argv[1], {})["graphCollections"]
nodes = collection.graphs[0]["nodes"]
attributes = [a for node in nodes for output in node["outputsMetadata"] for a in output["attrs"]]
names = {a["value"] for a in attributes if a["key"] == "tensor_name"}
for path in sys.argv[2:]:
    content = json.load(open(path))
    data = GraphNodeData(**{**content, "results": {k: NodeDataResult(**v) for k, v in content["results"].items()}})
    assert json.loads(data.to_json_string())["results"] == content["results"]
    assert data.results and set(data.results) <= names, set(data.results) - names
"""


@pytest.fixture
def result(conv_net_int8: bytes) -> ConversionResult:
    """Of a file whose dense layer was written, and whose last operator the delegate leaves."""
    model = load(conv_net_int8)
    layer = replace(LAYER, name="classifier", lowering="split")
    written = {model.graph.ops[-1].outputs[0].name: "classifier"}
    count = len(model.graph.ops)
    operators = operators_of(model, Coverage(count - 1, count, 1, ((count - 1, "X"),)), written)
    report = make(layers=(layer,), operators=operators)
    return ConversionResult(conv_net_int8, Plan({}), report, b"", b"", b"")


def test_the_format_and_the_names(result: ConversionResult, tmp_path: Path):
    paths = node_data_paths(tmp_path / "net.json")
    assert [path.name for path in paths] == ["net.json", "net.form.json", "net.delegate.json"]
    result.save_model_explorer(tmp_path / "net.json")
    error, form, delegate = (json.loads(path.read_text()) for path in paths)
    outputs = [op.outputs[0].name for op in load(result.tflite_model).graph.ops]
    assert error["results"] == {outputs[-1]: {"value": 36.0}}  # percent
    assert [stop["stop"] for stop in error["gradient"]] == [0, 1]
    assert form["results"][outputs[-1]]["value"] == "4 bits, split"
    assert {name: entry["value"] for name, entry in delegate["results"].items()} == {
        **dict.fromkeys(outputs[:-1], "XNNPACK"),
        outputs[-1]: "built-in kernels",
    }
    for data in (error, form, delegate):
        assert isinstance(data["name"], str)
        assert {key for entry in data["results"].values() for key in entry} <= {"value", "bgColor", "textColor"}


def test_keys_are_the_names_that_the_file_has(result: ConversionResult, tmp_path: Path):
    stripped, names = strip_names(result.tflite_model)
    replace(result, tflite_model=stripped, names=names).save_model_explorer(tmp_path / "net.json")
    found = json.loads((tmp_path / "net.delegate.json").read_text())
    outputs = [op.outputs[0].name for op in load(stripped).graph.ops]
    assert list(found["results"]) == outputs
    assert outputs[0].isdigit()


@pytest.mark.skipif(importlib.util.find_spec("model_explorer") is None, reason="needs ai-edge-model-explorer")
def test_model_explorer_itself_reads_it(result: ConversionResult, tmp_path: Path):
    (tmp_path / "net.tflite").write_bytes(result.tflite_model)
    result.save_model_explorer(tmp_path / "net.json")
    arguments = map(str, (tmp_path / "net.tflite", *node_data_paths(tmp_path / "net.json")))
    done = subprocess.run([sys.executable, "-c", REAL, *arguments], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
