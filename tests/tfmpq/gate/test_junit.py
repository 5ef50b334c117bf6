"""JUnit XML, read back."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import pytest

import tfmpq
from tfmpq.gate.judge import judge
from tfmpq.gate.junit import errored_junit, to_junit
from tfmpq.gate.limits import Limits
from tfmpq.gate.measured import Measured
from tfmpq.gate.result import CheckedFile, CheckResult

MEASURED = Measured(bytes=600, base_bytes=1000, samples=100, lost=2, gained=2, agreeing=80)
LIMITS = Limits(max_drop=0.5, min_agreement=0.95, max_bytes=1000)
RESULT = CheckResult(
    file=CheckedFile("models/net.tflite", 600, "ab" * 32),
    against=CheckedFile("old.tflite", 1000, "cd" * 32),
    judgements=judge(MEASURED, LIMITS),
    measured=MEASURED,
    metric="top1",
    kernels="xnnpack",
    threads=1,
    runtime="runtime 1.0",
    seed=0,
)


def suite_of(content: bytes) -> ElementTree.Element:
    root = ElementTree.fromstring(content)
    (suite,) = root
    assert (root.tag, suite.tag) == ("testsuites", "testsuite")
    totals = {kind: str(len(suite.findall(f"testcase/{kind}"))) for kind in ("failure", "error", "skipped")}
    counts = {"tests": str(len(suite.findall("testcase"))), "failures": totals["failure"]}
    counts |= {"errors": totals["error"], "skipped": totals["skipped"]}
    for element in (root, suite):
        assert {key: element.get(key) for key in counts} == counts
    return suite


def test_a_case_for_each_limit():
    suite = suite_of(to_junit(RESULT, seconds=1.25))
    assert suite.get("time") == "1.250"
    untold, failed, held = suite.findall("testcase")
    assert [case.get("name") for case in (untold, failed, held)] == ["max_drop", "min_agreement", "max_bytes"]
    assert {case.get("classname") for case in (untold, failed, held)} == {"tfmpq check net.tflite"}
    failure = untold.find("failure")
    assert failure is not None
    assert str(failure.get("message")).startswith("cannot be told: 100 samples are too few, about ")
    failure = failed.find("failure")
    assert failure is not None
    assert (failure.get("type"), failure.get("message")) == ("failed", "0.8 is below the limit of 0.95")
    assert "allowed 0.95, measured 0.8, 95 % interval 0.7" in str(failure.text)
    assert held.find("failure") is None
    properties = {entry.get("name"): entry.get("value") for entry in suite.findall("properties/property")}
    assert properties["tfmpq"] == tfmpq.__version__
    assert properties["runtime"] == "runtime 1.0"
    assert (properties["file"], properties["against.sha256"]) == ("models/net.tflite", "cd" * 32)


def test_what_cannot_be_told_may_be_skipped():
    suite = suite_of(to_junit(RESULT, seconds=0, allow_untold=True))
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")


@pytest.mark.parametrize("name", ["a\"b<&>'.tflite", "]]>.tflite", "\x1b[31m\0\n.tflite", "\udc80\uffff\ufffe.tflite"])
def test_hostile_names(name):
    result = replace(RESULT, file=replace(RESULT.file, path=f"dir/{name}"))
    for content in (
        to_junit(result, seconds=0),
        errored_junit(f"dir/{name}", "base", ("max_drop",), f"file '{name}' is broken", seconds=0),
    ):
        suite = suite_of(content)
        assert all(c.isprintable() for element in suite.iter() for c in "".join(element.attrib.values()))
    error = suite.find("testcase/error")
    assert error is not None
    assert str(error.get("message")).endswith("is broken")
