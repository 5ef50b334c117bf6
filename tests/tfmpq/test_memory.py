"""Memory of wide layers: the square of their width is never there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

_COLUMNS, _ROWS = 9216, 512
_SCRIPT = f"""
import json
import numpy as np, keras, tfmpq
from tfmpq.clock import Clock

def memory(key):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) >> 10 for line in lines if line.startswith(key))

def lap(self, stage, plain=Clock.lap):
    plain(self, stage)
    found[stage] = memory("VmHWM") - start[0]
    if stage == "stock run":  # what tfmpq adds to TensorFlow's own work comes now
        start[0] = memory("VmRSS")
    open("/proc/self/clear_refs", "w").write("5")

found, start = {{}}, [memory("VmRSS")]
Clock.lap = lap
source = keras.Input((12, 12, 64))
x = keras.layers.Conv2D(64, 3, padding="same", activation="relu")(source)
x = keras.layers.Dense({_ROWS}, activation="relu")(keras.layers.Flatten()(x))
model = keras.Model(source, keras.layers.Dense(10, activation="softmax")(x))
images = np.cumsum(np.random.default_rng(0).normal(size=(40, 12, 12, 64)), axis=1).astype(np.float32) / 4
result = tfmpq.convert(model, images, progress=False, budget=tfmpq.ExtraBits(0.2), sensitivity="kl")
print(json.dumps([found, len(result.tflite_model)]))
"""


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="peaks can only be reset on Linux")
def test_a_wide_layer_takes_little_more_than_its_weights():
    path = [p for p in sys.path if p]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}\n{_SCRIPT}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found, size = json.loads(done.stdout.splitlines()[-1])
    assert size > _COLUMNS * _ROWS // 2  # the layer is there, with 4 bits a weight
    weights = 4 * _COLUMNS * _ROWS >> 20
    later = {stage: found[stage] for stage in ("statistics", "points", "sensitivity", "allocation", "lowering")}
    # Rows are worked on in parts of 32 MB of float64; a whole moment would take 650 MB, its factors as much each. In
    # MB; 18 of weights.
    assert max(later.values()) < 40 * weights, later
