from __future__ import annotations

import dataclasses
import math
import re

import pytest

from converters.layers.layer import Skipped
from converters.runtime.delegation import Coverage
from tests.support.reports import LAYER, figures, make, widest
from tfmpq.plan.layer_plan import Fallback
from tfmpq.recipe.rules import Rule
from tfmpq.report.layer_report import LayerReport
from tfmpq.report.output_channels import OutputChannels
from tfmpq.report.proxies import Closeness, Proxies
from tfmpq.report.suggestion import Suggestion
from tfmpq.suspicion.suspicion import Suspicion

LONG = "model/" + "a_very_long_block_name/" * 5 + "block_{}/depthwise_separable_convolution_number_one"
ODD = 'odd "name" [1] + 2\\3 #4 (é) end'


def named(name: str) -> LayerReport:
    return dataclasses.replace(LAYER, name=name)


def rules_in(text: str) -> list[Rule]:
    """The suggested rules, read back as the Python they are."""
    lines = text.splitlines()
    first = next(i for i, line in enumerate(lines) if "add to the recipe" in line) + 1
    code = "\n".join(lines[first : lines.index("", first)])
    return eval(f"[{code}\n]", {"Rule": Rule})


def test_the_figures_are_there():
    text = str(make())
    row = next(line for line in text.splitlines() if line.startswith("block/conv"))
    assert " ".join(row.split()) == "block/conv conv 64x3x3x32 4 1:60 2:4 parallel 19,200 20,400 27.1 36.0 %"
    for part in (
        "750 bytes = 75.0 % of stock int8 (1,000), 18.8 % of float (4,000)",
        "400 bytes = 50.0 % of stock int8 (800)",
        "4.99 %",
        "4; stock int8: 2 (ADD +1, CONV_2D +1)",
        "2.5 M = 125.0 % of stock int8",
        "6 of 8 (41-93 %) predictions; stock int8: 7 of 8 (53-98 %)",
        "20.0 dB; stock int8: 30.0 dB",
        "3.2 s: statistics 1.2, points 2.0",
        "algorithm: radix",
    ):
        assert part in text


def test_warnings_come_first_and_doubtful_data_qualify_what_is_measured_on_them():
    wrong = Suspicion("data", "constant inputs", "All samples are the same.")
    lost = Suspicion("activations", "masked values", "One tensor is lost.")
    text = str(make(warnings=(wrong, lost)))
    assert text.startswith(
        "warning               All samples are the same.\nwarning               One tensor is lost.\n"
    )
    assert re.search(r"6 of 8 \(.*\) predictions; stock int8: 7 of 8 \(.*\); on doubtful data", text)
    assert "these data are doubtful" in " ".join(text.split())
    assert make(warnings=(wrong,)).to_dict()["warnings"] == [
        {"about": "data", "sign": "constant inputs", "text": "All samples are the same."}
    ]
    for right in (str(make(warnings=(lost,))), str(make())):
        assert "doubtful" not in right
    assert "warning" not in str(make())


def test_algorithms_that_differ_get_a_column():
    text = str(make(layers=(LAYER, dataclasses.replace(LAYER, name="other", algorithm="greedy"))))
    assert re.search(r"^other .* greedy ", text, re.MULTILINE)
    assert "algorithm: " not in text


def test_layers_whose_moments_are_in_blocks_are_named():
    wide = [
        dataclasses.replace(LAYER, name=name, shape=(10, 25088), rows=10, moment_blocks=blocks)
        for name, blocks in (("fc1", 14), ("fc2", 14), ("fc3", 1), ("kept", None))
    ]
    text = str(make(layers=tuple(wide)))
    assert re.search(r"^input moments +fc1, fc2: 14 blocks of 1,792 columns, not one of 25,088$", text, re.MULTILINE)
    assert "input moments" not in str(make(layers=tuple(wide[2:])))
    assert [layer["moment_blocks"] for layer in make(layers=tuple(wide)).to_dict()["layers"]] == [14, 14, 1, None]


def test_coverage_is_judged_by_stock():
    left = Coverage(2, 4, 2, ((1, "CONCATENATION"), (3, "SOFTMAX")))
    text = str(make(file=figures(coverage=left), stock=figures(coverage=Coverage(1, 2, 1, ((1, "SOFTMAX"),)))))
    line = " ".join(text[text.index("XNNPACK") :].split("\n\n")[0].split())
    assert "2 of 4 operators in 2 partitions; stock int8: 1 of 2 operators in 1 partition;" in line
    assert "left to slower kernels: 1 CONCATENATION; left in stock int8 too: 1 SOFTMAX" in line


