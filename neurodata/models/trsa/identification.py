"""Which region or layer is an RDM from: identification of held-out subjects' RDMs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.rdm_identification import held_out
from neurodata.models.trsa.crossvalidation import fold_numbers
from neurodata.models.trsa.stacks import Stack, groups_of, stack


def identify(
    rdms: xr.DataArray,
    label: str | Sequence[Any] = "region",
    *,
    subject: str | Sequence[Any] = "subject",
    n_folds: int | None = None,
    classifier: Any = "centroid",
    n_permutations: int = 0,
    rng: RNGLike = None,
) -> xr.Dataset:
    """Name the region or layer that each RDM is from, by the RDMs of other subjects.

    Subjects are left out in turn; an RDM gets the label of the nearest mean RDM of the others [1]_. Transform the RDMs
    first (`geo_topological`) to ask how much their geometry or topology tells; what acts on each RDM by itself needs no
    fold of its own.

    Parameters
    ----------
    rdms : DataArray (rdm, condition, condition_2)
        Pairs that any RDM does not know are left out of all.
    label : str or array (rdm,)
        Coordinate on rdm, or labels, of what is to be named.
    subject : str or array (rdm,)
        Coordinate on rdm, or labels, of what is left out together: subjects, networks, blocks of time.
    n_folds : int, optional
        Groups of subjects that are left out together, at random; default every subject by itself.
    classifier : {"centroid", "correlation"} or scikit-learn classifier
        ``centroid``: least Euclidean distance; ``correlation``: the same of RDMs that were z-scored over pairs;
        anything with ``fit`` and ``predict``: cloned and fitted to the vectors (rdm, pair) in each fold.
    n_permutations : int
        Of the labels, within each subject, for the null of the accuracy. Centroids only.
    rng : Generator, seed or None
        Folds and permutations.

    Returns
    -------
    Dataset
        - ``predicted`` (rdm); ``correct`` (rdm).
        - ``confusion`` (label, label_2): RDMs of ``label`` that were named ``label_2``.
        - ``accuracy``, its ``standard_error`` over subjects, ``accuracy_subject`` (subject), ``chance`` (the share of
          the most frequent label).
        - ``null`` (permutation) and ``p``, where asked for.

    References
    ----------
    .. [1] B. Lin, N. Kriegeskorte, "The topology and geometry of neural representations", arXiv:2309.11028,
       doi:10.48550/arXiv.2309.11028.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> rng = np.random.default_rng(0)
    >>> two = [np.square(np.subtract.outer(x, x)) for x in rng.normal(size=(2, 5))]
    >>> rdms = xr.DataArray(np.array(two * 4), dims=("rdm", "condition", "condition_2"),
    ...                     coords={"region": ("rdm", ["V1", "IT"] * 4), "subject": ("rdm", [0, 0, 1, 1, 2, 2, 3, 3])})
    >>> found = nd.models.identify(rdms, "region", n_permutations=99, rng=0)
    >>> float(found["accuracy"]), found["confusion"].values.tolist()
    (1.0, [[4, 0], [0, 4]])
    """
    vectors, labels, names, group, subjects = labelled(rdms, label, subject)
    rng = generator(rng)
    fold = folds_of_subjects(group, len(subjects), n_folds, rng)
    if isinstance(classifier, str):
        gram = inner_products(vectors, classifier)
        predicted = held_out(gram, labels, fold)
    else:
        if n_permutations:
            raise OptionError("n_permutations=0 with a classifier of your own", f"{n_permutations}", "use 'centroid'")
        predicted = _by_classifier(vectors, labels, fold, classifier)
    found = summary(predicted, labels, names, group, subjects)
    if n_permutations:
        null = np.empty(n_permutations)
        for k in range(n_permutations):
            shuffled = _within(labels, group, rng)
            null[k] = (held_out(gram, shuffled, fold) == shuffled).mean()
        accuracy = float(found["accuracy"])
        found["null"] = ("permutation", null)
        found["p"] = (1.0 + (null >= accuracy - 1e-12).sum()) / (1.0 + n_permutations)
    return found.assign_attrs(n_folds=int(fold.max()) + 1, classifier=str(classifier))


def labelled(
    rdms: xr.DataArray, label: str | Sequence[Any], subject: str | Sequence[Any]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vectors without unknown pairs, label numbers and names, subject numbers and names; checked."""
    data: Stack = stack(rdms)
    labels, names = groups_of(data, label)
    group, subjects = groups_of(data, subject)
    if len(names) < 2:
        raise OptionError("two labels or more", f"{len(names)}", "there is nothing to tell apart")
    if len(subjects) < 2:
        raise OptionError("two subjects or more", f"{len(subjects)}", "nobody is left when one is left out")
    lonely = [str(name) for k, name in enumerate(names) if np.unique(group[labels == k]).size < 2]
    if lonely:
        raise RecordingError(
            "every label in two subjects or more", f"in one alone: {', '.join(lonely[:5])}", "leave these RDMs out"
        )
    known = np.isfinite(data.vectors).all(axis=0)
    if not known.any():
        raise RecordingError("pairs of conditions that all RDMs know", "none", "drop RDMs that are mostly NaN")
    return data.vectors[:, known], labels, names, group, subjects


