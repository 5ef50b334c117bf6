"""``python -m tests.fuzz.kills``: ends commands at any moment, and looks at what they leave.

Every output file is the former one, or whole, or not there; and the same command line does its work afterwards. Half of
the moments are random, half are those at which the command opens, renames or removes a file.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow

from tests.fuzz.lines import LINES, MUTANT
from tests.fuzz.seeds import Seeds, load_seeds

_FORMER = b"what was there before"
_OURS = re.compile(r"\.out\.\w+\.[0-9a-f]{8}\.tmp")  # a file that is being written; no later run meets it again
_EVENTS = ("open", "os.rename", "os.remove", "os.chmod")
# Command line -> the seed file it works on, and how often it is drawn.
_CASES = {
    "expand": ("image_compact", 4),
    "inspect": ("image_auto", 1),
    "evaluate": ("image_auto", 2),
    "diff": ("image_auto", 2),
    "convert": ("pair_float", 3),
}


@dataclass(frozen=True)
class Whole:
    """What a command line does when nothing ends it.

    Attributes:
        seconds: that it takes.
        events: how often it opens, renames or removes a file of its folder.
        outputs: what it writes.
    """

    seconds: float
    events: int
    outputs: Mapping[str, bytes]


def main(arguments: list[str] | None = None) -> int:
    """Kills as often as asked; exit code 1 where something was left that is not to be."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.kills", description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="how often")
    parser.add_argument("--commands", default=",".join(_CASES), help="of " + ", ".join(_CASES))
    parser.add_argument("--seed", type=int, default=0, help="of moments")
    parser.add_argument("--folder", type=Path, default=Path("build/fuzz"), help="of seed files and of the work")
    chosen = parser.parse_args(arguments)
    seeds = load_seeds(chosen.folder.resolve() / "seeds")
    names = chosen.commands.split(",")
    _import(heavy="convert" in names)
    folder = chosen.folder.resolve() / "work" / f"{os.getpid()}-kill"
    rng = random.Random(chosen.seed)
    known = {name: _undisturbed(name, seeds, folder) for name in names}
    problems = []
    for number in range(chosen.count):
        name = rng.choices(names, [_CASES[n][1] for n in names])[0]
        problems += [f"{number} {problem}" for problem in _kill_once(name, known[name], seeds, folder, rng)]
    shutil.rmtree(folder, ignore_errors=True)
    print("\n".join(problems))
    print(f"{chosen.count} kills, {len(problems)} problems")
    return 1 if problems else 0


def _import(*, heavy: bool) -> None:
    import converters.lowering.expand  # noqa: F401
    import tfmpq.analysis.diff
    import tfmpq.cli  # noqa: F401

    if heavy:
        import tensorflow  # noqa: F401


def _undisturbed(name: str, seeds: Seeds, folder: Path) -> Whole:
    _new_folder(name, seeds, folder, former=())
    counter = folder.parent / f"{folder.name}.events"
    counter.write_bytes(b"")
    start = time.monotonic()
    code = _wait(_start(name, seeds, folder, lambda _: _append(counter)), None)
    seconds = time.monotonic() - start
    if code != 0:
        raise RuntimeError(f"{name} fails by itself: {code}")
    outputs = {output: (folder / output).read_bytes() for output in LINES[name].outputs}
    events = len(counter.read_bytes())
    counter.unlink()
    return Whole(seconds, events, outputs)


def _append(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
    os.write(descriptor, b".")
    os.close(descriptor)


def _kill_once(name: str, whole: Whole, seeds: Seeds, folder: Path, rng: random.Random) -> list[str]:
    """Problems with what is left of a command line that is ended, and with the one that follows."""
    former = [output for output in whole.outputs if rng.random() < 0.5]
    _new_folder(name, seeds, folder, former)
    if rng.random() < 0.5:
        moment = f"after {(wait := rng.uniform(0, 1.1 * whole.seconds)):.3f} s"
        _wait(_start(name, seeds, folder, None), wait)
    else:
        last = rng.randrange(whole.events)
        moment = f"at file event {last} of {whole.events}"
        _wait(_start(name, seeds, folder, lambda number: number == last and os.kill(os.getpid(), signal.SIGKILL)), None)
    problems = _left(name, whole, folder, former)
    before = {path.name for path in folder.iterdir()}
    code = _wait(_start(name, seeds, folder, None), None)
    problems += [f"the next run ends with {code}"] if code else []
    problems += [] if code else _left(name, whole, folder, (), done=True)
    new = {path.name for path in folder.iterdir()} - before - set(whole.outputs)
    problems += [f"the next run leaves {sorted(new)}"] if new else []
    return [f"{name} killed {moment}, former {former}: {problem}" for problem in problems]


def _left(name: str, whole: Whole, folder: Path, former: Sequence[str], *, done: bool = False) -> list[str]:
    """What is wrong with the files of a folder; ``done``: the command line came to its end."""
    problems = []
    for path in folder.iterdir():
        if path.name not in (*whole.outputs, MUTANT) and not _OURS.fullmatch(path.name):
            problems.append(f"{path.name} is left")
    for output, content in whole.outputs.items():
        path = folder / output
        if not path.exists():
            problems += [f"{output} is gone"] if output in former or done else []
        elif not _whole(output, path.read_bytes(), content) and (done or path.read_bytes() != _FORMER):
            problems.append(f"{output} is damaged")
    return problems


def _whole(output: str, found: bytes, expected: bytes) -> bool:
    if not output.endswith(".json"):
        return found == expected  # the same bytes each time
    with contextlib.suppress(ValueError):
        return json.loads(found).keys() == json.loads(expected).keys()  # times differ
    return False


def _new_folder(name: str, seeds: Seeds, folder: Path, former: Sequence[str]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / MUTANT).write_bytes(seeds.files[_CASES[name][0]])
    for output in former:
        (folder / output).write_bytes(_FORMER)


def _start(name: str, seeds: Seeds, folder: Path, on_event: Callable[[int], object] | None) -> int:
    """A process that runs the command line; ``on_event`` gets the number of each event with a file of the folder."""
    process = os.fork()
    if process:
        return process
    code = 70
    try:
        os.chdir(folder)
        silent = os.open(os.devnull, os.O_RDWR)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        if on_event is not None:
            _watch(str(folder), on_event)
        from tfmpq import cli

        code = cli.run(LINES[name].arguments(seeds, _CASES[name][0]))
    finally:
        os._exit(code)


def _watch(folder: str, on_event: Callable[[int], object]) -> None:
    count = 0

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal count
        if event in _EVENTS and os.path.dirname(os.path.abspath(str(arguments[0]))) == folder:
            count += 1
            on_event(count - 1)

    sys.addaudithook(hook)


def _wait(process: int, seconds: float | None) -> int:
    """The exit code of a process, which is killed after ``seconds``."""
    if seconds is not None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                break
            time.sleep(0.0005)
        os.kill(process, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


if __name__ == "__main__":
    sys.exit(main())
