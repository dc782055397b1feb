"""RDMs of real recordings: motor imagery in EEG."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd


@pytest.mark.real
def test_a_movie_of_motor_imagery(real_load):
    recording = real_load("eeg/physionet_eegmmi/S001R03.edf")
    patterns = nd.models.event_patterns(recording, recording["events"], (0.5, 2.0), run=5, keep_time=True)
    precision = nd.models.noise_precision(patterns)
    movie = nd.models.rdm_movie(patterns, "crossnobis", precision, window=0.1)
    assert movie["condition"].values.tolist() == ["T0", "T1", "T2"]
    assert movie.sizes["time"] == 25
    assert np.isfinite(movie).all()
    # A distance between voltages in units of their noise has neither volts nor the reference's level in it.
    twice = nd.models.rdm_movie(2e6 * patterns, "crossnobis", precision / 4e12, window=0.1)
    np.testing.assert_allclose(twice, movie, rtol=0, atol=1e-9)
    # Single trials by hand, at one window: all pairs of trials in different runs.
    start = 15
    middle = float(movie["time"][start])
    rows = patterns.sel(time=slice(middle - 0.05, middle + 0.05)).mean("time")
    x, label, run = rows.values, rows["condition"].values, rows["run"].values

    def similarity(a, b):
        pairs = [
            x[i] @ precision.values @ x[j]
            for i in np.flatnonzero(label == a)
            for j in np.flatnonzero(label == b)
            if run[i] != run[j]
        ]
        return np.mean(pairs) / x.shape[1]

    want = similarity("T0", "T0") + similarity("T1", "T1") - 2 * similarity("T0", "T1")
    assert float(movie[start].sel(condition="T0", condition_2="T1")) == pytest.approx(want, rel=1e-8)
