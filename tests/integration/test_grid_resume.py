"""A grid that is really killed: it goes on where it was, and ends with what one process would have given."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import xarray as xr

import neurodata as nd
from neurodata.validate._cache import read

PROGRAM = """
import sys
from pathlib import Path
import xarray as xr
import neurodata as nd

def settings():
    zoo, simulate = nd.simulate.zoo, nd.simulate
    return dict(
        models={
            "glm": nd.models.HMMGLM(prior=None, n_states=1, n_restarts=1, max_iter=20, tol=1e-4),
            "hmm_glm": nd.models.HMMGLM(prior=None, n_states=2, n_restarts=1, max_iter=20, tol=1e-3),
        },
        circuits={"static": zoo.static(n=12, p=0.3, rng=0), "null": zoo.null(n=12, rng=0)},
        observations={"full": [], "half": [simulate.Subsample(fraction=0.5), simulate.Sorting()]},
        seeds=2,
        duration=15.0,
    )

if __name__ == "__main__":
    n_jobs, store, out = sys.argv[1:]
    if n_jobs == "dask":
        import joblib
        from dask.distributed import Client, LocalCluster

        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster):
            with joblib.parallel_config(backend="dask"):
                result = nd.validate.grid(**settings(), n_jobs=-1)
    else:
        result = nd.validate.grid(**settings(), n_jobs=int(n_jobs), store=store or None)
    nd.containers.store.write_tree(xr.DataTree(result), out)
"""
# Two models and four baselines.
CELLS = 6 * 2 * 2 * 2
# A run that does not end in this time (s) hangs; it takes about ten on two idle cores.
PATIENCE = 300.0


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("grid") / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture(scope="module")
def serial(program) -> xr.Dataset:
    out = program.with_name("serial.nc")
    subprocess.run([sys.executable, program, "1", "", out], check=True, timeout=PATIENCE)
    return _read(out)


def _read(path: Path) -> xr.Dataset:
    return nd.containers.store.read_tree(path, lazy=False).to_dataset()


def _start_and_wait_for(program: Path, store: Path, n_cells: int) -> subprocess.Popen:
    """A run of two workers in a session of its own, with `n_cells` cells on disk; it writes errors beside the store."""
    arguments = [sys.executable, program, "2", store, program.with_name("never.nc")]
    said = store.with_suffix(".txt")
    with said.open("wb") as file:
        process = subprocess.Popen(arguments, start_new_session=True, stderr=file)
    end = time.monotonic() + PATIENCE
    while len(list(store.glob("[!.]*.nc"))) < n_cells:
        assert process.poll() is None, said.read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    return process


def _gone(processes: list[psutil.Process]) -> bool:
    """Whether all have ended."""
    _, alive = psutil.wait_procs(processes, timeout=30)
    return not [p for p in alive if p.status() != psutil.STATUS_ZOMBIE]


def _finish(program: Path, store: Path, out: Path) -> tuple[int, xr.Dataset]:
    """Run again on the store: how many files were left as they were, and the result."""
    kept = {path: path.stat().st_mtime_ns for path in store.glob("[!.]*.nc")}
    subprocess.run([sys.executable, program, "2", store, out], check=True, timeout=PATIENCE)
    return sum(path.stat().st_mtime_ns == when for path, when in kept.items()) - len(kept), _read(out)


def test_a_killed_grid_goes_on_and_ends_as_a_serial_one(program, serial, tmp_path):
    store = tmp_path / "store"
    process = _start_and_wait_for(program, store, CELLS // 3)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    # Workers of a grid that is no more do not go on beside the one that resumes.
    assert _gone(workers)
    done = len(list(store.glob("[!.]*.nc")))
    assert CELLS // 3 <= done < CELLS
    changed, result = _finish(program, store, tmp_path / "out.nc")
    assert changed == 0
    assert result.sizes["seed"] * result.sizes["model"] * result.sizes["circuit"] * 2 == CELLS
    xr.testing.assert_identical(result.drop_vars("runtime"), serial.drop_vars("runtime"))
    assert (result["error"] == "").all()
    assert len(list(store.glob("[!.]*.nc"))) == CELLS


def test_an_interrupted_grid_leaves_no_worker_and_whole_cells(program, tmp_path):
    store = tmp_path / "store"
    process = _start_and_wait_for(program, store, 4)
    workers = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)  # what a terminal sends on Ctrl-C
    assert process.wait(timeout=PATIENCE) != 0
    assert "KeyboardInterrupt" in store.with_suffix(".txt").read_text()
    assert _gone(workers)
    kept = list(store.glob("[!.]*.nc"))
    assert 4 <= len(kept) < CELLS
    for path in kept:
        assert np.isfinite(read(store, path.stem, ()).runtime)


def test_a_dask_cluster_gives_what_one_process_gives(program, serial, tmp_path):
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    out = tmp_path / "out.nc"
    subprocess.run([sys.executable, program, "dask", "", out], check=True, timeout=PATIENCE)
    xr.testing.assert_identical(_read(out).drop_vars("runtime"), serial.drop_vars("runtime"))
