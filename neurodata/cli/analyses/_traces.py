"""Traces for the analysis of the connectome: calcium, rates of spikes, or envelopes of a band of voltages."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.cli.analyses.base import node, node_names
from neurodata.errors import RecordingError
from neurodata.preprocess import bin_spikes, delta_f_over_f
from neurodata.preprocess import filter as band_pass
from neurodata.preprocess._sampling import sampling_step, time_values

RATE_BIN_S = 1.0
# Spikes of a unit, over the recording, below which its rate says nothing of its changes.
FEWEST_SPIKES = 50
# The band of the envelopes, Hz, and samples of them per second.
BAND_HZ, ENVELOPE_HZ = (8.0, 13.0), 10.0
MOST_UNITS, MOST_TIMES = 120, 3000


def lacks_traces(recording: xr.DataTree) -> str:
    """What a recording lacks to give traces; "" when nothing."""
    for name in node_names(recording, "spikes"):
        if "spike_time" in recording[name] or "counts" in recording[name]:
            return ""
    if node_names(recording, "calcium") or node_names(recording, "eeg"):
        return ""
    return "sorted spikes, calcium imaging or voltages"


def prepare_traces(recording: xr.DataTree, bin_width: float | None, limited: bool) -> tuple[xr.DataArray, list[str]]:
    """Traces (time, unit|roi|channel), and what was left out.

    Parameters
    ----------
    recording : DataTree
    bin_width : float or None
        s, of rates of spikes.
    limited : bool
        Leave out what would make the analysis take more than minutes.
    """
    remarks: list[str] = []
    if node_names(recording, "spikes"):
        traces = _rates(node(recording, node_names(recording, "spikes")[0]), bin_width or RATE_BIN_S, remarks)
    elif node_names(recording, "calcium"):
        traces = _calcium(node(recording, node_names(recording, "calcium")[0]), remarks)
    elif node_names(recording, "eeg"):
        traces = _envelopes(node(recording, node_names(recording, "eeg")[0]), remarks)
    else:
        raise RecordingError(lacks_traces(recording), f"nodes {list(recording.children)}", "take another --analysis")
    item = str(next(dim for dim in traces.dims if dim != "time"))
    values = traces.transpose("time", item).values.astype(np.float64)
    with np.errstate(invalid="ignore"):
        changing = np.fmax.reduce(values, axis=0) > np.fmin.reduce(values, axis=0)
    if not changing.all():
        remarks.append(f"{int((~changing).sum())} traces that never change, or were not observed, are left out.")
        traces, values = traces.isel({item: np.flatnonzero(changing)}), values[:, changing]
    if traces.sizes[item] < 3:
        raise RecordingError("three traces that change, or more", f"{traces.sizes[item]}", "take another --analysis")
    if limited and traces.sizes[item] > MOST_UNITS:
        change = np.nanmean(np.abs(np.diff(values, axis=0)), axis=0) / np.nanstd(values, axis=0)
        # Traces that change slowly for their size are the least like noise.
        chosen = np.sort(np.argsort(change, kind="stable")[:MOST_UNITS])
        remarks.append(
            f"Only the {MOST_UNITS} least noisy of {traces.sizes[item]} traces are analysed, to bound the time; "
            "--no-limit takes all."
        )
        traces = traces.isel({item: chosen})
    if limited and traces.sizes["time"] > MOST_TIMES:
        step = -(-traces.sizes["time"] // MOST_TIMES)
        remarks.append(f"Means over {step} samples are analysed, to bound the time; --no-limit takes each.")
        attrs = {key: value for key, value in traces.attrs.items() if key not in ("sampling_rate", "bin_width")}
        traces = _averaged(traces, step).assign_attrs(attrs)
    return traces, remarks


def _rates(spikes: xr.Dataset, width: float, remarks: list[str]) -> xr.DataArray:
    counts = bin_spikes(spikes, width)
    enough = counts.sum("time").values >= FEWEST_SPIKES
    if not enough.all():
        remarks.append(f"{int((~enough).sum())} units with fewer than {FEWEST_SPIKES} spikes are left out.")
        counts = counts.isel(unit=np.flatnonzero(enough))
    # Roots, so that the noise of counts is alike at all rates.
    rate = counts.copy(data=np.sqrt(counts.values / float(counts.attrs["bin_width"])))
    return rate.rename("rate").assign_attrs(units="Hz^0.5", long_name="root of the rate")


def _averaged(traces: xr.DataArray, step: int) -> xr.DataArray:
    """Means over `step` samples; what is left at the end is dropped."""
    mean: xr.DataArray = traces.coarsen(time=step, boundary="trim").mean()  # type: ignore[attr-defined]
    return mean


def _calcium(calcium: xr.Dataset, remarks: list[str]) -> xr.DataArray:
    if "is_cell" in calcium.coords:
        cell = calcium["is_cell"].values.astype(bool)
        if cell.any() and not cell.all():
            remarks.append(f"{int((~cell).sum())} ROIs that are no cells are left out.")
            calcium = calcium.isel(roi=np.flatnonzero(cell))
    if "dff" in calcium:
        return calcium["dff"]
    if "fluorescence" in calcium:
        values = calcium["fluorescence"].values
        if np.nanmin(values, initial=np.inf) > 0:
            return delta_f_over_f(calcium, neuropil_coefficient=0.7 if "neuropil" in calcium else None)["dff"]
        remarks.append("Fluorescence with values of 0 or less is taken as it is: it was scaled before.")
        return calcium["fluorescence"]
    return calcium["deconvolved"]


def _envelopes(eeg: xr.Dataset, remarks: list[str]) -> xr.DataArray:
    from scipy.signal import hilbert

    signal = eeg["signal"]
    rate = 1.0 / sampling_step(signal, time_values(signal))
    if rate < 2.5 * BAND_HZ[1]:
        raise RecordingError(
            f"voltages with {2.5 * BAND_HZ[1]:g} samples/s or more", f"{rate:g}", "take another --analysis"
        )
    filtered = band_pass(signal, highpass=BAND_HZ[0], lowpass=BAND_HZ[1])
    values = filtered.transpose("time", "channel").values
    seen = np.isfinite(values)
    power = np.abs(hilbert(np.where(seen, values, 0.0), axis=0))
    envelope = filtered.transpose("time", "channel").copy(data=np.where(seen, power, np.nan))
    step = max(1, round(rate / ENVELOPE_HZ))
    attrs = {key: value for key, value in envelope.attrs.items() if key not in ("sampling_rate", "bin_width")}
    remarks.append(
        f"Envelopes of {BAND_HZ[0]:g} to {BAND_HZ[1]:g} Hz, {rate / step:.3g} per second. Channels share what volume "
        "conduction and the reference bring to all: communities of neighbours are expected."
    )
    return _averaged(envelope, step).assign_attrs({**attrs, "long_name": "envelope"})
