"""TopologicalRSA: scikit-learn's manners, what it puts together, files; time-generalisation; the figures of both."""

from __future__ import annotations

import itertools
import pickle

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone

import neurodata as nd
from neurodata.errors import NotFittedError, OptionError, RecordingError


def patterns(n_subjects: int = 6, n_conditions: int = 8, noise: float = 0.4, seed: int = 0) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    base = np.random.default_rng(42).normal(size=(n_conditions, 10))
    return xr.DataArray(
        base + noise * rng.normal(size=(n_subjects, n_conditions, 10)),
        dims=("subject", "condition", "channel"),
        coords={"subject": [f"s{k}" for k in range(n_subjects)], "condition": [*"abcdefghij"][:n_conditions]},
    )


def true_rdm(n_conditions: int = 8) -> xr.DataArray:
    return nd.models.rdm(patterns(1, n_conditions, 0.0)[0].drop_vars("subject"))


def regions(seed: int = 0) -> xr.DataArray:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(2, 7, 6))
    stack = xr.concat(
        [
            nd.models.rdm(xr.DataArray(one + 0.8 * rng.normal(size=one.shape), dims=("condition", "channel")))
            for _ in range(6)
            for one in base
        ],
        "rdm",
    )
    return stack.assign_coords(region=("rdm", ["V1", "IT"] * 6), subject=("rdm", np.repeat(range(6), 2)))


def test_it_is_its_parts_in_a_row():
    data, truth = patterns(), true_rdm()
    other = truth.isel(condition=[4, 0, 7, 2, 1, 3, 6, 5], condition_2=[4, 0, 7, 2, 1, 3, 6, 5])
    model = nd.models.TopologicalRSA(transform=("geo-topological", 0.2, 0.8), comparison="rho-a", n_draws=40, rng=1)
    assert model.fit(data, {"truth": other}) is model
    rdms = xr.concat([nd.models.rdm(data[k].drop_vars("subject")) for k in range(6)], "rdm")
    gt = nd.models.geo_topological(rdms, 0.2, 0.8)
    np.testing.assert_allclose(model.rdm_.values, gt.values)
    expected = nd.models.compare_rdms(nd.models.geo_topological(truth, 0.2, 0.8), gt, "rho-a").mean()
    assert float(model.model_score_.sel(model="truth")) == pytest.approx(float(expected))
    np.testing.assert_allclose(model.ceiling_.values, nd.models.noise_ceiling(gt, "rho-a").values)
    assert float(model.model_p_[0]) < 0.05
    assert 0.5 < model.score(patterns(3, seed=7)) <= 1.0


def test_settings_are_stored_and_results_come_with_fit():
    model = nd.models.TopologicalRSA(transform=("geo-topological", 0.1, 0.9), rng=0)
    assert clone(model).get_params() == model.get_params()
    with pytest.raises(NotFittedError):
        _ = model.rdm_
    model.fit(patterns(), {"truth": true_rdm()})
    model.fit(patterns())
    with pytest.raises(NotFittedError):
        _ = model.model_score_  # a second fit forgets the first


def test_files_and_pickles_keep_it(tmp_path):
    model = nd.models.TopologicalRSA(transform="select", rank=True, label="region", rng=0).fit(regions())
    for again in (pickle.loads(pickle.dumps(model)), nd.models.load(model.save(tmp_path / "model.nc"))):
        assert again.get_params() == model.get_params()
        assert again.accuracy_ == model.accuracy_
        xr.testing.assert_allclose(again.confusion_, model.confusion_)
        assert again.score(regions(1)) == pytest.approx(model.score(regions(1)))
    assert "identification" in repr(model)


def test_selected_thresholds_are_those_of_the_nested_choice():
    data = regions()
    model = nd.models.TopologicalRSA(transform="select", rank=True, label="region", rng=0).fit(data)
    table = nd.models.select_thresholds(data, rank=True)
    assert model.accuracy_ == float(table["accuracy"])
    assert model.optimism_ == pytest.approx(float(table["optimism"]))
    low, high = model.threshold_.values
    xr.testing.assert_allclose(model.rdm_, nd.models.geo_topological(data, low, high, rank=True))


