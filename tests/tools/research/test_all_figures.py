from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path

from tools.research import measuring
from tools.research.all_figures import SCRIPTS, commands


def test_every_script_is_there_and_takes_its_flags(tmp_path: Path):
    found = commands(Path("zoo"), tmp_path, ["a", "b"])
    assert len(found) == len(SCRIPTS)
    for path, command in found.items():
        name = command[2]
        spec = importlib.util.find_spec(name)
        main = name if spec is not None and spec.origin else f"{name}.__main__"  # a folder has no file of its own
        modules = importlib.import_module(main), measuring  # flags of its own, and those that all have
        source = "".join(Path(str(module.__file__)).read_text() for module in modules)
        assert all(f'"{flag}"' in source for flag in command if flag.startswith("--"))
        assert path.stem == name.rpartition(".")[2]
        assert not any("{" in part for part in command)


def test_what_was_measured_is_not_measured_again(tmp_path: Path):
    done = tmp_path / "measure_rows.md"
    done.write_text("| table |\n")
    assert done not in commands(Path("zoo"), tmp_path, [])
