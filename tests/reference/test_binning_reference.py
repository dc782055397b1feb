"""Binning against NumPy's histogram, the kernels as plain Python, and pynapple."""

import numpy as np
import pytest

import neurodata as nd
from neurodata.kernels import binning_nb


def trains(rng, n_units=7, duration=30.0):
    """Trains on a 30 kHz clock, so that many spikes fall on bin edges exactly, of different rates; one is empty."""
    rates = [0, 1, 3, 10, 30, 100, 300][:n_units]
    return {
        f"u{u}": np.sort(rng.integers(0, int(duration * 30_000), int(rate * duration))) / 30_000
        for u, rate in enumerate(rates)
    }


@pytest.mark.parametrize("width", [0.02, 0.1, 1 / 30, 0.07, 2.5])
@pytest.mark.parametrize("start", [0.0, 1.1])
def test_counts_are_those_of_a_histogram(width, start):
    times = trains(np.random.default_rng(0))
    counts = nd.bin_spikes(nd.make_spikes(times, support=[[0.0, 30.0]]), width, start=start, stop=29.0)
    edge = start + np.arange(counts.sizes["time"] + 1) * width
    for name, t in times.items():
        # A histogram closes its last bin on the right; bins here are all open there.
        expected, _ = np.histogram(t[t < edge[-1]], edge)
        np.testing.assert_array_equal(counts.sel(unit=name), expected)
        by_search = np.diff(np.searchsorted(t, edge, side="left"))
        np.testing.assert_array_equal(counts.sel(unit=name), by_search)


@pytest.mark.parametrize("cells", [1, 8, 2**18])
def test_the_kernel_is_its_own_python(cells, monkeypatch):
    rng = np.random.default_rng(1)
    times = [np.sort(rng.uniform(0, 2, n)) for n in (0, 40, 3, 17)]
    flat, last = np.concatenate(times), np.cumsum([t.size for t in times])
    first = last - [t.size for t in times]
    edge = 0.3 + np.arange(15) * 0.1
    plain, compiled = np.zeros((14, 4), np.int32), np.zeros((14, 4), np.int32)
    # The size of the blocks must not matter; the compiled kernel has the default, the Python one any.
    monkeypatch.setattr(binning_nb, "BLOCK_CELLS", cells)
    n_plain = binning_nb.count_spikes.py_func(flat, first, last, edge, 0.1, plain)
    n_compiled = binning_nb.count_spikes(flat, first, last, edge, 0.1, compiled)
    np.testing.assert_array_equal(plain, compiled)
    assert n_plain == n_compiled == plain.sum() == ((flat >= edge[0]) & (flat < edge[-1])).sum()


def test_counting_around_events_is_its_own_python_and_a_histogram():
    rng = np.random.default_rng(2)
    times = [np.sort(rng.uniform(0, 5, n)) for n in (60, 0, 9)]
    flat, last = np.concatenate(times), np.cumsum([t.size for t in times])
    first = last - [t.size for t in times]
    edge = rng.uniform(0, 5, 8)[:, None] + np.arange(-3, 5) * 0.2
    plain, compiled = np.zeros((8, 7, 3), np.int32), np.zeros((8, 7, 3), np.int32)
    assert binning_nb.count_around.py_func(flat, first, last, edge, plain) == -1
    assert binning_nb.count_around(flat, first, last, edge, compiled) == -1
    np.testing.assert_array_equal(plain, compiled)
    for u, t in enumerate(times):
        for trial in range(8):
            expected = np.diff(np.searchsorted(t, edge[trial]))
            np.testing.assert_array_equal(plain[trial, :, u], expected)


def test_counts_are_those_of_pynapple():
    pynapple = pytest.importorskip("pynapple", reason="the extra bench is not installed")
    # pynapple rounds its edges to 1 ns: spikes half a sample away from edges, so that both round alike.
    times = {u: t + 0.5 / 30_000 for u, t in enumerate(trains(np.random.default_rng(3)).values())}
    support = [[0.0, 12.0], [15.0, 29.0]]
    kept = {u: t[(t < 12.0) | ((t >= 15.0) & (t < 29.0))] for u, t in times.items()}
    counts = nd.bin_spikes(nd.make_spikes(kept, support=support), 0.05)
    group = pynapple.TsGroup(
        {u: pynapple.Ts(t) for u, t in kept.items()}, time_support=pynapple.IntervalSet([0, 15], [12, 29])
    )
    theirs = group.count(0.05)
    observed = counts.dropna("time")
    np.testing.assert_allclose(observed.time, theirs.index.values, atol=1e-6)
    np.testing.assert_array_equal(observed, theirs.values)
