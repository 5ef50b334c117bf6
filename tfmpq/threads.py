"""How many threads the heavy parts use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import TypeVar

from threadpoolctl import threadpool_limits

LIMIT = "TFMPQ_THREADS"  # an environment variable: threads of a process that shares the machine with others
_BUDGET = int(os.environ.get(LIMIT) or os.cpu_count() or 1)
INFERENCE_THREADS = min(_BUDGET, 4)  # of the float network; its results do not depend on it
_WORKERS = min(_BUDGET, 2)  # each holds what it makes of a layer: more would take more memory

Item = TypeVar("Item")
Result = TypeVar("Result")


def concurrently(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results of a function for every item, in their order; NumPy's work runs on several cores.

    Args:
        function: of one item; what it changes must belong to that item alone.
        items: taken all at once.
    """
    pool = ThreadPoolExecutor(_WORKERS)
    try:
        yield from pool.map(function, items)
    finally:
        pool.shutdown(cancel_futures=True)  # nobody waits for the rest when one has failed


def serial_blas() -> AbstractContextManager[object]:
    """NumPy's matrix products on one thread while the context is open.

    The matrices are small: threads cost more than they bring (measured: 8 s against 36 s on a busy 2-core machine), and
    the order of their sums, and with it the last bit, would depend on their number.
    """
    return threadpool_limits(limits=1, user_api="blas")


def thread_limits(threads: int) -> dict[str, str]:
    """Environment variables that keep a process to so many threads, set before it loads anything."""
    own = dict.fromkeys((LIMIT, "TF_NUM_INTRAOP_THREADS", "NUMBA_NUM_THREADS"), str(threads))
    blas = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    return {**own, **blas, "TF_NUM_INTEROP_THREADS": "1"}
