"""Whether claimed probabilities of edges mean what they say, and where false edges are."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.validate.metrics.base import Metric
from neurodata.validate.metrics.connectivity import pairs, prevalence

# Part of the unconnected pairs, the most correlated ones, among which false edges are counted.
_MOST_CORRELATED = 0.1


def brier(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Mean squared difference of `edge_probability` and truth (1 edge, 0 none) over pairs."""
    known = pairs(claims, truth)
    if not known.exists.size:
        return float("nan")
    return float(((known.value["edge_probability"] - known.exists) ** 2).mean())


def brier_of_prevalence(truth: xr.Dataset) -> float:
    """Brier score of saying the prevalence of edges for every pair."""
    share = prevalence(truth)
    return share * (1.0 - share)


def reliability(claims: xr.Dataset, truth: xr.Dataset, n_bins: int = 10) -> xr.Dataset:
    """How often pairs are edges, by the probability claimed for them.

    Parameters
    ----------
    claims, truth : Dataset
        With `edge_probability`, and with `exists`.
    n_bins : int
        Bins of equal width from 0 to 1.

    Returns
    -------
    Dataset
        Over `bin` (its centre): `claimed`, the mean probability; `found`, the part that are edges; both NaN in an empty
        bin; `n_pairs`.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> ids = {"post": [0, 1], "pre": [0, 1]}
    >>> claims = xr.Dataset({"edge_probability": (("post", "pre"), [[0.0, 0.9], [0.1, 0.0]])}, coords=ids)
    >>> truth = xr.Dataset({"exists": (("post", "pre"), [[np.nan, 1.0], [0.0, np.nan]])}, coords=ids)
    >>> table = reliability(claims, truth, n_bins=2)
    >>> table.claimed.values.tolist(), table.found.values.tolist()
    ([0.1, 0.9], [0.0, 1.0])
    """
    if n_bins < 1:
        raise OptionError("one bin or more", f"{n_bins}", "pass n_bins=10")
    known = pairs(claims, truth)
    p = known.value["edge_probability"]
    edge = np.linspace(0.0, 1.0, n_bins + 1)
    place = np.clip(np.searchsorted(edge, p, side="right") - 1, 0, n_bins - 1)
    n = np.bincount(place, minlength=n_bins)
    with np.errstate(invalid="ignore"):
        claimed = np.bincount(place, weights=p, minlength=n_bins) / n
        found = np.bincount(place, weights=known.exists, minlength=n_bins) / n
    return xr.Dataset(
        {"claimed": ("bin", claimed), "found": ("bin", found), "n_pairs": ("bin", n)},
        coords={"bin": (edge[:-1] + edge[1:]) / 2},
    )


def calibration_error(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Mean distance of claimed probability and frequency over the ten bins of `reliability`, weighted by pairs."""
    table = reliability(claims, truth)
    n = table["n_pairs"].values
    if not n.sum():
        return float("nan")
    return float(np.nansum(np.abs(table["claimed"] - table["found"]) * n) / n.sum())


def false_positives_by_correlation(claims: xr.Dataset, truth: xr.Dataset, n_bins: int = 10) -> xr.Dataset:
    """How often unconnected pairs are called edges, by how correlated they truly are.

    A method that takes correlation for connection has a rate that rises with it, however long the recording (Das and
    Fiete 2020).

    Parameters
    ----------
    claims, truth : Dataset
        With `edge`; with `exists` and `correlation` (post, pre), see `truth_for`.
    n_bins : int
        Bins with equal numbers of unconnected pairs, from the least to the most correlated by absolute value.

    Returns
    -------
    Dataset
        Over `bin`: `correlation`, the mean absolute correlation; `rate`, the part called edges; `n_pairs`.

    References
    ----------
    .. [1] A. Das and I. R. Fiete, "Systematic errors in connectivity inferred from activity in strongly recurrent
       networks", Nature Neuroscience 23 (2020), doi:10.1038/s41593-020-0699-2.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> ids = {"post": [0, 1], "pre": [0, 1]}
    >>> claims = xr.Dataset({"edge": (("post", "pre"), [[0, 1], [0, 0]])}, coords=ids)
    >>> truth = xr.Dataset({"exists": (("post", "pre"), np.zeros((2, 2)))}, coords=ids)
    >>> truth["correlation"] = ("post", "pre"), np.array([[1.0, -0.3], [0.1, 1.0]])
    >>> false_positives_by_correlation(claims, truth, n_bins=2).rate.values.tolist()
    [0.0, 1.0]
    """
    if n_bins < 1:
        raise OptionError("one bin or more", f"{n_bins}", "pass n_bins=10")
    called, size = _unconnected(claims, truth)
    parts = np.array_split(np.argsort(size, kind="stable"), n_bins)
    return xr.Dataset(
        {
            "correlation": ("bin", [size[part].mean() if part.size else np.nan for part in parts]),
            "rate": ("bin", [called[part].mean() if part.size else np.nan for part in parts]),
            "n_pairs": ("bin", [part.size for part in parts]),
        }
    )


def _unconnected(claims: xr.Dataset, truth: xr.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Whether called an edge, and size of the true correlation, of the unconnected pairs where it is defined."""
    known = pairs(claims, truth)
    correlation = known.value["true_correlation"]  # NaN for a unit without spikes
    use = ~known.exists & np.isfinite(correlation)
    return known.value["edge"][use] > 0.5, np.abs(correlation[use])


def false_positives_correlated(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Part of the most correlated tenth of the unconnected pairs that are called edges."""
    called, size = _unconnected(claims, truth)
    if not size.size:
        return float("nan")
    n = max(1, round(_MOST_CORRELATED * size.size))
    return float(called[np.argsort(size, kind="stable")[-n:]].mean())


METRICS = (
    Metric("edge_brier", ("edge_probability",), brier, ("exists",), brier_of_prevalence, "lower", (0.0, 1.0)),
    Metric("edge_calibration", ("edge_probability",), calibration_error, ("exists",), None, "lower", (0.0, 1.0)),
    Metric(
        "false_positives_correlated",
        ("edge",),
        false_positives_correlated,
        ("exists", "correlation"),
        None,
        "lower",
        (0.0, 1.0),
    ),
)
