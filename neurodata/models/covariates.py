"""Covariates of counts: what else was known of each bin, found by its time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import RecordingError
from neurodata.models.sequences import CountSequences

Covariates = xr.DataArray | Sequence[xr.DataArray]

# Times of counts and covariates are the same when they differ by less than this part of a bin.
_JITTER = 0.01


def covariate_names(covariates: Covariates) -> np.ndarray:
    """Names of the covariates, those of the first array.

    Examples
    --------
    >>> speed = xr.DataArray([[1.0], [2.0]], dims=("time", "covariate"), coords={"covariate": ["speed"]})
    >>> covariate_names(speed).tolist()
    ['speed']
    """
    arrays = _as_list(covariates)
    return _names(_with_dim(arrays[0]))


def read_covariates(covariates: Covariates, sequences: CountSequences, names: np.ndarray) -> np.ndarray:
    """Values of the covariates in every bin of the sequences, (bin, covariate) float64; NaN = not known.

    Parameters
    ----------
    covariates : DataArray or list of DataArray
        (time, covariate), with a leading `trial` where the counts have one and the covariates differ between trials;
        ``(time,)`` is one covariate. One array per array of counts. Each bin takes the values at its own time, so the
        covariates may be longer than the counts.
    sequences : CountSequences
    names : array (covariate,)
        Which covariates, and in which order.

    Raises
    ------
    RecordingError
        Another number of arrays than of counts; a covariate that is missing or unknown; bins without a value at their
        time; values that are no numbers, or infinite.
    """
    arrays = [_with_dim(array) for array in _as_list(covariates)]
    if len(arrays) != len(sequences.arrays):
        raise RecordingError(
            f"one array of covariates for each of the {len(sequences.arrays)} arrays of counts",
            f"{len(arrays)}",
            "pass a list of the same length and order as the counts",
        )
    whole = [
        _on_the_bins(_selected(array, names), counts, sequences.bin_width)
        for array, counts in zip(arrays, sequences.arrays, strict=True)
    ]
    out = np.empty((int(sequences.starts[-1]), len(names)))
    for piece, a, b in zip(sequences.pieces, sequences.starts[:-1], sequences.starts[1:], strict=True):
        values = whole[piece.array]
        trial = piece.trial if len(values) > 1 else 0
        out[a:b] = values[trial, piece.start : piece.start + piece.length]
    return out


def _as_list(covariates: Covariates) -> list[xr.DataArray]:
    arrays: list[Any] = list(covariates) if isinstance(covariates, (list, tuple)) else [covariates]
    if not arrays or not all(isinstance(array, xr.DataArray) for array in arrays):
        raise RecordingError(
            "covariates as a DataArray (time, covariate), or a list of them",
            "an empty list" if not arrays else ", ".join(sorted({type(array).__name__ for array in arrays})),
            "name the dims, and give time the coordinate of the counts",
        )
    return arrays


def _with_dim(array: xr.DataArray) -> xr.DataArray:
    if "covariate" not in array.dims:
        name = "covariate" if array.name is None else str(array.name)
        array = array.drop_vars("covariate", errors="ignore").expand_dims({"covariate": [name]})
    dims = ("trial", "time", "covariate") if "trial" in array.dims else ("time", "covariate")
    if set(array.dims) != set(dims):
        raise RecordingError(
            "covariates with dims (time, covariate) or (trial, time, covariate)",
            str(tuple(array.dims)),
            "rename or transpose the dims",
        )
    return array.transpose(*dims)


def _names(array: xr.DataArray) -> np.ndarray:
    if "covariate" not in array.coords:
        return np.arange(array.sizes["covariate"])
    return array["covariate"].values


def _selected(array: xr.DataArray, names: np.ndarray) -> xr.DataArray:
    have = _names(array).tolist()
    wanted = names.tolist()
    missing, surplus = [n for n in wanted if n not in have], [n for n in have if n not in wanted]
    if missing or surplus or len(set(have)) != len(have):
        raise RecordingError(
            f"the covariates {wanted[:8]}, each once",
            f"{have[:8]}; missing {missing[:5]}, unknown {surplus[:5]}",
            "pass the covariates of the fit, by the same names",
        )
    return array.isel(covariate=[have.index(name) for name in wanted])


def _on_the_bins(array: xr.DataArray, counts: xr.DataArray, bin_width: float) -> np.ndarray:
    """Values (trial, bin, covariate) at the times of the bins; one trial where all trials share them."""
    if array.dtype.kind not in "biuf":
        raise RecordingError("covariates that are numbers", f"dtype {array.dtype}", "code categories as 0 and 1")
    values = array.values.astype(np.float64)
    if np.isinf(values).any():
        raise RecordingError("finite covariates", "infinite values", "mark what is not known as NaN")
    values = (
        values[:, _rows(array, counts, bin_width)] if "trial" in array.dims else values[_rows(array, counts, bin_width)]
    )
    if "trial" not in array.dims:
        return values[None]
    if "trial" not in counts.dims:
        raise RecordingError("covariates without trials, as the counts", "a dim trial", "pass (time, covariate)")
    if "trial" in array.coords and "trial" in counts.coords:
        have = array["trial"].values.tolist()
        wanted = counts["trial"].values.tolist()
        if any(trial not in have for trial in wanted) or len(set(have)) != len(have):
            raise RecordingError(
                "covariates of every trial of the counts", f"trials {have[:8]} for {wanted[:8]}", "align them by trial"
            )
        return values[[have.index(trial) for trial in wanted]]
    if len(values) != counts.sizes["trial"]:
        raise RecordingError(
            f"covariates of the {counts.sizes['trial']} trials", f"{len(values)} trials", "pass one row per trial"
        )
    return values


def _rows(array: xr.DataArray, counts: xr.DataArray, bin_width: float) -> np.ndarray:
    """Row of the covariates at the time of each bin."""
    labelled = "time" in array.coords
    if labelled != ("time" in counts.coords):
        raise RecordingError(
            "a time coordinate in both counts and covariates, or in neither",
            "one in the covariates only" if labelled else "one in the counts only",
            "give both their times (s); values are matched by time, not by position",
        )
    if not labelled:
        if array.sizes["time"] != counts.sizes["time"]:
            raise RecordingError(
                f"covariates of the {counts.sizes['time']} bins",
                f"{array.sizes['time']} values",
                "give both their times",
            )
        return np.arange(array.sizes["time"])
    have, wanted = array["time"].values.astype(np.float64), counts["time"].values.astype(np.float64)
    if not wanted.size:
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(have, kind="stable")
    if not have.size or not np.isfinite(have).all() or (np.diff(have[order]) <= _JITTER * bin_width).any():
        raise RecordingError(
            "covariates with one value per time", "repeated, missing or no times", "give each bin one value"
        )
    after = np.clip(np.searchsorted(have[order], wanted), 0, len(have) - 1)
    before = np.maximum(after - 1, 0)
    nearer = np.abs(have[order][before] - wanted) < np.abs(have[order][after] - wanted)
    rows = order[np.where(nearer, before, after)]
    off = np.abs(have[rows] - wanted) > _JITTER * bin_width
    if off.any():
        raise RecordingError(
            f"covariates at the time of every bin ({wanted[0]:g} to {wanted[-1]:g} s, every {bin_width:g} s)",
            f"none for {int(off.sum())} of {len(wanted)} bins, the first at {wanted[off][0]:g} s; "
            f"they run from {have.min():g} to {have.max():g} s",
            "bring them onto the bins, e.g. covariates.interp(time=counts.time); NaN where they are not known",
        )
    return rows
