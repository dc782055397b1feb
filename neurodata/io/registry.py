"""The readers: one module each, with a `READER`, listed here in the order they are asked.

To add a format, write `neurodata/io/<name>.py` with a `READER = Reader(...)`, add its name to `_MODULES`, and give
the contract test a tiny file.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import xarray as xr

from neurodata.errors import OptionError

# How sure `detect` is. A file is read by the surest reader; two that are equally sure are an error: the user decides.
NO = 0
BY_SUFFIX = 1  # the name fits, the content was not looked at
BY_CONTENT = 2  # the content (magic bytes, header, the files in a folder) is this format's

_MODULES = (
    "store_files",
    "suite2p",
    "caiman",
    "minian",
    "nwb",
    "phy",
    "alf",
    "spikeinterface",
    "neo",
    "matlab",
    "hdf5",
    "table",
    "tracking",
    "edf",
    "mne",
    "bids",
    "xdf",
    "pose",
)


@dataclass(frozen=True)
class Reader:
    """One format, or one family of formats read through one library.

    Attributes
    ----------
    name : str
        What `reader=` takes.
    formats : str
        The formats in words, for the table.
    modalities : tuple of str
        Nodes it can fill.
    suffixes : tuple of str
        File suffixes, lower case, e.g. ``(".edf",)``; empty for folders known by what they hold.
    detect : callable
        ``detect(path) -> NO | BY_SUFFIX | BY_CONTENT``. Cheap, imports nothing optional, never raises.
    read : callable
        ``read(path, **options) -> DataTree``. The options are its keyword-only parameters. It imports what it needs.
    extra : str
        Extra of neurodata that installs what it needs, "" for the core install.
    packages : tuple of str
        Modules that must be importable.
    needs : tuple of str
        Options without which it cannot read (a mapping); a folder scan leaves its files out when they are not given.
    """

    name: str
    formats: str
    modalities: tuple[str, ...]
    suffixes: tuple[str, ...]
    detect: Callable[[Path], int]
    read: Callable[..., xr.DataTree]
    extra: str = ""
    packages: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def options(self) -> tuple[str, ...]:
        """Names of the options `read` takes."""
        parameters = inspect.signature(self.read).parameters.values()
        return tuple(p.name for p in parameters if p.kind is p.KEYWORD_ONLY)

    @property
    def missing_packages(self) -> list[str]:
        """Packages it needs that are not installed."""
        return [package for package in self.packages if find_spec(package) is None]


@cache
def all_readers() -> dict[str, Reader]:
    """Every reader by name."""
    found = [
        importlib.import_module(f"neurodata.io.{module}").READER
        for module in _MODULES
        if find_spec(f"neurodata.io.{module}") is not None
    ]
    return {reader.name: reader for reader in found}


def get_reader(name: str) -> Reader:
    """The reader of that name."""
    known = all_readers()
    if name not in known:
        raise OptionError(f"a reader out of {', '.join(sorted(known))}", repr(name), "see nd.io.readers()")
    return known[name]


def readers() -> pd.DataFrame:
    """Table of the readers: formats, what they fill, their options, and whether what they need is installed.

    Examples
    --------
    >>> import neurodata as nd
    >>> bool(nd.io.readers().loc["suite2p", "installed"])
    True
    """
    rows = [
        {
            "reader": reader.name,
            "formats": reader.formats,
            "modalities": ", ".join(reader.modalities),
            "suffixes": " ".join(reader.suffixes),
            "options": ", ".join(reader.options),
            "extra": reader.extra,
            "installed": not reader.missing_packages,
        }
        for reader in all_readers().values()
    ]
    return pd.DataFrame(rows).set_index("reader")


def has_suffix(path: Path, suffixes: tuple[str, ...]) -> bool:
    """Whether a path's name ends in one of the suffixes, whatever their case."""
    return path.name.lower().endswith(suffixes)


def starts_with(path: Path, magic: bytes, offset: int = 0) -> bool:
    """Whether a file holds `magic` at `offset`."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            return file.read(len(magic)) == magic
    except OSError:
        return False


HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
