"""Counts for the analysis of states: from spikes, or from deconvolved calcium."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurodata.cli.analyses.base import node, node_names
from neurodata.errors import RecordingError
from neurodata.preprocess import bin_spikes, events_to_counts

SPIKE_BIN_S = 0.02
CALCIUM_BIN_S = 0.2
# A ROI's quantum: most positive amplitudes of a deconvolution are noise, so that a high quantile stands for one event.
QUANTILE = 0.9
# Fewer events than this say nothing about couplings to some ten other units.
FEWEST = 50
# A fit takes time in proportion to bins times units; beyond these the analysis says what it left out.
MOST_UNITS = 60
MOST_VALUES = 4_000_000


@dataclass(frozen=True)
class Prepared:
    """Counts (time, unit), what one of them is called, and what was left out."""

    counts: xr.DataArray
    event: str
    remarks: list[str]


def lacks_counts(recording: xr.DataTree) -> str:
    """What a recording lacks to give counts; "" when nothing."""
    for name in node_names(recording, "spikes"):
        if "spike_time" in recording[name] or "counts" in recording[name]:
            return ""
    for name in node_names(recording, "calcium"):
        if "deconvolved" in recording[name]:
            return ""
    return "sorted spikes, or calcium with deconvolved activity"


def prepare_counts(recording: xr.DataTree, bin_width: float | None) -> Prepared:
    """Counts of the units worth fitting.

    Parameters
    ----------
    recording : DataTree
    bin_width : float or None
        s; by default 20 ms for spikes, and 200 ms (in whole frames) for calcium.
    """
    remarks: list[str] = []
    if node_names(recording, "spikes"):
        counts, event = _from_spikes(node(recording, node_names(recording, "spikes")[0]), bin_width, remarks), "spike"
    else:
        counts, event = _from_calcium(node(recording, node_names(recording, "calcium")[0]), bin_width, remarks), "event"
    return Prepared(_limited(counts, event, remarks), event, remarks)


def _from_spikes(spikes: xr.Dataset, bin_width: float | None, remarks: list[str]) -> xr.DataArray:
    if "quality" in spikes.coords:
        noise = np.char.lower(spikes["quality"].values.astype(str)) == "noise"
        if noise.any() and not noise.all():
            remarks.append(f"{int(noise.sum())} clusters labelled noise are left out.")
            keep = np.flatnonzero(~noise)
        else:
            keep = np.arange(noise.size)
    else:
        keep = np.arange(spikes.sizes["unit"])
    width = bin_width
    if width is None:
        width = SPIKE_BIN_S if "spike_time" in spikes else float(spikes["counts"].attrs.get("bin_width", SPIKE_BIN_S))
    return bin_spikes(spikes, width).isel(unit=keep)


def _from_calcium(calcium: xr.Dataset, bin_width: float | None, remarks: list[str]) -> xr.DataArray:
    if "is_cell" in calcium.coords:
        cell = calcium["is_cell"].values.astype(bool)
        if cell.any() and not cell.all():
            remarks.append(f"{int((~cell).sum())} ROIs that are no cells are left out.")
            calcium = calcium.isel(roi=np.flatnonzero(cell))
    width = bin_width
    if width is None:
        step = float(np.median(np.diff(calcium["time"].values)))
        width = max(1, round(CALCIUM_BIN_S / step)) * step
    counts = events_to_counts(calcium, bin_width=width, quantile=QUANTILE)
    remarks.append(
        "Counts are deconvolved amplitudes in units of each ROI's own quantum "
        f"(the {QUANTILE:.0%} quantile of its positive amplitudes), rounded. They are not spikes."
    )
    return counts


def _limited(counts: xr.DataArray, event: str, remarks: list[str]) -> xr.DataArray:
    total = counts.sum("time").values
    active = np.flatnonzero(total >= FEWEST)
    if active.size < 2:
        raise RecordingError(
            f"at least 2 units with {FEWEST} {event}s or more, to fit states",
            f"{active.size} of {total.size}",
            "record for longer, or take another analysis",
        )
    if active.size < total.size:
        remarks.append(f"{total.size - active.size} units with fewer than {FEWEST} {event}s are left out.")
    if active.size > MOST_UNITS:
        remarks.append(f"Only the {MOST_UNITS} most active of {active.size} units are analysed, to bound the time.")
        active = np.sort(active[np.argsort(-total[active], kind="stable")[:MOST_UNITS]])
    counts = counts.isel(unit=active)
    most_bins = MOST_VALUES // active.size
    if counts.sizes["time"] > most_bins:
        width = float(counts.attrs["bin_width"])
        remarks.append(
            f"Only the first {most_bins * width:.0f} s are analysed, to bound the time; "
            "wider bins (--bin-width) reach further."
        )
        counts = counts.isel(time=slice(0, most_bins))
    return counts
