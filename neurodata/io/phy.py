"""Folders written by Kilosort (1 to 4) and curated in phy. params.py is parsed, never executed."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Mapping
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.containers import make_recording, make_spikes
from neurodata.errors import FormatError, MissingOptionError, NeurodataWarning, OptionError, RecordingError
from neurodata.io._cluster_tables import coord_name, read_cluster_table, typed_column
from neurodata.io._npy import read_npy
from neurodata.io._templates import best_channels
from neurodata.io.registry import BY_CONTENT, NO, Reader

# Coordinates that this reader makes itself.
_OWN = ("quality", "channel", "x", "y", "shank")
_TIME_UNITS = ("sample", "s", "ms", "us")


def detect(path: Path) -> int:
    """A folder with spike times and the cluster, or the template, of each spike."""
    try:
        ids = (path / "spike_clusters.npy").is_file() or (path / "spike_templates.npy").is_file()
        return BY_CONTENT if ids and (path / "spike_times.npy").is_file() else NO
    except OSError:
        return NO


def read(
    path: Path,
    *,
    sampling_rate: float | None = None,
    time_unit: str | None = None,
    sort: bool = False,
    allow_pickle: bool = False,
) -> xr.DataTree:
    """Read a phy or Kilosort folder.

    Every cluster is kept under its own id: those with spikes, with or without a label, noise too, and those that a
    table names without a spike being left to them. `quality` is phy's ``group``, else a column ``quality``, else
    Kilosort's ``KSLabel``, else "". `channel` is the best channel's row in the raw file (channel_map.npy), -1 where
    unknown; `x`, `y` its place (um, channel_positions.npy); `depth` is phy's own column where cluster_info.tsv has it
    and `y` otherwise, so it counts from the origin of the probe, usually the tip. Every other column of the tables is
    a coordinate of its own; the separate tables win over cluster_info.tsv, which phy writes for others to read.

    Parameters
    ----------
    path : Path
        The folder.
    sampling_rate : float, optional
        Hz; default ``sample_rate`` of params.py.
    time_unit : {"sample", "s", "ms", "us"}, optional
        Unit of spike_times.npy: samples unless stated. Stating it also switches off the check that the times look
        like seconds at the sampling rate.
    sort : bool
        Sort the times inside each cluster. Unsorted times are an error otherwise.
    allow_pickle : bool
        Unpickle arrays that are stored as Python objects. Only for files you trust.
    """
    folder = Path(path)
    if detect(folder) == NO:
        raise FormatError(
            "a folder with spike_times.npy and spike_clusters.npy (or spike_templates.npy)",
            f"{folder.name}, which lacks one of them",
            "check the path, or leave reader= out",
        )
    if time_unit not in (None, *_TIME_UNITS):
        raise OptionError(f"time_unit out of {', '.join(_TIME_UNITS)}", repr(time_unit), "state the unit")
    params, not_literal = parse_params(folder / "params.py")
    rate = _rate(params, not_literal, sampling_rate, needed=time_unit in (None, "sample"))
    raw = _column(folder / "spike_times.npy", allow_pickle)
    cluster, template = _spike_ids(folder, raw.size, allow_pickle)
    amplitude = None
    if (folder / "amplitudes.npy").is_file():
        amplitude = _column(folder / "amplitudes.npy", allow_pickle).astype(np.float64)
        _same_length("amplitudes.npy", amplitude.size, raw.size)
    sample, seconds = _times(raw, time_unit, rate)
    table = _tables(folder)
    clusters = np.union1d(cluster, table.index.to_numpy(dtype=np.int64)).astype(np.int64)
    coords = {
        **_table_coords(clusters, table),
        **_place_coords(folder, clusters, cluster, template, allow_pickle, has_depth="depth" in table),
    }
    measured_on = coords.pop("best_channel_from", "")
    attrs: dict[str, Any] = {} if rate is None else {"sampling_rate": rate}
    if measured_on:
        attrs["best_channel_from"] = measured_on
    if sort:
        attrs = with_operation(attrs, "sort", by="time inside each unit", reader="phy")
    try:
        spikes = make_spikes(
            seconds,
            cluster,
            unit=clusters,
            time_unit="s" if time_unit is not None else None,
            sort=sort,
            spike_sample=sample,
            spike_amplitude=amplitude,
            attrs=attrs,
            **coords,
        )
    except RecordingError as error:
        error.add_note(f"times are those of spike_times.npy of {folder.name}, at {rate} Hz")
        raise
    facts = {"params": _without_paths(params), "params_not_literal": not_literal}
    return make_recording(
        spikes=spikes,
        attrs={"source_format": "phy", **{key: value for key, value in facts.items() if value}},
    )


def parse_params(path: Path) -> tuple[dict[str, Any], list[str]]:
    r"""The assignments of literals in a params.py, without running it, and the names of the assignments that are not.

    Parameters
    ----------
    path : Path
        Need not exist.

    Returns
    -------
    params : dict
    not_literal : list of str

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "params.py"
    >>> _ = path.write_text("sample_rate = 30000.\nhome = open('x')")
    >>> parse_params(path)
    ({'sample_rate': 30000.0}, ['home'])
    """
    if not path.is_file():
        return {}, []
    text = path.read_text(encoding="utf-8", errors="replace")
    nodes = _statements(text)
    if nodes is None:
        # One line that is no Python (an unescaped Windows path, say) must not hide the sampling rate on another.
        nodes = [node for line in text.splitlines() for node in (_statements(line.strip()) or [])]
    params: dict[str, Any] = {}
    not_literal: list[str] = []
    for node in nodes:
        if not isinstance(node, ast.Assign):
            continue
        for target in node.targets:
            if not isinstance(target, ast.Name):
                continue
            try:
                params[target.id] = ast.literal_eval(node.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                params.pop(target.id, None)
                not_literal.append(target.id)
    return params, not_literal


def _statements(text: str) -> list[ast.stmt] | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # paths with a backslash warn of escapes that Python does not know
            return ast.parse(text).body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _rate(
    params: Mapping[str, Any], not_literal: list[str], option: float | None, *, needed: bool = True
) -> float | None:
    stated = params.get("sample_rate")
    if option is None and stated is None:
        if not needed:
            return None
        raise MissingOptionError(
            "the sampling rate of the recording: sample_rate in params.py",
            "sample_rate in params.py is not a plain number"
            if "sample_rate" in not_literal
            else "no params.py that states it",
            "pass sampling_rate= (Hz)",
        )
    rate = stated if option is None else option
    if isinstance(rate, bool) or not isinstance(rate, (int, float, np.number)) or not 0 < rate < np.inf:
        raise OptionError("a positive sampling rate in Hz", repr(rate), "pass sampling_rate= (Hz)")
    if option is not None and stated is not None and stated != option:
        warnings.warn(
            f"params.py says {stated} Hz; sampling_rate={option} is used, as asked for", NeurodataWarning, stacklevel=2
        )
    return float(rate)


def _spike_ids(folder: Path, n_spikes: int, allow_pickle: bool) -> tuple[np.ndarray, np.ndarray | None]:
    """Cluster of each spike, and template of each spike where that is known."""
    found = {}
    for name in ("spike_clusters.npy", "spike_templates.npy"):
        if not (folder / name).is_file():
            continue
        values = _column(folder / name, allow_pickle)
        _same_length(name, values.size, n_spikes)
        whole = values.astype(np.int64) if np.isfinite(values).all() else None
        if whole is None or (whole != values).any():
            raise FormatError(f"whole numbers in {name}", f"{values.dtype} values that are not", "write it again")
        found[name] = whole
    template = found.get("spike_templates.npy")
    cluster = found.get("spike_clusters.npy", template)
    assert cluster is not None
    return cluster, template


def _column(path: Path, allow_pickle: bool) -> np.ndarray:
    """One number per spike: Kilosort writes (n,) or (n, 1)."""
    values = read_npy(path, allow_pickle)
    if values.ndim != 1 and values.shape != (values.size, 1) and values.shape != (1, values.size):
        raise FormatError(f"one number per spike in {path.name}", f"shape {values.shape}", "write it again")
    values = values.reshape(-1)
    if values.dtype == object:
        values = np.array(values.tolist())
    if values.dtype.kind not in "iuf":
        raise FormatError(f"numbers in {path.name}", f"{values.dtype}", "write it again")
    return values


def _same_length(name: str, got: int, n_spikes: int) -> None:
    if got != n_spikes:
        raise RecordingError(
            f"one value per spike in {name}, {n_spikes} as in spike_times.npy",
            f"{got}",
            "check that the files belong together",
        )


def _times(raw: np.ndarray, time_unit: str | None, rate: float | None) -> tuple[np.ndarray | None, np.ndarray]:
    """Samples (None where the file does not hold them) and seconds."""
    if raw.dtype.kind == "f" and not np.isfinite(raw).all():
        raise RecordingError(
            "spike times that are numbers", f"{(~np.isfinite(raw)).sum()} NaN or infinite", "mend spike_times.npy"
        )
    if time_unit in ("s", "ms", "us"):
        return None, raw.astype(np.float64) * {"s": 1.0, "ms": 1e-3, "us": 1e-6}[time_unit]
    sample = raw.astype(np.int64)
    if (sample != raw).any():
        raise RecordingError(
            "samples (whole numbers) in spike_times.npy",
            f"values such as {raw[sample != raw][0]}",
            "pass time_unit='s' or 'ms' if that is what they are",
        )
    if (sample < 0).any():
        raise RecordingError(
            "samples counted from the start of the raw file",
            f"{(sample < 0).sum()} negative ones",
            "mend spike_times.npy",
        )
    assert rate is not None
    return sample, sample / rate


def _tables(folder: Path) -> pd.DataFrame:
    """Every cluster table of the folder in one; a cell of the separate tables wins over cluster_info."""
    paths = [path for path in sorted(folder.glob("cluster_*")) if path.suffix.lower() in (".tsv", ".csv")]
    merged = pd.DataFrame(index=pd.Index([], dtype=np.int64, name="cluster_id"))
    for path in sorted(paths, key=lambda path: path.stem == "cluster_info"):
        table = read_cluster_table(path)
        merged = merged.reindex(merged.index.union(table.index))
        for name in table.columns:
            text = table[name].where(table[name] != "").reindex(merged.index)
            merged[name] = text if name not in merged else merged[name].combine_first(text)
    return merged


def _table_coords(clusters: np.ndarray, table: pd.DataFrame) -> dict[str, xr.Variable]:
    """The columns of the tables, and `quality`."""
    columns = {str(name): typed_column(table[name].reindex(clusters).to_numpy(dtype=object)) for name in table.columns}
    quality = np.full(len(clusters), "", dtype=object)
    for name in ("group", "quality", "KSLabel"):
        if name in columns:
            quality = np.where(quality == "", columns[name].astype(str).astype(object), quality)
    coords = {"quality": xr.Variable("unit", quality.astype(str))}
    for name, values in columns.items():
        safe, attrs = coord_name(name, _OWN)
        coords[safe] = xr.Variable("unit", values, attrs)
    return coords


def _place_coords(
    folder: Path,
    clusters: np.ndarray,
    cluster: np.ndarray,
    template: np.ndarray | None,
    allow_pickle: bool,
    *,
    has_depth: bool,
) -> dict[str, Any]:
    """Best channel, its place and its shank, as far as the folder tells them."""
    files = {
        name: np.asarray(read_npy(folder / f"{name}.npy", allow_pickle))
        for name in ("channel_map", "channel_positions", "channel_shanks")
        if (folder / f"{name}.npy").is_file()
    }
    sizes = {name: len(values) for name, values in files.items()}
    if template is None or not sizes:
        return {}
    position = files.get("channel_positions")
    if len(set(sizes.values())) > 1 or (position is not None and (position.ndim != 2 or position.shape[1] < 2)):
        shapes = {name: values.shape for name, values in files.items()}
        raise FormatError(
            "channel_map, channel_shanks (channel,) and channel_positions (channel, 2) of one length",
            f"{shapes}",
            "check that the files belong together",
        )
    best = best_channels(folder, clusters, cluster, template, next(iter(sizes.values())))
    if best is None:
        return {}
    known = best.row >= 0
    coords: dict[str, Any] = {"best_channel_from": best.measured_on}
    if "channel_map" in files:
        channel = np.where(known, files["channel_map"].reshape(-1).astype(np.int64)[best.row], -1)
        coords["channel"] = xr.Variable("unit", channel, {"long_name": "best channel, row in the raw file"})
    if position is not None:
        place = np.where(known[:, None], position.astype(np.float64)[best.row], np.nan)
        coords["x"] = xr.Variable("unit", place[:, 0], {"units": "um"})
        coords["y"] = xr.Variable("unit", place[:, 1], {"units": "um"})
        if not has_depth:
            coords["depth"] = xr.Variable("unit", place[:, 1], {"units": "um", "long_name": "y of best channel"})
    if "channel_shanks" in files:
        shank = np.where(known, files["channel_shanks"].reshape(-1).astype(np.int64)[best.row], -1)
        coords["shank"] = xr.Variable("unit", shank, {"long_name": "shank of best channel"})
    return coords


def _without_paths(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters with paths cut to their last part: where a lab keeps its files is not part of a recording."""

    def shorten(value: Any) -> Any:
        if isinstance(value, str) and ("/" in value or "\\" in value):
            return PureWindowsPath(value).name
        if isinstance(value, (list, tuple)):
            return [shorten(item) for item in value]
        return value

    return {key: shorten(value) for key, value in params.items()}


READER = Reader(
    name="phy",
    formats="phy and Kilosort folders",
    modalities=("spikes",),
    suffixes=(),
    detect=detect,
    read=read,
)
