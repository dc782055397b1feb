"""Blocks of spiking neurons that are active in different stages, found in their calcium signals.

75 leaky integrate-and-fire neurons, 60 of them in four recurrent blocks with a slow drive of its own each; of three
stages of 70 to 110 s, each has two blocks active. Seen at 10 frames/s through GCaMP6f with noise and neuropil. Bars, of
each seed: arithmetic NMI of the overall communities with the blocks (excitatory neurons; those without links are a
group by themselves) 0.9 or more; every change of stage that is 15 s or more from either end within 2 s of a boundary
of motif activity, whose number is not given. Boundaries that are no change of stage are counted, without a bar.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np
from sklearn.metrics import normalized_mutual_info_score

import neurodata as nd
from benchmarks._staged_circuit import SECONDS, draw

NMI_BAR, BOUNDARY_BAR, EDGE_S = 0.9, 2.0, 15.0


def main(arguments: list[str] | None = None) -> int:
    """Print figures of each seed; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--motifs", type=int, default=4, help="0: chosen by select_n_motifs")
    chosen = parser.parse_args(arguments)
    print(__doc__)
    missed = 0
    for seed in chosen.seeds:
        data = draw(seed)
        start = time.perf_counter()
        model = nd.models.DynamicConnectome(chosen.motifs or None, rng=seed).fit(data.traces)
        seconds = time.perf_counter() - start
        in_block = data.block >= 0
        label = model.overall_community_.values[in_block]
        nmi = float(normalized_mutual_info_score(data.block[in_block], label))
        inside = data.changes[(data.changes > EDGE_S) & (data.changes < SECONDS - EDGE_S)]
        found = model.boundaries().values
        distance = np.array([np.abs(found - one).min() if found.size else np.inf for one in inside])
        extra = int(sum(np.abs(inside - one).min() > BOUNDARY_BAR for one in found)) if inside.size else found.size
        told = model.boundaries(len(inside)).values
        known = np.array([np.abs(told - one).min() for one in inside])
        ok = nmi >= NMI_BAR and bool((distance <= BOUNDARY_BAR).all())
        missed += not ok
        print(
            f"seed {seed}: {model.n_motifs_} motifs, NMI {nmi:.3f} ({len(np.unique(label))} groups); {len(inside)} "
            f"changes, largest distance {distance.max():.2f} s (their number given: {known.max():.2f} s), {extra} "
            f"boundaries elsewhere; fit {seconds:.0f} s: {'met' if ok else 'MISSED'}",
            flush=True,
        )
    print(f"bars: NMI >= {NMI_BAR}, boundaries within {BOUNDARY_BAR:g} s: {'missed' if missed else 'met'}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