def folds_of_subjects(group: np.ndarray, n_subjects: int, n_folds: int | None, rng: np.random.Generator) -> np.ndarray:
    """Fold of each RDM (rdm,); whole subjects."""
    if n_folds is None:
        return group
    if n_folds < 2:
        raise OptionError(f"2 to {n_subjects} folds of subjects", f"{n_folds}", "leave n_folds out for one each")
    return fold_numbers(n_subjects, n_folds, "subjects", rng)[group]


def inner_products(vectors: np.ndarray, classifier: str) -> np.ndarray:
    """Gram matrix (rdm, rdm) whose distances the nearest centroid is found in."""
    if classifier not in ("centroid", "correlation"):
        raise OptionError("'centroid', 'correlation' or a classifier", f"{classifier!r}", "choose one of them")
    if classifier == "correlation":
        vectors = vectors - vectors.mean(axis=1, keepdims=True)
        size = np.sqrt(np.einsum("ij,ij->i", vectors, vectors))
        if (size == 0).any():
            raise RecordingError("RDMs that vary over pairs", "a constant one", "use classifier='centroid'")
        vectors = vectors / size[:, None]
    return vectors @ vectors.T


def _within(labels: np.ndarray, group: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Labels permuted among the RDMs of each subject."""
    # Sorting by subject, ties at random, twice: the k-th RDM of a subject gets the label of a random one of its own.
    out = np.empty_like(labels)
    out[np.argsort(group, kind="stable")] = labels[np.lexsort((rng.random(labels.size), group))]
    return out


def _by_classifier(vectors: np.ndarray, labels: np.ndarray, fold: np.ndarray, classifier: Any) -> np.ndarray:
    from sklearn.base import clone

    if not (hasattr(classifier, "fit") and hasattr(classifier, "predict")):
        raise OptionError("a classifier with fit and predict", type(classifier).__name__, "pass a scikit-learn one")
    out = np.empty(len(labels), dtype=np.int64)
    for left in range(fold.max() + 1):
        tested = fold == left
        out[tested] = clone(classifier).fit(vectors[~tested], labels[~tested]).predict(vectors[tested])
    return out


def summary(
    predicted: np.ndarray, labels: np.ndarray, names: np.ndarray, group: np.ndarray, subjects: np.ndarray
) -> xr.Dataset:
    """Accuracy, confusion matrix and error over subjects of what was predicted."""
    confusion = np.zeros((len(names), len(names)), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    correct = predicted == labels
    by_subject = np.bincount(group, weights=correct) / np.bincount(group)
    return xr.Dataset(
        {
            "predicted": ("rdm", names[predicted]),
            "correct": ("rdm", correct),
            "confusion": (("label", "label_2"), confusion),
            "accuracy": correct.mean(),
            "standard_error": by_subject.std(ddof=1) / np.sqrt(len(subjects)),
            "accuracy_subject": ("subject", by_subject),
            "chance": np.bincount(labels).max() / labels.size,
        },
        coords={"label": names, "label_2": names, "subject": subjects},
    )
