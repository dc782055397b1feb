"""Example recordings that come with the package, and public ones fetched when they are asked for.

`registry.toml` lists them with licence, citation, size and SHA-256 sums. A public recording is looked for in the
folder that the variable ``NEURODATA_DATA`` names, then in the user's cache (``NEURODATA_CACHE`` moves it), and only
then downloaded. Wherever a file comes from, its sum is checked.
"""

from __future__ import annotations

import hashlib
import os
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from neurodata._core.optional import require
from neurodata.errors import DownloadError, FormatError, OptionError
from neurodata.io.load import load as load_path

MIRROR_VARIABLE = "NEURODATA_DATA"
CACHE_VARIABLE = "NEURODATA_CACHE"
EMBEDDED = "embedded"
_TIMEOUT_S = 60


@dataclass(frozen=True)
class File:
    """One file of a recording: where it lies, its size (bytes) and its sum."""

    path: str
    size: int
    sha256: str
    source: str = ""


@dataclass(frozen=True)
class Entry:
    """One recording of the registry; `datasets/registry.toml` says what each field means."""

    name: str
    title: str
    modality: str
    licence: str
    citation: str
    reader: str
    url: str
    files: tuple[File, ...]
    open: str = ""
    mirror: str = ""
    options: tuple[tuple[str, Any], ...] = ()
    needs: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def names() -> list[str]:
    """Names of the recordings, those that come with the package first.

    Examples
    --------
    >>> import neurodata as nd
    >>> nd.datasets.names()[:3]
    ['example_spikes', 'example_calcium', 'example_eeg']
    """
    return list(_registry())


def table() -> pd.DataFrame:
    """Table of the recordings: what each is, its licence, what to cite, its size, and whether it needs a download.

    Examples
    --------
    >>> import neurodata as nd
    >>> nd.datasets.table().loc["example_eeg", ["modality", "reader", "from"]].tolist()
    ['eeg', 'edf', 'the package']
    """
    rows = [
        {
            "name": entry.name,
            "title": entry.title,
            "modality": entry.modality,
            "reader": entry.reader,
            "megabytes": round(entry.size / 1e6, 2),
            "from": "the package" if entry.url == EMBEDDED else "download",
            "licence": entry.licence,
            "citation": entry.citation,
        }
        for entry in _registry().values()
    ]
    return pd.DataFrame(rows).set_index("name")


def entry(name: str) -> Entry:
    """What the registry says of one recording.

    Examples
    --------
    >>> import neurodata as nd
    >>> nd.datasets.entry("eegmmi_executed").licence
    'ODC-By-1.0'
    """
    known = _registry()
    if name not in known:
        raise OptionError(f"a recording out of {', '.join(known)}", repr(name), "see nd.datasets.table()")
    return known[name]


def path(name: str) -> Path:
    """Where a recording lies, after fetching it if need be.

    Parameters
    ----------
    name : str
        Out of `names()`.

    Returns
    -------
    Path
        The file or folder that `nd.load` opens.

    Raises
    ------
    OptionError
        No such recording.
    FormatError
        A file whose SHA-256 sum is not that of the registry. A download of that kind is not kept.
    DownloadError
        No connection, or the server does not have it.

    Examples
    --------
    >>> import neurodata as nd
    >>> nd.datasets.path("example_eeg").name
    'example_eeg.edf'
    """
    wanted = entry(name)
    if wanted.url == EMBEDDED:
        folder = _data_folder() / "examples" / name
    else:
        found = _in_mirror(wanted)
        folder = _in_cache(wanted) if found is None else found
    return folder / wanted.open if wanted.open else folder


