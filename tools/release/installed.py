"""A wheel in an environment of its own, and what users do first with it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from dataclasses import dataclass
from pathlib import Path

_SECONDS = """
import time
start = time.perf_counter()
import tfmpq
print(time.perf_counter() - start, tfmpq.__file__)
"""


class ReleaseError(Exception):
    """What was built is not fit to be released."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, outside of the checkout.

    Attributes:
        folder: of the environment.
    """

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, *command: str | Path, cwd: Path) -> str:
        """What a command prints, with nothing of the checkout in sight.

        Raises:
            ReleaseError: It fails; with what it said.
        """
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        environment["PATH"] = f"{self.folder / 'bin'}{os.pathsep}{environment.get('PATH', '')}"
        done = subprocess.run(
            [*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ReleaseError(
                f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done.stdout


def install(wheel: Path, folder: Path) -> Installed:
    """The wheel in a new environment; its dependencies are those of the running Python, which take minutes to fetch."""
    venv.create(folder, with_pip=True)
    installed = Installed(folder)
    installed.run(installed.python, "-m", "pip", "install", "--quiet", "--no-deps", wheel.resolve(), cwd=folder)
    packages = installed.run(
        installed.python, "-c", "import site; print(site.getsitepackages()[0])", cwd=folder
    ).strip()
    # Behind its own packages, and without this environment's links to the checkout: .pth files there are not read.
    (Path(packages) / "dependencies.pth").write_text(f"{sysconfig.get_path('purelib', vars={'base': sys.prefix})}\n")
    return installed


def import_seconds(installed: Installed, tries: int = 5) -> float:
    """How long `import tfmpq` takes, the fastest of some tries.

    Raises:
        ReleaseError: What is imported is not the wheel's.
    """
    seconds = []
    for _ in range(tries):
        taken, path = installed.run(installed.python, "-c", _SECONDS, cwd=installed.folder).split()
        if installed.folder.resolve() not in Path(path).resolve().parents:
            raise ReleaseError(f"'{path}' was imported, not the wheel's")
        seconds.append(float(taken))
    return min(seconds)
