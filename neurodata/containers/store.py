"""The one place that writes and reads our own files: NetCDF (one file) or Zarr (a folder), atomic and checksummed.

A file is written under a temporary name beside its target and renamed when complete, so a crash or a full disk
leaves the old file as it was. NetCDF chunks carry HDF5's fletcher32 checksum, verified by every read, also of a lazy
one; a Zarr folder carries a manifest of SHA-256 sums, verified when it is opened.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata.containers.time_index import from_stored, to_stored
from neurodata.errors import FormatError, OptionError, PathNotFoundError, StoreError

_MANIFEST = "neurodata-sha256.json"
_CHUNK_BYTES = 2**20
_REMOVALS, _REMOVAL_PAUSE_S = 40, 0.05
# Lazy arrays above this size are written block by block through Dask instead of being read whole.
_STREAM_BYTES = 2**27


def save(rec: xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
    """Save a recording, lossless: `nd.load(path)` gives an identical one.

    Parameters
    ----------
    rec : DataTree
        A recording, or a tree of recordings. It is checked first.
    path : path
        ``.nc`` for one NetCDF file, ``.zarr`` for a Zarr folder (extra ``zarr``).
    overwrite : bool
        Replace what is there. The old file survives until the new one is complete.

    Returns
    -------
    Path

    Raises
    ------
    RecordingError
        When the recording breaks the schema; nothing is written.
    StoreError
        When writing fails (full disk, no permission); what was there is untouched.

    Examples
    --------
    >>> import neurodata as nd, tempfile, pathlib
    >>> rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1]}))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = nd.save(rec, pathlib.Path(folder) / "rec.nc")
    ...     nd.load(path).identical(rec)
    True
    """
    from neurodata.containers.check import check

    return write_tree(check(rec), path, overwrite=overwrite)


def write_tree(tree: xr.DataTree, path: str | os.PathLike[str], *, overwrite: bool = True) -> Path:
    """Write any DataTree whose attributes are text or numbers. Recordings, results and checkpoints all come here."""
    target = Path(path)
    if target.suffix not in (".nc", ".zarr"):
        raise OptionError("a path that ends in .nc or .zarr", repr(str(path)), "choose one of the two")
    if target.exists() and not overwrite:
        raise StoreError("a path that is free", f"{target} exists", "choose another, or pass overwrite=True")
    if not target.parent.is_dir():
        raise StoreError("a folder to write into", f"{target.parent} is not one", "make it first")
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial{target.suffix}")
    try:
        (_write_netcdf if target.suffix == ".nc" else _write_zarr)(_plain(tree), partial)
        _replace(partial, target)
    except (OSError, RuntimeError, ValueError) as error:
        raise StoreError(
            f"to write {target}",
            f"{type(error).__name__}: {error}",
            "free disk space or choose another place; nothing was changed",
        ) from error
    finally:
        _remove(partial)
    return target


def read_tree(path: str | os.PathLike[str], *, lazy: bool = True) -> xr.DataTree:
    """Read what `write_tree` wrote. With `lazy`, arrays are read when they are used.

    Raises
    ------
    FormatError
        A file that is truncated, damaged or of another kind.
    """
    source = Path(path)
    if not source.exists():
        raise PathNotFoundError("a file or folder", f"{source} does not exist", "check the path")
    engine = "zarr" if source.is_dir() else "h5netcdf"
    if engine == "zarr":
        require("zarr", "zarr", "to read Zarr folders")
        _verify_manifest(source)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            tree = xr.open_datatree(
                source, engine=engine, decode_times=False, decode_timedelta=False, create_default_indexes=False
            )
            # A regular time axis stays lazy: its times are in the file for others, and are not read here.
            for node in tree.subtree:
                node.dataset = from_stored(node.to_dataset(inherit=False))
            if not lazy:
                tree.load()
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise FormatError(
            f"a complete {'Zarr folder' if engine == 'zarr' else 'NetCDF file'}",
            f"{source.name}: {type(error).__name__}: {error}",
            "the file is damaged or was cut short; copy it again or make it anew",
        ) from error
    return tree


def _plain(tree: xr.DataTree) -> xr.DataTree:
    """The tree without the encodings of the file it came from, large lazy arrays as Dask arrays."""
    nodes = {}
    for node in tree.subtree:
        dataset = to_stored(node.to_dataset(inherit=False).drop_encoding())
        large = any(
            v.nbytes > _STREAM_BYTES and not v._in_memory and v.chunks is None for v in dataset.variables.values()
        )
        nodes[node.relative_to(tree)] = dataset.chunk("auto") if large and _has_dask() else dataset
    return xr.DataTree.from_dict({("/" if path == "." else f"/{path}"): ds for path, ds in nodes.items()})


def _has_dask() -> bool:
    from importlib.util import find_spec

    return find_spec("dask") is not None


def _write_netcdf(tree: xr.DataTree, path: Path) -> None:
    encoding = {
        node.path: {str(name): _netcdf_encoding(v) for name, v in node.to_dataset(inherit=False).variables.items()}
        for node in tree.subtree
    }
    with _GuardedFile(path) as file:
        try:
            # One process writes one file: blocks of Dask arrays are computed by threads here, also under a cluster.
            with _threaded_dask():
                tree.to_netcdf(file, engine="h5netcdf", encoding=encoding)
        finally:
            if file.error is not None:
                raise file.error
        os.fsync(file.fileno())


class _GuardedFile(io.FileIO):
    """A file whose failed writes do not reach HDF5.

    HDF5 crashes the process when it cannot flush its caches on close, which a full disk makes happen. So the first
    failure is kept in `error`, later writes are dropped, HDF5 closes what it believes to be a file, and the caller
    raises. `tests/unit/containers/test_store.py::test_the_old_file_survives_a_failed_save` dies without this.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                done += super().write(view[done:]) or 0
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0


