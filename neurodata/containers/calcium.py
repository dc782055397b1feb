"""Calcium imaging: ROI traces and, where they exist, ragged masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import storable_attrs
from neurodata.containers._coords import id_values, item_coords, time_coord
from neurodata.containers.check import calcium_problems, raise_problems
from neurodata.errors import RecordingError

_UNITS = {"fluorescence": "a.u.", "neuropil": "a.u.", "deconvolved": "a.u.", "dff": "dF/F"}


def make_calcium(
    fluorescence: Any = None,
    *,
    neuropil: Any = None,
    deconvolved: Any = None,
    dff: Any = None,
    time: Any = None,
    sampling_rate: float | None = None,
    start: float = 0.0,
    roi: Any = None,
    masks: Sequence[tuple[Any, Any, Any]] | None = None,
    attrs: Mapping[str, Any] | None = None,
    **roi_coords: Any,
) -> xr.Dataset:
    """The `calcium` node from arrays of shape (time, roi).

    Parameters
    ----------
    fluorescence, neuropil, deconvolved, dff : array (time, roi), optional
        Those that exist; at least one. The dtype is kept; lazy arrays stay lazy.
    time : array (time,), optional
        Time of each frame, s.
    sampling_rate : float, optional
        Frames per second, Hz, for regular frames; kept as an attribute.
    start : float
        Time of the first frame when `time` is left out, s.
    roi : array (roi,), optional
        Ids, kept as they are.
    masks : list of (rows, columns, weights), optional
        Pixels of each ROI.
    attrs : mapping, optional
        Attributes of the node.
    **roi_coords
        is_cell, cell_probability, x, y, plane, label, ...: one value per ROI.

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    RecordingError
        Arrays that disagree in shape, duplicate ids, times that do not increase.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> nd.make_calcium(np.ones((4, 2)), sampling_rate=10.0)["fluorescence"].dims
    ('time', 'roi')
    """
    given = {"fluorescence": fluorescence, "neuropil": neuropil, "deconvolved": deconvolved, "dff": dff}
    arrays = {name: _as_array(values) for name, values in given.items() if values is not None}
    shapes = {name: array.shape for name, array in arrays.items()}
    if not arrays or any(len(shape) != 2 for shape in shapes.values()) or len(set(shapes.values())) > 1:
        raise RecordingError(
            "at least one of fluorescence, neuropil, deconvolved, dff, all of one shape (time, roi)",
            ", ".join(f"{name} {shape}" for name, shape in shapes.items()) or "none",
            "check that the arrays come from the same run and are (time, roi)",
        )
    n_times, n_rois = next(iter(shapes.values()))
    data: dict[str, Any] = {
        name: (("time", "roi"), array, {"units": _UNITS[name], "long_name": name}) for name, array in arrays.items()
    }
    if masks is not None:
        data |= _ragged_masks(masks, n_rois)
    node_attrs = storable_attrs(attrs or {})
    if sampling_rate is not None:
        node_attrs["sampling_rate"] = float(sampling_rate)
    dataset = xr.Dataset(
        data,
        coords={
            "time": time_coord(time, sampling_rate, start, n_times),
            "roi": ("roi", id_values(roi, n_rois, "roi")),
            **item_coords("roi", n_rois, roi_coords),
        },
        attrs=node_attrs,
    )
    raise_problems(calcium_problems(dataset))
    return dataset


def _as_array(values: Any) -> Any:
    """Arrays and lazy arrays as they are (integers become float64); lists become arrays."""
    array = values if hasattr(values, "dtype") and hasattr(values, "shape") else np.asarray(values)
    return array.astype(np.float64) if array.dtype.kind in "iub" else array


def _ragged_masks(masks: Sequence[tuple[Any, Any, Any]], n_rois: int) -> dict[str, Any]:
    if len(masks) != n_rois:
        raise RecordingError(
            f"{n_rois} masks, one per ROI", f"{len(masks)}", "pass one (rows, columns, weights) per ROI"
        )
    count = [len(rows) for rows, _, _ in masks]
    rows, cols, weights = ([np.asarray(mask[k]).reshape(-1) for mask in masks] or [np.zeros(0)] for k in range(3))
    return {
        "mask_row": ("pixel", np.concatenate(rows).astype(np.int32), {"long_name": "row of pixel"}),
        "mask_col": ("pixel", np.concatenate(cols).astype(np.int32), {"long_name": "column of pixel"}),
        "mask_weight": ("pixel", np.concatenate(weights).astype(np.float32), {"long_name": "weight of pixel"}),
        "mask_count": ("roi", np.array(count, dtype=np.int64), {"sample_dimension": "pixel"}),
    }
