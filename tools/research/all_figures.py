"""Every figure of the tables on budgets, effort, rows, bits, methods and cost: one script after another.

    python -m tools.research.all_figures --zoo DIR --output FOLDER [--models NAME ...]

DIR holds `zoo.py`, see tools/research/measure_zoo.py. Takes hours on two cores; what scripts print
is kept in FOLDER, so that a run that was stopped goes on with those that are missing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

SCRIPTS: dict[str, list[str]] = {  # and what it is called with beside the zoo
    "measure_budgets": [],
    "measure_effort": ["--bytes", "0.58"],
    "measure_rows": [],
    "measure_replanning": [],
    "measure_bits": [],
    "conversion_cost": ["--images", "50", "100", "200", "--depths", "10", "20", "40"],
    "compare_methods": ["--output", "{output}/compare"],
    "training": ["--output", "{output}/training"],
}


def commands(zoo: Path, output: Path, models: list[str]) -> dict[Path, list[str]]:
    """File of what is printed -> command, for all scripts whose file is not there."""
    result = {}
    for script, flags in SCRIPTS.items():
        chosen = ["--models", *models] if models else []
        given = [flag.format(output=output) for flag in flags]
        command = [sys.executable, "-m", f"tools.research.{script}", "--zoo", str(zoo), *given, *chosen]
        result[output / f"{script}.md"] = command
    return {path: command for path, command in result.items() if not path.exists()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--zoo", type=Path, required=True, help="directory that holds zoo.py")
    parser.add_argument("--output", type=Path, required=True, help="folder of the results, made if need be")
    parser.add_argument("--models", nargs="*", default=[], help="zoo names; default: all")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    failed = []
    for path, command in commands(options.zoo, options.output, options.models).items():
        print(" ".join(command), file=sys.stderr, flush=True)
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            failed.append(path.stem)
        else:
            path.write_text(done.stdout)
    if failed:
        sys.exit(f"these ended with an error: {', '.join(failed)}; run this again for them alone")


if __name__ == "__main__":
    main()
