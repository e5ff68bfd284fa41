"""The pool: as many threads as we may use, the same results for any number of them, and nothing runs on behind the caller."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from thalweg import threads
from thalweg.errors import InputError
from thalweg.threads import available, blocks, one_blas_thread, resolve, run_tasks

# ---- how many


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no CPU affinity on this system")
def test_the_affinity_of_the_process_counts_not_the_machine():
    """As under taskset or a batch system."""
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert available() == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert 1 <= available() <= len(allowed)


@pytest.mark.parametrize(
    ("content", "cores"),
    [
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),  # rounded up
        ({"cpu.max": "50000 100000\n"}, 1),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "0\n"}, None),
        ({"cpu.max": "100000 0\n"}, None),
        ({"cpu.max": "garbage"}, None),
        ({"cpu.max": ""}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_quota_of_a_container_counts(tmp_path, content, cores):
    """Control groups of both versions; what cannot be read is no limit."""
    (tmp_path / "cpu").mkdir()
    for name, text in content.items():
        (tmp_path / name).write_text(text)
    quota = threads._cgroup_quota(tmp_path)
    assert quota == cores if cores is not None else quota > 10_000


def test_available_is_the_smaller_of_affinity_and_quota(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 2, 5}, raising=False)
    for quota, cores in ((1, 1), (2, 2), (8, 3)):
        monkeypatch.setattr(threads, "_cgroup_quota", lambda quota=quota: quota)
        assert available() == cores


def test_no_number_of_threads_means_all_available_ones():
    assert resolve(None) == available()
    assert resolve(7) == 7
    assert resolve(np.int64(7)) == 7


@pytest.mark.parametrize("given", [0, -1, 1.5, 2.0, "2", True, float("nan")])
def test_what_is_no_number_of_threads_is_refused_with_the_number_there_is(given):
    with pytest.raises(InputError, match=f"is not a whole number of 1 or more.*all {available()} cores"):
        resolve(given)


# ---- tasks


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_results_keep_the_order_of_the_arguments(n_threads):
    """Later tasks end first."""

    def task(k: int, label: str) -> str:
        time.sleep(0.002 * (10 - k))
        return f"{k}{label}"

    assert run_tasks(task, ((k, "x") for k in range(10)), n_threads) == [f"{k}x" for k in range(10)]


def test_no_tasks_are_no_results():
    assert run_tasks(len, []) == []


def test_any_number_of_threads_gives_the_same_bits():
    """Sums over fixed blocks: the blocks do not depend on the number of threads, and they are added in their order."""
    x = np.random.default_rng(0).normal(size=100_003).astype(np.float32)
    sums = [sum(run_tasks(lambda a, b: x[a:b].sum(), blocks(len(x), 1000), n)) for n in (1, 2, 3)]
    assert sums[0] == sums[1] == sums[2]


def test_blocks_cover_every_number_once():
    assert blocks(7, 3) == [(0, 3), (3, 6), (6, 7)]
    assert blocks(0, 3) == []


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_an_exception_in_a_task_is_the_callers(n_threads):
    def task(k: int) -> None:
        if k >= 3:
            raise ValueError(f"task {k}")

    with pytest.raises(ValueError, match="task 3"):
        run_tasks(task, [(k,) for k in range(6)], n_threads)


class Record:
    """Which tasks began, and how many are running."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.running = 0
        self._lock = threading.Lock()

    def __call__(self, k: int, work: Any) -> None:
        with self._lock:
            self.begun.append(k)
            self.running += 1
        try:
            work()
        finally:
            with self._lock:
                self.running -= 1


def raise_error() -> None:
    raise ValueError("task 1")


def test_after_an_exception_the_tasks_not_yet_begun_are_dropped():
    """Story: the results were waited for in order before anything was dropped, so behind a long first task all others still ran.

    Task 0 runs until the last task has begun, or a second has passed; task 1 fails; each of the others takes a moment.
    """
    record, last = Record(), threading.Event()
    works = [lambda: last.wait(1), raise_error, *[lambda: time.sleep(0.02)] * 40, last.set]
    with pytest.raises(ValueError, match="task 1"):
        run_tasks(record, list(enumerate(works)), 2)
    assert record.running == 0
    assert not last.is_set()