def load(name: str, **options: Any) -> xr.DataTree:
    """Load a recording by its name.

    Parameters
    ----------
    name : str
        Out of `names()`.
    **options
        Options of the reader, over those of the registry.

    Returns
    -------
    xarray.DataTree

    Raises
    ------
    MissingOptionError
        The files lack a fact and nobody stated it; the message names the option.

    Examples
    --------
    >>> import neurodata as nd
    >>> list(nd.datasets.load("example_spikes").children)
    ['spikes']
    """
    wanted = entry(name)
    return load_path(path(name), wanted.reader, **{**dict(wanted.options), **options})


@cache
def _registry() -> dict[str, Entry]:
    with open(_data_folder() / "registry.toml", "rb") as file:
        return read_registry(tomllib.load(file))


def read_registry(tables: dict[str, dict[str, Any]]) -> dict[str, Entry]:
    """The entries of a parsed registry.

    Examples
    --------
    >>> facts = {"title": "t", "modality": "eeg", "licence": "MIT", "citation": "", "reader": "edf", "url": "embedded"}
    >>> read_registry({"a": {**facts, "files": [{"path": "a.edf", "size": 3, "sha256": "00"}]}})["a"].size
    3
    """
    return {
        name: Entry(
            name=name,
            **{
                **facts,
                "files": tuple(File(**file) for file in facts["files"]),
                "options": tuple(facts.get("options", {}).items()),
                "needs": tuple(facts.get("needs", ())),
            },
        )
        for name, facts in tables.items()
    }


def _data_folder() -> Path:
    """Inside the installed package; beside it in a checkout."""
    package = Path(__file__).resolve().parent
    return package / "_data" if (package / "_data").is_dir() else package.parent / "datasets"


def _in_mirror(wanted: Entry) -> Path | None:
    """The folder of the local mirror, when it has every file of the recording."""
    root = os.environ.get(MIRROR_VARIABLE, "")
    if not root or not wanted.mirror:
        return None
    folder = Path(root).expanduser() / wanted.mirror
    if not all((folder / file.path).is_file() for file in wanted.files):
        return None
    for file in wanted.files:
        got = sha256(folder / file.path)
        if got != file.sha256:
            raise FormatError(
                f"{file.path} of {wanted.name} with the SHA-256 sum {file.sha256}",
                f"{got} in {folder}",
                f"mend the mirror that {MIRROR_VARIABLE} names, or unset the variable to download the file",
            )
    return folder


def _in_cache(wanted: Entry) -> Path:
    """The folder in the user's cache, with what it lacked fetched."""
    pooch = require("pooch", "", "to fetch public recordings")
    root = os.environ.get(CACHE_VARIABLE, "")
    folder = (Path(root).expanduser() if root else Path(pooch.os_cache("neurodata"))) / wanted.name
    for file in wanted.files:
        target = folder / file.path
        if not target.is_file() or sha256(target) != file.sha256:
            _fetch(wanted, file, target)
    return folder


def _fetch(wanted: Entry, file: File, target: Path) -> None:
    import pooch

    url = f"{wanted.url}/{file.source or file.path}"
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # pooch writes to a temporary file, checks the sum, and only then moves it into place.
        pooch.retrieve(
            url,
            known_hash=f"sha256:{file.sha256}",
            fname=target.name,
            path=target.parent,
            downloader=pooch.HTTPDownloader(timeout=_TIMEOUT_S),
        )
    except OSError as error:  # every error of requests, and a disk that is full
        raise DownloadError(
            f"{url} ({file.size / 1e6:.1f} MB)",
            f"{type(error).__name__}: {error}",
            f"check the connection and the free space, or put the files of {wanted.name} "
            f"into a folder that {MIRROR_VARIABLE} names",
        ) from error
    except ValueError as error:  # what pooch raises when the sum is another
        raise FormatError(
            f"{url} with the SHA-256 sum {file.sha256}",
            "another file; it was not kept",
            "the source may have changed: report it, and use a mirror that has the old file",
        ) from error


def sha256(file: Path) -> str:
    """SHA-256 sum of a file, as hexadecimal text.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile() as file:
    ...     sha256(Path(file.name))[:8]
    'e3b0c442'
    """
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
