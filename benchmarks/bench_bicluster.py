"""Bi-clustering of simulated counts: clusters and states found, numbers of both, agreement of chains, coverage.

Four chains from starts far apart, nothing tuned. The bars are those of `BARS`, for the means over data seeds. How far
states can be told at all is printed beside ("limit"): state accuracy and ARI with all parameters, loadings and clusters
known, and only trajectories and path to be found. Where that is below a bar, no method reaches the bar.

"circuit": three populations of integrate-and-fire neurons, each with a slow drive of its own, under two drive regimes.
Fitted without latent factors: a cluster is then one course, as one cluster of three dimensions holds three populations.
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
from benchmarks import _grouped_circuit
from benchmarks._clustered_counts import Clustered, draw
from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.state import Counts, State
from neurodata.models.bicluster.sweep import Settings, draw_path, draw_weights, log_means, move_path

CASES = {
    "author": {},
    "unequal": {"sizes": (20, 6, 4), "loading_sd": 0.3},
    "null": {"sizes": (30,)},
    "missing": {},
    "large": {"sizes": (20,) * 5, "n_bins": 1000, "n_states": 3},
    "circuit": {},
}
# (measure, least, most) by case; large also takes at most ten minutes on two cores.
COMMON = [("coverage", 0.87, 0.93), ("largest R-hat", 0.0, 1.01), ("least ESS", 400.0, np.inf)]
BARS = {
    "author": [
        ("unit ARI", 1.0, 1.0),
        ("P(K true)", 0.95, 1.0),
        ("state accuracy", 0.98, 1.0),
        ("state ARI", 0.92, 1.0),
        ("P(S true)", 0.8, 1.0),
        *COMMON,
    ],
    "unequal": [("unit ARI", 0.9, 1.0)],
    "null": [("P(K true)", 0.9, 1.0)],
    "missing": [("unit ARI", 1.0, 1.0)],
    "circuit": [("unit ARI", 0.95, 1.0), ("state ARI", 0.9, 1.0)],
    "large": [("unit ARI", 0.98, 1.0), ("state ARI", 0.85, 1.0), ("seconds", 0.0, 600.0)],
}


def run(case: str, seed: int, n_warmup: int, n_draws: int, thin: int, n_jobs: int) -> dict[str, float]:
    """One fit; what is measured."""
    if case == "circuit":
        circuit = _grouped_circuit.draw(seed)
        model = nd.models.BiClustering(
            n_latents=0, n_warmup=n_warmup, n_draws=n_draws, thin=thin, rng=seed, n_jobs=n_jobs
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.fit(circuit.counts)
        return agreement(model, circuit.group, circuit.regime)
    truth = draw(seed, **CASES[case])
    counts = truth.counts.astype(float)
    if case == "missing":
        counts[np.random.default_rng(1000 + seed).random(counts.shape) < 0.3] = np.nan
    data = nd.containers.make_counts(counts.T, bin_width=0.5)
    start = time.perf_counter()
    model = nd.models.BiClustering(n_warmup=n_warmup, n_draws=n_draws, thin=thin, rng=seed, n_jobs=n_jobs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(data)
    seconds = time.perf_counter() - start
    known = known_parameters(truth, Prior(), np.random.default_rng(seed))
    return measures(model, truth) | known | {"seconds": seconds}


def known_parameters(truth: Clustered, prior: Prior, rng: np.random.Generator, n_sweeps: int = 300) -> dict[str, float]:
    """State accuracy and ARI of the most probable state of each bin, all but trajectories and path known."""
    n_clusters, n_bins, m = truth.x.shape
    n_states = len(truth.matrices)
    data = Counts.of(truth.counts, np.array([0, n_bins]))
    switch = np.full((n_states, n_states), 0.02 / max(1, n_states - 1))
    np.fill_diagonal(switch, 0.98 if n_states > 1 else 1.0)
    state = State(
        dispersion=np.full(len(truth.cluster), 10.0),
        baseline=truth.baseline.copy(),
        loading=truth.loading.copy(),
        cluster=truth.cluster.astype(np.int64),
        x=truth.x.copy(),
        transition=np.ascontiguousarray(truth.matrices.transpose(1, 0, 2, 3)),
        offset=np.zeros((n_clusters, n_states, m)),
        noise=np.tile(truth.noise * np.eye(m), (n_clusters, n_states, 1, 1)),
        path=truth.state.astype(np.int64),
        beta=np.full(n_states, 1.0 / n_states),
        switch=switch,
        mass=20.0,
        stick=0.98,
        gamma=1.0,
    )
    settings, times = Settings(), np.zeros((n_bins, n_states))
    for sweep in range(n_sweeps):
        weight = draw_weights(rng, state, data, log_means(state), settings)
        move_path(rng, state, data, prior, weight, settings)
        draw_path(rng, state, data)
        if sweep >= n_sweeps // 4:
            times[np.arange(n_bins), state.path] += 1
    found = times.argmax(axis=1)
    return {
        "limit of state accuracy": float((found == truth.state).mean()),
        "limit of state ARI": adjusted_rand_score(truth.state, found),
    }


def measures(model: nd.models.BiClustering, truth: Clustered) -> dict[str, float]:
    """Agreement with the truth, and how many log means are inside their bands."""
    band = model.predict_rate(level=0.9)
    assert not isinstance(band, list)
    log_rate = truth.log_mean.T
    held = (band["low"].values <= log_rate) & (log_rate <= band["high"].values)
    return agreement(model, truth.cluster, truth.state) | {"coverage": float(held.mean())}


def agreement(model: nd.models.BiClustering, cluster: np.ndarray, path: np.ndarray) -> dict[str, float]:
    """Clusters, states and their numbers against the truth; R-hat and ESS."""
    state = model.state_.values
    table = np.zeros((path.max() + 1, state.max() + 1))
    np.add.at(table, (path, state), 1)
    rows, columns = linear_sum_assignment(-table)
    n_clusters, n_states = model.n_clusters_.to_series(), model.n_states_.to_series()
    diagnostics = model.diagnostics_.to_dataframe()
    return {
        "unit ARI": adjusted_rand_score(cluster, model.unit_cluster_.values),
        "P(K true)": float(n_clusters.get(cluster.max() + 1, 0.0)),
        "state accuracy": table[rows, columns].sum() / len(state),
        "state ARI": adjusted_rand_score(path, state),
        "P(S true)": float(n_states.get(path.max() + 1, 0.0)),
        "largest R-hat": float(diagnostics["r_hat"].max()),
        "least ESS": float(diagnostics["ess"].min()),
    }


def main(arguments: list[str] | None = None) -> int:
    """Print a row per fit and the means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--cases", nargs="+", choices=list(CASES), default=["author", "unequal", "null", "missing", "circuit"]
    )
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--warmup", type=int, default=500)
    parser.add_argument("--draws", type=int, default=1000)
    parser.add_argument("--thin", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args(arguments)
    print(__doc__)
    missed = 0
    for case in chosen.cases:
        rows = []
        for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds):
            rows.append(run(case, seed, chosen.warmup, chosen.draws, chosen.thin, chosen.jobs))
            print(f"{case:8s} seed {seed}", *(f"{name} {value:.3g};" for name, value in rows[-1].items()), flush=True)
        mean = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        print(f"{case:8s} mean  ", *(f"{name} {value:.3g};" for name, value in mean.items()))
        for name, least, most in BARS[case]:
            ok = least <= mean[name] <= most
            missed += not ok
            print(
                f"{case}: {name} {mean[name]:.3g}, bar {least:g} to {most:g}: {'met' if ok else 'missed'}", flush=True
            )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
