"""Put the files of a report in place: all complete, or none."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from neurodata.errors import NeurodataError, StoreError

Writer = Callable[[Path], object]


def write_files(folder: Path, writers: Mapping[str, Writer]) -> list[Path]:
    """Write each file beside its place and move them all there once they are complete.

    Parameters
    ----------
    folder : Path
        Made when missing. Other files in it stay as they are.
    writers : mapping
        File name to a function that writes to the path it is given.

    Raises
    ------
    StoreError
        When writing fails (full disk, no permission); what was there before is untouched.

    Examples
    --------
    >>> with tempfile.TemporaryDirectory() as place:
    ...     [path.name for path in write_files(Path(place) / "out", {"a.txt": lambda path: path.write_text("hi")})]
    ['a.txt']
    """
    made: list[Path] = []
    staging: Path | None = None
    try:
        made = _make(folder)
        staging = Path(tempfile.mkdtemp(prefix=".partial-", dir=folder))
        for name, write in writers.items():
            write(staging / name)
            _flush(staging / name)
        for name in writers:
            os.replace(staging / name, folder / name)
        made = []
    except OSError as error:
        if isinstance(error, NeurodataError):
            raise
        raise StoreError(
            f"to write {', '.join(writers)} into {folder}",
            f"{type(error).__name__}: {error}",
            "free disk space or choose another folder with --out; nothing was changed",
        ) from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        for empty in reversed(made):
            empty.rmdir()
    return [folder / name for name in writers]


def _make(folder: Path) -> list[Path]:
    """Make a folder and its parents; those that were missing, outermost first."""
    if folder.is_dir():
        return []
    missing = [folder]
    while not missing[0].parent.exists():
        missing.insert(0, missing[0].parent)
    for path in missing:
        path.mkdir()
    return missing


def _flush(path: Path) -> None:
    with open(path, "rb") as file:
        os.fsync(file.fileno())
