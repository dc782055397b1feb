"""Counts of real recordings in the folder NEURODATA_DATA, as the benchmarks of models take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr

import neurodata as nd

# Fewer spikes than this in all of the recording say nothing about held-out blocks.
_FEWEST_SPIKES = 100


def _busiest(counts: xr.DataArray, n_units: int) -> xr.DataArray:
    """The units with most spikes, in their own order, if they have at least a few."""
    total = counts.sum("time").values
    chosen = np.sort(np.argsort(-total, kind="stable")[:n_units])
    return counts.isel(unit=chosen[total[chosen] >= _FEWEST_SPIKES])


def allen(folder: Path) -> xr.DataArray:
    options = {"reader": "table", "node": "counts", "bin_width": 0.5, "dims": ("unit", "time"), "start": 2822.16}
    return nd.load(folder / "spikes/allen_719161530/Y.csv", **options)["spikes/counts"]


def nelpy(folder: Path) -> xr.DataArray:
    mapping = {"spikes/spike_time": "spikes/*/*/*/*/time"}
    recording = nd.load(folder / "spikes/nelpy_linear_track/spikes.mat", mapping=mapping)
    return _busiest(nd.bin_spikes(recording, 0.05), 100)


def nwb(folder: Path) -> xr.DataArray:
    return nd.bin_spikes(nd.load(folder / "spikes/nwb_units_pynapple/A8604-211122.nwb"), 0.02)


def ibl(folder: Path) -> xr.DataArray:
    return _busiest(nd.bin_spikes(nd.load(folder / "spikes/ibl_alf_derived"), 0.02), 30)


def calcium(folder: Path) -> xr.DataArray:
    recording = nd.load(folder / "calcium/nwb_ophys_derived/suite2p_60roi.nwb")
    return _busiest(nd.preprocess.events_to_counts(recording, bin_width=0.1), 60)


RECORDINGS: dict[str, Callable[[Path], xr.DataArray]] = {
    "allen": allen,
    "nelpy": nelpy,
    "nwb_units": nwb,
    "ibl_alf": ibl,
    "calcium": calcium,
}
