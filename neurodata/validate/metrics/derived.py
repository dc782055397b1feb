"""Truth that follows from a simulation without being part of it: correlations of activity, distances of drive."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.preprocess import bin_spikes
from neurodata.simulate import unit_truth

# Bins in which correlations of spike counts are measured, s: longer than synapses, shorter than states.
CORRELATION_BIN = 0.05


def truth_for(rec: xr.DataTree, simulated: xr.DataTree | None = None) -> xr.Dataset:
    """Everything metrics may need to know of a recording with `/truth`.

    Parameters
    ----------
    rec : DataTree
        With `/truth`, as a lab would see it.
    simulated : DataTree, optional
        The run it was observed from, with the spikes of all neurons. Without it, correlations are those of the
        spikes of `rec`, sorting errors and all.

    Returns
    -------
    Dataset
        `neurodata.simulate.unit_truth`, and `correlation` (post, pre), of spike counts in 50 ms bins without lag,
        where there are spikes; `rdm` (condition, condition_2), mean squared difference (mV squared) over units of the
        drive during the trials of two conditions, where there are trials and a drive that changes.

    Examples
    --------
    >>> from neurodata.simulate import run, zoo
    >>> truth = truth_for(run(zoo.null(n=5, rng=0), 2.0, rng=0))
    >>> truth.correlation.dims, truth.correlation.shape
    (('post', 'pre'), (5, 5))
    """
    truth = unit_truth(rec)
    counts = _counts_of_units(rec, simulated, truth["unit"].values)
    if counts is not None:
        about = {"units": "1", "long_name": f"correlation of spike counts in {CORRELATION_BIN:g} s"}
        truth["correlation"] = (("post", "pre"), _correlation(counts), about)
    rdm = _true_rdm(rec, truth)
    return truth if rdm is None else truth.merge(rdm)


def _counts_of_units(rec: xr.DataTree, simulated: xr.DataTree | None, unit: np.ndarray) -> np.ndarray | None:
    """Counts (time, unit) of what each unit stands for."""
    if simulated is None:
        if "spikes" not in rec.children:
            return None
        return bin_spikes(rec, CORRELATION_BIN).sel(unit=unit).values.astype(np.float64)
    known = rec["truth"].to_dataset()
    counts = bin_spikes(simulated, CORRELATION_BIN)
    counts = counts.sel(unit=known["neuron"].values)
    member = known["unit_neuron"].values
    padded = np.concatenate([counts.values.astype(np.float64), np.zeros((counts.sizes["time"], 1))], axis=1)
    return padded[:, member].sum(axis=2)


def _correlation(counts: np.ndarray) -> np.ndarray:
    counts = counts[np.isfinite(counts).all(axis=1)]
    counts = counts - counts.mean(axis=0)
    size = np.sqrt((counts**2).sum(axis=0))
    size[size == 0] = np.nan
    return (counts.T @ counts) / np.outer(size, size)


def _true_rdm(rec: xr.DataTree, truth: xr.Dataset) -> xr.Dataset | None:
    if "trials" not in rec.children or "drive" not in truth or "time" not in truth["drive"].dims:
        return None
    trials = rec["trials"].to_dataset()
    if "condition" not in trials:
        return None
    time, drive = truth["time"].values, truth["drive"].transpose("time", "unit").values.astype(np.float64)
    names = np.unique(trials["condition"].values)
    if names.size < 2:
        return None
    means = []
    for name in names:
        inside = np.zeros(time.size, dtype=bool)
        for row in np.flatnonzero(trials["condition"].values == name):
            inside |= (time >= trials["start"].values[row]) & (time < trials["stop"].values[row])
        means.append(drive[inside].mean(axis=0) if inside.any() else np.full(drive.shape[1], np.nan))
    difference = np.array(means)[:, None] - np.array(means)[None]
    values = (difference**2).mean(axis=-1)
    return xr.Dataset(
        {"rdm": (("condition", "condition_2"), values, {"units": "mV^2"})},
        coords={"condition": names, "condition_2": names},
    )
