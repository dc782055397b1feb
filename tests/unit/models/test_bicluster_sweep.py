"""What a sweep must do between its steps, and starts of the search."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.models.bicluster import sweep as module
from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.state import Counts, State
from neurodata.models.bicluster.sweep import Settings, log_means, sweep
from neurodata.models.bicluster.warm_up import _k_means

N_UNITS, N_BINS = 6, 30
# Standard errors by which a mean of 200 sums of weights may be off; a correct sweep is beyond once in 16000 runs.
FAR = 4.0


def problem() -> tuple[Counts, State]:
    """All units in a cluster whose course is flat; the second slot has one that takes log means far away."""
    rng = np.random.default_rng(0)
    counts = Counts.of(rng.poisson(3.0, (N_UNITS, N_BINS)), np.array([0, N_BINS]))
    x = np.zeros((3, N_BINS, 2))
    x[1, :, 0] = 4.0
    state = State(
        dispersion=np.full(N_UNITS, 5.0),
        baseline=np.full(N_UNITS, 1.0),
        loading=np.zeros((N_UNITS, 1)),
        cluster=np.zeros(N_UNITS, dtype=np.int64),
        x=x,
        transition=np.tile(0.5 * np.eye(2), (3, 2, 1, 1)),
        offset=np.zeros((3, 2, 2)),
        noise=np.tile(0.1 * np.eye(2), (3, 2, 1, 1)),
        path=np.zeros(N_BINS, dtype=np.int64),
        beta=np.full(2, 0.5),
        switch=np.array([[0.9, 0.1], [0.1, 0.9]]),
        mass=20.0,
        stick=0.9,
        gamma=2.0,
    )
    return counts, state


def weights_after_a_split(monkeypatch, *, told: bool) -> float:
    """Standard errors between the weights that follow a split and their mean there.

    The split is made by hand; `told` is whether the sweep hears of it. One that does not is the broken twin.
    """
    counts, state = problem()
    seen: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []

    def split(rng, units, courses, numbers, log_partition, n):
        units.cluster[:3] = 1
        return (1, 0) if told else (0, 0)

    class Stopped(Exception):
        """Nothing of the sweep after this matters here."""

    def look(rng, state, data, prior, weight, *rest):
        assert set(state.cluster[:3]) == {1}
        seen.append((weight.copy(), log_means(state), state.dispersion.copy()))
        raise Stopped

    monkeypatch.setattr(module.split_merge_nb, "split_or_merge", split)
    monkeypatch.setattr(module, "reassign", lambda *args: 0)
    monkeypatch.setattr(module.collapsed_nb, "move_units", lambda *args: 0)
    monkeypatch.setattr(module, "move_path", look)
    prior = Prior(n_latents=1, max_clusters=3, max_states=2)
    rng = np.random.default_rng(1)
    off = []
    for _ in range(200):
        with pytest.raises(Stopped):
            sweep(rng, state, counts, prior, Settings(splits=1.0))
        weight, eta, dispersion = seen.pop()
        psi = eta - np.log(dispersion)[:, None]
        # Mean of PG(h, psi) is h tanh(psi / 2) / (2 psi), h = y + r (Polson, Scott & Windle 2013).
        half = np.where(np.abs(psi) < 1e-6, 0.25, np.tanh(psi / 2) / (2 * np.where(psi == 0, 1.0, psi)))
        mean = (counts.counts + dispersion[:, None]) * half
        off.append((weight - mean)[:3].sum())
    return float(abs(np.mean(off)) / (np.std(off) / np.sqrt(len(off))))


def test_weights_are_drawn_anew_after_a_split(monkeypatch):
    assert weights_after_a_split(monkeypatch, told=True) < FAR


def test_weights_of_before_the_split_would_be_seen(monkeypatch):
    assert weights_after_a_split(monkeypatch, told=False) > 2 * FAR


def test_k_means_of_like_rows_gives_fewer_groups():
    rng = np.random.default_rng(0)
    assert _k_means(rng, np.zeros((5, 2)), 3).tolist() == [0] * 5
    two = _k_means(rng, np.repeat([[0.0], [9.0]], 4, axis=0), 4)
    assert len(np.unique(two)) == 2
    assert len(set(two[:4])) == 1
