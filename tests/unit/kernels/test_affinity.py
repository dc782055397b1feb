"""Affinity kernels against the formula, pair by pair."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.kernels import affinity_nb as kernel


@pytest.fixture
def parts():
    rng = np.random.default_rng(1)
    slope = (3.0 * rng.standard_normal((6, 5))).astype(np.float32)
    scale = rng.uniform(0.5, 2.0, 5)
    gate = ((slope / scale) ** 2 / (1 + (slope / scale) ** 2)).astype(np.float32)
    return slope, scale, gate


def formula(slope, scale, gate, late, late_gate, sign):
    i, j = np.triu_indices(slope.shape[1], 1)
    a, b = slope.astype(float), late.astype(float)
    return np.exp(-((a[:, i] - sign * b[:, j]) ** 2) / (scale[i] * scale[j])) * gate[:, i] * late_gate[:, j]


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_affinities_are_the_formula(parts, sign):
    slope, scale, gate = parts
    out = np.full((6, 10), 7.0, dtype=np.float32)
    kernel.affinities(slope, gate, (scale**-0.5).astype(np.float32), np.float32(sign), out)
    # The polynomial stands for exp(-x) up to x = 20, beyond which 3e-9 is nothing.
    np.testing.assert_allclose(out, formula(slope, scale, gate, slope, gate, sign), rtol=2e-5, atol=1e-8)


def test_lagged_affinities_are_the_mean_of_both_orders(parts):
    slope, scale, gate = parts
    late, late_gate = slope[::-1].copy(), gate[::-1].copy()
    out = np.zeros((6, 10), dtype=np.float32)
    kernel.add_affinities(
        slope, gate, late, late_gate, (scale**-0.5).astype(np.float32), np.float32(1), np.float32(0.5), out
    )
    one = formula(slope, scale, gate, late, late_gate, 1.0)
    other = formula(late, scale, late_gate, slope, gate, 1.0)
    np.testing.assert_allclose(out, 0.5 * (one + other), rtol=2e-5, atol=1e-8)


def test_compiled_affinities_equal_the_same_code_in_python(parts):
    slope, scale, gate = parts
    weight = (scale**-0.5).astype(np.float32)
    compiled, plain = (np.zeros((6, 10), dtype=np.float32) for _ in range(2))
    kernel.affinities(slope, gate, weight, np.float32(1), compiled)
    kernel.affinities.py_func(slope, gate, weight, np.float32(1), plain)
    np.testing.assert_allclose(compiled, plain, rtol=1e-5)


@pytest.mark.parametrize("forward", [True, False])
@pytest.mark.parametrize(("first", "last"), [(0, 20), (0, 3), (7, 12), (18, 20)])
def test_sums_over_a_finite_past_do_not_depend_on_the_block(forward, first, last):
    values = np.random.default_rng(2).random((20, 3)).astype(np.float32)
    decay, length = 0.8, 5
    out = np.ones((last - first, 3), dtype=np.float32)
    kernel.smooth_rows(values, decay, length, first, last, forward, out)
    step = -1 if forward else 1
    for t in range(first, last):
        near = [(decay**k, t + step * k) for k in range(length) if 0 <= t + step * k < 20]
        expected = 1 + sum(w * values[s].astype(float) for w, s in near)
        np.testing.assert_allclose(out[t - first], expected, rtol=1e-6)
