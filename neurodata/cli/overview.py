"""What is looked at before anything is analysed: one or two figures per node."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from neurodata.cli.analyses.base import Picture, node, node_names

_ZOOM_S = 20.0


def overview(recording: xr.DataTree) -> Iterator[Picture]:
    """Figures of the data as they are."""
    for name in node_names(recording, "spikes"):
        if "spike_time" in recording[name]:
            yield from _spikes(node(recording, name), name)
    for name in node_names(recording, "calcium"):
        yield from _calcium(node(recording, name), name)
    for name in node_names(recording, "eeg"):
        yield from _eeg(recording, name)


def _spikes(spikes: xr.Dataset, name: str) -> Iterator[Picture]:
    from neurodata import plot

    ax = plot.raster(spikes)
    yield Picture(
        f"{name}: all units",
        "Spikes of every unit in the order of the recording; shades of grey are rates, where there are too many spikes "
        "for ticks. Above: mean rate over units; right: mean rate of each unit.",
        ax.figure,
    )
    low, high = ax.get_xlim()
    if high - low > 2 * _ZOOM_S:
        begin = low + (high - low - _ZOOM_S) / 2
        sort = "depth" if "depth" in spikes.coords and np.isfinite(spikes["depth"].values.astype(float)).any() else None
        zoom = plot.raster(spikes, start=begin, stop=begin + _ZOOM_S, sort=sort)
        order = " The units are ordered by depth." if sort else ""
        yield Picture(f"{name}: {_ZOOM_S:g} s from the middle", f"Each tick is a spike.{order}", zoom.figure)


def _calcium(calcium: xr.Dataset, name: str) -> Iterator[Picture]:
    from neurodata import plot

    words = {
        "dff": "dF/F",
        "fluorescence": "Fluorescence as recorded",
        "deconvolved": "Deconvolved activity, in arbitrary units: amplitudes are no numbers of spikes",
    }
    shown = [next(kind for kind in ("dff", "fluorescence", "deconvolved", "neuropil") if kind in calcium)]
    if "deconvolved" in calcium and "deconvolved" not in shown:
        shown.append("deconvolved")
    for kind in shown:
        ax = plot.traces(calcium, kind, most=15)
        text = f"{words.get(kind, kind)}. All traces are on the scale of the bar at the right."
        yield Picture(f"{name}: {kind}", text, ax.figure)


def _eeg(recording: xr.DataTree, name: str) -> Iterator[Picture]:
    from neurodata import plot

    eeg = node(recording, name)
    if "ch_unit" in eeg.coords and not (eeg["ch_unit"].values.astype(str) == "V").any():
        return
    events = node(recording, "events") if "events" in recording.children else None
    start = float(eeg["time"][0])
    if events is not None and events.sizes.get("event", 0):
        onset = events["onset"].values
        last = float(eeg["time"][-1])
        inside = onset[(onset >= start) & (onset <= last)]
        if inside.size:
            start = max(start, min(float(inside.min()) - 2.0, last - 10.0))
    ax = plot.signals(eeg, start=start, events=events)
    yield Picture(
        f"{name}: 10 s",
        "Voltages as recorded, each channel about its median; lines are events, bad channels are grey.",
        ax.figure,
    )
