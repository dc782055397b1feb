"""Clocks of the HMM-GLM's benchmarks."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import numpy as np


def one_core() -> None:
    """Keep this process, and threads it starts later, on one of the cores it may use."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def clocked(do: Callable[[], Any], repeats: int = 1) -> np.ndarray:
    """CPU and wall time of one call, s."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        do()
    return np.array([time.process_time() - cpu, time.perf_counter() - wall]) / repeats


def in_turns(calls: dict[str, Callable[[], Any]], rounds: int, repeats: int = 1) -> dict[str, np.ndarray]:
    """CPU and wall time, (round, 2), of each call; all have their turn in every round, after one that is not timed."""
    for do in calls.values():
        do()
    rows: dict[str, list[np.ndarray]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, do in calls.items():
            rows[name].append(clocked(do, repeats))
    return {name: np.array(row) for name, row in rows.items()}


def said(what: str, figure: float, bar: float, *, least: bool, beside: str = "") -> bool:
    """Print a figure with its bar, a smallest one or a largest one; True when it is met."""
    met = figure >= bar if least else figure <= bar
    relation, verdict = ">=" if least else "<=", "met" if met else "missed"
    print(f"{what}: {figure:.3g}, bar {relation} {bar:g}: {verdict}{beside}", flush=True)
    return bool(met)
