"""The ``tfmpq`` program: picks the command, parses its own flags, turns errors into exit codes.

Exit codes: 0 done; 1 the work failed (one line on stderr says why); 2 the command line is wrong; 130 interrupted.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import sys
import textwrap
from collections.abc import Sequence

from absl import flags

from converters.errors import ConversionError, OptionError
from converters.native_logs import without_chatter
from converters.printable import printable
from tfmpq.commands import COMMANDS
from tfmpq.commands.command import Command, UsageError
from tfmpq.commands.warning_lines import warning_lines
from tfmpq.version import __version__

_HELP = ("--help", "-help", "-h", "--helpfull", "--helpshort")


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (without the program's name) and returns the exit code."""
    # Errors only: what TensorFlow and the runtimes note about the machine hides the one line that matters.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names are shown escaped where the terminal's encoding lacks them
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _dispatch(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads the output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush when Python exits
        return 0


def _dispatch(arguments: list[str]) -> int:
    if arguments and arguments[0] in (*_HELP, "help"):
        print(_overview())
        return 0
    if arguments == ["--version"]:
        print(__version__)
        return 0
    if not arguments or arguments[0] not in COMMANDS:
        problem = f"there is no command {arguments[0]!r}\n" if arguments else ""
        print(f"{problem}{_overview()}", file=sys.stderr)
        return 2
    return _run_command(COMMANDS[arguments[0]], arguments[1:])


def _run_command(command: Command, arguments: list[str]) -> int:
    values = flags.FlagValues()
    values.set_gnu_getopt(True)  # flags may follow the file name
    try:
        command.define_flags(values)
        flags.DEFINE_boolean("verbose", False, "Show what TensorFlow and the runtimes say about themselves.", values)
        if any(argument in _HELP for argument in arguments):
            print(_help(command, values))
            return 0
        if command.begin is not None:
            command.begin(spelled(arguments, values))
        if any("\0" in argument for argument in arguments):
            raise UsageError("an argument holds a NUL character, which no name of a file or layer has")
        rest = values([command.name, *spelled(arguments, values)])[1:]
        if "progress" in values:  # bars are for people
            wanted = values.progress and (values["progress"].present > 0 or sys.stderr.isatty())
            values.progress = wanted and not values.quiet
        with contextlib.ExitStack() as stack:
            if not values.verbose:
                stack.enter_context(without_chatter())
            stack.enter_context(warning_lines(command.name, FutureWarning, module=r"tfmpq\."))
            command.execute(values, _take_arguments(command, values, rest))
    except (flags.Error, UsageError, OptionError) as error:
        print(f"tfmpq {command.name}: {_one_line(error)}\nSee: tfmpq {command.name} --help", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in ("tfmpq", "converters"):
            raise
        print(f"tfmpq {command.name} needs the package '{error.name}': pip install tfmpq", file=sys.stderr)
        return 1
    except (ConversionError, OSError) as error:
        print(f"tfmpq {command.name}: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"tfmpq {command.name}: interrupted", file=sys.stderr)
        return 130
    return 0


def spelled(arguments: Sequence[str], values: flags.FlagValues) -> list[str]:
    """Arguments as absl knows them: ``--max-samples`` is ``--max_samples``, and ``--json`` alone is ``--json=-``."""
    result = []
    for number, argument in enumerate(arguments):
        if argument == "--":
            return [*result, *arguments[number:]]
        if argument.startswith("--"):
            name, equals, value = argument[2:].partition("=")
            known = name.replace("-", "_")
            if known in values or known.removeprefix("no") in values:
                argument = f"--{known}{equals}{value}"
        following = arguments[number + 1] if number + 1 < len(arguments) else "--"
        result.append("--json=-" if argument == "--json" and re.match("-.", following) else argument)
    return result


def _take_arguments(command: Command, values: flags.FlagValues, rest: list[str]) -> list[str]:
    """Gives arguments to the flags they stand for, checks that all is there, and returns the other arguments."""
    for name in command.stands_for:
        if rest and values[name].value is None:
            setattr(values, name, rest.pop(0))
    if len(rest) < command.positional or (len(rest) > command.positional and not command.more):
        expected = f"{'at least ' * command.more}{command.positional}"
        path = values.json if "json" in values else None
        hint = f" ('{path}' belongs to --json; --json=- prints)" if path and len(rest) < command.positional else ""
        raise UsageError(f"{expected} argument(s) expected besides flags, {len(rest)} given: {rest}{hint}")
    missing = [f"--{name}" for name in command.required if values[name].value is None]
    if missing:
        raise UsageError(f"{' and '.join(missing)} must be given")
    return rest


def _one_line(error: Exception) -> str:
    return printable(" ".join(str(error).split()))


def _overview() -> str:
    lines = ["Low-bit weights for TensorFlow Lite.", "", "usage: tfmpq COMMAND ...", ""]
    lines += [f"  {command.name:<10}{command.summary}" for command in COMMANDS.values()]
    return "\n".join([*lines, "", "tfmpq COMMAND --help tells more."])


def _help(command: Command, values: flags.FlagValues) -> str:
    lines = [f"tfmpq {command.name}: {command.summary}", "", f"usage: tfmpq {command.name} {command.arguments}", ""]
    lines += ["examples:", *(f"  {example}" for example in command.examples), "", "flags:"]
    for name in values:
        flag = values[name]
        if name == flag.short_name:
            continue
        spelling = f"--[no]{name}" if flag.boolean else f"--{name}"
        spelling += f", -{flag.short_name}" if flag.short_name else ""
        default = ("on" if flag.default else "off") if flag.boolean else flag.default
        default = ",".join(default) if isinstance(default, list) else default
        lines.append(f"  {spelling}" + (f"  (default: {default})" if default is not None else ""))
        lines += textwrap.wrap(flag.help, 100, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
