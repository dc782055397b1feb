"""The M-step: weighted Poisson regressions of all units in all states at once, by truncated Newton steps.

Each Newton system ``(X' H X + Lambda) d = g`` (one per state and unit, H = expected curvature) is solved by conjugate
gradients, run for all units side by side, so the work is products of the design matrix with thin matrices. The
preconditioner is one weighted Gram matrix per state, scaled for each unit. A step is halved until it does not lower
the objective of its unit, so the M-step, and with it EM, never goes downhill. States that share no coefficient are
done one after the other, and of each row only its curvature is kept, by unit.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from neurodata.kernels.poisson_nb import mean_of, weighted_terms
from neurodata.models.hmm_glm.passes import Passes, StateRows, stretched

_MAX_HALVINGS = 12
# Rows per column that the preconditioner is made of: more make it little better.
_PRECONDITIONER_ROWS = 60
# Units are picked out of the others when they are less than this part of all.
_WORTH_PICKING = 0.7
# A gain below this part of the objective is rounding.
_ROUNDING = 1e-15


@dataclass(frozen=True)
class Penalty:
    """Gaussian prior of the coefficients: ``-0.5 * precision * (theta - centre)**2``.

    Attributes
    ----------
    precision : array (state or 1, column, unit)
        A shorter one, (column,), is the same for all units and states.
    centre : array (state or 1, column, unit)
    free : array (column, unit) of bool, or None
        Coefficients that exist; the others stay 0.
    shared_intercept : bool
        Column 0 has the same coefficient in every state.
    """

    precision: np.ndarray
    centre: np.ndarray
    free: np.ndarray | None
    shared_intercept: bool

    def __post_init__(self) -> None:
        centre = self.centre if self.centre.ndim == 3 else self.centre[None]
        precision = self.precision if self.precision.ndim > 1 else self.precision[:, None]
        precision = precision if precision.ndim == 3 else precision[None]
        shape = np.broadcast_shapes(precision.shape, centre.shape)
        object.__setattr__(self, "precision", np.broadcast_to(precision, shape))
        object.__setattr__(self, "centre", np.broadcast_to(centre, shape))

    def of_state(self, state: int) -> tuple[np.ndarray, np.ndarray]:
        """Precision and centre of one state, (column, unit) each."""
        index = state if len(self.precision) > 1 else 0
        return self.precision[index], self.centre[index]

    def only(self, state: int) -> Penalty:
        """The penalty of one state by itself."""
        precision, centre = self.of_state(state)
        return Penalty(precision[None], centre[None], self.free, self.shared_intercept)

    def value(self, theta: np.ndarray) -> np.ndarray:
        """Log-prior by (state, unit), or (1, unit) with a shared intercept, which counts once."""
        terms = -0.5 * self.precision * (theta - self.centre) ** 2
        if not self.shared_intercept:
            return terms.sum(axis=1)
        return terms[:, 1:].sum(axis=(0, 1))[None] + terms[:1, 0]

    def slope(self, theta: np.ndarray) -> np.ndarray:
        """Derivative by theta, each term by itself."""
        return -self.precision * (theta - self.centre)


def maximise(
    rows: list[StateRows],
    theta: np.ndarray,
    penalty: Penalty,
    link: int,
    *,
    max_newton: int = 1,
    max_cg: int = 4,
    cg_tol: float = 0.1,
    tol: float = 0.0,
) -> np.ndarray:
    """Raise the penalised weighted log-likelihood from `theta`.

    Parameters
    ----------
    rows : list of StateRows
        One per state.
    theta : array (state, column, unit)
        Where to start; not changed.
    penalty : Penalty
    link : int
        See `neurodata.kernels.poisson_nb.LINKS`.
    max_newton, max_cg : int
        Most Newton steps, and most conjugate-gradient steps in each.
    cg_tol : float
        Relative size of the residual at which the inner solver stops.
    tol : float
        Stop when no unit expects to gain more than this (nats) from another step.

    Returns
    -------
    array (state, column, unit)
    """
    theta = theta.copy()
    together = [range(len(rows))] if penalty.shared_intercept else [range(s, s + 1) for s in range(len(rows))]
    with Passes() as passes:
        for states in together:
            part = slice(states.start, states.stop)
            only = penalty if len(states) == len(rows) else penalty.only(states.start)
            for _ in range(max_newton):
                if not _newton(passes, rows[part], theta[part], only, link, max_cg, cg_tol, tol):
                    break
    return theta


def _newton(
    passes: Passes,
    rows: list[StateRows],
    theta: np.ndarray,
    penalty: Penalty,
    link: int,
    max_cg: int,
    cg_tol: float,
    tol: float,
) -> bool:
    """One Newton step of `theta`, in place; False when there was none to take."""
    value, slopes, fisher = zip(*(passes.derivatives(r, theta[s], link) for s, r in enumerate(rows)), strict=True)
    gradient = _tied(np.stack(slopes), penalty) + _tied_penalty_slope(theta, penalty)
    direction = _solve(passes, rows, fisher, gradient, penalty, max_cg, cg_tol)
    gain = _dot(gradient, direction, penalty.shared_intercept)
    old = _grouped(np.stack(value), penalty) + penalty.value(theta)
    if not (gain > 2.0 * np.maximum(tol, _ROUNDING * np.abs(old))).any():
        return False
    step = _line_search(passes, rows, theta, direction, old, gain > 0.0, penalty, link)
    theta += step[:, None] * direction
    return bool(step.any())


def gram_matrices(rows: StateRows, theta: np.ndarray, link: int, unit: int) -> np.ndarray:
    """Expected curvature ``X' diag(h) X`` of one unit in one state, (column, column), without the penalty."""
    eta = rows.columns @ theta[:, unit : unit + 1]
    fisher = np.empty_like(eta)
    weighted_terms(
        eta, mean_of(eta, link), rows.counts[:, unit : unit + 1].copy(), rows.weight, link, np.empty_like(eta), fisher
    )
    keep = np.flatnonzero(fisher[:, 0] > 0.0)
    root = rows.columns[keep] * np.sqrt(fisher[keep])
    return root.T @ root


