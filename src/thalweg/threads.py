"""How many cores there are for us, and the one thread pool that compiled kernels run on.

Kernels are serial and release the GIL (`thalweg.jit`); a job is cut into tasks whose results do not depend on which thread ran
them, so any number of threads gives the same bits. The pool is made on first use and made anew in a forked child, whose
parent's threads do not exist there.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, TypeVar

from thalweg.errors import whole_number

T = TypeVar("T")

_pools: dict[int, ThreadPoolExecutor] = {}  # size -> pool


def available() -> int:
    """Cores that this process may use: CPU affinity and the cgroup's quota, not the number of cores in the machine."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        cores = os.cpu_count() or 1
    return max(1, min(cores, _cgroup_quota()))


def _cgroup_quota(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Cores granted by a container's CPU quota, rounded up; a large number where there is none."""
    unlimited = 1 << 20
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # cgroup v2: "max 100000" or "150000 100000"
        quota, period = (root / "cpu.max").read_text().split()
        return unlimited if quota == "max" else -(-int(quota) // int(period))
    with contextlib.suppress(OSError, ValueError, ZeroDivisionError):  # cgroup v1
        quota = (root / "cpu" / "cpu.cfs_quota_us").read_text()
        period = (root / "cpu" / "cpu.cfs_period_us").read_text()
        return unlimited if int(quota) <= 0 else -(-int(quota) // int(period))
    return unlimited


def resolve(threads: int | None) -> int:
    """The number of threads to use: `threads`, or all available ones for None.

    Raises InputError if `threads` is not a positive integer.
    """
    if threads is None:
        return available()
    return whole_number("threads", threads, least=1, hint=f"leave it out to use all {available()} cores")


def run_tasks(
    task: Callable[..., T], arguments: Iterable[tuple[object, ...]], threads: int | None = None, *, blas: bool = True
) -> list[T]:
    """[task(*a) for a in arguments], on up to `threads` threads; results in the order of the arguments.

    The first exception is raised after the running tasks have ended; tasks not yet begun are dropped. BLAS inside a task is held
    to one thread, because threads times threads is slower than either; blas=False says that none calls it, and saves the
    milliseconds that holding it takes. A task may not call run_tasks: the pool could fill up with tasks that wait for others.
    """
    jobs = list(arguments)
    n = min(resolve(threads), len(jobs))
    futures: list[Future[T]] = []
    with one_blas_thread() if blas else contextlib.nullcontext():
        if n <= 1:
            return [task(*job) for job in jobs]
        try:
            for job in jobs:
                futures.append(_pool(n).submit(task, *job))
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:  # a failed one first: the others may still be waiting for their turn
                if future.done():
                    future.result()
            return [future.result() for future in futures]
        finally:  # an exception or Ctrl-C: nothing of ours runs on when the caller goes on
            for future in futures:
                future.cancel()
            wait(futures)


def _pool(size: int) -> ThreadPoolExecutor:
    if size not in _pools:
        _pools[size] = ThreadPoolExecutor(size, thread_name_prefix="thalweg")
    return _pools[size]


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread: ours come from the pool, and results must not depend on how BLAS splits a sum.

    The limit belongs to the process: it is set by the first of several callers at a time and lifted by the last.
    """
    from threadpoolctl import threadpool_limits

    with _blas.lock:
        if _blas.holders == 0:
            _blas.limits = threadpool_limits(limits=1, user_api="blas")
        _blas.holders += 1
    try:
        yield
    finally:
        with _blas.lock:
            _blas.holders -= 1
            if _blas.holders == 0:
                _blas.limits.restore_original_limits()


class _Blas:
    """Who holds BLAS to one thread at present."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders = 0
        self.limits: Any = None


_blas = _Blas()


def _after_fork() -> None:
    """A forked child has none of its parent's threads: their pools and a lock that one of them held are of no use."""
    _pools.clear()
    _blas.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def blocks(n: int, size: int) -> list[tuple[int, int]]:
    """[(0, size), (size, 2 size), ...] up to n: fixed blocks, so that sums over them are the same for any number of threads."""
    return [(start, min(start + size, n)) for start in range(0, n, size)]
