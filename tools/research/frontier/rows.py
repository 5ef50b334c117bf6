"""What the frontier consists of: one row a file, and the jobs that make the files."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from dataclasses import dataclass

import tfmpq
from tools.research.frontier.subjects import Subject

STOCK, TFMPQ, LITERT = "TFLiteConverter", "tfmpq", "litert-quantizer"
LITERT_BEFORE = "ai-edge-quantizer"  # its name until 0.10, in tables made before
FLOAT_FILE, STOCK_FILE = "float32", "full int8"
EXPAND = "expand"  # beside tfmpq's lowerings: the compact file at rest, run as tfmpq.expand() makes it
PACKAGES = {
    TFMPQ: ("tensorflow", "ai-edge-litert", "numpy"),
    STOCK: ("tensorflow", "ai-edge-litert"),
    LITERT: ("litert-quantizer", "tensorflow", "ai-edge-litert"),
}


@dataclass(frozen=True)
class Settings:
    """What one file is made with. ``views`` are taken of every calibration image, see :func:`tfmpq.image_views`."""

    tool: str
    configuration: str
    bits: int | None = None
    budget: str = ""
    lowering: str = ""
    views: int = 1
    seed: int = 0

    @property
    def label(self) -> str:
        """For messages."""
        parts = [self.tool, self.configuration, f"{self.bits} bits" if self.bits else "", self.budget]
        parts += [f"{self.views} views" if self.views > 1 else "", f"seed {self.seed}" if self.seed else ""]
        return " ".join(part for part in parts if part)


FLOAT = Settings(STOCK, FLOAT_FILE, 32)
STOCK_INT8 = Settings(STOCK, STOCK_FILE, 8)


@dataclass(frozen=True)
class Row:
    """One file of one model, measured.

    Attributes:
        model, tool, configuration, bits, budget, lowering, views, seed: what it is.
        calibration, samples: numbers of calibration and of evaluation samples.
        bytes, deflated: the file at rest, as it is and after zlib level 9.
        score, score_error: top-1 (or what the zoo scores its model by) in percent and its standard error.
        minus_stock, minus_stock_error: score minus stock int8's, and the standard error over the same samples.
        agreement, agreement_error: percentage of samples with the float model's prediction.
        kl: mean Kullback-Leibler divergence from the float model's probabilities, in nats.
        sqnr_db: signal to noise against the float model's outputs, of the worst output.
        latency: time of an inference relative to stock int8's.
        seconds: of the conversion, from the model to the file; processes that ran beside it included.
        source: ``measured``, or the file that the row was copied from.
    """

    model: str
    tool: str
    configuration: str
    bits: int | None = None
    budget: str = ""
    lowering: str = ""
    views: int = 1
    seed: int = 0
    calibration: int | None = None
    samples: int | None = None
    bytes: int | None = None
    deflated: int | None = None
    score: float | None = None
    score_error: float | None = None
    minus_stock: float | None = None
    minus_stock_error: float | None = None
    agreement: float | None = None
    agreement_error: float | None = None
    kl: float | None = None
    sqnr_db: float | None = None
    latency: float | None = None
    seconds: float | None = None
    source: str = "measured"


@dataclass(frozen=True)
class Job:
    """Files that share their preparation: what one process makes in one go."""

    subject: Subject
    settings: tuple[Settings, ...]

    @property
    def is_base(self) -> bool:
        """Whether this job makes what all other jobs of the model start from."""
        return FLOAT in self.settings

    @property
    def work(self) -> float:
        """Guess at its duration, to start the longest job first."""
        return sum(s.tool == TFMPQ for s in self.settings) + 20 * max(s.views for s in self.settings)


@dataclass(frozen=True)
class Sweep:
    """What is asked for; every combination is a row."""

    bits: Sequence[int]
    budgets: Sequence[str]
    lowerings: Sequence[str]
    views: Sequence[int]
    seeds: Sequence[int]
    peers: Sequence[str]


def plan_jobs(subject: Subject, sweep: Sweep) -> list[Job]:
    """All jobs of a model, the base first.

    Rows of 8 bits take no second points, so that they have one budget, and one lowering: they are one int8 op anyway.
    """
    jobs = [Job(subject, (FLOAT, STOCK_INT8))]
    for views in sweep.views:
        for seed in sweep.seeds:
            stock = [dataclasses.replace(STOCK_INT8, views=views, seed=seed)]
            for bits in sweep.bits:
                for lowering in sweep.lowerings if bits < 8 else ["fused"]:
                    rows = [
                        Settings(TFMPQ, lowering, bits, budget, lowering, views, seed)
                        for budget in (sweep.budgets if bits < 8 else ["extra:0"])
                    ]
                    # The first job brings the stock file of these views and this seed with it.
                    jobs.append(Job(subject, tuple(rows + [s for s in stock if s != STOCK_INT8])))
                    stock = []
    if sweep.peers:
        jobs.append(Job(subject, tuple(_peer(name) for name in sweep.peers)))
    return jobs


def _peer(name: str) -> Settings:
    return Settings(LITERT, name, 8 if name.startswith("static int8") else 4)


def versions(tool: str) -> str:
    """Versions of a tool and of what it stands on."""
    found = [f"tfmpq {tfmpq.__version__}"] if tool == TFMPQ else []
    for package in PACKAGES[tool]:
        try:
            found.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def row_key(subject: Subject, settings: Settings) -> str:
    """What tells a file from every other: its settings, model, data and the versions of its tools."""
    what = [dataclasses.asdict(settings), subject.identity, versions(settings.tool)]
    return hashlib.blake2b(json.dumps(what, sort_keys=True).encode(), digest_size=12).hexdigest()
