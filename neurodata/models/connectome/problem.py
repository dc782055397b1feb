"""A non-negative tensor as the algorithm sees it: blocks of rows, and a table of what each column is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from neurodata.errors import RecordingError

# Reads rows `start` .. `stop` of a part: array (row, column) with 0 where nothing was observed.
Read = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class Part:
    """Columns that are read together; `columns` says which of the table they are."""

    read: Read
    columns: slice | np.ndarray
    n_columns: int
    block_rows: int = 32


@dataclass(frozen=True)
class Stretch:
    """Rows ``offset .. offset + length`` of the loadings; a part is read from its row `first` on."""

    offset: int
    length: int
    parts: tuple[Part, ...]
    first: int = 0

    @property
    def block_rows(self) -> int:
        """Rows that are best read at once."""
        return max([part.block_rows for part in self.parts], default=32)


@dataclass(frozen=True)
class Mode:
    """A dim other than that of rows: its entries are rows `first` .. `last` of the stacked loadings."""

    dim: str
    first: int
    last: int


@dataclass(frozen=True)
class Problem:
    """What is fitted.

    Attributes
    ----------
    stretches : tuple of Stretch
    index : array (column, slot), int32
        Rows of the stacked loadings whose product a column's loading is.
    modes : tuple of Mode
    row_group, column_group : array (row,), array (column,), int32
        Classes: cell (q, c) is observed when ``observed[row_group[q], column_group[c]]`` is 1.
    observed : array (class of rows, class of columns), float64
    square : float
        Sum of squares of the observed cells.
    smooth : array (row,), bool
        Rows with a neighbour on both sides, without a gap: where second differences are taken.
    """

    stretches: tuple[Stretch, ...]
    index: np.ndarray
    modes: tuple[Mode, ...]
    row_group: np.ndarray
    column_group: np.ndarray
    observed: np.ndarray
    square: float
    dtype: np.dtype
    smooth: np.ndarray
    start: np.ndarray = field(init=False)
    column: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        start, column = columns_of_entries(self.index, self.n_entries)
        object.__setattr__(self, "start", start)
        object.__setattr__(self, "column", column)

    @property
    def complete(self) -> bool:
        """Whether columns are all pairs of one symmetric factor, observed in every row."""
        n = self.n_entries
        return len(self.modes) == 1 and self.index.shape == (n * (n - 1) // 2, 2) and self.observed.shape == (1, 1)

    @property
    def row_index(self) -> np.ndarray:
        """Rows as columns of one slot, for what both have done to them."""
        return np.arange(self.n_rows, dtype=np.int32)[:, None]

    @property
    def n_rows(self) -> int:
        """Number of rows."""
        return len(self.row_group)

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return len(self.index)

    @property
    def n_observed(self) -> float:
        """Number of observed cells."""
        rows = np.bincount(self.row_group, minlength=self.observed.shape[0])
        columns = np.bincount(self.column_group, minlength=self.observed.shape[1])
        return float(rows @ self.observed @ columns)

    @property
    def n_entries(self) -> int:
        """Number of rows of the stacked loadings."""
        return self.modes[-1].last

    def rows(self, ranges: Sequence[tuple[int, int]], squares: bool = True) -> Problem:
        """The problem of some rows only, in order; with `squares`, their sum of squares is gathered anew."""
        stretches, groups, smooth, offset = [], [], [], 0
        for a, z in ranges:
            for stretch in self.stretches:
                first, last = max(a, stretch.offset), min(z, stretch.offset + stretch.length)
                if first < last:
                    into = stretch.first + first - stretch.offset
                    stretches.append(Stretch(offset, last - first, stretch.parts, into))
                    offset += last - first
            part = self.smooth[a:z].copy()
            part[:1] = part[-1:] = False
            groups.append(self.row_group[a:z])
            smooth.append(part)
        chosen = replace(
            self,
            stretches=tuple(stretches),
            row_group=np.concatenate(groups),
            smooth=np.concatenate(smooth),
        )
        return replace(chosen, square=sum_of_squares(chosen.stretches)) if squares else chosen


def columns_of_entries(index: np.ndarray, n_entries: int) -> tuple[np.ndarray, np.ndarray]:
    """For each entry the columns it takes part in: ``column[start[i]:start[i + 1]]``, in order.

    Examples
    --------
    >>> import numpy as np
    >>> start, column = columns_of_entries(np.array([[0, 1], [0, 2], [1, 2]]), 3)
    >>> start.tolist(), column.tolist()
    ([0, 2, 4, 6], [0, 1, 0, 2, 1, 2])
    """
    flat = index.ravel()
    order = np.argsort(flat, kind="stable")
    start = np.zeros(n_entries + 1, dtype=np.int64)
    np.cumsum(np.bincount(flat, minlength=n_entries), out=start[1:])
    return start, (order // index.shape[1]).astype(np.int32)


def blocks(stretch: Stretch, first: int = 0, last: int | None = None, size: int = 32) -> list[tuple[int, int]]:
    """Ranges of at most `size` rows, within a stretch.

    Examples
    --------
    >>> blocks(Stretch(0, 70, ()))
    [(0, 32), (32, 64), (64, 70)]
    """
    last = stretch.length if last is None else last
    return [(a, min(a + size, last)) for a in range(first, last, size)]


def sum_of_squares(stretches: Sequence[Stretch]) -> float:
    """Sum of squares of all cells, checked to be finite and not negative on the way."""
    total = 0.0
    for stretch in stretches:
        for a, z in blocks(stretch, size=stretch.block_rows):
            for part in stretch.parts:
                values = part.read(stretch.first + a, stretch.first + z)
                low = values.min(initial=0.0)
                if low < 0:
                    raise RecordingError("values of at least 0", f"{low:g}", "clip or shift them; NaN = not observed")
                # In pieces that float32 adds up well.
                part_total = float(np.einsum("qp,qp->q", values, values).sum(dtype=np.float64))
                if not np.isfinite(part_total):
                    raise RecordingError("finite values", "infinite ones, or ones whose square is", "rescale the data")
                total += part_total
    return total
