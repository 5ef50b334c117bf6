"""Whether a change leaves the bytes of converted files as they were: the guard of refactorings.

    python -m tools.same_bytes --against GIT_REF [--only PATTERN] [--jobs 2]

Converts some 50 (network, options) pairs, built in code, with the code of GIT_REF (checked out beside) and with that of
the working tree, on this machine, and compares SHA-256. Digests recorded elsewhere would not do: bytes depend on the
processor's inference kernels. What does not depend on them is in tests/tfmpq/test_golden.py.

Exit code: 0 all the same, 1 differences, 2 wrong arguments.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tools.same_bytes import golden
from tools.same_bytes.cases import cases

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / "build" / "same_bytes"
_PACKAGES = ("tensorflow", "keras", "numpy", "ai-edge-litert")


def main(arguments: Sequence[str] | None = None) -> int:
    """Compares and prints; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="GIT_REF", help="commit to compare with")
    parser.add_argument("--only", default="*", metavar="PATTERN", help="names of cases, as a shell pattern")
    parser.add_argument("--jobs", type=int, default=2, help="processes a side (2)")
    parser.add_argument("--list", action="store_true", help="print the names of all cases")
    parser.add_argument("--write_golden", action="store_true", help="make tests/tfmpq/golden.json anew")
    given = parser.parse_args(arguments)
    if given.write_golden:
        golden.write()
        return 0
    names = [case.name for case in cases() if fnmatch.fnmatch(case.name, given.only)]
    if given.list:
        print("\n".join(names))
        return 0
    if given.against is None or not names:
        parser.error("--against GIT_REF is needed" if names else f"--only {given.only!r} matches no case")
    found = _git("rev-parse", "--verify", f"{given.against}^{{commit}}")
    if found.returncode:
        parser.error(f"--against {given.against!r} is no commit of this repository")
    commit = found.stdout.strip()
    theirs = _recorded(commit, names, given.jobs)
    ours = _run(ROOT, names, given.jobs)
    different = [name for name in names if ours[name] != theirs[name]]
    for name in different:
        print(f"{name}: {_describe(theirs[name])} -> {_describe(ours[name])}")
    failed = [name for name in names if isinstance(ours[name], str)]
    if failed:
        print(f"{len(failed)} fail: {', '.join(f'{n} ({ours[n][:100]})' for n in failed)}")
    print(f"{len(names) - len(different)} of {len(names)} the same as {commit[:10]}")
    return 1 if different else 0


def _describe(side: Any) -> str:
    if isinstance(side, str):
        return side
    return ", ".join(f"{name} {size} bytes {digest[:8]}" for name, (digest, size) in side.items())


def _recorded(commit: str, names: list[str], jobs: int) -> dict[str, Any]:
    """Digests of a commit; those that were made before, by the same cases on the same machine, are kept."""
    sources = b"".join(path.read_bytes() for path in sorted(Path(__file__).parent.glob("[cnw]*.py")))
    machine = [platform.processor(), platform.machine(), _processor(), *(version(p) for p in _PACKAGES)]
    key = hashlib.sha256(sources + "".join(machine).encode()).hexdigest()[:12]
    path = CACHE / f"{commit[:12]}-{key}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in names if name not in known]
    if missing:
        with _checkout(commit) as tree:
            known |= _run(tree, missing, jobs)
        CACHE.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(known))
    return known


def _processor() -> str:
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next((line for line in lines if line.startswith("model name")), "")
    return ""


@contextlib.contextmanager
def _checkout(commit: str) -> Iterator[Path]:
    """The commit's files in a folder of their own."""
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", commit], capture_output=True, check=True).stdout
        subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
        yield Path(folder)


def _run(tree: Path, names: list[str], jobs: int) -> dict[str, Any]:
    """Converts the cases with the code in ``tree``, some in each process."""
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        # The tree's packages come first; the cases are always this tree's: its `tools` is linked beside them.
        Path(folder, "tools").symlink_to(ROOT / "tools")
        paths = os.pathsep.join([str(tree), folder])
        for package in ("tfmpq", "converters"):
            Path(folder, package).symlink_to(tree / package)
        environment = {**os.environ, "PYTHONPATH": paths.split(os.pathsep)[1], "PYTHONSAFEPATH": "1"}
        environment |= {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONHASHSEED": "0"}
        running = []
        for job in range(jobs):
            output = Path(folder, f"{job}.json")
            command = [sys.executable, "-m", "tools.same_bytes.worker", str(tree), str(output), *names[job::jobs]]
            running.append((subprocess.Popen(command, env=environment, cwd=folder), output))
        for process, output in running:
            if process.wait():
                raise SystemExit(f"the conversions with {tree} ended with exit status {process.returncode}")
            result |= json.loads(output.read_text())
    return result


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
