"""Fluorescence traces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._decimate import envelope
from neurodata.plot._select import between, evenly, node_of, share
from neurodata.plot._style import FAINT, PALETTE, axes, note, round_size, scale_bar

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_KINDS = ("dff", "fluorescence", "deconvolved", "neuropil")


def traces(
    rec: xr.DataTree | xr.Dataset,
    variable: str | None = None,
    *,
    roi: Sequence[Any] | None = None,
    start: float | None = None,
    stop: float | None = None,
    most: int = 20,
    ax: Axes | None = None,
) -> Axes:
    """Traces of ROIs, one above the other on a common scale.

    Parameters
    ----------
    rec : DataTree or Dataset
        A recording, or its `calcium` node.
    variable : {"dff", "fluorescence", "deconvolved", "neuropil"}, optional
        Default the first of these that the node has.
    roi : list, optional
        Ids to draw; default up to `most` of them, evenly spread.
    start, stop : float, optional
        Stretch to draw, s; default all.
    most : int
        ROIs to draw when `roi` is left out.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        x in s; ROIs that are not cells are grey. The bar at the right is the scale.

    Examples
    --------
    >>> import neurodata as nd
    >>> ax = nd.plot.traces(nd.datasets.load("example_calcium"), start=0.0, stop=60.0)
    >>> ax.get_xlabel(), ax.get_ylabel()
    ('time (s)', 'ROI')
    """
    node = node_of(rec, "calcium")
    known = [name for name in _KINDS if name in node]
    name = known[0] if variable is None else variable
    if name not in known:
        raise OptionError(f"a variable out of {', '.join(known)}", repr(variable), "correct variable=")
    data = between(node[name], start, stop)
    data = data.isel(roi=evenly(data.sizes["roi"], most)) if roi is None else data.sel(roi=list(roi))
    time, values = envelope(data["time"].values, data.variable)
    middle = np.nanmedian(values, axis=0)
    spread = np.nanpercentile(values, 99.5, axis=0) - np.nanpercentile(values, 0.5, axis=0)
    # One scale for all, so that traces can be compared; the median ROI fills its lane.
    lane = float(np.nanmedian(spread)) * 1.1 or 1.0
    n = data.sizes["roi"]
    cell = data["is_cell"].values if "is_cell" in data.coords else np.ones(n, dtype=bool)

    ax = axes(ax, 9.0, 1.0 + max(1.5, 0.24 * n))
    for k in range(n):
        ax.plot(time, values[:, k] - middle[k] + k * lane, color=PALETTE[0] if cell[k] else FAINT, lw=0.7)
    ax.set_yticks(np.arange(n) * lane, [str(item) for item in data["roi"].values])
    ax.set_xlim(time[0], time[-1])
    ax.set_xlabel("time (s)")
    ax.set_ylabel("ROI")
    ax.spines["left"].set_visible(False)
    ax.tick_params(axis="y", length=0)
    size = round_size(lane)
    unit = str(node[name].attrs.get("units", ""))
    scale_bar(ax, size, f"{size:g} {unit}" + ("" if unit == "dF/F" else f"\n{name}"), bottom=-0.3 * lane)
    remarks = [share(n, node.sizes["roi"], "ROIs")] + (["grey: not a cell"] if not cell.all() else [])
    note(ax, "; ".join(text for text in remarks if text))
    return ax