def _grouped(value: np.ndarray, penalty: Penalty) -> np.ndarray:
    """Objective by independent group: (state, unit), or (1, unit) when states share the intercept."""
    return value.sum(axis=0, keepdims=True) if penalty.shared_intercept else value


def _tied(vector: np.ndarray, penalty: Penalty) -> np.ndarray:
    """Derivatives by the coefficients that exist: absent ones 0, a shared one summed over states."""
    if penalty.free is not None:
        vector *= penalty.free
    if penalty.shared_intercept:
        vector[:, 0] = vector[:, 0].sum(axis=0)
    return vector


def _tied_penalty_slope(theta: np.ndarray, penalty: Penalty) -> np.ndarray:
    """The prior's slope; a shared intercept has its own once, which is what every state's copy holds."""
    slope = penalty.slope(theta)
    return slope if penalty.free is None else slope * penalty.free


def _dot(a: np.ndarray, b: np.ndarray, shared_intercept: bool) -> np.ndarray:
    """Inner products by group; a shared intercept counts once."""
    if not shared_intercept:
        return np.einsum("spn,spn->sn", a, b)
    return (np.einsum("spn,spn->n", a[:, 1:], b[:, 1:]) + a[0, 0] * b[0, 0])[None]


class _Preconditioner:
    """Scaled Gram matrix of each state, factorised once for units of similar curvature."""

    def __init__(self, passes: Passes, rows: list[StateRows], fisher: Sequence[np.ndarray], penalty: Penalty) -> None:
        self._penalty = penalty
        first = 1 if penalty.shared_intercept else 0
        self._scale = np.empty((len(rows), fisher[0].shape[1]))
        self._groups: list[list[tuple]] = []
        self._schur = np.zeros(fisher[0].shape[1]) + penalty.precision[0, 0]
        for s, r in enumerate(rows):
            mass = r.weight.sum() + 1e-12
            scale = np.maximum(np.ones(len(fisher[s]), dtype=np.float32) @ fisher[s] / mass, 1e-10)
            self._scale[s] = scale
            gram = passes.gram(r, stretched(len(r.columns), _PRECONDITIONER_ROWS * r.columns.shape[1]))
            jitter = 1e-9 * (1.0 + gram.diagonal().max())
            precision, _ = penalty.of_state(s)
            # One factor for units whose scale agrees within a factor of 4: the penalty is then about right in each.
            # Where units have penalties of their own, so they have factors.
            alike = (precision == precision[:, :1]).all()
            octave = np.floor(np.log(scale) / np.log(4.0)).astype(int) if alike else np.arange(len(scale))
            groups = []
            for level in np.unique(octave):
                units = np.flatnonzero(octave == level)
                matrix = gram + np.diag(precision[:, units[0]] / np.exp(np.log(scale[units]).mean()) + jitter)
                factor = cho_factor(matrix[first:, first:], lower=True, check_finite=False)
                border = cho_solve(factor, matrix[1:, 0], check_finite=False) if first else None
                if border is not None:
                    self._schur[units] += scale[units] * max(gram[0, 0] - gram[0, 1:] @ border, jitter)
                groups.append((units, factor, border, matrix[0, 1:]))
            self._groups.append(groups)

    def __call__(self, vector: np.ndarray) -> np.ndarray:
        out = np.empty_like(vector)
        if not self._penalty.shared_intercept:
            for s, groups in enumerate(self._groups):
                for units, factor, _, _ in groups:
                    out[s][:, units] = cho_solve(factor, vector[s][:, units], check_finite=False)
            out /= self._scale[:, None]
        else:
            # Arrow-shaped: weights of each state, bordered by the one intercept.
            intercept = vector[0, 0].copy()
            for s, groups in enumerate(self._groups):
                for units, factor, _, corner in groups:
                    out[s][1:, units] = cho_solve(factor, vector[s][1:, units], check_finite=False)
                    intercept[units] -= corner @ out[s][1:, units]
            out[:, 1:] /= self._scale[:, None]
            intercept /= self._schur
            out[:, 0] = intercept
            for s, groups in enumerate(self._groups):
                for units, _, border, _ in groups:
                    out[s][1:, units] -= border[:, None] * intercept[units]
        return out if self._penalty.free is None else out * self._penalty.free


