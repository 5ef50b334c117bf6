"""Finished rows and files on disk, so that an interrupted sweep goes on where it stopped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfmpq.cache.versions import sources_digest
from tfmpq.files import write_atomic
from tools.research.frontier.rows import LITERT, LITERT_BEFORE, STOCK, TFMPQ, Row, Settings, row_key
from tools.research.frontier.subjects import Subject

_TOOLS = (STOCK, TFMPQ, LITERT, LITERT_BEFORE)  # in tables


@dataclass(frozen=True)
class Entry:
    """A finished row, with the model and data it was measured on (see Subject.identity)."""

    key: str
    identity: str
    row: Row


@dataclass(frozen=True)
class Store:
    """A directory with one .json and one .tflite file a row; whatever is there is complete.

    Attributes:
        folder: the directory.
        sources: whether tfmpq's rows of other states of its sources count as missing.
    """

    folder: Path
    sources: bool = True

    def key(self, subject: Subject, settings: Settings) -> str:
        """Name of a row's files."""
        return row_key(subject, settings)

    def base(self, subject: Subject) -> Path:
        """Directory of what all jobs of a model start from."""
        digest = hashlib.blake2b(subject.identity.encode(), digest_size=4).hexdigest()
        return self.folder / f"base_{subject.name}_{digest}"

    def has(self, key: str) -> bool:
        """Whether a row is finished."""
        return self._read(key) is not None

    def put(self, key: str, subject: Subject, row: Row, content: bytes, runnable: bytes | None = None) -> None:
        """Keeps a row with its file, and with the file to run where that is another one. The row comes last."""
        for suffix in ("latency", "json"):  # of other sources
            (self.folder / f"{key}.{suffix}").unlink(missing_ok=True)
        for name, data in (("tflite", content), ("run.tflite", runnable)):
            if data is not None:
                write_atomic(self.folder / f"{key}.{name}", data)
        what = {"identity": subject.identity, "sources": sources_digest(), "row": dataclasses.asdict(row)}
        write_atomic(self._row(key), json.dumps(what, indent=1).encode())

    def entries(self, subjects: Sequence[Subject]) -> list[Entry]:
        """Finished rows, model by model, the given ones first; of those only rows of the same model and data."""
        current = {subject.name: subject.identity for subject in subjects}
        found = []
        for path in self.folder.glob("*.json"):
            content = self._read(path.stem)
            if content is not None:
                row = Row(**content["row"])
                if current.get(row.model, content["identity"]) == content["identity"]:
                    latency = path.with_suffix(".latency")
                    ratio = float(latency.read_text()) if latency.exists() else None
                    found.append(Entry(path.stem, content["identity"], dataclasses.replace(row, latency=ratio)))
        models = [*current, *sorted({entry.row.model for entry in found} - set(current))]
        return sorted(found, key=lambda e: (models.index(e.row.model), *_order(e.row)))

    def put_latency(self, key: str, ratio: float) -> None:
        """Keeps a row's latency ratio."""
        write_atomic(self.folder / f"{key}.latency", f"{ratio:.5f}\n".encode())

    def runnable(self, key: str) -> bytes:
        """The file that is run: the row's own, or what it is expanded to."""
        expanded = self.folder / f"{key}.run.tflite"
        return (expanded if expanded.exists() else self.folder / f"{key}.tflite").read_bytes()

    def put_outputs(self, subject: Subject, name: str, outputs: list[np.ndarray]) -> None:
        """Keeps what the float or the stock file computes for the evaluation samples."""
        np.savez(self.base(subject) / f"{name}.npz", *outputs)

    def outputs(self, subject: Subject, name: str) -> list[np.ndarray]:
        """What :meth:`put_outputs` kept."""
        with np.load(self.base(subject) / f"{name}.npz") as content:
            return [content[f"arr_{i}"] for i in range(len(content.files))]

    def _row(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _read(self, key: str) -> dict | None:
        if not self._row(key).exists():
            return None
        content = json.loads(self._row(key).read_text())
        stale = self.sources and content["row"]["tool"] == TFMPQ and content["sources"] != sources_digest()
        return None if stale else content


def _order(row: Row) -> tuple:
    kind, _, amount = row.budget.partition(":")
    number = re.match(r"[0-9.]+(e-?[0-9]+)?", amount)
    return (
        _TOOLS.index(row.tool), -(row.bits or 0), row.configuration, row.views, kind, float(number[0]) if number else 0,
        row.budget, row.seed,
    )  # fmt: skip
