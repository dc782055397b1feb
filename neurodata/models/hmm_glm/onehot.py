"""The one-hot prior of couplings: each pair is inhibitory, absent or excitatory in each state; the states share odds.

For a pair (post, pre) with summed weight w_s in state s:

    type_s ~ Categorical(p),  p ~ Dirichlet(concentration * share)        (p is the state-constant connectome)
    w_s | excitatory ~ N(mean_e, sd_e^2) kept positive,  w_s | inhibitory ~ -N(mean_i, sd_i^2) kept negative,
    w_s | none ~ N(0, none_sd^2)

Given a Gaussian summary of what the data say about each w_s, the posterior of types and weights is in closed form; p is
integrated out exactly (`kernels.type_urn_nb`). The eight numbers of the prior are learned by maximising the evidence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import log_ndtr

from neurodata.kernels.type_urn_nb import urn_evidence, urn_posterior, urn_table

TYPES = ("inhibitory", "none", "excitatory")
_LOG_2PI = np.log(2.0 * np.pi)
# Pairs that the numbers of the prior are learned from; more say nothing new.
_LEARNING_PAIRS = 4000
# The spike at no connection is narrow beside the strengths, unless the data say otherwise: median and log sd.
_NONE_SHARE, _NONE_SPREAD = 0.02, 0.7
# How alike states are: median and log sd of the concentration.
_CONCENTRATION, _CONCENTRATION_SPREAD = 3.0, 1.5


@dataclass(frozen=True)
class TypePrior:
    """The numbers of the prior, in the unit of the weights."""

    excitatory_mean: float
    excitatory_sd: float
    inhibitory_mean: float
    inhibitory_sd: float
    none_sd: float
    concentration: float
    share: tuple[float, float, float]


@dataclass(frozen=True)
class TypePosterior:
    """What prior and data together say.

    Attributes
    ----------
    mean, variance : array (state, pair)
        Of the weights.
    probability : array (state, pair, 3)
        Of the types.
    evidence : float
        Log evidence, nats.
    """

    mean: np.ndarray
    variance: np.ndarray
    probability: np.ndarray
    evidence: float


def type_terms(mean: np.ndarray, variance: np.ndarray, prior: TypePrior) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Evidence of each type, and the weight's mean and second moment under it.

    Parameters
    ----------
    mean, variance : array (...)
        Gaussian summary of the likelihood of each weight.
    prior : TypePrior

    Returns
    -------
    log_likelihood, first, second : array (..., 3)
        In the order of `TYPES`.
    """
    log_likelihood = np.empty((*mean.shape, 3))
    first, second = np.empty_like(log_likelihood), np.empty_like(log_likelihood)
    centres = (-prior.inhibitory_mean, 0.0, prior.excitatory_mean)
    spreads = (prior.inhibitory_sd, prior.none_sd, prior.excitatory_sd)
    for k, (centre, sd) in enumerate(zip(centres, spreads, strict=True)):
        sign = k - 1
        total = variance + sd**2
        narrow = variance * sd**2 / total
        middle = (mean * sd**2 + centre * variance) / total
        log_likelihood[..., k] = -0.5 * (_LOG_2PI + np.log(total) + (mean - centre) ** 2 / total)
        if sign == 0:
            first[..., k], second[..., k] = middle, narrow + middle**2
            continue
        # Truncation to one side: moments of a truncated normal through the ratio of its density to its mass.
        width = np.sqrt(narrow)
        z = sign * middle / width
        log_mass = log_ndtr(z)
        ratio = np.exp(-0.5 * (_LOG_2PI + z**2) - log_mass)
        log_likelihood[..., k] += log_mass - log_ndtr(sign * centre / sd)
        first[..., k] = middle + sign * width * ratio
        second[..., k] = np.maximum(narrow * (1.0 - ratio * (ratio + z)), 1e-12 * narrow) + first[..., k] ** 2
    return log_likelihood, first, second


def posterior(
    mean: np.ndarray, variance: np.ndarray, prior: TypePrior, sign: np.ndarray | None = None
) -> TypePosterior:
    """Posterior of types and weights.

    Parameters
    ----------
    mean, variance : array (state, pair)
        Gaussian summary of the likelihood of each weight.
    prior : TypePrior
    sign : array (pair,), optional
        Label of the presynaptic unit of each pair (0, 1, ...), for Dale's law: all pairs of a label excite, or all
        inhibit, whichever the data favour, in proportion to the evidence.
    """
    log_likelihood, first, second = type_terms(mean, variance, prior)
    if sign is None:
        probability, evidence = _types(log_likelihood, prior, prior.share)
        total = float(evidence.sum())
    else:
        probability, total = _dale(log_likelihood, prior, sign)
    moment = (probability * first).sum(axis=-1)
    spread = (probability * second).sum(axis=-1) - moment**2
    return TypePosterior(moment, np.maximum(spread, 1e-12 * variance), probability, total)


def connectome(probability: np.ndarray, prior: TypePrior) -> np.ndarray:
    """Posterior mean of the probabilities p that the states share, (pair, 3)."""
    share = np.asarray(prior.share)
    return (prior.concentration * share + probability.sum(axis=0)) / (prior.concentration + len(probability))


