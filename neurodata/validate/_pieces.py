"""Sums over stretches of a recording, from which its statistics and their errors follow without a second look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurodata.errors import RecordingError

# Time is cut into so many segments; leaving out one at a time gives the standard errors.
N_SEGMENTS = 10
# Width of the finest bins of spike trains, s.
BASE = 0.010
# Widths asked for, s. For data that came binned the nearest whole multiple stands in when it is this near.
WIDTHS = {"10ms": 0.010, "50ms": 0.050, "100ms": 0.100, "1s": 1.0}
NEAR = 0.2
FANO = ("100ms", "1s")
CORRELATION = ("10ms", "50ms", "1s")
POPULATION = 0.050
# Beyond so many units, correlations are measured on a random sample of them (fixed seed).
MOST_PAIRED_UNITS = 150
# Bins times units held at once.
BLOCK = 2**22


class Windows(NamedTuple):
    """Bins of `base` s; how many of them make each width, the population's bin, and a cell that all widths divide."""

    base: float
    multiple: dict[str, int]
    population: int
    cell: int


def windows(bin_width: float | None = None) -> Windows:
    """Bins for spike trains, or for counts that were made in bins of `bin_width` s.

    Examples
    --------
    >>> windows(0.5).multiple, windows(0.5).population
    ({'1s': 2}, 1)
    """
    base = BASE if bin_width is None else float(bin_width)
    multiple = {}
    for name, width in WIDTHS.items():
        m = round(width / base)
        if m >= 1 and abs(m * base / width - 1.0) <= NEAR:
            multiple[name] = m
    population = max(1, round(POPULATION / base))
    return Windows(base, multiple, population, int(np.lcm.reduce([*multiple.values(), population])))


class Trains(NamedTuple):
    """Spike times (s) sorted by unit then time, the spikes of each unit, and the recorded stretches (n, 2) in s."""

    time: np.ndarray
    first: np.ndarray
    last: np.ndarray
    stretches: np.ndarray
    unit: np.ndarray


class Counted(NamedTuple):
    """Counts (bin, unit) in consecutive bins, one array per stretch without a gap."""

    stretches: tuple[np.ndarray, ...]
    unit: np.ndarray
    bin_width: float


class Pieces(NamedTuple):
    """Sums by segment.

    Attributes
    ----------
    windows : Windows
    unit : array (unit,)
    seconds : array (segment,)
        Recorded time.
    binned : array (segment,)
        Of it, the time in whole cells.
    spikes : array (segment, unit)
        In all recorded time.
    total : array (segment, unit)
        Counts in whole cells.
    square : dict of array (segment, unit)
        Sums of squared counts by width.
    paired : array (pair unit,)
        Rows of the units whose products are summed.
    product : dict of array (segment, pair unit, pair unit)
    population : list of array (bin,)
        Summed counts in bins of ``windows.population * windows.base``, one array per segment.
    intervals : array (segment, unit, 6) or None
        Number, sum and sum of squares of intervals; number, sum of CV2 and of LV terms of pairs of intervals.
    """

    windows: Windows
    unit: np.ndarray
    seconds: np.ndarray
    binned: np.ndarray
    spikes: np.ndarray
    total: np.ndarray
    square: dict[str, np.ndarray]
    paired: np.ndarray
    product: dict[str, np.ndarray]
    population: list[np.ndarray]
    intervals: np.ndarray | None


def read_trains(node: xr.Dataset) -> Trains:
    """Spike trains of a `spikes` node; without known support everything from the first to the last spike counts."""
    from neurodata.preprocess.bin import recorded_stretches, sorted_spikes

    time, first, last = sorted_spikes(node)
    stretches = recorded_stretches(node)
    if stretches is None or not len(stretches):
        ends = [time.min(), time.max()] if time.size else [0.0, 0.0]
        stretches = np.array([ends])
    return Trains(time, first, last, stretches, node["unit"].values)


def of_units(trains: Trains, rows: np.ndarray) -> Trains:
    """The trains of some units, in the order of `rows`."""
    parts = [trains.time[trains.first[row] : trains.last[row]] for row in rows]
    count = np.array([part.size for part in parts], dtype=np.int64)
    last = np.cumsum(count)
    time = np.concatenate(parts) if parts else np.zeros(0)
    return Trains(time, last - count, last, trains.stretches, trains.unit[rows])


def some_units(data: Trains | Counted, rows: np.ndarray) -> Trains | Counted:
    """Some units of a recording."""
    if isinstance(data, Trains):
        return of_units(data, rows)
    return data._replace(stretches=tuple(part[:, rows] for part in data.stretches), unit=data.unit[rows])


