"""How many states: scores on stretches of time that the fit did not see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import xarray as xr

from neurodata._core.parallel import run_parallel
from neurodata.errors import OptionError
from neurodata.models.hmm_glm.estimator import HMMGLM
from neurodata.models.sequences import bin_width


def select_n_states(
    model: HMMGLM,
    data: xr.DataArray | Sequence[xr.DataArray],
    candidates: Iterable[int] = (1, 2, 3, 4, 5),
    *,
    n_folds: int = 3,
    gap: float | None = None,
) -> xr.Dataset:
    """Held-out bits per spike for each number of states, over blocks of time.

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

    Returns
    -------
    Dataset
        `score` (n_states, fold), `mean_score` and `score_se` (n_states; bits per spike), and `best`: the smallest
        number of states whose mean score is within one standard error of the highest.

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
    # One job at a time inside: the folds are the parallel level.
    settings = {"n_jobs": 1, "progress": False}
    calls = []
    for n in states:
        for fold in range(n_folds):
            train, test = _split(arrays, fold, n_folds, margin)
            calls.append((clone(model).set_params(n_states=n, **settings), train, test))
    score = np.array(run_parallel(_fit_score, calls, model.n_jobs)).reshape(len(states), n_folds)
    mean, error = score.mean(axis=1), score.std(axis=1, ddof=1) / np.sqrt(n_folds)
    top = int(mean.argmax())
    best = states[int(np.flatnonzero(mean >= mean[top] - error[top])[0])]
    units = {"units": "bit/spike"}
    return xr.Dataset(
        {
            "score": (("n_states", "fold"), score, units),
            "mean_score": ("n_states", mean, units),
            "score_se": ("n_states", error, units),
            "best": ((), best),
        },
        coords={"n_states": states, "fold": np.arange(n_folds)},
    )


def _split(
    arrays: list[xr.DataArray], fold: int, n_folds: int, gap: float
) -> tuple[list[xr.DataArray], list[xr.DataArray]]:
    """Training stretches and the test block of one fold."""
    train, test = [], []
    for array in arrays:
        n_bins = array.sizes["time"]
        width = bin_width(array)
        array = array.assign_attrs(bin_width=width)
        margin = int(np.ceil(gap / width - 1e-9))
        a, b = n_bins * fold // n_folds, n_bins * (fold + 1) // n_folds
        for part in (array.isel(time=slice(0, max(0, a - margin))), array.isel(time=slice(b + margin, None))):
            if part.sizes["time"]:
                train.append(part)
        test.append(array.isel(time=slice(a, b)))
    return train, test


def _fit_score(model: HMMGLM, train: list[xr.DataArray], test: list[xr.DataArray]) -> float:
    return model.fit(train).score(test)
