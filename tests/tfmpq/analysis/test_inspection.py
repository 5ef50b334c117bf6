from __future__ import annotations

import contextlib
import json
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.errors import FileFormatError, OptionError
from converters.tflite import graph
from converters.tflite.packing import pack_int4
from converters.tflite.reader import load
from converters.tflite.writer import save
from tests.support import op_models
from tests.support.whole_files import two_entries
from tfmpq.analysis import inspection as inspection_module
from tfmpq.analysis.inspection import inspect

RULES = [{"match": "stem", "bits": 8}]
NOTES = {"version": "9.8.7", "recipe": RULES, "layers": {"stem": [4, "radix", "parallel", 7, 0, 2], "later": 3}}


def with_codes(content: bytes, codes: np.ndarray, *, notes: bytes | None = None) -> bytes:
    """The int8 network with other codes in the 1x1 convolution, as INT4 if they fit."""
    model = load(content)
    weight = model.graph.ops[2].input(1)
    codes = codes.reshape(weight.shape).astype(np.int8)
    if codes.min() >= -8 and codes.max() <= 7:
        weight.data, weight.type = pack_int4(codes), graph.TensorType.INT4
    else:
        weight.data = codes.tobytes()
    if notes is not None:
        model.metadata["tfmpq"] = notes
    return save(model)


def test_one_signature_is_listed_by_itself():
    whole, one = inspect(two_entries()), inspect(two_entries(), signature="decode")
    assert (whole.signatures, whole.signature) == (("prefill", "decode"), None)
    assert (one.signatures, one.signature) == (("prefill", "decode"), "decode")
    assert whole.weights == one.weights * 2  # those of both are the same
    assert [weight.op_name for weight in one.weights] == ["FULLY_CONNECTED"] * 3
    assert one.ops == {"FULLY_CONNECTED": 3, "ADD": 1}
    assert (one.file_bytes, one.weight_bytes) == (len(two_entries()), whole.weight_bytes)
    assert "signatures: 'prefill', 'decode'; listed is what all have" in str(whole)
    assert "signatures: 'prefill', 'decode'; listed is what 'decode' has" in str(one)
    with pytest.raises(OptionError, match=r"signature='train'.*\['prefill', 'decode'\]"):
        inspect(two_entries(), signature="train")


def test_lists_the_weights_of_a_stock_file(conv_net_int8):
    inspection = inspect(conv_net_int8)
    assert [(w.op, w.op_name, w.shape, w.type, w.bytes) for w in inspection.weights] == [
        (0, "CONV_2D", (8, 3, 3, 3), "INT8", 216),
        (1, "DEPTHWISE_CONV_2D", (1, 3, 3, 8), "INT8", 72),
        (2, "CONV_2D", (16, 1, 1, 8), "INT8", 128),
        (4, "FULLY_CONNECTED", (10, 16), "INT8", 160),
    ]
    assert inspection.weight_bytes == 216 + 72 + 128 + 160
    assert inspection.file_bytes == len(conv_net_int8)
    assert 0 < inspection.deflated_bytes < inspection.file_bytes
    assert inspection.ops == {"CONV_2D": 2, "DEPTHWISE_CONV_2D": 1, "MEAN": 1, "FULLY_CONNECTED": 1}
    assert inspection.metadata is None
    # Stock scales put the largest weight of every row on +-127: every row needs all 8 bits.
    assert [w.rows_by_bits for w in inspection.weights] == [{8: 8}, {8: 8}, {8: 16}, {8: 10}]
    model = load(conv_net_int8)
    for weight in inspection.weights:
        quantization = model.graph.ops[weight.op].input(1).quantization
        assert quantization is not None
        scale = quantization.scale
        assert (weight.scales, weight.min_scale, weight.max_scale) == (len(set(scale)), scale.min(), scale.max())


