"""Units of an ALF sorting: ids and facts from ``clusters.*`` and, through the main channel, ``channels.*``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata.containers._coords import column_values
from neurodata.errors import FormatError, RecordingError
from neurodata.io._alf_files import AlfFile, read_array, read_parquet
from neurodata.io._cluster_tables import coord_name, read_cluster_table, read_text_table, typed_column

_RENAMED = {"depths": "depth", "channels": "channel", "brainLocationAcronyms": "region", "acronym": "region"}
_UNITS = {"depths": "um", "amps": "V", "peakToTrough": "ms", "x": "um", "y": "um", "ml": "um", "ap": "um", "dv": "um"}


def read_units(
    files: Sequence[AlfFile], spike_cluster: np.ndarray, allow_pickle: bool
) -> tuple[np.ndarray, dict[str, Any], list[AlfFile]]:
    """Unit ids, their coordinates, and the files that were read.

    In ALF the id of a cluster is its row in the ``clusters`` arrays: every row is a unit, with spikes or without.
    Where there are no such arrays the units are those with spikes and those that ``clusters.metrics`` names.
    """
    columns, read = _item_columns(files, "clusters", allow_pickle)
    metrics, from_metrics = _metrics(files)
    if columns:
        n_rows = len(next(iter(columns.values())))
        units = np.arange(n_rows, dtype=np.int64)
        named = np.union1d(spike_cluster, [] if metrics is None else metrics.index.to_numpy()).astype(np.int64)
        outside = named[(named < 0) | (named >= n_rows)]
        if outside.size:
            raise RecordingError(
                f"cluster ids that are rows of the clusters arrays (0 to {n_rows - 1})",
                f"ids such as {outside[:5].tolist()}",
                "check that the files are of one sorting",
            )
    else:
        named = spike_cluster if metrics is None else np.union1d(spike_cluster, metrics.index.to_numpy())
        units = np.unique(named).astype(np.int64)
    if "channels" in columns:
        sites, from_channels = _item_columns(files, "channels", allow_pickle)
        read += from_channels
        for name, values in sites.items():
            columns.setdefault(name, _at_channel(values, columns["channels"], name))
    coords: dict[str, Any] = {}
    for name, values in columns.items():
        _add(coords, _RENAMED.get(name.partition("_")[0], name), values, _UNITS.get(name.partition("_")[0]))
    if metrics is not None:
        read += from_metrics
        for name in metrics.columns:
            column = metrics[name].reindex(units)
            text = metrics.attrs["text"]
            values = typed_column(column.to_numpy(dtype=object)) if text else column_values(column)
            _add(coords, name if name not in coords else f"{name}_metrics", values, None)
        if "ks2_label" in coords and "quality" not in coords:
            coords["quality"] = xr.Variable("unit", coords["ks2_label"].values.astype(str))
    return units, coords, read


def _add(coords: dict[str, Any], name: str, values: np.ndarray, unit: str | None) -> None:
    safe, attrs = coord_name(name)
    coords[safe] = xr.Variable("unit", column_values(values), {**attrs, **({"units": unit} if unit else {})})


def _item_columns(
    files: Sequence[AlfFile], owner: str, allow_pickle: bool
) -> tuple[dict[str, np.ndarray], list[AlfFile]]:
    """One value per item of each attribute of an object; waveforms and the like are left in their files."""
    columns: dict[str, np.ndarray] = {}
    read = []
    for file in files:
        if file.object != owner or file.attribute in ("metrics", "waveforms", "waveformsChannels"):
            continue
        if file.extension in ("csv", "tsv"):
            table = read_text_table(file.path)
            if table.shape[1] != 1:
                continue
            values = typed_column(table.iloc[:, 0].to_numpy(dtype=object))
        elif file.extension == "npy":
            values = read_array(file, allow_pickle)
        else:
            continue
        parts = {2: ("x", "y"), 3: ("ml", "ap", "dv")}.get(values.shape[1]) if values.ndim == 2 else None
        if file.attribute in ("localCoordinates", "mlapdv") and parts is not None:
            new = {name: values[:, part] for part, name in enumerate(parts)}
        elif values.ndim == 1:
            new = {file.name: values}
        else:
            continue
        twice = sorted(set(new) & set(columns))
        if twice:
            raise FormatError(
                f"one file of {owner}.{twice[0]}", f"another in {file.path.name}", "move the one not meant elsewhere"
            )
        columns |= new
        read.append(file)
    sizes = {name: len(values) for name, values in columns.items()}
    if len(set(sizes.values())) > 1:
        raise RecordingError(f"{owner} arrays of one length", f"{sizes}", "check that the files are of one sorting")
    return columns, read


def _at_channel(values: np.ndarray, channel: np.ndarray, name: str) -> np.ndarray:
    row = channel.astype(np.int64)
    if row.size and (row.min() < 0 or row.max() >= len(values)):
        raise RecordingError(
            f"clusters.channels to be rows of channels.{name} (0 to {len(values) - 1})",
            f"{row.min()} to {row.max()}",
            "check that the files are of one sorting",
        )
    return values[row]


def _metrics(files: Sequence[AlfFile]) -> tuple[pd.DataFrame | None, list[AlfFile]]:
    found = [file for file in files if file.object == "clusters" and file.attribute == "metrics"]
    # The same table is often kept in two formats: the typed one is read.
    found.sort(key=lambda file: file.extension not in ("pqt", "parquet"))
    for file in found:
        if file.extension in ("csv", "tsv"):
            table = read_cluster_table(file.path)
            table.attrs["text"] = True
            return table, [file]
        if file.extension in ("pqt", "parquet"):
            table = index_by_cluster(read_parquet(file.path), file.path.name)
            table.attrs["text"] = False
            return table, [file]
    return None, []


def index_by_cluster(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """A table with its rows named by their column ``cluster_id``, each id once.

    Examples
    --------
    >>> index_by_cluster(pd.DataFrame({"cluster_id": [3], "label": [1.0]}), "metrics").index.tolist()
    [3]
    """
    if "cluster_id" not in table.columns:
        raise FormatError(f"a column cluster_id in {name}", f"{list(table.columns)}", "write it again")
    table = table.set_index("cluster_id")
    if not table.index.is_unique:
        twice = table.index[table.index.duplicated()].unique()[:5].tolist()
        raise RecordingError(f"every cluster once in {name}", f"{twice} more than once", "remove rows not meant")
    return table
