"""Latency, memory and delegate coverage of .tflite files, side by side on this machine.

from tfmpq.benchmark import benchmark
print(benchmark(["stock.tflite", "tfmpq.tflite"], threads=(1, 2)))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tfmpq.benchmark.run import benchmark

__all__ = ["benchmark"]


def __getattr__(name: str) -> Any:
    """Loads on first use: the processes that are measured import this package too, and must stay small."""
    if name != "benchmark":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tfmpq.benchmark.run import benchmark

    return benchmark
