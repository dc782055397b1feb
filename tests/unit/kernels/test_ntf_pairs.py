"""Kernels for complete symmetric tensors against those for any tensor."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.kernels import ntf_nb as general
from neurodata.kernels import ntf_pairs_nb as kernel
from neurodata.models.connectome.problem import columns_of_entries


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    index = np.stack(np.triu_indices(7, 1), axis=1).astype(np.int32)
    unit, data = rng.random((7, 3)), rng.random((21, 3)) - 0.2
    unit[rng.random((7, 3)) < 0.2] = 0.0
    gram = rng.random((3, 3))
    unpacked = np.zeros((7, 3, 7))
    kernel.unpack(data, index, unpacked)
    return index, unit, data, gram @ gram.T, unpacked


def test_gram_and_sums(parts):
    index, unit, data, gram, unpacked = parts
    product = unit[index[:, 0]] * unit[index[:, 1]]
    found = np.zeros((3, 3))
    kernel.pair_gram(unit, found)
    np.testing.assert_allclose(found, product.T @ product, atol=1e-14)
    inner, square = kernel.model_sums(unit, unpacked, gram)
    assert inner == pytest.approx((data * product).sum())
    assert square == pytest.approx(np.einsum("cr,rs,cs->", product, gram, product))


@pytest.mark.parametrize(("sparsity", "ridge", "cycles"), [(0.0, 0.0, 1), (0.1, 0.2, 3), (0.0, 0.0, 0)])
def test_updates_are_those_of_the_general_kernel(parts, sparsity, ridge, cycles):
    index, unit, data, gram, unpacked = parts
    one, other = unit.copy(), unit.copy()
    sums, expected = np.zeros(2), np.zeros(2)
    kernel.update_units(one, unpacked, gram, sparsity, ridge, cycles, sums)
    start, column = columns_of_entries(index, 7)
    group = np.zeros(21, dtype=np.int32)
    general.update_mode(0, 7, other, index, start, column, data, gram[None], group, sparsity, ridge, cycles, expected)
    np.testing.assert_allclose(one, other, atol=1e-12)
    np.testing.assert_allclose(sums, expected, rtol=1e-10)


def test_a_component_of_one_unit_alone_stays_where_it_is(parts):
    """Nobody is there to be paired with: no difference of rounding errors may be taken for a curvature."""
    index, unit, data, gram, unpacked = parts
    unit[:, 1] = 0.0
    unit[2, 1] = 1.7
    kernel.update_units(unit, np.abs(unpacked), gram, 0.0, 0.0, 3, np.zeros(2))
    assert np.isfinite(unit).all()
    assert unit.max() < 1e3
