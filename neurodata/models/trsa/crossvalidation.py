"""Scores of RDM models on subjects and stimuli that they were not fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.models.trsa.bootstrap import BOUNDS
from neurodata.models.trsa.comparators import SHAPES, check_comparison, check_covariance, similarity
from neurodata.models.trsa.pooling import pooled
from neurodata.models.trsa.predictors import Parts
from neurodata.models.trsa.resample import resampled
from neurodata.models.trsa.stacks import groups_of, stack


def crossvalidate_models(
    models: Mapping[str, Any],
    rdms: xr.DataArray,
    *,
    comparison: str = "corr",
    n_subject_folds: int | None = None,
    n_stimulus_folds: int = 1,
    subject: str | Sequence[Any] | None = None,
    condition_covariance: Any = None,
    folds: Sequence[tuple[Sequence[int], Sequence[int]]] | None = None,
    rng: RNGLike = None,
) -> xr.Dataset:
    """Fixed, weighted and selected models, fitted to some subjects and stimuli and scored on the others.

    Parameters
    ----------
    models : mapping of names to `FixedRDM`, `WeightedRDM`, `SelectedRDM` or a DataArray (a fixed model)
    rdms : DataArray (rdm, condition, condition_2)
    comparison : str
        As in `compare_rdms`.
    n_subject_folds : int, optional
        Default one per subject; 1 leaves no subject out.
    n_stimulus_folds : int
        1 leaves no stimulus out; every fold needs three stimuli or more.
    subject : str or array (rdm,), optional
        Coordinate on rdm, or labels. Default: every RDM is a subject.
    condition_covariance : array, optional
        As in `compare_rdms`.
    folds : sequence of (subjects, stimuli) that are tested, optional
        Indices, instead of random folds; an empty list of either leaves none of it out and tests all.
    rng : Generator, seed or None
        Who is in which fold.

    Returns
    -------
    Dataset
        - ``score`` (model), ``score_fold`` (fold, model): mean similarity with the RDMs left out.
        - ``score_same_data`` (model): fitted and scored on everything; ``optimism``: what it is too high by.
        - ``ceiling`` (bound), ``ceiling_fold`` (bound, fold): pool of the training subjects, and of all, against the
          RDMs left out; NaN for Bures and Procrustes.
        - ``weight`` (fold, component) with coordinate ``component_model``: what was learnt in each fold.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> rng = np.random.default_rng(0)
    >>> dims = ("rdm", "condition", "condition_2")
    >>> parts = np.array([np.square(np.subtract.outer(x, x)) for x in rng.normal(size=(3, 9))])
    >>> noise = np.triu(rng.gamma(2.0, 0.3, size=(6, 9, 9)), 1)
    >>> rdms = xr.DataArray(parts[0] + 2 * parts[1] + noise + noise.transpose(0, 2, 1), dims=dims)
    >>> model = nd.models.WeightedRDM(xr.DataArray(parts, dims=dims))
    >>> table = nd.models.crossvalidate_models({"sum": model}, rdms, n_stimulus_folds=3, rng=0)
    >>> float(table["score"][0]) > 0.9
    True
    """
    check_comparison(comparison)
    if not isinstance(models, Mapping) or not models:
        raise OptionError("models as a mapping {name: model}", type(models).__name__, "name each model")
    data = stack(rdms)
    group, subjects = groups_of(data, subject)
    n = data.conditions.size
    covariance = check_covariance(condition_covariance, n, comparison)
    parts = [Parts(str(name), model, data) for name, model in models.items()]
    plan = _plan(folds, n_subject_folds, n_stimulus_folds, len(subjects), n, generator(rng))
    rows, columns = np.triu_indices(n, 1)
    scores = np.full((len(plan), len(parts)), np.nan)
    bounds = np.full((2, len(plan)), np.nan)
    weights: list[np.ndarray] = []
    for k, (test_subjects, test_stimuli) in enumerate(plan):
        train_rdms, test_rdms = _split(group, test_subjects, len(subjects))
        train_stimuli, stimuli = _split(np.arange(n), test_stimuli, n)
        train_pairs = np.flatnonzero(train_stimuli[rows] & train_stimuli[columns])
        pairs = np.flatnonzero(stimuli[rows] & stimuli[columns])
        train, test = data.vectors[train_rdms][:, train_pairs], data.vectors[test_rdms][:, pairs]
        share = subject_share(group[train_rdms])
        fitted = [part.fit(train, train_pairs, comparison, _of(covariance, train_stimuli), share) for part in parts]
        weights.append(np.concatenate(fitted))
        predicted = np.array([theta @ part.vectors[:, pairs] for theta, part in zip(fitted, parts, strict=True)])
        found = similarity(predicted, test, comparison, _of(covariance, stimuli))
        scores[k] = found @ subject_share(group[test_rdms])
        if comparison not in SHAPES:
            bounds[:, k] = _fold_ceiling(
                data.vectors[:, pairs], train_rdms, test_rdms, group, comparison, _of(covariance, stimuli)
            )
    everything = np.arange(rows.size)
    share = subject_share(group)
    whole = [part.fit(data.vectors, everything, comparison, covariance, share) for part in parts]
    predicted = np.array([theta @ part.vectors for theta, part in zip(whole, parts, strict=True)])
    same = similarity(predicted, data.vectors, comparison, covariance, n) @ share
    names = [part.name for part in parts]
    owner = np.repeat(names, [len(part.vectors) for part in parts])
    return xr.Dataset(
        {
            "score": ("model", scores.mean(axis=0)),
            "score_fold": (("fold", "model"), scores),
            "score_same_data": ("model", same),
            "optimism": ("model", same - scores.mean(axis=0)),
            "ceiling": ("bound", bounds.mean(axis=1)),
            "ceiling_fold": (("bound", "fold"), bounds),
            "weight": (("fold", "component"), np.array(weights)),
            "weight_same_data": ("component", np.concatenate(whole)),
        },
        coords={"model": names, "bound": BOUNDS, "component_model": ("component", owner)},
        attrs={"comparison": comparison, "n_folds": len(plan)},
    )


def _of(covariance: np.ndarray | None, chosen: np.ndarray) -> np.ndarray | None:
    if covariance is None:
        return None
    return covariance[chosen] if covariance.ndim == 1 else covariance[np.ix_(chosen, chosen)]


def subject_share(group: np.ndarray) -> np.ndarray:
    """Weight of each RDM (rdm,) so that subjects count alike; sums to 1.

    Examples
    --------
    >>> subject_share(np.array([0, 0, 1])).tolist()
    [0.25, 0.25, 0.5]
    """
    _, place, size = np.unique(group, return_inverse=True, return_counts=True)
    return 1.0 / (size[place.ravel()] * size.size)


def fold_numbers(n: int, n_folds: int, what: str, rng: np.random.Generator) -> np.ndarray:
    """Fold of each of n things, at random and of sizes as equal as they can be.

    Examples
    --------
    >>> sorted(fold_numbers(5, 2, "subjects", np.random.default_rng(0)).tolist())
    [0, 0, 0, 1, 1]
    """
    if not 1 <= n_folds <= n:
        raise OptionError(f"1 to {n} folds of {what}", f"{n_folds}", f"there are {n} {what}: ask for fewer folds")
    return rng.permutation(np.arange(n) % n_folds)


def _split(of: np.ndarray, test: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Which entries train and which test; nothing or everything left out tests what it trains on."""
    tested = np.isin(of, test)
    if test.size in (0, n):
        return np.ones(of.size, dtype=bool), np.ones(of.size, dtype=bool)
    return ~tested, tested


