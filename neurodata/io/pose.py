"""Tracked poses through movement: DeepLabCut, SLEAP, LightningPose, Anipose; and movement's own datasets both ways."""

from __future__ import annotations

import csv
import pickletools
import warnings
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata._core.optional import require
from neurodata.containers import make_behaviour, make_recording
from neurodata.errors import (
    FormatError,
    MissingOptionError,
    NeurodataError,
    NeurodataWarning,
    OptionError,
    RecordingError,
    UntrustedDataError,
)
from neurodata.io._movement import load_poses, quiet
from neurodata.io.registry import BY_CONTENT, HDF5_MAGIC, NO, Reader, has_suffix, starts_with

_SUFFIXES = (".h5", ".csv", ".slp")
# movement's dims are plural; ours are singular, as everywhere else here.
# movement's names of dims before it made them singular, and the first version that did.
_DIMS = {"keypoints": "keypoint", "individuals": "individual"}
_SINGULAR_FROM = (0, 17)
_LEVELS = ("scorer", "individuals", "bodyparts", "coords")
_DLC_KEY = "df_with_missing"
# Pickle instructions that call something: plain lists, dicts and texts need none of them.
_CALLS = {"GLOBAL", "STACK_GLOBAL", "REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD", "EXT1", "EXT2", "EXT4"}


def _kind(path: Path) -> str:
    """Which software's file it is, told from the content; "" when none."""
    if has_suffix(path, (".csv",)):
        return _csv_kind(path)
    if not starts_with(path, HDF5_MAGIC):
        return ""
    import h5py

    with h5py.File(path, "r") as file:
        if has_suffix(path, (".slp",)):
            return "SLEAP labels" if {"metadata", "frames", "instances"} <= set(file) else ""
        if has_suffix(path, (".h5",)):
            if _DLC_KEY in file:
                return "DeepLabCut"
            return "SLEAP" if {"tracks", "track_names", "node_names"} <= set(file) else ""
    return ""


def _csv_kind(path: Path) -> str:
    with open(path, newline="", encoding="utf-8") as file:
        head = [line for _, line in zip(range(3), csv.reader(file), strict=False)]
    first = [line[0] if line else "" for line in head]
    if len(head) == 3 and first[0] == "scorer" and first[1] in ("bodyparts", "individuals"):
        return "DeepLabCut"
    if head and {"fnum", "M_00", "M_22", "center_0"} <= set(head[0]):
        return "Anipose"
    return ""


def detect(path: Path) -> int:
    """By content alone: the suffixes are everybody's."""
    if not path.is_file() or not has_suffix(path, _SUFFIXES):
        return NO
    try:
        return BY_CONTENT if _kind(path) else NO
    except (OSError, ValueError, RuntimeError, KeyError, csv.Error):
        return NO


def read(
    path: Path,
    *,
    sampling_rate: float | None = None,
    position_unit: str | None = None,
    individual: str = "individual_0",
    source_software: str | None = None,
    allow_pickle: bool = False,
) -> xr.DataTree:
    """Read a file of tracked poses.

    Parameters
    ----------
    path : Path
        DeepLabCut .h5 or .csv, SLEAP .slp or analysis .h5, LightningPose .csv, Anipose .csv.
    sampling_rate : float
        Frames of the video per second, Hz: no format holds it.
    position_unit : str, optional
        Default px; for three dimensions it must be stated.
    individual : str
        Name of the animal in files that name none.
    source_software : str, optional
        "LightningPose" for its .csv, which looks like DeepLabCut's.
    allow_pickle : bool
        DeepLabCut .h5 files hold small pickled texts. Those that would call anything are refused without this.

    Returns
    -------
    DataTree
        `behaviour` with `position` (time, space, keypoint, individual) and `confidence`. Time is the frame number of
        the file over the rate.

    Notes
    -----
    Real files at hand were DeepLabCut's; SLEAP, LightningPose and Anipose were checked on files built to their layout.

    Examples
    --------
    >>> import tempfile, pathlib, neurodata as nd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "video.csv"
    >>> lines = ["scorer,a,a,a", "bodyparts,nose,nose,nose", "coords,x,y,likelihood", "0,1,2,0.9", "1,3,4,0.8"]
    >>> _ = path.write_text(chr(10).join(lines))
    >>> nd.load(path, sampling_rate=2.0)["behaviour"]["position"].sel(space="x").values.ravel().tolist()
    [1.0, 3.0]
    """
    kind = _checked_kind(path)
    if source_software not in (None, "LightningPose", "DeepLabCut"):
        raise OptionError("source_software 'LightningPose' or 'DeepLabCut'", repr(source_software), "correct it")
    if sampling_rate is None:
        raise MissingOptionError(
            "the frames per second of the video", f"none in {path.name}", "pass sampling_rate= (Hz)"
        )
    if not np.isfinite(sampling_rate) or sampling_rate <= 0:
        raise OptionError("a positive sampling rate in Hz", f"{sampling_rate!r}", "pass sampling_rate= in Hz")
    try:
        dataset, frame = _dataset(path, kind, individual, allow_pickle)
    except NeurodataError:
        raise
    # movement and pandas report a file that is damaged or of another layout through any of these.
    except (ValueError, OSError, KeyError, IndexError, TypeError, AttributeError, RuntimeError) as error:
        raise FormatError(
            f"a complete {kind} file", f"{path.name}: {type(error).__name__}: {error}", "export it again"
        ) from error
    recording = _recording(dataset, frame, sampling_rate, position_unit)
    recording.attrs["source_format"] = source_software or kind
    return recording


