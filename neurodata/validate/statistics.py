"""Statistics of a recording that say which simulated circuit looks like it, each with its sampling error."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurodata.containers.recording import is_recording
from neurodata.errors import RecordingError
from neurodata.schema import modality_of
from neurodata.validate._pieces import (
    CORRELATION,
    FANO,
    Counted,
    Pieces,
    Trains,
    gather,
    read_counts,
    read_trains,
    windows,
)

# A unit's intervals, counts and correlations are used from so many spikes on.
FEWEST_INTERVALS = 20
FEWEST_COUNTED = 20
FEWEST_PAIRED = 50
# A recording is refused below these.
FEWEST_SPIKES = 1000
FEWEST_UNITS = 2
FEWEST_SECONDS = 30.0
# Hz; slower units count as silent: one spike in 20 s.
SILENT = 0.05
# The population bursts where it is so many standard deviations above its mean.
BURST = 2.0
# Longest lag of the population's autocorrelation, s.
LONGEST_LAG = 2.0

DESCRIPTION: dict[str, tuple[str, str]] = {
    "rate_mean": ("Hz", "mean rate of the units"),
    "rate_median": ("Hz", "median rate of the units"),
    "rate_log_sd": ("1", "standard deviation of the natural log of the rates of units that are not silent"),
    "silent_fraction": ("1", f"part of the units slower than {SILENT:g} Hz"),
    "isi_cv": ("1", "coefficient of variation of intervals, median of units"),
    "isi_cv2": ("1", "local variation of successive intervals CV2, median of units"),
    "isi_lv": ("1", "local variation LV, median of units"),
    **{f"fano_{w}": ("1", f"Fano factor of counts in {w}, median of units") for w in FANO},
    **{
        f"correlation_{what}_{w}": ("1", f"{what} over pairs of the correlation of counts in {w}")
        for w in CORRELATION
        for what in ("mean", "sd")
    },
    "population_cv": ("1", "standard deviation over mean of the summed counts"),
    "population_skewness": ("1", "skewness of the summed counts"),
    "burst_rate": ("Hz", f"how often the summed counts rise above {BURST:g} sd over their mean"),
    "population_timescale": (
        "s",
        f"area of the autocorrelation of the summed counts to {LONGEST_LAG:g} s, over its first lag",
    ),
    "n_units": ("1", "number of units"),
    "duration": ("s", "recorded time"),
}
# What a twin has by construction.
GIVEN = ("n_units", "duration")


class PerUnit(NamedTuple):
    """What is known of each unit; NaN where it fired too little.

    Attributes
    ----------
    rate, cv, cv2, lv : array (unit,)
    fano : dict of array (unit,)
        By width.
    covariance : dict of array (pair unit, pair unit)
        Of counts, by width, over the units of `paired`.
    paired : array (pair unit,)
        Rows.
    """

    rate: np.ndarray
    cv: np.ndarray
    cv2: np.ndarray
    lv: np.ndarray
    fano: dict[str, np.ndarray]
    covariance: dict[str, np.ndarray]
    paired: np.ndarray


def recording_statistics(rec: Any) -> xr.Dataset:
    """Statistics of spike trains, or of counts.

    Parameters
    ----------
    rec : DataTree, Dataset or DataArray
        A recording with one `spikes` node, that node, or counts (time, unit).

    Returns
    -------
    Dataset
        `value` and `error` (statistic): the statistic and its standard error in a recording of this length (jackknife
        over ten blocks of time). NaN where the data cannot give it: counts have no intervals, and no statistic in
        bins finer than their own. `units`, `about` (statistic) say what each is. Attrs: `bin_width` (s) of the
        population's counts, `unavailable`.

    Raises
    ------
    RecordingError
        Fewer than 1000 spikes, than 2 units with 50 spikes, or than 30 s.

    Notes
    -----
    Only recorded stretches count, and no interval spans a gap; where the recording does not say what was recorded, it
    is taken to last from the first to the last spike. Intervals are used of units with 20 of them or more, Fano
    factors of units with 20 spikes, correlations of pairs of units with 50 spikes each, and of at most 150 such units,
    drawn at random with a fixed seed. CV2: Holt et al. 1996 (doi 10.1152/jn.1996.75.5.1806). LV: Shinomoto et al.
    2003 (doi 10.1162/089976603322518759).

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.simulate.run(nd.simulate.zoo.static(n=10, rng=0), 40.0, rng=0)
    >>> found = nd.validate.recording_statistics(rec)
    >>> bool(0.6 < found["value"].sel(statistic="isi_cv") < 1.1)
    True
    """
    data = enough(rec)
    shape = windows(None if isinstance(data, Trains) else data.bin_width)
    pieces = gather(data, shape)
    value = summarise(pieces)
    n = len(pieces.seconds)
    left_out = [summarise(pieces, np.arange(n) != j) for j in range(n)]
    spread = np.array([[part[name] for part in left_out] for name in DESCRIPTION])
    centre = spread.mean(axis=1, keepdims=True)
    error = np.sqrt((n - 1) / n * ((spread - centre) ** 2).sum(axis=1))
    names = list(DESCRIPTION)
    for name in GIVEN:
        error[names.index(name)] = 0.0
    values = np.array([value[name] for name in names])
    missing = [name for name in names if not np.isfinite(value[name])]
    return xr.Dataset(
        {
            "value": ("statistic", values),
            "error": ("statistic", np.where(np.isfinite(values), error, np.nan)),
            "units": ("statistic", [DESCRIPTION[name][0] for name in names]),
            "about": ("statistic", [DESCRIPTION[name][1] for name in names]),
        },
        coords={"statistic": names},
        attrs={
            "bin_width": shape.population * shape.base,
            "unavailable": ", ".join(missing),
            "kind": "spikes" if isinstance(data, Trains) else "counts",
            "n_paired_units": int(pieces.paired.size),
        },
    )


def read(rec: Any) -> Trains | Counted:
    """Spike trains or counts, from whatever holds them."""
    from neurodata.preprocess._apply import node_of

    if isinstance(rec, (Trains, Counted)):
        return rec
    if isinstance(rec, xr.DataArray):
        return read_counts(rec)
    if isinstance(rec, xr.DataTree):
        _require_spikes(rec)
    node = node_of(rec, "spikes")
    if "spike_time" in node:
        return read_trains(node)
    if "counts" in node:
        counts = node["counts"]
        if "bin_width" not in counts.attrs and "bin_width" in node.attrs:
            counts = counts.assign_attrs(bin_width=node.attrs["bin_width"])
        return read_counts(counts)
    raise RecordingError(
        "spikes with spike_time, or with counts", f"variables {list(map(str, node.data_vars))}", "pass a spikes node"
    )


def enough(rec: Any) -> Trains | Counted:
    """Spike trains or counts of a recording that is long enough to match, or an error."""
    data = read(rec)
    _require_enough(data)
    return data


def _require_spikes(rec: xr.DataTree) -> None:
    """Refuse a recording of something else, and say what can be done with it."""
    names = [str(name) for name in rec.children]
    kinds = {modality_of(name) for name in names}
    if not names or not is_recording(rec) or "spikes" in kinds:
        return
    fix = "pass a recording of spikes: twins are simulated spike trains"
    if "calcium" in kinds:
        fix = (
            "twins of calcium traces are not made yet; to try an analysis of calcium where the truth is known, pass "
            "nd.simulate.Calcium() among the observations of nd.validate.grid"
        )
    raise RecordingError("a recording with spikes, or with counts of spikes", f"nodes {names}", fix)


def _require_enough(data: Trains | Counted) -> None:
    if isinstance(data, Trains):
        spikes, seconds = data.last - data.first, float(np.diff(data.stretches, axis=1).sum())
    else:
        spikes = np.sum([part.sum(axis=0) for part in data.stretches], axis=0)
        seconds = sum(len(part) for part in data.stretches) * data.bin_width
    active = int((spikes >= FEWEST_PAIRED).sum())
    if spikes.sum() < FEWEST_SPIKES or active < FEWEST_UNITS or seconds < FEWEST_SECONDS:
        raise RecordingError(
            f"a recording long enough to match: {FEWEST_SPIKES} spikes or more, {FEWEST_UNITS} units with "
            f"{FEWEST_PAIRED} spikes each, and {FEWEST_SECONDS:g} s",
            f"{int(spikes.sum())} spikes, {active} units with {FEWEST_PAIRED} spikes (of {spikes.size}), "
            f"{seconds:.1f} s",
            "record for longer, or pass more units",
        )


def summarise(pieces: Pieces, keep: np.ndarray | None = None) -> dict[str, float]:
    """The statistics over all segments, or over those of the mask `keep` (segment,)."""
    rows = np.ones(len(pieces.seconds), dtype=bool) if keep is None else keep
    unit = per_unit(pieces, rows)
    seconds = pieces.seconds[rows].sum()
    loud = unit.rate >= SILENT
    out = {
        "rate_mean": float(unit.rate.mean()),
        "rate_median": float(np.median(unit.rate)),
        "rate_log_sd": float(np.log(unit.rate[loud]).std()) if loud.sum() > 1 else np.nan,
        "silent_fraction": float((~loud).mean()),
        "isi_cv": _median(unit.cv),
        "isi_cv2": _median(unit.cv2),
        "isi_lv": _median(unit.lv),
    }
    for name in FANO:
        out[f"fano_{name}"] = _median(unit.fano[name]) if name in unit.fano else np.nan
    for name in CORRELATION:
        mean = sd = np.nan
        if name in unit.covariance and unit.paired.size > 1:
            values = correlations(unit.covariance[name])
            values = values[np.isfinite(values)]
            if values.size:
                mean, sd = float(values.mean()), float(values.std()) if values.size > 1 else np.nan
        out[f"correlation_mean_{name}"], out[f"correlation_sd_{name}"] = mean, sd
    out |= _population([p for p, kept in zip(pieces.population, rows, strict=True) if kept], pieces)
    out["n_units"], out["duration"] = float(len(pieces.unit)), float(seconds)
    return out


def per_unit(pieces: Pieces, rows: np.ndarray | None = None) -> PerUnit:
    """What is known of each unit over the segments of the mask `rows`."""
    rows = np.ones(len(pieces.seconds), dtype=bool) if rows is None else rows
    spikes = pieces.spikes[rows].sum(axis=0)
    rate = spikes / pieces.seconds[rows].sum()
    cv = cv2 = lv = np.full(rate.size, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        if pieces.intervals is not None:
            n, first, second, pairs, local, terms = np.moveaxis(pieces.intervals[rows].sum(axis=0), -1, 0)
            mean = first / n
            cv = np.where(n >= FEWEST_INTERVALS, np.sqrt(np.maximum(second / n - mean**2, 0.0)) / mean, np.nan)
            cv2 = np.where(n >= FEWEST_INTERVALS, local / pairs, np.nan)
            lv = np.where(n >= FEWEST_INTERVALS, terms / pairs, np.nan)
        fano, covariance = {}, {}
        total = pieces.total[rows].sum(axis=0)
        for name, m in pieces.windows.multiple.items():
            n_bins = pieces.binned[rows].sum() / (m * pieces.windows.base)
            mean = total / n_bins
            variance = pieces.square[name][rows].sum(axis=0) / n_bins - mean**2
            fano[name] = np.where(total >= FEWEST_COUNTED, variance / mean, np.nan)
            if name in pieces.product:
                some = mean[pieces.paired]
                covariance[name] = pieces.product[name][rows].sum(axis=0) / n_bins - np.outer(some, some)
    return PerUnit(rate, cv, cv2, lv, fano, covariance, pieces.paired)


def correlations(covariance: np.ndarray) -> np.ndarray:
    """Correlations of all pairs, (pair,)."""
    i, j = np.triu_indices(len(covariance), 1)
    variance = np.diag(covariance)
    with np.errstate(divide="ignore", invalid="ignore"):
        return covariance[i, j] / np.sqrt(variance[i] * variance[j])


def _median(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(np.median(values)) if values.size else np.nan


def _population(parts: list[np.ndarray], pieces: Pieces) -> dict[str, float]:
    """Of the summed counts; lags and bursts do not span two parts."""
    names = ("population_cv", "population_skewness", "burst_rate", "population_timescale")
    joined = np.concatenate(parts) if parts else np.zeros(0)
    mean, sd = (joined.mean(), joined.std()) if joined.size > 1 else (0.0, 0.0)
    if not sd > 0:
        return dict.fromkeys(names, np.nan)
    width = pieces.windows.population * pieces.windows.base
    skewness = float(((joined - mean) ** 3).mean() / sd**3)
    n_lags = max(2, round(LONGEST_LAG / width))
    lagged, n_lagged = np.zeros(n_lags), np.zeros(n_lags)
    for part in parts:
        z = (part - mean) / sd
        for lag in range(1, min(n_lags, z.size - 1) + 1):
            lagged[lag - 1] += z[lag:] @ z[:-lag]
            n_lagged[lag - 1] += z.size - lag
    used = n_lagged > 0
    autocorrelation = lagged[used] / n_lagged[used]
    # Where the first lag is not above what independent bins give, there is no time scale to speak of.
    timescale = np.nan
    if autocorrelation.size and autocorrelation[0] > 3.0 / np.sqrt(joined.size):
        timescale = width * float(autocorrelation.sum() / autocorrelation[0])
    return dict(
        zip(
            names,
            (float(sd / mean), skewness, _rises(parts, mean + BURST * sd) / (joined.size * width), timescale),
            strict=True,
        )
    )


def _rises(parts: list[np.ndarray], threshold: float) -> float:
    """How often counts rise above a threshold.

    Counts are whole numbers, and with few of them in a bin the rises would jump with the threshold. As if each count
    stood for the numbers within a half of it, rises above the next lower and the next higher number are weighted.
    """
    lower = int(np.floor(threshold + 0.5))
    share = threshold + 0.5 - lower
    total = 0.0
    for level, weight in ((lower, 1.0 - share), (lower + 1, share)):
        for part in parts:
            above = part >= level
            total += weight * float(above[:1].sum() + (above[1:] & ~above[:-1]).sum())
    return total
