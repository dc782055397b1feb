"""Bar: co-smoothing tells the number of states of the paper's simulation, 2, 3 or 5, in at least 9 of 10 networks each.

5 sequences of 1000 bins, candidates 1 to 6, three blocks of each sequence held out in turn. The model has the settings
the data were made with (sigmoid, exponential basis of five bins) and its own defaults otherwise. Beside the choice are
those by held-out likelihood and by BIC. `--states 3 --seeds 2` runs fewer; all thirty networks take some forty minutes.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
import xarray as xr

import neurodata as nd
from benchmarks._switching_networks import BIN_WIDTH, N_LAGS, draw

STATES, CANDIDATES = (2, 3, 5), (1, 2, 3, 4, 5, 6)
N_BINS, N_SEQUENCES, N_FOLDS = 1000, 5, 3
BAR = 0.9


def table_of(n_states: int, seed: int, n_restarts: int = 5) -> xr.Dataset:
    """Scores of all candidates on one network of `n_states` states."""
    network = draw(n_states, N_BINS, N_SEQUENCES, 1, seed)
    model = nd.models.HMMGLM(
        link="sigmoid", basis="exponential", history=N_LAGS * BIN_WIDTH, rng=0, n_restarts=n_restarts
    )
    return nd.models.select_n_states(model, network.train, CANDIDATES, n_folds=N_FOLDS)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--states", type=int, nargs="+", default=STATES)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args()
    missed = 0
    for n_states in arguments.states:
        right = {"best_by_cosmoothing": 0, "best": 0, "best_by_bic": 0}
        for seed in range(arguments.first_seed, arguments.first_seed + arguments.seeds):
            start = time.process_time()
            table = table_of(n_states, seed)
            for name in right:
                right[name] += int(table[name]) == n_states
            print(
                f"  S={n_states}, seed {seed}: co-smoothing chose {int(table.best_by_cosmoothing)}, held-out likelihood"
                f" {int(table.best)}, BIC {int(table.best_by_bic)}; bits/spike"
                f" {np.round(table.mean_cosmoothing.values, 4).tolist()}, s.e. of the difference to the highest"
                f" {np.round(table.cosmoothing_se.values, 4).tolist()}; {time.process_time() - start:.0f} s",
                flush=True,
            )
        share = right["best_by_cosmoothing"] / arguments.seeds
        print(
            f"S={n_states}: right by co-smoothing in {right['best_by_cosmoothing']} of {arguments.seeds}, bar"
            f" {BAR:.0%}, {'met' if share >= BAR else 'missed'}; by held-out likelihood {right['best']}, by BIC"
            f" {right['best_by_bic']}",
            flush=True,
        )
        missed += share < BAR
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
