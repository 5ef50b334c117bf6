"""A gate's judgements as JUnit XML, which CI systems show: one test case for each limit.

The format is that of Apache Ant's ``junit`` task as Jenkins, GitLab and GitHub's reporters read it: ``testsuites``,
``testsuite`` with ``properties``, ``testcase`` with ``failure``, ``error`` or ``skipped``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree

from converters.printable import printable
from tfmpq.gate.judge import Judgement
from tfmpq.gate.many import SweepCheck
from tfmpq.gate.result import CheckResult
from tfmpq.version import __version__

_COUNTS = ("tests", "failures", "errors", "skipped")


def to_junit(result: CheckResult | SweepCheck, *, seconds: float, allow_untold: bool = False) -> bytes:
    """The result as a file, one suite of tests for each file that was checked.

    Args:
        result: of :func:`tfmpq.gate.check.check`, or of many files.
        seconds: that it took.
        allow_untold: limits that cannot be told are skipped tests, not failures.
    """
    if isinstance(result, CheckResult):
        return _document([_suite_of(result, result.file.path, allow_untold)], seconds)
    suites = []
    for row in result.rows:
        if row.result is None:
            suites.append(_errored(row.label, result.against, ["file"], row.error))
        else:
            suites.append(_suite_of(row.result, row.label, allow_untold))
    return _document(suites, seconds)


def _suite_of(result: CheckResult, title: str, allow_untold: bool) -> ElementTree.Element:
    cases = []
    for judgement in result.judgements:
        case = ElementTree.Element("testcase", name=judgement.limit)
        if judgement.verdict == "failed":
            _add(case, "failure", judgement.message, judgement.verdict, _figures(judgement))
        elif judgement.verdict == "cannot be told":
            message = f"{judgement.verdict}: {judgement.message}"
            _add(case, "skipped" if allow_untold else "failure", message, judgement.verdict, _figures(judgement))
        else:
            ElementTree.SubElement(case, "system-out").text = _figures(judgement)
        cases.append(case)
    properties = {"runtime": result.runtime, "kernels": result.kernels, "threads": result.threads}
    properties |= {"metric": result.metric, "seed": result.seed, "samples": result.measured.samples}
    for name, file in (("file", result.file), ("against", result.against)):
        properties |= {name: file.path, f"{name}.bytes": file.bytes, f"{name}.sha256": file.sha256}
    return _suite(title, cases, properties)


def errored_junit(file: str, against: str, limits: Sequence[str], message: str, *, seconds: float) -> bytes:
    """A file for work that failed before there was anything to judge: each limit has this error."""
    return _document([_errored(file, against, limits, message)], seconds)


def _errored(file: str, against: str, limits: Sequence[str], message: str) -> ElementTree.Element:
    cases = []
    for limit in limits:
        case = ElementTree.Element("testcase", name=limit)
        _add(case, "error", message, "error", message)
        cases.append(case)
    return _suite(file, cases, {"file": file, "against": against})


def is_junit(start: bytes) -> bool:
    """Whether a file that starts so was written here."""
    return re.match(rb"<\?xml [^>]*>\s*<testsuites name=\"tfmpq check ", start) is not None


def _suite(file: str, cases: Sequence[ElementTree.Element], properties: Mapping[str, object]) -> ElementTree.Element:
    name = printable(f"tfmpq check {os.path.basename(file)}")
    totals = {"name": name, "tests": str(len(cases))}
    for attribute, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        totals[attribute] = str(sum(case.find(kind) is not None for case in cases))
    for case in cases:
        case.set("classname", name)
    suite = ElementTree.Element("testsuite", totals)
    listed = ElementTree.SubElement(suite, "properties")
    for key, value in {"tfmpq": __version__, **properties}.items():
        if value is not None:
            ElementTree.SubElement(listed, "property", name=key, value=printable(str(value)))
    suite.extend(cases)
    return suite


def _document(suites: Sequence[ElementTree.Element], seconds: float) -> bytes:
    """Suites with their sums; the time is that of all, which stands where there is one suite at that too."""
    name = suites[0].get("name", "") if len(suites) == 1 else f"tfmpq check {len(suites)} files"
    totals = {"name": name, **{key: str(sum(int(s.get(key, "0")) for s in suites)) for key in _COUNTS}}
    root = ElementTree.Element("testsuites", totals | {"time": f"{seconds:.3f}"})
    if len(suites) == 1:
        suites[0].set("time", f"{seconds:.3f}")
    root.extend(suites)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _add(case: ElementTree.Element, kind: str, message: str, verdict: str, text: str) -> None:
    """XML has no control characters, not even escaped ones: they are written as Python writes them."""
    attributes = {"message": printable(message)} | ({} if kind == "skipped" else {"type": verdict})
    ElementTree.SubElement(case, kind, attributes).text = printable(text)


def _figures(judgement: Judgement) -> str:
    if judgement.measured is None:
        return f"allowed {judgement.allowed:.10g}, nothing measured"
    text = f"allowed {judgement.allowed:.10g}, measured {judgement.measured:.10g}"
    if not judgement.method:
        return text
    return f"{text}, 95 % interval {judgement.low:.10g} to {judgement.high:.10g} ({judgement.method})"
