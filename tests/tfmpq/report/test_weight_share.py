"""The share of weights that ended below 8 bits."""

from __future__ import annotations

from tests.support.reports import make
from tfmpq.report.weight_share import Holder, WeightShare

SHARE = WeightShare(
    22_300_000,
    20_761_300,
    (Holder("tokens", 1_000_000, "float"), *(Holder(f"layer{i}", 100_000, "int8") for i in range(5))),
)


def test_the_text_names_what_holds_the_rest():
    assert str(SHARE) == ("93.1 % of 22.3 M; int8: 2.2 % (layer0, layer1, layer2 and 2 more); float: 4.5 % (tokens)")


def test_a_model_without_large_weights_has_no_share():
    assert WeightShare(0, 0, ()).share == 0.0
    assert "weights below 8 bits" not in str(make(weights=WeightShare(0, 0, ())))


def test_reports_say_it():
    report = make(weights=SHARE)
    assert "weights below 8 bits  93.1 % of 22.3 M" in " ".join(str(report).split(" ")).replace("\n", " ")
    assert report.to_dict()["weights"]["below"] == 20_761_300
