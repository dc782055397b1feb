"""Bi-clustering of simulated counts: clusters and states found, numbers of both, agreement of chains, coverage.

Bars, over data seeds, 4 chains from starts far apart, nothing tuned: on the author's simulation (30 units, 500 bins,
3 clusters, 2 states) unit ARI 1.0 and 95 % of draws with 3 clusters, state accuracy 98 % and ARI 0.92, 80 % of draws
with 2 states; clusters of 20, 6 and 4 units with weak loadings: unit ARI 0.9; one cluster: its posterior probability
0.9; 30 % of counts missing: unit ARI 1.0 and state ARI within 0.05; 100 units, 1000 bins, 5 clusters, 3 states: unit
ARI 0.98, state ARI 0.85, 10 minutes. 90 % bands of log rates hold 0.87 to 0.93 of them; R-hat below 1.01, bulk ESS 400.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score

import neurodata as nd
from benchmarks._clustered_counts import Clustered, draw

CASES = {
    "author": {},
    "unequal": {"sizes": (20, 6, 4), "loading_sd": 0.3},
    "null": {"sizes": (30,)},
    "missing": {},
    "large": {"sizes": (20,) * 5, "n_bins": 1000, "n_states": 3},
}


def run(case: str, seed: int, n_warmup: int, n_draws: int, n_jobs: int) -> dict[str, float]:
    """One fit; what is measured."""
    truth = draw(seed, **CASES[case])
    counts = truth.counts.astype(float)
    if case == "missing":
        counts[np.random.default_rng(1000 + seed).random(counts.shape) < 0.3] = np.nan
    data = nd.containers.make_counts(counts.T, bin_width=0.5)
    start = time.perf_counter()
    model = nd.models.BiClustering(n_warmup=n_warmup, n_draws=n_draws, rng=seed, n_jobs=n_jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(data)
    seconds = time.perf_counter() - start
    return measures(model, truth) | {"seconds": seconds}


def measures(model: nd.models.BiClustering, truth: Clustered) -> dict[str, float]:
    """Agreement with the truth."""
    state = model.state_.values
    table = np.zeros((truth.state.max() + 1, state.max() + 1))
    np.add.at(table, (truth.state, state), 1)
    rows, columns = linear_sum_assignment(-table)
    n_clusters, n_states = model.n_clusters_.to_series(), model.n_states_.to_series()
    band = model.predict_rate(level=0.9)
    assert not isinstance(band, list)
    log_rate = truth.log_mean.T
    held = (band["low"].values <= log_rate) & (log_rate <= band["high"].values)
    diagnostics = model.diagnostics_.to_dataframe()
    return {
        "unit ARI": adjusted_rand_score(truth.cluster, model.unit_cluster_.values),
        "P(K true)": float(n_clusters.get(truth.cluster.max() + 1, 0.0)),
        "state accuracy": table[rows, columns].sum() / len(state),
        "state ARI": adjusted_rand_score(truth.state, state),
        "P(S true)": float(n_states.get(truth.state.max() + 1, 0.0)),
        "largest R-hat": float(diagnostics["r_hat"].max()),
        "least ESS": float(diagnostics["ess"].min()),
        "coverage": float(held.mean()),
    }


def main(arguments: list[str] | None = None) -> int:
    """Print a row per fit and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", nargs="+", choices=list(CASES), default=["author", "unequal", "null", "missing"])
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args(arguments)
    print(__doc__)
    for case in chosen.cases:
        rows = []
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            rows.append(run(case, seed, chosen.warmup, chosen.draws, chosen.jobs))
            print(f"{case:8s} seed {seed}", *(f"{name} {value:.3g};" for name, value in rows[-1].items()), flush=True)
        print(f"{case:8s} mean  ", *(f"{name} {np.mean([row[name] for row in rows]):.3g};" for name in rows[0]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
