"""Latency of the files of a sweep, relative to the stock int8 file of their model."""

from __future__ import annotations

from collections.abc import Sequence

from tqdm import tqdm

from tfmpq.benchmark.latency import many_latency_ratios
from tools.research.frontier.store import Entry, Store
from tools.research.frontier.tables import is_stock


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
            own = [entry.key for entry in missing if entry.identity == identity]
            read = store.files.runnable
            for keys, ratio in many_latency_ratios(own, read, reference=read(stock.key)):
                for key in keys:
                    store.put_latency(key, ratio)
                bar.update(len(keys))
