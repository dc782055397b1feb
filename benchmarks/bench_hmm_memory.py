"""Bars of EM on long recordings: memory, growth with their length, and threads.

Memory: 200 units, 100 000 bins, 5 states, ``prior=None``. The highest resident memory of the process while it makes
the design matrix and does three EM iterations, above that before, with the counts there, is at most 3 times the design
matrix (which is part of it): with five columns per pair, the number of shapes in the default basis, and with one
exponential column, where it is hardly larger than the counts as float64. Restarts are not in it: one holds as much as
the next, one after the other.
Growth: time per bin of an EM iteration at 100 units is at most 1.25 times as long at 160 000 bins as at 10 000.
Threads: EM iterations at 100 units, 50 000 bins, are at least 1.6 times as fast on two cores as on one. Processes with
one or two threads take turns, pinned to as many cores; the figure is the ratio of the shortest times, because
what else runs on the machine disturbs two cores more than one.

Each measurement runs in a fresh process.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

MEMORY_BAR, GROWTH_BAR, THREADS_BAR = 3.0, 1.25, 1.6
GROWTH_BINS = (10_000, 40_000, 160_000)
ROUNDS = 5


def status(key: str) -> int:
    """A size from /proc/self/status, bytes."""
    found = re.search(key + r":\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return 1024 * int(found[1])


def measure_memory(n_units: int, n_bins: int, n_shapes: int) -> dict[str, float]:
    from benchmarks._hmm_problem import early, make_problem, simulated
    from neurodata.models.hmm_glm.em import advance

    def work(counts: list[xr.DataArray], state: np.ndarray) -> float:
        problem = make_problem(counts, n_shapes)
        advance(problem, early(problem, state), 2, 0.0)
        return float(problem.design.columns.nbytes)

    work(*simulated(10, 2000, 5))  # imports, compiled code
    given = simulated(n_units, n_bins, 5)
    Path("/proc/self/clear_refs").write_text("5")
    before = status("VmRSS")
    start = time.perf_counter()
    design = work(*given)
    return {"peak": status("VmHWM") - before, "design": design, "seconds": time.perf_counter() - start}


def measure_time(n_units: int, n_bins: int, threads: int, n_iterations: int) -> dict[str, float]:
    """Wall and CPU time of an EM iteration; the process was started with as many threads."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    from benchmarks._hmm_problem import early, make_problem, simulated
    from neurodata._core.parallel import threads_for
    from neurodata.models.hmm_glm.em import advance

    counts, state = simulated(n_units, n_bins, 3)
    problem = make_problem(counts)
    with threads_for(np.inf):
        run = advance(problem, early(problem, state), 1, 0.0)
        wall, cpu = [], []
        for _ in range(3):
            begin = time.perf_counter(), time.process_time()
            advance(problem, run, n_iterations, 0.0)
            wall.append((time.perf_counter() - begin[0]) / n_iterations)
            cpu.append((time.process_time() - begin[1]) / n_iterations)
    return {"wall": min(wall), "cpu": float(np.median(cpu))}


MEASURES: dict[str, Callable[..., dict[str, float]]] = {"memory": measure_memory, "time": measure_time}


def in_process(measure: str, *given: Any, threads: int = 1) -> dict[str, float]:
    """A measurement in a fresh process."""
    environment = {f"{name}_NUM_THREADS": str(threads) for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.bench_hmm_memory", measure, json.dumps(given)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **environment},
    )
    return json.loads(run.stdout.splitlines()[-1])


def memory() -> bool:
    from benchmarks._hmm_timing import said

    met = []
    for n_shapes in (5, 1):
        found = in_process("memory", 200, 100_000, n_shapes)
        beside = f"; peak {found['peak'] / 1e6:.0f} MB, design {found['design'] / 1e6:.0f} MB, {found['seconds']:.0f} s"
        what = f"peak memory over the design matrix, {n_shapes} columns per pair"
        met.append(said(what, found["peak"] / found["design"], MEMORY_BAR, least=False, beside=beside))
    return all(met)


def growth() -> bool:
    from benchmarks._hmm_timing import said

    rows = np.array([[in_process("time", 100, n, 1, 1)["cpu"] / n for n in GROWTH_BINS] for _ in range(3)])
    per_bin = np.median(rows, axis=0)
    beside = "; " + ", ".join(f"{1e6 * t:.1f} us at {n}" for n, t in zip(GROWTH_BINS, per_bin, strict=True))
    return said("time per bin, longest over shortest", per_bin[-1] / per_bin[0], GROWTH_BAR, least=False, beside=beside)


def threads() -> bool:
    from benchmarks._hmm_timing import said

    rows = np.array([[in_process("time", 100, 50_000, n, 2, threads=n)["wall"] for n in (1, 2)] for _ in range(ROUNDS)])
    one, two = rows.min(axis=0)
    middle = np.median(rows, axis=0)
    beside = f"; {one:.3f} s and {two:.3f} s; of medians {middle[0] / middle[1]:.3g}; load {os.getloadavg()[0]:.1f}"
    return said("one core over two", one / two, THREADS_BAR, least=True, beside=beside)


def main() -> int:
    if len(sys.argv) > 1 and sys.argv[1] in MEASURES:
        print(json.dumps(MEASURES[sys.argv[1]](*json.loads(sys.argv[2]))))
        return 0
    met = [memory(), growth(), threads()]
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
