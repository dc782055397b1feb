"""CSV and TSV tables, Inscopix trace tables, and npz archives (through a mapping)."""

from __future__ import annotations

import csv
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from neurodata.containers import make_recording
from neurodata.errors import (
    FormatError,
    MissingOptionError,
    NeurodataError,
    OptionError,
    PathNotFoundError,
    UntrustedDataError,
)
from neurodata.io._mapping import read_mapping
from neurodata.io._mapping_fields import MappingOptions
from neurodata.io._paths import Leaf, array_leaf
from neurodata.io._table_nodes import NODES, TableOptions, inscopix_node, table_nodes
from neurodata.io.hdf5 import plain
from neurodata.io.registry import BY_CONTENT, BY_SUFFIX, NO, Reader, has_suffix, starts_with

_TABLES = {".csv": ",", ".tsv": "\t"}
_SUFFIXES = (*_TABLES, ".npz")
# First cell of the second line of a trace table written by the Inscopix software.
_INSCOPIX = "Time(s)/Cell Status"
# From 3.1 pandas reads the nearest float64 unasked, and warns when asked.
_EXACT = {} if tuple(map(int, pd.__version__.split(".")[:2])) >= (3, 1) else {"float_precision": "round_trip"}
# Columns that hold ids.
_IDS = ("unit",)


def _first_lines(path: Path, n: int = 2) -> list[list[str]]:
    separator = _TABLES[path.suffix.lower()]
    with open(path, newline="", encoding="utf-8-sig") as file:
        lines = csv.reader(file, delimiter=separator)
        return [[cell.strip() for cell in line] for _, line in zip(range(n), lines, strict=False)]


def _is_inscopix(lines: list[list[str]]) -> bool:
    return len(lines) > 1 and bool(lines[1]) and lines[1][0] == _INSCOPIX


def detect(path: Path) -> int:
    """By suffix; Inscopix tables by their second line."""
    if not path.is_file() or not has_suffix(path, _SUFFIXES):
        return NO
    if has_suffix(path, (".csv",)):
        try:
            if _is_inscopix(_first_lines(path)):
                return BY_CONTENT
        except (OSError, ValueError, csv.Error):
            return BY_SUFFIX
    return BY_SUFFIX


def read(
    path: Path,
    *,
    node: str | None = None,
    columns: Mapping[str, str] | None = None,
    table: str | None = None,
    header: bool | None = None,
    dims: Any = None,
    variable: str = "fluorescence",
    time_unit: str | None = None,
    sampling_rate: Any = None,
    start: float = 0.0,
    bin_width: float | None = None,
    unit_coords: Mapping[str, Any] | None = None,
    signals: Mapping[str, Any] | None = None,
    mapping: Mapping[str, Any] | None = None,
    allow_pickle: bool = False,
    sort: bool = False,
    support: Any = None,
) -> xr.DataTree:
    r"""Read a table.

    Parameters
    ----------
    path : Path
        A .csv, .tsv or .npz file, or the folder of one recording, with `table`.
    node : {"trials", "events", "spikes", "counts", "behaviour", "calcium"}, optional
        What the table holds. Left out, it is told only from columns that leave no doubt: start and stop (trials),
        onset (events), unit and spike_time or time with nothing else but amplitudes (spikes).
    columns : mapping, optional
        Our name -> column of the file, e.g. ``{"start": "stimOn_times"}``.
    table : str, optional
        Name of the table when `path` is a folder; the rest of the folder is read only where an option names it.
    header : bool, optional
        Whether the first line names the columns; default: unless it is all numbers.
    dims : tuple, optional
        For counts: ``("unit", "time")`` when rows are units, ``("time", "unit")`` when rows are bins.
    variable : str
        For calcium: fluorescence, dff, deconvolved or neuropil.
    time_unit : {"s", "ms", "us", "sample"}, optional
        Unit of the times; default s.
    sampling_rate : float, optional
        Hz, for behaviour and calcium without a time column, and for times in samples.
    start : float
        Time of the first sample, or left edge of the first bin, s.
    bin_width : float, optional
        For counts, s.
    unit_coords : mapping, optional
        For counts, spikes and calcium: one value per unit or ROI (row of the file without header), e.g.
        ``{"region": "Lab_neuron.csv"}`` (relative to the table) or arrays.
    signals : mapping, optional
        For counts, calcium and behaviour: one value per sample, which become `behaviour`/`value`.
    mapping : mapping, optional
        For npz: ``{"calcium/fluorescence": "F", ...}``, as for the reader "hdf5".
    allow_pickle : bool
        For npz with object arrays: reading them runs what they hold.
    sort, support
        For spikes, as in `make_spikes`.

    Examples
    --------
    >>> import tempfile, pathlib, neurodata as nd
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "session.csv"
    >>> _ = path.write_text("start,stop,choice\n0.5,1.5,left\n2.0,3.0,right\n")
    >>> nd.load(path)["trials"]["choice"].values.tolist()
    ['left', 'right']
    """
    if node is not None and node not in NODES:
        raise OptionError(f"node= out of {', '.join(NODES)}", repr(node), "correct it")
    path = _table_of(path, table)
    if not has_suffix(path, _SUFFIXES):
        raise FormatError("a .csv, .tsv or .npz file", path.name, "choose another reader=")
    if has_suffix(path, (".npz",)):
        options = MappingOptions(dims, sampling_rate, start, time_unit, bin_width, None, sort, support)
        return _read_npz(path, mapping, options, allow_pickle)
    if mapping is not None:
        raise OptionError("mapping= for npz files only", path.name, "use node= and columns= for tables")
    lines = _checked_lines(path)
    if _is_inscopix(lines):
        frame = _frame(path, header=None, skiprows=2)
        return make_recording(calcium=inscopix_node(lines, frame, variable, path.name))
    named = header if header is not None else not _all_numbers(lines[0])
    frame = _frame(path, header=0 if named else None)
    options_ = TableOptions(
        node=node,
        columns=dict(columns or {}),
        named=named,
        dims=dims,
        variable=variable,
        time_unit=time_unit,
        sampling_rate=sampling_rate,
        start=start,
        bin_width=bin_width,
        unit_coords={name: _companion(path, name, value) for name, value in (unit_coords or {}).items()},
        signals={name: _companion(path, name, value) for name, value in (signals or {}).items()},
        sort=sort,
        support=support,
    )
    return make_recording(table_nodes(frame, options_, path.name))


