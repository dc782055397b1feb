"""States, groups, latents and dissimilarities: alignment in time and by id, and answers known by hand."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from neurodata.errors import RecordingError
from neurodata.validate import metrics
from neurodata.validate.metrics.alignment import nearest_frames
from neurodata.validate.metrics.states import change_times, matched


def score(name: str, claims: xr.Dataset, truth: xr.Dataset) -> float:
    return metrics.ALL[name](claims, truth)


def over_time(name: str, values, time) -> xr.Dataset:
    values = np.asarray(values)
    dims = ("time", "latent")[: values.ndim]
    return xr.Dataset({name: (dims, values)}, coords={"time": np.asarray(time, dtype=float)})


@pytest.fixture
def switching() -> xr.Dataset:
    """Three states, 5 s each, twice round, in frames of 10 ms."""
    return over_time("state", np.repeat([0, 1, 2, 0, 1, 2], 500), 0.01 * np.arange(3000) + 0.005)


def at(truth: xr.Dataset, time: np.ndarray) -> np.ndarray:
    return truth["state"].values[np.clip(np.floor(time / 0.01).astype(int), 0, 2999)]


def test_nearest_frames_at_the_ends_and_between():
    frames = 0.01 * np.arange(5) + 0.005
    assert nearest_frames(frames, np.array([-0.001, 0.0, 0.0149, 0.0451, 0.0501])).tolist() == [-1, 0, 1, 4, -1]
    assert nearest_frames(np.array([1.0]), np.array([1.0, 2.0])).tolist() == [0, -1]
    assert nearest_frames(np.zeros(0), np.array([1.0])).tolist() == [-1]


def test_a_right_path_with_other_names_and_wider_bins_is_right(switching):
    time = 0.1 * np.arange(300) + 0.05
    renamed = np.array([2, 0, 1])[at(switching, time)]
    said = over_time("state", renamed, time)
    for name in ("state_accuracy", "state_ari", "state_ami", "change_f1"):
        assert score(name, said, switching) == pytest.approx(1.0), name
    assert score("dwell_bias", said, switching) == pytest.approx(0.0)


def test_truth_is_taken_at_the_models_times_and_what_lies_outside_is_left_out(switching):
    time = 0.1 * np.arange(-50, 400) + 0.05
    said = over_time("state", np.where((time > 0) & (time < 30), at(switching, time), 1), time)
    assert score("state_accuracy", said, switching) == pytest.approx(1.0)
    late = over_time("state", at(switching, time[50:350]), time[50:350] + 2.5)  # half of each visit is off
    assert score("state_accuracy", late, switching) == pytest.approx(
        np.mean(at(switching, time[50:325]) == at(switching, time[50:325] + 2.5))
    )


def test_unknown_states_have_no_say(switching):
    time = 0.1 * np.arange(300) + 0.05
    path = at(switching, time)
    path[20:40] = -1
    assert score("state_accuracy", over_time("state", path, time), switching) == pytest.approx(1.0)


def test_one_state_throughout_has_the_accuracy_of_the_commonest_state(switching):
    said = over_time("state", np.zeros(300, dtype=int), 0.1 * np.arange(300) + 0.05)
    assert score("state_accuracy", said, switching) == pytest.approx(1 / 3)
    assert metrics.ALL["state_accuracy"].chance_level(switching) == pytest.approx(1 / 3)
    assert score("state_ari", said, switching) == 0.0
    assert score("change_f1", said, switching) == 0.0
    assert score("dwell_bias", said, switching) == pytest.approx(5.0)  # 30 s for 5 s


def test_more_claimed_states_than_true_ones_leave_some_without_a_name(switching):
    time = 0.1 * np.arange(300) + 0.05
    path = at(switching, time) + 3 * (time >= 15)  # each state has two names
    assert score("state_accuracy", over_time("state", path, time), switching) == pytest.approx(0.5)


def test_a_truth_that_does_not_switch_has_no_score(switching):
    said = over_time("state", np.zeros(10, dtype=int), np.arange(10.0))
    constant = switching.assign(state=switching["state"] * 0)
    for name in ("state_accuracy", "state_ari", "state_ami", "change_f1", "dwell_bias"):
        assert np.isnan(score(name, said, constant)), name


def test_change_points_within_and_beyond_the_tolerance(switching):
    true = np.array([5.0, 10.0, 15.0, 20.0, 25.0])
    assert change_times(switching["state"].values, switching["time"].values) == pytest.approx(true)
    claimed = np.array([5.2, 9.7, 15.0, 15.1, 25.24])  # 5, 15 and 25 found; 9.7 is too early, 15.1 is a second one
    said = xr.Dataset({"change": ("change", claimed)})
    assert metrics.states.change_f1(said, switching) == pytest.approx(2 * 3 / (5 + 5))
    assert metrics.states.change_f1(said, switching, tolerance=0.35) == pytest.approx(2 * 4 / 10)
    assert score("change_f1", said, switching) == pytest.approx(0.6)


def test_changes_inside_a_gap_are_nobodys_fault(switching):
    time = 0.1 * np.arange(300) + 0.05
    kept = (time < 4) | (time > 6)
    said = over_time("state", at(switching, time)[kept], time[kept])
    assert score("change_f1", said, switching) == pytest.approx(1.0)


def test_matching_is_the_largest_possible():
    rng = np.random.default_rng(0)
    import itertools

    for _ in range(200):
        a, b = rng.uniform(0, 2, rng.integers(0, 5)), rng.uniform(0, 2, rng.integers(0, 5))
        small, large = sorted((a, b), key=len)
        best = max(
            sum(abs(x - y) <= 0.3 for x, y in zip(small, order, strict=False))
            for order in itertools.permutations(large, len(small))
        )
        assert matched(a, b, 0.3) == best


def groups(values, unit) -> xr.Dataset:
    return xr.Dataset({"cluster": ("unit", np.array(values, dtype=float))}, coords={"unit": unit})


def test_groups_are_matched_by_id_and_units_without_a_true_group_left_out():
    truth = groups([0, 0, 1, 1, -1], list("abcde"))
    said = groups([7, 3, 3, 7, 9], list("dabcx"))
    for name, value in {"cluster_ari": 1.0, "cluster_ami": 1.0, "cluster_vi": 0.0}.items():
        assert score(name, said, truth) == pytest.approx(value), name


def test_a_unit_put_nowhere_is_a_group_by_itself():
    truth = groups([0, 0, 1, 1], list("abcd"))
    said = groups([0, -1, 1, np.nan], list("abcd"))
    single = groups([0, 2, 1, 3], list("abcd"))
    for name in ("cluster_ari", "cluster_ami", "cluster_vi"):
        assert score(name, said, truth) == score(name, single, truth)
    assert score("cluster_vi", said, truth) == pytest.approx(1.0)  # 2 bits less the 1 bit they share


def test_groups_without_a_truth_or_without_common_units():
    assert np.isnan(score("cluster_ari", groups([0, 1], [0, 1]), groups([0, 0], [0, 1])))
    with pytest.raises(RecordingError, match="same units"):
        score("cluster_ari", groups([0, 1], [0, 1]), groups([0, 1], [5, 6]))


@pytest.fixture
def latents() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(3)
    time = 0.02 * np.arange(3000) + 0.01
    walk = rng.standard_normal((3000, 2)).cumsum(axis=0)
    return time, walk - walk.mean(axis=0)


def test_latents_up_to_a_linear_map(latents):
    time, z = latents
    truth = over_time("latent", z, time)
    mixed = over_time("latent", z @ np.array([[1.0, 2.0, 0.0], [0.5, -1.0, 3.0]]) + 4.0, time)
    assert score("latent_r2", mixed, truth) == pytest.approx(1.0)
    assert score("latent_cca", mixed, truth) == pytest.approx(1.0)
    one = over_time("latent", z[:, :1], time)
    assert score("latent_r2", one, truth) < 0.9
    assert score("latent_cca", one, truth) == pytest.approx(1.0)


def test_a_map_that_fits_only_by_chance_gains_nothing(latents):
    """Forty random walks explain another random walk well in sample; on held-out blocks they must not."""
    time, z = latents
    noise = np.random.default_rng(4).standard_normal((3000, 40)).cumsum(axis=0)
    design = np.column_stack([np.ones(3000), noise])
    residual = z - design @ np.linalg.lstsq(design, z, rcond=None)[0]
    assert 1 - (residual**2).sum() / (z**2).sum() > 0.9
    assert score("latent_r2", over_time("latent", noise, time), over_time("latent", z, time)) < 0.0


def test_latents_at_other_times_and_with_missing_values(latents):
    time, z = latents
    truth = over_time("latent", z, time)
    said = over_time("latent", z[::5] * 2, time[::5])
    said["latent"][3:7] = np.nan
    assert score("latent_r2", said, truth) == pytest.approx(1.0)
    assert np.isnan(score("latent_r2", over_time("latent", z[:10], time[:10]), truth))


def test_dissimilarities_are_matched_by_condition():
    rng = np.random.default_rng(5)
    d = rng.random((5, 5))
    d = d + d.T
    names = list("pqrst")
    truth = xr.Dataset({"rdm": (("condition", "condition_2"), d)}, coords={"condition": names, "condition_2": names})
    order = [4, 2, 0, 1, 3]
    said = truth.isel(condition=order, condition_2=order) ** 2
    assert score("rdm_spearman", said, truth) == pytest.approx(1.0)
    assert score("rdm_tau_a", said, truth) == pytest.approx(1.0)
    assert score("rdm_tau_a", -1 * said, truth) == pytest.approx(-1.0)
    flat = truth * 0
    assert score("rdm_tau_a", flat, truth) == 0.0
    assert np.isnan(score("rdm_spearman", flat, truth))
