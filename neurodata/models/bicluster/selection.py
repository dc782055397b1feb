"""How many latent factors: scores on single counts that the fit did not see."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from scipy.special import gammaln, xlogy

from neurodata._core.parallel import run_parallel
from neurodata._core.rng import RNGLike, generator
from neurodata.errors import MissingOptionError, OptionError
from neurodata.models.bicluster.estimator import BiClustering
from neurodata.models.bicluster.layout import Data
from neurodata.models.bicluster.score import speckle


def select_n_latents(
    model: BiClustering,
    data: Data,
    candidates: Iterable[int] = (1, 2, 3),
    *,
    n_folds: int = 2,
    fraction: float = 0.1,
    rng: RNGLike = None,
) -> xr.Dataset:
    """Held-out scores of each number of latent factors.

    In each fold single counts are hidden at random over units and time, the same for all candidates; a model is fitted
    to the rest and predicts them.

    Parameters
    ----------
    model : BiClustering
        Its settings are used; it is not changed. Fits run side by side on its `n_jobs`, the chains of each one after
        another; with a `checkpoint` each fit has a folder of its own in it.
    data : DataArray or list of DataArray
        As for `BiClustering.fit`.
    candidates : iterable of int
        Numbers of factors beside the common course of a cluster; 0 = units of a cluster follow one course.
    n_folds : int
        Masks; each costs a fit of every candidate.
    fraction : float
        Part of the observed counts that a mask hides.
    rng : int, Generator or None
        Of the masks.

    Returns
    -------
    Dataset
        `score` (n_latents, fold), `mean_score` and `score_se` (n_latents; bits per spike, over a constant rate of each
        unit), `r_hat` (n_latents, fold), the largest of the fit, and `best`: the smallest number whose mean score is
        within one standard error of the highest. The error is that of the difference to the highest over the hidden
        counts, which are taken for independent given the fit. Look at `r_hat` first: scores of chains that disagree say
        little of the number of factors.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(2.0, (30, 4)), bin_width=0.5)
    >>> model = nd.models.BiClustering(n_chains=1, n_warmup=2, n_draws=4, max_clusters=2, max_states=2, rng=0)
    >>> table = nd.models.select_n_latents(model, counts, [0, 1], n_folds=1, rng=0)
    >>> table["score"].dims, int(table["best"]) in (0, 1)
    (('n_latents', 'fold'), True)
    """
    from sklearn.base import clone

    numbers = sorted(set(candidates))
    if not numbers or not all(isinstance(n, int | np.integer) and n >= 0 for n in numbers):
        raise OptionError("candidates: whole numbers of at least 0", repr(numbers), "pass e.g. candidates=[1, 2, 3]")
    if n_folds < 1:
        raise OptionError("n_folds of at least 1", repr(n_folds), "pass n_folds=2")
    if not model.course_draws:
        raise MissingOptionError("draws with trajectories", "course_draws=0", "pass a model with course_draws above 0")
    masks = [speckle(data, fraction, rng=one) for one in generator(rng).spawn(n_folds)]
    calls = []
    for n in numbers:
        for fold, mask in enumerate(masks):
            settings: dict[str, Any] = {"n_latents": int(n), "n_jobs": 1, "progress": False}
            if model.checkpoint is not None:
                settings["checkpoint"] = str(Path(model.checkpoint) / f"latents_{n}_fold_{fold}")
            calls.append((clone(model).set_params(**settings), data, mask))
    results = run_parallel(_fit_score, calls, model.n_jobs)
    gains = [[results[i * n_folds + fold] for fold in range(n_folds)] for i in range(len(numbers))]
    score = np.array([[gain.sum() / spikes for gain, spikes, _ in row] for row in gains])
    worst = np.array([[r_hat for _, _, r_hat in row] for row in gains])
    entries = np.stack([np.concatenate([gain for gain, _, _ in row]) for row in gains])
    n_spikes = sum(spikes for _, spikes, _ in gains[0])
    mean = entries.sum(axis=1) / n_spikes
    top = int(mean.argmax())
    error = (entries - entries[top]).std(axis=1) * np.sqrt(entries.shape[1]) / n_spikes
    best = numbers[int(np.flatnonzero(mean >= mean[top] - error)[0])]
    units = {"units": "bit/spike"}
    return xr.Dataset(
        {
            "score": (("n_latents", "fold"), score, units),
            "mean_score": ("n_latents", mean, units),
            "score_se": ("n_latents", error, units | {"long_name": "standard error of the difference to the highest"}),
            "r_hat": (("n_latents", "fold"), worst, {"units": "1", "long_name": "largest R-hat"}),
            "best": best,
        },
        coords={"n_latents": numbers, "fold": np.arange(n_folds)},
    )


def _fit_score(model: BiClustering, data: Data, mask: Data) -> tuple[np.ndarray, float, float]:
    """Bits that each hidden count gains over a constant rate, their spikes, and the largest R-hat."""
    arrays = [data] if isinstance(data, xr.DataArray) else list(data)
    masks = [mask] if isinstance(mask, xr.DataArray) else list(mask)
    rest = [array.where(~hidden) for array, hidden in zip(arrays, masks, strict=True)]
    model.fit(rest[0] if isinstance(data, xr.DataArray) else rest)
    log_p = model.log_predictive(data, mask)
    counts = log_p["count"].values.astype(np.float64)
    rate = model.rate_.sel(unit=log_p["unit"].values).values
    constant = xlogy(counts, rate) - rate - gammaln(counts + 1.0)
    r_hat = model.diagnostics_["r_hat"].values
    worst = float(np.nanmax(r_hat)) if not np.isnan(r_hat).all() else np.nan
    return (log_p.values - constant) / np.log(2.0), float(counts.sum()), worst
