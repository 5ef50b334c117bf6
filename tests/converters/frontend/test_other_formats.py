"""Who brings another framework's model is told the way."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from converters.errors import ModelError
from converters.frontend.load import load_model


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("net.pt", r"net\.pt' is a PyTorch model.*litert_torch\.convert\(model\.eval\(\), \(sample,\)\)"),
        ("net.PTH", r"PyTorch model.*pip install litert-torch"),
        ("net.onnx", r"ONNX model.*onnx2tf -i model\.onnx"),
        ("net.safetensors", "weights without a model"),
        ("frozen.pb", r"frozen TensorFlow graph.*SavedModel"),
    ],
)
def test_files_by_name(name: str, message: str, tmp_path: Path):
    path = tmp_path / name
    path.write_bytes(b"\x08\x07\x12\x07pytorch")
    with pytest.raises(ModelError, match=message):
        load_model(path)


@pytest.mark.parametrize("name", ["net.pt", "checkpoint"])
def test_pytorch_archives(name: str, tmp_path: Path):
    path = tmp_path / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/data.pkl", b"")
    with pytest.raises(ModelError, match="PyTorch model"):
        load_model(path)


@pytest.mark.parametrize(
    ("module", "message"),
    [("torch.nn.modules.container", "PyTorch model.*litert-torch"), ("onnx.onnx_ml_pb2", "onnx2tf")],
)
def test_objects(module: str, message: str):
    base = type("Module", (), {"__module__": module})
    net = type("Net", (base,), {})()
    with pytest.raises(ModelError, match=message):
        load_model(net)
