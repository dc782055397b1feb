"""What is kept of a chain: draws in small number types, trajectories of fewer draws, and the memory it takes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.special import gammaln

from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.state import Counts, State
from neurodata.models.bicluster.sweep import Info, log_means

# Numbers of a draw that do not depend on how clusters and states are labelled.
SCALARS = (
    "log_likelihood",
    "n_clusters",
    "n_states",
    "cluster_entropy",
    "state_entropy",
    "mean_log_dispersion",
    "mass",
    "stick",
    "gamma",
)
# Steps of a sweep that are counted.
COUNTED = tuple(one.name for one in dataclasses.fields(Info) if one.type == "int")
# (unit, bin) whose log mean is followed through the chain.
N_PROBES = 8
# Parts of a draw of the dynamics, beside the trajectory.
DYNAMICS = ("transition", "offset", "noise")


@dataclass(frozen=True)
class Plan:
    """How long a chain is and what is kept of it.

    Attributes
    ----------
    n_warmup : int
        Sweeps before the first draw.
    n_draws, thin : int
        Draws, one in `thin` sweeps.
    course_every : int
        Trajectories and dynamics are kept of one in so many draws; 0 = of none.
    """

    n_warmup: int
    n_draws: int
    thin: int = 1
    course_every: int = 1

    @property
    def n_sweeps(self) -> int:
        """Of a whole chain."""
        return self.n_warmup + self.n_draws * self.thin

    @property
    def n_courses(self) -> int:
        """Draws of which trajectories are kept."""
        return -(-self.n_draws // self.course_every) if self.course_every else 0

    def has_course(self, draw: int) -> bool:
        """Whether the trajectories of a draw are kept."""
        return self.course_every > 0 and draw % self.course_every == 0


@dataclass
class Draws:
    """Draws of one chain, the first `n` of the arrays.

    Attributes
    ----------
    n : int
    cluster : array (draw, unit), int8
        Cluster of each unit, numbered in the order in which they first appear among the units.
    state : array (draw, bin), int8
    baseline, dispersion : array (draw, unit), float32
    loading : array (draw, unit, latent), float32
    scalar : array (draw, len(SCALARS))
    log_rate : array (draw, probe)
        Log mean counts at `probes`.
    counted : array (draw, len(COUNTED))
        Steps since the draw before.
    switch : array (course draw, state, state), float32
    x, transition, offset, noise : list of array, float32
        Trajectories (cluster, bin, m) and dynamics (cluster, state, ...) of clusters with units, for each course draw.
        Where all trajectories move together, of those without units after them, and dynamics are (cluster, state, m,
        all courses).
    """

    n: int
    cluster: np.ndarray
    state: np.ndarray
    baseline: np.ndarray
    dispersion: np.ndarray
    loading: np.ndarray
    scalar: np.ndarray
    log_rate: np.ndarray
    counted: np.ndarray
    switch: np.ndarray
    x: list[np.ndarray] = field(default_factory=list)
    transition: list[np.ndarray] = field(default_factory=list)
    offset: list[np.ndarray] = field(default_factory=list)
    noise: list[np.ndarray] = field(default_factory=list)

    @classmethod
    def empty(cls, n_units: int, n_bins: int, prior: Prior, plan: Plan) -> Draws:
        """Room for the draws of a whole chain."""
        n = plan.n_draws
        return cls(
            0,
            np.zeros((n, n_units), dtype=np.int8),
            np.zeros((n, n_bins), dtype=np.int8),
            np.zeros((n, n_units), dtype=np.float32),
            np.zeros((n, n_units), dtype=np.float32),
            np.zeros((n, n_units, prior.n_latents), dtype=np.float32),
            np.zeros((n, len(SCALARS))),
            np.zeros((n, N_PROBES)),
            np.zeros((n, len(COUNTED)), dtype=np.int64),
            np.zeros((plan.n_courses, prior.max_states, prior.max_states), dtype=np.float32),
        )

    def fixed(self) -> dict[str, np.ndarray]:
        """Arrays with one row a draw, the rows that are filled."""
        names = ("cluster", "state", "baseline", "dispersion", "loading", "scalar", "log_rate", "counted")
        return {name: getattr(self, name)[: self.n] for name in names} | {"switch": self.switch[: len(self.x)]}

    def add(self, state: State, data: Counts, probes: np.ndarray, counted: np.ndarray, plan: Plan) -> None:
        """Keep the present state of the chain."""
        k = self.n
        slots, self.cluster[k] = first_seen(state.cluster)
        self.state[k] = state.path
        self.baseline[k], self.dispersion[k], self.loading[k] = state.baseline, state.dispersion, state.loading
        eta = log_means(state)
        self.scalar[k] = scalars(state, data, eta)
        self.log_rate[k] = eta[probes[0], probes[1]]
        self.counted[k] = counted
        if plan.has_course(k):
            self.switch[len(self.x)] = state.switch
            together = len(state.transition) != len(state.x)
            if together:
                slots = np.concatenate([slots, np.setdiff1d(np.arange(len(state.x)), slots)])
            self.x.append(state.x[slots].astype(np.float32))
            for name in DYNAMICS:
                values = getattr(state, name)
                values = _by_cluster(values[0], slots) if together else values[slots]
                getattr(self, name).append(values.astype(np.float32))
        self.n += 1


def _by_cluster(values: np.ndarray, slots: np.ndarray) -> np.ndarray:
    """Dynamics of stacked courses, (state, n) or (state, n, n), as (slot, state, m) or (slot, state, m, n)."""
    n_states, n = values.shape[:2]
    m = n // len(slots)
    courses = (slots[:, None] * m + np.arange(m)).ravel()
    values = values[:, courses]
    if values.ndim == 3:
        values = values[:, :, courses]
    return np.moveaxis(values.reshape(n_states, len(slots), m, *values.shape[2:]), 1, 0)


def first_seen(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Labels in the order in which they first appear, and each element's place in that order.

    Examples
    --------
    >>> order, place = first_seen(np.array([7, 2, 7, 4]))
    >>> order.tolist(), place.tolist()
    ([7, 2, 4], [0, 1, 0, 2])
    """
    found, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return found[order], rank[inverse]


