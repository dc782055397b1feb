"""RDMs from patterns of activity."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels import rdm_gram as kernel
from neurodata.models.trsa.layout import Layout, cells, layout
from neurodata.models.trsa.noise import METHODS, noise_precision
from neurodata.models.trsa.weights import Noise, as_noise

DISSIMILARITIES = ("euclidean", "correlation", "cosine", "mahalanobis", "crossnobis", "poisson", "poisson-cv")
CROSSED = ("crossnobis", "poisson-cv")
NOISY = ("mahalanobis", "crossnobis")

# Values that are worked on at once, 4 MB: movies go through in blocks that stay in the caches.
_BLOCK_VALUES = 2**19


def rdm(
    data: xr.DataArray,
    dissimilarity: str = "euclidean",
    noise_precision: Any = None,
    *,
    remove_mean: bool = False,
    prior_rate: float = 1.0,
    prior_weight: float = 0.1,
    undefined: str = "raise",
    condition: str = "condition",
    run: str = "run",
    pattern: str | Sequence[str] | None = None,
) -> xr.DataArray:
    r"""Dissimilarities of the patterns of all pairs of conditions.

    Parameters
    ----------
    data : DataArray
        Dims ([run,] condition, channel), in any order; or (observation, channel) with coordinates `condition` and `run`
        on the dim of observations, in any number: an unbalanced design. A dim ``time`` (and others that are neither)
        gives an RDM for each label. NaN = not observed.
    dissimilarity : str
        With x the patterns, means over runs, and P the number of channels:

        ``"euclidean"``
            :math:`|x_i - x_j|^2 / P`, squared.
        ``"correlation"``, ``"cosine"``
            One minus it.
        ``"mahalanobis"``
            :math:`(x_i - x_j)' \Sigma^{-1} (x_i - x_j) / P`.
        ``"crossnobis"``
            :math:`(x_i^a - x_j^a)' \Sigma^{-1} (x_i^b - x_j^b) / P`, mean over all pairs of observations in different
            runs: unbiased, so 0 on average where patterns are equal, and negative at times [1]_.
        ``"poisson"``
            :math:`\sum_p (\lambda_i - \lambda_j)(\log \lambda_i - \log \lambda_j) / P`, the symmetrised divergence of
            Poisson rates, which `prior_rate` draws away from 0 [2]_.
        ``"poisson-cv"``
            The rates' differences from the other runs, those of their logarithms from one; mean over runs.
    noise_precision : DataArray or array, or str, optional
        :math:`\Sigma^{-1}` (channel, channel_2), or (channel,) if it is diagonal, or with a leading dim ``run`` (then
        crossnobis whitens each pair of runs with their mean covariance) or ``time``; labels decide, where there are
        any. A str estimates it with this method of `noise_covariance` from the data themselves. None is the identity
        for crossnobis.
    remove_mean : bool
        Take off each pattern's mean over channels first.
    prior_rate, prior_weight : float
        :math:`\lambda = (x + l_0 w) / (1 + w)` for the Poisson measures.
    undefined : {"raise", "nan"}
        What to do where a pair has no dissimilarity: patterns without variance (correlation), without any length
        (cosine), or conditions without observations in two runs (cross-validated).
    condition, run : str
        Names of the dims or coordinates.
    pattern : str or sequence of str, optional
        Dims that make up a pattern. Default: the one besides conditions, runs and time.

    Returns
    -------
    DataArray (..., condition, condition_2)
        Symmetric, 0 on the diagonal. Attrs: measure, normalisation, noise. Unbalanced designs have their conditions in
        sorted order.

    Raises
    ------
    RecordingError
        One condition; one run for cross-validation; negative rates; what `undefined` says.
    OptionError
        Mahalanobis without noise; dims that could be several things.

    Notes
    -----
    Channels that were not observed (NaN) are left out pair by pair: a dissimilarity is that of the channels which both
    conditions have, divided by their number, and NaN without any. Means are over the repeats that were observed; for
    cross-validated measures a channel counts for a condition if all its observations have it. The noise of the channels
    that are left is the covariance without the others (not the precision without them).

    Crossnobis needs no loop over folds: with :math:`S_{im}` sums over a run's observations and n their numbers,
    :math:`K_{ij} = (S_i' S_j - \sum_m S_{im}' S_{jm}) / (n_i n_j - \sum_m n_{im} n_{jm})` and
    :math:`d_{ij} = (K_{ii} + K_{jj} - 2 K_{ij}) / P`. With numbers that differ between runs it changes a little when
    one pattern is added to all observations; balanced designs do not.

    References
    ----------
    .. [1] A. Walther et al., "Reliability of dissimilarity measures for multi-voxel pattern analysis", NeuroImage 137
       (2016), 188-200, doi:10.1016/j.neuroimage.2015.12.012.
    .. [2] H. Schütt et al., "Statistical inference on representational geometries", eLife 12 (2023), e82566,
       doi:10.7554/eLife.82566.

    Examples
    --------
    >>> import xarray as xr
    >>> import neurodata as nd
    >>> data = xr.DataArray([[0.0, 0.0], [3.0, 4.0], [0.0, 4.0]], dims=("condition", "channel"))
    >>> nd.models.rdm(data).values.tolist()
    [[0.0, 12.5, 8.0], [12.5, 0.0, 4.5], [8.0, 4.5, 0.0]]
    """
    _check(dissimilarity, undefined, prior_rate, prior_weight)
    found = layout(data, condition, run, pattern)
    noise, origin = _noise(data, found, dissimilarity, noise_precision, condition, run)
    settings = Settings(dissimilarity, remove_mean, prior_rate * prior_weight, 1.0 + prior_weight)
    values = _estimated(found, noise, settings)
    if undefined == "raise":
        _refuse_undefined(values, found, dissimilarity)
    attrs = {
        "measure": dissimilarity,
        "normalisation": "none" if dissimilarity in ("correlation", "cosine") else "channels",
        "noise": origin,
        "n_channels": int(found.values.shape[-1]),
        "n_runs": len(found.runs) if found.has_runs else 1,
    }
    options = {"dissimilarity": dissimilarity, "noise": origin, "remove_mean": remove_mean}
    return _labelled(values, found, with_operation(attrs, "rdm", **options))


def _labelled(values: np.ndarray, found: Layout, attrs: dict[str, Any]) -> xr.DataArray:
    labels = found.conditions
    if found.batch or labels.dtype.kind not in "iufUS":
        coords = {**found.coords, "condition": labels, "condition_2": labels}
        return xr.DataArray(
            values, dims=(*found.batch, "condition", "condition_2"), coords=coords, name="rdm", attrs=attrs
        )
    result = _empty_rdm(labels.dtype.str, labels.tobytes()).copy(deep=False, data=values)
    result.attrs = attrs
    return result


@functools.lru_cache(maxsize=32)
def _empty_rdm(kind: str, labels: bytes) -> xr.DataArray:
    """An RDM of these conditions, to copy: making two indexes costs more than a small RDM, and is often repeated."""
    names = np.frombuffer(labels, dtype=kind).copy()
    values = np.zeros((names.size, names.size))
    return xr.DataArray(
        values, dims=("condition", "condition_2"), coords={"condition": names, "condition_2": names}, name="rdm"
    )


class Settings:
    """What the kernels need to know of the options."""

    def __init__(self, measure: str, remove_mean: bool, prior: float, weight: float) -> None:
        self.measure = measure
        self.remove_mean = remove_mean
        self.prior = prior
        self.weight = weight

    @property
    def crossed(self) -> bool:
        """Whether runs are compared with each other."""
        return self.measure in CROSSED


def _check(dissimilarity: str, undefined: str, prior_rate: float, prior_weight: float) -> None:
    if dissimilarity not in DISSIMILARITIES:
        raise OptionError(
            f"a dissimilarity among {', '.join(DISSIMILARITIES)}", f"{dissimilarity!r}", "choose one of them"
        )
    if undefined not in ("raise", "nan"):
        raise OptionError("undefined 'raise' or 'nan'", f"{undefined!r}", "choose one of them")
    if not (np.isfinite([prior_rate, prior_weight]).all() and prior_rate >= 0 and prior_weight >= 0):
        raise OptionError(
            "a prior rate and weight of 0 or above", f"{prior_rate}, {prior_weight}", "1 and 0.1 are usual"
        )


def _noise(
    data: xr.DataArray, found: Layout, dissimilarity: str, given: Any, condition: str, run: str
) -> tuple[Noise | None, str]:
    """The noise in the order of the channels, and where it comes from."""
    if dissimilarity in CROSSED and (len(found.runs) < 2):
        raise RecordingError(
            f"two runs or more for {dissimilarity}",
            "one run" if found.has_runs else f"no dim or coordinate {run!r}",
            "keep the runs apart, or use a dissimilarity without cross-validation",
        )
    if given is None:
        if dissimilarity == "mahalanobis":
            raise OptionError(
                "the noise for mahalanobis", "none", "pass noise_precision=, or use dissimilarity='euclidean'"
            )
        return None, "none"
    if dissimilarity not in NOISY:
        raise OptionError(
            "noise_precision= for mahalanobis and crossnobis only", f"it for {dissimilarity}", "leave it out"
        )
    if isinstance(given, str):
        if given not in METHODS:
            raise OptionError(f"a method among {', '.join(METHODS)}", f"{given!r}", "or pass the precision itself")
        precision = noise_precision(data, given, condition=condition, run=run, pattern=list(found.pattern))
        return as_noise(precision.values, data, found), given
    return as_noise(given, data, found), "precision"


def _estimated(found: Layout, noise: Noise | None, settings: Settings) -> np.ndarray:
    """Dissimilarities (..., condition, condition), block by block."""
    values = found.values
    if settings.measure.startswith("poisson"):
        if (values < 0).any():
            raise RecordingError("rates or counts of 0 or above", "negative ones", "use another dissimilarity")
        if settings.prior <= 0 and (values == 0).any():
            raise OptionError("a prior above 0 where rates are 0", "none", "pass prior_rate= and prior_weight=")
    n = found.conditions.size
    shape = values.shape[: len(found.batch)]
    inner = values.shape[len(found.batch) :]
    flat = values.reshape(-1, *inner)
    means = None if found.mean is None else found.mean.reshape(-1, *found.mean.shape[-2:])
    step = max(1, _BLOCK_VALUES // max(1, int(np.prod(inner))))
    out = None
    for start in range(0, len(flat), step):
        block = flat[start : start + step]
        mean = None if means is None else means[start : start + step]
        part = _block(block, mean, found, noise.at(start, len(block)) if noise is not None else None, settings)
        if out is None and len(block) == len(flat):
            out = part
        else:
            out = np.empty((len(flat), n, n)) if out is None else out
            out[start : start + step] = part
    if out is None:
        out = np.empty((0, n, n))
    return out.reshape(*shape, n, n)


def _block(
    block: np.ndarray, mean: np.ndarray | None, found: Layout, noise: Noise | None, settings: Settings
) -> np.ndarray:
    if not found.complete or (noise is not None and noise.unknown is not None):
        from neurodata.models.trsa.missing import with_missing

        return with_missing(block, found, noise, settings)
    n, n_runs = found.conditions.size, len(found.runs)
    if found.row is None:
        sums, counts = block, np.ones(block.shape[-3:-1])
    else:
        sums, counts = cells(block, found.row, found.fold, n, n_runs)
    out = dissimilarities(sums, counts, noise, settings, mean)
    if settings.measure not in ("correlation", "cosine"):
        out *= 1.0 / block.shape[-1]
    return out


def dissimilarities(
    sums: np.ndarray, counts: np.ndarray, noise: Noise | None, settings: Settings, mean: np.ndarray | None = None
) -> np.ndarray:
    """Dissimilarities (..., condition, condition) before division by the number of channels.

    Parameters
    ----------
    sums : array (..., run, condition, channel)
    counts : array (run, condition)
    mean : array (..., condition, channel), optional
        Mean over all observations, where it is known; may be overwritten.
    """
    if settings.remove_mean:
        mean = None
        sums = sums - sums.mean(axis=-1, keepdims=True)
    if settings.measure == "crossnobis":
        if noise is not None and noise.by_run:
            if not (counts == counts.flat[0]).all() or counts.flat[0] == 0:
                raise RecordingError(
                    "as many observations of each condition in each run, for a precision of each run",
                    "an unbalanced design",
                    "pass one precision for all runs",
                )
            return kernel.crossed_by_run(sums / counts[..., None], noise.covariances())
        return kernel.crossed(sums, counts, None if noise is None else noise.whiten)
    if settings.measure == "poisson-cv":
        return _poisson_crossed(sums, counts, settings)
    patterns = _means(sums, counts) if mean is None else mean
    if settings.measure == "poisson":
        return kernel.poisson((patterns + settings.prior) / settings.weight)
    if settings.measure in ("correlation", "cosine"):
        return kernel.cosine(patterns, centre=settings.measure == "correlation")
    if noise is not None:
        patterns = noise.whiten(patterns - patterns.mean(axis=-2, keepdims=True))
    return kernel.euclidean(patterns, overwrite=mean is not None or noise is not None)


def _means(sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Mean patterns (..., condition, channel)."""
    total = sums[..., 0, :, :] if sums.shape[-3] == 1 else np.add.reduce(sums, axis=-3)
    number = counts.sum(axis=0)
    if (number == 1.0).all():
        return total
    return total / number[:, None]


