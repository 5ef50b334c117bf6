"""Latency of the files of a sweep, relative to the stock int8 file of their model."""

from __future__ import annotations

import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence

from tqdm import tqdm

from tfmpq.benchmark.latency import latency_ratios
from tools.research.frontier.store import Entry, Store
from tools.research.frontier.tables import is_stock

_AT_A_TIME = 8  # files measured in turns with the stock file: more would keep too many models in the caches
_REPEATS = 3  # with new interpreters and in another order: turns can fall into step with whatever else the machine does


def measure_latencies(store: Store, entries: Sequence[Entry], *, anew: bool = False, progress: bool = True) -> None:
    """Measures the rows that have no latency yet; equal files once.

    Args:
        store: where the files are and the ratios go.
        entries: rows of all models.
        anew: measure all rows.
        progress: show a bar on stderr.
    """
    missing = [entry for entry in entries if anew or entry.row.latency is None]
    with tqdm(total=len(missing), desc="latency", disable=not progress, unit="file") as bar:
        for identity in dict.fromkeys(entry.identity for entry in missing):
            stock = next((e for e in entries if e.identity == identity and is_stock(e.row)), None)
            if stock is None:
                continue
            reference = store.runnable(stock.key)
            same: dict[str, list[str]] = {}  # content -> keys
            for entry in missing:
                if entry.identity == identity:
                    same.setdefault(_digest(store.runnable(entry.key)), []).append(entry.key)
            known = same.pop(_digest(reference), [])
            for key in known:
                store.put_latency(key, 1.0)
            bar.update(len(known))
            groups = list(same.values())
            parts = math.ceil(len(groups) / _AT_A_TIME)
            for part in (groups[i::parts] for i in range(parts)):
                ratios = _ratios({keys[0]: store.runnable(keys[0]) for keys in part}, reference)
                for keys in part:
                    for key in keys:
                        store.put_latency(key, ratios[keys[0]])
                    bar.update(len(keys))


def _ratios(files: Mapping[str, bytes], reference: bytes) -> dict[str, float]:
    """Median of several measurements."""
    order = ["", *files]
    found: dict[str, list[float]] = {name: [] for name in order}
    for _ in range(_REPEATS):
        for name, ratio in latency_ratios({n: files.get(n, reference) for n in order}, reference="").items():
            found[name].append(ratio)
        order = order[1:] + order[:1]
    return {name: statistics.median(ratios) for name, ratios in found.items()}


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()
