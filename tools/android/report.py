"""What the Android app answers: finding it in a log, checking it, and a table of it for the README."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

APPLICATION = "org.tfmpq.demo"
TAG = "tfmpq-demo"

Kind = Literal["RESULT", "RESULT_FILE", "ERROR", "PROGRESS", "CRASH"]
# With or without what logcat puts in front: "11-21 10:00:00.000  1234  1250 I tfmpq-demo: " or "I/tfmpq-demo( 1234): ".
_LINE = re.compile(rf"(?:.*\b{TAG}\s*(?:\(\s*\d+\))?: )?(RESULT|RESULT_FILE|ERROR|PROGRESS) (.*)", re.DOTALL)
_CRASH = re.compile(rf"(?:.*\bAndroidRuntime\s*(?:\(\s*\d+\))?: )?Process: {re.escape(APPLICATION)}, PID: \d+\s*")
_NUMBERS = ("bytes", "threads", "count", "p50_ms", "p90_ms", "init_ms", "accuracy", "host_accuracy")


class CollectError(Exception):
    """No result; the message says why and what to do."""


@dataclass(frozen=True)
class Answer:
    """A line that the app wrote.

    Attributes:
        kind: what it is; ``"CRASH"``: the system says that the app died.
        text: what follows, without the token.
    """

    kind: Kind
    text: str


def find_answers(lines: Iterable[str], token: str | None) -> Iterable[Answer]:
    """The app's answers in a log, in its order.

    Args:
        lines: of logcat, in any of its formats.
        token: word of the request; answers to others are left out. None: all answers.
    """
    crashed = False
    for line in lines:
        if crashed:  # the line after the process names the exception
            yield Answer("CRASH", line.rpartition(": AndroidRuntime: ")[2].strip())
            crashed = False
        if _CRASH.fullmatch(line.rstrip("\n")):
            crashed = True
        elif (found := _LINE.fullmatch(line.rstrip("\r\n"))) is not None:
            kind: Any = found[1]
            text = _without_token(kind, found[2], token)
            if text is not None:
                yield Answer(kind, text)


def _without_token(kind: Kind, text: str, token: str | None) -> str | None:
    """The text of an answer without its token; None if it answers another request."""
    if kind == "RESULT":
        return text if token is None or f'"token":"{token}"' in text[: len(token) + 20] else None
    if kind == "RESULT_FILE":
        path, _, given = text.rpartition(" ")
        return path if token in (None, given) else None
    given, _, rest = text.partition(" ")
    return rest if token in (None, given) else None


def parse_report(text: str) -> dict[str, Any]:
    """The app's report.

    Raises:
        CollectError: It is no JSON, or lacks what the table needs.
    """
    try:
        report = json.loads(text)
    except ValueError as error:
        raise CollectError(
            f"the app's answer is no JSON ({error}): it was cut off, or app and tool are of different versions"
        ) from error
    runs = report.get("runs") if isinstance(report, dict) else None
    if not isinstance(runs, list) or not isinstance(report.get("device"), dict):
        raise CollectError("the app's answer lacks 'device' or 'runs': app and tool are of different versions")
    for run in runs:
        _check_run(run)
    return report


def _check_run(run: Any) -> None:
    if not isinstance(run, dict) or not isinstance(run.get("model"), str) or not isinstance(run.get("engine"), str):
        raise CollectError("a run of the app's answer lacks its 'model' or 'engine'")
    for field in _NUMBERS:
        value = run.get(field)
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise CollectError(f"model '{run['model']}' has the {field} {value!r}, which is no number")


def add_host_accuracy(report: dict[str, Any], catalogue: Mapping[str, Any]) -> None:
    """Fills in from a catalogue what the app did not know: accuracy on the host and the model's scheme."""
    known = {entry["id"]: entry for entry in catalogue.get("models", [])}
    for run in report["runs"]:
        entry = known.get(run["model"], {})
        for field in ("host_accuracy", "scheme", "network"):
            if not run.get(field) and entry.get(field):
                run[field] = entry[field]


def markdown(report: Mapping[str, Any]) -> str:
    """The report as a head and a table, with the failures below."""
    device = report["device"]
    facts = [device.get("model"), device.get("cpu"), f"{device.get('cores') or 'unknown'} cores", device.get("os")]
    lines = [", ".join(str(fact) for fact in (*facts, device.get("runtime"), device.get("time")) if fact), ""]
    header = ["model", "engine", "threads", "delegate", "kB", "init ms", "p50 ms", "p90 ms", "x float", "x stock"]
    header += ["top-1 %", "top-1 % on the host", "delegated", "output as on the host"]
    rows = [_cells(run, report["runs"]) for run in report["runs"]]
    lines += [_row(header), _row(["---", "---", *["---:"] * (len(header) - 2)]), *map(_row, rows)]
    failed = [run for run in report["runs"] if run.get("error")]
    lines += [""] * bool(failed)
    lines += [f"* {run['model']}, {run['engine']}: {_escaped(str(run['error']))}" for run in failed]
    lines += [f"* {_escaped(str(warning))}" for warning in report.get("noise", {}).get("warnings", [])]
    return "\n".join(lines) + "\n"


def _cells(run: Mapping[str, Any], runs: Sequence[Mapping[str, Any]]) -> list[str]:
    expected = run.get("expected_output")
    taken = "-" if run.get("ops") is None else f"{run.get('delegated_ops')}/{run['ops']}"
    return [
        run["model"],
        run["engine"],
        str(run.get("threads", "-")),
        str(run.get("delegate", "-")),
        "-" if run.get("bytes") is None else f"{run['bytes'] / 1000:.1f}",
        _figure(run.get("init_ms"), 2),
        _figure(run.get("p50_ms"), 3),
        _figure(run.get("p90_ms"), 3),
        _figure(_speedup(run, runs, "float"), 2),
        _figure(_speedup(run, runs, "stock int8"), 2),
        _figure(run.get("accuracy"), 1),
        _figure(run.get("host_accuracy"), 1),
        taken,
        "-" if expected is None else "yes" if expected else "no",
    ]


def _speedup(run: Mapping[str, Any], runs: Sequence[Mapping[str, Any]], scheme: str) -> float | None:
    """How many times as fast as the network's file of a scheme with the same engine, threads and delegate."""
    alike = ("network", "engine", "threads", "delegate")
    for other in runs:
        if other.get("scheme") == scheme and all(other.get(field) == run.get(field) for field in alike):
            times = other.get("p50_ms"), run.get("p50_ms")
            return times[0] / times[1] if run.get("network") and times[0] and times[1] else None
    return None


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(_escaped(cell) for cell in cells)} |"


def _escaped(cell: str) -> str:
    return cell.replace("|", "\\|")
