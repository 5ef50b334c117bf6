"""Notebooks of the documentation: run from top to bottom, and shown on the site.

    python -m tools.docs.notebooks [NAME ...] [--check]

Runs docs/notebooks/NAME.ipynb, all of them by default, each in a folder of its own, and keeps the outputs; with --check
nothing is kept.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfmpq.files import write_atomic

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "notebooks"
_LONGEST = 900  # seconds of a cell
_NOISE = re.compile(r"(INFO|WARNING): ?|INFO:tensorflow|[IWE]\d{4} ")


def run(path: Path) -> str:
    """The notebook with the outputs of all its cells, as JSON.

    Raises:
        nbclient.exceptions.CellExecutionError: A cell fails.
    """
    import nbclient  # pyright: ignore[reportMissingImports]  (of the extra [docs])
    import nbformat  # pyright: ignore[reportMissingImports]

    notebook = nbformat.read(path, as_version=4)
    # For the kernel, and what it starts: the checkout, and where what a notebook keeps is.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    os.environ["NOTEBOOK_FOLDER"] = str(FOLDER)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory(prefix="tfmpq_notebook_") as folder:
        client = nbclient.NotebookClient(notebook, timeout=_LONGEST, resources={"metadata": {"path": folder}})
        client.execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times
        if "outputs" in cell:
            cell.outputs = list(_kept(cell.outputs))
    return nbformat.writes(notebook) + "\n"


def _kept(outputs: Sequence[Any]) -> Iterator[Any]:
    """What is printed, in one piece and without what TensorFlow says about the machine, and pictures."""
    text = "".join(output["text"] for output in outputs if output.get("name") == "stdout")
    stream = next((output for output in outputs if output.get("name") == "stdout"), None)
    lines = [line for line in text.splitlines() if not _NOISE.match(line)]
    if stream is not None and lines:
        stream["text"] = "\n".join(lines) + "\n"
        yield stream
    yield from (output for output in outputs if "image/png" in output.get("data", {}))


def as_markdown(notebook: Mapping[str, Any], name: str) -> tuple[str, dict[str, str]]:
    """A page of a notebook.

    Args:
        notebook: its JSON.
        name: for its pictures.

    Returns:
        The Markdown, and its pictures: file name -> base64.
    """
    parts: list[str] = []
    pictures: dict[str, str] = {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(source)
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                file = f"{name}_{len(pictures)}.png"
                pictures[file] = data["image/png"]
                parts.append(f"![output of the cell above]({file})")
            elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
                parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts) + "\n", pictures


def notebooks() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Names and JSON of all of them."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        yield path.stem, json.loads(path.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description="Runs the notebooks of the documentation.")
    parser.add_argument("names", nargs="*", help="without .ipynb; default: all")
    parser.add_argument("--check", action="store_true", help="keep nothing")
    options = parser.parse_args()
    for name in options.names or [name for name, _ in notebooks()]:
        content = run(FOLDER / f"{name}.ipynb")
        if not options.check:
            write_atomic(FOLDER / f"{name}.ipynb", content.encode())
        print(f"{name}: ran from top to bottom")


if __name__ == "__main__":
    main()