def _table_of(path: Path, table: str | None) -> Path:
    if path.is_file():
        if table is not None:
            raise OptionError("table= for a folder only", f"the file {path.name}", "drop it")
        return path
    if table is None:
        raise MissingOptionError(
            "the name of the table in the folder",
            ", ".join(sorted(item.name for item in path.iterdir())[:8]) or "an empty folder",
            "pass table=, and the others through unit_coords= or signals=",
        )
    if not (path / table).is_file():
        raise PathNotFoundError("a table in the folder", f"{path / table} does not exist", "correct table=")
    return path / table


def _checked_lines(path: Path) -> list[list[str]]:
    try:
        lines = _first_lines(path)
    except (ValueError, csv.Error) as error:
        raise FormatError("a text table in UTF-8", f"{path.name}: {error}", "save it as UTF-8 text") from error
    if not lines or not lines[0]:
        raise FormatError("a table with at least one line", f"{path.name} is empty", "check the file")
    return lines


def _all_numbers(cells: list[str]) -> bool:
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False


def _frame(path: Path, header: int | None, skiprows: int = 0) -> pd.DataFrame:
    """The table; numbers are the float64 nearest to the text, and text stays as written ("NA" is a text there)."""

    def load(**options: Any) -> pd.DataFrame:
        return pd.read_csv(
            path,
            sep=_TABLES[path.suffix.lower()],
            header=header,
            skiprows=skiprows,
            skipinitialspace=True,
            low_memory=False,
            **options,
        )

    try:
        frame = load(**_EXACT)
        texts = [
            number
            for number, (column, dtype) in enumerate(frame.dtypes.items())
            # Ids such as 007 would lose their zeros as numbers.
            if not (pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)) or column in _IDS
        ]
        if texts:
            written = load(usecols=texts, dtype=str, keep_default_na=False)
            for number, column in zip(texts, written.columns, strict=True):
                plain_number = pd.api.types.is_numeric_dtype(frame.dtypes.iloc[number])
                if not plain_number or written[column].str.fullmatch(r"[+-]?0\d+").any():
                    frame[frame.columns[number]] = written[column]
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FormatError(
            "a table with as many cells in every line", f"{path.name}: {error}", "check the file"
        ) from error
    return frame


def _companion(path: Path, name: str, value: Any) -> np.ndarray:
    """An array as given, or the single row or column of another table."""
    if not isinstance(value, (str, Path)):
        return np.asarray(value)
    source = path.parent / value
    if not source.is_file():
        raise PathNotFoundError(f"the table of {name!r}", f"{source} does not exist", "correct the path")
    if source.suffix.lower() not in _TABLES:
        raise OptionError(f"a .csv or .tsv for {name!r}", source.name, "pass the values as an array")
    lines = _checked_lines(source)
    values = _frame(source, header=None if _all_numbers(lines[0]) else 0).to_numpy()
    if 1 not in values.shape:
        raise OptionError(f"one row or one column for {name!r}", f"shape {values.shape}", "pass the values as an array")
    return values.reshape(-1)


class NpzNode:
    """The arrays of an npz archive by name, one level."""

    def __init__(self, archive: Any, name: str | None = None) -> None:
        self.archive, self.name = archive, name

    def members(self) -> dict[str, NpzNode]:
        """The arrays."""
        return {} if self.name is not None else {name: NpzNode(self.archive, name) for name in self.archive.files}

    def positions(self) -> None:
        """An archive has no positions."""

    def leaf(self) -> Leaf | None:
        """The array; object arrays are refused unless pickling was allowed."""
        if self.name is None:
            return None
        try:
            values = self.archive[self.name]
        except ValueError as error:
            if "allow_pickle" not in str(error):
                raise
            name = self.name

            def refuse(key: Any = None) -> np.ndarray:
                raise UntrustedDataError(
                    f"{name} to hold plain numbers or text",
                    "an object array: reading it would unpickle, that is run, what the file holds",
                    "pass allow_pickle=True if you trust where the file came from",
                )

            return Leaf((0,), "object (pickled)", refuse, refuse)
        return array_leaf(values if values.dtype == object else plain(values))


def _read_npz(
    path: Path, mapping: Mapping[str, Any] | None, options: MappingOptions, allow_pickle: bool
) -> xr.DataTree:
    # Without the signature of a zip archive numpy would take the file for a pickle.
    if not starts_with(path, b"PK"):
        raise FormatError("an npz archive", f"{path.name}, which is none", "save it with numpy.savez")
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=allow_pickle) as archive:
            return read_mapping(NpzNode(archive), archive, mapping, options, path.name)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
        if isinstance(error, NeurodataError):
            raise
        raise FormatError(
            "a complete npz archive",
            f"{path.name}: {type(error).__name__}: {error}",
            "the file is damaged or was cut short; copy it again",
        ) from error


READER = Reader(
    name="table",
    formats="CSV, TSV, Inscopix CSV, npz (through mapping=)",
    modalities=("trials", "events", "spikes", "behaviour", "calcium"),
    suffixes=_SUFFIXES,
    detect=detect,
    read=read,
)
