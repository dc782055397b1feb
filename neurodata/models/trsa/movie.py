"""RDMs over time, and in searchlights over channels or units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.progress import Progress, as_progress
from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError, RecordingError
from neurodata.models.trsa.estimate import NOISY, rdm
from neurodata.models.trsa.layout import layout
from neurodata.models.trsa.noise import noise_covariance


def rdm_movie(
    data: xr.DataArray,
    dissimilarity: str = "euclidean",
    noise_precision: Any = None,
    *,
    window: float | None = None,
    step: float | None = None,
    **options: Any,
) -> xr.DataArray:
    """An RDM at each time.

    Parameters
    ----------
    data : DataArray
        As `rdm` takes it, with a dim ``time`` (s).
    dissimilarity, noise_precision
        As in `rdm`. One precision holds for all times unless it has a dim ``time``.
    window : float, optional
        s: patterns are averaged over windows of this length, from the first sample on; a window that is not full is
        left out. Samples that were not observed are left out of the average. Default: every sample by itself.
    step : float, optional
        s from one window to the next; default `window`.
    **options
        Those of `rdm`.

    Returns
    -------
    DataArray (time, ..., condition, condition_2)
        `time` is the middle of each window. With a precision of each time, times that are windows need one each.

    Raises
    ------
    RecordingError
        No dim ``time``.
    OptionError
        A window or step that is shorter than a sample, or longer than the data.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> values = np.array([[[0.0, 0.0, 1.0, 3.0]], [[0.0, 0.0, 0.0, 0.0]]])
    >>> data = xr.DataArray(values, dims=("condition", "channel", "time"), coords={"time": [0.0, 0.1, 0.2, 0.3]})
    >>> movie = nd.models.rdm_movie(data, window=0.2)
    >>> movie.sel(condition=0, condition_2=1).values.tolist(), movie["time"].values.round(2).tolist()
    ([0.0, 4.0], [0.05, 0.25])
    """
    if not isinstance(data, xr.DataArray) or "time" not in data.dims:
        raise RecordingError("a DataArray with a dim time", f"{getattr(data, 'dims', type(data))}", "use rdm without")
    if window is not None:
        data = _windows(data, float(window), float(window if step is None else step))
    elif step is not None:
        raise OptionError("window= with step=", "step= alone", "pass both, in s")
    found = rdm(data, dissimilarity, noise_precision, **options)
    found = found if found.dims[0] == "time" else found.transpose("time", ...)
    return found.assign_attrs(with_operation(found.attrs, "rdm_movie", window=window, step=step))


def _windows(data: xr.DataArray, window: float, step: float) -> xr.DataArray:
    """Means over windows of time."""
    if "time" not in data.coords or data.sizes["time"] < 2:
        raise RecordingError("two times or more with a coordinate", "none", "assign the times in s")
    time = data["time"].values.astype(np.float64)
    interval = np.diff(time)
    sample = float(np.median(interval))
    # A gap would make windows of other lengths than they say.
    if not (interval > 0).all() or np.abs(interval - sample).max() > 0.01 * sample:
        raise RecordingError("times at equal steps", "other steps or gaps", "average over windows of your own")
    width, stride = int(round(window / sample)), int(round(step / sample))
    if width < 1 or stride < 1 or width > time.size:
        raise OptionError(
            f"window and step from {sample:g} s, a sample, to {time.size * sample:g} s",
            f"{window:g} and {step:g} s",
            "pass other lengths",
        )
    start = np.arange(0, time.size - width + 1, stride)
    moved = np.moveaxis(np.asarray(data.values, dtype=np.float64), data.get_axis_num("time"), 0)
    means = np.empty((start.size, *moved.shape[1:]))
    for k, first in enumerate(start):
        part = moved[first : first + width]
        seen = np.isfinite(part)
        if seen.all():
            means[k] = part.mean(axis=0)
        else:
            number = seen.sum(axis=0)
            total = np.where(seen, part, 0.0).sum(axis=0)
            means[k] = np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)
    others = [str(dim) for dim in data.dims if dim != "time"]
    coords = {name: coord.variable for name, coord in data.coords.items() if "time" not in coord.dims}
    middle = time[start] + (width - 1) * sample / 2
    coords["time"] = xr.Variable("time", middle, data["time"].attrs)
    return xr.DataArray(means, dims=("time", *others), coords=coords, name=data.name, attrs=data.attrs)


def rdm_searchlight(
    data: xr.DataArray,
    neighbours: float | int | Mapping[Any, Sequence[Any]],
    dissimilarity: str = "euclidean",
    noise_precision: Any = None,
    *,
    position: Sequence[str] = ("x", "y", "z"),
    pattern: str | None = None,
    progress: bool | Progress = False,
    **options: Any,
) -> xr.DataArray:
    """An RDM of the channels (units, ROIs) around each channel.

    Parameters
    ----------
    data : DataArray
        As `rdm` takes it, with coordinates of the channels' positions.
    neighbours : float, int or mapping
        A radius, in the unit of the positions (float); a number of nearest channels, the centre among them (int); or
        ``{centre: [labels of channels]}``.
    dissimilarity : str
        As in `rdm`.
    noise_precision : str, DataArray or array, optional
        As in `rdm`, without a dim run or time. Each searchlight takes the covariance of its own channels and inverts
        that: a method's name estimates it once, for all channels.
    position : sequence of str
        Coordinates of the channels that say where they are; those that exist and are known are used.
    pattern : str, optional
        The dim of channels.
    progress : bool or Progress
    **options
        Those of `rdm`.

    Returns
    -------
    DataArray (centre, ..., condition, condition_2)
        ``centre`` has the labels of the channels; `n_channels` (centre) says how many each RDM is of.

    Raises
    ------
    RecordingError
        No positions.
    OptionError
        Neighbours that do not exist; a radius or number that makes no sense.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> data = xr.DataArray([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]], dims=("condition", "channel"),
    ...                     coords={"channel": [*"abc"], "x": ("channel", [0.0, 1.0, 5.0])})
    >>> found = nd.models.rdm_searchlight(data, neighbours=1.5)
    >>> found.sel(condition=0, condition_2=1).values.tolist()
    [2.5, 2.5, 9.0]
    """
    found = layout(data, options.get("condition", "condition"), options.get("run", "run"), pattern)
    if len(found.pattern) != 1:
        raise OptionError("one dim of channels", f"{found.pattern}", "pass pattern='channel'")
    dim = found.pattern[0]
    labels = data[dim].values
    centres, members = _members(data, dim, labels, neighbours, position)
    covariance = _covariance(data, dissimilarity, noise_precision, dim, options)
    bar = as_progress(progress)
    bar.start(len(centres), "searchlight")
    parts = []
    for rows in members:
        noise = None
        if covariance is not None:
            noise = np.full((rows.size, rows.size), np.nan)
            known = np.flatnonzero(np.isfinite(np.diagonal(covariance)[rows]))
            inside = rows[known]
            noise[np.ix_(known, known)] = np.linalg.inv(covariance[np.ix_(inside, inside)])
        parts.append(rdm(data.isel({dim: rows}), dissimilarity, noise, pattern=dim, **options))
        bar.update()
    bar.close()
    first = parts[0]
    coords = {name: coord.variable for name, coord in first.coords.items()}
    coords["centre"] = xr.Variable("centre", centres)
    coords["n_channels"] = xr.Variable("centre", np.array([rows.size for rows in members]))
    attrs = {name: value for name, value in first.attrs.items() if name != "n_channels"}
    attrs["noise"] = noise_precision if isinstance(noise_precision, str) else first.attrs["noise"]
    return xr.DataArray(
        np.stack([part.values for part in parts]),
        dims=("centre", *first.dims),
        coords=coords,
        name="rdm",
        attrs=with_operation(attrs, "rdm_searchlight", dim=dim),
    )


def _covariance(
    data: xr.DataArray, dissimilarity: str, given: Any, dim: str, options: Mapping[str, Any]
) -> np.ndarray | None:
    if given is None:
        return None
    if dissimilarity not in NOISY:
        raise OptionError(
            "noise_precision= for mahalanobis and crossnobis only", f"it for {dissimilarity}", "leave it out"
        )
    if isinstance(given, str):
        names = {name: options[name] for name in ("condition", "run") if name in options}
        return noise_covariance(data, given, pattern=dim, **names).values
    values = np.asarray(given.values if isinstance(given, xr.DataArray) else given, dtype=np.float64)
    n = data.sizes[dim]
    if values.shape == (n,):
        return np.diag(1.0 / values)
    if values.shape != (n, n):
        raise OptionError(f"a precision ({n}, {n}) for a searchlight", f"shape {values.shape}", "pass one for all runs")
    out = np.full((n, n), np.nan)
    known = np.flatnonzero(np.isfinite(np.diagonal(values)))
    out[np.ix_(known, known)] = np.linalg.inv(values[np.ix_(known, known)])
    return out


def _members(
    data: xr.DataArray, dim: str, labels: np.ndarray, neighbours: Any, position: Sequence[str]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Labels of the centres, and the rows of the channels around each."""
    if isinstance(neighbours, Mapping):
        place = {label: k for k, label in enumerate(labels.tolist())}
        rows = []
        for centre, names in neighbours.items():
            unknown = [str(name) for name in names if name not in place]
            if unknown or not len(names):
                raise OptionError(
                    f"channels of the data around {centre!r}", f"{', '.join(unknown[:5]) or 'none'}", "check the labels"
                )
            rows.append(np.array([place[name] for name in names]))
        if not rows:
            raise OptionError("one centre or more", "an empty mapping", "pass {centre: [labels]}")
        return np.array(list(neighbours)), rows
    places = [data[name].values.astype(np.float64) for name in position if name in data.coords]
    places = [values for values in places if values.shape == labels.shape and np.isfinite(values).any()]
    if not places:
        raise RecordingError(
            f"positions of the channels ({', '.join(position)})", "none", "assign them, or pass a mapping"
        )
    point = np.stack(places, axis=1)
    if not np.isfinite(point).all():
        raise RecordingError("a position for every channel", "NaN", "select the channels that have one")
    far = np.sqrt(((point[:, None] - point) ** 2).sum(axis=-1))
    if isinstance(neighbours, (int, np.integer)) and not isinstance(neighbours, bool):
        if not 1 <= neighbours <= labels.size:
            raise OptionError(f"1 to {labels.size} channels", f"{neighbours}", "pass another number")
        order = np.argsort(far, axis=1, kind="stable")[:, :neighbours]
        return labels, [np.sort(rows) for rows in order]
    radius = float(neighbours)
    if not (np.isfinite(radius) and radius >= 0):
        raise OptionError("a radius of 0 or above", f"{neighbours}", "pass it in the unit of the positions")
    return labels, [np.flatnonzero(row <= radius) for row in far]
