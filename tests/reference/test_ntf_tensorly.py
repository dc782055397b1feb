"""NonnegativeCP against TensorLy's HALS: the same minimum from the same start, and the same from many."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from tensorly.cp_tensor import CPTensor, cp_to_tensor
from tensorly.decomposition import non_negative_parafac_hals

import neurodata as nd


def tensor(seed: int, shape: tuple[int, ...], rank: int, noise: float) -> np.ndarray:
    rng = np.random.default_rng(seed)
    factors = [rng.random((size, rank)) ** 3 for size in shape]
    return cp_to_tensor(CPTensor((np.ones(rank), factors))) + noise * rng.random(shape)


def error_of(values: np.ndarray, found) -> float:
    return float(np.linalg.norm(cp_to_tensor(found) - values) / np.linalg.norm(values))


@pytest.mark.parametrize("shape", [(20, 15, 30), (8, 9, 10, 12)])
def test_the_minimum_from_one_start_is_tensorlys(shape):
    values = tensor(0, shape, 3, 0.3)
    rng = np.random.default_rng(1)
    start = [rng.random((size, 3)) for size in shape]
    theirs = non_negative_parafac_hals(
        values, 3, n_iter_max=3000, init=CPTensor((np.ones(3), [one.copy() for one in start])), tol=1e-14
    )
    dims = tuple("abcd"[: len(shape)])
    ours = nd.models.NonnegativeCP(3, tol=1e-9, max_iter=3000).fit(
        xr.DataArray(values, dims=dims), start=CPTensor((np.ones(3), start))
    )
    assert ours.converged_
    assert ours.relative_error_ == pytest.approx(error_of(values, theirs), rel=1e-6)
    expected = dict(zip(dims, theirs.factors, strict=True))
    assert nd.models.factor_match_score(ours.factor_, expected) > 0.9999
    assert error_of(values, ours.to_tensorly()) == pytest.approx(ours.relative_error_, rel=1e-6)


def test_the_best_of_random_starts_is_no_worse_than_tensorlys():
    values = tensor(2, (25, 20, 30), 5, 0.5)
    theirs = min(
        error_of(values, non_negative_parafac_hals(values, 5, n_iter_max=500, init="random", random_state=k))
        for k in range(3)
    )
    ours = nd.models.NonnegativeCP(5, n_restarts=3, tol=1e-6, rng=0).fit(xr.DataArray(values, dims=("a", "b", "c")))
    assert ours.relative_error_ <= theirs * (1 + 1e-4)


def test_a_symmetric_tensor_has_tensorlys_motifs():
    """TensorLy fits the diagonal too, so the tensor has the one that the motifs have."""
    rng = np.random.default_rng(3)
    unit, time = rng.random((16, 3)) ** 2, rng.random((40, 3)) ** 3
    full = np.einsum("tr,ir,jr->tij", time, unit, unit)
    theirs = non_negative_parafac_hals(full, 3, n_iter_max=2000, init="svd", tol=1e-12)
    ours = nd.models.NonnegativeCP(3, symmetric=("unit", "unit_2"), n_restarts=3, tol=1e-7, rng=0).fit(
        xr.DataArray(full, dims=("time", "unit", "unit_2"))
    )
    expected = {"time": theirs.factors[0], "unit": theirs.factors[1]}
    assert nd.models.factor_match_score(ours.factor_, expected) > 0.999