def windows_of(data: Trains | Counted, seconds: float, most: int = 8) -> list[Trains | Counted]:
    """Up to `most` windows of so much recorded time, evenly spread; all of it when it is shorter."""
    if isinstance(data, Counted):
        n = max(1, round(seconds / data.bin_width))
        lengths = [len(part) for part in data.stretches]
        return [
            data._replace(stretches=tuple(data.stretches[row][a:b] for row, a, b in _cut(lengths, begin, n)))
            for begin in _begins(sum(lengths), n, most)
        ]
    lengths = np.diff(data.stretches, axis=1)[:, 0].tolist()
    out: list[Trains | Counted] = []
    for begin in _begins(sum(lengths), seconds, most):
        parts = [
            (data.stretches[row, 0] + a, data.stretches[row, 0] + b) for row, a, b in _cut(lengths, begin, seconds)
        ]
        out.append(_inside(data, np.array(parts)))
    return out


def _begins(total: float, length: float, most: int) -> list[float]:
    n = int(total / length + 1e-9)
    if n <= 1:
        return [0]
    n = min(n, most)
    kind = type(total)
    return [kind((total - length) * k / (n - 1)) for k in range(n)]


def _cut(lengths: list, begin: float, length: float) -> list[tuple[int, Any, Any]]:
    """Row, begin and end within it of the stretches between `begin` and ``begin + length`` on the joined clock."""
    out, done = [], type(begin)(0)
    for row, size in enumerate(lengths):
        low, high = max(begin - done, 0), min(begin + length - done, size)
        if high > low:
            out.append((row, low, high))
        done += size
    return out


def _inside(trains: Trains, stretches: np.ndarray) -> Trains:
    """The spikes inside some stretches."""
    row = np.searchsorted(stretches[:, 0], trains.time, side="right") - 1
    kept = (row >= 0) & (trains.time <= stretches[np.maximum(row, 0), 1])
    total = np.concatenate(([0], np.cumsum(kept)))
    return Trains(trains.time[kept], total[trains.first], total[trains.last], stretches, trains.unit)


def read_counts(counts: xr.DataArray) -> Counted:
    """Counts (time, unit) cut where bins are missing or not observed."""
    counts = counts.transpose("time", "unit")
    width = counts.attrs.get("bin_width")
    time = counts["time"].values
    if width is None:
        if time.size < 2:
            raise RecordingError("counts with the attr bin_width (s)", "none", "set counts.attrs['bin_width']")
        width = float(np.median(np.diff(time)))
    values = counts.values
    seen = np.isfinite(values).all(axis=1) if values.dtype.kind == "f" else np.ones(len(values), dtype=bool)
    breaks = np.flatnonzero(~(np.abs(np.diff(time) / width - 1.0) < 0.01) | ~seen[1:] | ~seen[:-1]) + 1
    parts = [part for part in np.split(np.arange(len(values)), breaks) if part.size and seen[part].all()]
    if not parts:
        raise RecordingError("bins in which all units were observed", "none", "drop units that were not observed")
    return Counted(tuple(values[part] for part in parts), counts["unit"].values, float(width))


def gather(data: Trains | Counted, shape: Windows, n_segments: int = N_SEGMENTS) -> Pieces:
    """Walk through a recording once and keep sums.

    Parameters
    ----------
    data : Trains or Counted
    shape : Windows
        For counts with the `base` in which they were made.
    n_segments : int
    """
    n_units = len(data.unit)
    spikes_of = _total(data)
    paired = _paired(spikes_of)
    square = {name: np.zeros((n_segments, n_units)) for name in shape.multiple}
    product = {name: np.zeros((n_segments, paired.size, paired.size)) for name in CORRELATION if name in shape.multiple}
    total, binned = np.zeros((n_segments, n_units)), np.zeros(n_segments)
    population: list[list[np.ndarray]] = [[] for _ in range(n_segments)]
    for segment, block in _blocks(data, shape, n_segments):
        binned[segment] += len(block) * shape.base
        total[segment] += block.sum(axis=0)
        p = block.sum(axis=1, dtype=np.float64).reshape(-1, shape.population).sum(axis=1)
        population[segment].append(p)
        for name, m in shape.multiple.items():
            wide = block if m == 1 else block.reshape(-1, m, n_units).sum(axis=1)
            wide = wide.astype(np.float64)
            square[name][segment] += np.einsum("tu,tu->u", wide, wide)
            if name in product:
                chosen = wide[:, paired]
                product[name][segment] += chosen.T @ chosen
    joined = [np.concatenate(part) if part else np.zeros(0) for part in population]
    if isinstance(data, Trains):
        seconds, spikes, intervals = _intervals(data, n_segments)
    else:
        seconds, spikes, intervals = binned, total, None
    return Pieces(shape, data.unit, seconds, binned, spikes, total, square, paired, product, joined, intervals)


