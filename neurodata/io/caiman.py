"""CaImAn results in HDF5 (`cnmf.save`). No real file was at hand: the layout is that of CaImAn's own writer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers import make_calcium, make_recording
from neurodata.errors import FormatError, MissingOptionError, RecordingError
from neurodata.io.hdf5 import lazy_dataset, plain, with_hdf5
from neurodata.io.registry import BY_CONTENT, HDF5_MAGIC, NO, Reader, has_suffix, starts_with

_SUFFIXES = (".hdf5", ".h5")
# One value per component -> coordinate.
_QUALITY = {"SNR_comp": "snr", "r_values": "spatial_correlation", "cnn_preds": "cnn_probability"}


def detect(path: Path) -> int:
    """HDF5 with estimates/C in it."""
    if not path.is_file() or not has_suffix(path, _SUFFIXES) or not starts_with(path, HDF5_MAGIC):
        return NO
    import h5py

    try:
        with h5py.File(path, "r") as file:
            return BY_CONTENT if "estimates/C" in file else NO
    except (OSError, RuntimeError, KeyError, ValueError):
        return NO


def read(path: Path, *, sampling_rate: float | None = None) -> xr.DataTree:
    """Read the results of CaImAn.

    Parameters
    ----------
    path : Path
        The .hdf5 file that CaImAn's `cnmf.save` wrote.
    sampling_rate : float, optional
        Hz; default params/data/fr of the file.

    Returns
    -------
    DataTree
        `calcium` with `denoised` = C, `fluorescence` = C + YrA (the denoised trace and its residual; only when the
        file has YrA, else C), `dff` = F_dff and `deconvolved` = S, those that exist; ids are CaImAn's rows. `is_cell`
        is membership in idx_components, where components were evaluated. Masks are the columns of A.

    Notes
    -----
    The layout was checked on files built to it, not on a file of CaImAn itself.

    Examples
    --------
    >>> import h5py, tempfile, pathlib, numpy as np, neurodata as nd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "results.hdf5"
    >>> with h5py.File(path, "w") as file:
    ...     file["estimates/C"] = np.ones((2, 50))
    ...     file["params/data/fr"] = 20.0
    >>> dict(nd.load(path)["calcium"].sizes)
    {'time': 50, 'roi': 2}
    """
    return with_hdf5(path, lambda file: _recording(file, path, sampling_rate))


def _recording(file: Any, path: Path, sampling_rate: float | None) -> xr.DataTree:
    if "estimates/C" not in file:
        raise FormatError(
            "a CaImAn file with estimates/C", f"{path.name} without it", "pass reader='hdf5' and mapping="
        )
    estimates = file["estimates"]
    arrays = {name: estimates[name] for name in ("C", "S", "F_dff", "YrA") if _is_array(estimates, name)}
    shapes = {name: dataset.shape for name, dataset in arrays.items()}
    if "C" not in arrays or len(set(shapes.values())) != 1 or len(shapes["C"]) != 2:
        raise RecordingError(
            "C, S, F_dff and YrA with the same components and frames (component, frame)",
            ", ".join(f"{name} {shape}" for name, shape in shapes.items()),
            "save the estimates of one run",
        )
    rate = sampling_rate if sampling_rate is not None else _frame_rate(file)
    if rate is None:
        raise MissingOptionError("the frame rate", "no params/data/fr in the file", "pass sampling_rate= (Hz)")
    n_rois = shapes["C"][0]
    traces: dict[str, Any] = {}
    if "YrA" in arrays:
        traces["fluorescence"] = (plain(arrays["C"][()]) + plain(arrays["YrA"][()])).T
    else:
        traces["fluorescence"] = lazy_dataset(arrays["C"], transpose=True)
    for variable, name in (("dff", "F_dff"), ("deconvolved", "S")):
        if name in arrays:
            traces[variable] = lazy_dataset(arrays[name], transpose=True)
    coords: dict[str, Any] = {
        coord: np.asarray(estimates[name][()], dtype=np.float64).reshape(-1)
        for name, coord in _QUALITY.items()
        if _is_array(estimates, name) and estimates[name].size == n_rois
    }
    if _is_array(estimates, "idx_components"):
        accepted = np.asarray(estimates["idx_components"][()]).reshape(-1).astype(np.int64)
        if accepted.size and (accepted.min() < 0 or accepted.max() >= n_rois):
            raise RecordingError(f"idx_components from 0 to {n_rois - 1}", f"up to {accepted.max()}", "save again")
        coords["is_cell"] = np.isin(np.arange(n_rois), accepted)
    node = make_calcium(**traces, sampling_rate=rate, masks=_masks(file, n_rois), **coords)
    denoised = lazy_dataset(arrays["C"], transpose=True)
    node["denoised"] = (("time", "roi"), denoised, {"units": "a.u.", "long_name": "denoised fluorescence (C)"})
    return make_recording(calcium=node)


def _is_array(group: Any, name: str) -> bool:
    """A dataset of numbers; CaImAn writes the text "NoneType" where there is nothing."""
    item = group.get(name)
    return item is not None and hasattr(item, "shape") and item.ndim > 0 and item.dtype.kind in "iufb"


def _frame_rate(file: Any) -> float | None:
    params = file.get("params")
    if params is None:
        return None
    if hasattr(params, "keys"):
        rate = file.get("params/data/fr")
        return None if rate is None or rate.dtype.kind not in "iuf" else float(rate[()])
    try:
        stored = params[()]
        return float(json.loads(stored)["data"]["fr"])
    except (ValueError, KeyError, TypeError):
        return None


def _masks(file: Any, n_rois: int) -> list[tuple[Any, Any, Any]] | None:
    """Pixels of each component from the sparse columns of A; pixels are numbered down the columns of the image."""
    group, dims = file.get("estimates/A"), file.get("dims", file.get("estimates/dims"))
    if group is None or dims is None or not hasattr(group, "keys") or dims.dtype.kind not in "iu" or dims.size != 2:
        return None
    height, width = (int(size) for size in dims[()])
    data, indices, indptr = (np.asarray(group[name][()]) for name in ("data", "indices", "indptr"))
    if indptr.size != n_rois + 1 or (indices.size and indices.max() >= height * width):
        raise RecordingError(
            f"A with {n_rois} columns of {height * width} pixels",
            f"{indptr.size - 1} columns, pixels up to {indices.max(initial=0)}",
            "save the estimates again",
        )
    masks = []
    for first, last in zip(indptr[:-1], indptr[1:], strict=True):
        pixel = indices[first:last].astype(np.int64)
        masks.append((pixel % height, pixel // height, data[first:last]))
    return masks


READER = Reader(
    name="caiman",
    formats="CaImAn HDF5",
    modalities=("calcium",),
    suffixes=_SUFFIXES,
    detect=detect,
    read=read,
)
