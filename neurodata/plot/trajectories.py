"""Latent trajectories of clusters with their bands, over the states of time."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._style import FAINT, colour, dress, figure, note
from neurodata.plot.states import states

_LOOK = {"common": "common course"}


def trajectories(
    latent: xr.Dataset,
    state: xr.DataArray | None = None,
    *,
    most: int = 6,
    start: float | None = None,
    stop: float | None = None,
) -> np.ndarray:
    """Trajectories of each cluster with bands, above the states of time.

    Parameters
    ----------
    latent : Dataset
        `BiClustering.latent_`: `mean`, `low`, `high` (cluster, time, latent). Of trials, pick one:
        ``latent_.isel(trial=0)``.
    state : DataArray (time,), optional
        `BiClustering.state_`: drawn below as a strip.
    most : int
        Clusters at most, the largest first.
    start, stop : float, optional
        Stretch to draw, s; default all.

    Returns
    -------
    array of Axes
        One per cluster, and that of the states last when given.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> coords = {"cluster": [0], "time": np.arange(5.0), "latent": ["common"]}
    >>> mean = xr.DataArray(np.zeros((1, 5, 1)), coords=coords, dims=("cluster", "time", "latent"))
    >>> latent = xr.Dataset({"mean": mean, "low": mean - 1, "high": mean + 1}, attrs={"level": 0.9})
    >>> [ax.get_ylabel() for ax in nd.plot.trajectories(latent)]
    ['cluster 0']
    """
    names = ("mean", "low", "high")
    if not isinstance(latent, xr.Dataset) or not set(names) <= set(latent.data_vars):
        got = list(latent.data_vars) if isinstance(latent, xr.Dataset) else type(latent).__name__
        raise OptionError("a Dataset with mean, low and high", f"{got}", "pass model.latent_, or one item of its list")
    if set(latent["mean"].dims) != {"cluster", "time", "latent"}:
        raise OptionError(
            "dims cluster, time, latent", f"{latent['mean'].dims}", "pick one trial: latent_.isel(trial=0)"
        )
    chosen = latent.isel(cluster=slice(0, most))
    if start is not None or stop is not None:
        chosen = chosen.sel(time=slice(start, stop))
    if chosen.sizes["time"] == 0:
        raise OptionError("bins in the stretch", f"{start} to {stop} s", "correct start= and stop=")
    n = chosen.sizes["cluster"]
    made = figure(9.0, 1.6 * n + (1.6 if state is not None else 0.6))
    ratios = [3.0] * n + ([1.0] if state is not None else [])
    panels = made.subplots(len(ratios), 1, sharex=True, squeeze=False, height_ratios=ratios)[:, 0]
    time = _broken(chosen["time"].values, chosen["time"].values)
    for ax, label in zip(panels, chosen["cluster"].values, strict=False):
        dress(ax)
        here = chosen.sel(cluster=label)
        ax.axhline(0.0, color=FAINT, linewidth=0.6)
        for k, course in enumerate(here["latent"].values):
            one = {name: here[name].sel(latent=course).values for name in names}
            if not np.isfinite(one["mean"]).any():
                continue
            mean, low, high = (_broken(here["time"].values, one[name]) for name in names)
            ax.fill_between(time, low, high, color=colour(k), alpha=0.25, linewidth=0)
            ax.plot(time, mean, color=colour(k), linewidth=1.2, label=_LOOK.get(str(course), str(course)))
        ax.set_ylabel(f"cluster {label}")
    panels[0].legend(frameon=False, fontsize=8, ncols=8, loc="lower left", bbox_to_anchor=(0.0, 1.0), borderaxespad=0.1)
    left_out = latent.sizes["cluster"] - n
    more = f"; smaller clusters, not shown: {left_out}" if left_out else ""
    note(panels[0], f"band: {100 * float(latent.attrs.get('level', 0.9)):.0f} %{more}")
    if state is not None:
        states(state, start=start, stop=stop, ax=panels[-1])
        panels[-1].set_ylabel("state")
        panels[-1].set_yticks([])
    panels[-1].set_xlabel("time (s)")
    return panels


def _broken(time: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values with a NaN in each gap of time, so that no line bridges it."""
    step = np.diff(time)
    gap = np.flatnonzero(step > 1.5 * np.median(step)) + 1 if len(step) else np.zeros(0, dtype=np.int64)
    return np.insert(values.astype(np.float64), gap, np.nan)
