"""Files without names and with borrowed scales: the same outputs, validated, with loops and several signatures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tfmpq
from converters.errors import OptionError, ValidationError
from converters.lowering.stripping import with_names
from converters.tflite.graph import Quantization
from converters.tflite.reader import load
from converters.tflite.record import METADATA_NAME, unpack_record
from converters.tflite.writer import save
from tests.support import loops
from tests.support.keras_nets import separable
from tests.support.op_models import KERNELS, run_kernels
from tests.support.whole_files import WIDTH, run_entry, two_entries
from tfmpq.analysis.inspection import inspect
from tfmpq.emit.lean import Lean, check_lean
from tfmpq.emit.validation import parse_emitted

RNG = np.random.default_rng(5)
IMAGES = RNG.uniform(-1, 1, (16, 8, 8, 3)).astype(np.float32)
FEEDS = [RNG.integers(-128, 128, (1, 8, 8, 3)).astype(np.int8) for _ in range(3)]
FOUR_BITS = tfmpq.Recipe([tfmpq.Rule(".*", bits=4)])


def prepared(lowering: str) -> Any:
    return tfmpq.prepare(separable(), IMAGES, lowering=lowering, recipe=FOUR_BITS, progress=False)


@pytest.fixture(scope="module")
def split() -> Any:
    return prepared("split")


def assert_same_outputs(first: bytes, second: bytes) -> None:
    for kernels in KERNELS:
        for feed in FEEDS:
            (before,), (after,) = (run_kernels(content, kernels, [feed]) for content in (first, second))
            np.testing.assert_array_equal(before, after)


def test_smaller_files_with_the_same_outputs_that_are_validated(split: Any, tmp_path: Path):
    whole = split.finish()
    sizes = [len(whole.tflite_model)]
    for options in ({"bias_scales": "shared"}, {"names": "strip"}, {"names": "strip", "bias_scales": "shared"}):
        result = split.finish(**options)
        assert result.report.validation.kernels == ("xnnpack", "builtin", "reference")
        assert result.report.validation.ops_checked == whole.report.validation.ops_checked > 0
        assert result.report.file.bytes == len(result.tflite_model)
        assert any("CPU kernels" in note for note in result.report.notes) == ("bias_scales" in options)
        assert_same_outputs(whole.tflite_model, result.tflite_model)
        sizes.append(len(result.tflite_model))
    assert sizes[3] < min(sizes[1:3])
    assert max(sizes[1:3]) < sizes[0]
    result = split.finish(names="strip")
    assert with_names(result.tflite_model, result.names) == whole.tflite_model
    result.save(tmp_path / "net.tflite")
    whole.save(tmp_path / "whole.tflite")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.names.json", "net.tflite", "whole.tflite"]
    assert inspect(tmp_path / "net.tflite").weights == inspect(tmp_path / "whole.tflite").weights


def test_budgets_in_bytes_are_those_of_the_file_that_is_written(split: Any):
    extra = tfmpq.ExtraBits(0.3)
    limit = len(split.finish(budget=extra, names="strip", validate=False).tflite_model)
    assert limit < len(split.finish(budget=extra, validate=False).tflite_model)
    found = split.finish(budget=tfmpq.MaxBytes(limit), names="strip", validate=False)
    assert len(found.tflite_model) <= limit
    assert found.report.file.bytes == len(found.tflite_model)


def test_a_compact_file_is_still_expanded():
    compact = prepared("compact")
    whole, lean = compact.finish(), compact.finish(names="strip", bias_scales="shared")
    before, after = tfmpq.expand(whole.tflite_model), tfmpq.expand(lean.tflite_model)
    assert [op.name for op in load(before).graph.ops] == [op.name for op in load(after).graph.ops]
    assert load(after).graph.ops[0].input(1).name.startswith("0/")
    assert_same_outputs(before, after)


@pytest.mark.parametrize("target", ["openvino", "qnn", "mtk"])
def test_accelerators_read_the_scales_of_biases(target: str):
    with pytest.raises(OptionError, match=f"bias_scales='shared' is impossible on '{target}'"):
        tfmpq.convert(separable(), IMAGES, target=target, bias_scales="shared")


def test_what_differs_from_the_exact_file_is_a_fault(split: Any):
    exact = parse_emitted(split.finish(validate=False).tflite_model)
    kinds = {"DEPTHWISE_CONV_2D", "CONV_2D", "FULLY_CONNECTED"}

    def changed(edit: Any) -> Lean:
        model = load(exact.content)
        edit(next(op for op in model.graph.ops if op.name in kinds))
        return Lean(save(model))

    def weight(op: Any) -> None:
        op.input(1).data = bytes(reversed(op.input(1).data))

    def scale(op: Any) -> None:
        rows = op.input(1).quantization
        op.input(2).quantization = Quantization(rows.scale * 2, rows.zero_point)

    def stride(op: Any) -> None:
        op.options.dilationHFactor = 2

    assert check_lean(Lean(exact.content), exact) is exact
    for edit, message in ((weight, "another one"), (scale, "another one"), (stride, "another operator")):
        with pytest.raises(ValidationError, match=message):
            check_lean(changed(edit), exact)


def test_several_signatures_with_data_of_their_own():
    data = {"prefill": RNG.normal(size=(8, 8, WIDTH)).astype(np.float32)}
    options: Any = {"activations": "float", "recipe": FOUR_BITS, "progress": False}
    whole = tfmpq.convert(two_entries(order=(1, 0)), data, **options)
    lean = tfmpq.convert(two_entries(order=(1, 0)), data, names="strip", **options)
    assert len(lean.tflite_model) < len(whole.tflite_model)
    assert [s.key for s in load(lean.tflite_model).signatures] == [s.key for s in load(whole.tflite_model).signatures]
    for key, length in (("prefill", 8), ("decode", 1)):
        x = RNG.normal(size=(1, length, WIDTH)).astype(np.float32)
        before, after = (run_entry(result.tflite_model, key, x=x) for result in (whole, lean))
        np.testing.assert_array_equal(before, after)
    assert lean.names is not None
    assert with_names(lean.tflite_model, lean.names) == whole.tflite_model


@pytest.mark.slow
def test_loops():
    options: Any = {"io_dtype": "float32", "progress": False}
    whole = tfmpq.convert(loops.loop_net("lstm"), loops.samples(), **options)
    lean = tfmpq.convert(loops.loop_net("lstm"), loops.samples(), names="strip", bias_scales="shared", **options)
    feed = [loops.samples(1)[0]]
    for kernels in ("xnnpack", "builtin"):
        before, after = (run_kernels(result.tflite_model, kernels, feed)[0] for result in (whole, lean))
        np.testing.assert_array_equal(before, after)
    assert lean.names is not None
    record = unpack_record(load(lean.tflite_model).metadata[METADATA_NAME])
    assert set(record) <= {"version", "equalized", "bias_scales", "stripped"}
    assert len(lean.names.tensors) == len(load(whole.tflite_model).graphs) > 1
    assert len(lean.tflite_model) < len(whole.tflite_model)