def _plan(
    folds: Sequence[tuple[Sequence[int], Sequence[int]]] | None,
    n_subject_folds: int | None,
    n_stimulus_folds: int,
    n_subjects: int,
    n: int,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray]]:
    if folds is None:
        wanted = n_subjects if n_subject_folds is None else n_subject_folds
        by_subject = fold_numbers(n_subjects, wanted, "subjects", rng)
        by_stimulus = fold_numbers(n, n_stimulus_folds, "stimuli", rng)
        plan = [
            (np.flatnonzero(by_subject == s), np.flatnonzero(by_stimulus == c))
            for s in range(wanted)
            for c in range(n_stimulus_folds)
        ]
    else:
        plan = [(np.asarray(s, dtype=np.int64), np.asarray(c, dtype=np.int64)) for s, c in folds]
        if not plan:
            raise OptionError("one fold or more", "none", "pass (subjects, stimuli) for each")
    for tested_subjects, tested in plan:
        for part, size, what in ((tested_subjects, n_subjects, "subjects"), (tested, n, "stimuli")):
            if part.size and (part.min() < 0 or part.max() >= size or np.unique(part).size < part.size):
                raise OptionError(f"indices of {what}, 0 to {size - 1}, each once", f"{part.tolist()}", "mend folds")
        left = n - tested.size
        if tested.size not in (0, n) and min(tested.size, left) < 3:
            raise OptionError(
                "three stimuli or more in every fold, and in what is left",
                f"{tested.size} tested, {left} to train on",
                "ask for fewer folds of stimuli",
            )
    return plan


def _fold_ceiling(
    vectors: np.ndarray,
    train: np.ndarray,
    test: np.ndarray,
    group: np.ndarray,
    comparison: str,
    covariance: np.ndarray | None,
) -> np.ndarray:
    """Mean similarity of the RDMs left out with the pool of the training RDMs, and with that of all."""
    share = subject_share(group[test])
    pools = [pooled(vectors[of], comparison, covariance, subject_share(group[of])) for of in (train, slice(None))]
    found = similarity(np.array(pools), vectors[test], comparison, covariance) @ share
    if train.all():
        found[0] = np.nan if np.unique(group).size < 2 else _left_out(vectors, group, comparison, covariance)
    return found


def _left_out(vectors: np.ndarray, group: np.ndarray, comparison: str, covariance: np.ndarray | None) -> float:
    """Lower ceiling where no subject is left out by the folds: one at a time."""
    n = round((1 + np.sqrt(1 + 8 * vectors.shape[1])) / 2)
    ones = np.ones((1, n)), np.ones((1, len(vectors)))
    _, bounds = resampled(vectors, vectors[:0], *ones, group, comparison, covariance=covariance)
    return float(bounds[0, 0])
