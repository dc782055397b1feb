"""Time of a sweep of the bi-clustering sampler over that of as many Polya-Gamma draws by the `polyagamma` package.

Bar: at most 2.0 at every size, over 50 sweeps and more, one core, both timed in turns. Also printed: CPU s of 1000
sweeps, growth with the number of bins, and the largest memory of the process (bar: below 2 GB at 200 x 10000).
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np
from polyagamma import random_polyagamma

from benchmarks._clustered_counts import draw
from neurodata.models.bicluster import warm_up
from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.state import Counts
from neurodata.models.bicluster.sweep import Settings, log_means, sweep

# Units per cluster, clusters, bins.
SIZES = {
    "30x500": (10, 3, 500),
    "63x720": (21, 3, 720),
    "100x1000": (20, 5, 1000),
    "30x5000": (10, 3, 5000),
    "30x10000": (10, 3, 10000),
    "200x1000": (25, 8, 1000),
    "200x10000": (25, 8, 10000),
}
BAR = 2.0


def measure(name: str, n_sweeps: int) -> tuple[float, float]:
    """CPU s of a sweep, and its median ratio to the draws of the package."""
    per_cluster, n_clusters, n_bins = SIZES[name]
    truth = draw(0, sizes=(per_cluster,) * n_clusters, n_bins=n_bins, dwell=25.0)
    rng = np.random.default_rng(0)
    data, prior, settings = Counts.of(truth.counts, np.array([0, n_bins])), Prior(), Settings()
    state = warm_up.over_dispersed(rng, data, prior, 0)
    state.cluster, state.path = truth.cluster.copy(), truth.state.copy()
    for _ in range(5):
        warm_up.settle_once(rng, state, data, prior, settings)
    state, _ = sweep(rng, state, data, prior, settings)
    ours, theirs = [], []
    for _ in range(n_sweeps):
        start = time.process_time()
        state, _ = sweep(rng, state, data, prior, settings)
        ours.append(time.process_time() - start)
        r = state.dispersion[:, None]
        shape, tilt = data.counts + r, log_means(state) - np.log(r)
        start = time.process_time()
        random_polyagamma(shape, tilt, random_state=rng)
        theirs.append(time.process_time() - start)
    return float(np.median(ours)), float(np.median(np.array(ours) / np.array(theirs)))


def main(arguments: list[str] | None = None) -> int:
    """Print a row per size; 1 if one is above the bar."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--sweeps", type=int, default=50)
    chosen = parser.parse_args(arguments)
    print(__doc__)
    missed = False
    per_bin = {}
    for name in chosen.sizes:
        seconds, ratio = measure(name, chosen.sweeps)
        per_bin[name] = seconds / SIZES[name][2]
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
        print(
            f"{name:10s} {1000 * seconds:7.1f} CPU s per 1000 sweeps, ratio {ratio:.2f}, largest memory {peak:.2f} GB"
        )
        missed |= ratio > BAR
    if {"30x500", "30x10000"} <= per_bin.keys():
        print(f"growth: a bin at 10000 bins over one at 500: {per_bin['30x10000'] / per_bin['30x500']:.2f}")
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
