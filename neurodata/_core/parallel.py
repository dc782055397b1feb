"""Parallel runs: joblib over independent tasks, one numeric thread in each, never both levels at once."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


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

    # One call per batch: calls are long, and a worker that dies takes no others with it.
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="n_jobs")
    yield from parallel(joblib.delayed(function)(*call) for call in calls)


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
