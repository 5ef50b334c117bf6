"""Work on several cores: results in order, and a failure that ends the rest."""

from __future__ import annotations

import threading
import time

import pytest

from tfmpq.threads import concurrently


def test_results_come_in_the_order_of_the_items_whichever_is_done_first():
    def slow_at_first(number: int) -> int:
        time.sleep(0.02 * (number < 2))
        return 10 * number

    assert list(concurrently(slow_at_first, range(20))) == [10 * number for number in range(20)]


def test_a_failure_reaches_the_caller_and_nothing_is_begun_after_it():
    begun: list[int] = []
    release = threading.Event()

    def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            raise ValueError("the first one")
        release.wait(5)
        return number

    results = concurrently(work, range(100))
    threading.Timer(0.1, release.set).start()
    with pytest.raises(ValueError, match="the first one"):
        list(results)
    assert len(begun) < 100