def _poisson_crossed(sums: np.ndarray, counts: np.ndarray, settings: Settings) -> np.ndarray:
    """Mean over the runs that have both conditions, where other runs have them too."""
    total, number = sums.sum(axis=-3), counts.sum(axis=0)
    n = number.size
    out = np.zeros((*sums.shape[:-3], n, n))
    folds = np.zeros((n, n))
    for m in range(counts.shape[0]):
        usable = np.flatnonzero((counts[m] > 0) & (number > counts[m]))
        if usable.size < 2:
            continue
        train = (total - sums[..., m, :, :])[..., usable, :] / (number - counts[m])[usable, None]
        test = sums[..., m, usable, :] / counts[m, usable, None]
        part = kernel.poisson_crossed(
            (train + settings.prior) / settings.weight, (test + settings.prior) / settings.weight
        )
        rows, columns = usable[:, None], usable[None, :]
        out[..., rows, columns] += part
        folds[rows, columns] += 1.0
    out *= np.divide(1.0, folds, out=np.full_like(folds, np.nan), where=folds > 0)
    kernel.fill_diagonal(out, 0.0)
    return out


def _undefined(values: np.ndarray) -> Iterator[int]:
    """Conditions without any known dissimilarity in some matrix, where most others have some."""
    unknown = np.isnan(values).sum(axis=-1) >= values.shape[-1] - 1
    yield from np.flatnonzero(unknown.reshape(-1, values.shape[-1]).any(axis=0)).tolist()


def _refuse_undefined(values: np.ndarray, found: Layout, dissimilarity: str) -> None:
    if not np.isnan(values).any():
        return
    # Patterns that were not observed have no dissimilarity and are NaN; those that were must have one.
    if not found.complete and dissimilarity not in CROSSED:
        return
    rows = list(_undefined(values))
    if not rows and not found.complete:
        return
    names = [str(found.conditions[k]) for k in rows[:5]] or ["some pairs"]
    where = " (at some of the times or batches)" if found.batch else ""
    reason = {
        "correlation": "constant over channels",
        "cosine": "zero in all channels",
    }.get(dissimilarity, "not observed in two runs")
    raise RecordingError(
        f"patterns of which {dissimilarity} is defined",
        f"{reason}: {', '.join(names)}{' ...' if len(rows) > 5 else ''}{where}",
        "drop these conditions, or pass undefined='nan'",
    )
