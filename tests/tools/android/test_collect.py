"""The tool that starts the Android app, with a fake `adb` and recorded logs."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.android import collect as android_collect
from tools.android.report import Answer, CollectError, find_answers, markdown, parse_report

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the fake adb is a script")

_FAKE = '''\
#!{python}
"""An adb that answers from files in its own folder and writes down what it was asked."""
import pathlib, re, sys, time

home = pathlib.Path(__file__).parent
words = sys.argv[1:]
with open(home / "asked", "a") as out:
    out.write(repr(words) + "\\n")
if words == ["devices"]:
    print("List of devices attached")
    print((home / "devices").read_text(), end="")
    sys.exit()
words = words[2:]  # -s SERIAL
if words[0] == "shell" and words[1].startswith("pm "):
    print((home / "packages").read_text(), end="")
elif words[0] == "shell":
    token = re.search(r"--es token (\\w+)", words[1])[1]
    print((home / "started").read_text(), end="")
    (home / "token").write_text(token)
elif words[0] == "logcat":
    print("--------- beginning of main", flush=True)
    while not (home / "token").exists():
        time.sleep(0.01)
    time.sleep(0.02)  # until the token is written, not only its file there
    print((home / "log").read_text().replace("TOKEN", (home / "token").read_text()), end="", flush=True)
    if not (home / "ends").exists():
        time.sleep(60)
elif words[0] == "exec-out":
    path = re.fullmatch(r"cat (\\S+)", words[1])[1]
    print((home / path.rpartition("/")[2]).read_text().replace("TOKEN", (home / "token").read_text()), end="")
elif words[0] == "push" and (home / "full").exists():
    sys.exit("adb: error: No space left on device")
'''

_RUN = {
    "path": "net_stock.tflite",
    "bytes": 104816,
    "runtime": "tflite 2.21.0",
    "threads": 1,
    "delegate": "xnnpack",
    "count": 50,
    "p50_ms": 2.0,
    "p90_ms": 2.25,
    "init_ms": 3.5,
    "delegated_ops": 25,
    "ops": 26,
    "error": None,
    "model": "net_stock",
    "network": "net",
    "scheme": "stock int8",
    "engine": "javacpp",
    "host_accuracy": 97.5,
    "accuracy": 97.3,
    "expected_output": True,
}
_FAST = _RUN | {"model": "net_auto", "scheme": "", "p50_ms": 1.6, "host_accuracy": None, "expected_output": None}
_FAILED = {"model": "net_float", "engine": "javacpp", "error": "cannot | prepare", "threads": 1, "delegate": "xnnpack"}


def report(*runs: dict[str, Any], token: str = "TOKEN") -> str:
    device = {"cpu": "SoC", "cores": 8, "model": "Phone 1", "os": "Android 15", "runtime": "tflite 2.21.0"}
    answer = {"token": token, "device": device, "noise": {"warnings": ["battery low"]}, "runs": list(runs)}
    return json.dumps(answer, separators=(",", ":"))


@pytest.fixture
def adb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Folder of an adb with one device, the app on it, and an app that answers at once."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "adb"
    program.write_text(_FAKE.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / "devices").write_text("serial1\tdevice\n\n")
    (folder / "packages").write_text("package:org.tfmpq.demo\n")
    (folder / "started").write_text("Starting: Intent { cmp=org.tfmpq.demo/.ui.MainActivity (has extras) }\n")
    (folder / "log").write_text(f"PROGRESS TOKEN 1/1 net\nRESULT {report(_RUN)}\n")
    monkeypatch.setenv("PATH", str(folder))
    catalogue = {"models": [{"id": "net_auto", "host_accuracy": 98.25, "scheme": "auto", "network": "net"}]}
    (tmp_path / "catalogue.json").write_text(json.dumps(catalogue))
    return folder


def collect(adb: Path, *options: str) -> int:
    return android_collect.main([f"--catalogue={adb.parent / 'catalogue.json'}", *options])


def asked(adb: Path) -> str:
    return (adb / "asked").read_text()


def failure(adb: Path, capsys: pytest.CaptureFixture[str], *options: str) -> str:
    assert collect(adb, *options) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("android_collect: ")
    assert printed.err.count("\n") == 1
    return printed.err


def test_a_run_is_started_and_becomes_a_table(adb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (adb / "log").write_text(
        f"RESULT {report(token='old')}\nPROGRESS TOKEN 1/3 x\nRESULT {report(_RUN, _FAST, _FAILED)}\n"
    )
    options = ["--models=net_stock,net_auto", "--threads=1", "--runs=7", "--accuracy=false"]
    assert collect(adb, *options, f"--json={tmp_path / 'out.json'}") == 0
    printed = capsys.readouterr()
    assert printed.err == "1/3 x\n"
    lines = printed.out.splitlines()
    assert lines[0] == "Phone 1, SoC, 8 cores, Android 15, tflite 2.21.0"
    assert lines[4] == (
        "| net_stock | javacpp | 1 | xnnpack | 104.8 | 3.50 | 2.000 | 2.250 | - | 1.00 | 97.3 | 97.5 | 25/26 | yes |"
    )
    # The catalogue knows the accuracy of the second one, the first is the stock file of its network.
    assert "| 1.600 | 2.250 | - | 1.25 | 97.3 | 98.2 | 25/26 | - |" in lines[5]
    assert lines[6].startswith("| net_float | javacpp | 1 | xnnpack | - | - |")
    assert lines[8:] == ["* net_float, javacpp: cannot \\| prepare", "* battery low"]
    start = next(line for line in asked(adb).splitlines() if "am start" in line)
    assert "am start -n org.tfmpq.demo/.ui.MainActivity --ez autorun true --es token " in start
    assert "--es models net_stock,net_auto --es threads 1 --es runs 7 --es accuracy false" in start
    assert "engine" not in start
    assert json.loads((tmp_path / "out.json").read_text())["runs"][1]["host_accuracy"] == 98.25


def test_words_reach_the_device_as_they_are(adb: Path):
    assert collect(adb, "--models=a;reboot $(x)") == 0
    assert "--es models '\\'a;reboot $(x)\\''" in asked(adb).replace('"', "'") or "'a;reboot $(x)'" in asked(adb)


def test_long_results_come_as_a_file(adb: Path, capsys: pytest.CaptureFixture[str]):
    (adb / "log").write_text("RESULT_FILE /sdcard/Android/data/org.tfmpq.demo/files/results/r.json TOKEN\n")
    (adb / "r.json").write_text(report(_RUN))
    assert collect(adb) == 0
    assert "| net_stock |" in capsys.readouterr().out


def test_models_are_pushed_first(adb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "catalogue.json").write_text("{}")
    assert collect(adb, f"--push={folder}") == 0
    push, start = (asked(adb).index(word) for word in ("'push'", "am start"))
    assert push < start
    assert f"'{folder}/.', '/sdcard/Android/data/org.tfmpq.demo/files/models/'" in asked(adb)
    (adb / "full").touch()
    capsys.readouterr()
    assert "No space left on device" in failure(adb, capsys, f"--push={folder}")


@pytest.mark.parametrize(
    ("devices", "options", "reason"),
    [
        ("", [], "there is no device: connect one"),
        ("b\tdevice\na\tdevice\n", [], "there are 2 devices, a, b: choose one with --serial"),
        ("a\tunauthorized\n", [], "device 'a' is unauthorized: confirm"),
        ("a\toffline\n", [], "device 'a' is offline"),
        ("a\tdevice\n", ["--serial=z"], "device 'z' is not connected"),
    ],
)
def test_devices_that_cannot_be_used(
    adb: Path, capsys: pytest.CaptureFixture[str], devices: str, options: list[str], reason: str
):
    (adb / "devices").write_text(devices)
    assert reason in failure(adb, capsys, *options)


def test_one_of_several_devices_can_be_chosen(adb: Path):
    (adb / "devices").write_text("b\tdevice\na\tdevice\n")
    assert collect(adb, "--serial=b") == 0
    assert "['-s', 'b', 'logcat'" in asked(adb)


def test_without_adb(adb: Path, capsys: pytest.CaptureFixture[str]):
    (adb / "adb").unlink()
    assert "there is no `adb`: install" in failure(adb, capsys)


def test_without_the_app(adb: Path, capsys: pytest.CaptureFixture[str]):
    (adb / "packages").write_text("package:org.tfmpq.demo.other\n")
    assert "the app is not installed: adb install" in failure(adb, capsys)


def test_an_app_that_does_not_start(adb: Path, capsys: pytest.CaptureFixture[str]):
    (adb / "started").write_text("Starting: Intent\nError type 3\nError: Activity class does not exist.\n")
    assert "does not start: Starting: Intent Error type 3 Error: Activity class" in failure(adb, capsys)


@pytest.mark.parametrize(
    ("log", "reason"),
    [
        ("ERROR TOKEN there is no model 'z'\n", "the app refuses: there is no model 'z'"),
        (
            "FATAL EXCEPTION: main\nProcess: org.tfmpq.demo, PID: 12\njava.lang.X: y\n",
            "the app crashed: java.lang.X: y",
        ),
        ('RESULT {"token":"TOKEN","device":{},"ru\n', "is no JSON"),
        ('RESULT {"token":"TOKEN"}\n', "lacks 'device' or 'runs'"),
    ],
)
def test_answers_that_are_no_results(adb: Path, capsys: pytest.CaptureFixture[str], log: str, reason: str):
    (adb / "log").write_text(log)
    assert reason in failure(adb, capsys)


def test_an_app_that_says_nothing(adb: Path, capsys: pytest.CaptureFixture[str]):
    (adb / "log").write_text(f"RESULT {report(_RUN, token='another')}\nERROR another no\nnoise\n")
    assert "did not answer within 0.3 s" in failure(adb, capsys, "--timeout=0.3")
    (adb / "ends").touch()
    assert "the log ended" in failure(adb, capsys)


# ---------------------------------------------------------------- recorded logs


_THREADTIME = """\
--------- beginning of main
11-21 10:00:00.000  1234  1250 I tfmpq-demo: PROGRESS t1 1/2 net, javacpp
11-21 10:00:01.000  1234  1250 I other: RESULT of something else
11-21 10:00:02.000  1234  1250 I tfmpq-demo: RESULT {report}
11-21 10:00:03.000  1234  1250 I tfmpq-demo: PROGRESS t2 1/2 net, javacpp
"""


def test_a_recorded_log_is_read(adb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    path = tmp_path / "log.txt"
    path.write_text(_THREADTIME.format(report=report(_RUN)))
    assert collect(adb, f"--log={path}") == 0
    assert "| net_stock |" in capsys.readouterr().out
    assert not (adb / "asked").exists()
    path.write_text("11-21 10:00:00.000  1  2 E tfmpq-demo: ERROR t no model\n")
    assert "the last answer" in failure(adb, capsys, f"--log={path}")
    path.write_text("nothing\n")
    assert "holds no line of the app" in failure(adb, capsys, f"--log={path}")
    assert "cannot be read" in failure(adb, capsys, f"--log={tmp_path / 'none'}")


def test_answers_are_found_in_every_format_of_logcat():
    brief = "I/tfmpq-demo( 1234): PROGRESS t 1/2 a b"
    raw = "PROGRESS t 1/2 a b"
    long = "11-21 10:00:00.000  1234  1250 I tfmpq-demo: PROGRESS t 1/2 a b\r\n"
    for line in (brief, raw, long):
        assert list(find_answers([line], "t")) == [Answer("PROGRESS", "1/2 a b")]
        assert list(find_answers([line], "u")) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "lacks 'device'"),
        ('{"device":{},"runs":[3]}', "lacks its 'model'"),
        ('{"device":{},"runs":[{"model":"a","engine":"b","p50_ms":"2"}]}', "p50_ms '2', which is no number"),
        ('{"device":{},"runs":[{"model":"a","engine":"b","bytes":true}]}', "bytes True"),
    ],
)
def test_reports_of_other_versions_are_refused(text: str, reason: str):
    with pytest.raises(CollectError, match=reason):
        parse_report(text)


def test_a_table_of_nothing_but_failures():
    assert markdown(parse_report(report(_FAILED))).endswith("cannot \\| prepare\n* battery low\n")
