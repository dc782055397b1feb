"""Bar: on recordings the HMM-GLM predicts held-out time better than a static GLM and than an HMM without couplings.

Bits per spike of five blocks of time, each scored by a model fitted to the rest less a second on
both sides. Beside each model is its difference to the HMM-GLM, block by block, with standard error. Every model with
states has 2, 3 and 4 of them; each is compared at its own best number. "own history": units follow the state and their
own past, not each other. Recordings are read from the folder NEURODATA_DATA; `--recordings allen` takes only some.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import neurodata as nd
from benchmarks._coupling_off import PoissonHMM, UncoupledHMM
from benchmarks._recordings import RECORDINGS
from neurodata.errors import NeurodataWarning

N_FOLDS, STATES = 5, (2, 3, 4)
STATIC, WHOLE = "static GLM", "HMM-GLM"
# Class and settings. Without couplings there is nothing to learn a prior from, and no filter needs a shape.
MODELS: dict[str, tuple[type[nd.models.HMMGLM], dict[str, Any]]] = {
    STATIC: (nd.models.HMMGLM, {}),
    "HMM, no history": (PoissonHMM, {"prior": None, "n_basis": 1}),
    "HMM, own history": (UncoupledHMM, {"prior": None}),
    WHOLE: (nd.models.HMMGLM, {}),
}
COMPARED = (STATIC, "HMM, no history")
# Amplitudes of calcium events have a heavy tail: through an exponential one large event may predict anything.
LINK = {"calcium": "softplus"}


def scores(model: nd.models.HMMGLM, counts: xr.DataArray, gap: float) -> np.ndarray:
    """Held-out bits/spike of each block."""
    found = []
    for train, test in nd.preprocess.blocked_splits(counts, N_FOLDS, gap=gap):
        # A block in the middle leaves two stretches, which a jump in time keeps apart.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NeurodataWarning)
            model.fit(counts.isel(time=train))
        found.append(model.score(counts.isel(time=test)))
    return np.array(found)


def compare(name: str, counts: xr.DataArray, states: Sequence[int] = STATES) -> int:
    """Print the table of one recording; how many models are not below the HMM-GLM."""
    width = float(counts.attrs["bin_width"])
    history = max(0.1, width)
    link = LINK.get(name, "exp")
    spikes = counts.values.sum()
    print(
        f"{name}: {counts.sizes['unit']} units, {counts.sizes['time']} bins of {width:g} s, {spikes} spikes, history"
        f" {history:g} s, link {link}",
        flush=True,
    )
    best: dict[str, np.ndarray] = {}
    for label, (kind, settings) in MODELS.items():
        start, tried = time.process_time(), {}
        for n in (1,) if label == STATIC else states:
            model = kind(n_states=n, history=history, link=link, rng=0, **settings)
            tried[n] = scores(model, counts, max(1.0, 2.0 * width))
        chosen = max(tried, key=lambda n: tried[n].mean())
        best[label] = tried[chosen]
        print(
            f"  {label}: {tried[chosen].mean():.4f} with {chosen} states ("
            + ", ".join(f"{n}: {values.mean():.4f}" for n, values in tried.items())
            + f"); blocks {np.round(tried[chosen], 3).tolist()}; {time.process_time() - start:.0f} s",
            flush=True,
        )
    missed = 0
    for label in MODELS:
        if label == WHOLE:
            continue
        difference = best[WHOLE] - best[label]
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        above = difference.mean() > 0
        judged = f", bar above 0, {'met' if above else 'missed'}" if label in COMPARED else ""
        missed += label in COMPARED and not above
        print(f"{name}: {WHOLE} less {label} {difference.mean():+.4f}, s.e. {error:.4f}{judged}", flush=True)
    return missed


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--recordings", nargs="+", default=list(RECORDINGS), choices=list(RECORDINGS))
    parser.add_argument("--states", type=int, nargs="+", default=STATES)
    arguments = parser.parse_args()
    folder = os.environ.get("NEURODATA_DATA")
    if not folder:
        print("no recordings: set NEURODATA_DATA to their folder")
        return 1
    missed = 0
    for name in arguments.recordings:
        missed += compare(name, RECORDINGS[name](Path(folder)), arguments.states)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