def test_identification_with_a_null():
    """Two regions of six subjects have 64 ways to be named within subjects: p of 999 of them is near that of all."""
    data = regions()
    model = nd.models.TopologicalRSA(label="region", n_permutations=999, rng=0).fit(data)
    assert int(model.confusion_.sum()) == 12
    every = [
        float(nd.models.identify(data, np.array([("V1", "IT")[::flip] for flip in flips]).ravel())["accuracy"])
        for flips in itertools.product((1, -1), repeat=6)
    ]
    exact = np.mean(np.array(every) >= model.accuracy_ - 1e-12)
    assert model.accuracy_p_ == pytest.approx(exact, abs=5 * np.sqrt(exact * (1 - exact) / 999) + 0.001)


def test_geodesics_are_finite():
    model = nd.models.TopologicalRSA(transform=("geodesic", 0.0, 0.4), n_draws=20, rng=0)
    model.fit(patterns(), {"truth": true_rdm()})
    assert np.isfinite(model.rdm_).all()


def test_bad_settings_and_data_are_refused():
    for transform in ("umap", ("geo-topological", 0.5), ("umap", 0.1, 0.9)):
        with pytest.raises(OptionError, match="transform"):
            nd.models.TopologicalRSA(transform=transform).fit(patterns())
    with pytest.raises(OptionError, match="quantiles"):
        nd.models.TopologicalRSA(transform=("geo-topological", 0.9, 0.1)).fit(patterns())
    with pytest.raises(OptionError, match="label"):
        nd.models.TopologicalRSA(transform="select").fit(patterns())
    with pytest.raises(RecordingError, match="DataArray"):
        nd.models.TopologicalRSA().fit([1, 2])
    with pytest.raises(RecordingError, match="conditions"):
        nd.models.TopologicalRSA().fit(patterns().isel(condition=[0, 1]))


def test_time_generalisation_finds_what_subjects_share_and_not_their_noise():
    """One geometry for the first two of four times; then none, but each subject's noise stays the same."""
    rng = np.random.default_rng(0)
    shared = np.square(np.subtract.outer(*[rng.normal(size=8)] * 2))
    noise = rng.normal(size=(10, 8, 8))
    noise = noise + noise.transpose(0, 2, 1)
    noise[:, np.arange(8), np.arange(8)] = 0.0
    movie = nd.models.make_rdm(
        np.stack([shared + 0.2 * noise, shared + 0.2 * noise, noise, noise], axis=1), dims=("rdm", "time")
    )
    found = nd.models.time_generalisation(movie).values
    assert found[:2, :2].min() > 0.8
    assert np.abs(found[2:, 2:]).max() < 0.25  # 10 subjects of 28 pairs: s.e. about 0.06
    one = nd.models.time_generalisation(movie[0]).values
    np.testing.assert_allclose(one, one.T)
    assert one[2, 3] == pytest.approx(1.0)


def test_figures_show_what_they_are_given():
    data = regions()
    table = nd.models.select_thresholds(data, lower=[0.0, 0.3], upper=[0.6, 1.0])
    assert nd.plot.threshold_map(table).get_ylabel() == "upper quantile"
    shown = [text.get_text() for text in nd.plot.confusion(table).texts]
    assert sum(map(int, shown)) == 12
    boot = nd.models.bootstrap_rdms({"one": data[0], "two": data[1]}, data, n_draws=30, rng=0)
    heights = [bar.get_height() for bar in nd.plot.model_scores(boot).patches[:2]]
    np.testing.assert_allclose(heights, boot["score"])
    assert len(nd.plot.rdm_panel(data, most=5)) == 5
    place = np.array([0.0, 1.0, 3.0, 7.0])
    for n_axes in (2, 3):
        ax = nd.plot.mds(nd.models.make_rdm(np.square(place[:, None] - place)), n_axes=n_axes)
        assert len(ax.texts) == 4
    for call in (lambda: nd.plot.mds(data), lambda: nd.plot.confusion(data), lambda: nd.plot.rdm_panel(data[0])):
        with pytest.raises(OptionError):
            call()