def learn_prior(mean: np.ndarray, variance: np.ndarray, start: TypePrior | None = None) -> TypePrior:
    """The numbers of the prior that make the summaries most probable.

    Parameters
    ----------
    mean, variance : array (state, pair)
    start : TypePrior, optional
        Where to begin; by default guessed from the summaries.
    """
    n_pairs = mean.shape[1]
    if n_pairs > _LEARNING_PAIRS:
        chosen = np.linspace(0, n_pairs - 1, _LEARNING_PAIRS).astype(int)
        mean, variance = mean[:, chosen], variance[:, chosen]
    scale = typical_strength(mean, variance)
    first = start or guess(scale)

    def loss(x: np.ndarray) -> float:
        prior = _unpack(x, scale)
        log_likelihood, _, _ = type_terms(mean, variance, prior)
        table = urn_table(prior.concentration, np.array(prior.share), len(mean))
        evidence = urn_evidence(np.ascontiguousarray(log_likelihood.transpose(1, 0, 2)), table).sum()
        hyper = ((x[5] - np.log(_CONCENTRATION)) / _CONCENTRATION_SPREAD) ** 2
        hyper += ((x[4] - np.log(_NONE_SHARE)) / _NONE_SPREAD) ** 2
        # Strengths of about the typical size, and few connections, unless the data say otherwise.
        hyper += (x[0] / 2.0) ** 2 + (x[2] / 2.0) ** 2 + ((x[1] + 0.7) / 1.0) ** 2 + ((x[3] + 0.7) / 1.0) ** 2
        hyper += ((x[6] + 2.0) / 2.0) ** 2 + ((x[7] + 2.0) / 2.0) ** 2
        return float(-evidence + 0.5 * hyper)

    bounds = [(0.0, 4.0), (-2.5, 1.5), (0.0, 4.0), (-2.5, 1.5), (-5.0, -1.0), (-1.5, 4.0), (-8.0, 3.0), (-8.0, 3.0)]
    x0 = np.clip(_pack(first, scale), [low for low, _ in bounds], [high for _, high in bounds])
    found = minimize(loss, x0, method="L-BFGS-B", bounds=bounds, options={"maxiter": 20})
    return _unpack(found.x, scale)


def typical_strength(mean: np.ndarray, variance: np.ndarray) -> float:
    """A typical size of the weights that stand out of their uncertainty; of the uncertainty when none does."""
    z = np.abs(mean) / np.sqrt(variance)
    clear = np.abs(mean)[z > 4.0]
    floor = 3.0 * float(np.sqrt(np.median(variance)))
    return max(float(np.median(clear)), 1e-12) if clear.size >= max(3, 0.002 * z.size) else floor


def guess(scale: float) -> TypePrior:
    """A prior for weights of about this size."""
    return TypePrior(0.7 * scale, 0.5 * scale, 0.7 * scale, 0.5 * scale, _NONE_SHARE * scale, 3.0, (0.1, 0.8, 0.1))


def _types(
    log_likelihood: np.ndarray, prior: TypePrior, share: tuple[float, float, float]
) -> tuple[np.ndarray, np.ndarray]:
    by_pair = np.ascontiguousarray(log_likelihood.transpose(1, 0, 2))
    out = np.empty_like(by_pair)
    evidence = urn_posterior(by_pair, urn_table(prior.concentration, np.array(share), len(log_likelihood)), out)
    return out.transpose(1, 0, 2), evidence


def _dale(log_likelihood: np.ndarray, prior: TypePrior, sign: np.ndarray) -> tuple[np.ndarray, float]:
    """Types under either sign of each presynaptic unit, mixed by how probable the sign is."""
    inhibitory, none, excitatory = prior.share
    share = (inhibitory + excitatory, none)
    odds = excitatory / (inhibitory + excitatory)
    never = np.full_like(log_likelihood[..., 0], -1e300)
    both = np.zeros_like(log_likelihood)
    n_labels = int(sign.max()) + 1
    evidence = np.empty((2, n_labels))
    parts = []
    for which in (0, 1):
        restricted = log_likelihood.copy()
        restricted[..., 2 if which == 0 else 0] = never
        amount = (share[0], share[1], 1e-9) if which == 0 else (1e-9, share[1], share[0])
        probability, by_pair = _types(restricted, prior, amount)
        parts.append(probability)
        evidence[which] = np.bincount(sign, by_pair, n_labels) + np.log(1.0 - odds if which == 0 else odds)
    top = evidence.max(axis=0)
    total = top + np.log(np.exp(evidence - top).sum(axis=0))
    for which in (0, 1):
        both += np.exp(evidence[which] - total)[sign][None, :, None] * parts[which]
    return both, float(total.sum())


def _pack(prior: TypePrior, scale: float) -> np.ndarray:
    inhibitory, none, excitatory = prior.share
    return np.array(
        [
            prior.excitatory_mean / scale,
            np.log(prior.excitatory_sd / scale),
            prior.inhibitory_mean / scale,
            np.log(prior.inhibitory_sd / scale),
            np.log(prior.none_sd / scale),
            np.log(prior.concentration),
            np.log(inhibitory / none),
            np.log(excitatory / none),
        ]
    )


def _unpack(x: np.ndarray, scale: float) -> TypePrior:
    odds = np.exp([x[6], 0.0, x[7]])
    share = odds / odds.sum()
    return TypePrior(
        x[0] * scale,
        np.exp(x[1]) * scale,
        x[2] * scale,
        np.exp(x[3]) * scale,
        np.exp(x[4]) * scale,
        float(np.exp(x[5])),
        (float(share[0]), float(share[1]), float(share[2])),
    )
