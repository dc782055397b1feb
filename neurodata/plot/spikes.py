"""Spike trains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError
from neurodata.plot._select import node_of
from neurodata.plot._style import FAINT, INK, PALETTE, axes, dress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Up to here each spike is a tick. With more spikes in all, or per unit than a page has room for, ticks hide one another
# and a picture of the rates says more.
MOST_TICKS = 100_000
MOST_PER_UNIT = 400


def raster(
    rec: xr.DataTree | xr.Dataset,
    *,
    start: float | None = None,
    stop: float | None = None,
    sort: str | None = None,
    rates: bool = True,
    ax: Axes | None = None,
) -> Axes:
    """Spikes of every unit over time, with the rate of the population above and of each unit at the right.

    Parameters
    ----------
    rec : DataTree or Dataset
        A recording, or its `spikes` node.
    start, stop : float, optional
        Stretch to draw, s; default all.
    sort : str, optional
        Coordinate of the units to order them by, e.g. ``"depth"``; default the order of the recording.
    rates : bool
        Draw the two panels of rates, as children of the axes.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        x in s, y the row of the unit. With so many spikes in view that ticks would hide one another, the rate of each
        unit is drawn as shades of grey; a remark above the axes says so.

    Examples
    --------
    >>> import neurodata as nd
    >>> ax = nd.plot.raster(nd.datasets.load("example_spikes"), start=0.0, stop=30.0)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('time (s)', 'unit (30)')
    """
    node = node_of(rec, "spikes")
    if "spike_time" not in node:
        raise RecordingError("a node with spike_time", f"{list(map(str, node.data_vars))}", "draw counts as traces")
    time, unit = node["spike_time"].values, node["spike_unit"].values
    n_units = node.sizes["unit"]
    low, high = _limits(node, time, start, stop)
    rank = _rank(node, sort)
    inside = (time >= low) & (time <= high)
    time, row = time[inside], rank[unit[inside]]

    ax = axes(ax, 9.0, 1.6 + min(4.5, max(1.2, 0.09 * n_units)))
    if time.size > MOST_TICKS or time.size > MOST_PER_UNIT * n_units:
        _density(ax, time, row, low, high, n_units)
    else:
        size = np.clip(220.0 / max(n_units, 1), 1.0, 6.0)
        ax.plot(time, row, "|", color=INK, markersize=size, markeredgewidth=0.6, rasterized=True)
    ax.set_xlim((low, high) if high > low else (low - 0.5, high + 0.5))
    ax.set_ylim(-0.7, n_units - 0.3)
    ax.set_xlabel("time (s)")
    ax.set_ylabel(f"unit ({n_units})" + (f", by {sort}" if sort else ""))
    _unit_ticks(ax, node["unit"].values, rank)
    if rates and high > low:
        _rates(ax, time, row, low, high, n_units)
    return ax


def _limits(node: xr.Dataset, time: np.ndarray, start: float | None, stop: float | None) -> tuple[float, float]:
    first, last = (float(time.min()), float(time.max())) if time.size else (0.0, 1.0)
    if "support_start" in node and node.sizes.get("epoch", 0):
        first, last = float(node["support_start"].min()), float(node["support_stop"].max())
    low, high = first if start is None else float(start), last if stop is None else float(stop)
    if not low <= high:
        raise OptionError("a start before the stop", f"{low:g} to {high:g} s", "correct start= and stop=")
    return low, high


def _rank(node: xr.Dataset, sort: str | None) -> np.ndarray:
    """Row on the picture of each row of unit."""
    n_units = node.sizes["unit"]
    if sort is None:
        return np.arange(n_units)
    if sort not in node.coords or node[sort].dims != ("unit",):
        known = [str(name) for name, coord in node.coords.items() if coord.dims == ("unit",)]
        raise OptionError(f"a coordinate of the units, out of {', '.join(known)}", repr(sort), "correct sort=")
    rank = np.empty(n_units, dtype=int)
    rank[np.argsort(node[sort].values, kind="stable")] = np.arange(n_units)
    return rank


def _density(ax: Axes, time: np.ndarray, row: np.ndarray, low: float, high: float, n_units: int) -> None:
    """Rates in steps wide enough to hold some spikes of a usual unit."""
    columns = int(np.clip(time.size / n_units / 3, 200, 1600))
    step = (high - low) / columns
    column = np.minimum(((time - low) / step).astype(np.int64), columns - 1)
    rate = np.bincount(row * columns + column, minlength=n_units * columns).reshape(n_units, columns) / step
    image = ax.imshow(
        rate,
        extent=(low, high, -0.5, n_units - 0.5),
        aspect="auto",
        origin="lower",
        cmap="Greys",
        interpolation="nearest",
        vmin=0.0,
        vmax=float(np.percentile(rate, 99)) or None,
    )
    image.set_rasterized(True)
    bar = ax.inset_axes((1.015, 1.09, 0.11, 0.03))
    ax.figure.colorbar(image, cax=bar, orientation="horizontal")
    dress(bar)
    bar.set_title(f"spikes/s ({step:.2g} s bins)", fontsize=7, loc="left", pad=3, color=INK)
    bar.tick_params(labelsize=7)
    bar.set_label("rate scale")


def _unit_ticks(ax: Axes, ids: np.ndarray, rank: np.ndarray) -> None:
    """Ids at some of the rows; few enough to read."""
    order = np.argsort(rank)
    shown = np.arange(0, len(ids), max(1, -(-len(ids) // 12)))
    ax.set_yticks(shown, [str(ids[order[k]]) for k in shown])


def _rates(ax: Axes, time: np.ndarray, row: np.ndarray, low: float, high: float, n_units: int) -> None:
    above = dress(ax.inset_axes((0.0, 1.03, 1.0, 0.2), sharex=ax))
    n_bins = int(np.clip((high - low) / 0.1, 20, 400))
    count, edge = np.histogram(time, bins=n_bins, range=(low, high))
    above.stairs(count / np.diff(edge) / max(n_units, 1), edge, color=PALETTE[0], lw=0.9)
    above.set_ylim(bottom=0)
    above.tick_params(labelbottom=False)
    above.set_ylabel("spikes/s\nper unit", fontsize=8)
    above.set_label("population rate")
    beside = dress(ax.inset_axes((1.015, 0.0, 0.11, 1.0), sharey=ax))
    rate = np.bincount(row, minlength=n_units) / (high - low)
    beside.barh(np.arange(n_units), rate, height=0.8, color=FAINT, lw=0)
    beside.tick_params(labelleft=False)
    beside.set_xlabel("spikes/s", fontsize=8)
    beside.set_label("unit rate")