def _checked_kind(path: Path) -> str:
    try:
        kind = _kind(path) if path.is_file() else ""
    except (OSError, ValueError, RuntimeError, KeyError, csv.Error) as error:
        raise FormatError("a complete file of tracked poses", f"{path.name}: {error}", "export it again") from error
    if not kind:
        raise FormatError("a file of DeepLabCut, SLEAP, LightningPose or Anipose", path.name, "choose another reader=")
    return kind


def _dataset(path: Path, kind: str, individual: str, allow_pickle: bool) -> tuple[xr.Dataset, np.ndarray | None]:
    """The dataset of movement, and the frame numbers where the file has them."""
    with warnings.catch_warnings():
        # movement's dependencies (sleap-io, PyTables, attrs) warn of their own deprecations when they are imported.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        loaders = load_poses()
        with quiet():
            if kind == "DeepLabCut":
                frame = _dlc_csv(path) if has_suffix(path, (".csv",)) else _dlc_hdf5(path, allow_pickle)
                table = _complete(frame)
                dataset = loaders.from_dlc_style_df(table)
                if "individuals" not in table.columns.names:
                    dataset = dataset.assign_coords({_their_names()["individual"]: [individual]})
                return dataset, table.index.to_numpy()
            if kind == "Anipose":
                return loaders.from_anipose_file(path, individual_name=individual), _anipose_frames(path)
            if kind == "SLEAP labels":
                _warn_of_further_videos(path)
            return loaders.from_sleap_file(path), None


def _their_names() -> dict[str, str]:
    """Our name of a dim to that of the installed movement (of a current one, where none is installed)."""
    try:
        major, minor = (int(part) for part in metadata.version("movement").split(".")[:2])
    except metadata.PackageNotFoundError:
        major, minor = _SINGULAR_FROM
    return {ours: ours if (major, minor) >= _SINGULAR_FROM else theirs for theirs, ours in _DIMS.items()}


def _dlc_csv(path: Path) -> pd.DataFrame:
    with open(path, newline="", encoding="utf-8") as file:
        levels = [line[0] for _, line in zip(range(4), csv.reader(file), strict=False)]
    names = [name for name in levels if name in _LEVELS]
    # Not index_col=0: pandas takes a first row of empty cells for the name of the index.
    frame = pd.read_csv(path, header=list(range(len(names))))
    frame = frame.set_index(frame.columns[0])
    frame.index.name = None
    frame.columns = pd.MultiIndex.from_arrays(
        [frame.columns.get_level_values(number) for number in range(len(names))], names=names
    )
    return frame


def _dlc_hdf5(path: Path, allow_pickle: bool) -> pd.DataFrame:
    if not allow_pickle:
        _refuse_calls(path)
    require("tables", "pose", "to read DeepLabCut .h5 files")
    return pd.DataFrame(pd.read_hdf(path, key=_DLC_KEY))


