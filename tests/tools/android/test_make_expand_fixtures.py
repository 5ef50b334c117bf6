"""The files that the Android app's expand code is tested with say what `tfmpq.expand` makes of them today."""

from __future__ import annotations

import hashlib
import json
from collections import Counter

import tfmpq
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


def test_every_op_of_a_lowering_occurs():
    seen: Counter[str] = Counter()
    for path in FOLDER.glob("*.tflite"):
        seen += Counter(op.name for op in load(path.read_bytes()).graph.ops)
    lowered = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "ADD", "CONCATENATION"}
    assert lowered | {"GATHER", "SLICE"} <= set(seen)
