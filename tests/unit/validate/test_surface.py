"""Lines through designed simulations: known slopes and known rates come back from noise."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.validate._surface import RUNS, Line, Trial, design, drift, line, nearness, settled

KNOBS, NEURONS, STATISTICS = 11, 40, 6


def trials_of(x, misfit_at, rate_at, rng, noise=0.3, reach=0.5, n_rounds=3):
    """Trials around `x`, with normal misfits and Poisson counts."""
    out = []
    for _ in range(n_rounds):
        for point in x + reach * design(KNOBS, rng):
            offset = rng.normal(0.0, 0.3, NEURONS)
            count = rng.poisson(rate_at(point, offset)).astype(float)
            out.append(Trial(point, offset, count, misfit_at(point) + noise * rng.standard_normal(STATISTICS)))
    return out


def test_design_is_orthogonal_and_balanced():
    for seed in range(5):
        points = design(KNOBS, np.random.default_rng(seed))
        assert points.shape == (RUNS, KNOBS)
        np.testing.assert_array_equal(points.T @ points, RUNS * np.eye(KNOBS))
        np.testing.assert_array_equal(points.sum(axis=0), 0)


def test_slopes_and_their_error():
    rng = np.random.default_rng(0)
    x = rng.normal(size=KNOBS)
    slope, middle = rng.normal(size=(STATISTICS, KNOBS)), rng.normal(size=STATISTICS)
    wanted = np.full(NEURONS, 200.0)
    trials = trials_of(x, lambda point: middle + slope @ (point - x), lambda point, offset: wanted, rng)
    found = line(trials, x, 0.5, wanted)
    # 36 trials at half a step: a slope is known to 0.3 / (0.5 * 6) = 0.1, the middle to 0.05.
    assert np.sqrt(np.mean((found.slope - slope) ** 2)) < 0.15
    assert np.sqrt(np.mean((found.misfit - middle) ** 2)) < 0.1
    assert 0.05**2 < found.error.mean() < 0.2**2


def test_what_wrong_rates_do_is_taken_out():
    """Misfits hang on the rates alone, which differ at random: at the right rates there is none."""
    rng = np.random.default_rng(1)
    x, wanted = np.zeros(KNOBS), np.full(NEURONS, 200.0)
    trials = []
    for point in np.concatenate([0.5 * design(KNOBS, rng) for _ in range(3)]):
        wrong = 0.3 + 0.2 * rng.standard_normal()
        count = rng.poisson(wanted * np.exp(wrong)).astype(float)
        trials.append(Trial(point, np.zeros(NEURONS), count, np.full(STATISTICS, 4.0 * wrong)))
    assert np.abs(np.mean([trial.misfit for trial in trials])) > 1.0
    assert np.abs(line(trials, x, 0.5, wanted).misfit).max() < 0.2


def test_a_knob_without_effect_is_known_to_have_none():
    rng = np.random.default_rng(2)
    x, wanted = np.zeros(KNOBS), np.full(NEURONS, 200.0)
    slope = np.zeros((STATISTICS, KNOBS))
    slope[:, 0] = 1.0
    found = line(trials_of(x, lambda p: slope @ p, lambda p, o: wanted, rng), x, 0.5, wanted)
    assert np.abs(found.slope[:, 1:]).mean() < 0.15
    assert found.slope[:, 0].mean() == pytest.approx(1.0, abs=0.15)


def test_hopeless_statistics_count_by_their_logarithm():
    def at(value):
        return Line(np.array([0.5, value]), np.zeros((2, 1)), np.zeros(1)).size

    assert at(0.5) == pytest.approx(0.5, rel=0.05)
    assert at(100.0) < 2.0 * at(10.0)


def test_nearness():
    far = Trial(np.ones(4), np.zeros(1), np.zeros(1), np.zeros(1))
    near = far._replace(x=np.zeros(4))
    weight = nearness([far, near], np.zeros(4), 0.5)
    assert weight[1] == 1.0
    assert weight[0] == pytest.approx(np.exp(-2.0))


def test_offsets_give_the_rates():
    """Neurons whose rates hang on knobs and bias in a known way, from trials elsewhere, with Poisson noise."""
    rng = np.random.default_rng(3)
    wanted = np.geomspace(20.0, 2000.0, NEURONS)
    steep = np.full(NEURONS, 0.4)
    change, wrong = rng.normal(0.0, 0.2, (NEURONS, KNOBS)), rng.normal(0.0, 0.4, NEURONS)
    x = np.zeros(KNOBS)

    def rate_at(point, offset):
        return wanted * np.exp(wrong + change @ point + steep * offset)

    trials = trials_of(x, lambda point: np.zeros(STATISTICS), rate_at, rng)
    found = drift(trials, x, 0.8, wanted, steep)
    assert np.corrcoef(found.ravel(), change.ravel())[0, 1] > 0.85
    offset = settled(trials, x, 0.8, wanted, steep, np.zeros(NEURONS), found)
    error = np.log(rate_at(x, offset) / wanted)
    assert np.abs(error).max() < 0.2
    # 36 trials of 2000 spikes leave 0.4 %, and the drifts that were not known a few.
    assert np.sqrt(np.mean(error[-10:] ** 2)) < 0.05
