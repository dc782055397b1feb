"""The numbers of the bi-clustering prior, and draws from it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.special import gammaln, logsumexp

from neurodata.kernels import matrix_normal_nb
from neurodata.kernels.bicluster_nb import log_means
from neurodata.models.bicluster.state import Counts, State

# At this dispersion negative binomial log probabilities are within mu^2 / 1e9 of Poisson ones.
POISSON_DISPERSION = 1e9
# Terms of the sum over the number of clusters, empty ones too; the rest of a geometric prior is far below rounding.
_MOST_CLUSTERS = 2000


@dataclass(frozen=True)
class Prior:
    """Settings of the model; the paper's values where it gives them, unless said otherwise.

    Attributes
    ----------
    observation : {"negbin", "poisson"}
        Law of the counts; for a Poisson one all dispersions are `POISSON_DISPERSION`.
    dynamics : {"block", "full"}
        Whether each cluster moves by itself, or the trajectories of all together: then A, b and Q are those of the
        ``max_clusters * m`` courses, see `stacked`.
    n_latents : int
        Latent factors of a cluster, beside its common course.
    max_clusters, max_states : int
        Most clusters with units, and the weak limit of the states.
    baseline_mean, baseline_sd, loading_sd : float
        ``d ~ N(baseline_mean, baseline_sd^2)``, ``c ~ N(0, loading_sd^2)``.
    dispersion_shape, dispersion_rate : float
        ``r ~ Gamma``. The paper has Gamma(1, 1), which holds counts to be more variable than most recordings are.
    noise_dof, noise_scale : float
        ``Q ~ IW(m + noise_dof, noise_scale I)``, m = 1 + n_latents.
    transition_mean, transition_precision : float
        ``[A b] | Q ~ MN([transition_mean I, 0], Q, diag(transition_precision, ..., 1))``. The paper has 1 and 1, which
        with noise of variance 0.01 holds A within about 0.1 of the identity and so rules out trajectories that fall to
        noise; here A is within about 0.7 of 0.9 times the identity. The wider A is, the more a state must explain to
        be worth it.
    cluster_weight, cluster_rate : float
        Mixture of finite mixtures: ``K - 1 ~ Geometric(cluster_rate)``, weights ``Dirichlet(cluster_weight)``.
    sticky_shape, sticky_rate : float
        ``alpha + kappa ~ Gamma``; the paper has 15. A small mass leaves the rows of the transition matrix to the data.
    stick_a, stick_b : float
        ``kappa / (alpha + kappa) ~ Beta``; the paper has 2/3, states of three bins; here they last some fifty.
    states_shape, states_rate : float
        Concentration of the states' shared weights, ``gamma ~ Gamma``; the paper has 5.
    """

    observation: str = "negbin"
    dynamics: str = "block"
    n_latents: int = 2
    max_clusters: int = 15
    max_states: int = 10
    baseline_mean: float = 0.0
    baseline_sd: float = 1.0
    loading_sd: float = 1.0
    dispersion_shape: float = 2.0
    dispersion_rate: float = 0.2
    noise_dof: float = 2.0
    noise_scale: float = 0.01
    transition_mean: float = 0.9
    transition_precision: float = 0.02
    cluster_weight: float = 1.0
    cluster_rate: float = 0.2
    sticky_shape: float = 2.0
    sticky_rate: float = 0.5
    stick_a: float = 49.0
    stick_b: float = 1.0
    states_shape: float = 1.0
    states_rate: float = 1.0

    @property
    def size(self) -> int:
        """Courses of a cluster, m: the common one and the latent factors."""
        return 1 + self.n_latents

    def coefficient_mean(self) -> np.ndarray:
        """Prior mean of baseline and loadings, (m,)."""
        return np.concatenate([[self.baseline_mean], np.zeros(self.n_latents)])

    def coefficient_precision(self) -> np.ndarray:
        """Prior precision of baseline and loadings, (m,)."""
        return np.concatenate([[self.baseline_sd**-2.0], np.full(self.n_latents, self.loading_sd**-2.0)])

    def stacked(self) -> Prior:
        """That of all trajectories as those of a single cluster; of use for the dynamics alone."""
        return replace(self, dynamics="block", n_latents=self.max_clusters * self.size - 1, max_clusters=1)

    def matrix_normal(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
        """Centre, precision of columns, scale and degrees of freedom of the dynamics, see `matrix_normal_nb.draw`."""
        m = self.size
        centre = np.hstack([self.transition_mean * np.eye(m), np.zeros((m, 1))])
        return (
            centre,
            np.diag([self.transition_precision] * m + [1.0]),
            self.noise_scale * np.eye(m),
            m + self.noise_dof,
        )

    def log_partition(self, n_units: int) -> np.ndarray:
        """Log of V_n(t), t = 1 .. max_clusters (Miller & Harrison 2018, doi:10.1080/01621459.2016.1255636, eq. 3.2).

        A partition into clusters of sizes n_c has the prior probability ``V_n(t) prod_c Gamma(g + n_c) / Gamma(g)``.
        """
        return _log_partition(self.cluster_weight, self.cluster_rate, self.max_clusters, n_units).copy()

    def log_new(self, n_units: int) -> np.ndarray:
        """Log weight of a new cluster beside 0, 1, ... others, where one of t others weighs ``size + g``."""
        log_v = self.log_partition(n_units)
        return np.log(self.cluster_weight) + np.concatenate([[0.0], np.diff(log_v)])


@lru_cache(maxsize=64)
def _log_partition(weight: float, rate: float, max_clusters: int, n_units: int) -> np.ndarray:
    k = np.arange(1.0, _MOST_CLUSTERS)
    log_p = np.log(rate) + (k - 1.0) * np.log1p(-rate)
    common = log_p + gammaln(weight * k) - gammaln(weight * k + n_units)
    t = np.arange(1, max_clusters + 1)[:, None]
    ways = np.where(k >= t, gammaln(k + 1.0) - gammaln(np.maximum(k - t, 0.0) + 1.0), -np.inf)
    return logsumexp(ways + common, axis=1)


def draw_partition(rng: np.random.Generator, n_units: int, prior: Prior) -> np.ndarray:
    """Clusters (unit,) from the prior."""
    while True:
        n = int(rng.geometric(prior.cluster_rate))
        share = rng.dirichlet(np.full(n, prior.cluster_weight))
        _, label = np.unique(rng.choice(n, n_units, p=share), return_inverse=True)
        if label.max() < prior.max_clusters:
            return label


def draw_state(rng: np.random.Generator, n_units: int, starts: np.ndarray, prior: Prior) -> State:
    """Everything that is unknown, from the prior.

    Parameters
    ----------
    n_units : int
    starts : array (sequence + 1,)
        First bin of each sequence, and the number of bins last.
    """
    n_states, n_slots, m = prior.max_states, prior.max_clusters, prior.size
    gamma = rng.gamma(prior.states_shape) / prior.states_rate
    beta = draw_shares(rng, np.full(n_states, gamma / n_states))
    mass = rng.gamma(prior.sticky_shape) / prior.sticky_rate
    stick = rng.beta(prior.stick_a, prior.stick_b)
    switch = np.stack([draw_shares(rng, row) for row in switch_mass(beta, mass, stick)])
    path = np.empty(starts[-1], dtype=np.int64)
    for a, b in zip(starts[:-1], starts[1:], strict=True):
        path[a] = rng.integers(n_states)
        for t in range(a + 1, b):
            path[t] = rng.choice(n_states, p=switch[path[t - 1]] / switch[path[t - 1]].sum())
    cluster = draw_partition(rng, n_units, prior)
    law, used = prior, np.unique(cluster)
    if prior.dynamics == "full":
        law, used = prior.stacked(), np.zeros(1, dtype=np.int64)
        cluster = rng.permutation(n_slots)[cluster]
    n, size = law.max_clusters, law.size
    transition = np.zeros((n, n_states, size, size))
    offset = np.zeros((n, n_states, size))
    noise = np.zeros((n, n_states, size, size))
    x = np.zeros((n, len(path), size))
    for k in used:
        for s in range(n_states):
            matrix_normal_nb.draw(rng, *law.matrix_normal(), transition[k, s], offset[k, s], noise[k, s])
        x[k] = draw_course(rng, starts, path, transition[k], offset[k], noise[k])
    if prior.dynamics == "full":
        x = np.ascontiguousarray(x[0].reshape(-1, n_slots, m).transpose(1, 0, 2))
    coefficients = prior.coefficient_mean() + rng.standard_normal((n_units, m)) / np.sqrt(prior.coefficient_precision())
    return State(
        draw_dispersion(rng, n_units, prior),
        coefficients[:, 0].copy(),
        coefficients[:, 1:].copy(),
        cluster,
        x,
        transition,
        offset,
        noise,
        path,
        beta,
        switch,
        mass,
        stick,
        gamma,
    )


def draw_shares(rng: np.random.Generator, mass: np.ndarray) -> np.ndarray:
    """A Dirichlet draw whose small parts are right to many digits, where NumPy's become 0 below its rounding."""
    # A Gamma(a) variable is a Gamma(a + 1) one times U^(1/a).
    log_part = np.log(rng.standard_gamma(mass + 1.0)) + np.log(1.0 - rng.random(len(mass))) / np.maximum(mass, 1e-300)
    part = np.exp(log_part - log_part.max())
    return np.maximum(part / part.sum(), 1e-300)


