"""Averages around events: evoked responses and rates, with their standard error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._style import FAINT, axes, dress, figure, item_colours, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MICRO = {"V": ("µV", 1e6)}


def average(epochs: xr.DataArray, *, by: str | None = None, ax: Axes | None = None) -> Axes:
    """Mean over trials with its standard error, of data that were cut around events.

    Parameters
    ----------
    epochs : DataArray (trial, time, ...)
        From `nd.preprocess.epoch`. Further dims (channel, unit, roi) are averaged first. Counts become rates.
    by : str, optional
        Coordinate of the trials that tells kinds apart; default `description` where there is one.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        x in s from the event; the band is the mean plus and minus its standard error over trials.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.datasets.load("example_eeg")
    >>> epochs = nd.preprocess.epoch(rec["eeg"]["signal"].sel(channel="O1"), rec["events"], (0.2, 0.8))
    >>> ax = nd.plot.average(epochs)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('time from event (s)', 'signal (µV)')
    """
    ax = axes(ax, 4.5, 3.2)
    values, unit = _values(epochs)
    inner = [str(dim) for dim in epochs.dims if dim not in ("trial", "time")]
    values = values.mean(inner) if inner else values
    for kind, trials, shade in _kinds(values, by):
        n = trials.notnull().sum("trial")
        mean = trials.mean("trial")
        error = trials.std("trial", ddof=1) / np.sqrt(n) if trials.sizes["trial"] > 1 else xr.zeros_like(mean)
        time = trials["time"].values
        count = int(n.max())
        ax.fill_between(time, (mean - error).values, (mean + error).values, color=shade, alpha=0.25, lw=0)
        ax.plot(time, mean.values, color=shade, lw=1.3, label=f"{kind} ({count})" if kind else f"{count} trials")
    ax.axvline(0.0, color=FAINT, lw=0.8, ls=":")
    ax.set_xlim(float(values["time"][0]), float(values["time"][-1]))
    ax.set_xlabel("time from event (s)")
    ax.set_ylabel(unit)
    ax.legend(frameon=False, fontsize=8)
    return ax


def averages(epochs: xr.DataArray, *, by: str | None = None, columns: int = 4, most: int = 16) -> np.ndarray:
    """`average` for each channel (unit, ROI) in a panel of its own, on one scale.

    Parameters
    ----------
    epochs : DataArray (trial, time, item)
        From `nd.preprocess.epoch`.
    by : str, optional
        As in `average`.
    columns : int
        Panels in a row.
    most : int
        Panels at most; the items are then evenly spread.

    Returns
    -------
    array of Axes

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.datasets.load("example_eeg")
    >>> epochs = nd.preprocess.epoch(rec["eeg"]["signal"], rec["events"], (0.2, 0.8))
    >>> nd.plot.averages(epochs, most=6).shape
    (2, 4)
    """
    from neurodata.plot._select import evenly

    dims = [str(dim) for dim in epochs.dims if dim not in ("trial", "time")]
    if len(dims) != 1:
        raise OptionError("epochs with dims trial, time and one more", f"{epochs.dims}", "select or average the rest")
    rows = evenly(epochs.sizes[dims[0]], most)
    n_rows = -(-rows.size // columns)
    made = figure(2.4 * columns, 1.9 * n_rows + 0.4)
    grid = made.subplots(n_rows, columns, sharex=True, sharey=True, squeeze=False)
    for k, ax in enumerate(grid.flat):
        if k >= rows.size:
            ax.set_visible(False)
            continue
        average(epochs.isel({dims[0]: int(rows[k])}), by=by, ax=ax)
        title(ax, str(epochs[dims[0]].values[rows[k]]))
        ax.get_legend().set_visible(k == 0)
        if k % columns:
            ax.set_ylabel("")
        if k + columns < rows.size:
            ax.set_xlabel("")
        else:
            ax.tick_params(labelbottom=True)
        dress(ax)
    return grid


def _values(epochs: xr.DataArray) -> tuple[xr.DataArray, str]:
    """Values to draw and the label of their axis: counts as rates, V as µV."""
    if "trial" not in epochs.dims or "time" not in epochs.dims:
        raise OptionError("epochs with dims trial and time", f"{epochs.dims}", "cut them with nd.preprocess.epoch")
    if "bin_width" in epochs.attrs:
        return epochs / float(epochs.attrs["bin_width"]), "rate (spikes/s)"
    name, factor = _MICRO.get(str(epochs.attrs.get("units", "")), (str(epochs.attrs.get("units", "")), 1.0))
    label = str(epochs.attrs.get("long_name", epochs.name or "value"))
    return epochs * factor, f"{label} ({name})" if name else label


def _kinds(values: xr.DataArray, by: str | None) -> list[tuple[str, xr.DataArray, str]]:
    if by is not None and by not in values.coords:
        known = [str(name) for name, coord in values.coords.items() if coord.dims == ("trial",)]
        raise OptionError(f"a coordinate of the trials, out of {', '.join(known)}", repr(by), "correct by=")
    name = by if by is not None else ("description" if "description" in values.coords else None)
    if name is None:
        return [("", values, item_colours([""])[""])]
    labels: Any = values[name].values
    kinds = np.unique(labels).tolist()
    colours = item_colours(kinds)
    return [(str(kind), values.isel(trial=np.flatnonzero(labels == kind)), colours[kind]) for kind in kinds]
