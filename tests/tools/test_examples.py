"""Examples in the documentation that nothing else runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import yaml
from absl import flags

from tfmpq.cli import spelled
from tfmpq.commands import COMMANDS

PAGE = Path(__file__).parents[2] / "docs" / "fleets.md"


def test_the_github_action_is_one_whose_command_line_is_right():
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    workflow = yaml.safe_load(text)
    assert workflow[True] == {"pull_request": {"paths": ["models/**"]}}  # YAML 1.1 takes "on" for true
    (job,) = workflow["jobs"].values()
    steps = job["steps"]
    assert all(("run" in step) != ("uses" in step) for step in steps)
    assert re.fullmatch(r"[\w-]+", job["runs-on"])
    (line,) = [step["run"] for step in steps if "tfmpq check" in step.get("run", "")]
    program, name, *arguments = shlex.split(line)
    assert program == "tfmpq"
    values = flags.FlagValues()
    values.set_gnu_getopt(True)
    COMMANDS[name].define_flags(values)
    _, *rest = values([name, *spelled(arguments, values)])  # raises where a flag is unknown
    assert (rest, values.against) == (["models/net.tflite"], "released.tflite")
    upload = steps[-1]
    assert upload["if"] == "always()"  # a gate that failed is what one wants to see
    assert upload["with"]["path"].split() == [values.junit, values.json]
