"""Bars: the embedded engine, brian2 and NEST give the same activity of the network of Vogels and Abbott, over 5 seeds.

Mean rate: with current synapses within 3 %, with conductances within 10 %. Rates and CVs of intervals of neurons,
pooled intervals and correlations of pairs: the Kolmogorov-Smirnov distance between engines on the same graph is no
larger than the largest between two seeds of one engine. With current synapses all three integrate exactly, and give
the same spikes for as long as rounding does not tell them apart.
"""

from __future__ import annotations

import sys
from itertools import combinations

import numpy as np
from scipy.stats import ks_2samp

import neurodata as nd
from neurodata.simulate import zoo

SEEDS, DURATION, SKIP = 5, 3.0, 0.2
ENGINES = ("numba", "brian2", "nest")
BARS = {"current": 0.03, "conductance": 0.10}
FEWEST_INTERVALS, N_PAIRED, BIN = 5, 200, 0.01


def activity(circuit: nd.simulate.Circuit, engine: str, seed: int) -> dict[str, np.ndarray]:
    """Rates (Hz), CVs, intervals (s) and correlations, without the first 0.2 s."""
    node = nd.simulate.run(circuit, DURATION, rng=seed, engine=engine)["spikes"]
    trains = np.split(node["spike_time"].values, np.cumsum(node["spike_count"].values)[:-1])
    trains = [train[train >= SKIP] for train in trains]
    intervals = [np.diff(train) for train in trains]
    enough = [x for x in intervals if x.size >= FEWEST_INTERVALS]
    edges = np.arange(SKIP, DURATION + BIN / 2, BIN)
    chosen = np.random.default_rng(0).choice(len(trains), N_PAIRED, replace=False)
    counts = np.array([np.histogram(trains[i], edges)[0] for i in chosen if trains[i].size >= FEWEST_INTERVALS])
    return {
        "rate": np.array([train.size for train in trains]) / (DURATION - SKIP),
        "CV": np.array([x.std() / x.mean() for x in enough]),
        "interval": np.concatenate(intervals),
        "correlation": np.corrcoef(counts)[np.triu_indices(len(counts), 1)],
    }


def main() -> int:
    missed = 0
    for synapse, bar in BARS.items():
        found = {
            (engine, seed): activity(zoo.balanced(4000, synapse=synapse, rng=seed), engine, seed)
            for seed in range(SEEDS)
            for engine in ENGINES
        }
        rate = {e: np.mean([found[e, seed]["rate"].mean() for seed in range(SEEDS)]) for e in ENGINES}
        print(
            f"{synapse} synapses, {SEEDS} seeds, {DURATION:g} s: "
            + ", ".join(f"{e} {r:.2f} Hz" for e, r in rate.items())
        )
        for other in ENGINES[1:]:
            off = rate["numba"] / rate[other] - 1.0
            missed += abs(off) > bar
            print(f"  mean rate against {other}: {off:+.2%}, bar {bar:.0%}: {'met' if abs(off) <= bar else 'missed'}")
        for name in ("rate", "CV", "interval", "correlation"):
            within = max(
                ks_2samp(found[e, a][name], found[e, b][name]).statistic
                for e in ENGINES
                for a, b in combinations(range(SEEDS), 2)
            )
            for other in ENGINES[1:]:
                between = [ks_2samp(found["numba", s][name], found[other, s][name]).statistic for s in range(SEEDS)]
                met = max(between) <= within
                missed += not met
                print(
                    f"  {name}: KS distance to {other} at most {max(between):.4f} (median {np.median(between):.4f}), "
                    f"between seeds up to {within:.4f}: {'met' if met else 'missed'}"
                )
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
