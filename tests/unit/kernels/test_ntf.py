"""Kernels of the non-negative CP against plain NumPy on small arrays."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.kernels import ntf_nb as kernel


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize(("dtype", "tol"), [(np.float32, 2e-6), (np.float64, 1e-13)])
@pytest.mark.parametrize(("n_rows", "n_columns"), [(1, 1), (4, 7), (7, 1024), (9, 2051)])
def test_products_with_the_data(rng, n_rows, n_columns, dtype, tol):
    x = rng.random((n_rows, n_columns)).astype(dtype)
    product = rng.random((6, n_columns)).astype(dtype)
    rows = rng.random((n_rows, 6)).astype(dtype)
    out, across = np.ones((n_rows, 6)), np.ones((6, n_columns), dtype=dtype)
    kernel.add_row_products(x, product, out)
    kernel.add_column_products(x, rows, across)
    np.testing.assert_allclose(out, 1 + x.astype(float) @ product.T.astype(float), rtol=tol)
    np.testing.assert_allclose(across, 1 + rows.T.astype(float) @ x.astype(float), rtol=tol)


def test_compiled_products_equal_the_same_code_in_python(rng):
    x, product, rows = rng.random((5, 9)), rng.random((3, 9)), rng.random((5, 3))
    for function, other, shape in (
        (kernel.add_row_products, product, (5, 3)),
        (kernel.add_column_products, rows, (3, 9)),
    ):
        compiled, plain = np.zeros(shape), np.zeros(shape)
        function(x, other, compiled)
        function.py_func(x, other, plain)
        np.testing.assert_allclose(compiled, plain, rtol=1e-13)


def pairs(n: int) -> np.ndarray:
    return np.stack(np.triu_indices(n, 1), axis=1).astype(np.int32)


def test_products_of_packed_pairs_are_those_of_the_unpacked_tensor(rng):
    n, n_rows = 6, 4
    index = pairs(n)
    full = rng.random((n_rows, n, n))
    full = full + full.transpose(0, 2, 1)
    full[:, range(n), range(n)] = 0.0  # the diagonal is left out
    unit, rows = rng.random((n, 3)), rng.random((n_rows, 3))
    product = np.zeros((3, len(index)))
    kernel.column_products(unit, index, product)
    packed = np.ascontiguousarray(full[:, index[:, 0], index[:, 1]])
    of_rows = np.zeros((n_rows, 3))
    kernel.add_row_products(packed, product, of_rows)
    np.testing.assert_allclose(2 * of_rows, np.einsum("tij,ir,jr->tr", full, unit, unit))
    of_pairs = np.zeros((3, len(index)))
    kernel.add_column_products(packed, rows, of_pairs)
    of_units = np.zeros((n, 3))
    for (i, j), value in zip(index, of_pairs.T, strict=True):
        of_units[i] += value * unit[j]
        of_units[j] += value * unit[i]
    np.testing.assert_allclose(of_units, np.einsum("tij,tr,jr->ir", full, rows, unit))


def test_grams_and_model_sums_by_class(rng):
    index = pairs(5)
    unit, data = rng.random((5, 2)), rng.random((10, 2))
    group = (np.arange(10) % 3).astype(np.int32)
    gram = rng.random((3, 2, 2))
    gram = gram @ gram.transpose(0, 2, 1)
    product = unit[index[:, 0]] * unit[index[:, 1]]
    grams = np.zeros((3, 2, 2))
    kernel.class_grams(unit, index, group, grams)
    for b in range(3):
        np.testing.assert_allclose(grams[b], product[group == b].T @ product[group == b])
    inner, square = kernel.model_sums(unit, index, data, gram, group)
    assert inner == pytest.approx((data * product).sum())
    assert square == pytest.approx(np.einsum("cr,crs,cs->", product, gram[group], product))


def loss_of(unit, index, data, gram, group, sparsity, ridge):
    product = unit[index[:, 0]] * unit[index[:, 1]]
    fit = 0.5 * np.einsum("cr,crs,cs->", product, gram[group], product) - (data * product).sum()
    return fit + sparsity * unit.sum() + 0.5 * ridge * (unit**2).sum()


@pytest.mark.parametrize(("sparsity", "ridge"), [(0.0, 0.0), (0.3, 0.2)])
def test_each_entry_of_a_symmetric_factor_goes_to_its_minimum(rng, sparsity, ridge):
    """One sweep of one cycle, entry by entry, against a search for the minimum of the loss itself."""
    from scipy.optimize import minimize_scalar

    from neurodata.models.connectome.problem import columns_of_entries

    index = pairs(5)
    start, column = columns_of_entries(index, 5)
    data, group = rng.random((10, 2)) - 0.2, (np.arange(10) % 2).astype(np.int32)
    gram = rng.random((2, 2, 2))
    gram = gram @ gram.transpose(0, 2, 1)
    unit = rng.random((5, 2))
    expected = unit.copy()
    for i in range(5):
        for r in range(2):

            def loss(value, i=i, r=r):
                trial = expected.copy()
                trial[i, r] = value
                return loss_of(trial, index, data, gram, group, sparsity, ridge)

            expected[i, r] = minimize_scalar(loss, bounds=(0.0, 10.0), method="bounded", options={"xatol": 1e-9}).x
    kernel.update_mode(0, 5, unit, index, start, column, data, gram, group, sparsity, ridge, 1, np.zeros(2))
    np.testing.assert_allclose(unit, expected, atol=1e-6)


def test_the_residual_is_zero_at_the_minimum_and_only_there(rng):
    from scipy.optimize import nnls

    design, right = rng.random((8, 3)), rng.random(8) - 0.3
    best, _ = nnls(design, right)
    gram, target = design.T @ design, design.T @ right
    residual, scale = kernel.descend(best.copy(), target, gram, 0.0, 0.0, 0)
    assert residual < 1e-20 * scale
    row = np.ones(3)
    before, _ = kernel.descend(row, target, gram, 0.0, 0.0, 500)
    assert before > 1e-3 * scale
    np.testing.assert_allclose(row, best, atol=1e-9)


def test_smooth_rows_lower_the_loss_and_stop_at_its_minimum(rng):
    n, smooth = 12, np.ones(12, dtype=bool)
    smooth[[0, 5, 6, 11]] = False  # a gap in the middle
    second = np.zeros((n, n))
    for q in np.flatnonzero(smooth):
        second[q, q - 1 : q + 2] = 1.0, -2.0, 1.0
    target, gram = rng.random((n, 2)) - 0.2, np.array([[[1.0, 0.3], [0.3, 1.5]]])
    group, rows, weight = np.zeros(n, dtype=np.int32), rng.random((n, 2)), 3.0

    def loss(values):
        bend = second @ values
        quadratic = np.einsum("qr,rs,qs->", values, gram[0], values)
        return 0.5 * quadratic - (target * values).sum() + 0.5 * weight * (bend**2).sum()

    last = loss(rows)
    for _ in range(30):
        kernel.update_smooth_rows(target, gram, group, rows, smooth, weight, 0.0, 0.0, 1, np.zeros(2))
        assert loss(rows) <= last + 1e-12
        last = loss(rows)
    kernel.update_smooth_rows(target, gram, group, rows, smooth, weight, 0.0, 0.0, 2000, np.zeros(2))
    slope = rows @ gram[0] - target + weight * second.T @ second @ rows
    assert np.abs(np.minimum(slope, rows)).max() < 1e-9
