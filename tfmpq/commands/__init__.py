"""The command line's commands, one module each; :data:`COMMANDS` lists them in the order of the help text."""

from __future__ import annotations

from tfmpq.commands.benchmark import BENCHMARK
from tfmpq.commands.cache import CACHE
from tfmpq.commands.check import CHECK
from tfmpq.commands.collect import COLLECT
from tfmpq.commands.command import Command
from tfmpq.commands.compare import COMPARE
from tfmpq.commands.convert import CONVERT
from tfmpq.commands.demo import DEMO
from tfmpq.commands.diff import DIFF
from tfmpq.commands.evaluate import EVALUATE
from tfmpq.commands.expand import EXPAND
from tfmpq.commands.inspect import INSPECT
from tfmpq.commands.schema import SCHEMA
from tfmpq.commands.sweep import SWEEP
from tfmpq.commands.target import TARGET
from tfmpq.commands.train import TRAIN

_ALL = (
    CONVERT, COLLECT, TRAIN, EXPAND, INSPECT, EVALUATE, DIFF, COMPARE, SWEEP, CHECK, BENCHMARK, TARGET, CACHE, DEMO,
    SCHEMA,
)  # fmt: skip
COMMANDS: dict[str, Command] = {command.name: command for command in _ALL}
