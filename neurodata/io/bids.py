"""BIDS datasets (EEG, iEEG, MEG): the files through their own readers, the sidecars as BIDS means them.

mne-bids finds the runs and the sidecars that belong to each. Of the sidecars

- ``channels.tsv`` gives types, bad channels and, where the file states none, units; its other columns become
  coordinates of `channel`. Values of a channel whose unit only the sidecar states are kept in that unit;
- ``electrodes.tsv`` gives x, y, z in m, in the frame that ``coordsystem.json`` names (`position_frame`), not turned
  into another one;
- ``events.tsv`` becomes `events` with all its columns; `description` is `trial_type`, or `value` without one.
  Markers that the file itself carries are kept beside, in `events_2`;
- ``eeg.json`` gives reference and line frequency; all of it and the row of ``participants.tsv`` are in `metadata_json`.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata._core.optional import require
from neurodata._core.provenance import jsonable, metadata, storable_attrs
from neurodata.containers._coords import column_values, variable_name
from neurodata.containers.recording import make_recording, make_sessions
from neurodata.containers.trials import make_events
from neurodata.errors import FormatError, NeurodataWarning, OptionError
from neurodata.io.registry import BY_CONTENT, NO, Reader, all_readers

_DATATYPES = ("eeg", "ieeg", "meg")
# BIDS channel types under another name here; all others are the same word in lower case.
_TYPES = {
    "VEOG": "eog",
    "HEOG": "eog",
    "TRIG": "stim",
    "MEGMAG": "mag",
    "MEGGRADAXIAL": "grad",
    "MEGGRADPLANAR": "grad",
    "MEGREFMAG": "ref_meg",
    "TEMP": "temperature",
    "PUPIL": "pupil",
}
_METRES = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}


def detect(path: Path) -> int:
    """A folder whose ``dataset_description.json`` names a BIDS version."""
    description = path / "dataset_description.json"
    try:
        if path.is_dir() and description.is_file():
            return BY_CONTENT if "BIDSVersion" in json.loads(description.read_text("utf-8-sig")) else NO
    except (OSError, ValueError):
        return NO
    return NO


def read(
    path: Path,
    *,
    subject: str | Sequence[str] | None = None,
    session: str | Sequence[str] | None = None,
    task: str | Sequence[str] | None = None,
    run: str | Sequence[str] | None = None,
    datatype: str | Sequence[str] | None = None,
    space: str | None = None,
) -> xr.DataTree:
    """Read a BIDS dataset.

    Parameters
    ----------
    path : Path
        The folder with ``dataset_description.json``.
    subject, session, task, run : str or list of str, optional
        Which to read, without the prefix ("01" for sub-01); default all.
    datatype : str or list of str, optional
        Out of eeg, ieeg, meg.
    space : str, optional
        Coordinate system of the positions, where a run has several (the entity ``space-``).

    Returns
    -------
    DataTree
        One recording when one run fits, else a tree of recordings named by their entities
        (``sub-01_ses-a_task-rest_run-1``).
    """
    wanted = {"subjects": subject, "sessions": session, "tasks": task, "runs": run, "datatypes": datatype}
    runs = _find(path, {key: _listed(value) for key, value in wanted.items() if value is not None})
    names = [_entities(item) for item in runs]
    if len(runs) == 1:
        return _read_run(path, runs[0], space)
    named = [
        name if names.count(name) == 1 else f"{name}_{item.suffix}" for name, item in zip(names, runs, strict=True)
    ]
    trees = {}
    for name, item in zip(named, runs, strict=True):
        trees[name] = _read_run(path, item, space)
        trees[name].attrs["source_file"] = item.fpath.name
    return make_sessions(trees, attrs={"source_format": "BIDS", "dataset": _description(path)})


def _listed(value: str | Sequence[str]) -> list[str]:
    return [str(value)] if isinstance(value, (str, int)) else [str(item) for item in value]


def _find(root: Path, wanted: dict[str, list[str]]) -> list[Any]:
    """Paths of the runs, as mne-bids knows them, one for each recording."""
    mne_bids = require("mne_bids", "eeg", "to read BIDS datasets")
    datatypes = wanted.pop("datatypes", list(_DATATYPES))
    unknown = sorted(set(datatypes) - set(_DATATYPES))
    if unknown:
        raise OptionError(f"datatypes out of {', '.join(_DATATYPES)}", ", ".join(unknown), "pass others")
    with warnings.catch_warnings():
        # mne-bids tells of folders that are not BIDS; what is read is named by the recording itself.
        warnings.simplefilter("ignore", RuntimeWarning)
        found = mne_bids.find_matching_paths(
            root, datatypes=datatypes, suffixes=list(_DATATYPES), ignore_json=True, **wanted
        )
    runs = [item for item in found if item.extension not in (None, ".json", ".tsv") and item.split in (None, "1", "01")]
    runs = [item for item in runs if _reader(item.fpath) is not None]
    if not runs:
        chosen = ", ".join(f"{key}={value}" for key, value in wanted.items()) or "any subject"
        subjects = sorted(folder.name for folder in root.glob("sub-*"))
        raise FormatError(
            f"runs of {', '.join(datatypes)} in a format that a reader here knows",
            f"{root.name} has none for {chosen}; its subjects are {', '.join(subjects[:8]) or 'none'}",
            "check subject=, session=, task=, run= and datatype=",
        )
    return sorted(runs, key=lambda item: str(item.fpath))


def _reader(path: Path) -> Reader | None:
    for reader in all_readers().values():
        if reader.name != "bids" and "eeg" in reader.modalities and reader.detect(path) == BY_CONTENT:
            return reader
    return None


def _entities(item: Any) -> str:
    """``sub-01_ses-a_task-rest`` of ``sub-01_ses-a_task-rest_eeg.vhdr``."""
    return item.fpath.name.removesuffix(item.extension).rpartition("_")[0]


def _read_run(root: Path, item: Any, space: str | None) -> xr.DataTree:
    reader = _reader(item.fpath)
    assert reader is not None  # _find keeps only files with one
    recording = reader.read(item.fpath)
    nodes: dict[str, xr.Dataset] = {name: child.to_dataset(inherit=False) for name, child in recording.children.items()}
    facts = _json(item, item.datatype)
    channels, events = _table(item, "channels"), _table(item, "events")
    position = _positions(item, space)
    for name in [name for name in nodes if name.partition("_")[0] == "eeg"]:
        nodes[name] = _with_sidecars(nodes[name], item, channels, position, facts)
    if events is not None:
        start = float(nodes["eeg"]["time"][0]) if "eeg" in nodes else 0.0
        if "events" in nodes:
            nodes["events_2"] = nodes.pop("events")
        nodes["events"] = _events(events, start)
    own = {str(key): value for key, value in recording.attrs.items()}
    attrs: dict[str, Any] = {
        **own,
        "subject_id": item.subject or "",
        "session_id": item.session or "",
        "task": item.task or "",
        "run": item.run or "",
        "bids_path": item.fpath.relative_to(root).as_posix(),
        "reader": reader.name,
        **metadata(own),
        "sidecar": facts,
        "participant": _participant(root, item.subject),
        "dataset": _description(root),
    }
    attrs.pop("metadata_json", None)
    return make_recording(nodes, attrs=attrs)


def _sidecar(item: Any, suffix: str, extension: str) -> Path | None:
    """The sidecar that BIDS's rule of inheritance gives to a run; two that fit equally well are no choice of ours."""
    try:
        found = item.find_matching_sidecar(suffix=suffix, extension=extension, on_error="ignore")
    except RuntimeError as error:
        raise FormatError(
            f"one {suffix}{extension} for {item.fpath.name}", " ".join(str(error).split()), "mend the dataset"
        ) from error
    return None if found is None else Path(found)