def _solve(
    passes: Passes,
    rows: list[StateRows],
    fisher: Sequence[np.ndarray],
    gradient: np.ndarray,
    penalty: Penalty,
    max_cg: int,
    cg_tol: float,
) -> np.ndarray:
    """Conjugate gradients for the Newton direction."""
    shared = penalty.shared_intercept
    precondition = _Preconditioner(passes, rows, fisher, penalty)
    direction = np.zeros_like(gradient)
    residual = gradient.copy()
    z = precondition(residual)
    search = z.copy()
    rz = _dot(residual, z, shared)
    goal = cg_tol**2 * rz
    for _ in range(max_cg):
        active = rz > np.maximum(goal, 1e-300)
        if not active.any():
            break
        units = _columns_of(active.any(axis=0))
        product = np.zeros_like(search)
        for s, r in enumerate(rows):
            product[s][:, units] = passes.curved(r, fisher[s], np.ascontiguousarray(search[s][:, units]), units)
        product = _tied(product, penalty) + penalty.precision * search
        curvature = _dot(search, product, shared)
        alpha = np.where(active & (curvature > 0.0), rz / np.where(curvature > 0.0, curvature, 1.0), 0.0)
        direction += alpha[:, None] * search
        residual -= alpha[:, None] * product
        z = precondition(residual)
        new = _dot(residual, z, shared)
        ratio = np.where(active, new / np.where(rz > 0.0, rz, 1.0), 0.0)
        search = z + ratio[:, None] * search
        rz = np.where(active, new, 0.0)
    return direction


def _columns_of(wanted: Any) -> np.ndarray | slice:
    """Units still at work, or all of them where leaving some out would not pay."""
    return np.flatnonzero(wanted) if wanted.mean() < _WORTH_PICKING else slice(None)


def _line_search(
    passes: Passes,
    rows: list[StateRows],
    theta: np.ndarray,
    direction: np.ndarray,
    old: np.ndarray,
    wanted: np.ndarray,
    penalty: Penalty,
    link: int,
) -> np.ndarray:
    """Largest of 1, 1/2, 1/4, ... that does not lower the objective, by group; 0 where none does."""
    step = np.where(wanted, 1.0, 0.0)
    worse = step > 0.0
    for _ in range(_MAX_HALVINGS):
        units = _columns_of(worse.any(axis=0))
        trial = theta + step[:, None] * direction
        new = np.stack(
            [passes.value(r, np.ascontiguousarray(trial[s][:, units]), link, units) for s, r in enumerate(rows)]
        )
        objective = _grouped(new, penalty) + penalty.value(trial)[:, units]
        worse = np.zeros_like(worse)
        worse[:, units] = (step[:, units] > 0.0) & ~(objective >= old[:, units])
        if not worse.any():
            return step
        step = np.where(worse, 0.5 * step, step)
    return np.where(worse, 0.0, step)
