"""The quantiles of the geo-topological transform, chosen without looking at the subjects they are judged on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.progress import Progress, as_progress
from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.kernels.rdm_identification import held_out, inner_accuracy
from neurodata.models.trsa.identification import folds_of_subjects, inner_products, labelled, summary
from neurodata.models.trsa.transforms import geo_topological_vectors, scaled_ranks

GRID = tuple(round(0.05 * k, 2) for k in range(21))


def select_thresholds(
    rdms: xr.DataArray,
    label: str | Sequence[Any] = "region",
    *,
    subject: str | Sequence[Any] = "subject",
    lower: Sequence[float] = GRID,
    upper: Sequence[float] = GRID,
    rank: bool = True,
    n_folds: int | None = None,
    classifier: str = "centroid",
    progress: bool | Progress = False,
    rng: RNGLike = None,
) -> xr.Dataset:
    """How well geo-topological RDMs identify regions when their thresholds are chosen on other subjects.

    In each fold the cell of the grid is taken that identifies the RDMs of the training subjects best, by
    cross-validation among them (of equal ones the widest, then the lowest), and judged on the subjects left out. The
    best cell of the whole grid on the same data is too good by chance; both are given, and their difference.

    Parameters
    ----------
    rdms, label, subject, n_folds
        As in `identify`. Three folds or more.
    lower, upper : sequence of float
        Quantiles; cells with ``lower < upper`` are tried.
    rank : bool
        As in `geo_topological`.
    classifier : {"centroid", "correlation"}
    progress : bool or Progress
    rng : Generator, seed or None
        Who is in which fold.

    Returns
    -------
    Dataset
        - ``accuracy``, ``standard_error``, ``confusion``, ... as in `identify`: nested, an honest estimate.
        - ``lower_fold``, ``upper_fold`` (fold): what was chosen without this fold.
        - ``accuracy_grid`` (lower, upper): cross-validated accuracy of each cell on the same data.
        - ``accuracy_same_data``: its maximum, and ``optimism``: what it is above the nested one.
        - ``accuracy_untransformed``: of the raw RDMs (their ranks where `rank`), with the same folds.
        - ``threshold`` (edge): the best cell for all the data; lower, upper.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> rng = np.random.default_rng(0)
    >>> two = [np.square(np.subtract.outer(x, x)) for x in rng.normal(size=(2, 6))]
    >>> rdms = xr.DataArray(np.array(two * 4), dims=("rdm", "condition", "condition_2"),
    ...                     coords={"region": ("rdm", ["V1", "IT"] * 4), "subject": ("rdm", [0, 0, 1, 1, 2, 2, 3, 3])})
    >>> found = nd.models.select_thresholds(rdms, lower=[0.0, 0.4], upper=[0.6, 1.0])
    >>> float(found["accuracy"]), found["threshold"].values.tolist()
    (1.0, [0.0, 1.0])
    """
    vectors, labels, names, group, subjects = labelled(rdms, label, subject)
    lowers, uppers = np.unique(np.asarray(lower, dtype=float)), np.unique(np.asarray(upper, dtype=float))
    cells = [(low, high) for low in lowers for high in uppers if 0.0 <= low < high <= 1.0]
    if not cells:
        raise OptionError(
            "quantiles 0 <= lower < upper <= 1", f"lower {lowers.tolist()}, upper {uppers.tolist()}", "widen the grid"
        )
    # The widest first: of equal accuracies argmax takes the one that changes the RDM least.
    cells.sort(key=lambda cell: (round(cell[0] - cell[1], 9), cell[0]))
    fold = folds_of_subjects(group, len(subjects), n_folds, generator(rng))
    total = int(fold.max()) + 1
    if total < 3:
        raise OptionError("three folds or more", f"{total}", "each choice needs two folds besides the one left out")
    base = scaled_ranks(vectors) if rank else vectors
    bar = as_progress(progress)
    bar.start(len(cells), "thresholds")
    inner, predicted = np.empty((len(cells), total)), np.empty((len(cells), len(labels)), dtype=np.int64)
    for k, (low, high) in enumerate(cells):
        gram = inner_products(geo_topological_vectors(base, low, high), classifier)
        inner[k], predicted[k] = inner_accuracy(gram, labels, fold), held_out(gram, labels, fold)
        bar.update()
    bar.close()
    best = inner.argmax(axis=0)
    nested = predicted[best[fold], np.arange(len(labels))]
    accuracy = (predicted == labels).mean(axis=1)
    grid = np.full((lowers.size, uppers.size), np.nan)
    for (low, high), value in zip(cells, accuracy, strict=True):
        grid[np.searchsorted(lowers, low), np.searchsorted(uppers, high)] = value
    plain = held_out(inner_products(base, classifier), labels, fold)
    found = summary(nested, labels, names, group, subjects)
    chosen = np.array(cells)
    return (
        found.assign(
            lower_fold=("fold", chosen[best, 0]),
            upper_fold=("fold", chosen[best, 1]),
            accuracy_grid=(("lower", "upper"), grid),
            accuracy_same_data=accuracy.max(),
            optimism=accuracy.max() - float(found["accuracy"]),
            accuracy_untransformed=(plain == labels).mean(),
            threshold=("edge", chosen[int(accuracy.argmax())]),
        )
        .assign_coords(lower=lowers, upper=uppers, edge=["lower", "upper"])
        .assign_attrs(rank=int(rank), n_folds=total, classifier=classifier)
    )
