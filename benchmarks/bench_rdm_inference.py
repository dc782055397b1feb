"""Bars: comparisons and bootstraps of RDMs against rsatoolbox 0.3.2, one thread, its time over ours.

50 conditions, 20 RDMs, 5 models (comparisons: 10 with 20 RDMs). Whitened correlation with equal errors >= 1.5x, with a
full covariance >= 300x, tau-a >= 3x; bootstraps: corr >= 20x without and with the ceiling, rho-a and whitened >= 10x,
dual >= 20x. Interleaved, median of 5 after warm-up. Ours draws 1000 times; rsatoolbox's loop over draws is timed for 20
of them and multiplied. Comparisons of some ms are timed 20 times a round.
"""

from __future__ import annotations

import contextlib
import io
import sys
import time
import warnings
from collections.abc import Callable

import numpy as np
import xarray as xr

import neurodata as nd
from neurodata._core.parallel import one_thread

CONDITIONS, SUBJECTS, MODELS = 50, 20, 5
DRAWS, PEER_DRAWS, ROUNDS = 1000, 20, 5


def rdms(n: int, rng: np.random.Generator) -> tuple[xr.DataArray, np.ndarray]:
    patterns = rng.normal(size=(CONDITIONS, 30)) + rng.normal(size=(n, CONDITIONS, 30))
    stack = nd.models.rdm(xr.DataArray(patterns, dims=("time", "condition", "channel")))
    stack = stack.rename(time="rdm")
    rows, columns = np.triu_indices(CONDITIONS, 1)
    return stack, stack.values[:, rows, columns]


def clock(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    with contextlib.redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # rsatoolbox warns that its conjugate gradients moved
        run()
    return time.perf_counter() - start


def main() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # third-party imports
        from rsatoolbox import inference
        from rsatoolbox.model import ModelFixed
        from rsatoolbox.rdm import RDMs, compare
    rng = np.random.default_rng(0)
    (a, flat_a), (b, flat_b) = rdms(10, rng), rdms(SUBJECTS, rng)
    models, flat_models = rdms(MODELS, rng)
    peer_a, peer_b = RDMs(flat_a), RDMs(flat_b)
    fixed = [ModelFixed(f"m{k}", row) for k, row in enumerate(flat_models)]
    noise = rng.normal(size=(CONDITIONS, 100))
    covariance = noise @ noise.T / 100

    def both(name: str, peer: str, ceiling: bool) -> tuple[Callable[[], object], Callable[[], object], float]:
        return (
            lambda: inference.eval_bootstrap(fixed, peer_b, method=peer, N=PEER_DRAWS, boot_noise_ceil=ceiling),
            lambda: nd.models.bootstrap_rdms(
                models, b, resample="both", comparison=name, n_draws=DRAWS, ceiling=ceiling, rng=1
            ),
            DRAWS / PEER_DRAWS,
        )

    cases: dict[str, tuple[Callable[[], object], Callable[[], object], float, float]] = {
        "whitened-corr, equal errors": (
            lambda: compare(peer_a, peer_b, "corr_cov"),
            lambda: nd.models.compare_rdms(a, b, "whitened-corr"),
            1.0,
            1.5,
        ),
        "whitened-corr, full covariance": (
            lambda: compare(peer_a, peer_b, "corr_cov", sigma_k=covariance),
            lambda: nd.models.compare_rdms(a, b, "whitened-corr", condition_covariance=covariance),
            1.0,
            300.0,
        ),
        "tau-a": (
            lambda: compare(peer_a, peer_b, "tau-a"),
            lambda: nd.models.compare_rdms(a, b, "tau-a"),
            1.0,
            3.0,
        ),
        "bootstrap corr": (*both("corr", "corr", False), 20.0),
        "bootstrap corr, ceiling": (*both("corr", "corr", True), 20.0),
        "bootstrap rho-a": (*both("rho-a", "rho-a", False), 10.0),
        "bootstrap rho-a, ceiling": (*both("rho-a", "rho-a", True), 10.0),
        "bootstrap whitened-corr": (*both("whitened-corr", "corr_cov", False), 10.0),
        "bootstrap whitened-corr, ceiling": (*both("whitened-corr", "corr_cov", True), 10.0),
        "dual bootstrap corr, ceiling": (
            lambda: inference.eval_dual_bootstrap(fixed, peer_b, method="corr", N=PEER_DRAWS, k_pattern=1, k_rdm=1),
            lambda: nd.models.bootstrap_rdms(models, b, comparison="corr", n_draws=DRAWS, rng=1),
            DRAWS / PEER_DRAWS,
            20.0,
        ),
    }
    missed = 0
    with one_thread():
        for name, (peer, ours, factor, bar) in cases.items():
            warm = max(clock(ours), clock(ours)), clock(peer)
            rounds = ROUNDS if max(warm) > 0.05 else 20 * ROUNDS
            pairs = np.array([(clock(peer) * factor, clock(ours)) for _ in range(rounds)])
            theirs, mine = np.median(pairs, axis=0)
            ratio = float(np.median(pairs[:, 0] / pairs[:, 1]))
            missed += ratio < bar
            verdict = "met" if ratio >= bar else "missed"
            print(f"{name}: {1e3 * theirs:.2f} ms over {1e3 * mine:.2f} ms = {ratio:.1f}x, bar {bar:g}x {verdict}")
    return int(missed > 0)


if __name__ == "__main__":
    sys.exit(main())
