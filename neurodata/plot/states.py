"""Hidden states over time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._style import axes, colour, dress
from neurodata.plot.spikes import raster

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Columns of the picture; longer recordings show the mean probability under each.
_COLUMNS = 2000


def states(
    probability: xr.DataArray,
    data: xr.DataArray | xr.DataTree | xr.Dataset | None = None,
    *,
    start: float | None = None,
    stop: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Probability of each state over time, above the data they were found in.

    Parameters
    ----------
    probability : DataArray (time, state) or (time,)
        From `predict_proba`, or the path of states from `predict`.
    data : DataArray (time, ...), DataTree or Dataset, optional
        Counts or traces, drawn as an image below; counts become rates. Of a recording, or its `spikes` node, the raster
        of the spikes is drawn.
    start, stop : float, optional
        Stretch to draw, s; default all.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Of the data when given, with the states as a child above; else of the states.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> path = xr.DataArray([0, 0, 1, 1], dims="time", coords={"time": [0.5, 1.5, 2.5, 3.5]})
    >>> nd.plot.states(path).get_xlabel()
    'time (s)'
    """
    chosen = probability if start is None and stop is None else probability.sel(time=slice(start, stop))
    if chosen.sizes.get("time", 0) == 0:
        raise OptionError("states with a time in the stretch", f"{start} to {stop} s", "correct start= and stop=")
    share = _shares(chosen)
    time = chosen["time"].values
    step = float(np.median(np.diff(time))) if time.size > 1 else 1.0
    limits = (float(time[0]) - step / 2, float(time[-1]) + step / 2)
    if data is None:
        ax = axes(ax, 9.0, 1.8)
        _strip(ax, time, share, step, limits)
        ax.set_xlabel("time (s)")
        return ax
    ax = axes(ax, 9.0, 4.4)
    if not isinstance(data, xr.DataArray):
        raster(data, start=limits[0], stop=limits[1], rates=False, ax=ax)
    else:
        _image(ax, data.sel(time=slice(time[0] - step / 4, time[-1] + step / 4)), limits)
    above = dress(ax.inset_axes((0.0, 1.03, 1.0, 0.22), sharex=ax))
    _strip(above, time, share, step, limits)
    above.tick_params(labelbottom=False)
    ax.set_xlabel("time (s)")
    return ax


def _shares(probability: xr.DataArray) -> np.ndarray:
    """Probabilities (time, state); a path becomes ones and zeros."""
    if "state" in probability.dims:
        return probability.transpose("time", "state").values
    path = probability.values
    seen = np.isfinite(path)
    codes = np.arange(int(np.nanmax(path, initial=0)) + 1)
    return np.where(seen[:, None], path[:, None] == codes, np.nan).astype(np.float64)


def _strip(ax: Axes, time: np.ndarray, share: np.ndarray, step: float, limits: tuple[float, float]) -> None:
    """Stacked areas, without a bridge over gaps."""
    edge = np.linspace(limits[0], limits[1], min(_COLUMNS, max(1, round((limits[1] - limits[0]) / step))) + 1)
    column = np.clip(np.searchsorted(edge, time, side="right") - 1, 0, edge.size - 2)
    seen = np.isfinite(share).all(axis=1)
    number = np.bincount(column[seen], minlength=edge.size - 1)
    bottom = np.zeros(edge.size - 1)
    for state in range(share.shape[1]):
        total = np.bincount(column[seen], weights=share[seen, state], minlength=edge.size - 1)
        height = np.divide(total, number, out=np.zeros_like(total), where=number > 0)
        ax.stairs(bottom + height, edge, baseline=bottom, fill=True, color=colour(state), lw=0, label=f"state {state}")
        bottom = bottom + height
    ax.set_xlim(limits)
    ax.set_ylim(0, 1)
    ax.set_yticks([0, 1])
    ax.set_ylabel("probability", fontsize=8)
    ax.legend(frameon=False, fontsize=8, ncols=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1,
              handlelength=1.0, columnspacing=1.2)  # fmt: skip


def _image(ax: Axes, data: xr.DataArray, limits: tuple[float, float]) -> None:
    (dim,) = [str(d) for d in data.dims if d != "time"]
    values = data.transpose("time", dim).values.astype(np.float64)
    counts = "bin_width" in data.attrs
    if counts:
        values = values / float(data.attrs["bin_width"])
    time = data["time"].values
    edge = np.linspace(limits[0], limits[1], min(time.size, 900) + 1)
    column = np.clip(np.searchsorted(edge, time, side="right") - 1, 0, edge.size - 2)
    seen = np.isfinite(values)
    total, number = (np.zeros((edge.size - 1, values.shape[1])) for _ in range(2))
    np.add.at(total, column, np.where(seen, values, 0.0))
    np.add.at(number, column, seen)
    mean = np.divide(total, number, out=np.full_like(total, np.nan), where=number > 0)
    high = np.nanpercentile(mean, 99) if np.isfinite(mean).any() else 1.0
    image = ax.imshow(
        mean.T,
        extent=(*limits, -0.5, values.shape[1] - 0.5),
        aspect="auto",
        origin="lower",
        cmap="Greys",
        vmin=0.0 if counts else None,
        vmax=high or None,
        interpolation="nearest",
    )
    image.set_rasterized(True)
    what = "events/s" if "event" in str(data.attrs.get("long_name", "")) else "spikes/s"
    unit = what if counts else str(data.attrs.get("units", ""))
    bar = ax.figure.colorbar(image, ax=ax, pad=0.01, aspect=30, shrink=0.9)
    bar.set_label(unit, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    ax.set_ylabel("ROI" if dim == "roi" else dim)
    ids = data[dim].values
    shown = np.arange(0, ids.size, max(1, -(-ids.size // 10)))
    ax.set_yticks(shown, [str(ids[k]) for k in shown])
