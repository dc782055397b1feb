"""Held-out counts of a recording under bi-clustering and under the same model with less in it.

Counts of 63 units in 720 bins of 0.5 s (Allen Visual Coding), a tenth of them held out at random. Bar: bits per spike
above those with one cluster, with one state, and with one cluster of Poisson counts. Differences are summed within
twenty stretches of time, whose spread gives the standard error. Recordings are read from the folder NEURODATA_DATA.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

import neurodata as nd
from benchmarks._recordings import RECORDINGS

WHOLE = "clusters and states"
MODELS: dict[str, dict[str, Any]] = {
    WHOLE: {},
    "one cluster": {"max_clusters": 1},
    "one state": {"max_states": 1},
    "one cluster, Poisson": {"max_clusters": 1, "observation": "poisson"},
}
# The paper's prior, where `BiClustering` departs from it.
PAPER = {
    "transition_mean": 1.0,
    "transition_precision": 1.0,
    "dispersion_shape": 1.0,
    "dispersion_rate": 1.0,
    "sticky_shape": 1500.0,
    "sticky_rate": 100.0,
    "stick_a": 200.0,
    "stick_b": 100.0,
    "states_shape": 500.0,
    "states_rate": 100.0,
}
N_STRETCHES = 20


def main(arguments: list[str] | None = None) -> int:
    """Print scores and differences; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--warmup", type=int, default=400)
    parser.add_argument("--draws", type=int, default=400)
    parser.add_argument("--chains", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    folder = os.environ.get("NEURODATA_DATA")
    if not folder:
        print("no recordings: set NEURODATA_DATA to their folder")
        return 1
    print(__doc__)
    counts = RECORDINGS["allen"](Path(folder))
    mask = nd.models.speckle(counts, 0.1, rng=chosen.seed)
    entries, missed = {}, 0
    for name, settings in {**MODELS, "clusters and states, the paper's prior": PAPER}.items():
        start = time.perf_counter()
        model = nd.models.BiClustering(
            n_chains=chosen.chains,
            n_warmup=chosen.warmup,
            n_draws=chosen.draws,
            rng=chosen.seed,
            n_jobs=chosen.jobs,
            **settings,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(counts.where(~mask))
        entries[name] = model.log_predictive(counts, mask)
        print(
            f"{name}: {model.score(counts, mask):.4f} bits/spike; clusters {model.n_clusters_.to_series().to_dict()}, "
            f"states {model.n_states_.to_series().to_dict()}; {time.perf_counter() - start:.0f} s",
            flush=True,
        )
        if name == WHOLE or name not in MODELS:
            continue
        stretch = entries[name]["bin"].values * N_STRETCHES // counts.sizes["time"]
        gain = np.bincount(stretch, (entries[WHOLE] - entries[name]).values, N_STRETCHES) / np.log(2.0)
        n_spikes = float(entries[name]["count"].sum())
        mean, error = gain.sum() / n_spikes, gain.std(ddof=1) * np.sqrt(N_STRETCHES) / n_spikes
        missed += mean <= 0.0
        print(f"  {WHOLE} less {name}: {mean:+.4f} +- {error:.4f}, bar above 0: {'met' if mean > 0 else 'missed'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
