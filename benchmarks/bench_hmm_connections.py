"""Bar: connections of static circuits of 50 neurons, default HMM-GLM: AP >= 0.80 in 10 min, AP >= 0.97 and MCC >= 0.80
at the model's own threshold in 1 h.

Median EPSP 0.24 mV (and, beside it, half of that); truth is hidden from the model. `--quick` leaves out the hours.
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

import neurodata as nd
from neurodata.simulate import zoo
from neurodata.validate import metrics

SHOWN = ("ap", "mcc", "mcc_at_count", "auroc", "sign_accuracy", "false_positive_rate", "edge_brier")
# Name, EPSP (mV), s, seeds, bars.
CASES = (
    ("10 min, 0.24 mV", 0.24, 600.0, 3, {"ap": 0.80}),
    ("10 min, 0.12 mV", 0.12, 600.0, 2, {}),
    ("1 h, 0.24 mV", 0.24, 3600.0, 2, {"ap": 0.97, "mcc": 0.80}),
)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="leave out recordings of an hour")
    quick = parser.parse_args().quick
    missed = 0
    for name, epsp, seconds, seeds, bars in CASES:
        if quick and seconds > 600:
            continue
        rows, cpu = [], []
        for seed in range(100, 100 + seeds):
            recording = nd.simulate.run(zoo.static(50, epsp=epsp, rng=seed), seconds, rng=seed)
            truth, blind = metrics.truth_for(recording), nd.simulate.without_truth(recording)
            model = nd.models.HMMGLM(n_states=1)
            counts = nd.validate.prepare_for(model)(blind)
            start = time.process_time()
            model.fit(counts)
            cpu.append(time.process_time() - start)
            said = nd.validate.claims(model, counts)
            rows.append({metric: float(metrics.ALL[metric](said, truth)) for metric in SHOWN if metric in metrics.ALL})
        median = {metric: float(np.median([row[metric] for row in rows])) for metric in rows[0]}
        text = ", ".join(f"{metric} {value:.3f}" for metric, value in median.items())
        print(f"{name}, median of {seeds} seeds: {text}; {np.median(cpu):.0f} s of CPU per fit")
        for metric, bar in bars.items():
            met = median[metric] >= bar
            missed += not met
            print(f"  {metric} {median[metric]:.3f}, bar {bar}, {'met' if met else 'missed'}", flush=True)
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
