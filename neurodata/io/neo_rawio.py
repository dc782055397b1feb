"""Which class of neo.rawio reads a path, and how to open it."""

from __future__ import annotations

import inspect
import io
import struct
import warnings
import weakref
from pathlib import Path
from typing import Any

from neurodata._core.optional import require
from neurodata.errors import FormatError, OptionError
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, NO

# First bytes of a file -> class. Of the formats' published specifications, as neo 0.14.6 reads them.
_MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"NEURALSG", "BlackrockRawIO"),
    (0, b"NEURALCD", "BlackrockRawIO"),
    (0, b"BRSMPGRP", "BlackrockRawIO"),
    (0, b"NEURALEV", "BlackrockRawIO"),
    (0, b"BREVENTS", "BlackrockRawIO"),
    (0, b"PLEX", "PlexonRawIO"),
    (2, b"(C) CED 87", "Spike2RawIO"),
    (0, struct.pack("<I", 0xC6912702), "IntanRawIO"),
    (0, struct.pack("<I", 0xD69127AC), "IntanRawIO"),
    (0, b"trial_date", "AxonaRawIO"),
    (0, b"ABF2", "AxonRawIO"),
    (0, b"ABF ", "AxonRawIO"),
    (0, b"axgr", "AxographRawIO"),
    (0, b"axgx", "AxographRawIO"),
    (0, b"AxGr", "AxographRawIO"),
    (0, struct.pack("<i", 827868494), "NeuroExplorerRawIO"),
)
# Suffixes without a magic number. Formats that MNE or another reader here has (.edf, .vhdr, .cnt, .nix) are not
# among them, nor suffixes that say nothing (.dat, .bin, .raw, .h5, .txt).
_SUFFIX = {
    ".plx": "PlexonRawIO",
    ".pl2": "Plexon2RawIO",
    ".smr": "Spike2RawIO",
    ".smrx": "CedRawIO",
    ".rhd": "IntanRawIO",
    ".rhs": "IntanRawIO",
    ".abf": "AxonRawIO",
    ".trc": "MicromedRawIO",
    ".wcp": "WinWcpRawIO",
    ".edr": "WinEdrRawIO",
    ".nex": "NeuroExplorerRawIO",
    ".rec": "SpikeGadgetsRawIO",
    ".xdat": "NeuroNexusRawIO",
    ".brw": "BiocamRawIO",
    ".tbk": "TdtRawIO",
    ".tsq": "TdtRawIO",
    **{f".ns{i}": "BlackrockRawIO" for i in range(1, 7)},
}
RAWIOS = tuple(sorted({name for _, _, name in _MAGIC} | set(_SUFFIX.values()) | {"OpenEphysRawIO", "SpikeGLXRawIO"}))


def rawio_of(path: Path) -> tuple[str | None, int]:
    """The class that reads a path, and how sure that is."""
    if path.is_dir():
        return _of_folder(path)
    with open(path, "rb") as file:
        head = file.read(16)
    for offset, magic, name in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return name, BY_CONTENT
    by_suffix = _SUFFIX.get(path.suffix.lower())
    return by_suffix, (NO if by_suffix is None else BY_SUFFIX)


def _of_folder(folder: Path) -> tuple[str | None, int]:
    names = sorted(entry.name.lower() for entry in folder.iterdir() if not entry.name.startswith("."))
    if blackrock_sets(folder):
        return "BlackrockRawIO", BY_CONTENT
    if any(name.endswith(".tbk") for name in names) and any(name.endswith(".tsq") for name in names):
        return "TdtRawIO", BY_CONTENT
    if any(name.endswith(".continuous") for name in names):
        return "OpenEphysRawIO", BY_CONTENT
    if _oebin(folder):
        return "OpenEphysBinaryRawIO", BY_CONTENT
    if any(name.endswith((".ap.meta", ".lf.meta", ".nidq.meta")) for name in names):
        return "SpikeGLXRawIO", BY_CONTENT
    return None, NO


def _oebin(folder: Path) -> bool:
    """An Open Ephys binary folder: structure.oebin at most four levels down (node, experiment, recording)."""
    pattern = "structure.oebin"
    return any(next(folder.glob("*/" * depth + pattern), None) is not None for depth in range(4))


def blackrock_sets(folder: Path) -> dict[str, Path]:
    """Stem -> one file of each set of Blackrock files in a folder."""
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        suffix = entry.suffix.lower()
        if entry.is_file() and (suffix == ".nev" or suffix[:3] == ".ns" and suffix[3:] in "123456"):
            with open(entry, "rb") as file:
                head = file.read(8)
            if any(magic == head and name == "BlackrockRawIO" for _, magic, name in _MAGIC):
                found.setdefault(entry.stem, entry)
    return found


def open_rawio(name: str, path: Path) -> Any:
    """The rawio of that class with its header read."""
    rawio = require("neo.rawio", "ephys", "to read files of acquisition systems")
    classes = {item.__name__: item for item in rawio.rawiolist}
    if name not in classes:
        raise OptionError(f"format= one of {', '.join(sorted(classes))}", repr(name), "name a class of neo.rawio")
    chosen = classes[name]
    parameters = inspect.signature(chosen.__init__).parameters
    options: dict[str, Any] = {"dirname" if chosen.rawmode == "one-dir" else "filename": str(path)}
    if chosen.rawmode == "one-dir" and path.is_file() and name != "TdtRawIO":
        options["dirname"] = str(path.parent)
    if "gap_tolerance_ms" in parameters:
        options["gap_tolerance_ms"] = 0.0  # every gap begins a new segment; none is closed
    if "progress_bar" in parameters:
        options["progress_bar"] = False
    # Errors of a damaged file differ from class to class of neo; these are the ones its parsers raise.
    damaged = (OSError, ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError, struct.error)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reader = chosen(**options)
            if name == "BlackrockRawIO":
                # It opens its .nsX files on first use, keeps them here, and never closes them (neo 0.14.6).
                reader._nsx_fids = {}
                weakref.finalize(reader, _close, reader._nsx_fids)
            reader.parse_header()
    except NotImplementedError as error:
        raise FormatError(f"a file that neo's {name} reads", f"{path.name}: {error}", "convert it") from error
    except (*damaged, require("neo.core", "ephys").NeoReadWriteError) as error:
        raise FormatError(
            f"a complete file of the format of neo's {name}",
            f"{path.name}: {type(error).__name__}: {error}",
            "the file is damaged, cut short or of another format (format= names one)",
        ) from error
    reader.opened_with = (name, str(path.resolve()))
    return reader


def _close(files: dict[int, io.IOBase]) -> None:
    for file in files.values():
        file.close()
