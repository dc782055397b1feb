"""Fit under a prior that is learned from all couplings at once: EM and updates of the prior in turn.

Expectation propagation over pairs (Minka 2001). The regressions see each weight's prior as a Gaussian of its own (a
site). In a round, each site is taken out of the weight's marginal posterior, which leaves what the data say (mean,
variance); the prior is learned from these summaries, combined with them, and the site is set such that the Gaussian
has the mean and variance of the combination. The rounds of a stage see the data as a quadratic function of the weights
(states as given), so they cost no pass over the data; then EM goes on under the new sites, monotone as ever.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from neurodata._core.progress import Progress
from neurodata.models.hmm_glm import onehot, shared_mean
from neurodata.models.hmm_glm.design import Layout
from neurodata.models.hmm_glm.em import Problem, Run, advance, begin
from neurodata.models.hmm_glm.laplace import Quadratic, Uncertainty, uncertainty
from neurodata.models.hmm_glm.mstep import Penalty

_STAGES = 5
_STAGE_ITERATIONS = 6
_ROUNDS = 30
# How far sites move in a round; the whole way can oscillate when weights are correlated.
_DAMPING = 0.7
# Sites are settled when weights move by less than this part of their typical posterior sd.
_SETTLED = 0.02
_LEAST_PRECISION = 1e-4
# Multiply-adds that the curvatures of a stage may cost; those at the end may cost more.
_STAGE_WORK = 3e10
# Units of which effects on themselves are compared with those on others.
_FEWEST_OWN = 5


@dataclass(frozen=True)
class Couplings:
    """What is known of the couplings at the end.

    Attributes
    ----------
    mean, variance : array (state, post, pre)
        Of the summed weights, by the joint Gaussian posterior.
    probability : array (state, post, pre, 3) or None
        Of the types, for the one-hot prior.
    connectome : array (post, pre, 3) or None
        Probabilities of the types that the states share.
    shared : array (post, pre) or None
        Shared means, for the Gaussian prior.
    prior : TypePrior or MeanPrior
    uncertainty : Uncertainty
    n_iter : int
        EM iterations under the prior.
    """

    mean: np.ndarray
    variance: np.ndarray
    probability: np.ndarray | None
    connectome: np.ndarray | None
    shared: np.ndarray | None
    prior: onehot.TypePrior | shared_mean.MeanPrior
    uncertainty: Uncertainty
    n_iter: int


def learn_couplings(
    problem: Problem,
    layout: Layout,
    run: Run,
    kind: str,
    *,
    dale: bool,
    max_iter: int,
    tol: float,
    progress: Progress | None = None,
) -> tuple[Problem, Run, Couplings]:
    """Learn the prior and refit under it.

    Parameters
    ----------
    problem : Problem
        With the plain ridge.
    run : Run
        A fit under it.
    kind : {"onehot", "gaussian"}
    dale : bool
        One sign per presynaptic unit.
    max_iter, tol
        Of the last stretch of EM.
    """
    pairs = _Pairs(problem, layout)
    n_states = len(run.parameters.theta)
    shape = (n_states, *problem.penalty.precision.shape[1:])
    precision = np.broadcast_to(problem.penalty.precision, shape).copy()
    centre = np.broadcast_to(problem.penalty.centre, shape).copy()
    prior: onehot.TypePrior | None = None
    own: onehot.TypePrior | None = None
    done = 0
    for stage in range(_STAGES):
        # With the states as they are now, everything but the data's curvature is cheap: sites to convergence.
        data = Quadratic(problem, layout, run.parameters.theta, run.posterior, _STAGE_WORK)
        begun = pairs.take(run.parameters.theta)
        theta, variance = data.maximum(problem.penalty)
        for round_ in range(_ROUNDS):
            before = pairs.take(theta)
            summary = _cavity(before, pairs.take(variance), pairs.take(precision), pairs.take(centre))
            if kind == "onehot":
                found, prior, own = _types(summary, pairs, dale, prior, own)
                mean, spread, present = found.mean, found.variance, 1.0 - found.probability[..., 1]
            else:
                means = shared_mean.learn_prior(*summary)
                mean, spread, _ = shared_mean.posterior(*summary, means)
                present = np.ones_like(mean)
            site = _site(mean, spread, *summary)
            step = 1.0 if stage == round_ == 0 else _DAMPING
            old_precision, old_centre = pairs.take(precision), pairs.take(centre)
            new_precision = step * site[0] + (1.0 - step) * old_precision
            product = step * site[0] * site[1] + (1.0 - step) * old_precision * old_centre
            pairs.put(precision, new_precision)
            pairs.put(centre, product / new_precision)
            pairs.set_contrasts(precision, theta, variance, present)
            problem = replace(problem, penalty=_with(problem.penalty, precision, centre))
            theta, variance = data.maximum(problem.penalty)
            if round_ > 0 and _moved(pairs.take(theta), before, spread) < _SETTLED:
                break
        del data
        start = theta if not problem.penalty.shared_intercept else _keeping_intercepts(theta, run.parameters.theta)
        # Without states the quadratic maximum is nearly the fit already.
        n_iter = _STAGE_ITERATIONS if n_states > 1 else 2
        run = advance(problem, begin(problem, replace(run.parameters, theta=start)), n_iter, tol, progress)
        done += len(run.objective) - 1
        if _moved(pairs.take(run.parameters.theta), begun, spread) < _SETTLED:
            break
    done -= len(run.objective)
    run = advance(problem, run, max_iter, tol, progress)
    done += len(run.objective)
    known = uncertainty(problem, layout, run.parameters.theta, run.posterior)
    summary = _cavity(
        pairs.take(run.parameters.theta), pairs.take(known.variance), pairs.take(precision), pairs.take(centre)
    )
    if kind == "onehot":
        found, prior, own = _types(summary, pairs, dale, prior, own, learn=False)
        shared = onehot.connectome(found.probability, prior)
        couplings = Couplings(
            pairs.spread(found.mean),
            pairs.spread(found.variance),
            np.stack([pairs.spread(found.probability[..., k]) for k in range(3)], axis=-1),
            np.stack([pairs.spread(shared[None, :, k])[0] for k in range(3)], axis=-1),
            None,
            prior,
            known,
            done,
        )
    else:
        mean, spread, common = shared_mean.posterior(*summary, means)
        couplings = Couplings(
            pairs.spread(mean), pairs.spread(spread), None, None, pairs.spread(common[None])[0], means, known, done
        )
    return problem, run, couplings


def _types(
    summary: tuple[np.ndarray, np.ndarray],
    pairs: _Pairs,
    dale: bool,
    prior: onehot.TypePrior | None,
    own: onehot.TypePrior | None,
    learn: bool = True,
) -> tuple[onehot.TypePosterior, onehot.TypePrior, onehot.TypePrior | None]:
    """Posterior of the types, and the priors: of pairs, and of units' effects on themselves where those are unlike.

    A neuron's effect on itself (reset, refractoriness, bursts) may be of another size than any synapse. It has a prior
    of its own where the evidence for that is worth its eight numbers (BIC).
    """
    others, own_pairs = ~pairs.own, pairs.own

    def of(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return summary[0][:, mask], summary[1][:, mask]

    if learn or prior is None:
        prior = onehot.learn_prior(*of(others if others.any() else own_pairs), prior)
        own = None
        if others.any() and own_pairs.sum() >= _FEWEST_OWN:
            unlike = onehot.learn_prior(*of(own_pairs))
            gain = onehot.posterior(*of(own_pairs), unlike).evidence - onehot.posterior(*of(own_pairs), prior).evidence
            own = unlike if gain > 4.0 * np.log(of(own_pairs)[0].size) else None
    labels = pairs.pre if dale else None
    if own is None:
        return onehot.posterior(*summary, prior, labels), prior, None
    both = (
        onehot.posterior(*of(others), prior, None if labels is None else labels[others]),
        onehot.posterior(*of(own_pairs), own),
    )

    def merged(name: str) -> np.ndarray:
        first, second = (getattr(part, name) for part in both)
        out = np.empty((len(first), pairs.own.size, *first.shape[2:]))
        out[:, others], out[:, own_pairs] = first, second
        return out

    evidence = both[0].evidence + both[1].evidence
    return onehot.TypePosterior(merged("mean"), merged("variance"), merged("probability"), evidence), prior, own


class _Pairs:
    """The pairs that the prior is about, and where their coefficients are: those of observed units that exist."""

    def __init__(self, problem: Problem, layout: Layout) -> None:
        self.n_units, self.n_basis = layout.n_units, len(layout.basis)
        seen = problem.design.n_observed > 0
        wanted = seen[:, None] & seen[None, :]
        if layout.self_basis is not None:
            wanted &= ~np.eye(self.n_units, dtype=bool)
        self.post, self.pre = np.nonzero(wanted)
        self.own = self.post == self.pre
        self.column = 1 + self.pre * self.n_basis
        _, self.pre = np.unique(self.pre, return_inverse=True)
        self._wanted = wanted

    def take(self, array: np.ndarray) -> np.ndarray:
        """Values of the summed weights, (state, pair), of an array (state, column, unit)."""
        return array[:, self.column, self.post]

    def put(self, array: np.ndarray, values: np.ndarray) -> None:
        """The inverse of `take`, in place."""
        array[:, self.column, self.post] = values

    def spread(self, values: np.ndarray) -> np.ndarray:
        """(state, pair) to (state, post, pre), NaN where there is no pair."""
        out = np.full((len(values), self.n_units, self.n_units), np.nan)
        out[:, self._wanted] = values
        return out

    def set_contrasts(
        self, precision: np.ndarray, theta: np.ndarray, variance: np.ndarray, present: np.ndarray
    ) -> None:
        """Precision of the coefficients that give a filter its shape: free where a pair is connected, small elsewhere.

        Their variance among connected pairs is learned, for units' effects on themselves apart from that for other
        pairs; absent ones get a hundredth of it.
        """
        if self.n_basis == 1:
            return
        later = [self.column + j for j in range(1, self.n_basis)]
        square = np.mean([theta[:, c, self.post] ** 2 + variance[:, c, self.post] for c in later], axis=0)
        each = np.empty_like(present)
        for group in (self.own, ~self.own):
            there = present[:, group]
            learned = float((there * square[:, group]).sum() / max(there.sum(), 1e-12))
            each[:, group] = 1.0 / (learned * (there + 0.01 * (1.0 - there)) + 1e-300)
        for c in later:
            precision[:, c, self.post] = each


def _moved(now: np.ndarray, before: np.ndarray, variance: np.ndarray) -> float:
    """Root mean square change of the weights, in posterior standard deviations."""
    return float(np.sqrt(np.mean((now - before) ** 2 / variance)))


def _keeping_intercepts(theta: np.ndarray, old: np.ndarray) -> np.ndarray:
    """New couplings with the intercepts that the states share."""
    out = theta.copy()
    out[:, 0] = old[:, 0]
    return out


def _with(penalty: Penalty, precision: np.ndarray, centre: np.ndarray) -> Penalty:
    return replace(penalty, precision=precision.copy(), centre=centre.copy())


def _cavity(
    mean: np.ndarray, variance: np.ndarray, precision: np.ndarray, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of what the data alone say: the marginal without its site."""
    left = np.maximum(1.0 / variance - precision, 1e-6 / variance)
    return (mean / variance - precision * centre) / left, 1.0 / left


def _site(
    mean: np.ndarray, variance: np.ndarray, data_mean: np.ndarray, data_variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Precision and centre of the Gaussian that takes the summary of the data to the combination with the prior."""
    precision = np.maximum(1.0 / variance - 1.0 / data_variance, _LEAST_PRECISION / data_variance)
    return precision, (mean * (precision + 1.0 / data_variance) - data_mean / data_variance) / precision