def _refuse_calls(path: Path) -> None:
    """PyTables unpickles attributes that end like a pickle, and arrays of objects: look at them before it does."""
    import h5py

    found: list[str] = []

    def look(name: str, item: Any) -> None:
        for key, value in item.attrs.items():
            value = value.encode("latin-1", "replace") if isinstance(value, str) else value
            if isinstance(value, bytes) and (value == b"object" or (value.endswith(b".") and _calls(bytes(value)))):
                found.append(f"{name or '/'}.{key}")

    with h5py.File(path, "r") as file:
        look("", file)
        file.visititems(look)
    if found:
        raise UntrustedDataError(
            "plain texts in the attributes",
            f"pickled objects in {', '.join(found[:3])}: reading them would run what the file holds",
            "pass allow_pickle=True if you trust where the file came from",
        )


def _calls(value: bytes) -> bool:
    """Whether unpickling would get as far as an instruction that calls something."""
    try:
        return any(code.name in _CALLS for code, _, _ in pickletools.genops(value))
    # Text that only ends like a pickle: unpickling stops here too, and called nothing before.
    except (ValueError, IndexError):
        return False


def _complete(frame: pd.DataFrame) -> pd.DataFrame:
    """Every keypoint for every individual, NaN where the file has none (`single` bodyparts of DeepLabCut)."""
    names = [str(name) for name in frame.columns.names]
    if names[0] != "scorer" or "bodyparts" not in names or "coords" not in names:
        raise FormatError(f"column levels {', '.join(_LEVELS)}", f"{names}", "export it again")
    scorers = frame.columns.get_level_values("scorer").unique()
    if len(scorers) > 1 or frame.columns.has_duplicates:
        raise RecordingError("one scorer and each column once", f"scorers {list(scorers)}", "split the file")
    levels = [list(dict.fromkeys(frame.columns.get_level_values(name))) for name in names]
    full = pd.MultiIndex.from_product(levels, names=names)
    frame = frame if frame.columns.equals(full) else frame.reindex(columns=full)
    if not all(pd.api.types.is_numeric_dtype(dtype) for dtype in frame.dtypes):
        raise FormatError("numbers in every cell", "text", "export it again")
    if not pd.api.types.is_integer_dtype(frame.index.dtype):
        raise FormatError(
            "frame numbers as the row index", f"{frame.index[:2].tolist()}", "give predictions, not labelled frames"
        )
    return frame


def _anipose_frames(path: Path) -> np.ndarray:
    return pd.read_csv(path, usecols=["fnum"])["fnum"].to_numpy()


def _warn_of_further_videos(path: Path) -> None:
    import h5py

    with h5py.File(path, "r") as file:
        n_videos = file["videos_json"].size if "videos_json" in file else 1
    if n_videos > 1:
        warnings.warn(
            f"{path.name} holds {n_videos} videos; the poses of the first were read", NeurodataWarning, stacklevel=2
        )


def from_movement(dataset: xr.Dataset, *, position_unit: str | None = None) -> xr.DataTree:
    """A recording from a poses dataset of movement.

    Parameters
    ----------
    dataset : Dataset
        `position` (time, space, keypoints, individuals), perhaps `confidence`; time in s, so with `fps`.
    position_unit : str, optional
        Default px; for three dimensions it must be stated.

    Returns
    -------
    DataTree
        With `behaviour`. The dims are singular here; the source file's folder is left out.

    Raises
    ------
    MissingOptionError
        When time is in frames: movement was given no fps.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurodata.io import from_movement
    >>> dims = ("time", "space", "keypoints", "individuals")
    >>> coords = {"time": [0.0, 0.5], "space": ["x", "y"], "keypoints": ["nose"], "individuals": ["mouse"]}
    >>> poses = xr.Dataset({"position": (dims, np.ones((2, 2, 1, 1)))}, coords, {"time_unit": "seconds", "fps": 2.0})
    >>> from_movement(poses)["behaviour"]["position"].dims
    ('time', 'space', 'keypoint', 'individual')
    """
    if dataset.attrs.get("time_unit") != "seconds":
        raise MissingOptionError(
            "times in seconds", f"time_unit {dataset.attrs.get('time_unit')!r}", "load it into movement with fps="
        )
    return _recording(dataset, None, None, position_unit)


