"""Processes that are used again."""

from __future__ import annotations

import threading
import time

import pytest

from converters.runtime.process_pool import ProcessPool


class Fake:
    """A process that lives until it is closed."""

    def __init__(self) -> None:
        self.usable = True

    def close(self) -> None:
        self.usable = False


def test_a_process_serves_one_after_the_other():
    pool = ProcessPool(Fake)
    with pool.take() as first:
        pass
    with pool.take() as again, pool.take() as other:
        assert again is first
        assert other is not first
    pool.close()
    assert not again.usable
    assert not other.usable


def test_they_end_when_they_have_nothing_to_do():
    pool = ProcessPool(Fake, seconds=0.05)
    with pool.take() as first:
        time.sleep(0.1)
        assert first.usable
    deadline = time.monotonic() + 30
    while first.usable:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with pool.take() as second:
        assert second is not first


def test_short_tasks_leave_one_thread_waiting_and_put_the_end_off():
    before = threading.active_count()
    pool = ProcessPool(Fake, seconds=2.0)
    start, used = time.monotonic(), []
    while time.monotonic() < start + 2.5:
        with pool.take() as process:
            used.append(process)
        time.sleep(0.005)
    # Hundreds of tasks; the thread of a cancelled timer needs a moment to end.
    assert threading.active_count() < before + 20
    pool.close()
    assert len(used) > 20
    assert all(process is used[0] for process in used)


def test_one_that_has_died_is_not_used_again():
    pool = ProcessPool(Fake)
    with pool.take() as first:
        pass
    first.usable = False
    with pool.take() as second:
        assert second is not first


def test_an_error_ends_it():
    pool = ProcessPool(Fake)
    with pytest.raises(KeyboardInterrupt), pool.take() as first:
        raise KeyboardInterrupt
    assert not first.usable
    with pool.take() as second:
        assert second is not first
