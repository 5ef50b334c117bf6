"""Flags that say what points may cost: bytes, or accuracy on labelled data."""

from __future__ import annotations

from collections.abc import Callable

from absl import flags

from tfmpq.commands.command import UsageError
from tfmpq.data.labelled_files import LABELLED
from tfmpq.recipe.budget_text import parse_budget, parse_size
from tfmpq.recipe.budgets import Budget, MaxDrop

_BUDGET = (
    "What second and further points may cost: like_stock or like_stock:MARGIN (the smallest file about as close to "
    "float as stock int8, at most MARGIN percentage points further), extra:FRACTION of the bytes of the first points, "
    "bytes:SIZE of the whole file (1600000, 1.6MB, 1.5MiB), or epsilon:ERROR relative to each channel's output energy."
)
_MAX_DROP = (
    "In place of --budget: the fewest further points at which top-1 on --eval_data falls by at most so many percentage "
    "points against the float model."
)


def define_budget_flags(values: flags.FlagValues) -> None:
    """Adds ``--budget``, ``--max_drop``, ``--eval_data`` and ``--classes``."""
    flags.DEFINE_string("budget", "like_stock", _BUDGET, flag_values=values)
    flags.DEFINE_float("max_drop", None, _MAX_DROP, flag_values=values)
    flags.DEFINE_string(
        "eval_data",
        None,
        f"Labelled data for --max_drop: {LABELLED}. Not the calibration data.",
        flag_values=values,
    )
    define_classes_flag(values)


def define_classes_flag(values: flags.FlagValues) -> None:
    """Adds ``--classes``."""
    flags.DEFINE_string(
        "classes",
        None,
        "Class folders: a text file with the classes' names, one a line, class 0 first. Default: folders called by "
        "numbers are those classes, others are numbered in alphabetical order.",
        flag_values=values,
    )


def read_budget(values: flags.FlagValues, score: Callable[[bytes], float]) -> Budget:
    """What the flags say.

    Args:
        values: the parsed flags.
        score: .tflite bytes -> top-1 on ``--eval_data`` in percent, for ``--max_drop``.

    Raises:
        OptionError: A value is out of range.
        UsageError: Flags contradict each other.
    """
    if values.max_drop is None:
        for name in ("eval_data", "classes"):
            if getattr(values, name) is not None:
                raise UsageError(f"--{name} is for --max_drop=POINTS")
        return parse_budget(values.budget)
    if values["budget"].present:
        raise UsageError("give either --budget or --max_drop")
    if values.eval_data is None:
        raise UsageError("--max_drop needs labelled data: --eval_data=labelled.npz, class folders or shards")
    return MaxDrop(values.max_drop, score)


def read_bytes(name: str, text: str) -> int:
    """The bytes that a flag names; a :class:`UsageError` if they are none.

    Args:
        name: of the flag.
        text: its value.
    """
    found = parse_size(text)
    if found is None:
        raise UsageError(f"--{name}={text}: give a number of bytes, such as 1600000, 1.6MB or 1.5GiB")
    return found
