"""Parallel runs: joblib over independent tasks, one numeric thread in each, never both levels at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
