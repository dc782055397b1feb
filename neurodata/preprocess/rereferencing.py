"""Voltages against another reference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError, RecordingError
from neurodata.preprocess._apply import Data, floating, logged, on_nodes
from neurodata.preprocess._channels import voltage_channels, with_channels


def rereference(
    data: Data,
    reference: str | int | Sequence[str | int] = "average",
    *,
    ch_type: str = "eeg",
) -> Data:
    """Subtract a reference from all channels of one type.

    Parameters
    ----------
    data : DataArray (time, channel), Dataset or DataTree
        A signal; or an `eeg` node or a recording (all its `eeg` nodes).
    reference : "average", a channel, or list of channels
        The mean over the good channels of the type, or the mean of the channels named (of any type that measures
        voltage, e.g. the mastoids). A channel that is itself called "average" is named as ``["average"]``.
    ch_type : str
        Type of the channels that are changed, and averaged. Without a coordinate `ch_type` all channels count.

    Returns
    -------
    DataArray, Dataset or DataTree
        Channels marked bad have no part in the average, but are re-referenced like the others. Channels of other
        types or units pass through. At samples where some of the averaged channels are NaN the mean of the others is
        taken; where a named reference is NaN the result is. The attr `reference` says what was done. Lazy with Dask.

    Raises
    ------
    OptionError
        Unknown, bad or non-voltage reference channels; no channel of the type.

    Examples
    --------
    >>> import neurodata as nd
    >>> node = nd.make_eeg([[1.0, 3.0]], channel=["Fz", "Cz"], sampling_rate=100.0)
    >>> nd.preprocess.rereference(node)["signal"].values.tolist()
    [[-1.0, 1.0]]
    """
    names: list[str | int] | None
    if isinstance(reference, (str, int)):
        names = None if reference == "average" else [reference]
    else:
        names = list(reference)
    text = "average" if names is None else "+".join(map(str, names))
    settings = {"reference": text, "ch_type": ch_type}
    if isinstance(data, xr.DataArray):
        return logged(_rereference(data, names, ch_type).assign_attrs(reference=text), "rereference", **settings)

    def change(node: xr.Dataset) -> xr.Dataset:
        if "signal" not in node:
            raise RecordingError("an eeg node with signal", f"{list(map(str, node.data_vars))}", "pass a DataArray")
        signal = logged(
            _rereference(node["signal"], names, ch_type).assign_attrs(reference=text), "rereference", **settings
        )
        attrs = with_operation({**node.attrs, "reference": text}, "rereference", **settings)
        return node.assign(signal=signal).assign_attrs(attrs)

    return on_nodes(data, "eeg", change)


def _rereference(data: xr.DataArray, names: list[str | int] | None, ch_type: str) -> xr.DataArray:
    if "channel" not in data.dims or "channel" not in data.coords:
        raise RecordingError("a signal with a dim channel", f"dims {tuple(map(str, data.dims))}", "pass such a signal")
    channels = data["channel"].values
    voltage = voltage_channels(data)
    volts = np.ones(channels.size, dtype=bool) if voltage is None else np.isin(np.arange(channels.size), voltage)
    target = volts.copy()
    if "ch_type" in data.coords:
        target &= data["ch_type"].values.astype(str) == ch_type
    good = target & ~data["bad"].values.astype(bool) if "bad" in data.coords else target
    if not good.any():
        types = sorted(set(data["ch_type"].values.astype(str))) if "ch_type" in data.coords else []
        raise OptionError(f"good channels of type {ch_type!r} in V", f"none; types are {types}", "pass ch_type=")
    if names is None:
        used = np.flatnonzero(good)
    else:
        if not names:
            raise OptionError("at least one reference channel", "none", "pass names, or 'average'")
        missing = [name for name in names if name not in channels.tolist()]
        if missing:
            raise OptionError(f"channels among {channels.tolist()}", f"{missing}", "correct reference=")
        used = np.array([channels.tolist().index(name) for name in names])
        if not volts[used].all():
            wrong = channels[used[~volts[used]]].tolist()
            raise OptionError("reference channels that measure voltage", f"{wrong} do not", "choose others")
    values = floating(data)
    with xr.set_options(use_numbagg=False, use_bottleneck=False):
        mean = values.isel(channel=used).mean("channel", skipna=names is None)
    rows = np.flatnonzero(target)
    changed = (values.isel(channel=rows) - mean).transpose(*data.dims).astype(values.dtype)
    result = with_channels(values, None if target.all() else rows, changed)
    return result.assign_coords(data.coords).assign_attrs(data.attrs).rename(data.name)
