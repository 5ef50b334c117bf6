"""What a process that runs somebody's file may take: memory and time, in proportion to the machine and the file."""

from __future__ import annotations

import contextlib
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path

_LEAST_MEMORY = 1 << 30  # bytes, however little seems to be free: what counts as free is a guess
_BASE_MEMORY = 4 << 30  # the largest runtime here takes a quarter of it before any file
_MEMORY_OF_FILE = 32  # times its size: float copies of its weights, packed and unpacked, for three sets of kernels
_SHARE_OF_MACHINE = 0.8  # of what is free
_BASE_SECONDS = 120.0  # a busy machine takes some only to start Python
_SECONDS_OF_FILE = 60.0 / (1 << 20)  # a byte; reference kernels take 2 s for a mobile network of 4 MB


@dataclass(frozen=True)
class Limits:
    """Limits of a child process.

    Attributes:
        memory: bytes of its own data.
        seconds: of its life.
    """

    memory: int
    seconds: float

    def impose(self) -> None:
        """Limits this process, from now on; nothing where the system cannot."""
        self.impose_memory()
        # Should whoever waits for it be gone, it still ends. Several threads take several times the time.
        _lower("RLIMIT_CPU", time.process_time() + self.seconds * (os.cpu_count() or 1))

    def impose_memory(self) -> None:
        """Limits its memory only. What is reserved and never written to, as runtimes do much, is free on Linux."""
        _lower("RLIMIT_DATA", self.memory)


def _lower(name: str, most: float) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    with contextlib.suppress(OSError, ValueError):  # some systems know the name only
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        wanted = math.ceil(most)
        resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def limits_for(size: int) -> Limits:
    """Limits for running ``size`` bytes of file and data."""
    memory, available = _BASE_MEMORY + _MEMORY_OF_FILE * size, _available()
    if available is not None:
        memory = min(memory, max(int(_SHARE_OF_MACHINE * available), _LEAST_MEMORY))
    return Limits(memory, _BASE_SECONDS + _SECONDS_OF_FILE * size)


def _available() -> int | None:
    """Bytes that are free on this machine, or that this container has; None where the system does not tell."""
    found = []
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(known["MemAvailable"].split()[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found, default=None)
