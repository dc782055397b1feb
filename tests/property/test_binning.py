"""Binning: no spike is lost or made, and neither clock nor order of units matters."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import neurodata as nd

WIDTHS = st.sampled_from([0.02, 0.1, 1 / 3, 0.25, 0.07, 1.0])
# Times as floats at large and as multiples of a tenth, which fall on edges.
TIMES = st.one_of(st.floats(0, 20, allow_subnormal=False), st.integers(0, 200).map(lambda k: k * 0.1))
TRAINS = st.lists(st.lists(TIMES, max_size=30).map(sorted), min_size=1, max_size=5)


@st.composite
def supports(draw):
    cuts = sorted(set(draw(st.lists(st.integers(0, 200), min_size=2, max_size=8))))
    cuts = cuts[: len(cuts) // 2 * 2]
    return np.array(cuts, dtype=float).reshape(-1, 2) / 10 if cuts else np.array([[0.0, 20.0]])


def inside(trains, support):
    return [[t for t in train if any(a <= t <= b for a, b in support)] for train in trains]


@given(TRAINS, WIDTHS, st.none() | supports())
def test_spikes_are_conserved(trains, width, support):
    trains = trains if support is None else inside(trains, support)
    if support is None and not any(trains):
        trains[0] = [1.0]
    if support is not None and support[-1, 1] - support[0, 0] < 1.1:
        support[-1, 1] = support[0, 0] + 2
    counts = nd.bin_spikes(nd.make_spikes(trains, support=support, time_unit="s"), width)
    total = sum(map(len, trains))
    assert int(counts.sum()) + counts.attrs["n_spikes_outside"] == total
    if support is None:
        assert counts.attrs["n_spikes_outside"] == 0
    # Independent of the code: which spikes lie between the edges that the result states, in bins that were recorded.
    edge = counts.attrs["bin_start"] + np.arange(counts.sizes["time"] + 1) * width
    for u, train in enumerate(trains):
        expected = np.diff(np.searchsorted(np.array(train, dtype=float), edge))
        observed = ~np.isnan(counts.values[:, u].astype(float))
        np.testing.assert_array_equal(counts.values[observed, u], expected[observed])


@given(TRAINS, supports())
def test_a_bin_is_observed_only_inside_one_stretch(trains, support):
    counts = nd.bin_spikes(nd.make_spikes(inside(trains, support), support=support, time_unit="s"), 0.05)
    for k, centre in enumerate(counts.time.values):
        # The ends of the stretches are tenths: a bin of a twentieth is inside where its centre is.
        recorded = any(a < centre < b for a, b in support)
        assert np.isnan(counts.values[k].astype(float)).all() != recorded


@given(TRAINS, st.sampled_from([0.25, 0.5, 1.0]), st.integers(-64, 64))
def test_the_clock_may_start_anywhere(trains, width, shift):
    # Binary fractions: shifting such times is exact.
    trains = [np.round(np.array(train, dtype=float) * 256) / 256 for train in trains]

    def counts(by):
        moved = [train + by for train in trains]
        return nd.bin_spikes(nd.make_spikes(moved, support=[[by, 20.0 + by]], time_unit="s"), width)

    np.testing.assert_array_equal(counts(shift).values, counts(0).values)
    np.testing.assert_array_equal(counts(shift).time - shift, counts(0).time)


@given(TRAINS, WIDTHS, st.randoms(use_true_random=False))
def test_units_may_come_in_any_order(trains, width, random):
    order = list(range(len(trains)))
    random.shuffle(order)
    support = [[0.0, 20.0]]
    plain = nd.bin_spikes(nd.make_spikes(dict(enumerate(trains)), support=support, time_unit="s"), width)
    mixed = nd.bin_spikes(nd.make_spikes({i: trains[i] for i in order}, support=support, time_unit="s"), width)
    np.testing.assert_array_equal(mixed.sel(unit=plain.unit), plain)


@given(TRAINS, st.sampled_from([2, 3, 5]))
def test_binning_twice_is_binning_once(trains, factor):
    node = nd.make_spikes(trains, support=[[0.0, 20.0]], time_unit="s")
    fine = nd.bin_spikes(node, 0.125)
    coarse = nd.bin_spikes(fine.to_dataset(), 0.125 * factor)
    np.testing.assert_array_equal(coarse, nd.bin_spikes(node, 0.125 * factor))
