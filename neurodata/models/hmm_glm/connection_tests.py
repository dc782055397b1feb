"""Tests of connections whose error rate holds when units share a slow drive.

What is tested is the data's own answer, not the posterior under a learned prior: the couplings are fitted again under a
prior too weak to matter, with the states as they were inferred. Three things are then done about a shared drive, which
makes units predict each other without a connection:

1.  The slow activity that units share (`slow_activity`) is a regressor of each unit.
2.  It is known with error, and what is left of the drive shows as couplings of a known pattern: post times pre of how
    strongly each follows the drive. That pattern is fitted to all pairs, robustly, and taken out.
3.  Centre and width of what remains are estimated from the central statistics (`empirical_null`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import xarray as xr
from scipy.stats import norm

from neurodata.diagnostics.decisions import adjusted_p
from neurodata.diagnostics.empirical_null import THEORETICAL, EmpiricalNull, empirical_null
from neurodata.errors import OptionError
from neurodata.models.hmm_glm.design import Design, Layout
from neurodata.models.hmm_glm.em import Posterior, Problem
from neurodata.models.hmm_glm.laplace import Curvatures, precision_matrix
from neurodata.models.hmm_glm.mstep import Penalty, maximise
from neurodata.models.hmm_glm.passes import select_rows
from neurodata.models.hmm_glm.shape import learn_shapes, with_shapes

NULLS = ("empirical", "theoretical")
CONTROLS = ("fdr", "pair")
# Precision of coefficients, in units of their regressors' variance; intercepts have a thousandth.
_RIDGE = 1.0
# Multiply-adds that the standard errors may cost.
_MOST_WORK = 1e11
# Residuals beyond this many standard deviations are weighed down where the pattern of the drive is fitted (Huber).
_HUBER, _HUBER_ROUNDS = 1.345, 20
# Pairs for each number of the pattern.
_PAIRS_PER_NUMBER = 15


def check_options(level: float, control: str, null: str, slow: float | None) -> None:
    """Raise one `OptionError` that names every option that makes no sense."""
    problems = []
    if not 0.0 < float(level) < 1.0:
        problems.append(("level between 0 and 1", f"level={level!r}"))
    for name, value, known in (("control", control, CONTROLS), ("null", null, NULLS)):
        if value not in known:
            problems.append((f"{name}, one of {', '.join(map(repr, known))}", f"{name}={value!r}"))
    if slow is not None and not 0.0 < float(slow) < np.inf:
        problems.append(("slow, a positive time in s or None", f"slow={slow!r}"))
    if problems:
        expected, got = zip(*problems, strict=True)
        raise OptionError("; ".join(expected), "; ".join(got), "correct the options")


class Refit(NamedTuple):
    """Couplings as the data alone have them.

    Attributes
    ----------
    weight, error : array (state, post, pre)
        Strength of the course over lags that filters have in common, and its standard error; NaN for pairs that there
        are no data on.
    loading : array (state, unit, component)
        How strongly each unit follows the slow components.
    method : str
        How standard errors were computed, see `laplace`.
    """

    weight: np.ndarray
    error: np.ndarray
    loading: np.ndarray
    method: str


class Tests(NamedTuple):
    """Test statistics and their p values, (state, post, pre), and the null distribution of each state."""

    z: np.ndarray
    p: np.ndarray
    weight: np.ndarray
    null: list[EmpiricalNull]


def refit(
    design: Design, layout: Layout, theta: np.ndarray, posterior: Posterior, link: int, slow: np.ndarray
) -> Refit:
    """Fit couplings without a learned prior, with the slow components as regressors.

    Parameters
    ----------
    design : Design
    layout : Layout
    theta : array (state, column, unit)
        The fit, where to begin.
    posterior : Posterior
        The states, taken as known.
    link : int
    slow : array (bin, component)
    """
    n_slow = slow.shape[1]
    columns = np.concatenate([design.columns, slow[design.row_bin]], axis=1)
    spread = columns.std(axis=0)
    spread[spread <= 1e-12] = 1.0
    first = layout.n_history
    columns[:, first:] /= spread[first:]
    theta = np.concatenate([theta, np.zeros((len(theta), n_slow, layout.n_units))], axis=1)
    theta[:, first:] *= spread[first:, None]
    spread[first:] = 1.0
    design, layout = replace(design, columns=columns), replace(layout, n_covariates=layout.n_covariates + n_slow)
    theta = _maximum(design, layout, theta, posterior, link, spread)
    if len(layout.basis) > 1:
        # The states' mean: the course is one for all of them.
        mean = np.average(theta, axis=0, weights=np.maximum(posterior.gamma.sum(axis=0), 1e-12))
        shapes = learn_shapes(design, layout, mean)
        turned = [
            with_shapes(shapes, layout, replace(design, columns=np.zeros((0, layout.n_columns))), one)[2]
            for one in theta
        ]
        layout, design, _ = with_shapes(shapes, layout, design, theta[0])
        theta = np.stack(turned)
        spread = np.maximum(design.columns.std(axis=0), 1e-12)
    n_units, n_basis = layout.n_units, len(layout.basis)
    pair = 1 + np.arange(n_units) * n_basis
    penalty = _penalty(theta, layout, spread)
    curvatures = Curvatures(Problem(design, link, penalty, 0.0), layout, theta, posterior, _MOST_WORK)
    error = np.full((len(theta), n_units, n_units), np.nan)
    for state, post, curvature in curvatures:
        matrix, free = precision_matrix(curvature, penalty, state, post)
        variance = np.full(len(free), np.nan)
        variance[free] = np.diag(np.linalg.inv(matrix))
        error[state, post] = np.sqrt(variance[pair])
    weight = theta[:, pair].transpose(0, 2, 1).copy()
    silent = design.n_spikes == 0
    for array in (weight, error):
        array[:, silent] = np.nan
        array[:, :, silent] = np.nan
    loading = theta[:, layout.n_columns - n_slow :].transpose(0, 2, 1)
    return Refit(weight, error, loading, curvatures.method)


def tests(found: Refit, together: np.ndarray, null: str) -> Tests:
    """Statistics and p values of all pairs.

    Parameters
    ----------
    found : Refit
    together : array (post, pre) of bool
        Pairs that were recorded together. Others, and units with themselves, are not tested.
    null : {"empirical", "theoretical"}
    """
    tested = together & ~np.eye(len(together), dtype=bool)
    weight, nulls = found.weight.copy(), []
    z, p = np.full(weight.shape, np.nan), np.full(weight.shape, np.nan)
    for state, error in enumerate(found.error):
        pairs = tested & np.isfinite(weight[state]) & np.isfinite(error) & (error > 0)
        weight[state, ~pairs] = np.nan
        if pairs.any():
            weight[state, pairs] -= error[pairs] * _pattern(
                weight[state, pairs] / error[pairs], error, found.loading[state], pairs
            )
        z[state] = weight[state] / error
        one = empirical_null(z[state]) if null == "empirical" else THEORETICAL
        p[state] = 2.0 * norm.sf(np.abs(z[state] - one.centre) / one.width)
        nulls.append(one)
    return Tests(z, p, weight, nulls)


def table(
    found: Refit, result: Tests, state: np.ndarray, unit: np.ndarray, level: float, control: str, null: str
) -> xr.Dataset:
    """The answer of `HMMGLM.test_connections`."""
    q = adjusted_p(result.p)
    called = np.nan_to_num(q if control == "fdr" else result.p, nan=1.0) <= level
    dims = ("state", "post", "pre")
    error = np.where(np.isfinite(result.weight), found.error, np.nan)
    variables = {
        "z": (result.z, "statistic"),
        "p": (result.p, "p value, two-sided"),
        "q": (q, "p value adjusted for the false discovery rate over all pairs and states"),
        "connected": (called, "called connected"),
        "weight": (result.weight, "coupling along the common course, without the drive's part"),
        "weight_se": (error, "standard error"),
    }
    arrays = {name: (dims, values, {"units": "1", "long_name": text}) for name, (values, text) in variables.items()}
    nulls = {
        f"null_{name}": ("state", [getattr(one, name) for one in result.null], {"units": "1", "long_name": text})
        for name, text in (("centre", "centre of the null distribution"), ("width", "its standard deviation"))
    }
    attrs = {
        "level": float(level),
        "control": control,
        "null": null,
        "n_slow_components": found.loading.shape[2],
        "weight_se_method": found.method,
    }
    return xr.Dataset({**arrays, **nulls}, coords={"state": state, "post": unit, "pre": unit}, attrs=attrs)


def _pattern(z: np.ndarray, error: np.ndarray, loading: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    """What a remainder of the drive adds to the statistics of pairs: loadings post times pre, Huber's regression."""
    n_used = min(loading.shape[1], int(np.sqrt(len(z) / _PAIRS_PER_NUMBER)))
    if not n_used:
        return np.zeros(len(z))
    post, pre = np.nonzero(pairs)
    used = np.nan_to_num(loading[:, :n_used])
    products = (used[post][:, :, None] * used[pre][:, None, :]).reshape(len(z), -1) / error[pairs][:, None]
    size = np.sqrt(np.mean(products**2, axis=0))
    products /= np.where(size > 0, size, 1.0)
    weight = np.ones(len(z))
    for _ in range(_HUBER_ROUNDS):
        gram = products.T @ (weight[:, None] * products) + 1e-9 * len(z) * np.eye(products.shape[1])
        fitted = products @ np.linalg.solve(gram, products.T @ (weight * z))
        distance = np.abs(z - fitted)
        scale = max(float(np.median(distance)) / 0.6745, 1e-12)
        weight = np.minimum(1.0, _HUBER * scale / np.maximum(distance, 1e-12))
    return fitted


def _penalty(theta: np.ndarray, layout: Layout, spread: np.ndarray) -> Penalty:
    precision = np.maximum(_RIDGE * spread**2, 1e-12)
    precision[0] = 1e-3 * _RIDGE
    centre = np.zeros((1, *theta.shape[1:]))
    centre[0, 0] = theta[:, 0].mean(axis=0)
    return Penalty(precision, centre, layout.free(), False)


def _maximum(
    design: Design, layout: Layout, theta: np.ndarray, posterior: Posterior, link: int, spread: np.ndarray
) -> np.ndarray:
    penalty = _penalty(theta, layout, spread)
    gamma = np.ascontiguousarray(posterior.gamma[design.row_bin])
    rows = select_rows(design.columns, design.counts, gamma, 1e-4)
    return maximise(rows, theta, penalty, link, max_newton=30, max_cg=50, cg_tol=1e-2, tol=1e-4)
