"""Folders that SpikeInterface saved: sortings (numpy_folder, npz_folder, zarr) and sorting analyzers (folder, zarr).

They are read by their layout, not through SpikeInterface, which would unpickle what lies beside the spikes (the
provenance, the recording of an analyzer, object properties) and import the classes that a JSON file names.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata.containers import make_recording
from neurodata.errors import FormatError, RecordingError, UntrustedDataError
from neurodata.io._cluster_tables import read_text_table, typed_column
from neurodata.io._npy import read_npy
from neurodata.io._segments import Segment, choose_segments, join_segments, property_coords
from neurodata.io.registry import BY_CONTENT, NO, Reader


@dataclass
class _Sorting:
    """What a folder holds."""

    unit_ids: np.ndarray
    sampling_rate: float
    sample: list[np.ndarray]  # one array per segment
    row: list[np.ndarray]
    properties: dict[str, np.ndarray] = field(default_factory=dict)
    annotations: dict[str, Any] = field(default_factory=dict)
    n_samples: list[int] | None = None


def detect(path: Path) -> int:
    """A folder with the files that `sorting.save` or a sorting analyzer writes."""
    return NO if _kind(path) is None else BY_CONTENT


def _kind(path: Path) -> Callable[[Path, bool], _Sorting] | None:
    """What reads the folder."""
    try:
        if not path.is_dir():
            return None
        if (path / "numpysorting_info.json").is_file() and (path / "spikes.npy").is_file():
            return _read_numpy_folder
        if (path / "sorting_cached.npz").is_file():
            return _read_npz_folder
        if (path / "spikeinterface_info.json").is_file():
            info = json.loads((path / "spikeinterface_info.json").read_text(encoding="utf-8"))
            return _read_analyzer_folder if _is_analyzer(info) else None
        attrs = _zarr_attrs(path)
        if _is_analyzer(attrs.get("spikeinterface_info")):
            return _read_zarr
        return _read_zarr if "sampling_frequency" in attrs and (path / "spikes" / "sample_index").is_dir() else None
    except (OSError, ValueError):
        return None


def read(
    path: Path,
    *,
    segment: int | None = None,
    segment_start: Any = None,
    sort: bool = False,
    allow_pickle: bool = False,
) -> xr.DataTree:
    """Read a saved sorting or sorting analyzer.

    A saved folder does not keep when a segment began: one segment begins at 0 s unless `segment_start` says
    otherwise, several need it (or `segment`). The lengths of segments, which an analyzer keeps, become the support.
    Properties of units, and an analyzer's unit locations and quality metrics, are coordinates of `unit`. For
    sortings in other packages' formats, hand SpikeInterface's object to `nd.io.from_spikeinterface`.

    Parameters
    ----------
    path : Path
        The folder.
    segment : int, optional
        One segment alone.
    segment_start : float or list of float, optional
        When sample 0 of each segment was taken (s).
    sort : bool
        Sort the times inside each unit; unsorted times are an error otherwise.
    allow_pickle : bool
        Unpickle .npy properties that are stored as Python objects. Only for files you trust.
    """
    folder = Path(path)
    reader = _kind(folder)
    if reader is None:
        raise FormatError(
            "a folder that SpikeInterface saved a sorting or a sorting analyzer in",
            folder.name,
            "check the path, or load it with SpikeInterface and pass the object to nd.io.from_spikeinterface",
        )
    try:
        sorting = reader(folder, allow_pickle)
    except (KeyError, IndexError, TypeError, json.JSONDecodeError, UnicodeDecodeError, zipfile.BadZipFile) as error:
        raise FormatError(
            "the files of a sorting as SpikeInterface writes them",
            f"{folder.name}: {type(error).__name__}: {error}",
            "the folder is damaged; save it again",
        ) from error
    coords, left_out = property_coords(sorting.properties, len(sorting.unit_ids))
    parts = choose_segments(_segments(sorting), segment, segment_start)
    node = join_segments(parts, sorting.unit_ids, sorting.sampling_rate, coords, sort=sort)
    facts = {"annotations": sorting.annotations, "left_out": left_out}
    return make_recording(
        spikes=node,
        attrs={"source_format": "spikeinterface", **{key: value for key, value in facts.items() if value}},
    )


def _segments(sorting: _Sorting) -> list[Segment]:
    rate = sorting.sampling_rate
    if not np.isfinite(rate) or rate <= 0:
        raise FormatError("a positive sampling frequency in Hz", repr(rate), "save the sorting again")
    parts = []
    for index, (sample, row) in enumerate(zip(sorting.sample, sorting.row, strict=True)):
        if sample.shape != row.shape or sample.dtype.kind not in "iu" or row.dtype.kind not in "iu":
            raise RecordingError(
                "one sample and one unit, whole numbers, per spike",
                f"{sample.dtype} {sample.shape} and {row.dtype} {row.shape}",
                "save the sorting again",
            )
        if row.size and (row.min() < 0 or row.max() >= len(sorting.unit_ids)):
            raise FormatError(
                f"spikes of units 0 to {len(sorting.unit_ids) - 1}", f"{row.min()} to {row.max()}", "save it again"
            )
        if sample.size and sample.min() < 0:
            raise RecordingError("samples counted from 0", f"{(sample < 0).sum()} negative ones", "mend the sorting")
        n_samples = None if sorting.n_samples is None else sorting.n_samples[index]
        if n_samples is not None and sample.size and sample.max() >= n_samples:
            raise RecordingError(
                f"spikes inside the {n_samples} samples of segment {index}",
                f"{(sample >= n_samples).sum()} after them",
                "remove the excess spikes in SpikeInterface",
            )
        parts.append(
            Segment(
                row,
                sample.astype(np.int64),
                sample / rate,
                None,
                None if n_samples is None else np.array([[0.0, n_samples / rate]]),
            )
        )
    # Nothing contradicts a single segment that begins at 0; several cannot all do so.
    return [parts[0].shifted(0.0)] if len(parts) == 1 else parts


def _read_numpy_folder(folder: Path, allow_pickle: bool) -> _Sorting:
    info = json.loads((folder / "numpysorting_info.json").read_text(encoding="utf-8"))
    spikes = read_npy(folder / "spikes.npy", allow_pickle)
    if spikes.dtype.names is None or not {"sample_index", "unit_index", "segment_index"} <= set(spikes.dtype.names):
        raise FormatError(
            "spikes.npy with sample_index, unit_index, segment_index", f"{spikes.dtype}", "save the sorting again"
        )
    segment = spikes["segment_index"]
    n_segments = int(info["num_segments"])
    if segment.size and (segment.min() < 0 or segment.max() >= n_segments):
        raise FormatError(f"segments 0 to {n_segments - 1}", f"{segment.min()} to {segment.max()}", "save it again")
    return _Sorting(
        unit_ids=np.asarray(info["unit_ids"]),
        sampling_rate=float(info["sampling_frequency"]),
        sample=[spikes["sample_index"][segment == index] for index in range(n_segments)],
        row=[spikes["unit_index"][segment == index] for index in range(n_segments)],
        properties=_properties(folder / "properties", allow_pickle),
        annotations=_json(folder / "annotations.json"),
    )


def _read_npz_folder(folder: Path, allow_pickle: bool) -> _Sorting:
    try:
        with np.load(folder / "sorting_cached.npz", allow_pickle=False) as arrays:
            unit_ids, n_segments = arrays["unit_ids"], int(arrays["num_segment"][0])
            rate = float(arrays["sampling_frequency"][0])
            sample = [arrays[f"spike_indexes_seg{index}"] for index in range(n_segments)]
            label = [arrays[f"spike_labels_seg{index}"] for index in range(n_segments)]
    except (ValueError, EOFError) as error:
        raise FormatError("sorting_cached.npz with plain arrays", str(error), "save the sorting again") from error
    position = {unit: row for row, unit in enumerate(unit_ids.tolist())}
    row = [np.array([position[item] for item in labels.tolist()], dtype=np.int64) for labels in label]
    return _Sorting(unit_ids, rate, sample, row, _properties(folder / "properties", allow_pickle))


def _read_analyzer_folder(folder: Path, allow_pickle: bool) -> _Sorting:
    sorting = _read_numpy_folder(folder / "sorting", allow_pickle)
    recorded = _json(folder / "recording_info" / "recording_attributes.json")
    sorting.n_samples = recorded.get("num_samples")
    locations = folder / "extensions" / "unit_locations" / "unit_locations.npy"
    if locations.is_file():
        sorting.properties["unit_locations"] = read_npy(locations, allow_pickle)
    metrics = folder / "extensions" / "quality_metrics" / "metrics.csv"
    if metrics.is_file():
        table = read_text_table(metrics)
        table = table.set_index(table.columns[0]).reindex([str(unit) for unit in sorting.unit_ids])
        for name in table.columns:
            sorting.properties[str(name)] = typed_column(table[name].to_numpy(dtype=object))
    return sorting


def _read_zarr(folder: Path, allow_pickle: bool) -> _Sorting:
    zarr = require("zarr", "zarr", "to read a sorting saved as Zarr")
    root = zarr.open_group(str(folder), mode="r")
    group = root.get("sorting", root)

    def array(node: Any) -> np.ndarray:
        codecs = {getattr(codec, "codec_id", "") for codec in (getattr(node, "filters", None) or [])}
        if "pickle" in codecs:
            # numcodecs opens these only by a switch for the whole process, which is not ours to turn.
            raise UntrustedDataError(
                f"{folder.name} to hold plain numbers or text",
                f"pickled objects in {node.path}: reading them would run what the file holds",
                "load it with SpikeInterface if you trust it, and pass the object to nd.io.from_spikeinterface",
            )
        return np.asarray(node[...])

    sample, row = array(group["spikes/sample_index"]), array(group["spikes/unit_index"])
    bounds = array(group["spikes/segment_slices"]).astype(np.int64)
    properties = {}
    if "properties" in group:
        properties = {str(name): array(group["properties"][name]) for name in sorted(group["properties"].keys())}
    if "extensions/unit_locations/unit_locations" in root:
        properties["unit_locations"] = array(root["extensions/unit_locations/unit_locations"])
    if "extensions/quality_metrics/metrics" in root:
        table = root["extensions/quality_metrics/metrics"]
        ids = [str(unit) for unit in array(group["unit_ids"])]
        rows = {str(unit): place for place, unit in enumerate(array(table["index"]))}
        for name in sorted(set(table.keys()) - {"index"}):
            column = array(table[name])
            if set(ids) <= set(rows):
                properties[str(name)] = column[[rows[unit] for unit in ids]]
    n_samples = dict(root["recording_info"].attrs).get("recording_attributes") if "recording_info" in root else None
    return _Sorting(
        unit_ids=array(group["unit_ids"]),
        sampling_rate=float(group.attrs["sampling_frequency"]),
        sample=[sample[begin:end] for begin, end in bounds],
        row=[row[begin:end] for begin, end in bounds],
        properties=properties,
        annotations=dict(group.attrs.get("annotations") or {}),
        n_samples=(n_samples or {}).get("num_samples"),
    )


def _properties(folder: Path, allow_pickle: bool) -> dict[str, np.ndarray]:
    paths: Sequence[Path] = sorted(folder.glob("*.npy")) if folder.is_dir() else []
    return {path.stem: read_npy(path, allow_pickle) for path in paths if path.stem != "contact_vector"}


def _json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def _is_analyzer(info: Any) -> bool:
    return isinstance(info, dict) and info.get("object") == "SortingAnalyzer"


def _zarr_attrs(path: Path) -> dict[str, Any]:
    if (path / ".zattrs").is_file():
        attrs = json.loads((path / ".zattrs").read_text(encoding="utf-8"))
    elif (path / "zarr.json").is_file():
        attrs = json.loads((path / "zarr.json").read_text(encoding="utf-8")).get("attributes", {})
    else:
        attrs = {}
    return attrs if isinstance(attrs, dict) else {}


READER = Reader(
    name="spikeinterface",
    formats="SpikeInterface sortings and sorting analyzers (folder, Zarr)",
    modalities=("spikes",),
    suffixes=(),
    detect=detect,
    read=read,
)
