"""Parallel runs: joblib over independent tasks, one numeric thread in each, never both levels at once."""

from __future__ import annotations

import contextlib
import functools
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

T = TypeVar("T")

# How often a worker looks whether its parent is still there, s.
_WATCH_S = 2.0


def run_parallel(function: Callable[..., T], calls: Iterable[tuple], n_jobs: int = 1) -> list[T]:
    """`[function(*call) for call in calls]`, over `n_jobs` workers of the current joblib backend.

    The backend is joblib's: wrap the call in ``joblib.parallel_config(backend="dask")`` to use a Dask cluster.
    """
    calls = list(calls)
    if n_jobs == 1:
        return [function(*call) for call in calls]
    import joblib

    return joblib.Parallel(n_jobs=n_jobs)(joblib.delayed(function)(*call) for call in calls)


def iterate_parallel(function: Callable[..., T], calls: Iterable[tuple], n_jobs: int = 1) -> Iterator[T]:
    """The results of `function(*call)` for each call as they are finished, in any order, on the joblib backend in use.

    Closing the iterator, or an interrupt while it waits, stops the workers.

    Examples
    --------
    >>> sorted(iterate_parallel(abs, [(-1,), (2,)]))
    [1, 2]
    """
    calls = list(calls)
    if n_jobs == 1:
        yield from (function(*call) for call in calls)
        return
    import joblib

    # One call per batch: calls are long.
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1)
    yield from parallel(joblib.delayed(_in_worker)(function, call) for call in calls)


def _in_worker(function: Callable[..., T], call: tuple) -> T:
    _end_with_parent()
    return function(*call)


@functools.cache
def _end_with_parent() -> None:
    """End a process of joblib's own pool when the process that made it is gone.

    After a SIGKILL of that process, loky's workers finish their task and then wait for another for ever, hundreds of
    MB each (joblib 1.6). Workers of a cluster are not ours to end.
    `tests/integration/test_grid_resume.py::test_a_killed_grid_goes_on_and_ends_as_a_serial_one` fails without this.
    """
    if not multiprocessing.current_process().name.startswith("LokyProcess"):
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_WATCH_S)
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for BLAS, OpenMP and Numba inside, so that workers share the machine and sums have one order."""
    import numba
    import scipy.linalg  # noqa: F401 - only libraries that are loaded can be limited
    import sklearn.metrics  # noqa: F401
    from threadpoolctl import threadpool_limits

    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with threadpool_limits(limits=1):
            yield
    finally:
        numba.set_num_threads(before)


@functools.cache
def _controller() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401 - only libraries that are loaded can be controlled
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def usable_threads() -> int:
    """Threads that both BLAS and Numba may use here: one in workers and inside `one_thread`.

    Examples
    --------
    >>> with one_thread():
    ...     usable_threads()
    1
    """
    import numba

    blas = [int(one["num_threads"]) for one in _controller().info() if one["user_api"] == "blas"]
    return min([numba.get_num_threads(), *blas])


def one_blas_thread() -> contextlib.AbstractContextManager[object]:
    """One thread for BLAS inside, where threads of our own call it; quick to enter."""
    return _controller().limit(limits=1, user_api="blas")


# Multiply-adds below which threads of BLAS cost more in waiting for each other than they save.
_WORTH_THREADS = 1e8


def threads_for(work: float) -> contextlib.AbstractContextManager[None]:
    """One thread inside where passes over the data are small (`work`, multiply-adds), else as many as there are."""
    return one_thread() if work < _WORTH_THREADS else contextlib.nullcontext()
