"""Statistics of a recording against plain loops, theory, and what must not matter (gaps, order, unit ids)."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import RecordingError
from neurodata.validate import recording_statistics
from neurodata.validate._pieces import MOST_PAIRED_UNITS, windows, windows_of
from neurodata.validate.statistics import read


def poisson_trains(rates, seconds, rng, start=0.0):
    return [start + np.sort(rng.uniform(0.0, seconds, rng.poisson(rate * seconds))) for rate in rates]


def node(trains, stretches, **more):
    return nd.make_spikes(trains, unit=[f"u{k}" for k in range(len(trains))], support=stretches, **more)


def value(found, name):
    return float(found["value"].sel(statistic=name))


@pytest.fixture(scope="module")
def bursty():
    """Three units over 60 s from 100.25 s on: trains with jittered intervals, spikes inside the support only."""
    rng = np.random.default_rng(3)
    trains = [100.25 + np.cumsum(rng.gamma(0.5, 0.2, 2000)) for _ in range(3)]
    return [train[train < 160.25] for train in trains]


class TestAgainstLoops:
    def test_rates_and_intervals(self, bursty):
        found = recording_statistics(node(bursty, [[100.25, 160.25]]))
        rates = [train.size / 60.0 for train in bursty]
        assert value(found, "rate_mean") == pytest.approx(np.mean(rates))
        assert value(found, "rate_median") == pytest.approx(np.median(rates))
        assert value(found, "rate_log_sd") == pytest.approx(np.std(np.log(rates)))
        cv, cv2, lv = [], [], []
        for train in bursty:
            interval = np.diff(train)
            cv.append(interval.std() / interval.mean())
            pairs = list(zip(interval[:-1], interval[1:], strict=True))
            cv2.append(np.mean([2 * abs(a - b) / (a + b) for a, b in pairs]))
            lv.append(np.mean([3 * ((a - b) / (a + b)) ** 2 for a, b in pairs]))
        for name, expected in (("isi_cv", cv), ("isi_cv2", cv2), ("isi_lv", lv)):
            assert value(found, name) == pytest.approx(np.median(expected), rel=1e-9)

    @pytest.mark.parametrize(("name", "width"), [("100ms", 0.1), ("1s", 1.0)])
    def test_fano_factors(self, bursty, name, width):
        found = recording_statistics(node(bursty, [[100.25, 160.25]]))
        fano = []
        for train in bursty:
            counts = np.histogram(train, 100.25 + width * np.arange(round(60 / width) + 1))[0]
            fano.append(counts.var() / counts.mean())
        assert value(found, f"fano_{name}") == pytest.approx(np.median(fano), rel=1e-6)

    @pytest.mark.parametrize(("name", "width"), [("10ms", 0.01), ("50ms", 0.05), ("1s", 1.0)])
    def test_correlations(self, bursty, name, width):
        found = recording_statistics(node(bursty, [[100.25, 160.25]]))
        edges = 100.25 + width * np.arange(round(60 / width) + 1)
        counts = np.array([np.histogram(train, edges)[0] for train in bursty])
        pairs = np.corrcoef(counts)[np.triu_indices(3, 1)]
        assert value(found, f"correlation_mean_{name}") == pytest.approx(pairs.mean(), abs=2e-3)
        assert value(found, f"correlation_sd_{name}") == pytest.approx(pairs.std(), abs=2e-3)

    def test_population(self, bursty):
        found = recording_statistics(node(bursty, [[100.25, 160.25]]))
        counts = np.histogram(np.concatenate(bursty), 100.25 + 0.05 * np.arange(1201))[0]
        z = (counts - counts.mean()) / counts.std()
        assert value(found, "population_cv") == pytest.approx(counts.std() / counts.mean(), rel=1e-3)
        assert value(found, "population_skewness") == pytest.approx((z**3).mean(), rel=1e-2)
        # Rises above the whole numbers on either side of the threshold, by how near the threshold is to each.
        threshold = counts.mean() + 2 * counts.std()
        levels = [k for k in range(100) if abs(k - 0.5 - threshold) < 1]
        weights = [1 - abs(k - 0.5 - threshold) for k in levels]
        assert sum(weights) == pytest.approx(1.0)
        rises = [sum(counts[i] >= k > counts[i - 1] for i in range(1, counts.size)) for k in levels]
        assert value(found, "burst_rate") == pytest.approx(np.dot(weights, rises) / 60.0, abs=2 / 60.0)


class TestTheory:
    def test_poisson_trains(self):
        """Independent Poisson trains: CV, CV2, LV, Fano factors 1, no correlation; bounds are 5 jackknife errors."""
        rng = np.random.default_rng(0)
        found = recording_statistics(node(poisson_trains([8.0] * 12, 300.0, rng), [[0.0, 300.0]]))
        for name in ("isi_cv", "isi_cv2", "isi_lv", "fano_100ms", "fano_1s"):
            # A median of 12 units is within the error of a single one.
            assert value(found, name) == pytest.approx(1.0, abs=0.06), name
        for width in ("10ms", "50ms", "1s"):
            error = float(found["error"].sel(statistic=f"correlation_mean_{width}"))
            assert abs(value(found, f"correlation_mean_{width}")) < 5 * error
        assert value(found, "population_cv") == pytest.approx((12 * 8.0 * 0.05) ** -0.5, rel=0.03)

    def test_common_drive_is_seen(self):
        """Rates that share a square wave of 0.5 s: count covariance at 1 s is known."""
        rng = np.random.default_rng(1)
        high = rng.random(600) < 0.5
        trains = []
        for _ in range(6):
            counts = rng.poisson(np.where(high, 9.0, 3.0))
            trains.append(np.sort(np.concatenate([k + rng.random(n) for k, n in enumerate(counts)])))
        found = recording_statistics(node(trains, [[0.0, 600.0]]))
        # Variance 6 of Poisson counts plus 9 of their mean; 3 sd of a mean of 15 dependent pairs are about 0.06.
        assert value(found, "correlation_mean_1s") == pytest.approx(9 / 15, abs=0.06)
        assert value(found, "fano_1s") == pytest.approx(15 / 6, rel=0.1)

    def test_errors_are_those_of_repetitions(self):
        """The jackknife error of the mean rate of Poisson trains is that of a count."""
        rng = np.random.default_rng(2)
        errors = [
            float(
                recording_statistics(node(poisson_trains([5.0] * 4, 100.0, rng), [[0.0, 100.0]]))["error"].sel(
                    statistic="rate_mean"
                )
            )
            for _ in range(20)
        ]
        # sqrt(5 / 100 / 4) = 0.112; ten blocks know a standard deviation to 24 %, twenty repetitions to 5 %.
        assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.sqrt(5.0 / 100 / 4), rel=0.2)


class TestWhatWasRecorded:
    def test_intervals_do_not_span_gaps(self):
        rng = np.random.default_rng(4)
        first = poisson_trains([6.0] * 4, 100.0, rng)
        second = poisson_trains([6.0] * 4, 100.0, rng, start=5000.0)
        joined = [np.concatenate(pair) for pair in zip(first, second, strict=True)]
        found = recording_statistics(node(joined, [[0.0, 100.0], [5000.0, 5100.0]]))
        assert value(found, "duration") == pytest.approx(200.0)
        assert value(found, "isi_cv") == pytest.approx(1.0, abs=0.15)
        assert value(found, "rate_mean") == pytest.approx(sum(train.size for train in joined) / 4 / 200)

    def test_start_and_ids_do_not_matter(self, bursty):
        here = recording_statistics(node(bursty, [[100.25, 160.25]]))
        trains = {f"{k}": train + 1000.0 for k, train in enumerate(bursty)}
        there = recording_statistics(nd.make_spikes(trains, support=[[1100.25, 1160.25]]))
        np.testing.assert_allclose(here["value"], there["value"], rtol=1e-6)

    def test_silent_units_count(self):
        trains = [*poisson_trains([8.0] * 3, 60.0, np.random.default_rng(5)), np.array([1.0]), np.zeros(0)]
        found = recording_statistics(node(trains, [[0.0, 60.0]]))
        assert value(found, "silent_fraction") == pytest.approx(2 / 5)
        assert value(found, "n_units") == 5

    def test_windows_cover_and_do_not_overlap(self, bursty):
        data = read(node(bursty, [[100.25, 120.25], [120.25, 160.25]]))
        parts = windows_of(data, 20.0)
        assert [float(np.diff(part.stretches, axis=1).sum()) for part in parts] == pytest.approx([20.0] * 3)
        assert sum(part.time.size for part in parts) == data.time.size


class TestCounts:
    def test_counts_give_what_they_can(self):
        rng = np.random.default_rng(6)
        counts = nd.containers.make_counts(rng.poisson(4.0, (300, 8)), 0.5, start=100.0)
        found = recording_statistics(counts)
        assert value(found, "rate_mean") == pytest.approx(8.0, rel=0.02)
        assert value(found, "fano_1s") == pytest.approx(1.0, abs=0.2)
        missing = {"isi_cv", "isi_cv2", "isi_lv", "fano_100ms", "correlation_mean_10ms", "correlation_sd_50ms"}
        assert missing <= set(found.attrs["unavailable"].split(", "))
        assert all(np.isnan(value(found, name)) for name in missing)

    def test_counts_agree_with_the_spikes_they_are_of(self):
        trains = node(poisson_trains([4.0, 7.0, 9.0], 120.0, np.random.default_rng(7)), [[0.0, 120.0]])
        counts = nd.bin_spikes(trains, 0.05)
        a, b = recording_statistics(trains), recording_statistics(counts)
        for name in ("rate_mean", "fano_100ms", "fano_1s", "correlation_mean_50ms", "population_cv", "burst_rate"):
            assert value(a, name) == pytest.approx(value(b, name), rel=1e-9), name

    def test_bins_not_observed_are_left_out(self):
        rng = np.random.default_rng(8)
        values = rng.poisson(4.0, (300, 4)).astype(float)
        values[100:150] = np.nan
        found = recording_statistics(nd.containers.make_counts(values, 0.5))
        assert value(found, "duration") == pytest.approx(125.0)
        assert value(found, "rate_mean") == pytest.approx(np.nanmean(values) / 0.5)

    def test_near_widths_stand_in(self):
        """Frames at 30 Hz: three make 100 ms, thirty 1 s, none 10 or 50 ms."""
        assert windows(1 / 30).multiple == {"100ms": 3, "1s": 30}
        assert windows(1 / 30).cell == 60 // 2


class TestRefusals:
    def test_too_short(self):
        trains = poisson_trains([1.0] * 5, 20.0, np.random.default_rng(9))
        with pytest.raises(RecordingError, match="1000 spikes") as caught:
            recording_statistics(node(trains, [[0.0, 20.0]]))
        assert str(sum(train.size for train in trains)) in str(caught.value)
        assert "20.0 s" in str(caught.value)

    def test_one_active_unit(self):
        trains = [*poisson_trains([50.0], 60.0, np.random.default_rng(10)), np.zeros(0)]
        with pytest.raises(RecordingError, match="1 units with 50 spikes"):
            recording_statistics(node(trains, [[0.0, 60.0]]))

    def test_no_spikes_node(self):
        with pytest.raises(RecordingError, match="spikes"):
            recording_statistics(xr.Dataset({"x": ("time", [1.0])}))


def test_hundreds_of_units_and_long():
    """A sample of the units is correlated, and memory stays bounded; the time is that of a busy machine."""
    import time

    rng = np.random.default_rng(11)
    n_units, seconds = 300, 600.0
    trains = poisson_trains(rng.gamma(1.0, 3.0, n_units), seconds, rng)
    began = time.process_time()
    found = recording_statistics(node(trains, [[0.0, seconds]]))
    assert time.process_time() - began < 20.0
    assert found.attrs["n_paired_units"] == MOST_PAIRED_UNITS
