"""Runs the Android app's benchmark over adb and prints its results as a table.

    python -m tools.android.collect --models all --engine javacpp --threads 1,4 --json phone.json
    python -m tools.android.collect --log logcat.txt       # from a log that was recorded

The app must be installed (android_demo/README.md). ``--push DIR`` first copies the models that
tools/android/make_assets.py wrote to DIR. Accuracy on the host comes from the catalogue.
"""

from __future__ import annotations

import argparse
import json
import queue
import secrets
import shlex
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from tools.android.report import (
    APPLICATION,
    TAG,
    Answer,
    CollectError,
    add_host_accuracy,
    find_answers,
    markdown,
    parse_report,
)

ACTIVITY = f"{APPLICATION}/.ui.MainActivity"
PUSHED = f"/sdcard/Android/data/{APPLICATION}/files/models/"
CATALOGUE = Path(__file__).parents[2] / "android_demo/app/src/main/assets/models/catalogue.json"
_EXTRAS = ("models", "engine", "threads", "xnnpack", "runs", "seconds", "warmup", "cooldown", "seed", "accuracy")


class Adb:
    """One device."""

    def __init__(self, program: str, serial: str) -> None:
        self.command = [program, "-s", serial]

    def run(self, *arguments: str) -> str:
        """Output of an adb command.

        Raises:
            CollectError: It failed.
        """
        done = subprocess.run([*self.command, *arguments], capture_output=True, text=True, errors="replace")
        if done.returncode:
            said = " ".join((done.stderr or done.stdout).split()) or f"exit status {done.returncode}"
            raise CollectError(f"`adb {' '.join(arguments)}` failed: {said}")
        return done.stdout

    def shell(self, *words: str) -> str:
        """Output of a command on the device; every word reaches it as it is."""
        return self.run("shell", " ".join(map(shlex.quote, words)))


def choose_device(serial: str | None) -> Adb:
    """The device asked for, or the only one.

    Raises:
        CollectError: There is no adb, no such device, or a choice to be made.
    """
    program = shutil.which("adb")
    if program is None:
        raise CollectError("there is no `adb`: install Android's platform tools (Debian: apt install adb)")
    done = subprocess.run([program, "devices"], capture_output=True, text=True, errors="replace")
    states = dict(line.split("\t", 1) for line in done.stdout.splitlines() if "\t" in line)
    if serial is None and len(states) > 1:
        raise CollectError(f"there are {len(states)} devices, {', '.join(sorted(states))}: choose one with --serial")
    if serial is None and not states:
        raise CollectError("there is no device: connect one, and allow USB debugging in its developer options")
    chosen = next(iter(states)) if serial is None else serial
    state = states.get(chosen, "not connected").strip()
    if state != "device":
        hint = ": confirm the question on its screen" if state == "unauthorized" else ""
        raise CollectError(f"device '{chosen}' is {state}{hint}")
    return Adb(program, chosen)


def check_installed(adb: Adb) -> None:
    """Raises CollectError unless the app is there."""
    if f"package:{APPLICATION}\n" not in adb.shell("pm", "list", "packages", APPLICATION).replace("\r", ""):
        raise CollectError(f"the app is not installed: adb install -r {APPLICATION}.apk (see android_demo/README.md)")


def collect(adb: Adb, extras: dict[str, str], timeout: float) -> dict[str, Any]:
    """Starts the app and waits for its report.

    Args:
        adb: the device.
        extras: of the intent, by name; the app's defaults stand for what is left out.
        timeout: seconds in which the app must answer.

    Raises:
        CollectError: The app refuses, crashes, or says nothing in time.
    """
    token = secrets.token_hex(4)
    log = [*adb.command, "logcat", "-v", "raw", "-T", "1", "-s", f"{TAG}:I", "AndroidRuntime:E"]
    words = ["am", "start", "-n", ACTIVITY, "--ez", "autorun", "true", "--es", "token", token]
    for name, value in extras.items():
        words += ["--es", name, value]
    with subprocess.Popen(
        log, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace"
    ) as reader:
        try:
            started = adb.shell(*words)
            if "Error" in started:
                raise CollectError(f"the app does not start: {' '.join(started.split())}")
            answer = _wait(find_answers(_lines(reader, timeout), token))
        finally:
            reader.kill()
    text = adb.run("exec-out", f"cat {shlex.quote(answer.text)}") if answer.kind == "RESULT_FILE" else answer.text
    return parse_report(text)


