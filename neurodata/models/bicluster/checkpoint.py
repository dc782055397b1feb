"""Chains on disk, so that a run that was stopped goes on as if it had not been: one file a chain, no pickle."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import uuid
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurodata._core.provenance import version
from neurodata.errors import FormatError, OptionError, StoreError
from neurodata.models.bicluster.draws import Draws, Plan, as_arrays, from_arrays
from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.state import Counts, State
from neurodata.models.bicluster.sweep import Settings

# Of the file's layout.
VERSION = 1
_HEADER = "header"


@dataclass
class Saved:
    """A chain as it was after `n_done` sweeps."""

    n_done: int
    rng: dict[str, Any]
    state: State
    draws: Draws
    counted: np.ndarray


def path_of(folder: Path, number: int) -> Path:
    """File of chain `number`."""
    return folder / f"chain-{number:03d}.npz"


def identity(
    data: Counts, prior: Prior, settings: Settings, plan: Plan, number: int, seed: dict[str, Any] | None
) -> dict[str, Any]:
    """What a checkpoint must be of, by name. `seed` is the first state of the chain's generator; None = any."""
    return {
        "counts": _sum_of(data.counts),
        "sequences": _sum_of(data.starts),
        **{f"prior {k}": v for k, v in dataclasses.asdict(prior).items()},
        **{f"sampler {k}": v for k, v in dataclasses.asdict(settings).items()},
        **dataclasses.asdict(plan),
        "chain": number,
        "rng": None if seed is None else hashlib.sha256(json.dumps(seed, sort_keys=True).encode()).hexdigest(),
        "version of neurodata": version(),
    }


def write(path: Path, saved: Saved, who: dict[str, Any]) -> None:
    """Write one chain: under a temporary name, to the disk, then in place of the file before it."""
    arrays = {f"draws_{name}": values for name, values in as_arrays(saved.draws).items()}
    arrays["counted"] = saved.counted
    numbers = {}
    for one in dataclasses.fields(State):
        value = getattr(saved.state, one.name)
        if isinstance(value, np.ndarray):
            arrays[f"state_{one.name}"] = value
        else:
            numbers[one.name] = value
    header = {
        "version": VERSION,
        "identity": who,
        "n_done": saved.n_done,
        "rng": saved.rng,
        "state": numbers,
        "sha256": {name: _sum_of(values) for name, values in arrays.items()},
    }
    text = json.dumps(header, default=int).encode()
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with open(partial, "wb") as file:
            # mypy takes the arrays for the keyword allow_pickle.
            np.savez(file, **{_HEADER: np.frombuffer(text, dtype=np.uint8)}, **arrays)  # type: ignore[arg-type]
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise StoreError(
            f"to write the checkpoint {path}", f"{type(error).__name__}: {error}", "free space, or pass another folder"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


def read(path: Path, who: dict[str, Any], data: Counts, prior: Prior, plan: Plan) -> Saved:
    """Read one chain.

    Raises
    ------
    FormatError
        A file that is damaged, or no checkpoint of this version.
    OptionError
        A checkpoint of other data or settings; the message names which.
    """
    header, arrays = _read_file(path)
    _check_identity(path, header["identity"], who)
    state: dict[str, Any] = {
        one.name: arrays[f"state_{one.name}"] if f"state_{one.name}" in arrays else header["state"][one.name]
        for one in dataclasses.fields(State)
    }
    drawn = {name.removeprefix("draws_"): values for name, values in arrays.items() if name.startswith("draws_")}
    n_units, n_bins = data.counts.shape
    draws = from_arrays(drawn, n_units, n_bins, prior, plan)
    return Saved(int(header["n_done"]), header["rng"], State(**state), draws, arrays["counted"])


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    fix = "remove it to start the chain anew"
    try:
        # Opened here: NumPy leaves a file open that it cannot read.
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        header = json.loads(arrays.pop(_HEADER).tobytes())
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise FormatError("a complete checkpoint", f"{path}: {type(error).__name__}: {error}", fix) from error
    if header.get("version") != VERSION:
        raise FormatError(f"a checkpoint of version {VERSION}", f"{path}: version {header.get('version')}", fix)
    changed = sorted(
        name for name, sum_ in header["sha256"].items() if name not in arrays or _sum_of(arrays[name]) != sum_
    )
    if changed:
        raise FormatError("a checkpoint as it was written", f"{path}: {', '.join(changed)} changed", fix)
    return header, arrays


def _check_identity(path: Path, found: dict[str, Any], wanted: dict[str, Any]) -> None:
    # Through JSON, as the file's: a tuple is a list there.
    wanted = json.loads(json.dumps(wanted))
    if wanted["rng"] is None or found.get("rng") is None:
        wanted = {**wanted, "rng": found.get("rng")}
    other = sorted(name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name))
    if other:
        shown = [
            name if name in ("counts", "sequences", "rng") else f"{name} {found.get(name)!r}, now {wanted.get(name)!r}"
            for name in other
        ]
        raise OptionError(
            "a checkpoint of these data and settings",
            f"{path} differs in: {'; '.join(shown)}",
            "pass the data and settings it is of, or another folder as checkpoint=",
        )


def _sum_of(values: np.ndarray) -> str:
    values = np.ascontiguousarray(values)
    digest = hashlib.sha256(f"{values.dtype.str}{values.shape}".encode())
    digest.update(values.data if values.size else b"")
    return digest.hexdigest()