def _threaded_dask() -> contextlib.AbstractContextManager[Any]:
    if not _has_dask():
        return contextlib.nullcontext()
    import dask

    return dask.config.set(scheduler="threads")


def _netcdf_encoding(variable: xr.Variable) -> dict[str, Any]:
    if variable.dtype.kind not in "biufc" or variable.size == 0 or variable.ndim == 0:
        return {}
    # Blocks of about 1 MB that span the trailing dims (all channels, all units) and split the first (time).
    row_bytes = max(1, variable.dtype.itemsize * int(np.prod(variable.shape[1:])))
    rows = int(min(variable.shape[0], max(1, _CHUNK_BYTES // row_bytes)))
    encoding: dict[str, Any] = {
        "chunksizes": (rows, *variable.shape[1:]),
        "zlib": True,
        "complevel": 2,
        "shuffle": True,
        "fletcher32": True,
    }
    if variable.dtype.kind == "f":
        encoding["_FillValue"] = None
    return encoding


def _write_zarr(tree: xr.DataTree, path: Path) -> None:
    require("zarr", "zarr", "to write Zarr folders")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*(consolidated|Zarr V3|zarr_format).*")
        tree.to_zarr(path, zarr_format=2, consolidated=True)
    (path / _MANIFEST).write_text(json.dumps(_sums(path), sort_keys=True))


def _sums(folder: Path) -> dict[str, str]:
    return {
        file.relative_to(folder).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and file.name != _MANIFEST
    }


def _verify_manifest(folder: Path) -> None:
    """Folders of ours carry a manifest; Zarr folders of other programs do not, and are read as they are."""
    manifest = folder / _MANIFEST
    if not manifest.is_file():
        return
    expected, found = json.loads(manifest.read_text()), _sums(folder)
    changed = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if changed:
        raise FormatError(
            "a Zarr folder as it was written",
            f"{len(changed)} files changed or missing, e.g. {changed[0]}",
            "copy it again",
        )


def _replace(partial: Path, target: Path) -> None:
    """Put the complete file in place. A folder cannot be replaced in one step, so the old one is moved aside first."""
    if target.is_dir() and not target.is_symlink():
        aside = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.old")
        os.rename(target, aside)
        try:
            os.rename(partial, target)
        except OSError:
            os.rename(aside, target)
            raise
        _remove(aside)
    else:
        os.replace(partial, target)


def _remove(path: Path) -> None:
    """Remove a file or folder, if it is there. zarr 3 may still be writing chunks of a failed save from its threads."""
    if path.is_file() or path.is_symlink():
        path.unlink()
    for _ in range(_REMOVALS):
        if not path.exists():
            return
        shutil.rmtree(path, ignore_errors=True)
        time.sleep(_REMOVAL_PAUSE_S)
