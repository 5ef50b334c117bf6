"""The machine that figures were taken on: processor, cores, clock policy, system, runtime."""

from __future__ import annotations

import dataclasses
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from converters.runtime import interpreter as runtime

_BUSY = 0.5  # load average from which other work is more than what a desktop does when nobody uses it


@dataclass(frozen=True)
class Device:
    """A machine and the software that runs models on it.

    Attributes:
        cpu: processor's name.
        cores: logical cores this process may use.
        governor: clock policy of the first core, ``"performance"`` say; None: the system does not tell.
        os: operating system and version.
        python: Python's version.
        runtime: interpreter and version.
        time: local time with offset, ISO 8601, to the second.
    """

    cpu: str
    cores: int
    governor: str | None
    os: str
    python: str
    runtime: str
    time: str

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return dataclasses.asdict(self)

    def __str__(self) -> str:
        governor = self.governor or "unknown"
        return (
            f"{self.cpu}, {self.cores} cores, governor {governor}\n"
            f"{self.os}, Python {self.python}, {self.runtime}, {self.time}"
        )


def describe_device() -> Device:
    """This machine, now.

    Raises:
        MissingDependencyError: No interpreter is installed.
    """
    return Device(
        cpu=processor_name(),
        cores=usable_cores(),
        governor=_first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        os=platform.platform(),
        python=platform.python_version(),
        runtime=runtime.runtime_name(),
        time=datetime.now(timezone.utc).astimezone().isoformat(timespec="seconds"),
    )


def processor() -> str:
    """Processor and number of cores, for the head of a table."""
    return f"{processor_name()} ({os.cpu_count()} cores)"


def processor_name() -> str:
    """The processor's name as its maker writes it; where the system does not tell, the architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    fields = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    # x86 has the first; ARM boards have the second or only the board's name in the device tree.
    named = fields.get("model name") or fields.get("Hardware") or _first_line("/proc/device-tree/model")
    if named is None and platform.system() == "Darwin":
        named = _output("sysctl", "-n", "machdep.cpu.brand_string")
    return named or platform.processor() or platform.machine()


def usable_cores() -> int:
    """Logical cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def load_average() -> float | None:
    """Processes that wanted a core over the last minute; None where the system does not count them."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return None


def disturbances(device: Device, threads: Sequence[int], load: float | None) -> tuple[str, ...]:
    """What will spoil timings on this machine, one sentence each.

    Args:
        device: the machine.
        threads: numbers of CPU threads to be timed.
        load: :func:`load_average` before the first run.
    """
    found = []
    if load is not None and load >= _BUSY and load + max(threads) > device.cores:
        found.append(
            f"other work keeps {load:.1f} of {device.cores} cores busy (load average): close it, or times are too long"
        )
    if device.governor not in (None, "performance"):
        found.append(
            f"the clock follows the load (governor '{device.governor}'): short models may be timed at a low clock; "
            "sudo cpupower frequency-set -g performance"
        )
    if max(threads) > device.cores:
        found.append(f"{max(threads)} threads share {device.cores} cores: they wait for each other")
    return tuple(found)


def _first_line(path: str) -> str | None:
    try:
        lines = Path(path).read_text().strip("\0\n ").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    return lines[0] if lines else None


def _output(*command: str) -> str | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip() or None
    except (OSError, subprocess.SubprocessError):
        return None
