"""What is said about the machine, and what would spoil timings on it."""

from __future__ import annotations

import os
import platform
from datetime import datetime
from pathlib import Path

import pytest

from converters.runtime import interpreter as runtime
from tfmpq.benchmark import device as module
from tfmpq.benchmark.device import Device, describe_device, disturbances, load_average, processor, usable_cores

QUIET = Device("cpu", 4, "performance", "os", "3", "runtime 1", "2026-01-01T00:00:00+00:00")


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What the system's own files hold; others cannot be read."""
    held: dict[str, str] = {}

    class Fake:
        def __init__(self, path: str) -> None:
            self.path = path

        def read_text(self) -> str:
            if self.path not in held:
                raise FileNotFoundError(self.path)
            return held[self.path]

    monkeypatch.setattr(module, "Path", Fake)
    return held


def test_this_machine():
    device = describe_device()
    assert device.cpu
    assert 1 <= device.cores <= (os.cpu_count() or 1)
    assert device.cores == usable_cores()
    assert device.python == platform.python_version()
    assert device.runtime == runtime.runtime_name()
    assert datetime.fromisoformat(device.time).tzinfo is not None
    assert set(device.to_dict()) == {"cpu", "cores", "governor", "os", "python", "runtime", "time"}
    assert all(str(value) in str(device) for value in device.to_dict().values() if value is not None)
    assert processor().startswith(device.cpu)
    load = load_average()
    assert load is None or load >= 0


def test_processors_and_governors(files: dict[str, str]):
    files["/proc/cpuinfo"] = (
        "processor\t: 0\nmodel name\t: Core 9: fast\n\nprocessor\t: 1\nmodel name\t: Core 9: fast\n"
    )
    files["/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"] = "powersave\n"
    assert (describe_device().cpu, describe_device().governor) == ("Core 9: fast", "powersave")
    files["/proc/cpuinfo"] = "processor\t: 0\nCPU part\t: 0xd0b\n"  # ARM: numbers only
    files["/proc/device-tree/model"] = "Board 5\0"
    assert describe_device().cpu == "Board 5"
    files.clear()
    assert describe_device().cpu  # the architecture
    assert describe_device().governor is None
    assert "governor unknown" in str(describe_device())


@pytest.mark.parametrize(
    ("changes", "threads", "load", "said"),
    [
        ({}, [1], None, []),
        ({}, [1, 4], 0.3, []),
        ({}, [1], 3.0, []),  # one core is left
        ({}, [1], 3.1, ["3.1 of 4 cores"]),
        ({}, [2, 4], 0.6, ["0.6 of 4 cores"]),
        ({}, [8], 0.0, ["8 threads share 4 cores"]),
        ({"governor": "schedutil"}, [1], 0.0, ["governor 'schedutil'"]),
        ({"governor": None}, [1], 0.0, []),  # not known to be bad
    ],
)
def test_disturbances(changes: dict[str, str], threads: list[int], load: float | None, said: list[str]):
    found = disturbances(Device(**{**QUIET.to_dict(), **changes}), threads, load)
    assert len(found) == len(said)
    assert all(words in sentence for words, sentence in zip(said, found, strict=True))


def test_systems_that_do_not_tell(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    assert load_average() is None
    assert usable_cores() == os.cpu_count()
    assert module._output(str(Path("absent", "program"))) is None
