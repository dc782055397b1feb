"""Our own files: NetCDF and Zarr as `nd.save` writes them."""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from neurodata.containers.store import read_tree
from neurodata.errors import FormatError
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, HDF5_MAGIC, NO, Reader, has_suffix, starts_with
from neurodata.schema import SCHEMA, SCHEMA_VERSION


def detect(path: Path) -> int:
    """NetCDF by suffix and magic bytes; Zarr by suffix, minian's folders excepted."""
    if path.is_dir():
        return BY_CONTENT if has_suffix(path, (".zarr",)) and (path / "neurodata-sha256.json").is_file() else NO
    if not has_suffix(path, (".nc",)):
        return NO
    return BY_CONTENT if starts_with(path, HDF5_MAGIC) else BY_SUFFIX


def read(path: Path, *, lazy: bool = True) -> xr.DataTree:
    """Read a recording saved by `nd.save`."""
    tree = read_tree(path, lazy=lazy)
    schema = str(tree.attrs.get("schema", ""))
    if not schema.startswith(SCHEMA):
        raise FormatError(
            "a recording saved by nd.save", f"{path.name} has schema {schema!r}", "open other NetCDF files with xarray"
        )
    if tree.attrs.get("schema_version") != SCHEMA_VERSION:
        raise FormatError(
            f"schema version {SCHEMA_VERSION}",
            f"{tree.attrs.get('schema_version')!r}",
            "use the neurodata that wrote it",
        )
    return tree


READER = Reader(
    name="neurodata",
    formats="neurodata NetCDF and Zarr",
    modalities=("calcium", "spikes", "eeg", "behaviour", "trials", "events", "video", "truth"),
    suffixes=(".nc", ".zarr"),
    detect=detect,
    read=read,
)
