"""Bars of the chain of hidden states: forward-backward against dynamax (>= 1) and hmmlearn (>= 3 times as fast).

Every one gets the same log-likelihoods (bin, state), computed before, and gives the log-likelihood of the chain, the
posterior of each bin and the summed expected transitions, in float64; that they agree is checked first. dynamax is
`hmm_smoother`, and `hmm_two_filter_smoother`, which its E-step calls; both are compiled before the clock starts.
It is in none of the extras, as it brings a web server along: `pip install dynamax`.
hmmlearn is its compiled passes in log space, the default of its models, without their scikit-learn checks; the passes
it has on likelihoods, which underflow with many units, and the whole of `PoissonHMM.score_samples` on counts of 20
units (emissions included) are printed beside, without a bar.

One core; all take turns in one process. The figure is the median of the ratios of CPU time of neighbouring runs, with
that of wall time beside it, because CPU time is not disturbed by what else the machine does.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np

from benchmarks._hmm_timing import in_turns, one_core, said
from neurodata._core.parallel import one_thread
from neurodata.kernels.hmm_nb import forward_backward

N_UNITS = 20
SIZES = {5_000: (15, 20), 50_000: (9, 4), 500_000: (7, 1)}  # rounds, and repeats in each
DYNAMAX_BAR, HMMLEARN_BAR = 1.0, 3.0


class Chain:
    """Counts of units whose rates switch, and the log-likelihoods of the bins."""

    def __init__(self, n_bins: int, n_states: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.transition = np.full((n_states, n_states), 0.02 / (n_states - 1))
        np.fill_diagonal(self.transition, 0.98)
        self.initial = np.full(n_states, 1.0 / n_states)
        self.rate = rng.uniform(0.05, 0.3, (n_states, N_UNITS))
        switch = rng.random(n_bins) < 0.02
        state = (np.cumsum(switch * rng.integers(1, n_states, n_bins))) % n_states
        self.counts = rng.poisson(self.rate[state])
        self.log_likelihood = self.counts @ np.log(self.rate).T - self.rate.sum(axis=1)
        self.starts = np.array([0, n_bins])

    def ours(self) -> tuple[float, np.ndarray, np.ndarray]:
        """Log-likelihood, posterior of each bin, expected transitions."""
        log_z, gamma, pair, _ = forward_backward(self.log_likelihood, self.starts, self.initial, self.transition)
        return float(log_z[0]), gamma, pair


def dynamax_calls(chain: Chain) -> dict[str, Callable[[], Any]]:
    if find_spec("dynamax") is None:
        print("dynamax is not installed (pip install dynamax): nothing is compared with it, its bar is missed")
        return {}
    import jax

    jax.config.update("jax_enable_x64", True)
    from dynamax.hidden_markov_model import hmm_smoother, hmm_two_filter_smoother

    given = [jax.device_put(array) for array in (chain.initial, chain.transition, chain.log_likelihood)]

    def call(smoother: Callable) -> Callable[[], Any]:
        def run() -> tuple[float, np.ndarray, np.ndarray]:
            post = jax.block_until_ready(smoother(*given))
            return float(post.marginal_loglik), np.asarray(post.smoothed_probs), np.asarray(post.trans_probs)

        return run

    return {"dynamax hmm_smoother": call(hmm_smoother), "dynamax two filters": call(hmm_two_filter_smoother)}


def hmmlearn_calls(chain: Chain) -> dict[str, Callable[[], Any]]:
    from hmmlearn import _hmmc
    from hmmlearn.hmm import PoissonHMM
    from hmmlearn.utils import log_normalize

    initial, transition, log_likelihood = chain.initial, chain.transition, chain.log_likelihood
    likelihood = np.exp(log_likelihood)

    def in_logarithms() -> tuple[float, np.ndarray, np.ndarray]:
        log_z, forward = _hmmc.forward_log(initial, transition, log_likelihood)
        backward = _hmmc.backward_log(initial, transition, log_likelihood)
        gamma = forward + backward
        log_normalize(gamma, axis=1)
        pair = _hmmc.compute_log_xi_sum(forward, transition, backward, log_likelihood)
        return log_z, np.exp(gamma), np.exp(pair)

    def scaled() -> tuple[float, np.ndarray, np.ndarray]:
        log_z, forward, scale = _hmmc.forward_scaling(initial, transition, likelihood)
        backward = _hmmc.backward_scaling(initial, transition, likelihood, scale)
        gamma = forward * backward
        gamma /= gamma.sum(axis=1, keepdims=True)
        return log_z, gamma, _hmmc.compute_scaling_xi_sum(forward, transition, backward, likelihood)

    calls: dict[str, Callable[[], Any]] = {"hmmlearn": in_logarithms, "hmmlearn on likelihoods": scaled}
    if len(chain.counts) < max(SIZES):  # seconds a call
        model = PoissonHMM(len(initial))
        model.startprob_, model.transmat_, model.lambdas_ = initial, transition, chain.rate
        calls["PoissonHMM.score_samples"] = lambda: model.score_samples(chain.counts)
    return calls


def forward_backward_bars(n_bins: int, n_states: int) -> list[bool]:
    chain = Chain(n_bins, n_states)
    others = {**dynamax_calls(chain), **hmmlearn_calls(chain)}
    mine: tuple[Any, ...] = chain.ours()
    np.testing.assert_allclose(mine[2].sum(), n_bins - 1, rtol=1e-10)
    for name, call in others.items():
        if name != "PoissonHMM.score_samples":
            for a, b in zip(mine, call(), strict=True):
                # hmmlearn adds up transitions in logarithms, which loses digits with the number of bins; ours add up
                # to their number, above.
                np.testing.assert_allclose(a, b, rtol=1e-7 if "dynamax" in name else 1e-4, atol=1e-9, err_msg=name)
    rounds, repeats = SIZES[n_bins]
    times = in_turns({"ours": chain.ours, **others}, rounds, repeats)
    nano = 1e9 / n_bins
    print(f"T={n_bins}, S={n_states}: ours {np.median(times['ours'][:, 0]) * nano:.0f} ns per bin")
    met = []
    for name in others:
        ratio = np.median(times[name] / times["ours"], axis=0)
        each = f"; wall {ratio[1]:.3g}; {np.median(times[name][:, 0]) * nano:.0f} ns per bin"
        if name == "hmmlearn" or name.startswith("dynamax"):
            bar = HMMLEARN_BAR if name == "hmmlearn" else DYNAMAX_BAR
            met.append(said(f"  {name} over ours", ratio[0], bar, least=True, beside=each))
        else:
            print(f"  {name} over ours: {ratio[0]:.3g} (no bar){each}", flush=True)
    return met


def main() -> int:
    one_core()
    warnings.filterwarnings("ignore")  # those of the others' imports
    met = [find_spec("dynamax") is not None]
    with one_thread():
        for n_states in (3, 5):
            for n_bins in SIZES:
                met += forward_backward_bars(n_bins, n_states)
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
