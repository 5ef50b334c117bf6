"""How many threads the heavy parts use."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager

from threadpoolctl import threadpool_limits

INFERENCE_THREADS = min(os.cpu_count() or 1, 4)  # of the float network; its results do not depend on it


def serial_blas() -> AbstractContextManager[object]:
    """NumPy's matrix products on one thread while the context is open.

    The matrices are small: threads cost more than they bring (measured: 8 s against 36 s on a busy 2-core machine), and
    the order of their sums, and with it the last bit, would depend on their number.
    """
    return threadpool_limits(limits=1, user_api="blas")
