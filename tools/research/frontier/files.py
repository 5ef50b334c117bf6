"""Files that the jobs of a sweep share: what a model's jobs start from, and what they make."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfmpq.files import write_atomic
from tools.research.frontier.subjects import Subject


@dataclass(frozen=True)
class Files:
    """A directory with a .tflite file a row, and one of each model; whatever is there is complete.

    Attributes:
        folder: the directory.
    """

    folder: Path

    def base(self, subject: Subject) -> Path:
        """Directory of what all jobs of a model start from."""
        digest = hashlib.blake2b(subject.identity.encode(), digest_size=4).hexdigest()
        return self.folder / f"base_{subject.name}_{digest}"

    def put(self, key: str, content: bytes, runnable: bytes | None = None) -> None:
        """Keeps a row's file, and the file to run where that is another one."""
        for name, data in (("tflite", content), ("run.tflite", runnable)):
            if data is not None:
                write_atomic(self.folder / f"{key}.{name}", data)

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
