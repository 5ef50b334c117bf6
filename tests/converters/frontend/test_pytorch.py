"""A PyTorch model through litert-torch itself, where that is installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tfmpq
from converters.tflite.reader import load

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # what PyTorch warns of is not ours


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
