"""Expectation-maximisation for the switching regression: exact E-step, monotone M-step, stopping rule, restarts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from neurodata._core.progress import Progress, Silent
from neurodata.kernels.hmm_nb import forward_backward
from neurodata.kernels.poisson_nb import emission, mean_of
from neurodata.models.hmm_glm.design import Design
from neurodata.models.hmm_glm.mstep import Penalty, maximise
from neurodata.models.hmm_glm.passes import Passes, select_rows, select_state

# Rows whose posterior probability is below this are left out of a state's regression. It saves most of the work of
# the M-step; should the objective fall because of it, the step is done again with all rows.
_ROW_THRESHOLD = 1e-4
# Pseudo-counts of the Dirichlet priors: every transition and every first state stays possible.
_TRANSITION_PSEUDO = 0.1
_INITIAL_PSEUDO = 1.0
_CHUNK_VALUES = 2**16
# Each accepted step lengthens the next by this factor.
_STRETCH = 1.3
# A fall of the objective by more than this part of itself is not rounding.
_ROUNDING = 1e-10


@dataclass(frozen=True)
class Parameters:
    """What EM estimates.

    Attributes
    ----------
    theta : array (state, column, unit)
        Coefficients; column 0 is the intercept.
    initial : array (state,)
    transition : array (state, state)
    """

    theta: np.ndarray
    initial: np.ndarray
    transition: np.ndarray

    def permuted(self, order: np.ndarray) -> Parameters:
        """The same model with its states in another order."""
        return Parameters(self.theta[order], self.initial[order], self.transition[np.ix_(order, order)])


@dataclass(frozen=True)
class Posterior:
    """What the E-step returns: `gamma` (bin, state), expected transitions and first states, log Z (sequence,)."""

    gamma: np.ndarray
    pair: np.ndarray
    first: np.ndarray
    log_z: np.ndarray

    def permuted(self, order: np.ndarray) -> Posterior:
        """The same posterior with the states in another order."""
        return Posterior(self.gamma[:, order], self.pair[np.ix_(order, order)], self.first[order], self.log_z)


@dataclass(frozen=True)
class Problem:
    """The data and the priors, all that does not change during a fit."""

    design: Design
    link: int
    penalty: Penalty
    stickiness: float

    def log_prior(self, parameters: Parameters) -> float:
        """Log of the priors of all parameters, up to a constant."""
        pseudo = self.transition_pseudo(len(parameters.initial))
        return float(
            self.penalty.value(parameters.theta).sum()
            + (pseudo * np.log(parameters.transition)).sum()
            + (_INITIAL_PSEUDO * np.log(parameters.initial)).sum()
        )

    def transition_pseudo(self, n_states: int) -> np.ndarray:
        """Pseudo-counts of the sticky Dirichlet prior."""
        return _TRANSITION_PSEUDO + self.stickiness * np.eye(n_states)


@dataclass
class Run:
    """One run of EM: where it is, and the course of log-likelihood and objective."""

    parameters: Parameters
    posterior: Posterior
    log_likelihood: list[float] = field(default_factory=list)
    objective: list[float] = field(default_factory=list)
    converged: bool = False


def state_log_likelihood(design: Design, theta: np.ndarray, link: int) -> np.ndarray:
    """Log-likelihood of each bin under each state, (bin, state), without ``-log x!``; 0 in bins that are no row."""
    n_states, n_columns, n_units = theta.shape
    flat = np.ascontiguousarray(theta.transpose(1, 0, 2)).reshape(n_columns, n_states * n_units)
    out = np.zeros((design.n_bins, n_states))

    def fill(rows: slice) -> None:
        eta = (design.columns[rows] @ flat).reshape(-1, n_states, n_units)
        part = np.empty(eta.shape[:2])
        emission(eta, mean_of(eta, link), design.counts[rows], link, part)
        out[design.row_bin[rows]] = part

    with Passes() as passes:
        passes.each(fill, len(design.columns), max(256, _CHUNK_VALUES // (n_states * n_units)))
    return out


def e_step(design: Design, parameters: Parameters, link: int) -> Posterior:
    """Exact posterior of the states."""
    log_likelihood = state_log_likelihood(design, parameters.theta, link)
    log_z, gamma, pair, first = forward_backward(
        log_likelihood, design.starts, parameters.initial, parameters.transition
    )
    return Posterior(gamma, pair, first, log_z)


def m_step(
    problem: Problem, posterior: Posterior, theta: np.ndarray, threshold: float = _ROW_THRESHOLD, max_newton: int = 1
) -> Parameters:
    """Parameters that raise the expected log-likelihood plus log-prior; `theta` is where to start."""
    design, penalty = problem.design, problem.penalty
    gamma = posterior.gamma[design.row_bin]
    pair = posterior.pair + problem.transition_pseudo(gamma.shape[1])
    first = posterior.first + _INITIAL_PSEUDO
    if penalty.shared_intercept:
        rows = select_rows(design.columns, design.counts, gamma, threshold)
        new = maximise(rows, theta, penalty, problem.link, max_newton=max_newton)
    else:
        # One state after the other, so that only one has a copy of its rows.
        new = np.empty_like(theta)
        for s in range(len(theta)):
            one = [select_state(design.columns, design.counts, gamma[:, s], threshold)]
            new[s] = maximise(one, theta[s : s + 1], penalty.only(s), problem.link, max_newton=max_newton)[0]
            del one
    return Parameters(new, first / first.sum(), pair / pair.sum(axis=1, keepdims=True))


def begin(problem: Problem, parameters: Parameters) -> Run:
    """A run at its first point."""
    run = Run(parameters, e_step(problem.design, parameters, problem.link))
    _record(problem, run)
    return run


def _record(problem: Problem, run: Run) -> None:
    log_likelihood = float(run.posterior.log_z.sum()) + problem.design.constant
    run.log_likelihood.append(log_likelihood)
    run.objective.append(log_likelihood + problem.log_prior(run.parameters))


def advance(problem: Problem, run: Run, max_iter: int, tol: float, progress: Progress | None = None) -> Run:
    """Up to `max_iter` EM iterations, or until the objective gains less than `tol` of itself in one.

    The objective is the log-likelihood plus the log-prior. It never falls: where states are hard to tell apart EM
    crawls, so steps in the same direction are lengthened (Salakhutdinov and Roweis 2003) for as long as that pays;
    a long step that lowers the objective is replaced by the plain one, a plain one by one that uses every row, and if
    that is no better EM stops where it was.
    """
    progress = progress or Silent()
    stretch = 1.0
    for _ in range(max_iter):
        previous = run.objective[-1]
        plain = m_step(problem, run.posterior, run.parameters.theta)
        candidate = None
        if stretch > 1.0:
            candidate = _try(problem, run, _extrapolated(run.parameters, plain, stretch))
        stretched = candidate is not None
        stretch = stretch * _STRETCH if stretched or stretch == 1.0 else 1.0
        if candidate is None:
            candidate = _try(problem, run, plain)
        if candidate is None:
            candidate = _try(problem, run, m_step(problem, run.posterior, run.parameters.theta, threshold=0.0))
        if candidate is None:
            run.converged = True
            return run
        run = candidate
        progress.update(1, f"log-likelihood {run.log_likelihood[-1]:.6g} nat")
        if run.objective[-1] - previous <= tol * abs(previous):
            if stretched:  # too long a step gains little far from the end as well
                stretch = 1.0
                continue
            run.converged = True
            return run
    return run


def _try(problem: Problem, run: Run, parameters: Parameters) -> Run | None:
    """The run one step further, or None when the objective would fall."""
    posterior = e_step(problem.design, parameters, problem.link)
    candidate = Run(parameters, posterior, list(run.log_likelihood), list(run.objective))
    _record(problem, candidate)
    previous, new = run.objective[-1], candidate.objective[-1]
    return candidate if new >= previous - _ROUNDING * abs(previous) else None


def _extrapolated(old: Parameters, new: Parameters, stretch: float) -> Parameters:
    """`stretch` times the step from `old` to `new`, probabilities on a logarithmic scale."""

    def probabilities(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        logarithm = (1.0 - stretch) * np.log(a) + stretch * np.log(b)
        weight = np.maximum(np.exp(logarithm - logarithm.max(axis=-1, keepdims=True)), 1e-12)
        return weight / weight.sum(axis=-1, keepdims=True)

    return Parameters(
        old.theta + stretch * (new.theta - old.theta),
        probabilities(old.initial, new.initial),
        probabilities(old.transition, new.transition),
    )
