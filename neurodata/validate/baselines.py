"""Simple analyses that every other one has to beat: nothing, lagged correlation, lagged regression, shuffled spikes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import xarray as xr
from scipy.sparse import csr_array, vstack
from scipy.special import ndtr

from neurodata._core.rng import RNGLike, generator
from neurodata.diagnostics.decisions import benjamini_hochberg
from neurodata.diagnostics.scores import bits_per_spike, poisson_log_likelihood
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.lagged_regression import PSP, Moments, Rows, past_rows, pool, psp_filter
from neurodata.models.base import Model
from neurodata.models.blocks import Counts, Series, blocks, observed_units, read_series

# A linear prediction may fall below zero; it is held at this part of the unit's rate.
_FLOOR = 0.1


class Baseline(Model):
    """What the baselines share: pairs (post, pre) with the ids of the units, the diagonal left out."""

    def _pairs(self, values: np.ndarray, unit: np.ndarray, **attrs: Any) -> xr.DataArray:
        if values.dtype.kind == "f":
            values = np.where(np.eye(len(unit), dtype=bool), np.nan, values)
        return xr.DataArray(values, dims=("post", "pre"), coords={"post": unit, "pre": unit}, attrs=attrs)

    def _store_decision(self, z: np.ndarray, p: np.ndarray, level: float, unit: np.ndarray) -> None:
        """Evidence, sign and own decision from z and two-sided p values, NaN where nothing can be said."""
        off = ~np.eye(len(unit), dtype=bool)
        edge = np.zeros(z.shape, dtype=np.int8)
        edge[off] = benjamini_hochberg(p[off], level)
        self.z_ = self._pairs(z, unit, units="1", long_name="z value")
        self.edge_score_ = self._pairs(np.abs(z), unit, units="1", long_name="evidence for an edge")
        sign = np.where(off & np.isfinite(z), np.sign(np.nan_to_num(z)), 0).astype(np.int8)
        self.edge_sign_ = self._pairs(sign, unit)
        self.edge_ = self._pairs(edge, unit, level=level)


class RateOnly(Baseline):
    """Units that fire at their mean rates and know nothing of one another: the row that stands for chance.

    Attributes
    ----------
    rate_ : DataArray (unit,)
        Spikes per bin.
    edge_score_, edge_ : DataArray (post, pre)
        Zeros.

    Examples
    --------
    >>> import neurodata as nd
    >>> counts = nd.containers.make_counts([[1, 0], [1, 2], [0, 0], [0, 0]], 0.005)
    >>> nd.validate.baselines.RateOnly().fit(counts).rate_.values.tolist()
    [0.5, 0.5]
    """

    _results: ClassVar[tuple[str, ...]] = ("rate_", "edge_score_", "edge_")

    def fit(self, data: Counts) -> RateOnly:
        """Measure the rates of counts (time, unit), (trial, time, unit) or a list of them."""
        series = read_series(data)
        rate = mean_counts(series)
        n = len(series.unit)
        self._forget()
        self.rate_ = xr.DataArray(rate, dims="unit", coords={"unit": series.unit}, attrs={"units": "1"})
        self.edge_score_ = self._pairs(np.zeros((n, n)), series.unit)
        self.edge_ = self._pairs(np.zeros((n, n), dtype=np.int8), series.unit)
        self._name_results()
        return self

    def score(self, data: Counts) -> float:
        """Bits per spike over the rates of the fit, which are this model: 0."""
        self._require_fit()
        read_series(data, self.rate_["unit"].values)
        return 0.0


class LaggedRegression(Baseline):
    """Regression of each unit's counts on the filtered past of all units, by least squares.

    The past is filtered with the shape of a postsynaptic potential. The coefficient from `pre` to `post`, all other
    units and the past of `post` held fixed, is the number of extra spikes of `post` per spike of `pre`; its z value
    ranks the pairs, and the pairs that survive a false discovery rate are called edges.

    Parameters
    ----------
    decay, rise, delay : float
        Of the filter ``exp(-(t - delay) / decay) - exp(-(t - delay) / rise)``, s; `rise` 0 is a plain exponential.
    slow : float or None
        Time constant of an average that is taken off the filter, s, so that a unit counts by how far it is above its
        own recent rate: drive that changes more slowly and is shared is then no connection. None takes nothing off.
    level : float
        False discovery rate of the decision.

    Attributes
    ----------
    weight_, weight_se_ : DataArray (post, pre)
        Extra spikes of `post` per spike of `pre`, and the standard error; NaN where a unit never varied.
    z_, edge_score_, edge_sign_, edge_ : DataArray (post, pre)
        Coefficient over its standard error; its size; its sign; whether it survives.
    rate_, mean_past_ : DataArray (unit,)
        Mean count per bin, and of the filtered past.
    self_weight_ : DataArray (unit,)
        Coefficient of a unit's own past.

    Notes
    -----
    A bin is used when all units of its stretch were observed in it and in the history before it. A unit that is NaN
    throughout a stretch (another session) takes no part in it; coefficients from different sets of units are combined
    by their precision. Only sums of products are kept, so memory does not grow with the length of the recording.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> pre = rng.poisson(0.1, 5000)
    >>> post = rng.poisson(0.05 + 0.2 * np.roll(pre, 2))
    >>> counts = nd.containers.make_counts(np.stack([pre, post], axis=1), 0.002, unit=["a", "b"])
    >>> model = nd.validate.baselines.LaggedRegression().fit(counts)
    >>> model.edge_.sel(post="b", pre="a").item(), model.edge_.sel(post="a", pre="b").item()
    (1, 0)
    """

    _results: ClassVar[tuple[str, ...]] = (
        "weight_",
        "weight_se_",
        "z_",
        "edge_score_",
        "edge_sign_",
        "edge_",
        "rate_",
        "mean_past_",
        "self_weight_",
    )
    _facts: ClassVar[tuple[str, ...]] = ("bin_width_", "n_bins_")

    def __init__(
        self,
        *,
        decay: float = 0.01,
        rise: float = 0.003,
        delay: float = 0.002,
        slow: float | None = 0.1,
        level: float = 0.05,
    ) -> None:
        self.decay = decay
        self.rise = rise
        self.delay = delay
        self.slow = slow
        self.level = level

    def fit(self, data: Counts) -> LaggedRegression:
        """Fit to counts.

        Parameters
        ----------
        data : DataArray or list of DataArray
            Counts (time, unit), (trial, time, unit), or a list of such; NaN = not observed. Bins of 2 ms suit the
            default filter.
        """
        _check_level(self.level)
        self._fit(self._read(data))
        return self

    def _read(self, data: Counts) -> Series:
        return read_series(data)

    def _filter(self, bin_width: float) -> PSP:
        return psp_filter(bin_width, self.decay, self.rise, self.delay, self.slow)

    def _fit(self, series: Series) -> None:
        parts = _gather(series, self._filter(series.bin_width))
        found = pool(parts)
        z = found.value / found.error
        np.fill_diagonal(z, np.nan)
        rate, past = _means(parts)
        unit = series.unit
        self._forget()
        self._store_decision(z, two_sided(z), self.level, unit)
        units = "spikes of post per spike of pre"
        self.weight_ = self._pairs(found.value, unit, units=units)
        self.weight_se_ = self._pairs(found.error, unit, units=units)
        coords = {"unit": unit}
        self.rate_ = xr.DataArray(rate, dims="unit", coords=coords, attrs={"units": "1"})
        self.mean_past_ = xr.DataArray(past, dims="unit", coords=coords, attrs={"units": "1"})
        self.self_weight_ = xr.DataArray(np.diag(found.value).copy(), dims="unit", coords=coords)
        self.bin_width_ = series.bin_width
        self.n_bins_ = int(sum(moments.n for moments in parts.values()))
        self._name_results()

    def score(self, data: Counts) -> float:
        """Bits per spike gained over the rates of the fit, on other data.

        The prediction is linear; where it falls below a tenth of the unit's rate it is held there.
        """
        self._require_fit()
        series = read_series(data, self.rate_["unit"].values)
        if not np.isclose(series.bin_width, self.bin_width_, rtol=1e-6):
            raise RecordingError(
                f"bins of {self.bin_width_:g} s, as in the fit", f"{series.bin_width:g} s", "bin them alike"
            )
        weight = np.nan_to_num(self.weight_.values)
        np.fill_diagonal(weight, np.nan_to_num(self.self_weight_.values))
        rate, past = self.rate_.values, np.nan_to_num(self.mean_past_.values)
        log_likelihood = baseline = n_spikes = 0.0
        for present, rows in _usable_rows(series, self._filter(series.bin_width)):
            group = present & (np.nan_to_num(rate) > 0)
            inside = group[present]
            mean = rate[group] + (rows.past - past[present]) @ weight[np.ix_(group, present)].T
            counts = rows.counts[:, inside]
            log_likelihood += poisson_log_likelihood(counts, np.maximum(mean, _FLOOR * rate[group]))
            baseline += poisson_log_likelihood(counts, rate[group])
            n_spikes += float(counts.sum())
        return bits_per_spike(log_likelihood, baseline, n_spikes)

    def _summary(self) -> list[tuple[str, str]]:
        return [("edges", f"{int(self.edge_.sum())} of {self.edge_.size - len(self.edge_)} pairs")]


class Shuffle(LaggedRegression):
    """`LaggedRegression` on spike trains that are rotated in time, each by an amount of its own: the null row.

    Rates and autocorrelations survive, relations between units do not.

    Parameters
    ----------
    decay, rise, delay, slow, level
        As in `LaggedRegression`.
    rng : int, Generator or None
        Of the rotations.

    Notes
    -----
    Each stretch without a gap is rotated by itself; bins that were not observed stay where they are.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.1, (500, 2)), 0.002)
    >>> nd.validate.baselines.Shuffle(rng=1).fit(counts).edge_score_.shape
    (2, 2)
    """

    def __init__(
        self,
        *,
        decay: float = 0.01,
        rise: float = 0.003,
        delay: float = 0.002,
        slow: float | None = 0.1,
        level: float = 0.05,
        rng: RNGLike = None,
    ) -> None:
        super().__init__(decay=decay, rise=rise, delay=delay, slow=slow, level=level)
        self.rng = rng

    def _read(self, data: Counts) -> Series:
        series, rng = read_series(data), generator(self.rng)
        return series._replace(
            stretches=tuple(part._replace(values=rotated(part.values, rng)) for part in series.stretches)
        )


class CrossCorrelation(Baseline):
    """Peak of the correlation of `post` with `pre` a little earlier, less what is expected by chance.

    Each lag's correlation is compared with those at lags too long for a synapse, before and after: their mean is
    subtracted and the rest divided by the standard error of a correlation, or by their spread where that is larger.

    Parameters
    ----------
    window : float
        Longest lag at which an effect is looked for, s.
    flank_start, flank_stop : float
        Shortest and longest of the lags, on both sides, that show chance, s.
    level : float
        False discovery rate of the decision, with Bonferroni's correction for the lags of a pair.

    Attributes
    ----------
    correlation_ : DataArray (post, pre)
        Correlation at the peak, less chance.
    z_, edge_score_, edge_sign_, edge_ : DataArray (post, pre)
        z value at the peak; its size; its sign; whether it survives.
    edge_delay_ : DataArray (post, pre)
        Lag of the peak, s. It contains the rise of the postsynaptic potential besides the delay.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> pre = np.random.default_rng(0).poisson(0.1, 5000)
    >>> counts = nd.containers.make_counts(np.stack([pre, np.roll(pre, 2)], axis=1), 0.002)
    >>> model = nd.validate.baselines.CrossCorrelation().fit(counts)
    >>> model.edge_delay_.sel(post=1, pre=0).item(), model.edge_.values.tolist()
    (0.004, [[0, 0], [1, 0]])
    """

    _results: ClassVar[tuple[str, ...]] = (
        "correlation_",
        "z_",
        "edge_score_",
        "edge_sign_",
        "edge_",
        "edge_delay_",
    )
    _facts: ClassVar[tuple[str, ...]] = ("bin_width_",)

    def __init__(
        self, *, window: float = 0.015, flank_start: float = 0.04, flank_stop: float = 0.08, level: float = 0.05
    ) -> None:
        self.window = window
        self.flank_start = flank_start
        self.flank_stop = flank_stop
        self.level = level

    def fit(self, data: Counts) -> CrossCorrelation:
        """Fit to counts (time, unit), (trial, time, unit) or a list of them; NaN = not observed, left out by pairs."""
        _check_level(self.level)
        series = read_series(data)
        near, far = self._lags(series.bin_width)
        correlation, n_pairs = lagged_correlation(series, [*near, *far, *(-k for k in far)])
        chance, here = correlation[len(near) :], correlation[: len(near)]
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.maximum(n_pairs[: len(near)] ** -0.5, chance.std(axis=0, ddof=1))
            excess = here - chance.mean(axis=0)
            z = excess / error
        best = np.argmax(np.nan_to_num(np.abs(z), nan=-1.0), axis=0)[None]
        z, excess = np.take_along_axis(z, best, 0)[0], np.take_along_axis(excess, best, 0)[0]
        delay = np.where(np.isfinite(z), np.array(near)[best[0]] * series.bin_width, np.nan)
        self._forget()
        self._store_decision(z, np.minimum(two_sided(z) * len(near), 1.0), self.level, series.unit)
        self.correlation_ = self._pairs(excess, series.unit, units="1")
        self.edge_delay_ = self._pairs(delay, series.unit, units="s")
        self.bin_width_ = series.bin_width
        self._name_results()
        return self

    def _lags(self, bin_width: float) -> tuple[list[int], list[int]]:
        window, low, high = self.window, self.flank_start, self.flank_stop
        if not 0 < window < low < high < np.inf:
            raise OptionError(
                "0 < window < flank_start < flank_stop, in s",
                f"window={window}, flank from {low} to {high}",
                "correct them",
            )
        near = list(range(1, max(1, round(window / bin_width)) + 1))
        first = max(near[-1] + 1, round(low / bin_width))
        return near, list(range(first, max(first + 1, round(high / bin_width)) + 1))


def two_sided(z: np.ndarray) -> np.ndarray:
    """P value of a z value, NaN kept.

    Examples
    --------
    >>> import numpy as np
    >>> two_sided(np.array([0.0, -1.959964])).round(6).tolist()
    [1.0, 0.05]
    """
    return 2.0 * ndtr(-np.abs(z))


def mean_counts(series: Series) -> np.ndarray:
    """Mean observed count per bin of each unit, NaN when never observed."""
    total, seen = np.zeros(len(series.unit)), np.zeros(len(series.unit))
    for stretch in series.stretches:
        for block in blocks(stretch.values):
            total += np.maximum(block, 0).sum(axis=0)
            seen += (block >= 0).sum(axis=0)
    if not seen.any():
        raise RecordingError("at least one observed count", "nothing but NaN, or no bins", "check how it was binned")
    return np.where(seen > 0, total / np.maximum(seen, 1), np.nan)


def rotated(values: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Counts (bin, unit) with each column's observed bins rotated by a random amount.

    Examples
    --------
    >>> import numpy as np
    >>> rotated(np.array([[1.0], [np.nan], [2.0]]), np.random.default_rng(0)).ravel().tolist()
    [2.0, nan, 1.0]
    """
    out = np.array(values)
    for column in range(values.shape[1]):
        seen = ~np.isnan(values[:, column]) if values.dtype.kind == "f" else np.ones(len(values), dtype=bool)
        n = int(seen.sum())
        if n > 1:
            out[seen, column] = np.roll(values[seen, column], int(rng.integers(1, n)))
    return out


