"""Bar: a grid of 2 models x 6 circuits x 3 observations x 3 seeds, killed half way, resumes, under 10 min, as serial.

With the four baselines that are 324 cells, of 30 neurons and 60 s. It is run with 2 workers, its process is killed
(SIGKILL) when half of the cells are on disk, and it is run again on the same store. The two runs together have to take
under 10 minutes, the second must not do again what was finished, and the result has to be identical, apart from
runtimes, to that of one process without a store.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import xarray as xr

import neurodata as nd

BAR = 600.0
N, DURATION, SEEDS = 30, 60.0, 3
CELLS = 6 * 6 * 3 * 3


def settings() -> dict:
    zoo = nd.simulate.zoo
    return {
        "models": {
            "glm": nd.models.HMMGLM(n_states=1, n_restarts=1, max_iter=50),
            "hmm_glm": nd.models.HMMGLM(n_states=2, n_restarts=2, max_iter=50),
        },
        "circuits": {
            "static": zoo.static(n=N, rng=0),
            "null": zoo.null(n=N, rng=0),
            "clustered": zoo.clustered(n=N, rng=0),
            "ring": zoo.ring(n=N, rng=0),
            "common_input": zoo.common_input(n=N, rng=0),
            "switching_coupling": zoo.switching_coupling(n=N, rng=0),
        },
        "observations": {
            "full": [],
            "sorted": [nd.simulate.Subsample(fraction=0.7), nd.simulate.Sorting()],
            "imaged": [nd.simulate.Calcium(indicator="GCaMP6f", noise_level=2.0)],
        },
        "seeds": SEEDS,
        "duration": DURATION,
    }


def one_run(n_jobs: int, store: Path | None, out: Path) -> None:
    """What each process does."""
    result = nd.validate.grid(**settings(), n_jobs=n_jobs, store=store, progress=sys.stderr.isatty())
    nd.containers.store.write_tree(xr.DataTree(result), out)


def command(n_jobs: int, store: Path | None, out: Path) -> list[str]:
    return [sys.executable, __file__, "--run", str(n_jobs), str(store or ""), str(out)]


def timed(*arguments) -> tuple[float, float]:
    """Wall and CPU time of a run with its workers, s."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command(*arguments), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.perf_counter() - start, used


def killed_half_way(store: Path, out: Path) -> float:
    """Start a run, kill its process when half of the cells are there; s."""
    start = time.perf_counter()
    process = subprocess.Popen(command(2, store, out))
    while len(list(store.glob("[!.]*.nc"))) < CELLS // 2:
        if process.poll() is not None:
            raise SystemExit("the run ended before it could be killed")
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return time.perf_counter() - start


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        store, parallel, serial = Path(folder) / "store", Path(folder) / "parallel.nc", Path(folder) / "serial.nc"
        store.mkdir()
        first = killed_half_way(store, parallel)
        time.sleep(1.0)  # what the workers were writing is there now
        kept = {path: path.stat().st_mtime_ns for path in store.glob("[!.]*.nc")}
        second, second_cpu = timed(2, store, parallel)
        untouched = sum(path.stat().st_mtime_ns == when for path, when in kept.items())
        alone, alone_cpu = timed(1, None, serial)
        a, b = (nd.containers.store.read_tree(path, lazy=False).to_dataset() for path in (parallel, serial))
        n_failed = int((b["error"] != "").sum())
        same = a.drop_vars("runtime").identical(b.drop_vars("runtime"))
        print(b["score"].sel(metric="ap").mean(("seed", "circuit"), skipna=True).to_pandas().round(3))
        print(
            f"median runtime of a cell: {b['runtime'].median(('circuit', 'observation', 'seed')).to_series().round(2)}"
        )
    print(f"{CELLS} cells, {N} neurons, {DURATION:g} s: {n_failed} failed")
    print(
        f"killed after {first:.0f} s with {len(kept)} cells on disk; resumed in {second:.0f} s ({second_cpu:.0f} CPU s)"
    )
    print(f"serial {alone:.0f} s ({alone_cpu:.0f} CPU s)")
    print(f"finished cells that the second run left as they were: {untouched} of {len(kept)}")
    print(f"identical to serial: {same}")
    met = same and untouched == len(kept) and first + second < BAR and n_failed == 0
    print(f"bar {BAR:.0f} s: {first + second:.0f} s, {'met' if met else 'missed'}")
    return int(not met)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--run", nargs=3, metavar=("N_JOBS", "STORE", "OUT"))
    given = parser.parse_args().run
    if given:
        one_run(int(given[0]), Path(given[1]) if given[1] else None, Path(given[2]))
    else:
        sys.exit(main())
