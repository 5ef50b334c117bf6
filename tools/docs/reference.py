"""Reference pages that are read from the code: options, flags of the commands, messages."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from absl import flags

from tfmpq.commands import COMMANDS
from tfmpq.commands.command import Command
from tfmpq.options import Options

ROOT = Path(__file__).parents[2]
# Public ones, and those of the command line; others are caught where they are raised.
RAISED = (
    "ConversionError", "ModelError", "DataError", "OptionError", "RecipeError", "BudgetError", "FileFormatError",
    "LoweringError", "ValidationError", "MissingDependencyError", "UsageError",
)  # fmt: skip
_ROLE = re.compile(r":(?:class|func|meth|mod|attr|data):`~?([^`]+)`")


def options() -> str:
    """A table of all options: name, default, meaning."""
    said = described(inspect.getdoc(Options) or "")
    lines = ["| option | default | |", "|---|---|---|"]
    for field in dataclasses.fields(Options):
        default = "{}" if field.default is dataclasses.MISSING else repr(field.default)
        lines.append(f"| `{field.name}` | `{default}` | {cell(said[field.name])} |")
    return "\n".join(lines)


def described(docstring: str) -> dict[str, str]:
    """The attributes of a Google-style docstring: name -> text, in one line."""
    section = docstring.partition("Attributes:\n")[2]
    items = re.findall(r"^    (\w+): (.*(?:\n {6,}.*)*)", section.partition("\n\n")[0], re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in items}


def cell(text: str) -> str:
    """Text of a docstring or of a flag for a Markdown table."""
    text = _ROLE.sub(r"`\1`", text).replace("``", "`").replace("|", r"\|")
    return re.sub(r"<(\w+)>", r"&lt;\1&gt;", text)


def command_flags() -> str:
    """A section for every command with its usage, examples and flags."""
    return "\n\n".join(_section(command) for command in COMMANDS.values())


def _section(command: Command) -> str:
    values = flags.FlagValues()
    command.define_flags(values)
    lines = [f"### tfmpq {command.name}", "", f"{cell(command.summary)}", "", "```text"]
    lines += [f"tfmpq {command.name} {command.arguments}", "", *command.examples, "```", ""]
    names = [name for name in values if name != values[name].short_name]
    if names:
        lines += ["| flag | default | |", "|---|---|---|"]
    for name in names:
        flag = values[name]
        spelling = f"`--[no]{name}`" if flag.boolean else f"`--{name}`"
        spelling += f", `-{flag.short_name}`" if flag.short_name else ""
        default = ("on" if flag.default else "off") if flag.boolean else flag.default
        default = ",".join(default) if isinstance(default, list) else default
        lines.append(f"| {spelling} | {'' if default in (None, '') else f'`{default}`'} | {cell(flag.help)} |")
    return "\n".join(lines).rstrip()


def messages() -> str:
    """The texts of all errors that are raised with one, by class."""
    found: dict[str, set[str]] = {name: set() for name in RAISED}
    for package in ("tfmpq", "converters"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for name, text in raised(path.read_text()):
                if name in found and re.search(r"\w \w", text):
                    found[name].add(text)
    parts = []
    for name, texts in found.items():
        if texts:
            parts.append(f"### Messages: {name}\n")
            parts += [f"* {_escaped(text)}" for text in sorted(texts)]
            parts.append("")
    return "\n".join(parts)


def raised(source: str) -> Iterator[tuple[str, str]]:
    """Class and text of what a module raises with a text of its own."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args):
            continue
        text = _text(node.exc.args[0])
        if isinstance(node.exc.func, ast.Name) and text is not None:
            yield node.exc.func.id, re.sub(r"(\.\.\.\s*)+(?=\.\.\.)", "", " ".join(text.split()))


def _text(node: ast.expr) -> str | None:
    """A message with ... for what is not constant; None: nothing of it is."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(part.value if isinstance(part, ast.Constant) else "..." for part in node.values)  # pyright: ignore
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = _text(node.left), _text(node.right)
        return None if left is None and right is None else f"{left or '...'}{right or '...'}"
    return None


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_<>\[\]#|{}])", r"\\\1", text)


PARTS: Mapping[str, Callable[[], str]] = {"options": options, "flags": command_flags, "messages": messages}
