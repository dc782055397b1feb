"""Inference on RDMs: labels, bad input, bounds, calibration of intervals and tests, twins broken on purpose."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist, squareform

import neurodata as nd
from neurodata.errors import OptionError, RecordingError

SIMILARITIES = ("cosine", "corr", "spearman", "rho-a", "tau-a", "tau-b", "whitened-cosine", "whitened-corr", "bures")


def rdms_of(patterns: np.ndarray, labels=None, **coords) -> xr.DataArray:
    """Squared Euclidean RDMs of patterns (rdm, condition, channel)."""
    values = np.array([squareform(pdist(one) ** 2) for one in patterns])
    labels = [f"c{k}" for k in range(values.shape[1])] if labels is None else labels
    coords = {name: ("rdm", value) for name, value in coords.items()} | {"condition": labels, "condition_2": labels}
    return xr.DataArray(values, dims=("rdm", "condition", "condition_2"), coords=coords)


def draw(n_rdms: int, n_conditions: int, seed: int, shared: float = 0.0) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    common = shared * np.random.default_rng(99).normal(size=(n_conditions, 8))
    return rdms_of(common + rng.normal(size=(n_rdms, n_conditions, 8)))


@pytest.mark.parametrize("comparison", SIMILARITIES)
def test_conditions_are_matched_by_label_and_inputs_stay_as_they_are(comparison):
    a, b = draw(2, 7, 0), draw(3, 7, 1)
    order = [3, 0, 6, 2, 5, 1, 4]
    turned = b.isel(condition=order, condition_2=order)
    copies = a.copy(deep=True), turned.copy(deep=True)
    found = nd.models.compare_rdms(a, turned, comparison)
    np.testing.assert_allclose(found, nd.models.compare_rdms(a, b, comparison), rtol=1e-9)
    nd.models.bootstrap_rdms(a, turned, resample="subjects", comparison=comparison, n_draws=5, ceiling=False, rng=0)
    for one, before in zip((a, turned), copies, strict=True):
        xr.testing.assert_identical(one, before)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(SIMILARITIES), st.floats(0.1, 10.0))
def test_similarity_is_symmetric_and_at_most_one_and_scale_free(seed, comparison, scale):
    a, b = draw(1, 6, seed)[0], draw(1, 6, seed + 1)[0]
    one, other = (float(nd.models.compare_rdms(*pair, comparison)) for pair in ((a, b), (b, a)))
    assert one == pytest.approx(other, abs=1e-9)
    assert -1 - 1e-9 <= one <= 1 + 1e-9
    assert float(nd.models.compare_rdms(scale * a, b, comparison)) == pytest.approx(one, abs=1e-9)
    assert float(nd.models.compare_rdms(a, a, comparison)) == pytest.approx(1.0, abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(("cosine", "corr", "rho-a", "whitened-cosine", "whitened-corr")))
def test_no_rdm_is_more_similar_on_average_than_the_upper_ceiling(seed, comparison):
    data = draw(5, 6, seed, shared=1.0)
    lower, upper = nd.models.noise_ceiling(data, comparison).values
    rng = np.random.default_rng(seed)
    guess = data.mean("rdm") + squareform(rng.normal(size=15)) * rng.uniform(0, 3)
    everything = xr.concat([data, draw(5, 6, seed + 1), guess.expand_dims("rdm")], "rdm")
    means = nd.models.compare_rdms(everything, data, comparison).mean("rdm_2")
    assert float(means.max()) <= upper + 1e-9
    assert lower <= upper + 1e-9


def test_an_undefined_similarity_is_nan_and_rho_a_of_ties_is_zero():
    flat = xr.ones_like(draw(1, 5, 0)[0]) - np.eye(5)
    other = draw(1, 5, 0)[0]
    for comparison in ("corr", "spearman", "tau-b", "whitened-corr"):
        assert np.isnan(nd.models.compare_rdms(flat, other, comparison))
    assert float(nd.models.compare_rdms(flat, other, "rho-a")) == 0.0
    assert float(nd.models.compare_rdms(flat, other, "tau-a")) == 0.0


def test_unknown_pairs_are_left_out():
    a, b = draw(1, 6, 0)[0], draw(1, 6, 1)[0]
    hidden = a.where(a != a[0, 1]).copy()
    rows, columns = np.triu_indices(6, 1)
    expected = np.corrcoef(a.values[rows, columns][1:], b.values[rows, columns][1:])[0, 1]
    assert float(nd.models.compare_rdms(hidden, b, "corr")) == pytest.approx(expected, abs=1e-12)


def test_other_conditions_are_refused_by_name():
    a, b = draw(1, 5, 0), draw(1, 5, 1).assign_coords(condition=[*"abcde"], condition_2=[*"abcde"])
    with pytest.raises(RecordingError, match="lacks c0, c1, c2, c3, c4 and has also a, b"):
        nd.models.compare_rdms(a, b)
    with pytest.raises(RecordingError, match="model 'other'"):
        nd.models.bootstrap_rdms({"other": b[0]}, a)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda d: nd.models.compare_rdms(d, d, "kendall"), "tau-a"),
        (lambda d: nd.models.compare_rdms(d, d, "corr", condition_covariance=np.eye(6)), "whitened"),
        (lambda d: nd.models.compare_rdms(d, d, "whitened-corr", condition_covariance=np.ones((6, 6))), "definite"),
        (lambda d: nd.models.compare_rdms(d, d, "whitened-corr", condition_covariance=np.eye(4)), "shape"),
        (lambda d: nd.models.noise_ceiling(d, "bures"), "bures"),
        (lambda d: nd.models.bootstrap_rdms(d, d, comparison="bures", ceiling=False), "subjects"),
        (lambda d: nd.models.bootstrap_rdms(d, d, resample="runs"), "dual"),
        (lambda d: nd.models.bootstrap_rdms(d, d[:1]), "two subjects"),
        (lambda d: nd.models.crossvalidate_models({"a": d[0]}, d, n_subject_folds=9), "9"),
        (lambda d: nd.models.crossvalidate_models({"a": d[0]}, d, n_stimulus_folds=3), "three stimuli"),
        (lambda d: nd.models.crossvalidate_models({"a": d}, d), "WeightedRDM"),
        (lambda d: nd.models.identify(d, ["a", "b"] * 2, subject=[0, 0, 1, 1], n_folds=3), "folds"),
        (lambda d: nd.models.identify(d, ["a"] * 4, subject=[0, 0, 1, 1]), "two labels"),
        (lambda d: nd.models.identify(d, ["a", "a", "b", "b"], subject=[0, 1, 0, 0]), "b"),
        (lambda d: nd.models.identify(d, "region"), "region"),
        (
            lambda d: nd.models.select_thresholds(d, [*"abab"], subject=[0, 0, 1, 1], lower=[0.5], upper=[0.5]),
            "lower < upper",
        ),
        (lambda d: nd.models.select_thresholds(d, [*"abab"], subject=[0, 0, 1, 1]), "three folds"),
    ],
)
def test_bad_input_is_refused_with_what_to_do(call, words):
    with pytest.raises((OptionError, RecordingError), match=words):
        call(draw(4, 6, 0))


def test_weighted_models_recover_their_weights_and_beat_their_parts():
    parts = draw(3, 12, 0)
    truth = 2.0 * parts[0] + parts[2]
    data = rdms_like(truth, 6, 0.05)
    models = {"sum": nd.models.WeightedRDM(parts), "best": nd.models.SelectedRDM(parts), "first": parts[0]}
    for comparison in ("corr", "whitened-cosine", "rho-a"):
        table = nd.models.crossvalidate_models(models, data, comparison=comparison, n_stimulus_folds=3, rng=0)
        score = table["score"].to_series()
        assert score["sum"] > score["best"] >= score["first"] - 1e-9
        theta = table["weight_same_data"].values[:3]
        np.testing.assert_allclose(theta / theta[2], [2.0, 0.0, 1.0], atol=0.35)


def rdms_like(truth: xr.DataArray, n: int, noise: float, seed: int = 3) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    size = noise * float(truth.values.std())
    pairs = truth.shape[0] * (truth.shape[0] - 1) // 2
    return xr.concat([truth + squareform(rng.normal(0, size, pairs)) for _ in range(n)], "rdm")


def test_the_score_on_the_same_data_is_too_good_where_there_is_nothing_to_learn():
    found = [
        nd.models.crossvalidate_models(
            {"sum": nd.models.WeightedRDM(draw(6, 8, 100 + k))}, draw(4, 8, k), n_stimulus_folds=2, rng=k
        )["optimism"].item()
        for k in range(40)
    ]
    assert np.mean(found) > 3 * np.std(found, ddof=1) / np.sqrt(len(found))


def planted(seed: int, n_subjects: int = 8, noise: float = 0.6) -> xr.DataArray:
    """Three regions with geometries of their own in every subject."""
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(3, 8, 5))
    patterns = np.concatenate([base + noise * rng.normal(size=base.shape) for _ in range(n_subjects)])
    return rdms_of(patterns, region=["V1", "V4", "IT"] * n_subjects, subject=np.repeat(range(n_subjects), 3))


def test_identification_is_a_nearest_centroid_written_out():
    data = planted(0, noise=1.2)
    found = nd.models.identify(data)
    rows, columns = np.triu_indices(8, 1)
    vectors = data.values[:, rows, columns]
    for k in range(len(vectors)):
        others = data["subject"].values != data["subject"].values[k]
        regions = sorted(set(data["region"].values))
        centres = [vectors[others & (data["region"].values == region)].mean(axis=0) for region in regions]
        nearest = regions[int(np.argmin([np.sum((vectors[k] - centre) ** 2) for centre in centres]))]
        assert found["predicted"].values[k] == nearest
    assert found["confusion"].sum() == len(vectors)
    assert float(found["accuracy"]) == np.trace(found["confusion"].values) / len(vectors)


def test_any_classifier_may_identify():
    from sklearn.neighbors import NearestCentroid

    data = planted(0, noise=1.2)
    ours, theirs = (nd.models.identify(data, classifier=one) for one in ("centroid", NearestCentroid()))
    assert ours["predicted"].values.tolist() == theirs["predicted"].values.tolist()


def test_thresholds_are_chosen_without_the_subjects_they_are_judged_on():
    data = planted(1, noise=1.0)
    grid = np.round(np.arange(0, 1.01, 0.1), 2)
    found = nd.models.select_thresholds(data, lower=grid, upper=grid, n_folds=4, rng=0)
    assert float(found["accuracy_same_data"]) >= float(found["accuracy"])
    assert float(found["optimism"]) == pytest.approx(float(found["accuracy_same_data"] - found["accuracy"]))
    low, high = found["threshold"].values
    assert float(found["accuracy_grid"].sel(lower=low, upper=high)) == float(found["accuracy_same_data"])
    # Nested: the accuracy of the cell chosen in each fold, written out with the same folds.
    again = nd.models.identify(nd.models.geo_topological(data, low, high, rank=True), n_folds=4, rng=0)
    assert float(again["accuracy"]) == float(found["accuracy_same_data"])


@pytest.mark.statistical
def test_identification_of_nothing_is_at_chance_and_its_p_uniform():
    """60 sets without regions: p <= 0.2 in 20 %; 5 sd of the count is 15, so 27 happens once in 10^6."""
    p, accuracy = [], []
    for seed in range(60):
        data = draw(18, 6, seed).assign_coords(region=("rdm", [*"abc"] * 6), subject=("rdm", np.repeat(range(6), 3)))
        found = nd.models.identify(data, n_permutations=49, rng=seed)
        p.append(float(found["p"]))
        accuracy.append(float(found["accuracy"]))
    assert (np.array(p) <= 0.2).sum() <= 27
    assert abs(np.mean(accuracy) - 1 / 3) < 5 * np.std(accuracy) / np.sqrt(60)


@pytest.mark.statistical
@pytest.mark.parametrize("comparison", ["corr", "rho-a", "whitened-corr"])
def test_permutation_test_holds_its_level_and_a_test_on_pairs_does_not(comparison):
    """400 unrelated models at level 0.1: 40 expected, sd 6: at most 70. Shuffled pairs forget that pairs share ends."""
    rng = np.random.default_rng(0)
    small = broken = 0
    for seed in range(100):
        model, data = draw(4, 9, 2 * seed, 0.0), draw(3, 9, 10_000 + seed, shared=2.0)
        table = nd.models.permutation_test(model, data, comparison=comparison, n_permutations=59, rng=rng)
        small += int((table["p"] <= 0.1).sum())
        if comparison == "corr":
            rows, columns = np.triu_indices(9, 1)
            vectors, target = model.values[:, rows, columns], data.values[:, rows, columns]
            for one, score in zip(vectors, table["score"].values, strict=True):
                null = [np.mean([np.corrcoef(rng.permutation(one), t)[0, 1] for t in target]) for _ in range(19)]
                broken += (1 + np.sum(null >= score)) / 20 <= 0.1
    assert small <= 70
    if comparison == "corr":
        assert broken > 70


@pytest.mark.statistical
def test_intervals_over_subjects_cover_and_intervals_half_as_wide_do_not():
    """Data of 12 subjects around one geometry: the 95 % interval covers the score of very many in 95 % of 150 sets.

    sd of the count is 2.7; 130 is 4.7 sd below 142.5. Half the width would cover 67 %, 101 of 150.
    """
    model = draw(1, 8, 5, shared=3.0)
    truth = float(nd.models.compare_rdms(model[0], draw(4000, 8, 77, shared=1.5)).mean())
    covered = halved = 0
    for seed in range(150):
        data = draw(12, 8, 1000 + seed, shared=1.5)
        table = nd.models.bootstrap_rdms(model, data, resample="subjects", n_draws=300, ceiling=False, rng=seed)
        low, high = table["interval"].values[0]
        middle, reach = (low + high) / 2, (high - low) / 4
        covered += low <= truth <= high
        halved += middle - reach <= truth <= middle + reach
    assert covered >= 130
    assert halved < 130


def test_sign_flips_tell_models_apart_and_not_a_model_from_itself():
    data = draw(8, 8, 0, shared=2.0)
    models = {"good": data.mean("rdm"), "bad": draw(1, 8, 9)[0], "again": data.mean("rdm")}
    table = nd.models.sign_flip_test(models, data)
    assert float(table["p"].sel(model="good", model_2="bad")) == 2 / 256
    assert float(table["p"].sel(model="good", model_2="again")) == 1.0
    assert bool(table["significant"].sel(model="bad", model_2="good"))


def test_rdms_of_one_subject_are_drawn_and_left_out_together():
    """Every subject measured twice without noise: the groups give the ceilings of single RDMs."""
    once = draw(5, 7, 0, shared=1.0)
    twice = xr.concat([once, once], "rdm").assign_coords(subject=("rdm", [*range(5)] * 2))
    drawn = np.random.default_rng(0).integers(0, 5, (10, 5))
    for comparison in ("corr", "rho-a", "whitened-cosine", "tau-a"):
        ceilings = [
            nd.models.noise_ceiling(data, comparison, subject=subject).values
            for data, subject in ((once, None), (twice, "subject"))
        ]
        np.testing.assert_allclose(*ceilings, atol=1e-12)
        tables = [
            nd.models.bootstrap_rdms(
                once[:2], data, resample="subjects", subject=subject, comparison=comparison, draws=(None, drawn)
            )
            for data, subject in ((once, None), (twice, "subject"))
        ]
        xr.testing.assert_allclose(tables[0], tables[1].assign_attrs(tables[0].attrs))


@pytest.mark.statistical
def test_dual_bootstrap_holds_its_level_for_new_stimuli_and_subjects_alone_do_not():
    """200 unrelated models at level 0.05: 10 expected, sd 3.1, so at most 25 (measured 4).

    The subjects share a geometry of these stimuli, to which a random model is similar or not by chance; a resample of
    subjects alone takes that for a finding (measured 34).
    """
    small = {"dual": 0, "subjects": 0}
    for seed in range(200):
        rng = np.random.default_rng(seed)
        data = rdms_of(rng.normal(size=(12, 8)) + rng.normal(size=(10, 12, 8)))
        model = rdms_of(rng.normal(size=(1, 12, 8)))
        for resample in small:
            table = nd.models.bootstrap_rdms(model, data, resample=resample, n_draws=100, ceiling=False, rng=rng)
            small[resample] += float(table["p_zero"][0]) < 0.05
    assert small["dual"] <= 25
    assert small["subjects"] > 25
