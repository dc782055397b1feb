"""Sorting: what was set comes out, within 2 standard deviations, and the truth map is exact."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.observation_nb import outside_dead_time
from neurodata.simulate import Sorting, observe, unit_truth

CLEAN = {"miss": 0.0, "contamination": 0.0, "merge": 0, "split": 0, "dead_time": 0.0, "jitter": 0.0}
SEEDS = range(24)


def within_two_sd(z: np.ndarray) -> None:
    """Deviations in standard deviations, one per seed: each below 2 as often as chance has it, their mean below 2."""
    assert abs(z.sum() / np.sqrt(z.size)) < 2
    # 95.4 % of 24 expected; 20 or more of 24 fails by chance less than once in 1000 (and seeds are fixed).
    assert (np.abs(z) < 2).sum() >= 20


@pytest.mark.statistical
@pytest.mark.parametrize("share", [0.05, 0.3])
def test_misses(poisson, share):
    z = []
    for seed in SEEDS:
        rec = poisson(6, 20.0, 20.0, seed)
        seen = observe(rec, [Sorting(**CLEAN | {"miss": share, "burst": 4.0})], rng=seed)
        n, left = rec["spikes"]["spike_count"].values.sum(), seen["spikes"]["spike_count"].values.sum()
        z.append((n - left - share * n) / np.sqrt(n * share * (1 - share)))
    within_two_sd(np.array(z))


@pytest.mark.statistical
@pytest.mark.parametrize("source", ["poisson", "neighbours"])
def test_contamination(poisson, trains, source):
    """Counted from the spikes themselves: those of a unit that its neuron did not fire."""
    share, z = 0.08, []
    for seed in SEEDS:
        rec = poisson(8, 20.0, 15.0, seed)
        seen = observe(rec, [Sorting(**CLEAN | {"contamination": share, "source": source, "miss": 0.1})], rng=seed)
        neuron = seen["truth"]["unit_neuron"].values[:, 0]
        fired = trains(rec)
        foreign = np.array([(~np.isin(t, fired[i])).sum() for i, t in zip(neuron, trains(seen), strict=True)])
        counts = seen["spikes"]["spike_count"].values
        np.testing.assert_allclose(seen["truth"]["false_positive_fraction"].values, foreign / counts)
        own = (counts - foreign).sum()
        if source == "poisson":
            z.append((foreign.sum() - own * share / (1 - share)) / np.sqrt(own * share / (1 - share)))
        else:
            z.append((foreign.sum() - counts.sum() * share) / np.sqrt(counts.sum() * share * (1 - share)))
    within_two_sd(np.array(z))


@pytest.mark.statistical
def test_merges_and_splits(poisson):
    z = {"merged": [], "split": []}
    for seed in SEEDS:
        seen = observe(poisson(60, 2.0, 5.0, seed), [Sorting(**CLEAN | {"merge": 0.2, "split": 0.1})], rng=seed)
        truth = seen["truth"].to_dataset()
        pairs = int(truth["merged"].values.sum())
        z["merged"].append((pairs - 30 * 0.2) / np.sqrt(30 * 0.2 * 0.8))
        alone = 60 - 2 * pairs
        z["split"].append((truth["split"].values.sum() / 2 - alone * 0.1) / np.sqrt(alone * 0.1 * 0.9))
    for values in z.values():
        within_two_sd(np.array(values))


def test_the_truth_map_is_exact(poisson, trains):
    rec = poisson(20, 10.0, 30.0)
    seen = observe(rec, [Sorting(**CLEAN | {"merge": 4, "split": 3, "miss": 0.1, "channels": 5})], rng=1)
    truth, fired = seen["truth"].to_dataset(), trains(rec)
    sources = truth["unit_neuron"].values
    assert sources.shape == (20 - 4 + 3, 2)
    for row, train in zip(sources, trains(seen), strict=True):
        mine = [fired[i] for i in row if i >= 0]
        assert np.isin(train, np.concatenate(mine)).all()
        assert all(np.isin(train, one).any() for one in mine)  # each neuron of a merge did contribute
    # Each neuron is in one unit, or in the two halves of a split.
    times = np.bincount(sources[sources >= 0], minlength=20)
    assert sorted(times.tolist()) == [1] * 17 + [2] * 3
    assert (sources[truth["merged"].values] >= 0).all()
    halves = sources[truth["split"].values, 0]
    assert sorted(halves.tolist()) == sorted(np.repeat(np.flatnonzero(times == 2), 2).tolist())
    assert np.isnan(unit_truth(seen)["exists"].values).sum() == 19 + 2 * 3  # self pairs, and halves of one neuron
    # Merged neurons sit on one channel.
    place = rec["truth"]["position"].values
    assert all(abs(place[a] - place[b]) < 5 / 20 + 1e-9 for a, b in sources[truth["merged"].values])


def test_missed_fraction_is_that_of_the_neurons(poisson, trains):
    rec = poisson(12, 15.0, 20.0)
    seen = observe(rec, [Sorting(**CLEAN | {"miss": 0.25, "merge": 2})], rng=3)
    fired = rec["spikes"]["spike_count"].values
    for row, train, missed in zip(
        seen["truth"]["unit_neuron"].values, trains(seen), seen["truth"]["missed_fraction"].values, strict=True
    ):
        assert missed == pytest.approx(1 - train.size / fired[row[row >= 0]].sum())


def test_spikes_within_bursts_are_missed_more_often(by_hand, trains):
    burst = np.sort(np.concatenate([np.arange(0.5, 400, 1.0) + k * 0.004 for k in range(3)]))
    seen = observe(by_hand([burst], 400.0), [Sorting(**CLEAN | {"miss": 0.2, "burst": 3.0, "channels": 1})], rng=0)
    missed = ~np.isin(burst, trains(seen)[0]).reshape(-1, 3)
    first, later = missed[:, 0].mean(), missed[:, 1:].mean()
    # Chances as 1 to 1 + 3 exp(-4 / 20) = 3.46, mean 0.2: 0.076 and 0.262; 400 and 800 spikes, 3 sd.
    assert first == pytest.approx(0.0758, abs=3 * np.sqrt(0.0758 * 0.924 / 400))
    assert later == pytest.approx(0.2621, abs=3 * np.sqrt(0.2621 * 0.738 / 800))


def test_chances_above_one_keep_the_mean(by_hand):
    burst = np.sort(np.concatenate([np.arange(0.5, 2000, 1.0), np.arange(0.5, 2000, 5.0) + 0.002]))
    rec = by_hand([burst], 2000.0)
    seen = observe(rec, [Sorting(**CLEAN | {"miss": 0.3, "burst": 50.0, "channels": 1})], rng=0)
    n = burst.size
    assert abs(seen["truth"]["missed_fraction"].values[0] - 0.3) < 3 * np.sqrt(0.3 * 0.7 / n)


@pytest.mark.parametrize("contamination", [0.0, 0.1])
def test_a_channel_is_blind_after_each_spike(poisson, trains, contamination):
    rec = poisson(8, 30.0, 30.0)
    settings = CLEAN | {"dead_time": 0.0015, "channels": 4, "contamination": contamination}
    seen = observe(rec, [Sorting(**settings)], rng=0)
    channel = seen["spikes"]["channel"].values
    for c in np.unique(channel):
        together = np.sort(np.concatenate([t for t, where in zip(trains(seen), channel, strict=True) if where == c]))
        assert np.diff(together).min() >= 0.0015
    censored = seen["truth"]["censored_fraction"].values
    # A channel at 120 Hz that does not extend its dead time detects 1 / (1 + 120 * 0.0015) of the spikes.
    assert censored.mean() == pytest.approx(1 - 1 / 1.18, abs=0.01)


def test_the_blind_time_makes_a_trough_between_neighbours_only(poisson, trains):
    rec = poisson(8, 30.0, 60.0)
    seen = observe(rec, [Sorting(**CLEAN | {"dead_time": 0.0015, "channels": 4})], rng=0)
    channel, found = seen["spikes"]["channel"].values, trains(seen)

    def near(i, j):
        gap = found[j][np.searchsorted(found[j], found[i]).clip(max=found[j].size - 1)] - found[i]
        return ((gap >= 0) & (gap < 0.001)).sum()

    same = sum(near(i, j) for i in range(8) for j in range(8) if i != j and channel[i] == channel[j])
    apart = sum(near(i, j) for i in range(8) for j in range(8) if channel[i] != channel[j])
    assert same == 0
    assert apart > 500


def test_dead_time_kernel_against_a_loop():
    rng = np.random.default_rng(0)
    channel = np.sort(rng.integers(0, 4, 400))
    time = rng.uniform(0, 1.0, 400)
    time = time[np.lexsort((time, channel))]
    expected, last = [], {}
    for t, c in zip(time, channel, strict=True):
        expected.append(t - last.get(c, -np.inf) >= 0.004)
        if expected[-1]:
            last[c] = t
    assert outside_dead_time(time, channel, 0.004).tolist() == expected
    assert outside_dead_time.py_func(time, channel, 0.004).tolist() == expected


def test_jitter_has_its_size_and_stays_inside(poisson, trains):
    rec = poisson(1, 50.0, 40.0)
    seen = observe(rec, [Sorting(**CLEAN | {"jitter": 1e-4, "channels": 1})], rng=0)
    moved = trains(seen)[0] - trains(rec)[0]  # far apart compared with the jitter: the order hardly changes
    assert np.std(moved) == pytest.approx(1e-4, rel=0.1)
    edge = observe(rec, [Sorting(**CLEAN | {"jitter": 0.05, "channels": 1})], rng=0)["spikes"]["spike_time"].values
    assert edge.min() >= 0
    assert edge.max() <= 40


def test_false_spikes_fall_into_recorded_stretches(by_hand, trains):
    train = np.concatenate((np.arange(0.05, 10, 0.1), np.arange(50.05, 60, 0.1)))
    rec = by_hand([train], 60.0, support=[[0.0, 10.0], [50.0, 60.0]])
    seen = observe(rec, [Sorting(**CLEAN | {"contamination": 0.5, "channels": 1})], rng=0)
    found = trains(seen)[0]
    assert ((found <= 10) | (found >= 50)).all()
    assert (found[~np.isin(found, train)] > 30).mean() == pytest.approx(0.5, abs=0.15)
    assert seen["spikes"]["support_start"].values.tolist() == [0.0, 50.0]


def test_silent_units_are_not_found(by_hand):
    rec = by_hand([np.array([1.0, 2.0]), np.zeros(0), np.array([1.5])], 3.0)
    seen = observe(rec, [Sorting(**CLEAN)], rng=0)
    assert sorted(seen["truth"]["unit_neuron"].values[:, 0].tolist()) == [0, 2]
    assert seen["truth"]["observed"].values.tolist() == [1, 0, 1]
    assert observe(rec, [Sorting(**CLEAN | {"min_spikes": 0})], rng=0)["spikes"].sizes["unit"] == 3
    with pytest.raises(RecordingError, match="unit with 9"):
        observe(rec, [Sorting(**CLEAN | {"min_spikes": 9})], rng=0)


def test_nothing_set_changes_nothing_but_numbers(poisson, trains):
    rec = poisson(5, 10.0, 5.0)
    seen = observe(rec, [Sorting(**CLEAN)], rng=0)
    for neuron, train in zip(seen["truth"]["unit_neuron"].values[:, 0], trains(seen), strict=True):
        np.testing.assert_array_equal(train, trains(rec)[neuron])


@pytest.mark.parametrize(
    "settings",
    [
        {"miss": 1.0},
        {"miss": -0.1},
        {"miss": float("nan")},
        {"contamination": 1.0},
        {"merge": 1.5},
        {"split": -1},
        {"dead_time": -1e-3},
        {"dead_time": 1.5},
        {"channels": 0},
        {"channels": 1.5},
        {"jitter": float("inf")},
        {"source": "ghosts"},
        {"source": "neighbours", "channels": 1},
        {"burst_decay": 0.0},
    ],
)
def test_impossible_settings_are_refused(settings):
    with pytest.raises(OptionError):
        Sorting(**settings)


def test_more_merges_than_pairs_are_refused(poisson):
    with pytest.raises(OptionError, match="pairs of neighbours"):
        observe(poisson(6, 5.0, 5.0), [Sorting(merge=4)], rng=0)
