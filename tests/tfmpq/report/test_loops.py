"""Reports of networks with loops."""

from __future__ import annotations

from dataclasses import replace

import pytest

from converters.layers.layer import Skipped
from tests.support.reports import LAYER, make
from tfmpq.report.loops import with_loops
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.report.weight_share import Holder, WeightShare

LEFT = Skipped("table", "GATHER", "small")
INSIDE = replace(LAYER, name="recurrent/MatMul", shape=(128, 96), rows=128)
NET = make(skipped=(LEFT,), weights=WeightShare(100, 60, (Holder("table", 40, "int8"),)), notes=("whole",))
BODY = make(
    layers=(INSIDE,),
    extra_bits=0.2,
    skipped=(LEFT, Skipped("gate", "MUL", "no weights")),
    weights=WeightShare(300, 200, (Holder("big", 100, "float"),), merged=50),
    notes=("slow",),
    images=384,
    unspent="nothing gains",
    proxies=Proxies(8, False, 0, ("next_0", "next_1"), Closeness(0, (38.0, 35.0)), Closeness(0, (40.0, 31.25))),
)


def test_without_loops_nothing_changes():
    assert with_loops(NET, {}) is NET


def test_layers_weights_and_what_stays_are_of_all():
    report = with_loops(NET, {"recurrent": BODY})
    assert [layer.name for layer in report.layers] == ["recurrent/MatMul", "block/conv"]
    assert report.skipped == (LEFT, BODY.skipped[1])  # each once
    assert report.weights == WeightShare(
        400, 260, (Holder("big", 100, "float"), Holder("table", 40, "int8")), merged=50
    )
    assert (report.file, report.stock, report.proxies) == (NET.file, NET.stock, NET.proxies)


def test_extra_bits_are_of_all_rows_below_eight_bits():
    # Bytes of one-point rows: 128 x 96 / 2 and 64 x 288 / 2, and a scale of 4 bytes for each.
    inside, outside = 128 * 96 / 2 + 4 * 128, 64 * 288 / 2 + 4 * 64
    expected = (0.2 * inside + 0.0499 * outside) / (inside + outside)
    assert with_loops(NET, {"recurrent": BODY}).extra_bits == pytest.approx(expected)
    eight = replace(BODY, layers=(replace(INSIDE, bits=8),), extra_bits=None)
    assert with_loops(NET, {"recurrent": eight}).extra_bits == pytest.approx(NET.extra_bits)


def test_notes_name_the_loop():
    text = str(with_loops(NET, {"recurrent": BODY}))
    words = " ".join(text.split())
    for part in (
        "loop 'recurrent': one step was converted as a network of its own, on 384 steps, 1.01 x stock's time; "
        "its states come out with 31.2 dB or more (stock's: 35.0)",
        "loop 'recurrent': nothing gains",
        "loop 'recurrent': slow",
    ):
        assert part in words
    assert with_loops(NET, {"recurrent": BODY}).notes[0] == "whole"
