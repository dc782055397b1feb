"""A fitted HMM-GLM as a PyMC model, for full posteriors of the couplings by NUTS."""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np

from neurodata._core.optional import require
from neurodata.kernels.hmm_nb import forward_backward
from neurodata.models.hmm_glm.design import Design, Layout
from neurodata.models.hmm_glm.em import _INITIAL_PSEUDO, _TRANSITION_PSEUDO


class Fitted(NamedTuple):
    """What a fit hands over.

    Attributes
    ----------
    theta : array (state, column, unit)
        Where sampling starts.
    precision, centre : array (state, column, unit)
        The Gaussian prior of each coefficient.
    initial, transition : array
        Of the chain.
    unit : array
        Ids.
    link : str
    shared_intercept : bool
    stickiness : float
    """

    theta: np.ndarray
    precision: np.ndarray
    centre: np.ndarray
    initial: np.ndarray
    transition: np.ndarray
    unit: np.ndarray
    link: str
    shared_intercept: bool
    stickiness: float


def pymc_model(design: Design, layout: Layout, fitted: Fitted, gamma: np.ndarray | None) -> Any:
    """The PyMC model; with `gamma` (bin, state) given the states, else with the states summed over."""
    pm = require("pymc", purpose="to build a PyMC model")
    coords: dict[str, Any] = {
        "state": np.arange(len(fitted.theta)),
        "state_2": np.arange(len(fitted.theta)),
        "unit": fitted.unit,
        "post": fitted.unit,
        "pre": fitted.unit,
        "basis": np.arange(len(layout.basis)),
    }
    if layout.n_covariates:
        coords["covariate"] = np.arange(layout.n_covariates)
    if layout.self_basis is not None:
        coords["self_basis"] = np.arange(len(layout.self_basis))
        off = ~np.eye(layout.n_units, dtype=bool)
        coords["pair"] = [f"{fitted.unit[j]} -> {fitted.unit[i]}" for i, j in np.argwhere(off)]
    with pm.Model(coords=coords) as model:
        theta = _coefficients(pm, layout, fitted)
        log_likelihood = _state_log_likelihood(design, theta, fitted)
        if gamma is not None:
            weight = gamma[design.row_bin]
            pm.Potential("expected_log_likelihood", (log_likelihood * weight).sum() + design.constant)
        else:
            _marginal(pm, design, fitted, log_likelihood)
    return model


def _coefficients(pm: Any, layout: Layout, fitted: Fitted) -> Any:
    """Random variables of all coefficients, labelled, put together as (state, column, unit)."""
    pt = require("pytensor.tensor")
    n_states, n_units = len(fitted.theta), layout.n_units
    start, precision, centre = fitted.theta, fitted.precision, fitted.centre
    if fitted.shared_intercept:
        own = _normal(pm, "intercept", precision[0, 0], centre[0, 0], start[0, 0], ("unit",))
        intercept = pt.tile(own[None], (n_states, 1))
    else:
        intercept = _normal(pm, "intercept", precision[:, 0], centre[:, 0], start[:, 0], ("state", "unit"))

    (p_pair, p_own), (c_pair, c_own), (s_pair, s_own) = (
        layout.coefficients(array) for array in (precision, centre, start)
    )
    dims = ("state", "post", "pre", "basis")
    if p_own is None:
        coupling = _normal(pm, "coefficient", p_pair, c_pair, s_pair, dims)
    else:
        # The diagonal does not exist: a unit's own past has a basis of its own.
        post, pre = np.nonzero(~np.eye(n_units, dtype=bool))
        pick = (slice(None), post, pre)
        free = _normal(pm, "coupling", p_pair[pick], c_pair[pick], s_pair[pick], ("state", "pair", "basis"))
        coupling = pm.Deterministic("coefficient", pt.set_subtensor(pt.zeros(s_pair.shape)[pick], free), dims=dims)
    summed = pt.dot(coupling, layout.basis.sum(axis=1))
    parts = [intercept[:, None], coupling.transpose(0, 2, 3, 1).reshape((n_states, -1, n_units))]
    if p_own is not None and layout.self_basis is not None:
        own_dims = ("state", "unit", "self_basis")
        own = _normal(pm, "self_coefficient", p_own, c_own, s_own, own_dims)
        index = np.arange(n_units)
        block = pt.zeros((n_states, n_units, len(layout.self_basis), n_units))
        parts.append(
            pt.set_subtensor(block[:, index, :, index], own.transpose(1, 0, 2)).reshape((n_states, -1, n_units))
        )
        summed = pt.set_subtensor(summed[:, index, index], pt.dot(own, layout.self_basis.sum(axis=1)))
    if layout.n_covariates:
        p_cov, c_cov, s_cov = (layout.covariates(array) for array in (precision, centre, start))
        covariate = _normal(pm, "covariate_weight", p_cov, c_cov, s_cov, ("state", "unit", "covariate"))
        parts.append(covariate.transpose(0, 2, 1))
    pm.Deterministic("weight", summed, dims=("state", "post", "pre"))
    return pt.concatenate(parts, axis=1)


