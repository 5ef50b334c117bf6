"""The engine of a Ray cluster: the same jobs as tasks that Ray places, and does again where a node was lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from converters.errors import MissingDependencyError, ModelError
from tfmpq.sweep.jobs import failed, job_after
from tfmpq.sweep.plan import Group
from tfmpq.threads import thread_limits

_RETRIES = 3  # of a job whose node or process was lost; errors of the job itself are its result

Plain = dict[str, Any]


def run_ray(
    groups: Sequence[Group],
    note: Callable[[Plain], None],
    *,
    started: Callable[[Plain], None],
    address: str | None,
    threads: int | None,
) -> None:
    """Runs all jobs.

    Args:
        groups: of the jobs.
        note: told what every job returned.
        started: told of every job that is given to Ray.
        address: of the cluster, as ``ray.init`` takes it; None: that of ``RAY_ADDRESS``, or one on this machine.
        threads: of each job, and the processors it asks for; None: 1.

    Raises:
        MissingDependencyError: Ray is not installed.
        ModelError: There is no cluster at the address.
    """
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise MissingDependencyError("--engine=ray needs the package ray: pip install 'tfmpq[ray]'") from error
    was_there = ray.is_initialized()
    try:
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, logging_level="WARNING")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ModelError(f"no Ray cluster at address {address!r}: {error}. Start one: ray start --head") from error
    try:
        _run(ray, groups, note, started, threads or 1)
    finally:
        if not was_there:
            ray.shutdown()


def _run(
    ray: Any, groups: Sequence[Group], note: Callable[[Plain], None], started: Callable[[Plain], None], threads: int
) -> None:
    options = {"num_cpus": threads, "max_retries": _RETRIES, "runtime_env": {"env_vars": thread_limits(threads)}}
    after = ray.remote(**options)(job_after)
    running: dict[Any, Plain] = {}
    collecting: dict[str, Any] = {}
    for group in groups:
        for part in group.collect:
            if part["key"] not in collecting:
                collecting[part["key"]] = after.remote(part)
                running[collecting[part["key"]]] = part
        prepared = after.remote(group.prepare, *(collecting[part["key"]] for part in group.collect))
        running[prepared] = group.prepare
        running |= {after.remote(row, prepared): row for row in group.rows}
    for spec in running.values():
        started(spec)
    while running:
        done, _ = ray.wait(list(running))
        for reference in done:
            spec = running.pop(reference)
            try:
                result = ray.get(reference)
            except ray.exceptions.RayError as error:
                message = " ".join(str(error).split())
                result = failed(spec, {"type": type(error).__name__, "message": message})
            note(result)
