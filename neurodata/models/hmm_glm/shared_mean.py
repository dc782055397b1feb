"""The Gaussian prior of couplings: each state's weight lies round a mean that the states share.

    w_s ~ N(mu, between^2),  mu ~ N(0, spread^2)

With mu integrated out the posterior given Gaussian summaries of the data is Gaussian and in closed form; the two
standard deviations maximise the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize


@dataclass(frozen=True)
class MeanPrior:
    """Standard deviations of the shared means, and of the states round them, in the unit of the weights."""

    spread: float
    between: float


def posterior(mean: np.ndarray, variance: np.ndarray, prior: MeanPrior) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Posterior mean and variance of the weights, (state, pair), and of the shared means, (pair,).

    Parameters
    ----------
    mean, variance : array (state, pair)
        Gaussian summary of the likelihood of each weight.
    """
    weight = 1.0 / (variance + prior.between**2)  # of each state's summary as a measurement of mu
    precision = weight.sum(axis=0) + prior.spread**-2
    shared = (weight * mean).sum(axis=0) / precision
    shrink = variance * weight  # how much of mu goes into w_s
    centre = shrink * shared + (1.0 - shrink) * mean
    return centre, prior.between**2 * shrink + shrink**2 / precision, shared


def log_evidence(mean: np.ndarray, variance: np.ndarray, prior: MeanPrior) -> float:
    """Log-probability of the summaries, nats."""
    total = variance + prior.between**2
    weight = 1.0 / total
    precision = weight.sum(axis=0) + prior.spread**-2
    quadratic = (weight * mean**2).sum(axis=0) - (weight * mean).sum(axis=0) ** 2 / precision
    log_det = np.log(total).sum(axis=0) + np.log(precision) + 2.0 * np.log(prior.spread)
    return float(-0.5 * (quadratic + log_det + len(mean) * np.log(2.0 * np.pi)).sum())


def learn_prior(mean: np.ndarray, variance: np.ndarray) -> MeanPrior:
    """The standard deviations that make the summaries most probable."""
    scale = float(np.sqrt(np.median(variance)))
    low, high = np.log(0.01), np.log(100.0)

    def loss(x: np.ndarray) -> float:
        return -log_evidence(mean, variance, MeanPrior(scale * np.exp(x[0]), scale * np.exp(x[1])))

    found = minimize(loss, np.zeros(2), method="L-BFGS-B", bounds=[(low, high)] * 2)
    return MeanPrior(scale * float(np.exp(found.x[0])), scale * float(np.exp(found.x[1])))
