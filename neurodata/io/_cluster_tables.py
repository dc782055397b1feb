"""Tables of clusters beside a sorting (phy's cluster_*.tsv, ALF's clusters.metrics.csv): text kept as it is."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from neurodata.containers._coords import variable_name
from neurodata.errors import FormatError, RecordingError

# Names a column cannot take: they mean something else in the spikes node or to its constructor.
_RESERVED = {
    "unit",
    "spike",
    "epoch",
    "time",
    "counts",
    "spike_time",
    "spike_id",
    "spike_unit",
    "spike_count",
    "spike_sample",
    "spike_amplitude",
    "support",
    "support_start",
    "support_stop",
    "time_unit",
    "sampling_rate",
    "sort",
    "attrs",
}
ID_COLUMNS = ("cluster_id", "id")
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def read_cluster_table(path: Path, id_columns: tuple[str, ...] = ID_COLUMNS) -> pd.DataFrame:
    """Read one table, indexed by cluster id (int64), its columns typed by `typed_column`.

    Parameters
    ----------
    path : Path
        Text separated by tabs, or by commas where the header has no tab (phy wrote both under the suffix .csv).
    id_columns : tuple of str
        Names the column of ids may have; the first that is there is taken.

    Raises
    ------
    FormatError
        No table, no column of ids, or ids that are not whole numbers.
    RecordingError
        An id that comes twice.
    """
    table = read_text_table(path)
    found = [name for name in id_columns if name in table.columns]
    if not found:
        raise FormatError(
            f"a column {' or '.join(id_columns)} in {path.name}",
            f"columns {', '.join(map(str, table.columns))}",
            "mend or remove the file",
        )
    ids = typed_column(table.pop(found[0]).to_numpy(dtype=object))
    if len(ids) and ids.dtype.kind != "i":
        raise FormatError(
            f"whole numbers in the column {found[0]} of {path.name}", f"{ids[:3].tolist()}", "mend or remove the file"
        )
    table.index = pd.Index(ids.astype(np.int64), name="cluster_id")
    twice = table.index[table.index.duplicated()].unique()
    if len(twice):
        raise RecordingError(
            f"every cluster once in {path.name}",
            f"the ids {twice[:5].tolist()} come more than once",
            "remove the rows that are not meant",
        )
    return table


def read_text_table(path: Path) -> pd.DataFrame:
    """A table as text, separated by tabs, or by commas where its header has no tab."""
    try:
        header = path.read_text(encoding="utf-8-sig").partition("\n")[0]
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # a row longer than the header is cut otherwise
            # As text first: pandas would turn a label "NA" into a missing one and an id "007" into 7.
            return pd.read_csv(
                path,
                sep="\t" if "\t" in header else ",",
                dtype=str,
                keep_default_na=False,
                index_col=False,
                encoding="utf-8-sig",
            )
    except (ValueError, pd.errors.ParserError, pd.errors.EmptyDataError, pd.errors.ParserWarning) as error:
        raise FormatError(
            f"{path.name} to be a table with a header line", str(error), "mend or remove the file"
        ) from error


def typed_column(values: np.ndarray) -> np.ndarray:
    """Text as int64 where every value is a whole number, float64 where every value is a number, else text.

    Missing values ("" or not text) are NaN among numbers and "" in text. A whole number with a missing value among
    its fellows makes the column float64.

    Examples
    --------
    >>> typed_column(np.array(["1", "2"], dtype=object)), typed_column(np.array(["1.5", ""], dtype=object))
    (array([1, 2]), array([1.5, nan]))
    """
    text = ["" if not isinstance(value, str) else value.strip() for value in values]
    present = [value for value in text if value]
    if present and len(present) == len(text) and all(_WHOLE.fullmatch(value) for value in present):
        return np.array([int(value) for value in text], dtype=np.int64)
    if present and all(_is_number(value) for value in present):
        return np.array([float(value) if value else np.nan for value in text])
    return np.array(text, dtype=str)


def coord_name(name: str, own: Sequence[str] = ()) -> tuple[str, dict[str, str]]:
    """A name under which a column can be a coordinate of `unit`, and the attr that keeps its own where that differs.

    Parameters
    ----------
    name : str
    own : sequence of str
        Names the reader fills itself.

    Examples
    --------
    >>> coord_name("depth"), coord_name("sort")
    (('depth', {}), ('sort_', {'source_name': 'sort'}))
    """
    safe, attrs = variable_name(name)
    return (f"{safe}_", {"source_name": name}) if safe in _RESERVED or safe in own else (safe, attrs)


def _is_number(value: str) -> bool:
    # "007" is a label, not seven; "1_000" is one that float() would take.
    if re.fullmatch(r"-?0[0-9]+", value) or "_" in value:
        return False
    try:
        float(value)
    except ValueError:
        return False
    return True
