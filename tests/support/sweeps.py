"""A spec with a small network, and jobs that do what real ones do without converting anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tfmpq.storage import place, placed
from tfmpq.sweep.identity import bytes_digest
from tfmpq.sweep.jobs import ROW

SPEC = """
budgets = ["extra:0", "extra:0.3"]
[models.net]
path = "net.tflite"
data = "calibration.npz"
labelled = "test.npz"
[models.other]
path = "net.tflite"
data = "calibration.npz"
labelled = "test.npz"
"""


def write_spec(folder: Path, model: bytes, images: np.ndarray, text: str = SPEC) -> Path:
    """Writes a spec with the files that it names; returns its path."""
    (folder / "net.tflite").write_bytes(model)
    np.savez(folder / "calibration.npz", images)
    np.savez(folder / "test.npz", x=images, y=np.arange(len(images)) % 10)
    (folder / "spec.toml").write_text(text)
    return folder / "spec.toml"


def made_up(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What a job returns, with a file that says what it would be."""
    named = {"kind": spec["kind"], "key": spec["key"], "model": spec["model"]["name"], "variant": spec.get("variant")}
    about = {"warnings": [], "seconds": 0.25, "host": "here"}
    if spec["kind"] != ROW:
        return {**named, **about}
    content = f"{named['model']} {spec['variant']} {spec['budget']} {spec['key']}".encode()
    with placed(place(spec["output"]) / spec["file"]) as path:
        path.write_bytes(content)
    size = {"bytes": len(content), "stock_bytes": 100, "digest": bytes_digest(content)}
    return {**named, **about, "budget": spec["budget"], "file": spec["file"], **size, "top1": 0.5, "top1_error": 0.01}