def test_counts_the_bits_each_row_uses(conv_net_int8):
    codes = np.zeros((16, 8), np.int8)
    codes[1:, 3] = [-1, 1, -2, 3, -4, 4, -8, 7, 8, -16, 31, -32, 63, -64, -127]
    weight = inspect(with_codes(conv_net_int8, codes)).weights[2]
    assert (weight.bits, weight.type, weight.bytes) == (8, "INT8", 128)
    assert weight.rows_by_bits == {1: 2, 2: 2, 3: 2, 4: 3, 5: 2, 6: 2, 7: 2, 8: 1}
    small = inspect(with_codes(conv_net_int8, np.clip(codes, -8, 7))).weights[2]
    assert (small.bits, small.type, small.bytes) == (4, "INT4", 64)


def test_float_weights_have_no_bits(conv_net_float):
    weight = inspect(conv_net_float).weights[0]
    assert (weight.type, weight.bits, weight.rows_by_bits, weight.scales, weight.min_scale) == (
        "FLOAT32",
        None,
        {},
        0,
        None,
    )


def test_shared_weights_are_counted_once(conv_net_int8):
    model = load(conv_net_int8)
    model.graph.ops[2].inputs[1] = model.graph.ops[0].input(1)
    inspection = inspect(save(model))
    assert inspection.weights[2].bytes == 216
    assert inspection.weight_bytes == 216 + 72 + 160


def test_what_many_operators_share_is_looked_through_once(monkeypatch: pytest.MonkeyPatch):
    x = op_models.activation("x", (1, 1024), 0.1, 0)
    kernel = op_models.weight("w", "dense", np.ones((64, 1024)), np.full(64, 0.01))
    outputs = [op_models.activation(f"y{i}", (1, 64), 1.0, 0) for i in range(500)]
    content = op_models.file_of([op_models.layer_op("dense", x, kernel, None, y) for y in outputs], [x], outputs)
    looked: list[str] = []
    row_bits = inspection_module._row_bits
    monkeypatch.setattr(inspection_module, "_row_bits", lambda f, t: looked.append(t.name) or row_bits(f, t))
    weights = inspect(content).weights
    assert looked == ["w"]
    assert [(w.op, w.bits, w.rows_by_bits) for w in weights] == [(i, 2, {2: 64}) for i in range(500)]


def test_reads_the_notes_back(conv_net_int8):
    content = with_codes(conv_net_int8, np.ones(128), notes=zlib.compress(json.dumps(NOTES).encode()))
    inspection = inspect(content)
    assert inspection.metadata == NOTES
    assert json.loads(json.dumps(inspection.to_dict()))["metadata"] == NOTES
    text = str(inspection)
    assert "notes by tfmpq 9.8.7" in text
    assert 'recipe: [{"match": "stem", "bits": 8}]' in text
    assert "stem: 4 bits, radix, parallel, points: 7 rows of 1, 2 rows of 3" in text
    assert "later: 3" in text


@pytest.mark.parametrize("notes", [b"not deflated", zlib.compress(b"{"), zlib.compress(b"[1]"), zlib.compress(b"\xff")])
def test_broken_notes_are_an_error(conv_net_int8, notes):
    with pytest.raises(FileFormatError, match=r"the model \(\d+ bytes\): the metadata entry 'tfmpq'"):
        inspect(with_codes(conv_net_int8, np.ones(128), notes=notes))


@settings(max_examples=200, deadline=2000)
@given(st.data())
def test_damage_is_an_error_or_harmless(conv_net_int8, data):
    content = bytearray(with_codes(conv_net_int8, np.ones(128), notes=zlib.compress(json.dumps(NOTES).encode())))
    for position, bit in data.draw(
        st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 7)), max_size=20)
    ):
        content[position] ^= 1 << bit
    with contextlib.suppress(FileFormatError):
        str(inspect(bytes(content)))


def test_needs_numpy_only(run_python, tmp_path: Path, conv_net_int8):
    (tmp_path / "net.tflite").write_bytes(conv_net_int8)
    result = run_python(
        "from tfmpq.analysis.inspection import inspect; print(inspect(sys.argv[1]))",
        tmp_path / "net.tflite",
        blocked=("tensorflow", "keras", "flatbuffers", "absl", "tqdm", "ai_edge_litert", "tflite_runtime"),
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == str(inspect(conv_net_int8))
