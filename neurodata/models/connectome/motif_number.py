"""How many motifs: held-out stretches of time, and how well independent fits agree."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.parallel import one_thread, run_parallel
from neurodata._core.rng import generator
from neurodata.diagnostics.factor_match import factor_match_score
from neurodata.errors import OptionError, RecordingError
from neurodata.models.connectome import factors
from neurodata.models.connectome.combine import Layout, Tensor, read_problem
from neurodata.models.connectome.nonnegative_cp import NonnegativeCP
from neurodata.models.connectome.problem import Problem

# Mean factor match score of restarts from which on they count as the same.
STABLE = 0.9


def select_n_motifs(
    model: NonnegativeCP,
    data: Tensor,
    candidates: Iterable[int] = (1, 2, 3, 4, 5, 6, 7, 8),
    *,
    n_folds: int = 5,
    gap: int = 0,
    n_restarts: int = 10,
) -> xr.Dataset:
    """Scores of each number of components on stretches of time that were not fitted, beside stability over restarts.

    Time is cut into `n_folds` contiguous blocks, never into single cells: neighbouring affinities say the same. One
    block at a time is scored by a model of the others (`NonnegativeCP.score`: in each held-out time, some pairs tell
    how active the components are, the other pairs are predicted). Stability is the mean factor match score of all
    pairs of fits to all of the data from independent starts: components that are not in the data differ from start to
    start.

    Parameters
    ----------
    model : NonnegativeCP
        Its settings are used, with its `n_restarts` for each fold; it is not changed.
    data
        As for `NonnegativeCP.fit`.
    candidates : iterable of int
        Numbers of components.
    n_folds : int
    gap : int
        Rows (times) left out on both sides of a held-out block; at least the reach of filters and smoothing.
    n_restarts : int
        Fits for the stability of each number.

    Returns
    -------
    Dataset
        `score` (n_components, fold), the held-out share of the sum of squares; `mean_score`, `score_se` (standard
        error over folds of the difference to the highest); `best`: the smallest number within one standard error of
        the highest mean score; `stability` and `stability_least` (n_components), of all pairs of restarts;
        `relative_error` of the fit to all data; `best_stable`: the largest number, up to `best`, with a stability of
        at least 0.9, or -1 where there is none.

    Examples
    --------
    >>> import neurodata as nd, numpy as np, xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> time, unit = rng.random((40, 2)) ** 4, rng.random((10, 2)) ** 2
    >>> tensor = xr.DataArray(np.einsum("tr,ir,jr->tij", time, unit, unit), dims=("time", "unit", "unit_2"))
    >>> model = nd.models.NonnegativeCP(symmetric=("unit", "unit_2"), n_restarts=2, rng=0)
    >>> table = nd.models.select_n_motifs(model, tensor + 0.01 * rng.random(), [1, 2], n_folds=2, n_restarts=3)
    >>> int(table["best"]), bool(table["stability"].sel(n_components=2) > 0.9)
    (2, True)
    """
    from sklearn.base import clone

    ranks = sorted({int(n) for n in candidates})
    if not ranks or ranks[0] < 1:
        raise OptionError("candidates: numbers of at least 1", repr(ranks), "pass e.g. candidates=[1, 2, 3]")
    if n_folds < 2 or n_restarts < 2 or gap < 0:
        got = f"n_folds={n_folds}, n_restarts={n_restarts}, gap={gap}"
        raise OptionError(
            "2 folds and 2 restarts or more, and a gap of 0 or more", got, "pass n_folds=5, n_restarts=10"
        )
    problem, layout = read_problem(data, model.symmetric)
    for rank in ranks:
        factors.check_rank(rank, problem, layout)
    ranges = _folds(problem.n_rows, n_folds, gap)
    # The same seeds for every number of components, and one level of parallel runs.
    seeds = generator(model.rng).integers(0, 2**31, size=n_folds + n_restarts).tolist()
    alone = {"n_jobs": 1, "progress": False}
    calls: list[tuple[Any, ...]] = []
    for rank in ranks:
        own = clone(model).set_params(rank=rank, **alone)
        calls += [(own, problem, layout, *part, seed) for part, seed in zip(ranges, seeds, strict=False)]
        calls += [(own, problem, layout, None, None, seed) for seed in seeds[n_folds:]]
    done = run_parallel(_run, calls, model.n_jobs)
    each = n_folds + n_restarts
    rows = [done[k * each : (k + 1) * each] for k in range(len(ranks))]
    score = np.array([[one[0] for one in row[:n_folds]] for row in rows])
    match = np.array([_matches([one[1] for one in row[n_folds:]]) for row in rows])
    mean = score.mean(axis=1)
    top = int(mean.argmax())
    error = (score - score[top]).std(axis=1, ddof=1) / np.sqrt(n_folds)
    best = int(np.flatnonzero(mean >= mean[top] - error)[0])
    stable = [
        rank for rank, found in zip(ranks, match.mean(axis=1), strict=True) if found >= 0.9 and rank <= ranks[best]
    ]
    units = {"units": "1"}
    return xr.Dataset(
        {
            "score": (("n_components", "fold"), score, units),
            "mean_score": ("n_components", mean, units),
            "score_se": ("n_components", error, units),
            "best": ranks[best],
            "stability": ("n_components", match.mean(axis=1), units),
            "stability_least": ("n_components", match.min(axis=1), units),
            "relative_error": ("n_components", [min(one[0] for one in row[n_folds:]) for row in rows], units),
            "best_stable": stable[-1] if stable else -1,
        },
        coords={"n_components": ranks, "fold": np.arange(n_folds)},
    )


def _folds(n_rows: int, n_folds: int, gap: int) -> list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]:
    """Rows to fit and rows to score, for each block."""
    if n_rows < 2 * n_folds:
        raise RecordingError(f"{2 * n_folds} times or more for {n_folds} folds", str(n_rows), "use fewer folds")
    folds = []
    for k in range(n_folds):
        a, z = n_rows * k // n_folds, n_rows * (k + 1) // n_folds
        train = [(p, q) for p, q in ((0, a - gap), (z + gap, n_rows)) if q > p]
        if not train:
            raise OptionError(f"a gap that leaves times to fit, of {n_rows}", str(gap), "shorten the gap")
        folds.append((train, [(a, z)]))
    return folds


def _run(
    model: NonnegativeCP,
    problem: Problem,
    layout: Layout,
    train: list[tuple[int, int]] | None,
    test: list[tuple[int, int]] | None,
    seed: int,
) -> tuple[float, dict[str, np.ndarray]]:
    """Held-out score of a fold; or, without one, the error and the factors of a single fit to everything."""
    with one_thread():
        if train is None or test is None:
            whole = model.set_params(n_restarts=1, rng=seed)._fit(problem, layout)
            return whole.relative_error_, {dim: factor.values for dim, factor in whole.factor_.items()}
        chosen = problem.rows(train)
        fitted = model.set_params(rng=seed)._fit(chosen, layout.rows(train))
        return fitted._score(problem.rows(test), layout.rows(test), 5, 0), {}


def _matches(fits: list[dict[str, np.ndarray]]) -> list[float]:
    return [factor_match_score(one, other) for one, other in combinations(fits, 2)]