def _table(item: Any, suffix: str) -> pd.DataFrame | None:
    path = _sidecar(item, suffix, ".tsv")
    return None if path is None else _tsv(path)


def _tsv(path: Path) -> pd.DataFrame:
    try:
        # The files may start with a byte order mark; n/a is the one word for missing.
        return pd.read_csv(path, sep="\t", encoding="utf-8-sig", na_values=["n/a"], keep_default_na=False)
    except ValueError as error:
        raise FormatError("a table of tab-separated values", f"{path.name}: {error}", "mend the file") from error


def _json(item: Any, suffix: str) -> dict[str, Any]:
    path = _sidecar(item, suffix, ".json")
    return {} if path is None else _parsed(path)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise FormatError("a JSON file", f"{path.name}: {error}", "mend the file") from error


def _description(root: Path) -> dict[str, Any]:
    return _parsed(root / "dataset_description.json")


def _participant(root: Path, subject: str | None) -> dict[str, Any]:
    path = root / "participants.tsv"
    if not path.is_file():
        return {}
    table = _tsv(path)
    if "participant_id" not in table:
        return {}
    row = table[table["participant_id"] == f"sub-{subject}"]
    return {} if row.empty else jsonable({key: value for key, value in row.iloc[0].items() if not pd.isna(value)})


