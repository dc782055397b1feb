"""The null distribution of z values, estimated from their centre."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from neurodata.diagnostics.decisions import adjusted_p, benjamini_hochberg
from neurodata.diagnostics.empirical_null import FEWEST, THEORETICAL, empirical_null


def statistics(n: int, centre: float, width: float, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """z values of which a share are discoveries, and which those are."""
    rng = np.random.default_rng(seed)
    there = rng.random(n) < share
    return rng.normal(centre, width, n) + there * rng.choice([-1, 1], n) * rng.uniform(4, 9, n) * width, there


def test_standard_normal_is_found():
    found = [empirical_null(statistics(2450, 0.0, 1.0, 0.0, seed)[0]) for seed in range(20)]
    assert np.mean([one.centre for one in found]) == pytest.approx(0.0, abs=0.02)
    assert np.mean([one.width for one in found]) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("share", [0.0, 0.1])
def test_shifted_and_wide_null_below_discoveries(share):
    found = [empirical_null(statistics(2450, 0.5, 1.5, share, seed)[0]) for seed in range(20)]
    # Four standard errors of the mean over 20, and 3 % that discoveries near the centre may widen it by.
    assert np.mean([one.centre for one in found]) == pytest.approx(0.5, abs=0.05)
    assert np.mean([one.width for one in found]) == pytest.approx(1.5, abs=0.09)


def test_error_rate_holds_and_is_wrong_without_widening():
    called, naive = [], []
    for seed in range(20):
        z, there = statistics(2450, 0.0, 1.5, 0.1, seed)
        null = empirical_null(z)
        called.append(np.mean(2 * norm.sf(np.abs(z[~there] - null.centre) / null.width) < 0.05))
        naive.append(np.mean(2 * norm.sf(np.abs(z[~there])) < 0.05))
    assert 0.04 < np.mean(called) < 0.06
    assert np.mean(naive) > 0.15  # 2 * sf(1.96 / 1.5) = 0.19


def test_few_tests_are_not_trusted_to_be_narrow():
    widths = [empirical_null(statistics(90, 0.0, 1.0, 0.0, seed)[0]).width for seed in range(100)]
    # Unguarded estimates at 90 have a standard deviation of 0.09, half of them below 1.
    assert np.quantile(widths, 0.05) > 0.93
    assert np.mean(np.array(widths) == 1.0) > 0.4
    assert np.mean(widths) < 1.1


def test_narrow_null_with_evidence():
    assert empirical_null(statistics(10_000, 0.0, 0.7, 0.0, 0)[0]).width < 0.8


def test_too_few_or_equal_tests_are_standard_normal():
    assert empirical_null(np.random.default_rng(0).normal(3, 5, FEWEST - 1)) == THEORETICAL
    assert empirical_null(np.full(100, 2.0)) == THEORETICAL


def test_nan_is_no_test():
    z = statistics(500, 0.3, 1.4, 0.0, 1)[0]
    with_nan = np.concatenate([z, np.full(500, np.nan)])
    assert empirical_null(with_nan) == empirical_null(z)


def test_adjusted_p_is_the_decision_at_every_level():
    p = np.random.default_rng(0).random((20, 10)) ** 2
    p[3, 4] = np.nan
    adjusted = adjusted_p(p)
    assert np.isnan(adjusted[3, 4])
    for level in (0.01, 0.05, 0.2, 0.6):
        decided = np.nan_to_num(adjusted, nan=1.0) <= level
        np.testing.assert_array_equal(decided, benjamini_hochberg(p, level))