def test_names_that_only_differ_in_the_middle_stay_apart():
    layers = tuple(named(f"network/stage_{i}_of_the_encoder_{'x' * 60}/separable_convolution") for i in range(12))
    text = str(make(layers=layers))
    assert widest(text) <= 120
    for layer in layers:
        assert layer.name in text
    distinct = tuple(named(f"{'x' * 90}/conv_{i}") for i in range(12))
    table = str(make(layers=distinct)).split("\n\n")[0].splitlines()
    assert len(table) == 12 + 3  # header, legend, algorithm: no name needs a line of its own
    assert all("..." in line and f"/conv_{i} " in line for i, line in enumerate(table[1:13]))


@pytest.mark.parametrize("name", ["block_3/project", "a.b*c:dense", LONG.format(3), "x" * 400, ODD, "." * 60])
def test_suggested_rules_are_code_that_matches_just_their_layer(name):
    rule = Rule(f"^{re.escape(name)}$", bits=8)
    text = str(make(layers=(named(name),), suggestions=(Suggestion(name, rule, 0.234, 12_345),)))
    assert widest(text) <= 120
    assert rules_in(text) == [rule]
    assert rule.matches(name)
    assert "# 23 % of the error, +12.3 kB" in text


def test_a_rule_can_save_bytes():
    def line(growth: int) -> str:
        rule = Rule("^a$", bits=8)
        return next(
            x for x in str(make(suggestions=(Suggestion("a", rule, 0.5, growth),))).splitlines() if "Rule(" in x
        )

    assert line(-2_000_000) == '    Rule(match=r"^a$", bits=8),  # 50 % of the error, -2.0 MB'
    assert line(0).endswith("same file size")
    assert line(999).endswith("+999 B")


def test_long_texts_are_wrapped_and_equal_reasons_joined():
    text = str(
        make(
            layers=(named(LONG.format(1)), named(LONG.format(2))),
            fallbacks=tuple(Fallback(LONG.format(i), "parallel", "one int8 op", "why " * 40) for i in range(3)),
            skipped=(Skipped("gru_1", "WHILE", "no form"), Skipped("gru_2", "WHILE", "no form")),
            notes=("word " * 60, "second"),
            proxies=Proxies(
                2,
                True,
                None,
                tuple(f"{i}{'n' * 150}" for i in range(20)),
                Closeness(None, (9.5,) * 20),
                Closeness(None, (9.5,) * 20),
            ),
            seconds={f"stage number {i}": 1.0 for i in range(20)},
        )
    )
    assert widest(text) <= 120
    assert "gru_1, gru_2: WHILE: no form" in text
    assert text.count("one int8 op instead of parallel") == 1
    assert "and 12 further outputs" in text
    assert "predictions" not in text


def test_calibration_and_lowerings():
    text = str(make())
    assert "calibration           100 samples" in text
    assert "predicted cost        as written  750 B, 1.01 x stock's time" in text
    assert "parallel    ~812 B, 1.25 x stock's time" in text
    assert "calibration           200 images x 4 views" in str(make(images=200, views=4))
    assert "predicted cost" not in str(make(lowering_costs=()))


def test_an_unspent_budget_is_explained_in_one_line():
    text = str(make(unspent="23% of it unspent: max_latency_ratio=1.07 would spend it"))
    assert "budget                23% of it unspent: max_latency_ratio=1.07 would spend it" in text
    assert "\nbudget " not in str(make())


def test_channels_that_an_outputs_figure_hides():
    def line(half: float | None, whole: float = 57.9) -> str:
        channels = (OutputChannels(24, 0, 24, half),)
        proxies = Proxies(8, True, None, ("y",), Closeness(None, (50.0,)), Closeness(None, (whole,)), None, channels)
        return next(x for x in str(make(proxies=proxies)).splitlines() if x.startswith("output SQNR"))

    assert line(3.21).endswith("57.9 dB; stock int8: 50.0 dB; half of its channels have less than 3.2 dB")
    assert line(-math.inf).endswith("half of its channels are lost: below 0.0 dB")
    for nothing in (line(None), line(20.0), line(12.0, whole=21.0)):
        assert nothing.endswith("stock int8: 50.0 dB")


def test_embeddings_have_a_cosine_and_no_agreement():
    near, nearer = Closeness(None, (20.0,), 0.99), Closeness(None, (30.0,), 0.9995)
    text = str(make(proxies=Proxies(8, True, None, ("output_0",), nearer, near)))
    assert "0.9900; stock int8: 0.9995" in text
    assert "agrees" not in text
