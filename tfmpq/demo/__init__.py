"""A small trained network and its data, and what tfmpq makes of it. See :func:`run_demo`."""

from __future__ import annotations

from tfmpq.demo.demo import DemoRow, run_demo

__all__ = ["DemoRow", "run_demo"]
