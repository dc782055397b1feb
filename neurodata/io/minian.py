"""minian results: a folder of Zarr arrays, one Zarr folder, or one NetCDF file. Tested on built files only."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata.containers import make_calcium, make_recording
from neurodata.errors import FormatError, MissingOptionError, RecordingError
from neurodata.io.registry import BY_CONTENT, NO, Reader

_WANTED = ("A", "C", "S", "YrA")
_UNIT, _FRAME = "unit_id", "frame"
# minian's writer makes one Zarr folder per array; the Miniscope software writes the times beside the videos.
_TIME_FILES = ("timeStamps.csv", "timestamps.csv")


def _zarr_arrays(path: Path) -> dict[str, Path]:
    """Zarr folders with minian's arrays, by array."""
    for folder in (path, path / "minian"):
        found = {name: folder / f"{name}.zarr" for name in _WANTED if (folder / f"{name}.zarr").is_dir()}
        if "C" in found:
            return found
    if all(_is_zarr_array(path / name) for name in ("A", "C", _UNIT)):
        return {name: path for name in _WANTED if _is_zarr_array(path / name)}
    return {}


def _is_zarr_array(folder: Path) -> bool:
    return (folder / ".zarray").is_file() or (folder / "zarr.json").is_file()


def detect(path: Path) -> int:
    """A folder with C.zarr in it whose array has minian's dims, or one Zarr folder with A, C and unit_id."""
    if not path.is_dir():
        return NO
    try:
        arrays = _zarr_arrays(path)
        return BY_CONTENT if arrays and (arrays["C"] == path or _has_units(arrays["C"])) else NO
    except (OSError, ValueError):
        return NO


def _has_units(folder: Path) -> bool:
    """Whether a Zarr folder holds unit_id, told from the folder alone."""
    return _is_zarr_array(folder / _UNIT)


def read(path: Path, *, sampling_rate: float | None = None) -> xr.DataTree:
    """Read the results of minian.

    Parameters
    ----------
    path : Path
        The folder that minian saved into (A.zarr, C.zarr, ...), its parent, one Zarr folder, or a NetCDF file (then
        name the reader: ``reader="minian"``).
    sampling_rate : float, optional
        Hz, of the frame numbers: frame `i` is at ``i / sampling_rate``, so frames left out stay gaps. Needed unless
        the Miniscope's timeStamps.csv lies in the folder or its parent.

    Returns
    -------
    DataTree
        `calcium` with `fluorescence` = YrA (minian's raw trace, the residual with C added back) or C when there is
        none, `denoised` = C, `deconvolved` = S, ids = unit_id, masks from the pixels of A that are not 0.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, xarray as xr, neurodata as nd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "minian.nc"
    >>> c = xr.DataArray(np.ones((2, 5)), {"unit_id": [3, 8], "frame": np.arange(5)}, ["unit_id", "frame"])
    >>> _ = xr.Dataset({"C": c}).to_netcdf(path, engine="h5netcdf")
    >>> nd.load(path, reader="minian", sampling_rate=20.0)["calcium"].roi.values.tolist()
    [3, 8]
    """
    arrays = _open(path)
    if "C" not in arrays or any(set(arrays[name].dims) != {_UNIT, _FRAME} for name in arrays if name != "A"):
        raise FormatError(
            f"minian's C (and S, YrA) with dims {_UNIT} and {_FRAME}",
            ", ".join(f"{name} {array.dims}" for name, array in arrays.items()) or "none of them",
            "check the path, or open the file with xarray",
        )
    traces = {name: arrays[name].transpose(_FRAME, _UNIT) for name in ("C", "S", "YrA") if name in arrays}
    unit, frame = traces["C"][_UNIT].values, traces["C"][_FRAME].values
    for name, array in traces.items():
        if not np.array_equal(array[_UNIT].values, unit) or not np.array_equal(array[_FRAME].values, frame):
            raise RecordingError(f"{name} with the units and frames of C", "others", "save the arrays of one run")
    given: dict[str, Any] = {"fluorescence": traces.get("YrA", traces["C"]).variable._data}
    if "S" in traces:
        given["deconvolved"] = traces["S"].variable._data
    node = make_calcium(**given, **_clock(path, frame, sampling_rate), roi=unit, masks=_masks(arrays.get("A"), unit))
    node["denoised"] = (("time", "roi"), traces["C"].variable._data, {"units": "a.u.", "long_name": "denoised (C)"})
    node = node.assign_coords(frame=("time", frame.astype(np.int64)))
    return make_recording(calcium=node)


