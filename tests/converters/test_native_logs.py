import os
import subprocess
import sys
import threading

import pytest

from converters.native_logs import quiet, without_chatter
from converters.runtime.sessions import child_environment

CHATTER = b"fully_quantize: 0, inference_type: 6, input_inference_type: INT8\n"
ABSL = b"W0000 00:00:1700000000.123456    5352 converter.cc:12] Ignored output_format.\n"


def test_only_known_lines_are_dropped(capfd: pytest.CaptureFixture[str]):
    with quiet():
        print("printed")
        os.write(1, CHATTER + b"written\n")
        os.write(2, ABSL + b"E0000 00:00:17.1  5352 converter.cc:12] an error\n")
    assert capfd.readouterr() == ("printed\nwritten\n", "E0000 00:00:17.1  5352 converter.cc:12] an error\n")
    os.write(2, CHATTER)
    assert capfd.readouterr().err.encode() == CHATTER  # the descriptors are back


def test_everything_is_shown_on_an_error(capfd: pytest.CaptureFixture[str]):
    def fail() -> None:
        with quiet():
            os.write(2, CHATTER + ABSL)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert capfd.readouterr().err.encode() == CHATTER + ABSL


def test_errors_of_the_quantizer_are_handed_on():
    said: list[str] = []

    def fail() -> None:
        nonlocal said
        with quiet() as said:
            os.write(2, CHATTER + b"loc(\"x\"): error: 'op' failed\n<unknown>:0: error: other\nno error: here\n")
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        fail()
    assert said == ["'op' failed (at \"x\")", "other"]


def test_a_second_thread_does_not_interfere(capfd: pytest.CaptureFixture[str]):
    def other() -> None:
        with quiet():
            os.write(1, b"other\n")

    with quiet():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
        os.write(1, CHATTER)
    assert capfd.readouterr().out == "other\n"


def test_closed_descriptors_do_no_harm(monkeypatch: pytest.MonkeyPatch):
    def closed(descriptor: int) -> int:
        raise OSError("Bad file descriptor")

    monkeypatch.setattr(os, "dup", closed)
    with quiet():
        pass
    with pytest.raises(OSError, match="mine"), quiet():
        raise OSError("mine")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize("death", ["faulthandler.enable(); os.abort()", "os.kill(os.getpid(), 9)"])
def test_what_is_held_back_is_shown_when_the_process_dies(death: str):
    script = f"""
import faulthandler, os
from converters.native_logs import quiet
def doomed():
    {death}
with quiet():
    os.write(1, b"out\\n")
    os.write(2, b"F0000 converter.cc: check failed\\n")
    doomed()
"""
    child = subprocess.run([sys.executable, "-c", script], env=child_environment(), capture_output=True, text=True)
    assert child.returncode < 0
    assert child.stdout == "out\n"
    assert "check failed" in child.stderr
    assert ("in doomed" in child.stderr) == ("faulthandler" in death)


NOISE = """
import os, subprocess, sys
from converters.native_logs import quiet, without_chatter
with without_chatter():
    os.write(2, b"I0000 00:00:17.1  5352 port.cc:153] oneDNN is on\\nINFO: Created TensorFlow Lite XNNPACK delegate\\n")
    os.write(2, b"E0000 00:00:17.1  5352 converter.cc:12] an error\\n")
    subprocess.run(["sh", "-c", "echo 'WARNING: All log messages before absl::InitializeLog' >&2; echo child >&2"])
    print("I0000 00:00:17.1 5352 own.py:1] as it is", file=sys.stderr)
    with quiet():
        print("INFO:tensorflow: by Python", file=sys.stderr)
    {last}
print("after", file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell")
@pytest.mark.parametrize(("last", "code"), [("pass", 0), ("os.write(2, b'check failed'); os.abort()", -6)])
def test_a_program_shows_no_chatter_and_loses_nothing_else(last: str, code: int):
    command = [sys.executable, "-c", NOISE.format(last=last)]
    child = subprocess.run(command, env=child_environment(), capture_output=True, text=True)
    assert child.returncode == code
    shown = {"converter.cc:12] an error", "child", "own.py:1] as it is", "after" if code == 0 else "check failed"}
    lines = [
        line.removeprefix("E0000 00:00:17.1  5352 ").removeprefix("I0000 00:00:17.1 5352 ")
        for line in child.stderr.splitlines()
    ]
    assert sorted(lines) == sorted(shown)


def test_streams_that_are_not_the_process_s_own_are_left_alone(capfd: pytest.CaptureFixture[str]):
    with without_chatter():  # pytest's is another
        os.write(2, ABSL)
    assert capfd.readouterr().err.encode() == ABSL
