"""Intervals of means over repeats."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from neurodata.diagnostics.spread import mean_interval


def test_the_interval_is_that_of_a_t_test():
    values = np.random.default_rng(0).normal(2.0, 3.0, (4, 6))
    found = mean_interval(xr.DataArray(values, dims=("model", "seed")), level=0.9)
    for row in range(4):
        low, high = stats.ttest_1samp(values[row], 0.0).confidence_interval(0.9)
        assert float(found.low[row]) == pytest.approx(low)
        assert float(found.high[row]) == pytest.approx(high)


def test_missing_values_are_left_out_and_one_value_has_no_interval():
    values = xr.DataArray([[1.0, np.nan, 3.0], [1.0, np.nan, np.nan], [np.nan] * 3], dims=("model", "seed"))
    found = mean_interval(values)
    np.testing.assert_array_equal(found.mean_, [2.0, 1.0, np.nan])
    assert found.n.values.tolist() == [2, 1, 0]
    assert np.isfinite(found.high).values.tolist() == [True, False, False]
