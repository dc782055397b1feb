"""Position tracking of SpikeGadgets/Trodes (`.videoPositionTracking`): a text header that names the binary fields."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers import make_behaviour, make_recording
from neurodata.errors import FormatError, MissingOptionError
from neurodata.io.registry import BY_CONTENT, NO, Reader, starts_with

_START, _END = b"<Start settings>", b"<End settings>"
_MAX_HEADER = 65536
_TYPES = {
    **{f"{sign}int{bits}": f"<{sign[:1] or 'i'}{bits // 8}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "float": "<f4",
    "single": "<f4",
    "double": "<f8",
}
_FIELD = re.compile(r"<\s*(\S+)\s+(\w+?)(?:\*(\d+))?\s*>")
# xloc, yloc are the first point; xloc2, yloc2 the second, and so on.
_POINT = re.compile(r"([xyz])loc(\d*)")
_PIXELS_PER_CM = re.compile(r"([0-9.eE+-]+)\s*pix/cm")


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Settings of the header, and where the records begin."""
    with open(path, "rb") as file:
        head = file.read(_MAX_HEADER)
    end = head.find(_END)
    newline = head.find(b"\n", end)
    if not head.startswith(_START) or end < 0 or newline < 0:
        raise FormatError(
            "a header from <Start settings> to <End settings>",
            f"{path.name} without it" if not head.startswith(_START) else f"{path.name}, whose header has no end",
            "copy the file again, or choose another reader=",
        )
    lines = head[len(_START) : end].decode("latin-1").splitlines()
    settings = dict(line.split(":", 1) for line in lines if ":" in line)
    return {key.strip(): value.strip() for key, value in settings.items()}, newline + 1


def _record_type(settings: dict[str, str], name: str) -> np.dtype:
    text = settings.get("Fields", "")
    fields: list[Any] = []
    for field, kind, length in _FIELD.findall(text):
        if kind not in _TYPES:
            raise FormatError(f"fields of type {', '.join(_TYPES)}", f"{field} of type {kind}", "export it again")
        fields.append((field, _TYPES[kind], (int(length),)) if length else (field, _TYPES[kind]))
    names = [field[0] for field in fields]
    if not names or len(set(names)) != len(names) or _FIELD.sub("", text).strip():
        raise FormatError("a line 'Fields: <name type>...' in the header", f"{text!r} in {name}", "export it again")
    return np.dtype(fields)


def detect(path: Path) -> int:
    """By the header: it begins with <Start settings> and names a point."""
    if not path.is_file() or not starts_with(path, _START):
        return NO
    try:
        settings, _ = _header(path)
    except (OSError, ValueError):
        return NO
    return BY_CONTENT if "loc" in settings.get("Fields", "") else NO


def read(path: Path, *, sampling_rate: float | None = None) -> xr.DataTree:
    r"""Read a position tracking file.

    Parameters
    ----------
    path : Path
    sampling_rate : float, optional
        Ticks per second of the clock, Hz, for headers without `clockrate`.

    Returns
    -------
    DataTree
        `behaviour` with `position` (time, space, keypoint, individual) in px as the file has it, one keypoint per
        tracked light (``led1``, ``led2``), and `value` for further fields. Times are ticks over the clock rate, on
        the file's clock. A light that was lost has the coordinates the camera software wrote, usually 0: they are
        kept. The header's settings are in the attributes; a pixel scale of 0 means that it is unknown.

    Examples
    --------
    >>> import tempfile, pathlib, numpy as np, neurodata as nd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "run.videoPositionTracking"
    >>> records = np.array([(30, 5, 6), (60, 7, 8)], dtype=[("time", "<u4"), ("x", "<u2"), ("y", "<u2")])
    >>> head = "<Start settings>\nclockrate: 30\nFields: <time uint32><xloc uint16><yloc uint16>\n<End settings>\n"
    >>> _ = path.write_bytes(head.encode() + records.tobytes())
    >>> nd.load(path)["behaviour"]["position"].sel(space="x").values.ravel().tolist()
    [5.0, 7.0]
    """
    if not path.is_file():
        raise FormatError("a .videoPositionTracking file", f"{path.name} is a folder", "name the file")
    settings, offset = _header(path)
    dtype = _record_type(settings, path.name)
    n_bytes = path.stat().st_size - offset
    if n_bytes % dtype.itemsize:
        raise FormatError(
            f"whole records of {dtype.itemsize} bytes",
            f"{path.name} ends {n_bytes % dtype.itemsize} bytes into one",
            "the file was cut short; copy it again",
        )
    if "time" not in (dtype.names or ()):
        raise FormatError("a field named time", f"{dtype.names}", "export the file with its times")
    try:
        rate = float(settings.get("clockrate", "nan")) if sampling_rate is None else float(sampling_rate)
    except ValueError:
        rate = float("nan")
    if not rate > 0:
        raise MissingOptionError("the clock rate", f"{settings.get('clockrate', 'none')!r}", "pass sampling_rate= (Hz)")
    records = np.fromfile(path, dtype=dtype, offset=offset)
    given = _points(records) | _signals(records)
    if not given:
        raise FormatError("fields besides time", f"{dtype.names}", "export the file with its positions")
    attrs: dict[str, Any] = {key.replace(" ", "_"): value for key, value in settings.items() if key != "Fields"}
    scale = _PIXELS_PER_CM.fullmatch(settings.get("pixel scale", ""))
    if scale is not None and float(scale.group(1)) > 0:
        attrs["pixels_per_cm"] = float(scale.group(1))
    return make_recording(behaviour=make_behaviour(**given, time=records["time"] / rate, attrs=attrs))


def _points(records: np.ndarray) -> dict[str, Any]:
    """The fields xloc, yloc, xloc2, ... as position (time, space, keypoint, individual)."""
    points: dict[int, dict[str, str]] = {}
    for name in records.dtype.names or ():
        match = _POINT.fullmatch(name)
        if match is not None and records.dtype[name].shape == ():
            points.setdefault(int(match.group(2) or 1), {})[match.group(1)] = name
    if not points:
        return {}
    space = sorted({axis for point in points.values() for axis in point})
    position = np.full((records.size, len(space), len(points), 1), np.nan)
    for column, number in enumerate(sorted(points)):
        for axis, field in points[number].items():
            position[:, space.index(axis), column, 0] = records[field]
    return {
        "position": position,
        "space": space,
        "keypoint": [f"led{number}" for number in sorted(points)],
        "individual": ["individual_0"],
    }


def _signals(records: np.ndarray) -> dict[str, Any]:
    columns: list[np.ndarray] = []
    names: list[str] = []
    for name in records.dtype.names or ():
        single = records.dtype[name].shape == ()
        if name == "time" or (single and _POINT.fullmatch(name)):
            continue
        values = records[name].astype(np.float64).reshape(records.size, -1)
        columns.append(values)
        names += [name] if single else [f"{name}_{number}" for number in range(values.shape[1])]
    return {"value": np.concatenate(columns, axis=1), "signal": names} if columns else {}


READER = Reader(
    name="tracking",
    formats="SpikeGadgets/Trodes videoPositionTracking",
    modalities=("behaviour",),
    suffixes=(".videopositiontracking",),
    detect=detect,
    read=read,
)
