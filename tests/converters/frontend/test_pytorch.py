"""PyTorch models: a file that litert-torch 0.10 wrote (of random weights), and the package where it is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfmpq
from converters.tflite.reader import load

WRITTEN = Path(__file__).with_name("from_pytorch_nchw.tflite")


def test_a_file_of_litert_torch_converts_and_is_delegated_whole():
    content = WRITTEN.read_bytes()
    assert "keep_stablehlo_constant" in load(content).metadata  # TensorFlow's calibrator leaves such files in float
    shape = load(content).graph.inputs[0].shape
    data = np.random.default_rng(0).normal(size=(40, *shape[1:])).astype(np.float32)
    report = tfmpq.convert(content, data, progress=False).report
    assert report.file.bytes < 0.6 * report.stock.bytes
    assert report.proxies is not None
    # Of random weights and noise; 4-bit rows make stock's error no larger than by half.
    assert report.proxies.file.sqnr_db[0] > report.proxies.stock.sqnr_db[0] - 3
    assert len(report.layers) == 12
    assert report.file.coverage.left == ()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # what PyTorch warns of is not ours
def test_a_module_converts_under_the_names_of_its_parts(tmp_path: Path):
    torch = pytest.importorskip("torch")
    litert_torch = pytest.importorskip("litert_torch")
    torch.manual_seed(0)
    nn = torch.nn
    stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU())
    net = nn.Sequential(stem, nn.Conv2d(16, 64, 1), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))
    path = tmp_path / "net.tflite"
    litert_torch.convert(net.eval(), (torch.randn(1, 3, 24, 24),)).export(str(path))
    assert "keep_stablehlo_constant" in load(path.read_bytes()).metadata  # what this test is about
    images = np.random.default_rng(0).normal(size=(40, 3, 24, 24)).astype(np.float32)
    result = tfmpq.convert(path, images, progress=False)
    assert [layer.name for layer in result.report.layers] == ["0.0", "1", "5"]


def test_float_activations_keep_such_a_file_as_it_is():
    content = WRITTEN.read_bytes()
    shape = load(content).graph.inputs[0].shape
    data = np.random.default_rng(0).normal(size=(20, *shape[1:])).astype(np.float32)
    result = tfmpq.convert(content, data, activations="float", sensitivity="energy", validate=False, progress=False)
    before, after = load(content), load(result.tflite_model)
    assert after.metadata.keys() == {*before.metadata, "tfmpq"}
    assert [s.key for s in after.signatures] == [s.key for s in before.signatures]
    assert [t.shape for t in after.graph.inputs] == [t.shape for t in before.graph.inputs]
    assert result.report.file.bytes < result.report.stock.bytes
    assert result.report.weights is not None
    assert 0 < result.report.weights.share <= 1


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_signatures_of_a_module_share_their_weights(tmp_path: Path):
    torch = pytest.importorskip("torch")
    litert_torch = pytest.importorskip("litert_torch")
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.GELU(), torch.nn.Linear(128, 64)).eval()
    path = tmp_path / "net.tflite"
    sizes = {"prefill": (torch.zeros(1, 16, 64),), "decode": (torch.zeros(1, 1, 64),)}
    edge = litert_torch.signature("prefill", net, sizes["prefill"]).signature("decode", net, sizes["decode"])
    edge.convert().export(str(path))
    data = np.random.default_rng(0).normal(size=(40, 16, 64)).astype(np.float32)
    result = tfmpq.convert(path, data, activations="float", validate=False, progress=False)
    assert {s.key for s in load(result.tflite_model).signatures} == sizes.keys()
    assert any("signature 'decode' has the points of 2 of 2 layers too" in note for note in result.report.notes)
