"""`nd.load`: find the reader of a path, read it, and return a checked recording."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata._core.provenance import storable_attrs, version
from neurodata.containers.check import check
from neurodata.containers.recording import is_recording, make_sessions
from neurodata.errors import (
    MissingDependencyError,
    NeurodataError,
    NeurodataWarning,
    OptionError,
    PathNotFoundError,
    UnknownFormatError,
)
from neurodata.io.registry import NO, Reader, all_readers, get_reader


def load(
    path: str | os.PathLike[str],
    reader: str | None = None,
    *,
    chunks: Any = None,
    **options: Any,
) -> xr.DataTree:
    """Load a recording.

    Parameters
    ----------
    path : path
        A file, or a folder that is one recording (suite2p, phy, ALF, BIDS, ...). A folder of several recordings gives
        a DataTree of recordings named by file stem.
    reader : str, optional
        Name of the reader (`nd.io.readers()` lists them). Detected from the content when left out.
    chunks : int, "auto", mapping, optional
        Turn the arrays into Dask arrays (extra ``dask``). By default files that can be read lazily are, without Dask.
    **options
        Options of the reader: `sampling_rate` (Hz) wherever a format may lack it, `mapping` for MATLAB and HDF5, ...

    Returns
    -------
    xarray.DataTree
        Nodes among calcium, spikes, eeg, behaviour, trials, events, video, truth. Times in s on the file's own clock.

    Raises
    ------
    PathNotFoundError
        Nothing at the path.
    UnknownFormatError
        No reader knows the file, or two do equally well.
    FormatError
        The file is damaged or not of the reader's format.
    MissingOptionError
        The format lacks a fact; the message names the option.
    RecordingError
        What the file holds breaks the schema; every problem is listed.
    MissingDependencyError
        The package that reads this format is not installed; the message has the command.

    Examples
    --------
    >>> import neurodata as nd
    >>> recording = nd.load(nd.datasets.path("example_spikes"))
    >>> "spikes" in recording.children
    True
    """
    source = Path(path).expanduser()
    if not source.exists():
        raise PathNotFoundError("a file or a folder", f"{source} does not exist", "check the path")
    if reader is None and source.is_dir() and _candidates(source)[0] == NO:
        tree = _load_folder(source, options)
    else:
        chosen = get_reader(reader) if reader is not None else _detect(source)
        tree = _read(chosen, source, options)
    if chunks is not None:
        tree = tree.chunk(chunks)
    return tree


def _candidates(path: Path) -> tuple[int, list[Reader]]:
    """The surest readers of a path and how sure they are."""
    sure = {name: reader.detect(path) for name, reader in all_readers().items()}
    best = max(sure.values())
    return best, [reader for name, reader in all_readers().items() if sure[name] == best] if best > NO else []


def _detect(path: Path) -> Reader:
    best, found = _candidates(path)
    if best == NO:
        raise UnknownFormatError(
            "a file or folder of a known format",
            f"{path.name}" + (" (an empty file)" if path.is_file() and path.stat().st_size == 0 else ""),
            "nd.io.readers() lists the formats; name one with reader=, or read MATLAB and HDF5 files with mapping=",
        )
    if len(found) > 1:
        names = ", ".join(reader.name for reader in found)
        raise UnknownFormatError(
            "a file that one reader knows best", f"{path.name} fits {names}", "name one with reader="
        )
    return found[0]


def _read(reader: Reader, path: Path, options: Mapping[str, Any]) -> xr.DataTree:
    unknown = sorted(set(options) - set(reader.options))
    if unknown:
        raise OptionError(
            f"options of the reader {reader.name!r}: {', '.join(reader.options) or 'none'}",
            ", ".join(unknown),
            "drop them",
        )
    if reader.missing_packages:
        raise MissingDependencyError(
            f"the packages that read {reader.formats}",
            f"{', '.join(reader.missing_packages)} not installed",
            f'pip install "neurodata[{reader.extra}]"',
        )
    tree = reader.read(path, **options)
    if reader.name == "neurodata":
        return check(tree, read=False) if is_recording(tree) else tree
    # What readers return comes from make_recording, which checks it; the attrs added here are plain text.
    tree = tree.copy()
    tree.attrs = {
        **tree.attrs,
        **storable_attrs(
            {
                "source_format": tree.attrs.get("source_format", reader.name),
                "source_file": path.name,
                "reader": reader.name,
                "reader_version": version(),
            }
        ),
    }
    return tree


def _load_folder(folder: Path, options: Mapping[str, Any]) -> xr.DataTree:
    """Every recording in a folder and its sub-folders, named by stem; what no reader can open alone is listed."""
    if not any(folder.iterdir()):
        raise UnknownFormatError("a folder with a recording in it", f"{folder} is empty", "check the path")
    left_out: list[str] = []
    found = _scan(folder, options, left_out)
    if not found:
        names = sorted(entry.name for entry in folder.iterdir())
        raise UnknownFormatError(
            "a folder that is a recording, or holds some",
            f"{folder} holds {', '.join(names[:8])}{' ...' if len(names) > 8 else ''}",
            "check the path; MATLAB and HDF5 files need mapping=",
        )
    taken = {option for reader, _ in found.values() for option in reader.options}
    unknown = sorted(set(options) - taken)
    if unknown:
        raise OptionError(f"options of the readers here: {', '.join(sorted(taken))}", ", ".join(unknown), "drop them")
    sessions: dict[str, Any] = {}
    for name, (reader, path) in found.items():
        try:
            recording = _read(reader, path, {key: value for key, value in options.items() if key in reader.options})
        except NeurodataError as error:
            error.add_note(f"while reading {path.relative_to(folder)} of the folder {folder.name}")
            raise
        *parents, stem = name
        level = sessions
        for parent in parents:
            level = level.setdefault(parent, {})
        level[stem] = recording
    if left_out:
        warnings.warn(
            f"left out of {folder.name}: {', '.join(left_out)} (they need mapping=, or fit several readers)",
            NeurodataWarning,
            stacklevel=3,
        )
    return _as_tree(sessions, {"source_file": folder.name, "left_out": left_out})


def _scan(
    folder: Path, options: Mapping[str, Any], left_out: list[str], parents: tuple[str, ...] = ()
) -> dict[tuple[str, ...], tuple[Reader, Path]]:
    """Recordings in a folder by (sub-folder, ..., stem), with the reader of each."""
    found: dict[tuple[str, ...], tuple[Reader, Path]] = {}
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            continue
        best, candidates = _candidates(entry)
        if best == NO:
            if entry.is_dir():
                found |= _scan(entry, options, left_out, (*parents, entry.name))
            continue
        usable = [reader for reader in candidates if set(reader.needs) <= set(options)]
        if len(usable) != 1:
            left_out.append("/".join((*parents, entry.name)))
            continue
        # Files of one stem (x.edf, x.bdf, a folder x) are told apart by their whole name.
        stem = entry.stem if entry.is_file() and not (folder / entry.stem).is_dir() else entry.name
        key = (*parents, stem)
        found[(*parents, entry.name) if key in found else key] = (usable[0], entry)
    return found


def _as_tree(sessions: Mapping[str, Any], attrs: Mapping[str, Any]) -> xr.DataTree:
    trees = {name: item if isinstance(item, xr.DataTree) else _as_tree(item, {}) for name, item in sessions.items()}
    return make_sessions(trees, attrs=attrs)