def to_movement(recording: xr.DataTree) -> xr.Dataset:
    """The tracked positions of a recording as a poses dataset of movement.

    Parameters
    ----------
    recording : DataTree
        With `behaviour` that has `position`.

    Returns
    -------
    Dataset
        `position` (time, space, keypoints, individuals) and `confidence` (NaN where the recording has none), attrs
        as movement writes them. From movement 0.17 on the dims are keypoint and individual; the installed version
        decides. Does not need movement.

    Examples
    --------
    >>> import numpy as np, neurodata as nd
    >>> from neurodata.io import to_movement
    >>> place = nd.make_behaviour(position=np.ones((3, 2, 1, 1)), keypoint=["nose"], sampling_rate=10.0)
    >>> to_movement(nd.make_recording(behaviour=place))["position"].shape
    (3, 2, 1, 1)
    """
    node = next(
        (child for name, child in recording.children.items() if name.startswith("behaviour") and "position" in child),
        None,
    )
    if node is None:
        raise RecordingError("a recording with positions", f"nodes {list(recording.children)}", "load poses first")
    kept = node.to_dataset(inherit=False)
    names = [name for name in ("position", "confidence") if name in kept]
    poses = kept[names].drop_vars([name for name in kept.coords if name not in kept[names].dims], errors="ignore")
    names_there = _their_names()
    poses = poses.rename({ours: theirs for ours, theirs in names_there.items() if ours != theirs})
    if "confidence" not in poses:
        poses["confidence"] = xr.full_like(poses["position"].isel(space=0, drop=True), np.nan)
    for name in names_there.values():
        poses[name] = poses[name].astype(str)
    attrs: dict[str, Any] = {
        "ds_type": "poses",
        "time_unit": "seconds",
        "source_software": str(recording.attrs.get("source_format", "")) or "neurodata",
    }
    if "sampling_rate" in kept.attrs:
        attrs["fps"] = float(kept.attrs["sampling_rate"])
    return poses.assign_attrs(attrs)


def _recording(
    dataset: xr.Dataset, frame: np.ndarray | None, sampling_rate: float | None, position_unit: str | None
) -> xr.DataTree:
    names = {theirs: ours for theirs, ours in _DIMS.items() if theirs in dataset.dims}
    poses = dataset.rename(names)
    if "position" not in poses or set(poses["position"].dims) != {"time", "space", "keypoint", "individual"}:
        raise RecordingError(
            "position with dims time, space, keypoints, individuals",
            f"{ {str(name): item.dims for name, item in dataset.data_vars.items()} }",
            "pass a poses dataset of movement",
        )
    if position_unit is None:
        if poses.sizes["space"] > 2:
            raise MissingOptionError("the unit of positions in three dimensions", "none", "pass position_unit=")
        position_unit = "px"
    clock: dict[str, Any]
    if frame is not None and sampling_rate is not None:
        regular = np.array_equal(frame, np.arange(frame.size))
        clock = {"sampling_rate": sampling_rate} if regular else {"time": frame / sampling_rate}
    elif sampling_rate is not None:
        clock = {"sampling_rate": sampling_rate}
    else:
        clock = {"time": poses["time"].values}
        fps = dataset.attrs.get("fps")
        if fps is not None and np.allclose(clock["time"], np.arange(poses.sizes["time"]) / float(fps)):
            clock["sampling_rate"] = float(fps)
    given: dict[str, Any] = {
        "position": poses["position"].transpose("time", "space", "keypoint", "individual").values,
        "position_unit": position_unit,
    }
    if "confidence" in poses:
        given["confidence"] = poses["confidence"].transpose("time", "keypoint", "individual").values
    labels: dict[str, Any] = {name: poses[name].values.astype(str) for name in ("space", "keypoint", "individual")}
    attrs: dict[str, Any] = {}
    if dataset.attrs.get("source_file"):
        # movement notes the absolute path, which says where on whose machine the file lay.
        attrs["source_file"] = Path(str(dataset.attrs["source_file"])).name
    if dataset.attrs.get("source_software"):
        attrs["source_format"] = str(dataset.attrs["source_software"])
    node = make_behaviour(**given, **labels, **clock)
    return make_recording(behaviour=node, attrs=attrs)


READER = Reader(
    name="pose",
    formats="DeepLabCut, SLEAP, LightningPose, Anipose",
    modalities=("behaviour",),
    suffixes=_SUFFIXES,
    detect=detect,
    read=read,
    extra="pose",
    packages=("movement", "tables"),
)