def _in_space(item: Any, suffix: str, extension: str, space: str | None) -> Path | None:
    """The ``electrodes`` or ``coordsystem`` file of a run; a run may have one per coordinate system (``space-``)."""
    folder, own = item.fpath.parent, set(_entities(item).split("_"))
    found: dict[str, Path] = {}
    for path in sorted(folder.glob(f"*_{suffix}{extension}")):
        parts = set(path.name.removesuffix(f"_{suffix}{extension}").split("_"))
        spaces = [part.removeprefix("space-") for part in parts if part.startswith("space-")]
        if {part for part in parts if not part.startswith("space-")} <= own:
            found[spaces[0] if spaces else ""] = path
    if space is not None:
        if space not in found:
            raise OptionError(f"a space out of {sorted(found)}", repr(space), "pass another space=")
        return found[space]
    if len(found) > 1 and "" not in found:
        warnings.warn(
            f"{item.fpath.name} has positions in the spaces {', '.join(found)}: none was read, choose one with space=",
            NeurodataWarning,
            stacklevel=5,
        )
        return None
    return found.get("", next(iter(found.values()), None))


def _positions(item: Any, space: str | None) -> tuple[dict[str, np.ndarray], str]:
    """Position of each electrode in m, and the frame; none when the unit is not a length."""
    path = _in_space(item, "electrodes", ".tsv", space)
    electrodes = None if path is None else _tsv(path)
    if path is None or electrodes is None or not {"name", "x", "y", "z"} <= set(electrodes.columns):
        return {}, ""
    coordsystem = path.with_name(path.name.replace("_electrodes.tsv", "_coordsystem.json"))
    system = _parsed(coordsystem) if coordsystem.is_file() else {}
    kind = {"eeg": "EEG", "ieeg": "iEEG", "meg": "MEG"}[item.datatype]
    unit = str(system.get(f"{kind}CoordinateUnits", ""))
    if unit not in _METRES:
        warnings.warn(
            f"positions of {item.fpath.name} left out: their unit is {unit or 'not stated'!r}, not m, cm or mm",
            NeurodataWarning,
            stacklevel=4,
        )
        return {}, ""
    place = electrodes[["x", "y", "z"]].apply(pd.to_numeric, errors="coerce").to_numpy(dtype=np.float64)
    frame = str(system.get(f"{kind}CoordinateSystem", ""))
    return dict(zip(electrodes["name"].astype(str), place * _METRES[unit], strict=True)), frame


