"""Behaviour: tracked positions, and continuous signals such as speed or pupil size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import storable_attrs
from neurodata.containers._coords import id_values, item_coords, time_coord
from neurodata.containers.check import behaviour_problems, raise_problems
from neurodata.errors import RecordingError


def make_behaviour(
    value: Any = None,
    *,
    signal: Any = None,
    unit: Any = "",
    position: Any = None,
    confidence: Any = None,
    space: Any = None,
    keypoint: Any = None,
    individual: Any = None,
    position_unit: str = "px",
    time: Any = None,
    sampling_rate: float | None = None,
    start: float = 0.0,
    attrs: Mapping[str, Any] | None = None,
) -> xr.Dataset:
    """The `behaviour` node: `value` (time, signal), `position` (time, space, keypoint, individual), or both.

    Parameters
    ----------
    value : array (time, signal) or (time,), optional
        Continuous signals; NaN where not observed.
    signal : list of str, optional
        Their names.
    unit : str or list of str
        Their units, as the source has them.
    position : array (time, space, keypoint, individual), optional
        Tracked points; NaN where lost.
    confidence : array (time, keypoint, individual), optional
        Confidence of the tracker.
    space, keypoint, individual : list, optional
        Labels; `space` defaults to x, y(, z).
    position_unit : str
        Unit of `position`.
    time, sampling_rate, start
        As in `make_calcium`.

    Returns
    -------
    xarray.Dataset

    Examples
    --------
    >>> import neurodata as nd
    >>> nd.make_behaviour([1.0, 2.0], signal=["speed"], unit="cm/s", sampling_rate=30.0)["value"].shape
    (2, 1)
    """
    if value is None and position is None:
        raise RecordingError("value= (time, signal) or position=", "neither", "pass one of them")
    data: dict[str, Any] = {}
    coords: dict[str, Any] = {}
    n_times = None
    if value is not None:
        values = np.asarray(value, dtype=np.float64)
        values = values[:, None] if values.ndim == 1 else values
        n_times = values.shape[0]
        data["value"] = (("time", "signal"), values, {"long_name": "value"})
        coords["signal"] = ("signal", id_values(signal, values.shape[1], "signal"))
        units = np.full(values.shape[1], unit) if np.ndim(unit) == 0 else np.asarray(unit, dtype=str)
        coords |= item_coords("signal", values.shape[1], {"signal_unit": units})
    if position is not None:
        place = np.asarray(position, dtype=np.float64)
        if place.ndim != 4 or (n_times is not None and place.shape[0] != n_times):
            raise RecordingError(
                "position (time, space, keypoint, individual), as many times as value",
                f"shape {place.shape}",
                "check it",
            )
        n_times = place.shape[0]
        data["position"] = (
            ("time", "space", "keypoint", "individual"),
            place,
            {"units": position_unit, "long_name": "position"},
        )
        coords["space"] = (
            "space",
            id_values(list("xyz")[: place.shape[1]] if space is None else space, place.shape[1], "space"),
        )
        coords["keypoint"] = ("keypoint", id_values(keypoint, place.shape[2], "keypoint"))
        coords["individual"] = ("individual", id_values(individual, place.shape[3], "individual"))
        if confidence is not None:
            data["confidence"] = (
                ("time", "keypoint", "individual"),
                np.asarray(confidence, dtype=np.float64),
                {"units": "1", "long_name": "confidence"},
            )
    assert n_times is not None
    node_attrs = storable_attrs(attrs or {})
    if sampling_rate is not None:
        node_attrs["sampling_rate"] = float(sampling_rate)
    dataset = xr.Dataset(
        data, coords={"time": time_coord(time, sampling_rate, start, n_times), **coords}, attrs=node_attrs
    )
    raise_problems(behaviour_problems(dataset))
    return dataset