def _normal(pm: Any, name: str, precision: Any, centre: Any, start: Any, dims: tuple[str, ...]) -> Any:
    """A Gaussian variable; one without any prior where a precision is 0 (maximum likelihood)."""
    if (precision > 0.0).all():
        return pm.Normal(name, mu=centre, sigma=1.0 / np.sqrt(precision), dims=dims, initval=start)
    variable = pm.Flat(name, dims=dims, initval=start)
    pm.Potential(f"{name}_prior", -0.5 * (precision * (variable - centre) ** 2).sum())
    return variable


def _state_log_likelihood(design: Design, theta: Any, fitted: Fitted) -> Any:
    """Log-likelihood of each row under each state, (row, state), without ``-log x!``."""
    pt = require("pytensor.tensor")
    link, (n_states, n_columns, n_units) = fitted.link, fitted.theta.shape
    flat = theta.transpose(1, 0, 2).reshape((n_columns, n_states * n_units))
    eta = pt.dot(design.columns, flat).reshape((len(design.columns), n_states, n_units))
    if link == "exp":
        log_mean = pt.clip(eta, -np.inf, 500.0)
        mean = pt.exp(log_mean)
    elif link == "softplus":
        mean = pt.softplus(eta)
        # log(softplus(eta)) is eta far below 0, where softplus itself rounds to 0.
        log_mean = pt.switch(eta < -30.0, eta, pt.log(pt.softplus(pt.maximum(eta, -30.0))))
    else:
        log_mean = -pt.softplus(-eta)
        mean = pt.sigmoid(eta)
    seen = (design.counts >= 0).astype(np.float64)[:, None]
    count = np.maximum(design.counts, 0).astype(np.float64)[:, None]
    return (count * log_mean - seen * mean).sum(axis=2)


def _marginal(pm: Any, design: Design, fitted: Fitted, log_likelihood: Any) -> None:
    """Priors of the chain and the likelihood with all paths of states summed over."""
    pt = require("pytensor.tensor")
    n_states = len(fitted.theta)
    if n_states == 1:
        pm.Potential("log_likelihood", log_likelihood.sum() + design.constant)
        return
    # EM adds pseudo-counts a, which is the mode under Dirichlet(1 + a).
    sticky = 1.0 + _TRANSITION_PSEUDO + fitted.stickiness * np.eye(n_states)
    transition = pm.Dirichlet("transition", a=sticky, dims=("state", "state_2"), initval=fitted.transition)
    first = np.full(n_states, 1.0 + _INITIAL_PSEUDO)
    initial = pm.Dirichlet("initial", a=first, dims="state", initval=fitted.initial)
    bins = pt.set_subtensor(pt.zeros((design.n_bins, n_states))[design.row_bin], log_likelihood)
    log_z, *_ = _forward_op()(np.asarray(design.starts))(bins, initial, transition)
    pm.Potential("log_likelihood", log_z + design.constant)


@cache
def _forward_op() -> type:
    """Log-likelihood of a chain as a PyTensor operation that calls our compiled forward-backward pass.

    Its derivatives are the posterior expectations that the same pass returns (Fisher's identity): d log Z / d l[t, s]
    is the probability of state s in bin t, and d log Z / d log P[i, j] the expected number of transitions. A loop in
    PyTensor (`scan`) would take a Python-sized step per bin. `tests/reference/test_hmm_glm_pymc.py` holds both against
    plain loops and finite differences.
    """
    pt = require("pytensor.tensor")
    op_module = require("pytensor.graph.op")
    basic = require("pytensor.graph.basic")

    class ForwardBackward(op_module.Op):  # type: ignore[name-defined]
        """(bin, state), (state,), (state, state_2) -> log Z and its derivatives by the three inputs."""

        def __init__(self, starts: np.ndarray) -> None:
            self.starts = starts

        def make_node(self, *inputs: Any) -> Any:
            given = [pt.as_tensor_variable(one) for one in inputs]
            return basic.Apply(self, given, [pt.dscalar(), pt.dmatrix(), pt.dvector(), pt.dmatrix()])

        def perform(self, node: Any, inputs: list[np.ndarray], outputs: list[list[Any]]) -> None:
            bins, initial, transition = inputs
            initial, transition = np.maximum(initial, 1e-300), np.maximum(transition, 1e-300)
            log_z, gamma, pair, first = forward_backward(bins, self.starts, initial, transition)
            values = (np.asarray(log_z.sum()), gamma, first / initial, pair / transition)
            for slot, value in zip(outputs, values, strict=True):
                slot[0] = value

        def grad(self, inputs: list[Any], slopes: list[Any]) -> list[Any]:
            _, *derivatives = self(*inputs)
            return [slopes[0] * one for one in derivatives]

    return ForwardBackward
