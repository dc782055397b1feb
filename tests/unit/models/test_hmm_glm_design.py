"""Filter shapes, and the design matrix against plain loops."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.containers import make_counts
from neurodata.errors import OptionError, RecordingError
from neurodata.models.hmm_glm.basis import exponential, make_basis, n_lags, raised_cosine, refractory
from neurodata.models.hmm_glm.design import Layout, build_design
from neurodata.models.sequences import read_counts


def test_shapes_sum_to_one_cover_every_lag_and_are_independent():
    for lags in range(1, 41):
        for n_basis in range(1, lags + 1):
            basis = raised_cosine(n_basis, lags)
            np.testing.assert_allclose(basis.sum(axis=1), 1.0)
            assert (basis >= 0).all()
            assert (basis.sum(axis=0) > 0).all()
            # A condition number of 10 keeps the weights of neighbouring shapes apart.
            assert np.linalg.cond(basis) < 10
    assert raised_cosine(9, 4).shape == (4, 4)


def test_shapes_are_fine_at_short_lags_and_broad_at_long_ones():
    basis = raised_cosine(5, 50)
    lag = np.arange(1, 51)
    centre = basis @ lag
    spread = np.sqrt(basis @ lag**2 - centre**2)
    assert (np.diff(centre) > 0).all()
    assert (np.diff(spread[:-1]) > 0).all()


def test_exponential_is_the_published_one():
    # Kernel of github.com/JerrySoybean/onehot-hmmglm, commit f5c482c: exp(-k) over 5 bins, sum 1.
    np.testing.assert_allclose(exponential(5)[0], [0.636, 0.234, 0.086, 0.032, 0.012], atol=5e-4)
    assert make_basis("exponential", 7, 5).shape == (1, 5)


def test_refractory_has_the_first_lag_for_itself():
    basis = refractory(3, 10)
    assert basis[0].tolist() == [1.0] + [0.0] * 9
    assert (basis[1:, 0] == 0).all()
    assert refractory(3, 1).shape == (1, 1)


def test_history_shorter_than_a_bin_is_refused():
    assert n_lags(0.1, 0.02, "history") == 5
    with pytest.raises(OptionError, match="at least one bin"):
        n_lags(0.1, 0.5, "history")
    with pytest.raises(OptionError, match="positive"):
        n_lags(-1.0, 0.5, "history")


@pytest.mark.parametrize("own", [None, refractory(2, 4)])
def test_columns_equal_plain_loops(own):
    rng = np.random.default_rng(0)
    counts = rng.poisson(1.0, (30, 3)).astype(float)
    basis = raised_cosine(2, 3)
    layout = Layout(3, basis, own)
    design = build_design(read_counts([make_counts(counts[:12], 0.1), make_counts(counts[12:], 0.1)]), layout)
    longest = 3 if own is None else 4
    assert design.row_bin.tolist() == [*range(longest, 12), *range(12 + longest, 30)]
    assert design.columns.shape[1] == layout.n_columns
    for row, t in zip(design.columns, design.row_bin, strict=True):
        expected = [1.0]
        for m in range(3):
            expected += [sum(shape[k] * counts[t - 1 - k, m] for k in range(3)) for shape in basis]
        for m in range(3 if own is not None else 0):
            expected += [sum(shape[k] * counts[t - 1 - k, m] for k in range(4)) for shape in own]
        np.testing.assert_allclose(row, expected)
    np.testing.assert_array_equal(design.counts, counts[design.row_bin])


def test_a_missing_count_removes_what_depends_on_it():
    counts = np.ones((20, 3))
    counts[8, 1] = np.nan
    counts[15] = np.nan
    counts[:, 2] = np.nan  # a unit that is not part of the sequence
    design = build_design(read_counts(make_counts(counts, 0.1)), Layout(3, exponential(2), None))
    # Bins 0-1 lack a history; 9-10 and 16-17 need a missing count; 15 itself was not observed, 8 only in part.
    assert design.row_bin.tolist() == [2, 3, 4, 5, 6, 7, 8, 11, 12, 13, 14, 18, 19]
    assert design.counts[6].tolist() == [1, -1, -1]
    assert (design.columns[:, 3] == 0).all()
    assert np.isfinite(design.columns).all()


def test_shorter_than_the_history_is_refused():
    with pytest.raises(RecordingError, match="history"):
        build_design(read_counts(make_counts(np.ones((5, 1)), 0.1)), Layout(1, exponential(5), None))


@pytest.mark.parametrize("own", [None, refractory(2, 4)])
def test_coefficients_round_trip_and_filters_give_the_same_predictor(own):
    rng = np.random.default_rng(1)
    layout = Layout(3, raised_cosine(2, 3), own)
    theta = rng.normal(size=(2, layout.n_columns, 3))
    if layout.free() is not None:
        theta *= layout.free()
    coupling, self_part = layout.coefficients(theta)
    np.testing.assert_array_equal(layout.theta(theta[:, 0], coupling, self_part), theta)
    filters = layout.filters(coupling, self_part)
    counts = rng.poisson(1.0, (12, 3)).astype(float)
    design = build_design(read_counts(make_counts(counts, 0.1)), layout)
    for row, t in zip(design.columns, design.row_bin, strict=True):
        past = np.stack([counts[t - 1 - k] for k in range(layout.n_lags)])
        expected = theta[:, 0] + np.einsum("snmk,km->sn", filters, past)
        np.testing.assert_allclose(np.einsum("p,spn->sn", row, theta), expected)
