"""Builds the wheel, checks it, installs it outside of the checkout and runs it there.

    python -m tools.release [--output dist] [--quick]

Checked: data files, metadata, the long description, seconds to import, that it converts the bundled network from the
command line; without --quick also that the demo runs and a target is measured. The dependencies are those of the
environment that runs this.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools.release.installed import Installed, ReleaseError, import_seconds, install
from tools.release.wheel import problems

ROOT = Path(__file__).parents[2]
MOST_SECONDS = 0.3


def build(output: Path) -> Path:
    """The wheel of the checkout.

    Raises:
        ReleaseError: It cannot be built.
    """
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(output), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ReleaseError(f"the wheel cannot be built\n{done.stdout}{done.stderr}")
    return max(output.glob("tfmpq-*.whl"), key=lambda path: path.stat().st_mtime)


def use(installed: Installed, folder: Path, *, quick: bool) -> None:
    """What users do first.

    Raises:
        ReleaseError: Something of it fails.
    """
    place = "import tfmpq, pathlib; print(pathlib.Path(tfmpq.__file__).parent / 'demo')"
    demo = Path(installed.run(installed.python, "-c", place, cwd=folder).strip())
    network = (demo / "digits_net.keras", demo / "digits_calibration.npz", demo / "digits_test.npz")
    script = ROOT / "tests" / "command_line.sh"
    # The script is Bazel's too, which names files relative to where it starts.
    names = [f"./{path.relative_to(installed.folder)}" for path in (installed.folder / "bin" / "tfmpq", *network)]
    installed.run("bash", script, *names, cwd=installed.folder)
    if not quick:
        installed.run("tfmpq", "demo", "--output", "demo", "--noprogress", cwd=folder)
        installed.run("tfmpq", "target", "--target=xnnpack", "--passes=1", "--output=here.json", cwd=folder)


def main() -> int:
    parser = argparse.ArgumentParser(description="Builds the wheel and checks it.")
    parser.add_argument("--output", type=Path, default=ROOT / "dist", help="folder for the wheel (dist)")
    parser.add_argument("--quick", action="store_true", help="neither the demo nor a target")
    options = parser.parse_args()
    start = time.monotonic()
    try:
        wheel = build(options.output)
        if found := problems(wheel, ROOT):
            raise ReleaseError("\n".join([f"{wheel.name}:", *found]))
        with tempfile.TemporaryDirectory(prefix="tfmpq_wheel_") as name:
            folder = Path(name)
            installed = install(wheel, folder / "environment")
            seconds = import_seconds(installed)
            if seconds > MOST_SECONDS:
                raise ReleaseError(f"import tfmpq takes {seconds:.2f} s, more than {MOST_SECONDS}")
            use(installed, folder, quick=options.quick)
    except ReleaseError as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{wheel}: {wheel.stat().st_size:,} bytes, import in {seconds:.3f} s")
    print(f"checked in {time.monotonic() - start:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
