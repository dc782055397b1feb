"""How many states: scores on stretches of time that the fit did not see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.parallel import run_parallel
from neurodata.errors import OptionError
from neurodata.models.covariates import Covariates
from neurodata.models.hmm_glm.estimator import HMMGLM
from neurodata.models.sequences import bin_width

# Co-smoothing leaves out a fifth of the units at a time.
_UNIT_GROUPS = 5


def select_n_states(
    model: HMMGLM,
    data: xr.DataArray | Sequence[xr.DataArray],
    candidates: Iterable[int] = (1, 2, 3, 4, 5),
    *,
    n_folds: int = 3,
    gap: float | None = None,
    covariates: Covariates | None = None,
) -> xr.Dataset:
    """Scores of each number of states: held-out likelihood and co-smoothing over blocks of time, and BIC, side by side.

    Each array (or trial) is cut into `n_folds` contiguous blocks; one block at a time is scored by a model fitted to
    the others, less a gap on both sides. Blocks, not random bins: neighbouring bins share their state and history.

    Parameters
    ----------
    model : HMMGLM
        Its settings are used; it is not changed.
    data : DataArray or list of DataArray
        As for `HMMGLM.fit`.
    candidates : iterable of int
        Numbers of states.
    n_folds : int
    gap : float, optional
        s left out between what is fitted and what is scored; the model's `history` by default.
    covariates : DataArray or list of DataArray, optional
        As for `HMMGLM.fit`; blocks take theirs by time.

    Returns
    -------
    Dataset
        `score` (n_states, fold), `mean_score` and `score_se` (n_states; bits per spike), and `best`: the smallest
        number of states whose mean score is within one standard error of the highest. The same for `cosmoothing`,
        where a fifth of the units at a time is predicted from states that the others tell: `mean_cosmoothing`,
        `cosmoothing_se`, `best_by_cosmoothing`. `bic` (n_states) of fits to all data, less is better, and
        `best_by_bic`; it counts a coefficient as far as the data and not its prior settle it (`HMMGLM.n_effective_`),
        as most couplings are held at none. Standard errors are those of the differences to the highest, over folds.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (300, 2)), bin_width=0.02)
    >>> table = nd.models.select_n_states(nd.models.HMMGLM(n_restarts=1, rng=0), counts, [1, 2], n_folds=2)
    >>> table["score"].sizes["fold"], int(table["best"]) in (1, 2)
    (2, True)
    """
    from sklearn.base import clone

    states = sorted({int(n) for n in candidates})
    if not states or states[0] < 1:
        raise OptionError("candidates: numbers of states of at least 1", repr(states), "pass e.g. candidates=[1, 2, 3]")
    if n_folds < 2:
        raise OptionError("n_folds of at least 2", repr(n_folds), "pass n_folds=3")
    arrays = [data] if isinstance(data, xr.DataArray) else list(data)
    margin = float(model.history if gap is None else gap)
    given = None if covariates is None else [covariates] if isinstance(covariates, xr.DataArray) else list(covariates)
    if given is not None and len(given) != len(arrays):
        raise OptionError("one array of covariates per array of counts", f"{len(given)}", "pass lists of one length")
    # One job at a time inside: the folds are the parallel level.
    settings = {"n_jobs": 1, "progress": False}
    calls = []
    for n in states:
        for fold in range(n_folds):
            train, test, source = _split(arrays, fold, n_folds, margin)
            known = given if given is None else [given[i] for i in source]
            calls.append((clone(model).set_params(n_states=n, **settings), train, test, known, given))
    scores = np.array(run_parallel(_fit_score, calls, model.n_jobs)).reshape(len(states), n_folds, 2)
    whole = [(clone(model).set_params(n_states=n, **settings), arrays, given) for n in states]
    bic = np.array(run_parallel(_fit_bic, whole, model.n_jobs))
    units = {"units": "bit/spike"}
    data_vars: dict[str, Any] = {"bic": ("n_states", bic, {"units": "nat"}), "best_by_bic": states[int(bic.argmin())]}
    for k, (name, chosen) in enumerate((("score", "best"), ("cosmoothing", "best_by_cosmoothing"))):
        values = scores[..., k]
        mean, error, best = _simplest_good(values)
        data_vars |= {
            name: (("n_states", "fold"), values, units),
            f"mean_{name}": ("n_states", mean, units),
            f"{name}_se": ("n_states", error, units),
            chosen: states[best],
        }
    return xr.Dataset(data_vars, coords={"n_states": states, "fold": np.arange(n_folds)})


def _simplest_good(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """Mean score and standard error by row, and the first row within one standard error of the highest.

    Folds differ more than models do, so the error is that of the difference to the highest row, fold by fold.
    """
    mean = values.mean(axis=1)
    top = int(mean.argmax())
    error = (values - values[top]).std(axis=1, ddof=1) / np.sqrt(values.shape[1])
    return mean, error, int(np.flatnonzero(mean >= mean[top] - error)[0])


def _split(
    arrays: list[xr.DataArray], fold: int, n_folds: int, gap: float
) -> tuple[list[xr.DataArray], list[xr.DataArray], list[int]]:
    """Training stretches, the test blocks of one fold, and which array each stretch is of."""
    train, test, source = [], [], []
    for i, array in enumerate(arrays):
        n_bins = array.sizes["time"]
        width = bin_width(array)
        array = array.assign_attrs(bin_width=width)
        margin = int(np.ceil(gap / width - 1e-9))
        a, b = n_bins * fold // n_folds, n_bins * (fold + 1) // n_folds
        for part in (array.isel(time=slice(0, max(0, a - margin))), array.isel(time=slice(b + margin, None))):
            if part.sizes["time"]:
                train.append(part)
                source.append(i)
        test.append(array.isel(time=slice(a, b)))
    return train, test, source


def _fit_score(
    model: HMMGLM,
    train: list[xr.DataArray],
    test: list[xr.DataArray],
    known: list[xr.DataArray] | None,
    given: list[xr.DataArray] | None,
) -> tuple[float, float]:
    """Held-out score, and co-smoothing averaged over fifths of the units, by spikes."""
    model.fit(train, known)
    seen = model.rate_["unit"].values[np.isfinite(model.rate_.values)]
    groups = [seen[i :: min(_UNIT_GROUPS, len(seen))] for i in range(min(_UNIT_GROUPS, len(seen)))]
    gain, spikes = [], []
    for group in groups if len(groups) > 1 else []:
        count = sum(_spikes(array, group) for array in test)
        if count > 0:
            gain.append(model.cosmoothing(test, group, given) * count)
            spikes.append(count)
    return model.score(test, given), float(np.sum(gain) / np.sum(spikes)) if spikes else np.nan


def _spikes(array: xr.DataArray, units: np.ndarray) -> float:
    """Spikes of those of `units` that the array has."""
    item = "unit" if "unit" in array.dims else "roi"
    ids = array[item].values if item in array.coords else np.arange(array.sizes[item])
    return float(array.isel({item: np.flatnonzero(np.isin(ids, units))}).sum())


def _fit_bic(model: HMMGLM, arrays: list[xr.DataArray], given: list[xr.DataArray] | None) -> float:
    """``-2 log L + k log(bins)``, k the effective number of coefficients, transitions and first states."""
    model.fit(arrays, given)
    n_states = model.intercept_.sizes["state"]
    n_bins = sum(array.sizes["time"] * array.sizes.get("trial", 1) for array in arrays)
    free = model.n_effective_ + n_states * (n_states - 1) + n_states - 1
    return float(-2.0 * model.log_likelihood_[-1] + free * np.log(n_bins))
