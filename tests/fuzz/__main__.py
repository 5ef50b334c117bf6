"""``python -m tests.fuzz``: sends mutants of small files through the commands and says what became of them.

Exit code 1 where an ending was not good: neither done nor refused with one clear line.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before anything imports TensorFlow

from tests.fuzz.campaign import Campaign
from tests.fuzz.lines import LINES
from tests.fuzz.mutate import Mutant
from tests.fuzz.pool import Worker
from tests.fuzz.seeds import load_seeds
from tests.fuzz.worker import Task

FOLDER = Path("build/fuzz")


def main(arguments: list[str] | None = None) -> int:
    """Runs what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0, help="how long to go on")
    parser.add_argument("--commands", default=",".join(LINES), help="command lines, of " + ", ".join(LINES))
    parser.add_argument("--until", default="", help="as inspect=50000,convert=5000: enough, earlier runs included")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="processes")
    parser.add_argument("--seed", type=int, default=0, help="of the mutants")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of seed files, corpus, counts and findings")
    parser.add_argument(
        "--fresh", action="store_true", help="the same mutants every time: no corpus, no earlier counts"
    )
    parser.add_argument("--repeat", type=Path, help="run the file of one finding again, given its .json")
    chosen = parser.parse_args(arguments)
    names = [name for name in chosen.commands.split(",") if name]
    unknown = sorted(set(names) - set(LINES))
    if unknown:
        parser.error(f"there are no command lines {unknown}")
    until = {name: int(count) for name, _, count in (item.partition("=") for item in chosen.until.split(",") if item)}
    folder = chosen.folder.resolve()
    seeds = load_seeds(folder / "seeds")
    if chosen.repeat is not None:
        return _repeat(chosen.repeat, Worker(folder / "work" / f"{os.getpid()}-repeat", seeds))
    _import(heavy=any(LINES[name].heavy for name in names))
    campaign = Campaign(seeds, folder, names, until, chosen.seed, chosen.jobs, chosen.fresh, say)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what is under way is ended, what was counted is kept
    good = campaign.run(chosen.seconds)
    say(campaign.counts.table())
    return 0 if good else 1


def say(text: str) -> None:
    """Prints with the time of day."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def _import(*, heavy: bool) -> None:
    """What workers need, once for all that are forked."""
    import converters.lowering.expand  # noqa: F401
    import tfmpq.analysis.coverage
    import tfmpq.analysis.diff
    import tfmpq.cli  # noqa: F401

    if heavy:
        import tensorflow  # noqa: F401


def _repeat(note: Path, worker: Worker) -> int:
    entry = json.loads(note.read_text())
    content = note.with_suffix(".tflite").read_bytes()
    outcome = worker.run(Task(entry["line"], Mutant.from_json(json.dumps(entry["mutant"])), content))
    worker.end()
    say(f"{outcome.kind}: {outcome.message} {outcome.where} ({outcome.seconds:.2f} s, {outcome.megabytes:.0f} MB)")
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main())
