"""From what users hand over (DataArray, node, recording) to DataArrays, and from DataArrays to arrays along time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.containers.recording import is_recording, recordings
from neurodata.errors import RecordingError
from neurodata.schema import modality_of

# What comes in goes out: a DataArray, a node, or a recording.
Data = TypeVar("Data", xr.DataArray, xr.Dataset, xr.DataTree)
Nodes = TypeVar("Nodes", xr.Dataset, xr.DataTree)


def node_of(data: Any, modality: str) -> xr.Dataset:
    """The Dataset of one node, from a recording, a node of it, or the Dataset itself."""
    if isinstance(data, xr.Dataset):
        return data
    if not isinstance(data, xr.DataTree):
        raise RecordingError(f"a recording, or its node {modality!r}", f"a {type(data).__name__}", "pass one of them")
    if data.children:
        names = [name for name in data.children if modality_of(name) == modality]
        if not is_recording(data):
            several = [path for path, _ in recordings(data)]
            raise RecordingError(
                "one recording", f"a tree with {several or list(data.children)}", "pass one recording of it"
            )
        if len(names) != 1:
            raise RecordingError(
                f"a recording with one node {modality!r}",
                f"nodes {names or list(data.children)}",
                f"pass the node itself, e.g. rec[{(names or [modality])[0]!r}]",
            )
        data = data[names[0]]
    return data.to_dataset(inherit=False)


def on_nodes(data: Nodes, modality: str, change: Callable[[xr.Dataset], xr.Dataset]) -> Nodes:
    """`change` applied to every node of a modality in a recording, or to a single node; the type stays."""
    if isinstance(data, xr.Dataset):
        return change(data)
    if not isinstance(data, xr.DataTree):
        raise RecordingError(
            f"a DataArray, a node {modality!r}, or a recording", f"a {type(data).__name__}", "pass one of them"
        )
    if not data.children:
        return xr.DataTree(change(data.to_dataset(inherit=False)), name=data.name)
    if not is_recording(data):
        raise RecordingError(
            "one recording", f"a tree with {[path for path, _ in recordings(data)]}", "pass one recording of it"
        )
    names = [name for name in data.children if modality_of(name) == modality]
    if not names:
        raise RecordingError(f"a recording with a node {modality!r}", f"{list(data.children)}", "pass another one")
    nodes = {f"/{name}": node.to_dataset(inherit=False) for name, node in data.children.items()}
    nodes["/"] = data.to_dataset(inherit=False)
    for name in names:
        nodes[f"/{name}"] = change(nodes[f"/{name}"])
    return xr.DataTree.from_dict(nodes, name=data.name)


def only_array(data: Any, example: str) -> xr.DataArray:
    """`data` if it is a DataArray, else an error that shows how to get at one."""
    if not isinstance(data, xr.DataArray):
        raise RecordingError("a DataArray", f"a {type(data).__name__}", f"pass one of its variables, e.g. {example}")
    return data


def is_counts(data: xr.DataArray) -> bool:
    """Whether values are counts per bin: they add up and cannot be interpolated."""
    return "bin_width" in data.attrs or data.name == "counts" or data.dtype.kind in "iub"


def floating(data: xr.DataArray) -> xr.DataArray:
    """Integers as float64; float32 and float64 as they are."""
    return data if data.dtype.kind == "f" else data.astype(np.float64)


def along_time(function: Callable[..., np.ndarray], data: xr.DataArray, **settings: Any) -> xr.DataArray:
    """`function(array (..., time), **settings) -> array (..., time)` with dims, coords and attrs kept.

    Dask arrays stay lazy. They are rechunked so that each block spans all of time (and fewer channels), because what
    is computed here needs the neighbours of every sample.
    """
    if data.chunks is not None:
        data = data.chunk({dim: -1 if dim == "time" else "auto" for dim in data.dims})
    result = xr.apply_ufunc(
        function,
        data,
        input_core_dims=[["time"]],
        output_core_dims=[["time"]],
        kwargs=settings,
        dask="parallelized",
        output_dtypes=[data.dtype],
        keep_attrs=True,
    ).transpose(*data.dims)
    # apply_ufunc keeps coordinates but, for a coordinate without index, not always their order of attributes.
    return result.assign_coords(data.coords).assign_attrs(data.attrs).rename(data.name)


def logged(data: xr.DataArray, operation: str, **parameters: Any) -> xr.DataArray:
    """`data` with one more operation in its log."""
    return data.assign_attrs(with_operation(data.attrs, operation, **parameters))
