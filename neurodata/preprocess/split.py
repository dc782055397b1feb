"""Training and test data that are apart in time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from neurodata.errors import MissingOptionError, OptionError
from neurodata.preprocess._apply import logged, only_array
from neurodata.preprocess._sampling import stretches, time_values

# Share of a step by which float times may miss a gap of a whole number of steps.
_ROUNDING = 1e-6


def blocked_splits(
    data: int | xr.DataArray, n_splits: int = 5, *, gap: float = 0.0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Split time into blocks, each of them the test data once.

    Neighbouring samples of a recording are alike, so that test samples drawn at random sit between training samples
    that give them away. Here the test data are one block, and samples up to `gap` away from it are not used at all.

    Parameters
    ----------
    data : int or DataArray
        Number of samples; or data with a dim time; or with dims trial and time, then trials are split.
    n_splits : int
        Number of blocks; their sizes differ by one sample (or trial) at most.
    gap : float
        For data with a time coordinate: s, on the recording's clock, so that a gap in the recording counts as the
        time that it is. For trials with a coordinate `onset`: s between the windows of trials. For a number of
        samples, and for trials without `onset`: a whole number of them.

    Returns
    -------
    list of (train, test)
        Arrays of rows of time (or trial), as scikit-learn's ``cv=`` takes them.

    Raises
    ------
    OptionError
        Fewer samples than blocks; a gap that leaves no training data.

    Examples
    --------
    >>> import neurodata as nd
    >>> for train, test in nd.preprocess.blocked_splits(6, n_splits=3, gap=1):
    ...     print(train, test)
    [3 4 5] [0 1]
    [0 5] [2 3]
    [0 1 2] [4 5]
    """
    start, stop, slack = _extents(data, gap)
    n = start.size
    if int(n_splits) != n_splits or not 2 <= n_splits <= n:
        raise OptionError(f"n_splits from 2 to the {n} samples (or trials)", f"{n_splits}", "correct n_splits=")
    if not np.isfinite(gap) or gap < 0:
        raise OptionError("a gap of 0 or more", f"{gap!r}", "correct gap=")
    rows = np.arange(n)
    splits = []
    for test in np.array_split(rows, n_splits):
        low, high = start[test].min(), stop[test].max()
        near = (start <= high + gap + slack) & (stop >= low - gap - slack) if gap > 0 else np.zeros(n, dtype=bool)
        near[test] = True
        train = rows[~near]
        if train.size == 0:
            raise OptionError(
                "a gap that leaves training data",
                f"gap {gap:g} and {n_splits} blocks over {stop.max() - start.min():g}",
                "shorten gap=",
            )
        splits.append((train, test))
    return splits


def train_test_blocks(
    data: xr.DataArray, n_splits: int = 5, *, gap: float = 0.0
) -> Iterator[tuple[list[xr.DataArray], list[xr.DataArray]]]:
    """Iterate over training and test data as lists of sequences without gaps, as models take them.

    Parameters
    ----------
    data, n_splits, gap
        As in `blocked_splits`.

    Yields
    ------
    train, test : list of DataArray
        With a dim trial one DataArray each (in a list), else the gap-free stretches.

    Examples
    --------
    >>> import neurodata as nd
    >>> counts = nd.bin_spikes(nd.make_spikes({"a": [0.1]}, support=[[0.0, 6.0]]), 1.0)
    >>> for train, test in nd.preprocess.train_test_blocks(counts, n_splits=3, gap=1.0):
    ...     print([part.sizes["time"] for part in train], [part.sizes["time"] for part in test])
    [3] [2]
    [1, 1] [2]
    [3] [2]
    """
    data = only_array(data, "nd.bin_spikes(rec, 0.02)")
    for number, (train, test) in enumerate(blocked_splits(data, n_splits, gap=gap)):
        yield tuple(  # type: ignore[misc]
            [
                logged(part, "train_test_blocks", n_splits=n_splits, gap=gap, split=number, part=name)
                for part in _stretches(data, rows)
            ]
            for name, rows in (("train", train), ("test", test))
        )


def _extents(data: int | xr.DataArray, gap: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Where each sample (or trial) begins and ends, and the rounding error to allow, all in the unit of the gap."""
    if isinstance(data, (int, np.integer)):
        return _by_number(int(data), gap, "samples")
    data = only_array(data, "nd.bin_spikes(rec, 0.02)")
    if "trial" not in data.dims:
        time = time_values(data)
        return time, time, _ROUNDING * float(np.median(np.diff(time))) if time.size > 1 else 0.0
    if "onset" not in data.coords:
        return _by_number(data.sizes["trial"], gap, "trials")
    onset, time = data["onset"].values, time_values(data)
    if not np.isfinite(onset).all():
        raise MissingOptionError("the onset of every trial", "some are NaN", "drop these trials first")
    return onset + time[0], onset + time[-1], 0.0


def _by_number(n: int, gap: float, what: str) -> tuple[np.ndarray, np.ndarray, float]:
    if gap != int(gap):
        raise OptionError(f"a gap that is a whole number of {what}", f"{gap}", "correct gap=")
    rows = np.arange(n, dtype=np.float64)
    return rows, rows, 0.0


def _stretches(data: xr.DataArray, rows: np.ndarray) -> list[xr.DataArray]:
    if "trial" in data.dims:
        return [data.isel(trial=rows)]
    parts = []
    for segment in stretches(data):
        inside = rows[(rows >= segment.start) & (rows < segment.stop)]
        runs = np.split(inside, np.flatnonzero(np.diff(inside) > 1) + 1)
        parts += [data.isel(time=slice(int(run[0]), int(run[-1]) + 1)) for run in runs if run.size]
    return parts
