"""From what is handed over to the node to draw, and the part of it to draw."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers.recording import is_recording
from neurodata.errors import OptionError, RecordingError
from neurodata.schema import modality_of


def node_of(data: Any, modality: str) -> xr.Dataset:
    """The first node of a modality in a recording, or the node itself."""
    if isinstance(data, xr.Dataset):
        return data
    if isinstance(data, xr.DataTree):
        if not data.children:
            return data.to_dataset(inherit=False)
        if is_recording(data):
            for name, node in data.children.items():
                if modality_of(name) == modality:
                    return node.to_dataset(inherit=False)
    got = list(data.children) if isinstance(data, xr.DataTree) else type(data).__name__
    raise RecordingError(f"one recording with a node {modality!r}, or that node", f"{got}", "pass one of them")


def between(data: xr.DataArray, start: float | None, stop: float | None) -> xr.DataArray:
    """The samples from `start` to `stop` (s), both taken in."""
    part = data if start is None and stop is None else data.sel(time=slice(start, stop))
    if part.sizes["time"] == 0:
        raise OptionError("a stretch with samples in it", f"{start} to {stop} s", "correct start= and stop=")
    return part


def evenly(n: int, at_most: int) -> np.ndarray:
    """Up to `at_most` rows out of `n`, evenly spread.

    Examples
    --------
    >>> evenly(10, 3).tolist(), evenly(2, 3).tolist()
    ([0, 4, 9], [0, 1])
    """
    return np.arange(n) if n <= at_most else np.linspace(0, n - 1, at_most).astype(int)


def share(chosen: int, of: int, what: str) -> str:
    """What a remark says of a selection; nothing when all is drawn."""
    return "" if chosen == of else f"{chosen} of {of} {what}"
