"""The test against turned courses: calibrated on slow courses, where one that breaks their slowness is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kstest

from neurodata.diagnostics.circular_shift import circular_shift_test


def periodic(rng: np.random.Generator, n: int, width: float) -> np.ndarray:
    """A slow course that ends where it begins."""
    kernel = np.exp(-0.5 * (np.minimum(np.arange(n), n - np.arange(n)) / width) ** 2)
    return np.fft.irfft(np.fft.rfft(rng.standard_normal(n)) * np.fft.rfft(kernel), n=n)


def p_values(n: int, test) -> np.ndarray:
    rng = np.random.default_rng(0)
    out = []
    for _ in range(n):
        course, other = periodic(rng, 300, 10.0), periodic(rng, 300, 10.0)
        out.append(test(course[:, None], (other > 0)[None] * 1.0, rng))
    return np.array(out)


def test_p_values_are_uniform_under_the_null():
    found = p_values(400, lambda course, stage, rng: circular_shift_test(course, stage).p_value[0, 0])
    assert kstest(found, "uniform").pvalue > 0.01


def test_p_values_of_several_recordings_are_uniform():
    def two(course, stage, rng):
        rows = [np.arange(150), np.arange(150, 300)]
        halves = [periodic(rng, 150, 6.0) for _ in rows], [periodic(rng, 150, 6.0) > 0 for _ in rows]
        course, stage = np.concatenate(halves[0])[:, None], np.concatenate(halves[1])[None] * 1.0
        return circular_shift_test(course, stage, rows, 199, rng).p_value[0, 0]

    assert kstest(p_values(300, two), "uniform").pvalue > 0.01


def test_a_twin_that_shuffles_samples_is_not_calibrated():
    """Shuffled samples are not slow: what is nothing looks like something."""

    def shuffled(course, stage, rng):
        x = (course[:, 0] - course.mean()) / course.std()
        g = stage[0] - stage.mean()
        null = np.abs([rng.permutation(x) @ g for _ in range(199)])
        return (1 + (null >= abs(x @ g)).sum()) / 200

    found = p_values(200, shuffled)
    assert kstest(found, "uniform").pvalue < 1e-6
    assert (found < 0.05).mean() > 0.3


def test_correlations_and_p_values_are_those_of_plain_loops():
    rng = np.random.default_rng(1)
    course, weight = rng.random((40, 3)), rng.random((2, 40))
    found = circular_shift_test(course, weight)
    for k in range(2):
        turns = np.array(
            [[np.corrcoef(course[:, r], np.roll(weight[k], shift))[0, 1] for r in range(3)] for shift in range(40)]
        )
        np.testing.assert_allclose(found.correlation[k], turns[0])
        np.testing.assert_allclose(found.p_value[k], (np.abs(turns) >= np.abs(turns[0]) - 1e-12).mean(axis=0))
        joint = (turns**2).sum(axis=1)
        assert found.joint_p_value[k] == pytest.approx((joint >= joint[0] - 1e-12).mean())


def test_what_never_varies_has_no_p_value():
    found = circular_shift_test(np.ones((20, 1)), np.arange(20.0)[None])
    assert np.isnan(found.p_value).all()
    assert np.isnan(found.joint_p_value).all()


def test_a_drift_makes_a_late_stage_stand_out_unless_it_is_taken_off():
    """Under a straight drift with slow noise, a stage that ends with the recording has a small p value for nothing."""
    rng = np.random.default_rng(3)
    stage = (np.arange(300) >= 120)[None] * 1.0
    drift = 6.0 * np.arange(300) / 300
    plain, level = [], []
    for _ in range(200):
        noise = periodic(rng, 300, 5.0)
        course = (drift + noise / noise.std())[:, None]
        plain.append(circular_shift_test(course, stage).p_value[0, 0])
        level.append(circular_shift_test(course, stage, detrend=True).p_value[0, 0])
    assert (np.array(plain) < 0.05).mean() > 0.5
    assert kstest(level, "uniform").pvalue > 0.01
