"""Finished rows on disk, so that an interrupted sweep goes on where it stopped."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfmpq.cache.versions import sources_digest
from tfmpq.sweep.results import Journal
from tools.research.frontier.files import Files
from tools.research.frontier.rows import LITERT, LITERT_BEFORE, STOCK, TFMPQ, Row, Settings, row_key
from tools.research.frontier.subjects import Subject

_TOOLS = (STOCK, TFMPQ, LITERT, LITERT_BEFORE)  # in tables


@dataclass(frozen=True)
class Entry:
    """A finished row, with the model and data it was measured on (see Subject.identity)."""

    key: str
    identity: str
    row: Row


class Store:
    """The rows of a directory, which one process adds to.

    Args:
        folder: the directory, which is made.
        sources: whether tfmpq's rows of other states of its sources count as missing.
    """

    def __init__(self, folder: Path, *, sources: bool = True) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.files = Files(folder)
        self._sources = sources
        self._rows, self._latencies = (Journal(folder / f"{name}.jsonl") for name in ("rows", "latency"))

    def has(self, key: str) -> bool:
        """Whether a row is finished."""
        return self._read(key) is not None

    def put(self, subject: Subject, row: Row) -> None:
        """Keeps a row whose file is there."""
        key = row_key(subject, _settings(row))
        what = {"identity": subject.identity, "sources": sources_digest(), "row": dataclasses.asdict(row)}
        self._rows.append({"key": key, **what})

    def entries(self, subjects: Sequence[Subject]) -> list[Entry]:
        """Finished rows, model by model, the given ones first; of those only rows of the same model and data."""
        current = {subject.name: subject.identity for subject in subjects}
        found = []
        for key in self._rows.entries:
            content = self._read(key)
            if content is not None:
                row = Row(**content["row"])
                if current.get(row.model, content["identity"]) == content["identity"]:
                    latency = self._latencies.entries.get(key, {})
                    ratio = latency.get("latency") if latency.get("sources") == content["sources"] else None
                    found.append(Entry(key, content["identity"], dataclasses.replace(row, latency=ratio)))
        models = [*current, *sorted({entry.row.model for entry in found} - set(current))]
        return sorted(found, key=lambda e: (models.index(e.row.model), *_order(e.row)))

    def put_latency(self, key: str, ratio: float) -> None:
        """Keeps a row's latency ratio."""
        sources = self._rows.entries[key]["sources"]
        self._latencies.append({"key": key, "sources": sources, "latency": round(ratio, 5)})

    def _read(self, key: str) -> dict[str, Any] | None:
        content = self._rows.entries.get(key)
        if content is None:
            return None
        stale = self._sources and content["row"]["tool"] == TFMPQ and content["sources"] != sources_digest()
        return None if stale else content


def _settings(row: Row) -> Settings:
    return Settings(**{field.name: getattr(row, field.name) for field in dataclasses.fields(Settings)})


def _order(row: Row) -> tuple:
    kind, _, amount = row.budget.partition(":")
    number = re.match(r"[0-9.]+(e-?[0-9]+)?", amount)
    return (
        _TOOLS.index(row.tool), -(row.bits or 0), row.configuration, row.views, kind, float(number[0]) if number else 0,
        row.budget, row.seed,
    )  # fmt: skip