def _with_sidecars(
    node: xr.Dataset,
    item: Any,
    channels: pd.DataFrame | None,
    position: tuple[dict[str, np.ndarray], str],
    facts: dict[str, Any],
) -> xr.Dataset:
    labels = node["label" if "label" in node.coords else "channel"].values.astype(str)
    attrs = dict(node.attrs)
    reference = facts.get(f"{'iEEG' if item.datatype == 'ieeg' else 'EEG'}Reference", "")
    if isinstance(reference, str) and reference not in ("", "n/a"):
        attrs["reference"] = reference
    if isinstance(facts.get("PowerLineFrequency"), (int, float)):
        attrs["line_freq"] = float(facts["PowerLineFrequency"])
    coords: dict[str, Any] = {}
    if channels is not None and "name" in channels:
        coords |= _channel_coords(node, item, channels.set_index(channels["name"].astype(str)), labels)
    known, frame = position
    if known:
        missing = np.full(3, np.nan)
        place = np.array([known.get(label, missing) for label in labels])
        coords |= {axis: xr.Variable("channel", place[:, i], {"units": "m"}) for i, axis in enumerate("xyz")}
        attrs["position_frame"] = frame
    return node.assign_coords(coords).assign_attrs(storable_attrs(attrs))


def _channel_coords(node: xr.Dataset, item: Any, table: pd.DataFrame, labels: np.ndarray) -> dict[str, Any]:
    absent = sorted(set(labels) - set(table.index))
    if absent or table.index.has_duplicates:
        warnings.warn(
            f"channels.tsv of {item.fpath.name} "
            + (f"does not list {', '.join(absent[:5])}" if absent else "lists a channel twice")
            + ": what it says of these channels is not used",
            NeurodataWarning,
            stacklevel=5,
        )
    rows = table[~table.index.duplicated(keep=False)].reindex(labels)
    coords: dict[str, Any] = {}

    def merged(name: str, new: list[Any]) -> Any:
        old = node[name].values.tolist()
        return ("channel", np.array([was if now is None else now for was, now in zip(old, new, strict=True)]))

    if "type" in rows:
        coords["ch_type"] = merged(
            "ch_type", [None if pd.isna(kind) else _TYPES.get(kind, str(kind).lower()) for kind in rows["type"]]
        )
    if "status" in rows:
        coords["bad"] = merged("bad", [None if pd.isna(status) else status == "bad" for status in rows["status"]])
    if "units" in rows:
        stated = [None if pd.isna(unit) else str(unit) for unit in rows["units"]]
        for name in ("ch_unit", "ch_unit_original"):
            known = node[name].values.astype(str)
            coords[name] = merged(name, [None if have else unit for have, unit in zip(known, stated, strict=True)])
    for column in rows.columns:
        name, column_attrs = variable_name(column)
        if column in ("name", "type", "status", "units") or name in node.variables or name in node.dims:
            continue
        coords[name] = xr.Variable("channel", column_values(rows[column].reset_index(drop=True)), column_attrs)
    return coords


def _events(table: pd.DataFrame, start: float) -> xr.Dataset:
    """``events.tsv``: onsets are counted from the first sample, which is at `start`."""
    if "onset" not in table:
        raise FormatError("events.tsv with a column onset", f"columns {list(table.columns)}", "mend the file")
    known = table[pd.to_numeric(table["onset"], errors="coerce").notna()]
    if len(known) < len(table):
        warnings.warn(
            f"{len(table) - len(known)} rows of events.tsv without an onset were left out",
            NeurodataWarning,
            stacklevel=4,
        )
    text = next((known[name] for name in ("trial_type", "value") if name in known), None)
    description = "" if text is None else ["" if pd.isna(item) else str(item) for item in text]
    duration = pd.to_numeric(known["duration"], errors="coerce").to_numpy(np.float64) if "duration" in known else np.nan
    rest = {name: known[name].reset_index(drop=True) for name in known if name not in ("onset", "duration")}
    columns: dict[str, Any] = {
        ("description_" if name in ("description", "event") else str(name)): rest[name] for name in rest
    }
    return make_events(known["onset"].to_numpy(np.float64) + start, duration, description, **columns)


READER = Reader(
    name="bids",
    formats="BIDS dataset folder (EEG, iEEG, MEG)",
    modalities=("eeg", "events"),
    suffixes=(),
    detect=detect,
    read=read,
    extra="eeg",
    packages=("mne", "mne_bids"),
)
