"""Bands and p values of the ECDF of ranks, against every possible sample and against simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import binom

from neurodata.diagnostics.ecdf import ecdf_band, ecdf_difference, ecdf_p_value, rank_chi_square
from neurodata.errors import OptionError


def worst_tail(sample: tuple[int, ...], n_values: int) -> float:
    """Smallest two-sided binomial tail over the points, by its definition."""
    n = len(sample)
    tails = []
    for k in range(1, n_values):
        count = sum(value < k for value in sample)
        mass = binom.pmf(np.arange(n + 1), n, k / n_values)
        tails.append(2 * min(mass[: count + 1].sum(), mass[count:].sum()))
    return min(tails)


@pytest.mark.parametrize(("n_samples", "n_values"), [(5, 3), (4, 4), (7, 2), (3, 6)])
def test_p_values_are_exact_over_all_possible_samples(n_samples, n_values):
    samples = list(product(range(n_values), repeat=n_samples))
    tails = np.array([worst_tail(sample, n_values) for sample in samples])
    expected = [(tails <= tail * (1 + 1e-9)).mean() for tail in tails]
    np.testing.assert_allclose(ecdf_p_value(np.array(samples), n_values), expected, atol=1e-12)


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize(("n_samples", "n_values"), [(6, 3), (4, 4), (7, 2)])
def test_band_coverage_is_exact_and_no_wider_band_is_needed(n_samples, n_values, level):
    band = ecdf_band(n_samples, n_values, level)
    samples = np.array(list(product(range(n_values), repeat=n_samples)))
    counts = (samples[:, :, None] <= np.arange(n_values)).sum(axis=1)
    inside = ((counts >= band.lower) & (counts <= band.upper)).all(axis=1)
    assert band.coverage == pytest.approx(inside.mean(), abs=1e-12)
    assert band.coverage >= level
    # Without the samples of the smallest tail inside the band, the coverage would be below the level.
    tails = np.array([worst_tail(tuple(sample), n_values) for sample in samples[inside]])
    assert (tails > tails.min() * (1 + 1e-9)).sum() / len(samples) < level


@pytest.mark.statistical
@pytest.mark.parametrize(("n_samples", "n_values"), [(100, 100), (250, 40), (40, 200)])
def test_95_percent_of_uniform_samples_stay_in_the_band(n_samples, n_values):
    """20000 samples: three binomial standard errors are 0.0046, and the exact coverage is at most 0.003 above 0.95."""
    band = ecdf_band(n_samples, n_values, 0.95)
    rng = np.random.default_rng(0)
    counts = rng.multinomial(n_samples, np.full(n_values, 1 / n_values), size=20_000).cumsum(axis=1)
    inside = ((counts >= band.lower) & (counts <= band.upper)).all(axis=1).mean()
    assert inside == pytest.approx(band.coverage, abs=0.0046)
    assert 0.95 <= band.coverage < 0.953


def test_leaving_the_band_is_a_p_value_below_its_level():
    rng = np.random.default_rng(1)
    ranks = rng.integers(0, 20, (500, 60))
    band = ecdf_band(60, 20, 0.9)
    count = np.rint((ecdf_difference(ranks, 20) + np.arange(1, 21) / 20) * 60)
    outside = ~((count >= band.lower) & (count <= band.upper)).all(axis=1)
    assert 20 < outside.sum() < 80
    np.testing.assert_array_equal(outside, ecdf_p_value(ranks, 20) <= 1 - band.coverage + 1e-12)


def test_mirrored_ranks_have_the_same_p():
    ranks = np.random.default_rng(2).binomial(19, 0.55, (20, 80))
    np.testing.assert_allclose(ecdf_p_value(ranks, 20), ecdf_p_value(19 - ranks, 20), rtol=1e-9)


def test_difference_counts_ranks_at_or_below():
    found = ecdf_difference(np.array([[0, 1, 1, 3], [3, 3, 3, 3]]), 4)
    np.testing.assert_allclose(found, [[0.0, 0.25, 0.0, 0.0], [-0.25, -0.5, -0.75, 0.0]])


def test_chi_square_is_that_of_its_bins_and_needs_ten_ranks():
    from scipy.stats import chisquare

    ranks = np.random.default_rng(3).integers(0, 10, 53)
    # 53 ranks: ten bins, the possible ranks themselves, each expects 5.3.
    expected = chisquare(np.bincount(ranks, minlength=10)).pvalue
    assert rank_chi_square(ranks, 10) == pytest.approx(expected)
    # 100 possible ranks in 20 bins of 5.
    many = np.random.default_rng(4).integers(0, 100, 200)
    assert rank_chi_square(many, 100) == pytest.approx(chisquare(np.bincount(many // 5, minlength=20)).pvalue)
    assert np.isnan(rank_chi_square(np.arange(9), 10))


@pytest.mark.parametrize("ranks", [[-1, 2], [0, 4], [0.5, 1.0], []])
def test_what_is_no_rank_is_refused(ranks):
    with pytest.raises(OptionError, match="whole ranks from 0 to 3"):
        ecdf_difference(np.array(ranks), 4)


@pytest.mark.parametrize("bad", [{"n_samples": 0}, {"n_values": 1}, {"level": 1.0}])
def test_a_band_that_makes_no_sense_is_refused(bad):
    with pytest.raises(OptionError, match="level between 0 and 1"):
        ecdf_band(**{"n_samples": 10, "n_values": 10, "level": 0.95, **bad})
