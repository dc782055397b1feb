"""Which channels of a signal an operation is about, and the signal put together again."""

from __future__ import annotations

import numpy as np
import xarray as xr

# Types that carry codes or other facts, whatever unit they claim.
NOT_SIGNALS = ("stim", "misc", "syst", "trigger", "status", "resp", "exci", "ias", "chpi")


def voltage_channels(data: xr.DataArray) -> np.ndarray | None:
    """Rows of `channel` that measure voltage; None when nothing says otherwise for any of them."""
    use = np.ones(data.sizes.get("channel", 0), dtype=bool)
    if "ch_unit" in data.coords and data["ch_unit"].dims == ("channel",):
        use &= data["ch_unit"].values.astype(str) == "V"
    if "ch_type" in data.coords and data["ch_type"].dims == ("channel",):
        use &= ~np.isin(np.char.lower(data["ch_type"].values.astype(str)), NOT_SIGNALS)
    return None if use.all() else np.flatnonzero(use)


def with_channels(data: xr.DataArray, rows: np.ndarray | None, changed: xr.DataArray) -> xr.DataArray:
    """`data` with the channels `rows` replaced by those of `changed`; the order of channels stays."""
    if rows is None:
        return changed
    rest = np.setdiff1d(np.arange(data.sizes["channel"]), rows)
    order = np.argsort(np.concatenate([rows, rest]))
    both = [part.variable for part in (changed, data.isel(channel=rest).astype(changed.dtype))]
    whole = xr.Variable.concat(both, "channel").isel(channel=order)
    return data.copy(data=whole.transpose(*data.dims).data).assign_attrs(changed.attrs)
