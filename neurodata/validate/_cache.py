"""Cells on disk: one small file each, complete or absent, damage found on reading."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import xarray as xr

from neurodata.containers.store import read_tree, write_tree
from neurodata.errors import FormatError
from neurodata.validate._cells import Outcome

# A file takes milliseconds to write; a partial one of this age (s) belongs to a process that was killed.
_STALE = 600.0


def cell_path(store: Path, key: str) -> Path:
    """Where the cell of a key lies."""
    return store / f"{key}.nc"


def write(store: Path, outcome: Outcome) -> Path:
    """Write a cell, atomically.

    Text goes as bytes into an array, since HDF5 sums arrays and not attributes.
    """
    record = {
        "key": outcome.key,
        "metric": list(outcome.score),
        "status": [outcome.status[name] for name in outcome.score],
        "curve": {name: len(values) for name, values in outcome.curve.items()},
        "error": outcome.error,
        "warning": outcome.warning,
    }
    chance = [outcome.chance[name] for name in outcome.score]
    numbers = np.concatenate([[outcome.runtime], list(outcome.score.values()), chance, *outcome.curve.values()])
    text = np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)
    # Two arrays and no more: what a file costs is the number of its parts.
    dataset = xr.Dataset({"record": ("byte", text), "number": ("row", numbers.astype(np.float64))})
    return write_tree(xr.DataTree(dataset), cell_path(store, outcome.key))


def read(store: Path, key: str, place: tuple[int, ...]) -> Outcome:
    """Read a cell back.

    Raises
    ------
    FormatError
        When it is damaged, cut short, or of another key.
    """
    path = cell_path(store, key)
    data = read_tree(path, lazy=False).to_dataset()
    try:
        record = json.loads(data["record"].values.tobytes())
        names, sizes = record["metric"], record["curve"]
        parts = np.split(data["number"].values, np.cumsum([1, len(names), len(names), *sizes.values()]))
        if record["key"] != key or parts[-1].size:
            raise ValueError("it holds another cell")
        runtime, score, chance, *curves = parts[:-1]
        return Outcome(
            place,
            key,
            score=dict(zip(names, score.tolist(), strict=True)),
            chance=dict(zip(names, chance.tolist(), strict=True)),
            status=dict(zip(names, record["status"], strict=True)),
            curve=dict(zip(sizes, curves, strict=True)),
            error=record["error"],
            warning=record["warning"],
            runtime=float(runtime[0]),
        )
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise FormatError("a cell of a grid", f"{path.name}: {error}", "delete it; the grid makes it anew") from error


def clean(store: Path) -> None:
    """Remove what killed processes left half-written."""
    for path in store.glob(".*.partial.nc"):
        try:
            if time.time() - path.stat().st_mtime > _STALE:
                path.unlink()
        except FileNotFoundError:  # another grid on this store finished or removed it
            continue
