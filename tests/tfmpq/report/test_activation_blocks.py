from __future__ import annotations

import json
import math

from tests.support.reports import LAYER, loss, make, widest
from tfmpq.activations.subject import Mended
from tfmpq.report.proxies import Closeness, Proxies


def between(text: str, first: str, last: str) -> list[str]:
    lines = text.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith(first))
    return lines[start : next(i for i in range(start, len(lines)) if lines[i].startswith(last))]


def test_what_activations_lose_stands_apart_from_what_points_lose():
    stock, file, alone = Closeness(5, (18.0,)), Closeness(6, (20.0,)), Closeness(7, (30.5,))
    lines = between(str(make(proxies=Proxies(8, True, 8, ("y",), stock, file, alone))), "what loses it", "predicted")
    assert lines[:2] == [
        "what loses it         float -> activations 7 -> points 6; stock int8: 5 of 8 predictions",
        "                      SQNR: float -> activations 30.5 dB -> points 20.0 dB; stock int8: 18.0 dB",
    ]
    stock, file, alone = (Closeness(None, (18.0, math.inf), cosine) for cosine in (0.9, 0.98, 0.995))
    text = str(make(proxies=Proxies(8, True, None, ("boxes", "scores"), stock, file, alone)))
    assert "SQNR of scores: float -> activations exact -> points exact; stock int8: exact" in text
    assert "cosine: float -> activations 0.9950 -> points 0.9800; stock int8: 0.9000" in text
    assert "what loses it" not in str(make())


def test_the_worst_activations_are_listed_with_the_weights_of_their_layers():
    poor = [loss(f"layer_{i}", 5.0 + i, "equalize") for i in range(12)]
    losses = (*poor, loss(LAYER.name, 4.25, "range", range=(-1.5, 2.0)), loss("fine", 25.0, "none"))
    report = make(losses=losses)
    lines = between(str(report), "activations that int8 holds worst:", "size ")
    assert len([line for line in lines if "ADD" in line]) == 8
    assert " ".join(lines[2].split()) == "block/conv ADD 4.2 40.0 27.1 - Rule(..., range=(-1.5, 2.0))"
    assert " ".join(lines[3].split()) == "layer_0 ADD 5.0 40.0 - - Rule(..., equalize='auto')"
    assert "and 5 more below 25 dB" in "".join(lines)
    content = json.loads(report.to_json())
    assert len(content["losses"]) == 14
    assert content["losses"][12]["range"] == [-1.5, 2.0]
    assert "int8 holds" not in str(make(losses=(loss("fine", 25.0, "none"),)))
    assert widest(str(make(losses=(loss("x" * 300, 3, "equalize"),)))) <= 120


def test_what_was_done_is_counted_and_the_best_are_named():
    groups = [Mended("equalized", f"group_{i}", f"{i + 2} layers", 20.0, 20.0 + i) for i in range(8)]
    mask = Mended("mask", "scores", "-1e9 became -40")
    report = make(mended=(*groups, mask))
    lines = between(str(report), "done for activations", "predicted")
    assert " ".join(" ".join(lines).split()).startswith(
        "done for activations equalized: group_7 (20.0 -> 27.0 dB, 9 layers); group_6 (20.0 -> 26.0 dB, 8 layers); "
        "group_5 (20.0 -> 25.0 dB, 7 layers); and 5 more places, +2.0 dB on average mask: scores (-1e9 became -40)"
    )
    assert report.to_dict()["mended"][0] == {
        "kind": "equalized", "where": "group_0", "why": "2 layers", "before_db": 20.0, "after_db": 20.0,
    }  # fmt: skip
    assert len(report.to_dict()["mended"]) == 9
    assert "done for activations" not in str(make())


def test_codes_of_lstms_have_lines_of_their_own():
    codes = [Mended("codes", f"lstm_{i}", "chosen", 40.0, 45.0 + i) for i in range(2)]
    text = " ".join(str(make(mended=(*codes, Mended("mask", "scores", "-1e9 became -40")))).split())
    assert (
        "done for activations mask: scores (-1e9 became -40) codes of LSTMs lstm_1 (40.0 -> 46.0 dB, chosen); " in text
    )
    assert "done for activations" not in str(make(mended=codes))
    assert "codes of LSTMs" not in str(make())
