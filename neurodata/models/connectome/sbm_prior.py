"""Priors of the weighted stochastic block model, and the transform of weights, from the graph itself."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from scipy.special import gammaln, logsumexp

from neurodata.kernels import sbm_weights_nb as weights_nb
from neurodata.kernels.sbm_moves_nb import Graph, Prior
from neurodata.kernels.sbm_topology_nb import propensities
from neurodata.models.connectome.sbm_graph import Links

FAMILIES = {
    "lognormal": weights_nb.LOGNORMAL,
    "additive": weights_nb.ADDITIVE,
    "exponential": weights_nb.EXPONENTIAL,
    "poisson": weights_nb.POISSON,
}
# Where an additive family may have its floor, in medians of the weights.
FLOORS = (0.3, 1.0, 3.0)
# Log of shape and mean of the gamma priors of link rates, between groups and within: mean and sd.
SHAPE_MEAN = ((math.log(30.0), 0.0), (math.log(30.0), 0.3))
SHAPE_SD = ((1.2, 0.4), (1.2, 0.6))


class Problem(NamedTuple):
    """A graph as the kernels take it.

    Attributes
    ----------
    graph : Graph
    family : int
    prior : Prior
    effect : array (node,)
        Effects of nodes in a graph without groups.
    residual : array (2 link,)
        What these leave, in units of its scale.
    noise : float
        That scale.
    scale : float
        Of the softplus, in the unit of the weights.
    jacobian : float
        Log derivatives of the transform, summed over links.
    """

    graph: Graph
    family: int
    prior: Prior
    effect: np.ndarray
    residual: np.ndarray
    noise: float
    scale: float
    jacobian: float


def log_partition(n: int, rate: float, gamma: float, most: int) -> np.ndarray:
    """Log of V(t), t = 1 .. most: groups K - 1 ~ Geometric(rate), weights Dirichlet(gamma) (Miller & Harrison 2018).

    Examples
    --------
    >>> log_partition(1, 0.3, 1.0, 1)
    array([0.])
    """
    k = np.arange(1.0, max(400, 2 * most))
    common = math.log(rate) + (k - 1) * math.log1p(-rate) + gammaln(gamma * k) - gammaln(gamma * k + n)
    t = np.arange(1.0, most + 1)[:, None]
    falling = np.where(k >= t, gammaln(k + 1) - gammaln(np.maximum(k - t, 0) + 1), -np.inf)
    return logsumexp(falling + common, axis=1)


def no_groups(links: Links, y: np.ndarray) -> tuple[float, np.ndarray, np.ndarray, float]:
    """Robust fit of ``y = mu + x_i + x_j``: mu, x, residuals, scale of Student noise."""
    row = np.repeat(np.arange(links.n), links.degree)
    x = np.zeros(links.n)
    mu = float(np.median(y))
    weight = np.ones(y.size)
    residual = y - mu
    scale2 = 1.0
    for k in range(40):
        total = np.bincount(row, weight, links.n) + 1e-3 * weight.mean()
        x = 0.5 * x + 0.5 * np.bincount(row, weight * (y - mu - x[links.neighbour]), links.n) / total
        residual = y - mu - x[row] - x[links.neighbour]
        mu += float(np.average(residual, weights=weight))
        scale2 = float(np.mean(weight * residual**2)) if k else 2.0 * float(np.median(residual**2))
        scale2 = max(scale2, 1e-12 * (1.0 + mu * mu))
        weight = (weights_nb.DOF + 1.0) / (weights_nb.DOF + residual**2 / scale2)
    return mu, x, residual, math.sqrt(scale2)


def student(residual: np.ndarray, scale: float) -> float:
    """Log density of residuals under Student noise, up to a constant."""
    r2 = (residual / scale) ** 2
    return float(-0.5 * (weights_nb.DOF + 1.0) * np.log1p(r2 / weights_nb.DOF).sum() - residual.size * math.log(scale))


def make_problem(links: Links, family: str, most_groups: int, rate: float, gamma: float, floor: float = 1.0) -> Problem:
    """Transform weights and set priors."""
    kind_of, kind, n_of = np.unique(links.degree, return_inverse=True, return_counts=True)
    t = propensities(kind_of.astype(float), n_of.astype(float), 2000, 1e-8)
    link = np.outer(t, t)
    link /= 1.0 + link
    code = FAMILIES[family]
    scale = float(np.median(links.weight)) * (floor if code == weights_nb.ADDITIVE else 1.0)
    y = np.empty(links.weight.size)
    jacobian = 0.5 * weights_nb.transform(min(code, weights_nb.ADDITIVE), links.weight, scale, y)
    mu, x, residual, noise = no_groups(links, y)
    if code > weights_nb.ADDITIVE:
        # Effects are of the log mean: those of transformed weights do to start.
        jacobian = weights_nb.transform(weights_nb.LOGNORMAL, links.weight, 1.0, y)
        mu, x, residual, noise = no_groups(links, y)
        y, jacobian = links.weight.copy(), 0.0
    spread = max(float(np.std(residual + mu)), noise, float(x.std()))
    sd = max(float(x.std()), 0.1 * noise)
    low = 1.0 if code == weights_nb.ADDITIVE else noise
    parameters = np.array(
        [
            [mu, mu, math.log(0.3 * noise), math.log(low), math.log(sd), math.log(0.5 * noise)],
            [spread, spread, 2.0, 0.5, 1.0, 1.5],
        ]
    )
    shape = np.array([SHAPE_MEAN, SHAPE_SD])
    prior = Prior(parameters, shape, log_partition(links.n, rate, gamma, most_groups), gamma)
    graph = Graph(links.start, links.neighbour, y, kind.astype(np.int64), link)
    return Problem(graph, code, prior, x, np.clip(residual / noise, -3.0, 3.0), noise, scale, jacobian)


def make_problems(links: Links, family: str, most_groups: int, rate: float, gamma: float) -> list[Problem]:
    """A problem for each family, and floor, that may be chosen."""
    given = (most_groups, rate, gamma)
    found = []
    if family in ("auto", "additive"):
        found += [make_problem(links, "additive", *given, floor) for floor in FLOORS]
    if family != "additive":
        found.append(make_problem(links, "lognormal" if family == "auto" else family, *given))
    return found
