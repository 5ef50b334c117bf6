"""Targets that nobody measured: what they take, whose times they borrow, and tables that are malformed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from converters.errors import FileFormatError
from converters.targets import dense_work, gather_work, load_target, target_names
from converters.targets.files import MEASURED

STATED = sorted(set(target_names()) - set(MEASURED))
TABLE = Path(load_target.__code__.co_filename).parent / "qnn.json"


def test_which_there_are():
    assert STATED == ["mtk", "openvino", "qnn"]
    assert all(load_target(name).stated is None for name in MEASURED)


@pytest.mark.parametrize(
    ("name", "int4"), [("mtk", set()), ("openvino", {"FULLY_CONNECTED"}), ("qnn", {"CONV_2D", "FULLY_CONNECTED"})]
)
def test_what_they_keep_at_4_bits(name: str, int4: set[str]):
    target = load_target(name)
    operators = ("CONV_2D", "DEPTHWISE_CONV_2D", "TRANSPOSE_CONV", "FULLY_CONNECTED")
    assert {op for op in operators if target.supports(op, "INT4")} == int4
    assert all(target.supports(op, "INT8") for op in operators)


def test_times_are_anothers_and_say_so():
    """INT4 is never the lender's: XNNPACK's INT4 convolutions are slow, and its dense layers fast."""
    lender, target = load_target("xnnpack"), load_target("qnn")
    assert target.stated is not None
    assert (target.name, target.stated.times) == ("qnn", "xnnpack")
    for as_conv in (False, True):
        int8, int4 = (
            dense_work(positions=49, columns=64, rows=96, weights=weights, as_conv=as_conv)
            for weights in ("INT8", "INT4")
        )
        assert target.microseconds(int8) == lender.microseconds(int8)
        assert target.microseconds(int4) == pytest.approx(target.microseconds(int8))
        assert target.microseconds(int4) != lender.microseconds(int4)
    slow = load_target("openvino")
    int8, int4 = (dense_work(positions=49, columns=64, rows=96, weights=weights) for weights in ("INT8", "INT4"))
    assert slow.microseconds(int4) > 1.3 * slow.microseconds(int8)
    assert slow.microseconds(dense_work(positions=49, columns=64, rows=96, weights="INT4", as_conv=True)) == np.inf


def test_what_they_refuse():
    gather, int4 = gather_work(positions=1, channels=8), dense_work(positions=4, columns=8, rows=8, weights="INT4")
    unknown = dense_work(positions=1, columns=8, rows=8, weights="INT8")
    refused = {name: [load_target(name).refuses(work) for work in (gather, int4, unknown)] for name in target_names()}
    assert refused["mtk"] == [True, True, False]
    assert refused["qnn"] == refused["openvino"] == refused["xnnpack"] == [False, False, False]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: t.update(times="qnn"), "times of 'qnn' cannot be borrowed, only those of xnnpack or builtin"),
        (lambda t: t.pop("source"), "'source' is missing"),
        (lambda t: t.pop("takes"), "'takes' is missing"),
        (lambda t: t.update(refuses="GATHER"), "'refuses' is no list of operators"),
        (lambda t: t.update(refuses=["ADD"]), "ADD is both taken and refused"),
        (lambda t: t["takes"].pop(0), "it takes no int8 CONV_2D"),
        (lambda t: t["takes"][4].pop("times_int8"), "'times_int8' is missing"),
        (lambda t: t["takes"][4].update(times_int8=0), "CONV_2D' has times_int8 0"),
        (lambda t: t["takes"][0].update(activation="FLOAT32"), "has activations 'FLOAT32'"),
        (lambda t: t["takes"][0].update(weights=""), "must have weights INT8 or INT4, or none"),
        (lambda t: t["takes"][0].update(weights=[]), "must have weights INT8 or INT4, or none"),
    ],
)
def test_malformed_tables(damage: Callable[[dict[str, Any]], object], message: str, tmp_path: Path):
    table = json.loads(TABLE.read_text())
    damage(table)
    path = tmp_path / "stated.json"
    path.write_text(json.dumps(table))
    with pytest.raises(FileFormatError, match=rf"stated\.json' is no cost table: .*{message}"):
        load_target(path)
