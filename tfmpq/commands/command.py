"""What a command is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from absl.flags import FlagValues


class UsageError(Exception):
    """The command line itself is wrong: exit code 2 and a pointer to --help."""


@dataclass(frozen=True)
class Command:
    """One command of the ``tfmpq`` program.

    Attributes:
        name: what the user types.
        summary: one line for the list of commands.
        arguments: usage behind the name.
        examples: command lines for the help text.
        define_flags: adds the command's flags to its own set.
        execute: does the work; takes the parsed flags and the remaining arguments.
        required: flags that must be given.
        positional: how many arguments must remain.
        more: whether further ones may follow.
        stands_for: flags that may be given as arguments without a name, in this order.
        begin: what is done before the arguments are understood, with all of them as they are spelled; None: nothing.
    """

    name: str
    summary: str
    arguments: str
    examples: tuple[str, ...]
    define_flags: Callable[[FlagValues], None]
    execute: Callable[[FlagValues, list[str]], None]
    required: tuple[str, ...] = ()
    positional: int = 0
    more: bool = False
    stands_for: tuple[str, ...] = ()
    begin: Callable[[Sequence[str]], None] | None = None