def _open(path: Path) -> dict[str, xr.DataArray]:
    """The arrays, read when they are used."""
    try:
        if path.is_file():
            dataset = xr.open_dataset(path, engine="h5netcdf", decode_times=False)
            return {name: dataset[name] for name in _WANTED if name in dataset}
        folders = _zarr_arrays(path)
        if not folders:
            raise FormatError("minian's A.zarr, C.zarr, ...", f"none of them in {path.name}", "check the path")
        require("zarr", "zarr", "to read Zarr folders")
        opened = {
            name: xr.open_dataset(folder, engine="zarr", decode_times=False, chunks=None, consolidated=False)
            for name, folder in folders.items()
        }
        return {name: dataset[name] for name, dataset in opened.items() if name in dataset}
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(
            "complete Zarr folders or a NetCDF file of minian",
            f"{path.name}: {type(error).__name__}: {error}",
            "copy them again",
        ) from error


def _clock(path: Path, frame: np.ndarray, sampling_rate: float | None) -> dict[str, Any]:
    if sampling_rate is not None:
        if not np.isfinite(sampling_rate) or sampling_rate <= 0:
            raise RecordingError("a positive sampling rate in Hz", f"{sampling_rate!r}", "pass sampling_rate= in Hz")
        times = frame.astype(np.float64) / sampling_rate
        regular = frame.size < 2 or bool((np.diff(frame) == 1).all())
        return {"time": times, **({"sampling_rate": sampling_rate} if regular else {})}
    for folder in (path, path.parent):
        for name in _TIME_FILES:
            if folder.is_dir() and (folder / name).is_file():
                return {"time": _stamps(folder / name, frame)}
    raise MissingOptionError(
        "the times of the frames",
        f"no sampling rate, and no {_TIME_FILES[0]} in the folder",
        "pass sampling_rate= (Hz, of the frame numbers)",
    )


def _stamps(path: Path, frame: np.ndarray) -> np.ndarray:
    """Times of the frames from the Miniscope's table ("Frame Number", "Time Stamp (ms)")."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    try:
        stamps = {int(row["Frame Number"]): float(row["Time Stamp (ms)"]) * 1e-3 for row in rows}
        return np.array([stamps[int(number)] for number in frame])
    except (KeyError, ValueError, TypeError) as error:
        raise FormatError(
            f"{path.name} with 'Frame Number' and 'Time Stamp (ms)' for every frame",
            f"{type(error).__name__}: {error}",
            "pass sampling_rate= instead",
        ) from error


def _masks(footprints: xr.DataArray | None, unit: np.ndarray) -> list[tuple[Any, Any, Any]] | None:
    if footprints is None:
        return None
    if set(footprints.dims) != {_UNIT, "height", "width"} or not np.isin(unit, footprints[_UNIT].values).all():
        raise RecordingError(
            "A with dims unit_id, height, width and the units of C", f"{footprints.dims}", "save again"
        )
    row = {"height": footprints["height"].values, "width": footprints["width"].values}
    masks = []
    for name in unit:
        image = footprints.sel({_UNIT: name}).transpose("height", "width").values
        rows, columns = np.nonzero(image)
        masks.append((row["height"][rows], row["width"][columns], image[rows, columns]))
    return masks


READER = Reader(
    name="minian",
    formats="minian Zarr folders (NetCDF with reader='minian')",
    modalities=("calcium",),
    suffixes=(),
    detect=detect,
    read=read,
)
