"""Epochs hold what was recorded at that time, or NaN: nothing is invented over gaps or beyond the ends."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import neurodata as nd

STEP = 0.1


@st.composite
def gappy_times(draw):
    """Regular stretches of 1 to 15 samples; the gaps between them are of any length from 1.6 steps on."""
    lengths = draw(st.lists(st.integers(1, 15), min_size=1, max_size=5))
    gaps = draw(st.lists(st.floats(1.6, 40), min_size=len(lengths), max_size=len(lengths)))
    start = draw(st.floats(-5, 5))
    parts = []
    for n, gap in zip(lengths, gaps, strict=True):
        parts.append(start + np.arange(n) * STEP)
        start = parts[-1][-1] + gap * STEP
    return np.concatenate(parts)


@given(
    gappy_times(),
    st.lists(st.floats(-10, 40), min_size=1, max_size=6),
    st.floats(0, 2),
    st.floats(0.1, 2),
    st.booleans(),
)
def test_nothing_is_invented(time, at, before, after, drop):
    # The value of each sample is its own time: an epoch then shows which samples it is made of.
    data = nd.make_eeg(time[:, None], time=time)["signal"]
    epochs = nd.preprocess.epoch(data, at, (before, after), drop=drop, sampling_rate=1 / STEP)
    assert epochs.time.values[0] >= -before - 1e-6
    assert epochs.time.values[-1] <= after + 1e-6
    for trial in range(epochs.sizes["trial"]):
        values = epochs.values[trial, :, 0]
        seen = ~np.isnan(values)
        wanted = epochs.onset.values[trial] + epochs.time.values + epochs.sample_offset.values[trial]
        assert abs(epochs.sample_offset.values[trial]) <= STEP / 2 + 1e-9
        # Only samples that exist, at their time to half a step, each of them once.
        assert np.isin(values[seen], time).all()
        assert (np.abs(values[seen] - wanted[seen]) <= STEP / 2 + 1e-9).all()
        assert np.unique(values[seen]).size == seen.sum()
        # And nothing is left out: where there is NaN, no sample was near.
        distance = np.abs(time[None] - wanted[~seen][:, None]).min(axis=1)
        assert (distance >= STEP / 2 * (1 - 1e-4)).all()
        assert not drop or seen.all()


@given(st.lists(st.floats(0, 20), max_size=40).map(sorted), st.lists(st.integers(-5, 60), min_size=1, max_size=5))
def test_spikes_are_counted_only_while_recorded(train, at):
    support = np.array([[0.0, 4.0], [7.0, 20.0]])
    train = [t for t in train if t <= 4 or t >= 7]
    node = nd.make_spikes([train], support=support, time_unit="s")
    onsets = np.array(at) / 2
    epochs = nd.preprocess.epoch(node, onsets, (1.0, 2.0), bin_width=0.5)
    for trial, onset in enumerate(onsets):
        for k, low in enumerate(onset + np.arange(-2, 4) * 0.5):
            value = float(epochs[trial, k, 0])
            if (low >= 0 and low + 0.5 <= 4) or (low >= 7 and low + 0.5 <= 20):
                assert value == sum(low <= t < low + 0.5 for t in train)
            else:
                assert np.isnan(value)
