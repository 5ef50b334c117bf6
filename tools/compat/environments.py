"""Where each runtime is installed: a folder of its own under build/compat, kept for the next time."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.compat.runtimes import Runtime

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "build" / "compat"
_WORKERS = Path(__file__).parent
_DONE = "installed.txt"  # holds what was asked for
_EMULATOR = "qemu-aarch64"
_CORE = "cortex-a76"  # has the dot products that phones have; "max" computes wrong numbers
_DEBIAN = ("python3.11-minimal", "libpython3.11-stdlib", "libstdc++6", "libgomp1", "zlib1g")
_WHEELS = ("manylinux_2_27_aarch64", "manylinux2014_aarch64", "manylinux_2_17_aarch64")
_SECONDS = 1200
# Without one, the libraries read that of the real processor and stumble over it.
_CPUINFO = """processor\t: 0
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""


class InstallError(Exception):
    """A runtime that cannot be had here, and why."""


@dataclass(frozen=True)
class Home:
    """How to run a worker in a runtime's environment.

    Attributes:
        command: what comes before the worker's own arguments.
        last: arguments that come behind them.
        variables: added to the process' environment.
    """

    command: tuple[str, ...]
    last: tuple[str, ...] = ()
    variables: dict[str, str] = field(default_factory=dict)


def prepare(runtime: Runtime) -> Home:
    """Installs a runtime unless it is there.

    Raises:
        InstallError: It cannot be installed here.
    """
    folder = FOLDER / runtime.key
    python, node = str(_WORKERS / "worker.py"), str(_WORKERS / "worker.mjs")
    if runtime.home == "here":
        return Home((sys.executable, python), variables={"PYTHONPATH": os.pathsep.join(sys.path)})
    if runtime.home == "npm":
        _once(runtime, folder, _install_npm)
        return Home((_found("node", "nodejs"), node), (str(folder),))
    if runtime.home == "arm64":
        emulator = _found(_EMULATOR, "qemu-user")
        _once(runtime, folder, _install_arm64)
        packages = f"PYTHONPATH={folder / 'packages'}"
        interpreter = str(folder / "usr" / "bin" / "python3.11")
        return Home((emulator, "-cpu", _CORE, "-L", str(folder), "-E", packages, interpreter, python))
    _once(runtime, folder, _install_pip)
    return Home((str(folder / "bin" / "python"), python))


def _once(runtime: Runtime, folder: Path, install: Callable[[Runtime, Path], None]) -> None:
    """Installs into an empty folder, and marks it when it is done."""
    mark, wanted = folder / _DONE, "\n".join(runtime.packages)
    if mark.is_file() and mark.read_text() == wanted:
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    install(runtime, folder)
    mark.write_text(wanted)


def _install_pip(runtime: Runtime, folder: Path) -> None:
    _call(sys.executable, "-m", "venv", str(folder))
    _call(str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *runtime.packages)


def _install_npm(runtime: Runtime, folder: Path) -> None:
    npm = _found("npm", "npm")
    # Peers would bring TensorFlow.js along, which nothing here uses.
    _call(npm, "install", "--no-audit", "--no-fund", "--legacy-peer-deps", "--prefix", str(folder), *runtime.packages)


def _install_arm64(runtime: Runtime, folder: Path) -> None:
    """Debian's arm64 Python, unpacked beside the system, with wheels for it."""
    state = folder / "apt"
    for name in ("lists/partial", "archives/partial"):
        (state / name).mkdir(parents=True)
    apt = (_found("apt-get", "apt"), "-qq", "-o", f"Dir::State::lists={state / 'lists'}", "-o", f"Dir::Cache={state}")
    apt += ("-o", "Dir::State::status=/dev/null", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures::=arm64")
    apt += ("-o", "APT::Sandbox::User=root")  # its own user may not write here
    _call(*apt, "update")
    _call(*apt, "-y", "--no-install-recommends", "--download-only", "install", *_DEBIAN)
    for package in sorted((state / "archives").glob("*.deb")):
        _call(_found("dpkg", "dpkg"), "-x", str(package), str(folder))
    shutil.rmtree(state)
    (folder / "proc").mkdir(exist_ok=True)
    (folder / "proc" / "cpuinfo").write_text(_CPUINFO)
    platforms = [word for wheel in _WHEELS for word in ("--platform", wheel)]
    target = ("--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--target", str(folder / "packages"))
    _call(sys.executable, "-m", "pip", "install", "--quiet", *target, *platforms, *runtime.packages)


def _found(program: str, package: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise InstallError(f"{program} is not installed (Debian: apt-get install {package})")
    return path


def _call(*command: str) -> None:
    """Runs a step of an installation.

    Raises:
        InstallError: It fails; with the last line it wrote.
    """
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False, env={**os.environ, **_QUIET}
        )
    except subprocess.TimeoutExpired:
        raise InstallError(f"{Path(command[0]).name} took more than {_SECONDS} s") from None
    if done.returncode:
        raise InstallError(f"{Path(command[0]).name}: {last_line(done.stderr or done.stdout)}")


_QUIET = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore", "DEBIAN_FRONTEND": "noninteractive"}


def last_line(text: str) -> str:
    """The last line that says something."""
    lines: Sequence[str] = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.upper().startswith("ERROR")]
    return (errors or lines or ["no message"])[-1]
