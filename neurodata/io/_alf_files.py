"""Names of ALF files, taken apart: ``_ibl_trials.stimOn_times_bpod.extra.<uuid>.npy`` and the like.

The naming rules are those of the ALF specification (https://int-brain-lab.github.io/ONE/alf_intro.html): namespace,
object, attribute, timescale, extra parts, extension.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurodata._core.optional import require
from neurodata.errors import FormatError
from neurodata.io._npy import read_npy

_OBJECT = re.compile(r"(?:_(?P<namespace>[A-Za-z0-9]+)_)?(?P<object>[A-Za-z0-9]\w*)")
_ATTRIBUTE = re.compile(r"(?P<attribute>[A-Za-z0-9]+(?:_times|_intervals)?)(?:_(?P<timescale>\w+))?")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_EXTENSIONS = ("npy", "csv", "tsv", "pqt", "parquet")


@dataclass(frozen=True)
class AlfFile:
    """One file and what its name says. `extra` is without the id that names a data set, not a part of it."""

    path: Path
    object: str
    attribute: str
    timescale: str
    extra: str
    extension: str

    @property
    def name(self) -> str:
        """Attribute with its timescale, the name of a column."""
        return f"{self.attribute}_{self.timescale}" if self.timescale else self.attribute

    @property
    def is_spike_times(self) -> bool:
        """Whether it holds spike times, which make a folder a recording."""
        return self.object == "spikes" and self.attribute == "times" and self.extension == "npy"


def parse_name(path: Path) -> AlfFile | None:
    """What the name of a file says, or None when it is not an ALF name of an array or a table.

    Examples
    --------
    >>> file = parse_name(Path("_ibl_trials.stimOn_times.npy"))
    >>> file.object, file.attribute
    ('trials', 'stimOn_times')
    """
    parts = path.name.split(".")
    if len(parts) < 3 or parts[-1].lower() not in _EXTENSIONS:
        return None
    owner, attribute = _OBJECT.fullmatch(parts[0]), _ATTRIBUTE.fullmatch(parts[1])
    if owner is None or attribute is None:
        return None
    extra = ".".join(part for part in parts[2:-1] if not _UUID.fullmatch(part))
    return AlfFile(
        path,
        owner["object"],
        attribute["attribute"],
        attribute["timescale"] or "",
        extra,
        parts[-1].lower(),
    )


def files_in(folder: Path, depth: int = 0) -> Iterator[AlfFile]:
    """ALF files of a folder and of its sub-folders down to `depth`, by name; hidden folders are left."""
    with os.scandir(folder) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        if entry.is_file():
            file = parse_name(Path(entry.path))
            if file is not None:
                yield file
    for entry in ordered:
        if depth and entry.is_dir() and not entry.name.startswith("."):
            yield from files_in(Path(entry.path), depth - 1)


def pick(files: Sequence[AlfFile], owner: str, attribute: str, timescale: str = "") -> AlfFile | None:
    """The one file of an attribute, or None; two of them are an error, because only the user knows which counts."""
    found = [
        file for file in files if file.object == owner and file.attribute == attribute and file.timescale == timescale
    ]
    if len(found) > 1:
        raise FormatError(
            f"one file of {owner}.{attribute}",
            ", ".join(file.path.name for file in found),
            "move those that are not meant elsewhere",
        )
    return found[0] if found else None


def read_array(file: AlfFile, allow_pickle: bool = False) -> np.ndarray:
    """The array of a .npy file; a column (n, 1) becomes (n,), objects that were unpickled become numbers or text."""
    values = read_npy(file.path, allow_pickle)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    return np.array(values.tolist()) if values.dtype == object and values.size else values


def read_parquet(path: Path) -> Any:
    """A Parquet table as a DataFrame."""
    pyarrow = require("pyarrow", "ephys", f"to read {path.name}")
    parquet = require("pyarrow.parquet", "ephys", f"to read {path.name}")
    try:
        return parquet.read_table(path).to_pandas()
    except (pyarrow.ArrowException, OSError) as error:
        raise FormatError(f"{path.name} to be a Parquet table", str(error), "copy or write it again") from error