def _total(data: Trains | Counted) -> np.ndarray:
    if isinstance(data, Trains):
        return data.last - data.first
    return np.sum([part.sum(axis=0) for part in data.stretches], axis=0)


def _paired(spikes: np.ndarray) -> np.ndarray:
    """Rows of the units to correlate: those that fired enough, or a sample of them."""
    from neurodata.validate.statistics import FEWEST_PAIRED

    enough = np.flatnonzero(spikes >= FEWEST_PAIRED)
    if enough.size > MOST_PAIRED_UNITS:
        enough = np.sort(np.random.default_rng(0).choice(enough, MOST_PAIRED_UNITS, replace=False))
    return enough


def _blocks(data: Trains | Counted, shape: Windows, n_segments: int) -> Iterator[tuple[int, np.ndarray]]:
    """Segment and counts (bin, unit) of stretches of whole cells."""
    seconds = shape.cell * shape.base
    if isinstance(data, Trains):
        cells = [int((stop - start) / seconds + 1e-6) for start, stop in data.stretches]
    else:
        cells = [len(part) // shape.cell for part in data.stretches]
    n_cells = sum(cells)
    most = max(1, BLOCK // (shape.cell * len(data.unit)))
    ends = [round(k * n_cells / n_segments) for k in range(1, n_segments + 1)]
    done = segment = 0
    for row, n in enumerate(cells):
        begin = 0
        while begin < n:
            while segment < n_segments - 1 and done >= ends[segment]:
                segment += 1
            take = min(n - begin, most, max(1, ends[segment] - done))
            if isinstance(data, Trains):
                start = data.stretches[row, 0] + begin * seconds
                yield segment, count_block(data, start, take * shape.cell, shape.base)
            else:
                yield segment, data.stretches[row][begin * shape.cell : (begin + take) * shape.cell]
            begin += take
            done += take


def count_block(trains: Trains, start: float, n_bins: int, width: float) -> np.ndarray:
    """Counts (bin, unit) of `n_bins` bins from `start` (s)."""
    from neurodata.kernels.binning_nb import count_spikes

    edge = start + np.arange(n_bins + 1) * width
    first = np.empty_like(trains.first)
    last = np.empty_like(trains.last)
    for u, (a, b) in enumerate(zip(trains.first, trains.last, strict=True)):
        low, high = np.searchsorted(trains.time[a:b], (edge[0], edge[-1]))
        first[u], last[u] = a + low, a + high
    counts = np.zeros((n_bins, first.size), dtype=np.int32)
    if count_spikes(trains.time, first, last, edge, width, counts) < 0:
        raise RecordingError(
            "spike times that are sorted inside each unit", "others", "see nd.check(rec); make_spikes(..., sort=True)"
        )
    return counts


def _intervals(trains: Trains, n_segments: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Recorded time (segment,), spikes (segment, unit), and sums over intervals (segment, unit, 6).

    Intervals that span a gap, and spikes outside the recorded stretches, are left out.
    """
    length = np.diff(trains.stretches, axis=1)[:, 0]
    elapsed = np.concatenate(([0.0], np.cumsum(length)))
    n_units = len(trains.unit)
    unit = np.repeat(np.arange(n_units), trains.last - trains.first)
    time = trains.time
    stretch = np.searchsorted(trains.stretches[:, 0], time, side="right") - 1
    inside = (stretch >= 0) & (time <= trains.stretches[np.maximum(stretch, 0), 1])
    clock = elapsed[np.maximum(stretch, 0)] + time - trains.stretches[np.maximum(stretch, 0), 0]
    share = elapsed[-1] / n_segments
    segment = np.clip((clock / share).astype(np.int64) if share > 0 else 0, 0, n_segments - 1)
    spikes = np.bincount(segment[inside] * n_units + unit[inside], minlength=n_segments * n_units)
    sums = np.zeros((n_segments * n_units, 6))
    if time.size > 1:
        good = inside[1:] & inside[:-1] & (unit[1:] == unit[:-1]) & (stretch[1:] == stretch[:-1])
        interval = np.diff(time)
        place = segment[:-1] * n_units + unit[:-1]
        for column, values in enumerate((np.ones(interval.size), interval, interval**2)):
            sums[:, column] = np.bincount(place[good], values[good], minlength=len(sums))
        both = good[1:] & good[:-1] & (interval[1:] + interval[:-1] > 0)
        contrast = np.abs(interval[1:] - interval[:-1])[both] / (interval[1:] + interval[:-1])[both]
        for column, values in enumerate((np.ones(contrast.size), 2.0 * contrast, 3.0 * contrast**2), start=3):
            sums[:, column] = np.bincount(place[:-1][both], values, minlength=len(sums))
    return np.full(n_segments, share), spikes.reshape(n_segments, -1), sums.reshape(n_segments, n_units, 6)
