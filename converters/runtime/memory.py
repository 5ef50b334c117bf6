"""How much memory there is to use, and giving back what is not."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path


def available_memory() -> int | None:
    """Bytes that are free on this machine, or that this container has; None where the system does not tell."""
    found = []
    with contextlib.suppress(OSError, ValueError, KeyError):
        known = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(known["MemAvailable"].split()[0]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # "max" is no number
        found.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return min(found, default=None)


def release_memory() -> None:
    """Gives memory that was freed back to the system, where the C library can do that.

    glibc keeps what the threads of TensorFlow and of interpreters have freed, for those threads alone: hundreds of MB
    beside which later stages then take their own.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # another C library; Windows, which names none
        ctypes.CDLL(None).malloc_trim(0)
