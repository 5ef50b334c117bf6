"""One side of a comparison: converts cases with the tfmpq that is first on the path and prints digests as JSON.

    python -m tools.same_bytes.worker TREE OUTPUT.json NAME ...

TREE is where that tfmpq must come from. A case that raises is recorded with its error.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from tools.same_bytes.cases import cases


def main(tree: str, output: str, names: list[str]) -> None:
    """Writes case -> file -> [SHA-256, bytes], or case -> error."""
    import converters
    import tfmpq

    for package in (tfmpq, converters):
        folder = Path(package.__file__ or "").resolve().parents[1]
        if folder != Path(tree).resolve():
            raise SystemExit(f"{package.__name__} comes from {folder}, not from {tree}")
    result: dict[str, object] = {}
    for case in cases():
        if case.name not in names:
            continue
        try:
            files = case.produce()
            result[case.name] = {key: [hashlib.sha256(c).hexdigest(), len(c)] for key, c in files.items()}
        except Exception as error:  # a case that fails on both sides in the same way is no difference
            result[case.name] = f"{type(error).__name__}: {error}"
        print(f"{case.name} done", file=sys.stderr)
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