def _lines(reader: subprocess.Popen[str], timeout: float) -> Iterator[str]:
    """Lines of a process until it ends.

    Raises:
        CollectError: The time is over.
    """
    lines: queue.Queue[str | None] = queue.Queue()

    def read() -> None:
        assert reader.stdout is not None
        for line in reader.stdout:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    end = time.monotonic() + timeout
    while True:
        try:
            line = lines.get(timeout=max(0.0, end - time.monotonic()))
        except queue.Empty:
            raise CollectError(
                f"the app did not answer within {timeout:g} s: keep its screen on and unlocked, ask for less, or give "
                "a longer --timeout"
            ) from None
        if line is None:
            return
        yield line


def _wait(answers: Any) -> Answer:
    """The answer that ends a run."""
    for answer in answers:
        if answer.kind == "PROGRESS":
            print(answer.text, file=sys.stderr)
        elif answer.kind == "ERROR":
            raise CollectError(f"the app refuses: {answer.text}")
        elif answer.kind == "CRASH":
            raise CollectError(f"the app crashed: {answer.text}")
        else:
            return answer
    raise CollectError("the log ended before the app answered: was the device disconnected?")


def recorded(path: Path) -> dict[str, Any]:
    """The last report in a recorded log.

    Raises:
        CollectError: There is none.
    """
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        raise CollectError(f"'{path}' cannot be read: {error.strerror}") from error
    answers = list(find_answers(lines, None))
    for answer in reversed(answers):
        if answer.kind == "RESULT":
            return parse_report(answer.text)
        if answer.kind != "PROGRESS":
            where = "in a file of the device" if answer.kind == "RESULT_FILE" else f"an {answer.kind.lower()}"
            raise CollectError(f"the last answer in '{path}' is {where}: {answer.text}")
    raise CollectError(f"'{path}' holds no line of the app: record it with `adb logcat -s {TAG}:I`")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--serial", help="device, as `adb devices` names it")
    parser.add_argument("--models", help="ids, comma-separated, or all (default)")
    parser.add_argument("--engine", help="javacpp (default), interpreter, or all")
    parser.add_argument("--threads", help="numbers, comma-separated; default 1")
    parser.add_argument("--xnnpack", help="true (default), false, or true,false")
    parser.add_argument("--runs", help="timed inferences, at least; default 50")
    parser.add_argument("--seconds", help="of timed inferences, at least; default 1")
    parser.add_argument("--warmup", help="inferences before; default 5")
    parser.add_argument("--cooldown", help="seconds between two models; default 0.5")
    parser.add_argument("--seed", help="of the order and the inputs; default 0")
    parser.add_argument("--accuracy", choices=("true", "false"), help="measure accuracy too (default)")
    parser.add_argument("--push", type=Path, help="folder of models to copy to the device first")
    parser.add_argument("--timeout", type=float, default=600, help="seconds to wait for the app")
    parser.add_argument("--log", type=Path, help="read this recorded log, use no device")
    parser.add_argument("--catalogue", type=Path, help="of the models; default: --push's, or the app's own")
    parser.add_argument("--json", type=Path, help="file for the report")
    return parser


def _catalogue(given: argparse.Namespace) -> dict[str, Any]:
    path = given.catalogue or (given.push / CATALOGUE.name if given.push else CATALOGUE)
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise CollectError(f"the catalogue '{path}' cannot be read: {error}") from error


def main(arguments: Sequence[str] | None = None) -> int:
    """Collects what the command line asks for; returns the exit status."""
    given = _parser().parse_args(arguments)
    try:
        catalogue = _catalogue(given)
        if given.log:
            report = recorded(given.log)
        else:
            adb = choose_device(given.serial)
            check_installed(adb)
            if given.push:
                adb.run("push", f"{given.push}/.", PUSHED)
            extras = {name: value for name in _EXTRAS if (value := getattr(given, name)) is not None}
            report = collect(adb, extras, given.timeout)
        add_host_accuracy(report, catalogue)
    except CollectError as error:
        print(f"android_collect: {error}", file=sys.stderr)
        return 1
    print(markdown(report), end="")
    if given.json:
        given.json.write_text(json.dumps(report, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
