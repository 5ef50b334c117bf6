"""Where the files of tfmpq run: every form and io type in every runtime, measured, as a page.

    python -m tools.compat [--output docs/compatibility.md] [--only RUNTIME ...] [--rounds 25]

Installs each runtime under build/compat (some gigabytes; kept), runs the same files on the same inputs in it, compares
the outputs with this environment's, times each file beside stock's, and writes what it found into the page. What cannot
be installed is a row that says why. Needs a package registry; Node.js for WebAssembly, qemu-user and apt for arm64.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np

from converters.runtime.values import quantize
from tfmpq.benchmark.device import processor
from tools.compat.environments import ROOT, InstallError, prepare
from tools.compat.models import Subject, samples, subjects
from tools.compat.runtimes import RUNTIMES, Runtime
from tools.compat.session import Answers, Job, ask
from tools.compat.table import Row, insert, render
from tools.compat.verdict import judge

_PAGE = ROOT / "docs" / "compatibility.md"
_INPUTS = 4
# This environment's kernels, by what the table calls them.
_REFERENCES = {"XNNPACK": "default", "built-in kernels": "builtin", "reference kernels": "reference"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures and writes the page; see the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, default=_PAGE, help="page to write into (docs/compatibility.md)")
    parser.add_argument("--only", nargs="+", choices=[r.key for r in RUNTIMES], help="these runtimes")
    parser.add_argument("--rounds", type=int, default=25, help="of timing (25)")
    given = parser.parse_args(arguments)
    page = given.output.read_text()
    insert(page, "")  # before any work
    chosen = [runtime for runtime in RUNTIMES if given.only is None or runtime.key in given.only]
    with tempfile.TemporaryDirectory() as name:
        print("converting", file=sys.stderr)
        tried = list(subjects())
        jobs = write_jobs(tried, Path(name))
        expected = references(jobs)
        rows = [try_runtime(runtime, tried, jobs, expected, given.rounds) for runtime in chosen]
    given.output.write_text(insert(page, render(rows, _about(arguments))))
    print(f"written: {given.output}", file=sys.stderr)
    return 0


def write_jobs(tried: Sequence[Subject], folder: Path) -> list[Job]:
    """The files on disk, with inputs in the type of each."""
    from converters.runtime.interpreter import inputs, make_interpreter

    floats, jobs = samples()[:_INPUTS], []
    for subject in tried:
        (folder / f"{subject.name}.tflite").write_bytes(subject.content)
        path = folder / f"{subject.network}-{subject.io_type}.inputs"
        if not path.exists():
            (detail,) = inputs(make_interpreter(subject.content))
            path.write_bytes(np.ascontiguousarray(quantize(floats, detail)).tobytes())
        model, stock = (folder / f"{name}.tflite" for name in (subject.name, subject.stock))
        jobs.append(Job(subject.name, model, stock, path, _INPUTS))
    return jobs


def references(jobs: Sequence[Job]) -> dict[str, Answers]:
    """What this environment computes, by its kernels."""
    here = next(runtime for runtime in RUNTIMES if runtime.key == "here")
    return {
        title: ask(replace(here, kernels=kernels), prepare(here), jobs, 0) for title, kernels in _REFERENCES.items()
    }


def try_runtime(
    runtime: Runtime, tried: Sequence[Subject], jobs: Sequence[Job], expected: Mapping[str, Answers], rounds: int
) -> Row:
    """Installs a runtime, runs all files in it and judges what it answers."""
    print(runtime.title, file=sys.stderr)
    try:
        home = prepare(runtime)
    except InstallError as error:
        return Row(runtime, missing=str(error))
    found = ask(runtime, home, jobs, rounds)
    verdicts = {}
    for subject in tried:
        answers = {kernels: those.answers[subject.name].output for kernels, those in expected.items()}
        known = {kernels: output for kernels, output in answers.items() if output is not None}
        verdict = judge(found.answers[subject.name], known, _zero_point(subject))
        verdicts[subject.network, subject.io_type, subject.form] = verdict
    return Row(runtime, found.version, verdicts=verdicts)


def _zero_point(subject: Subject) -> int:
    from converters.runtime.interpreter import make_interpreter, outputs

    return outputs(make_interpreter(subject.content))[0].zero_point


def _about(arguments: Sequence[str] | None) -> list[str]:
    words = " ".join(sys.argv[1:] if arguments is None else arguments)
    return [
        f"{date.today().isoformat()}, {processor()}, {platform.system()} {platform.machine()}",
        f"`python -m tools.compat {words}`".replace(" `", "`"),
    ]


if __name__ == "__main__":
    sys.exit(main())
