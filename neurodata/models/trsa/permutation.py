"""Permutation tests: do models predict the data at all (labels of conditions), do they differ (signs of subjects)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.rng import RNGLike, generator
from neurodata.diagnostics.decisions import benjamini_hochberg
from neurodata.errors import OptionError
from neurodata.models.trsa.comparators import check_comparison, check_covariance, similarity
from neurodata.models.trsa.stacks import groups_of, named_models, stack

# Numbers held at once in permuted vectors.
_BLOCK = 4_000_000
# Statistics closer than this are the same one, computed in another order.
_SAME = 1e-12


def permutation_test(
    models: Any,
    rdms: xr.DataArray,
    *,
    comparison: str = "corr",
    n_permutations: int = 1000,
    condition_covariance: Any = None,
    level: float = 0.05,
    rng: RNGLike = None,
) -> xr.Dataset:
    """Is each model more similar to the data than it would be if its conditions had been named at random?

    The conditions of all models are permuted alike, those of the data stay, so whatever the RDMs of the subjects share
    is kept. Where there are no more permutations than asked for, each is taken once and the test is exact.

    Parameters
    ----------
    models : mapping of names to RDMs, or DataArray ([model,] condition, condition_2)
    rdms : DataArray ([rdm,] condition, condition_2)
    comparison : str
        As in `compare_rdms`, larger being more similar (not ``bures-metric``).
    n_permutations : int
    condition_covariance : array, optional
    level : float
        Of the false discovery rate over models.
    rng : Generator, seed or None

    Returns
    -------
    Dataset
        - ``score`` (model): mean similarity over RDMs; ``null`` (permutation, model).
        - ``p`` (model): one-sided; ``p_max`` (model): against the best model of each permutation, which holds for all
          models together.
        - ``significant`` (model): survives the false discovery rate (Benjamini-Hochberg).
        - attrs ``exact``: 1 where every permutation was taken.

    Notes
    -----
    ``p = (1 + #{null >= score}) / (1 + n)`` [1]_, or the share of all permutations, the identity among them.

    References
    ----------
    .. [1] B. Phipson, G. Smyth, "Permutation p-values should never be zero", Stat. Appl. Genet. Mol. Biol. 9 (2010),
       doi:10.2202/1544-6115.1585.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> line = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    >>> model = xr.DataArray(line, dims=("condition", "condition_2"))
    >>> table = nd.models.permutation_test({"line": model}, model, n_permutations=1000)
    >>> float(table["p"][0]) == 2 / 720  # the order itself, and its reverse
    True
    """
    check_comparison(comparison)
    if comparison == "bures-metric":
        raise OptionError("a similarity", "'bures-metric', a distance", "use comparison='bures'")
    _check_draws(n_permutations)
    data = stack(rdms)
    vectors, names = named_models(models, data.conditions)
    n = data.conditions.size
    covariance = check_covariance(condition_covariance, n, comparison)
    exact = math.factorial(n) <= n_permutations
    orders = _all_orders(n) if exact else _random_orders(n, n_permutations, generator(rng))
    score = np.nanmean(similarity(vectors, data.vectors, comparison, covariance, n), axis=1)
    rows, columns = np.triu_indices(n, 1)
    pair = np.zeros((n, n), dtype=np.int64)
    pair[rows, columns] = pair[columns, rows] = np.arange(rows.size)
    null = []
    for block in _blocks(orders, max(1, _BLOCK // (rows.size * max(1, len(vectors))))):
        chosen = pair[block[:, rows], block[:, columns]]
        permuted = vectors[:, chosen].transpose(1, 0, 2).reshape(-1, rows.size)
        found = similarity(permuted, data.vectors, comparison, covariance, n)
        null.append(np.nanmean(found, axis=1).reshape(len(block), len(vectors)))
    held = np.concatenate(null)
    p, p_max = _p_values(score, held, exact)
    return xr.Dataset(
        {
            "score": ("model", score),
            "null": (("permutation", "model"), held),
            "p": ("model", p),
            "p_max": ("model", p_max),
            "significant": ("model", benjamini_hochberg(p, level)),
        },
        coords={"model": names},
        attrs={"comparison": comparison, "exact": int(exact), "level": level, "n_permutations": len(held)},
    )


def sign_flip_test(
    models: Any,
    rdms: xr.DataArray,
    *,
    comparison: str = "corr",
    subject: str | Sequence[Any] | None = None,
    n_permutations: int = 10_000,
    condition_covariance: Any = None,
    level: float = 0.05,
    rng: RNGLike = None,
) -> xr.Dataset:
    """Do two models differ in how similar they are to the subjects' RDMs, for these stimuli?

    The difference of two models is flipped in sign for a random half of the subjects; all of the 2^n flips are taken
    where they are no more than asked for. It generalises to other subjects, not to other stimuli: for these, see
    `bootstrap_rdms`.

    Parameters
    ----------
    models, rdms, comparison, condition_covariance
        As in `bootstrap_rdms`; two models or more.
    subject : str or array (rdm,), optional
        Coordinate on rdm, or labels; a subject's RDMs are averaged over in their similarities.
    n_permutations : int
    level : float
        Of the false discovery rate over pairs of models.
    rng : Generator, seed or None

    Returns
    -------
    Dataset
        ``difference`` (model, model_2): mean over subjects of the first's similarity minus the second's; ``p``:
        two-sided; ``significant``: after the false discovery rate.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> line = np.abs(np.subtract.outer(np.arange(6.0), np.arange(6.0)))
    >>> rdms = xr.DataArray([line] * 8, dims=("rdm", "condition", "condition_2"))
    >>> models = {"line": rdms[0], "square": rdms[0] ** 2}
    >>> float(nd.models.sign_flip_test(models, rdms)["p"].sel(model="line", model_2="square")) == 2 / 256
    True
    """
    check_comparison(comparison)
    _check_draws(n_permutations)
    data = stack(rdms)
    vectors, names = named_models(models, data.conditions)
    if len(names) < 2:
        raise OptionError("two models or more", f"{len(names)}", "permutation_test asks of one whether it is similar")
    group, subjects = groups_of(data, subject)
    if len(subjects) < 2:
        raise OptionError("two subjects or more", f"{len(subjects)}", "signs of one subject say nothing")
    covariance = check_covariance(condition_covariance, data.conditions.size, comparison)
    found = similarity(vectors, data.vectors, comparison, covariance, data.conditions.size)
    member = np.eye(len(subjects))[group]
    by_subject = found @ member / member.sum(axis=0)
    first, second = np.triu_indices(len(names), 1)
    differences = by_subject[first] - by_subject[second]
    exact = 2 ** len(subjects) <= n_permutations
    if exact:
        signs = np.array(list(itertools.product((1.0, -1.0), repeat=len(subjects))))
    else:
        signs = generator(rng).choice((-1.0, 1.0), size=(n_permutations, len(subjects)))
    observed = differences.mean(axis=1)
    null = np.abs(signs @ differences.T / len(subjects))
    p_pairs, _ = _p_values(np.abs(observed), null, exact)
    tested = benjamini_hochberg(p_pairs, level)
    shape = (len(names), len(names))
    difference, p, significant = np.zeros(shape), np.full(shape, np.nan), np.zeros(shape, dtype=bool)
    difference[first, second], difference[second, first] = observed, -observed
    p[first, second] = p[second, first] = p_pairs
    significant[first, second] = significant[second, first] = tested
    dims = ("model", "model_2")
    return xr.Dataset(
        {"difference": (dims, difference), "p": (dims, p), "significant": (dims, significant)},
        coords={"model": names, "model_2": names},
        attrs={"comparison": comparison, "exact": int(exact), "level": level, "n_permutations": len(signs)},
    )


def _check_draws(n_permutations: int) -> None:
    if n_permutations < 1:
        raise OptionError("one permutation or more", f"{n_permutations}", "1000 is usual")


def _p_values(score: np.ndarray, null: np.ndarray, exact: bool) -> tuple[np.ndarray, np.ndarray]:
    """One-sided p of each score, and against the greatest of each draw; `exact` draws hold the observed one already."""
    own = (null >= score - _SAME).sum(axis=0)
    best = (np.nanmax(null, axis=1)[:, None] >= score - _SAME).sum(axis=0)
    extra = 0 if exact else 1
    p, p_max = (own + extra) / (len(null) + extra), (best + extra) / (len(null) + extra)
    return np.where(np.isfinite(score), p, np.nan), np.where(np.isfinite(score), p_max, np.nan)


def _all_orders(n: int) -> Iterator[np.ndarray]:
    yield from (np.array(order) for order in itertools.permutations(range(n)))


def _random_orders(n: int, n_permutations: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    yield from (rng.permutation(n) for _ in range(n_permutations))


def _blocks(orders: Iterator[np.ndarray], size: int) -> Iterator[np.ndarray]:
    while block := list(itertools.islice(orders, size)):
        yield np.array(block)
