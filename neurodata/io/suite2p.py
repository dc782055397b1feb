"""suite2p output folders: one plane, many planes, `combined`, or a flat folder."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers import make_calcium, make_recording
from neurodata.errors import FormatError, MissingOptionError, RecordingError
from neurodata.io._npy import read_npy
from neurodata.io.registry import BY_CONTENT, NO, Reader, all_readers, has_suffix

# File of suite2p -> variable. The second channel's traces keep suite2p's name: the schema knows one fluorescence.
_TRACES = {
    "F.npy": "fluorescence",
    "Fneu.npy": "neuropil",
    "spks.npy": "deconvolved",
    "F_chan2.npy": "fluorescence_chan2",
    "Fneu_chan2.npy": "neuropil_chan2",
}
# Per-ROI numbers of stat.npy that become coordinates under the same name, where every ROI has them.
_STAT_SCALARS = ("npix", "radius", "aspect_ratio", "compact", "footprint", "skew", "std")
_PLANE = re.compile(r"plane(\d+)")
_OBJECT_FILES = ("ops.npy", "settings.npy", "stat.npy")


def _is_plane(folder: Path) -> bool:
    """Traces with at least one of the files that suite2p writes beside them."""
    return any((folder / name).is_file() for name in ("F.npy", "spks.npy")) and any(
        (folder / name).is_file() for name in ("iscell.npy", "stat.npy", "Fneu.npy")
    )


def _planes(path: Path) -> list[Path]:
    """Plane folders of a suite2p folder, in the order of their number; `combined` only when there are none."""
    for folder in (path, path / "suite2p"):
        if _is_plane(folder):
            return [folder]
        if not folder.is_dir():
            continue
        planes = [item for item in folder.iterdir() if _PLANE.fullmatch(item.name) and _is_plane(item)]
        if planes:
            return sorted(planes, key=_plane_number)
        if _is_plane(folder / "combined"):
            return [folder / "combined"]
    return []


def _plane_number(folder: Path) -> int:
    match = _PLANE.fullmatch(folder.name)
    return int(match.group(1)) if match else -1


def detect(path: Path) -> int:
    """A folder with planes; a parent of `suite2p/` only when it holds no other recording, which would be lost."""
    if not path.is_dir():
        return NO
    try:
        planes = _planes(path)
        if not planes:
            return NO
        if planes[0] != path and planes[0].parent != path:
            others = [item for item in path.iterdir() if item.name != "suite2p" and not item.name.startswith(".")]
            taken = tuple({suffix for reader in all_readers().values() for suffix in reader.suffixes})
            if any(item.is_dir() or has_suffix(item, taken) for item in others):
                return NO
    except OSError:
        return NO
    return BY_CONTENT


def read(path: Path, *, sampling_rate: float | None = None, allow_pickle: bool = False) -> xr.DataTree:
    """Read a suite2p folder.

    Parameters
    ----------
    path : Path
        The folder that holds `suite2p/`, `suite2p/` itself, one plane folder, or a folder with F.npy in it.
    sampling_rate : float, optional
        Frames per second of each plane, Hz. Needed unless ``allow_pickle=True`` and ops.npy says it; what is stated
        here counts.
    allow_pickle : bool
        stat.npy and ops.npy are pickled objects: reading them runs what they hold. Without it the masks, the
        positions and the rate are left out, and the root's metadata says so.

    Returns
    -------
    DataTree
        `calcium` with `fluorescence`, `neuropil`, `deconvolved` (float32, memory-mapped), is_cell, cell_probability.
        ROI ids are suite2p's rows; with many planes they are texts such as "plane0_12", with `plane` and `roi_index`.
        Planes with different numbers of frames become `calcium`, `calcium_2`, ...: nothing is trimmed.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, neurodata as nd
    >>> plane = pathlib.Path(tempfile.mkdtemp()) / "suite2p" / "plane0"
    >>> plane.mkdir(parents=True)
    >>> for name in ("F", "Fneu", "spks"):
    ...     np.save(plane / f"{name}.npy", np.zeros((3, 100), dtype=np.float32))
    >>> nd.load(plane.parent, sampling_rate=30.0)["calcium"]["fluorescence"].shape
    (100, 3)
    """
    folders = _planes(path) if path.is_dir() else []
    if not folders:
        raise FormatError(
            "a suite2p folder (F.npy or spks.npy with iscell.npy, stat.npy or Fneu.npy beside it)",
            f"{path.name}, which is none",
            "check the path, or choose another reader=",
        )
    planes = [_read_plane(folder, allow_pickle) for folder in folders]
    nodes: dict[str, xr.Dataset] = {}
    if len(planes) == 1:
        nodes["calcium"] = _node(planes[0], sampling_rate, None)
    elif len({plane["n_frames"] for plane in planes}) == 1 and len({tuple(plane["traces"]) for plane in planes}) == 1:
        nodes["calcium"] = _node(_joined(planes), sampling_rate, [plane["number"] for plane in planes])
    else:
        for number, plane in enumerate(planes, start=1):
            _name_rois(plane)
            nodes["calcium" if number == 1 else f"calcium_{number}"] = _node(plane, sampling_rate, None)
    left_out = sorted(
        {
            f"{folder.name}/{name}"
            for folder in folders
            for name in _OBJECT_FILES
            if (folder / name).is_file() and not allow_pickle
        }
    )
    if folders[0].name != "combined" and _is_plane(folders[0].parent / "combined"):
        left_out.append("combined")
    return make_recording(nodes, attrs={"left_out": left_out} if left_out else {})


def _read_plane(folder: Path, allow_pickle: bool) -> dict[str, Any]:
    """What one plane folder holds: traces (roi, frame) still in their files, coordinates, masks, rate."""
    arrays = {
        variable: read_npy(folder / name, mmap=True) for name, variable in _TRACES.items() if (folder / name).is_file()
    }
    shapes = {name: arrays[variable].shape for name, variable in _TRACES.items() if variable in arrays}
    if any(len(shape) != 2 for shape in shapes.values()) or len(set(shapes.values())) != 1:
        raise RecordingError(
            f"F.npy, Fneu.npy and spks.npy of {folder.name} with the same ROIs and frames (roi, frame)",
            ", ".join(f"{name} {shape}" for name, shape in shapes.items()),
            "take all of them from one run of suite2p",
        )
    n_rois, n_frames = next(iter(shapes.values()))
    coords: dict[str, Any] = {}
    for name, flag, probability in (
        ("iscell.npy", "is_cell", "cell_probability"),
        ("redcell.npy", "is_red", "red_probability"),
    ):
        if (folder / name).is_file():
            table = read_npy(folder / name)
            if table.shape != (n_rois, 2):
                raise RecordingError(f"{name} of shape ({n_rois}, 2)", f"{table.shape}", "take it from the same run")
            coords |= {flag: table[:, 0].astype(bool), probability: table[:, 1]}
    masks, rate = None, None
    if allow_pickle:
        rate = _rate(folder)
        if (folder / "stat.npy").is_file():
            stat_coords, masks = _stat(folder, n_rois)
            coords |= stat_coords
    number = _plane_number(folder)
    if number >= 0:
        coords.setdefault("plane", np.full(n_rois, number))
    return {
        "number": number,
        "traces": arrays,
        "n_frames": n_frames,
        "n_rois": n_rois,
        "roi": None,
        "coords": coords,
        "masks": masks,
        "rate": rate,
    }


def _rate(folder: Path) -> float | None:
    """Frames per second per plane: `fs` of ops.npy, or of settings.npy, which suite2p 1.x writes."""
    for name in ("ops.npy", "settings.npy"):
        if (folder / name).is_file():
            settings = read_npy(folder / name, allow_pickle=True)
            settings = settings.item() if settings.ndim == 0 else settings
            if not isinstance(settings, Mapping):
                raise FormatError(f"{name} to hold a dict", f"a {type(settings).__name__}", "run suite2p again")
            if settings.get("fs") is not None:
                return float(settings["fs"])
    return None


def _stat(folder: Path, n_rois: int) -> tuple[dict[str, Any], list[tuple[Any, Any, Any]]]:
    stat = read_npy(folder / "stat.npy", allow_pickle=True)
    if stat.shape != (n_rois,) or not all(isinstance(item, Mapping) for item in stat):
        raise FormatError(
            f"stat.npy with one dict per ROI, {n_rois}", f"shape {stat.shape}", "take it from the same run of suite2p"
        )
    if not all({"ypix", "xpix", "lam", "med"} <= set(item) for item in stat):
        raise FormatError("ypix, xpix, lam and med of each ROI in stat.npy", "some lack them", "run suite2p again")
    coords: dict[str, Any] = {}
    for axis, name in enumerate(("y", "x")):
        values = np.array([item["med"][axis] for item in stat], dtype=np.float64)
        coords[name] = xr.Variable("roi", values, {"units": "px"})
    for name in _STAT_SCALARS:
        if all(np.ndim(item.get(name)) == 0 and item.get(name) is not None for item in stat):
            coords[name] = np.array([item[name] for item in stat], dtype=np.float64)
    if all("iplane" in item for item in stat):
        coords["plane"] = np.array([int(item["iplane"]) for item in stat])
    return coords, [(item["ypix"], item["xpix"], item["lam"]) for item in stat]


def _name_rois(plane: dict[str, Any]) -> None:
    """Ids that say the plane: rows alone come once per plane."""
    plane["roi"] = [f"plane{plane['number']}_{row}" for row in range(plane["n_rois"])]
    plane["coords"]["roi_index"] = np.arange(plane["n_rois"])


def _joined(planes: list[dict[str, Any]]) -> dict[str, Any]:
    """Planes of equal length side by side (read into memory: they lie in different files)."""
    for plane in planes:
        _name_rois(plane)
    shared = set.intersection(*(set(plane["coords"]) for plane in planes))
    rates = {plane["rate"] for plane in planes}
    if len(rates) > 1:
        raise RecordingError("planes of one rate", f"{sorted(map(str, rates))}", "pass sampling_rate=")
    coords = {}
    for name in planes[0]["coords"]:
        if name in shared:
            parts = [plane["coords"][name] for plane in planes]
            joined = np.concatenate([np.asarray(part) for part in parts])
            coords[name] = xr.Variable("roi", joined, parts[0].attrs) if isinstance(parts[0], xr.Variable) else joined
    has_masks = all(plane["masks"] is not None for plane in planes)
    return {
        "traces": {name: np.concatenate([plane["traces"][name] for plane in planes]) for name in planes[0]["traces"]},
        "roi": sum((plane["roi"] for plane in planes), []),
        "coords": coords,
        "masks": sum((plane["masks"] for plane in planes), []) if has_masks else None,
        "rate": rates.pop(),
    }


def _node(plane: dict[str, Any], sampling_rate: float | None, planes: list[int] | None) -> xr.Dataset:
    rate = sampling_rate if sampling_rate is not None else plane["rate"]
    if rate is None:
        raise MissingOptionError(
            "the frames per second of each plane",
            "none: ops.npy, which may hold it, is missing or is a pickled object that was not read",
            "pass sampling_rate= (Hz), or allow_pickle=True if you trust the folder",
        )
    traces = {name: array.T for name, array in plane["traces"].items()}
    extra = {name: traces.pop(name) for name in ("fluorescence_chan2", "neuropil_chan2") if name in traces}
    attrs: dict[str, Any] = {}
    if plane["rate"] is not None and plane["rate"] != rate:
        attrs["ops_fs"] = plane["rate"]
    if planes is not None:
        attrs["planes"] = planes
    node = make_calcium(
        **traces, sampling_rate=rate, roi=plane["roi"], masks=plane["masks"], attrs=attrs, **plane["coords"]
    )
    for name, array in extra.items():
        node[name] = (("time", "roi"), array, {"units": "a.u.", "long_name": name})
    return node


READER = Reader(
    name="suite2p",
    formats="suite2p folders",
    modalities=("calcium",),
    suffixes=(),
    detect=detect,
    read=read,
)
