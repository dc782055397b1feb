"""Continuous voltages: traces and spectra."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._decimate import envelope
from neurodata.plot._select import between, evenly, node_of, share
from neurodata.plot._style import FAINT, INK, axes, colour, item_colours, note, round_size, scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Seconds drawn when no stretch is asked for: about a page of an EEG.
_PAGE_S = 10.0
# Seconds of a long recording that its spectrum is taken from.
_SPECTRUM_S = 600.0


def signals(
    rec: xr.DataTree | xr.Dataset,
    *,
    channel: Sequence[Any] | None = None,
    start: float | None = None,
    stop: float | None = None,
    events: xr.DataTree | xr.Dataset | None = None,
    most: int = 32,
    ax: Axes | None = None,
) -> Axes:
    """Channels of voltage, one above the other on a common scale.

    Parameters
    ----------
    rec : DataTree or Dataset
        A recording (its first `eeg` node), or an `eeg` node.
    channel : list, optional
        Channels to draw; default up to `most` of those that measure voltage, evenly spread.
    start, stop : float, optional
        Stretch to draw, s; default 10 s from the start of the recording.
    events : Dataset, optional
        An `events` node, whose onsets are marked; default that of the recording.
    most : int
        Channels to draw when `channel` is left out.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        x in s; the bar at the right is the scale in uV. Channels marked bad are grey.

    Examples
    --------
    >>> import neurodata as nd
    >>> ax = nd.plot.signals(nd.datasets.load("example_eeg"))
    >>> [text.get_text() for text in ax.get_yticklabels()][0]
    'Fp1'
    """
    node = node_of(rec, "eeg")
    data = _voltages(node, channel)
    n_all = data.sizes["channel"]
    if channel is None:
        data = data.isel(channel=evenly(n_all, most))
    first = float(node["time"][0]) if start is None else float(start)
    data = between(data, first, first + _PAGE_S if stop is None else float(stop))
    time, values = envelope(data["time"].values, data.variable)
    values = (values - np.nanmedian(values, axis=0)) * 1e6
    spread = np.nanpercentile(values, 99, axis=0) - np.nanpercentile(values, 1, axis=0)
    lane = float(np.nanmedian(spread)) * 1.1 or 1.0
    n = data.sizes["channel"]
    bad = data["bad"].values if "bad" in data.coords else np.zeros(n, dtype=bool)

    ax = axes(ax, 9.0, 1.0 + max(1.5, 0.25 * n))
    place = np.arange(n)[::-1] * lane  # the first channel is at the top, as on EEG paper
    for k in range(n):
        ax.plot(time, values[:, k] + place[k], color=FAINT if bad[k] else INK, lw=0.6)
    ax.set_yticks(place, [str(item) for item in data["channel"].values])
    ax.set_xlim(time[0], time[-1])
    drawn = values + place
    ax.set_ylim(min(-lane, float(np.nanmin(drawn))), max(n * lane, float(np.nanmax(drawn))))
    ax.set_xlabel("time (s)")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    size = round_size(lane)
    scale_bar(ax, size, f"{size:g} µV", bottom=-0.3 * lane)
    note(ax, share(n, n_all, "channels"))
    _mark_events(ax, rec, events, time[0], time[-1])
    return ax


def spectrum(
    rec: xr.DataTree | xr.Dataset | xr.DataArray,
    *,
    channel: Sequence[Any] | None = None,
    segment: float = 2.0,
    highest: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Power of each channel over frequency (Welch), and the median of the channels.

    Parameters
    ----------
    rec : DataTree, Dataset or DataArray
        A recording (its first `eeg` node), an `eeg` node, or what `nd.preprocess.power_spectrum` gave.
    channel : list, optional
        Channels to draw; default all that measure voltage.
    segment : float
        Length of the windows, s.
    highest : float, optional
        Highest frequency to draw, Hz; default all.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        x in Hz, y in dB relative to 1 µV²/Hz.

    Examples
    --------
    >>> import neurodata as nd
    >>> ax = nd.plot.spectrum(nd.datasets.load("example_eeg"), highest=45.0)
    >>> ax.get_ylabel()
    'power (dB re 1 µV²/Hz)'
    """
    from neurodata.preprocess.spectra import power_spectrum

    if isinstance(rec, xr.DataArray):
        density = rec if channel is None else rec.sel(channel=list(channel))
    else:
        voltages = _voltages(node_of(rec, "eeg"), channel)
        density = power_spectrum(voltages, segment, max_duration=_SPECTRUM_S)
    density = density.transpose("frequency", "channel")
    frequency = density["frequency"].values
    shown = frequency > 0
    if highest is not None:
        shown &= frequency <= highest
    with np.errstate(divide="ignore"):
        decibel = 10 * np.log10(density.values[shown] * 1e12)
    decibel[~np.isfinite(decibel)] = np.nan
    n = density.sizes["channel"]

    ax = axes(ax, 6.0, 3.6)
    named = n <= 8
    for k in range(n):
        label = str(density["channel"].values[k]) if named else None
        ax.plot(frequency[shown], decibel[:, k], color=colour(k) if named else FAINT, lw=0.8, label=label)
    if not named:
        ax.plot(frequency[shown], np.nanmedian(decibel, axis=1), color=colour(0), lw=1.8, label="median")
        ax.plot([], [], color=FAINT, lw=0.8, label=f"{n} channels")
    ax.set_xlim(0, frequency[shown][-1])
    ax.set_xlabel("frequency (Hz)")
    ax.set_ylabel("power (dB re 1 µV²/Hz)")
    ax.legend(frameon=False, fontsize=8)
    return ax


def _voltages(node: xr.Dataset, channel: Sequence[Any] | None) -> xr.DataArray:
    """The channels asked for; else those that measure voltage."""
    signal = node["signal"]
    if channel is not None:
        lacking = [item for item in channel if item not in signal["channel"].values]
        if lacking:
            raise OptionError("channels of the recording", f"{lacking}", "rec['eeg'].channel lists them")
        return signal.sel(channel=list(channel))
    if "ch_unit" not in signal.coords:
        return signal
    rows = np.flatnonzero(signal["ch_unit"].values == "V")
    if rows.size == 0:
        raise OptionError("a recording with channels in V", "none", "pass channel= to draw others")
    return signal.isel(channel=rows)


def _mark_events(ax: Axes, rec: Any, events: Any, start: float, stop: float) -> None:
    if events is None and isinstance(rec, xr.DataTree) and "events" in rec.children:
        events = rec["events"]
    if events is None:
        return
    table = node_of(events, "events")
    colours = item_colours(np.unique(table["description"].values).tolist())
    for onset, kind in zip(table["onset"].values, table["description"].values, strict=True):
        if start <= onset <= stop:
            ax.axvline(onset, color=colours[str(kind)], lw=1.0, alpha=0.8)
            ax.text(onset, 1.0, f" {kind}", transform=ax.get_xaxis_transform(), fontsize=8, va="bottom",
                    color=colours[str(kind)])  # fmt: skip
