"""From what was typed to a recording: a path or the name of a known one, options, and what the reader warned of."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata import datasets
from neurodata.errors import NeurodataWarning, OptionError
from neurodata.io.load import load

# Larger inputs are named with their size only: reading terabytes for their sums would take longer than the analysis.
_MOST_BYTES = 256 * 2**20
_MOST_FILES = 200


@dataclass
class Input:
    """A loaded recording and what is worth telling of how it was loaded."""

    name: str
    recording: xr.DataTree
    path: Path
    options: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    about: str = ""


def load_input(arguments: argparse.Namespace) -> Input:
    """Load what the arguments name.

    A path wins over a recording of `nd.datasets` with the same name.
    """
    options = dict(arguments.option)
    if arguments.sampling_rate is not None:
        options["sampling_rate"] = arguments.sampling_rate
    if not Path(arguments.path).expanduser().exists() and arguments.path in datasets.names():
        entry = datasets.entry(arguments.path)
        if arguments.reader not in (None, entry.reader):
            raise OptionError(f"the reader {entry.reader!r} for {entry.name}", repr(arguments.reader), "drop --reader")
        path = datasets.path(entry.name)
        options = {**dict(entry.options), **options}
        reader: str | None = entry.reader
        name, about = entry.name, f"{entry.title}. Licence {entry.licence}. {entry.citation}."
    else:
        path = Path(arguments.path).expanduser()
        reader, about = arguments.reader, ""
        name = path.resolve().stem if path.is_file() else path.resolve().name
    with collected_warnings() as remarks:
        recording = load(path, reader, **options)
    shown = {"reader": reader, **options} if reader else options
    return Input(name, recording, path, shown, remarks, about)


@contextmanager
def collected_warnings() -> Iterator[list[str]]:
    """Inside, warnings of neurodata go into the list; all others go where they went before."""
    remarks: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", NeurodataWarning)
        before = warnings.showwarning

        def show(message: Any, category: Any, *rest: Any, **more: Any) -> None:
            if issubclass(category, NeurodataWarning):
                if str(message) not in remarks:
                    remarks.append(str(message))
            else:
                before(message, category, *rest, **more)

        warnings.showwarning = show
        yield remarks


def file_sums(path: Path) -> list[tuple[str, int, str]]:
    """Name, size (bytes) and SHA-256 sum of the files of an input; "" for the sums of large ones.

    Names are relative to the input, so that a report does not tell where things lie on somebody's machine.
    """
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    base = path.parent if path.is_file() else path
    sizes = [file.stat().st_size for file in files]
    small = sum(sizes) <= _MOST_BYTES
    rows = [
        (file.relative_to(base).as_posix(), size, datasets.sha256(file) if small else "")
        for file, size in zip(files[:_MOST_FILES], sizes, strict=False)
    ]
    if len(files) > _MOST_FILES:
        rows.append((f"... and {len(files) - _MOST_FILES} more files", sum(sizes[_MOST_FILES:]), ""))
    return rows
