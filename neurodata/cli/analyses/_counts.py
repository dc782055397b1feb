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
# A fit takes time in proportion to bins times units cubed. Beyond this product (about a minute in all on one core) the
# least active units are left out first, down to a number that can still show groups, and then time.
MOST_WORK = 8e8
ENOUGH_UNITS = 30


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


def prepare_counts(recording: xr.DataTree, bin_width: float | None, limited: bool = True) -> Prepared:
    """Counts of the units worth fitting.

    Parameters
    ----------
    recording : DataTree
    bin_width : float or None
        s; by default 20 ms for spikes, and 200 ms (in whole frames) for calcium.
    limited : bool
        Leave out what would make a fit take more than minutes.
    """
    remarks: list[str] = []
    if node_names(recording, "spikes"):
        counts, event = _from_spikes(node(recording, node_names(recording, "spikes")[0]), bin_width, remarks), "spike"
    else:
        counts, event = _from_calcium(node(recording, node_names(recording, "calcium")[0]), bin_width, remarks), "event"
    return Prepared(_worth_fitting(counts, event, limited, remarks), event, remarks)


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


def _worth_fitting(counts: xr.DataArray, event: str, limited: bool, remarks: list[str]) -> xr.DataArray:
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
    n_active = active.size
    if limited:
        active, n_bins = _affordable(total, active, counts.sizes["time"])
        if active.size < n_active:
            remarks.append(
                f"Only the {active.size} most active of {n_active} units are analysed, to bound the time; "
                "--no-limit takes all."
            )
        if n_bins < counts.sizes["time"]:
            remarks.append(
                f"Only the first {n_bins * float(counts.attrs['bin_width']):.0f} s are analysed, to bound the time; "
                "wider bins (--bin-width) reach further, --no-limit takes all."
            )
            counts = counts.isel(time=slice(0, n_bins))
    return counts.isel(unit=active)


def _affordable(total: np.ndarray, active: np.ndarray, n_bins: int) -> tuple[np.ndarray, int]:
    """Rows of units and number of bins that keep a fit within `MOST_WORK`."""
    n_units = int(max(min(active.size, ENOUGH_UNITS), min(active.size, (MOST_WORK / n_bins) ** (1 / 3))))
    chosen = np.sort(active[np.argsort(-total[active], kind="stable")[:n_units]])
    return chosen, min(n_bins, int(MOST_WORK / n_units**3))
