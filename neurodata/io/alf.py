"""Sessions in ALF, the format of the International Brain Laboratory: one recording per probe."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.containers import make_recording, make_sessions, make_spikes
from neurodata.errors import FormatError, RecordingError
from neurodata.io._alf_clusters import read_units
from neurodata.io._alf_files import AlfFile, files_in, pick, read_array
from neurodata.io._alf_session import read_trials, read_wheel
from neurodata.io.registry import BY_CONTENT, NO, Reader

# Spikes lie at most this deep: session/alf/probe00/pykilosort.
_DEPTH = 3


def detect(path: Path) -> int:
    """A folder with spike times or trials under ALF names, a session with a folder ``alf``, or folders ``probe...``.

    Stricter than what `read` takes: a folder of many recordings, one of them in ALF, is not an ALF session.
    """
    try:
        if not path.is_dir():
            return NO
        session = path / "alf" if (path / "alf").is_dir() else path
        if _is_alf(session, depth=2 if session.name == "alf" else 0):
            return BY_CONTENT
        probes = [entry for entry in os.scandir(session) if entry.is_dir() and entry.name.startswith("probe")]
        return BY_CONTENT if any(_is_alf(Path(probe.path), depth=1) for probe in probes) else NO
    except OSError:
        return NO


def _is_alf(folder: Path, depth: int) -> bool:
    return any(
        file.is_spike_times or (file.object in ("trials", "wheel") and file.path.name.startswith("_ibl_"))
        for file in files_in(folder, depth)
    )


def read(
    path: Path,
    *,
    time_unit: str | None = None,
    sort: bool = False,
    support: Any = None,
    allow_pickle: bool = False,
) -> xr.DataTree:
    """Read an ALF session, a folder ``alf``, or the folder of one probe.

    One probe gives a recording; several give a DataTree of recordings named by their folders (``probe00``), each with
    its own copy of the trials and the wheel, which share the session's clock.

    The unit ids are the cluster ids; `depth` (um), `channel` (row of the channels arrays), `x`, `y` (um), `region`
    and the columns of clusters.metrics are coordinates where they are there. ``trials.intervals`` becomes `start` and
    `stop`; trials that have event times but no intervals are given as `events` too. The root's metadata names, as
    `left_out`, the ALF files that were not read.

    Parameters
    ----------
    path : Path
        The folder.
    time_unit : {"s", "ms", "us"}, optional
        Unit of spikes.times: seconds, as the format has it. Stating it switches off the check that they look like it.
    sort : bool
        Sort the times inside each unit. Unsorted times are an error otherwise.
    support : array (epoch, 2), optional
        Start and stop (s) of the stretches that were recorded; needed where spikes come before time 0.
    allow_pickle : bool
        Unpickle arrays that are stored as Python objects. Only for files you trust.
    """
    folder = Path(path)
    files = list(files_in(folder, _DEPTH)) if folder.is_dir() else []
    nodes, read_files = _session_nodes(files, allow_pickle)
    probes: dict[str, tuple[xr.Dataset, list[AlfFile]]] = {}
    for times in (file for file in files if file.is_spike_times):
        beside = [file for file in files if file.path.parent == times.path.parent and file.extra == times.extra]
        name = _probe_name(folder, times)
        if name in probes:
            pick(beside, "spikes", "times", times.timescale)
            raise FormatError(
                "one clock of the spike times of a probe",
                ", ".join(file.path.name for file in beside if file.is_spike_times),
                "move those that are not meant elsewhere",
            )
        probes[name] = _spikes(times, beside, time_unit, sort, support, allow_pickle)
    if not probes and not nodes:
        raise FormatError(
            "a folder with spikes.times.npy, trials or wheel files under ALF names",
            f"{folder.name} holds none down to {_DEPTH} folders",
            "check the path, or leave reader= out",
        )
    used = {file.path for file in read_files} | {file.path for _, own in probes.values() for file in own}
    left_out = [file.path.relative_to(folder).as_posix() for file in files if file.path not in used]
    attrs: dict[str, Any] = {"source_format": "alf", **({"left_out": left_out} if left_out else {})}
    if len(probes) <= 1:
        for name, (spikes, _) in probes.items():
            nodes, attrs = {"spikes": spikes, **nodes}, {**attrs, "probe": name}
        return make_recording(nodes, attrs=attrs)
    return make_sessions(
        {
            name: make_recording({"spikes": spikes, **nodes}, attrs={"source_format": "alf", "probe": name})
            for name, (spikes, _) in probes.items()
        },
        attrs=attrs,
    )


def _probe_name(folder: Path, times: AlfFile) -> str:
    parts = [part for part in times.path.parent.relative_to(folder).parts if part != "alf"]
    parts += [times.extra] if times.extra else []
    return "_".join(parts) or folder.name


def _session_nodes(files: Sequence[AlfFile], allow_pickle: bool) -> tuple[dict[str, xr.Dataset], list[AlfFile]]:
    """Trials, events and wheel; those of a second task folder are `trials_2` and so on."""
    nodes: dict[str, xr.Dataset] = {}
    read = []
    for folder in dict.fromkeys(file.path.parent for file in files):
        here = [file for file in files if file.path.parent == folder]
        found = read_trials(here, allow_pickle)
        wheel = read_wheel(here, allow_pickle)
        if wheel is not None:
            found["behaviour"] = wheel
        for name, node in found.items():
            number = 1 + sum(other.partition("_")[0] == name for other in nodes)
            nodes[name if number == 1 else f"{name}_{number}"] = node
        read += [file for file in here if file.object == "trials" or (file.object, file.attribute) in _READ_HERE]
    return nodes, read


_READ_HERE = {("licks", "times")} | {
    ("wheel", attribute) for attribute in ("position", "velocity", "acceleration", "timestamps", "times")
}


def _spikes(
    times: AlfFile, files: Sequence[AlfFile], time_unit: str | None, sort: bool, support: Any, allow_pickle: bool
) -> tuple[xr.Dataset, list[AlfFile]]:
    """The spikes of one probe and the files they came from."""
    read = {"times": times}
    for attribute in ("clusters", "samples", "amps"):
        file = pick(files, "spikes", attribute)
        if file is not None:
            read[attribute] = file
    if "clusters" not in read:
        raise FormatError(
            f"spikes.clusters.npy beside {times.path.name}", "none", "add the file that says whose spikes these are"
        )
    columns = {attribute: read_array(file, allow_pickle) for attribute, file in read.items()}
    sizes = {attribute: values.shape for attribute, values in columns.items()}
    if any(shape != (len(columns["times"]),) for shape in sizes.values()):
        raise RecordingError(
            "one value per spike in spikes.times, spikes.clusters, ...",
            ", ".join(f"spikes.{name} {shape}" for name, shape in sizes.items()),
            "check that the files are of one sorting",
        )
    for attribute, values in columns.items():
        kind = "whole numbers" if attribute in ("clusters", "samples") else "numbers"
        if values.dtype.kind not in "iuf" or (kind != "numbers" and not _whole(values)):
            raise FormatError(f"{kind} in {read[attribute].path.name}", f"{values.dtype} values", "write it again")
    cluster = columns["clusters"].astype(np.int64)
    units, coords, of_units = read_units(files, cluster, allow_pickle)
    attrs: dict[str, Any] = {"clock": times.timescale} if times.timescale else {}
    if sort:
        attrs = with_operation(attrs, "sort", by="time inside each unit", reader="alf")
    spikes = make_spikes(
        columns["times"],
        cluster,
        unit=units,
        time_unit=time_unit,
        sort=sort,
        support=support,
        spike_sample=columns.get("samples"),
        spike_amplitude=columns.get("amps"),
        attrs=attrs,
        **coords,
    )
    if "amps" in columns:
        spikes["spike_amplitude"].attrs["units"] = "V"
    return spikes, [*read.values(), *of_units]


def _whole(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and (values == np.floor(values)).all())


READER = Reader(
    name="alf",
    formats="IBL ALF sessions",
    modalities=("spikes", "trials", "events", "behaviour"),
    suffixes=(),
    detect=detect,
    read=read,
)
