"""EEG and any other continuous voltage: one signal (time, channel) in V, with what is known of each channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import storable_attrs
from neurodata.containers._coords import id_values, item_coords, time_coord
from neurodata.containers.check import eeg_problems, raise_problems
from neurodata.errors import RecordingError


def make_eeg(
    signal: Any,
    *,
    channel: Any = None,
    time: Any = None,
    sampling_rate: float | None = None,
    start: float = 0.0,
    ch_type: Any = "eeg",
    ch_unit: Any = "V",
    ch_unit_original: Any = None,
    bad: Any = False,
    position: Any = None,
    attrs: Mapping[str, Any] | None = None,
    **channel_coords: Any,
) -> xr.Dataset:
    """The `eeg` node from a signal of shape (time, channel).

    Parameters
    ----------
    signal : array (time, channel)
        In V. Channels that do not measure voltage keep their values and say so in `ch_unit`. Lazy arrays stay lazy.
    channel : array (channel,), optional
        Names or ids, unique, kept as they are ("/" and non-ASCII letters are fine here).
    time, sampling_rate, start
        Time of each sample (s), or the rate (Hz) and the time of the first sample (s). Give both for regular
        samples with gaps: `time` is what counts, the rate is kept as an attribute. `time` may be the coordinates
        that `containers.time_index.regular_time` makes, for recordings too long to hold every time.
    ch_type : str or array (channel,)
        eeg, lfp, seeg, ecog, meg, eog, emg, ecg, stim, misc, ...
    ch_unit : str or array (channel,)
        Unit of the values as they are here.
    ch_unit_original : str or array (channel,), optional
        Unit in the source file; default `ch_unit`.
    bad : bool or array (channel,)
        Channels marked bad in the source. They are kept.
    position : array (channel, 3), optional
        x, y, z in m; NaN where unknown.
    attrs : mapping, optional
        reference, highpass (Hz), lowpass (Hz), ...
    **channel_coords
        Further facts, one value per channel.

    Returns
    -------
    xarray.Dataset

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> node = nd.make_eeg(np.zeros((10, 2)), channel=["Fz", "Cz"], sampling_rate=100.0)
    >>> float(node["time"][-1])
    0.09
    """
    array = signal if hasattr(signal, "dtype") and hasattr(signal, "shape") else np.asarray(signal, dtype=np.float64)
    if len(array.shape) != 2:
        raise RecordingError("a signal (time, channel)", f"shape {array.shape}", "pass a two-dimensional array")
    n_times, n_channels = array.shape

    def per_channel(value: Any) -> np.ndarray:
        value = np.asarray(value)
        return np.full(n_channels, value) if value.ndim == 0 else value

    columns = {
        "ch_type": per_channel(ch_type),
        "ch_unit": per_channel(ch_unit),
        "ch_unit_original": per_channel(ch_unit if ch_unit_original is None else ch_unit_original),
        "bad": per_channel(bad).astype(bool),
        **channel_coords,
    }
    coords = item_coords("channel", n_channels, columns)
    if position is not None:
        place = np.asarray(position, dtype=np.float64).reshape(n_channels, 3)
        for axis, name in enumerate("xyz"):
            coords[name] = xr.Variable("channel", place[:, axis], {"units": "m"})
    node_attrs = storable_attrs(attrs or {})
    if sampling_rate is not None:
        node_attrs["sampling_rate"] = float(sampling_rate)
    times = time if isinstance(time, xr.Coordinates) else {"time": time_coord(time, sampling_rate, start, n_times)}
    dataset = xr.Dataset(
        {"signal": (("time", "channel"), array, {"units": "V", "long_name": "signal"})},
        coords={"channel": ("channel", id_values(channel, n_channels, "channel")), **coords},
        attrs=node_attrs,
    ).assign_coords(times)
    raise_problems(eeg_problems(dataset))
    return dataset