def scalars(state: State, data: Counts, eta: np.ndarray) -> np.ndarray:
    """The numbers of `SCALARS` of one state of the chain; `eta` its log means (unit, bin)."""
    return np.array(
        [
            log_likelihood(data, eta, state.dispersion),
            len(state.clusters()),
            len(np.unique(state.path)),
            entropy(state.cluster),
            entropy(state.path),
            np.log(state.dispersion).mean(),
            state.mass,
            state.stick,
            state.gamma,
        ]
    )


def entropy(labels: np.ndarray) -> float:
    """Entropy (nats) of the sizes of groups.

    Examples
    --------
    >>> round(entropy(np.array([0, 0, 5, 5])), 6)
    0.693147
    """
    share = np.unique(labels, return_counts=True)[1] / len(labels)
    return float(-(share * np.log(share)).sum())


def log_likelihood(data: Counts, eta: np.ndarray, dispersion: np.ndarray) -> float:
    """Negative-binomial log-likelihood (nats) of the observed counts, given log means (unit, bin)."""
    seen = data.counts >= 0
    y = np.where(seen, data.counts, 0)
    psi = eta - np.log(dispersion)[:, None]
    terms = y * psi - (y + dispersion[:, None]) * np.logaddexp(0.0, psi)
    values = np.arange(data.table.shape[1])
    constant = gammaln(values + dispersion[:, None]) - gammaln(dispersion)[:, None] - gammaln(values + 1.0)
    return float(terms[seen].sum() + (constant * data.table).sum())


def probes_of(data: Counts) -> np.ndarray:
    """(2, probe): units and bins whose log mean is followed, the same in every run on data of this shape."""
    rng = np.random.default_rng(data.counts.shape)
    return np.stack([rng.integers(size, size=N_PROBES) for size in data.counts.shape])


def bytes_needed(n_units: int, n_bins: int, prior: Prior, plan: Plan, n_chains: int) -> dict[str, int]:
    """Bytes of the draws of a run when as many clusters have units as may, and of the run as a whole.

    Returns
    -------
    dict
        "draws", "trajectories" (with dynamics) of all chains; "total" also counts the work arrays of one sweep of each
        chain, and that a chain's draws are copied once when chains are put together.
    """
    m, n_states = prior.size, prior.max_states
    full = prior.dynamics == "full"
    most = prior.max_clusters if full else min(prior.max_clusters, n_units)
    # Courses that a course depends on, and that are filtered together.
    joint = prior.max_clusters * m if full else m
    one = n_units + n_bins + 4 * n_units * (2 + prior.n_latents) + 8 * (len(SCALARS) + N_PROBES + len(COUNTED))
    course = 4 * (most * (n_bins * m + n_states * (2 * m * joint + m)) + n_states**2)
    draws, trajectories = n_chains * plan.n_draws * one, n_chains * plan.n_courses * course
    # Counts, weights, means and a few temporary arrays of that shape; two states of the chain; sums of the filter.
    work = 8 * (8 * n_units * n_bins + 2 * prior.max_clusters * n_bins * m + 6 * n_bins * joint * joint)
    return {"draws": draws, "trajectories": trajectories, "total": 2 * (draws + trajectories) + n_chains * work}


def as_arrays(draws: Draws) -> dict[str, np.ndarray]:
    """Draws as a flat dict of arrays, for a file; `from_arrays` is the inverse."""
    out = dict(draws.fixed())
    out["n_of_course"] = np.array([len(x) for x in draws.x], dtype=np.int64)
    for name in ("x", *DYNAMICS):
        parts = getattr(draws, name)
        out[name] = np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
    return out


def from_arrays(arrays: dict[str, Any], n_units: int, n_bins: int, prior: Prior, plan: Plan) -> Draws:
    """Draws from what `as_arrays` gave, with room for the rest of the chain."""
    draws = Draws.empty(n_units, n_bins, prior, plan)
    for name in draws.fixed():
        getattr(draws, name)[: len(arrays[name])] = arrays[name]
    draws.n = len(arrays["cluster"])
    ends = np.cumsum(arrays["n_of_course"])
    if len(ends):
        for name in ("x", *DYNAMICS):
            getattr(draws, name).extend(part.copy() for part in np.split(arrays[name], ends[:-1]))
    return draws