def draw_dispersion(rng: np.random.Generator, n_units: int, prior: Prior) -> np.ndarray:
    """Dispersions (unit,) from the prior; as good as infinite where counts are Poisson."""
    if prior.observation == "poisson":
        return np.full(n_units, POISSON_DISPERSION)
    return rng.gamma(prior.dispersion_shape, size=n_units) / prior.dispersion_rate


def draw_course(
    rng: np.random.Generator,
    starts: np.ndarray,
    path: np.ndarray,
    transition: np.ndarray,
    offset: np.ndarray,
    noise: np.ndarray,
) -> np.ndarray:
    """Trajectory (bin, m) of one cluster under its dynamics."""
    m = offset.shape[1]
    root = np.linalg.cholesky(noise)
    x = rng.standard_normal((len(path), m))
    for a, b in zip(starts[:-1], starts[1:], strict=True):
        for t in range(a + 1, b):
            s = path[t]
            x[t] = offset[s] + transition[s] @ x[t - 1] + root[s] @ x[t]
    return x


def draw_counts(rng: np.random.Generator, state: State, starts: np.ndarray) -> Counts:
    """Counts of all units and bins given the rest."""
    eta = np.empty((len(state.cluster), len(state.path)))
    log_means(state.baseline, state.loading, state.cluster, state.x, eta)
    r = state.dispersion[:, None]
    rate = np.exp(np.minimum(eta, 15.0)) * rng.gamma(r, size=eta.shape) / r
    return Counts.of(rng.poisson(rate), starts)


def switch_mass(beta: np.ndarray, mass: float, stick: float) -> np.ndarray:
    """Dirichlet masses (state, state) of the rows of the transition matrix: ``alpha beta_k + kappa [j = k]``."""
    return mass * ((1.0 - stick) * beta[None, :] + stick * np.eye(len(beta)))
