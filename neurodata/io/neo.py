"""Electrophysiology files of acquisition systems: through the rawio layer of neo, two families by their own records.

Neuralynx and NeuroScope are read by `io.neuralynx` and `io.neuroscope`, because neo 0.14 re-times the first over
records and shifts it to zero, and gives the second's field potentials the rate of the wide-band file.

Tested on real files: Neuralynx .ncs and .nev. On files built to the published layout: Blackrock 2.3 (.nsX, .nev),
NeuroScope, Neuralynx .ntt. All other formats go to neo as they are; their gains and times are neo's.
"""

from __future__ import annotations

from pathlib import Path

import xarray as xr

from neurodata.errors import MissingOptionError, OptionError
from neurodata.io.neo_rawio import RAWIOS, blackrock_sets, open_rawio, rawio_of
from neurodata.io.neo_signals import read_rawio
from neurodata.io.neuralynx import is_neuralynx, read_neuralynx
from neurodata.io.neuroscope import read_neuroscope, session_xml
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, NO, Reader


def detect(path: Path) -> int:
    """Magic bytes where a format has them, else the suffix; folders by what they hold."""
    try:
        if path.is_dir():
            if any(is_neuralynx(entry) for entry in path.iterdir()):
                return BY_CONTENT
            if session_xml(path) is not None:
                return BY_SUFFIX
        elif is_neuralynx(path) or session_xml(path) is not None:
            return BY_CONTENT
        return rawio_of(path)[1]
    except (OSError, ValueError):
        return NO


def read(
    path: Path,
    *,
    format: str | None = None,
    ch_type: str = "lfp",
    sort: bool = False,
    overlap: str = "error",
) -> xr.DataTree:
    """Read a recording of an acquisition system.

    Parameters
    ----------
    path : Path
        A file or a folder. Files that belong to one recording (.nev beside .ns5, .bin beside .set) are read together.
    format : str, optional
        Name of a class of neo.rawio, e.g. ``"BlackrockRawIO"``, instead of the one that fits the file.
    ch_type : str
        Type of all continuous channels; these formats do not state it.
    sort : bool
        Sort the spikes inside each unit instead of refusing unsorted ones.
    overlap : {"error", "drop"}
        Neuralynx: what to do with records that start before the one before them ends.

    Returns
    -------
    DataTree
        One `eeg` node per sampling rate and time base, in V where the unit is a voltage (`ch_unit` says so where it
        is not); `spikes`; `events` (events and epochs). Segments of one block that follow each other on one clock are
        joined with their gaps; several blocks, or segments that overlap in time, become a tree of recordings.
    """
    if overlap not in ("error", "drop"):
        raise OptionError("overlap 'error' or 'drop'", repr(overlap), "choose one")
    if format is None:
        folder = path.is_dir()
        if is_neuralynx(path) or (folder and any(is_neuralynx(entry) for entry in path.iterdir())):
            return read_neuralynx(path, ch_type=ch_type, overlap=overlap, sort=sort)
        if session_xml(path) is not None:
            return read_neuroscope(path, ch_type=ch_type, sort=sort)
        format = rawio_of(path)[0]
        if folder and format == "BlackrockRawIO":
            sets = blackrock_sets(path)
            if len(sets) > 1:
                return _several({stem: read(file, ch_type=ch_type, sort=sort) for stem, file in sets.items()})
            path = next(iter(sets.values()))
    if format is None:
        raise MissingOptionError(
            "a file whose suffix or first bytes name a format that neo reads",
            path.name,
            f"name the class with format=, one of {', '.join(RAWIOS)}",
        )
    trees = read_rawio(open_rawio(format, path), ch_type=ch_type, sort=sort)
    return next(iter(trees.values())) if len(trees) == 1 else _several(trees)


def _several(trees: dict[str, xr.DataTree]) -> xr.DataTree:
    from neurodata.containers.recording import make_sessions

    return make_sessions(trees)


READER = Reader(
    name="neo",
    formats="Blackrock, Plexon, Neuralynx, NeuroScope, Spike2, Axona, Open Ephys, TDT, Intan and others of neo.rawio",
    modalities=("eeg", "spikes", "events"),
    suffixes=(".ns1", ".ns2", ".ns3", ".ns4", ".ns5", ".ns6", ".nev", ".plx", ".ncs", ".nse", ".ntt", ".smr", ".rhd"),
    detect=detect,
    read=read,
    extra="ephys",
    packages=("neo",),
)