@pytest.fixture
def interrupts() -> Any:
    """Ctrl-C raises KeyboardInterrupt here, also in a worker of pytest-xdist, which ignores it."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread gets signals")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_ends_the_running_tasks_and_drops_the_rest():
    record = Record()

    def interrupt() -> None:
        time.sleep(0.05)  # the caller is waiting by now
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    works = [lambda: time.sleep(0.2), interrupt, *[lambda: time.sleep(0.02)] * 100]
    with pytest.raises(KeyboardInterrupt):
        run_tasks(record, list(enumerate(works)), 2)
    assert record.running == 0
    n_begun = len(record.begun)
    assert n_begun < len(works)
    run_tasks(lambda: None, [()] * 4, 2)  # the pool works on, and has nothing left of before
    assert len(record.begun) == n_begun


def test_an_interrupt_while_tasks_are_handed_out_leaves_none_running(monkeypatch):
    """Ctrl-C can come before the last task is in the pool."""
    pool, record = threads._pool(2), Record()

    class Interrupted:
        n = 0

        def submit(self, *args: Any) -> Any:
            self.n += 1
            if self.n == 3:
                raise KeyboardInterrupt
            return pool.submit(*args)

    handing_out = Interrupted()
    monkeypatch.setattr(threads, "_pool", lambda size: handing_out)
    with pytest.raises(KeyboardInterrupt):
        run_tasks(record, [(k, lambda: time.sleep(0.2)) for k in range(5)], 2)
    assert record.running == 0


# ---- BLAS


def blas_threads() -> list[int]:
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]


@pytest.fixture
def two_blas_threads() -> Any:
    """More than one, so that a limit of one can be seen."""
    np.ones((2, 2)) @ np.ones((2, 2))
    with threadpool_limits(limits=2, user_api="blas"):
        if set(blas_threads()) != {2}:
            pytest.skip("this BLAS cannot be given two threads")
        yield


@pytest.mark.usefixtures("two_blas_threads")
@pytest.mark.parametrize("n_threads", [1, 2])
def test_blas_has_one_thread_inside_a_task_and_its_own_again_afterwards(n_threads):
    before = blas_threads()
    inside = run_tasks(blas_threads, [(), ()], n_threads)
    assert {n for found in inside for n in found} == {1}
    assert blas_threads() == before
    with pytest.raises(ValueError, match="task 1"):
        run_tasks(raise_error, [(), ()], n_threads)
    assert blas_threads() == before


@pytest.mark.usefixtures("two_blas_threads")
def test_two_callers_at_once_leave_blas_as_it_was():
    """Story: the second to come found one thread, and restored that when the first had gone: BLAS stayed at one for good."""
    before = blas_threads()
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert set(blas_threads()) == {1}
    second.__exit__(None, None, None)
    assert blas_threads() == before


# ---- fork

FORKED = """
import os, signal, sys, threading, warnings
from thalweg.jit import kernel
from thalweg.threads import run_tasks

warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of every fork beside threads

@kernel
def work(n):
    x = 0.5
    for _ in range(n):
        x = 3.9 * x * (1 - x)
    return x

expected = run_tasks(work, [(1000,), (2000,)], 2)
beside = threading.Thread(target=run_tasks, args=(work, [(3 * 10**8,)] * 2, 2))  # a second or more
beside.start()
child = os.fork()
if child == 0:
    signal.alarm(60)  # a child that hangs is ended, and the parent sees the signal
    sys.exit(0 if run_tasks(work, [(1000,), (2000,)], 2) == expected else 1)
running = beside.is_alive()
_, status = os.waitpid(child, 0)
beside.join()
print("running" if running else "ended", status)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_works_and_ends_beside_a_running_kernel(tmp_path):
    """The parent's pool does not exist in the child: handing it a task would wait for ever."""
    script = Path(tmp_path, "forked.py")
    script.write_text(FORKED)
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=200)
    assert run.stdout == "running 0\n", run.stderr