def lagged_correlation(series: Series, lags: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Correlation of counts of `post` with those of `pre` `lag` bins earlier, over bins where both were observed.

    Returns
    -------
    correlation, n : array (lag, post, pre)
        NaN where a unit never varied; number of pairs of bins.
    """
    n_units = len(series.unit)
    n, cross, post_sum, pre_sum = (np.zeros((len(lags), n_units, n_units)) for _ in range(4))
    power, total, seen_bins = np.zeros(n_units), np.zeros(n_units), np.zeros(n_units)
    for stretch in series.stretches:
        if not observed_units(stretch.values).any():
            continue
        counts, seen = _sparse(stretch.values)
        power += (counts * counts).sum(axis=0)
        total += counts.sum(axis=0)
        seen_bins += counts.shape[0] if seen is None else seen.sum(axis=0)
        for i, lag in enumerate(lags):
            if abs(lag) >= counts.shape[0]:
                continue
            late, early = _shifted(counts, lag)
            cross[i] += (late.T @ early).toarray()
            if seen is None:
                n[i] += late.shape[0]
                post_sum[i] += np.asarray(late.sum(axis=0))[:, None]
                pre_sum[i] += np.asarray(early.sum(axis=0))[None, :]
            else:
                late_seen, early_seen = _shifted(seen, lag)
                n[i] += late_seen.T @ early_seen
                post_sum[i] += late.T @ early_seen
                pre_sum[i] += late_seen.T @ early
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(power / seen_bins - (total / seen_bins) ** 2)
        spread[~(spread > 0)] = np.nan
        covariance = cross / n - post_sum * pre_sum / n**2
        return covariance / np.outer(spread, spread), n


def _sparse(values: np.ndarray) -> tuple[Any, np.ndarray | None]:
    """Counts as a sparse matrix with 0 where not observed, and what was observed unless that is everything."""
    rows, seen = [], []
    for block in blocks(values):
        rows.append(csr_array(np.maximum(block, 0).astype(np.float64)))
        seen.append(block >= 0)
    whole = all(part.all() for part in seen)
    return vstack(rows, format="csr"), None if whole else np.concatenate(seen).astype(np.float64)


def _shifted(values: Any, lag: int) -> tuple[Any, Any]:
    """Rows `lag` later, and the rows they follow."""
    n = values.shape[0] - abs(lag)
    return (values[lag:], values[:n]) if lag >= 0 else (values[:n], values[-lag:])


def _usable_rows(series: Series, psp: PSP) -> Iterator[tuple[np.ndarray, Rows]]:
    """Which units took part in a stretch, and its usable bins, block by block."""
    for stretch in series.stretches:
        present = observed_units(stretch.values)
        if present.any():
            for rows in past_rows((block[:, present] for block in blocks(stretch.values)), psp):
                yield present, rows


def _gather(series: Series, psp: PSP) -> dict[tuple[bool, ...], Moments]:
    """Moments for each set of units that were recorded together."""
    found: dict[tuple[bool, ...], Moments] = {}
    for present, rows in _usable_rows(series, psp):
        key = tuple(present.tolist())
        if key not in found:
            found[key] = Moments.empty(int(present.sum()))
        found[key].add(rows.past, rows.counts)
    if not found:
        raise RecordingError(
            f"a stretch of more than {psp.length} bins without a gap or a missing count",
            "none",
            "use longer stretches, drop units that are NaN now and then, or shorten decay=",
        )
    return found


def _means(parts: dict[tuple[bool, ...], Moments]) -> tuple[np.ndarray, np.ndarray]:
    """Mean count and mean filtered past of each unit over the rows used."""
    n_units = len(next(iter(parts)))
    rows, counts, past = np.zeros(n_units), np.zeros(n_units), np.zeros(n_units)
    for key, moments in parts.items():
        group = np.array(key)
        rows[group] += moments.n
        counts[group] += moments.counts
        past[group] += moments.past
    with np.errstate(invalid="ignore"):
        return counts / rows, past / rows


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise OptionError("a false discovery rate between 0 and 1", f"{level!r}", "pass level=0.05")
