"""What every estimator must do: scikit-learn's manners over xarray."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import NotFittedError, OptionError, RecordingError

ESTIMATORS = [nd.models.HMMGLM(n_states=2, history=0.04, n_basis=1, n_restarts=2, max_iter=30, rng=3)]


@pytest.fixture(scope="module")
def counts() -> xr.DataArray:
    """Two states of 2 s with different rates, five units of which one is silent, and a stretch without data."""
    rng = np.random.default_rng(0)
    state = np.repeat(np.arange(8) % 2, 100)
    rate = np.where(state[:, None] == 0, [0.2, 0.8, 0.3, 0.0, 0.5], [0.8, 0.2, 0.6, 0.0, 0.2])
    values = rng.poisson(rate).astype(float)
    values[300:310] = np.nan
    return make_counts(values, 0.02, unit=["a", "b", "c", "silent", "e"])


@pytest.fixture(params=ESTIMATORS, ids=lambda model: type(model).__name__)
def model(request):
    return clone(request.param)


def fitted_values(model) -> dict[str, np.ndarray]:
    return {name: variable.values for name, variable in model.to_dataset().variables.items()}


def assert_same(one, other):
    first, second = fitted_values(one), fitted_values(other)
    assert first.keys() == second.keys()
    for name, values in first.items():
        np.testing.assert_array_equal(values, second[name], err_msg=name)


def test_init_only_stores(model):
    assert clone(model).get_params() == model.get_params()
    assert not [name for name in vars(model) if name.endswith("_") and not name.startswith("_")]
    with pytest.raises(NotFittedError):
        _ = model.weight_


def test_fit_returns_self_keeps_ids_and_leaves_its_input_alone(model, counts):
    before = counts.copy(deep=True)
    assert model.fit(counts) is model
    xr.testing.assert_identical(counts, before)
    assert model.weight_["post"].values.tolist() == counts["unit"].values.tolist()
    assert all(np.isfinite(model.predict_proba(counts).values).ravel())


def test_the_same_rng_gives_the_same_result_and_a_second_fit_forgets_the_first(model, counts):
    other = clone(model).fit(counts.isel(time=slice(0, 250)))
    assert_same(model.fit(counts), other.fit(counts))


def test_pickle_and_save_keep_everything(model, counts, tmp_path):
    model.fit(counts)
    for again in (pickle.loads(pickle.dumps(model)), nd.models.load(model.save(tmp_path / "model.nc"))):
        assert type(again) is type(model)
        assert again.get_params() == model.get_params()
        assert_same(again, model)
        assert again.score(counts) == model.score(counts)


def test_several_sequences_and_trials_are_taken(model, counts):
    parts = [counts.isel(time=slice(0, 300)), counts.isel(time=slice(310, None))]
    assert np.isfinite(clone(model).fit(parts).score(parts))
    trials = xr.DataArray(
        counts.values[:300].reshape(3, 100, 5),
        dims=("trial", "time", "unit"),
        coords={"time": np.arange(100) * 0.02, "unit": counts["unit"].values},
        attrs=counts.attrs,
    )
    assert clone(model).fit(trials).predict(trials).dims == ("trial", "time")


def test_a_model_simulates_data_it_can_be_fitted_to(model, counts):
    simulated = model.fit(counts).simulate(200, rng=1)
    drawn = simulated["counts"] if isinstance(simulated, xr.Dataset) else simulated
    assert np.isfinite(model.score(drawn))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c - 5, "negative|whole"),
        (lambda c: c + 0.5, "whole"),
        (lambda c: c * 0, "spike|zero|silent|no "),
        (lambda c: c.isel(time=slice(0, 2)), "history|bins|long"),
        (lambda c: c.values, "DataArray"),
    ],
)
def test_bad_counts_are_refused(model, counts, change, words):
    with pytest.raises(RecordingError, match=words):
        model.fit(change(counts))


def test_other_units_at_score_are_refused(model, counts):
    model.fit(counts)
    with pytest.raises(RecordingError, match="unit"):
        model.score(counts.isel(unit=[0, 1]))


def test_unknown_settings_are_refused_at_fit(model, counts):
    for setting in ({"prior": "lasso"}, {"basis": "wavelet"}, {"link": "cube"}, {"n_states": 0}):
        with pytest.raises(OptionError):
            clone(model).set_params(**setting).fit(counts)


def test_repr_says_what_it_is(model, counts):
    assert type(model).__name__ in repr(model)
    assert type(model).__name__ in model.fit(counts)._repr_html_()
