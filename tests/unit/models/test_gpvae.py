"""The multi-modal GP-VAE on data of its own kind: recovery, missing data, files, bad input."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import NotFittedError, OptionError, RecordingError

N_TRIALS, N_BINS, STEP = 36, 40, 0.05


def course(rng, n_trials, n_bins, length=6.0):
    lag = np.arange(n_bins)[:, None] - np.arange(n_bins)
    root = np.linalg.cholesky(np.exp(-0.5 * (lag / length) ** 2) + 1e-6 * np.eye(n_bins))
    return np.einsum("ts,ns->nt", root, rng.normal(size=(n_trials, n_bins)))


@pytest.fixture(scope="module")
def simulated():
    """Spikes that follow a shared and a private course, behaviour that follows the shared one."""
    rng = np.random.default_rng(0)
    shared, private = course(rng, N_TRIALS, N_BINS), course(rng, N_TRIALS, N_BINS)
    latent = np.stack([shared, private], axis=-1)
    rate = np.exp(latent @ rng.uniform(-0.8, 0.8, (2, 40)) + 0.3)
    value = shared[..., None] * rng.normal(size=5) * 3.0 + 10.0 + rng.normal(size=(N_TRIALS, N_BINS, 5))
    coords = {"trial": np.arange(N_TRIALS), "time": STEP * np.arange(N_BINS)}
    spikes = xr.DataArray(
        rng.poisson(rate), dims=("trial", "time", "unit"), coords={**coords, "unit": [f"u{k}" for k in range(40)]}
    )
    behaviour = xr.DataArray(value, dims=("trial", "time", "signal"), coords={**coords, "signal": list("abcde")})
    return {"spikes": spikes, "behaviour": behaviour}, latent, rate


def some(data, index):
    return {name: array.isel(trial=index) for name, array in data.items()}


TRAIN, TEST = slice(0, 28), slice(28, None)


@pytest.fixture(scope="module")
def fitted(simulated):
    model = nd.models.MultimodalGPVAE(
        1, {"spikes": 1, "behaviour": 0}, {"spikes": "poisson"}, hidden=(16,), n_epochs=150, learning_rate=1e-2, rng=0
    )
    return model.fit(some(simulated[0], TRAIN))


def r2(model, found, truth):
    """Of held-out courses under the map that fits those of the training trials, and how often 90 % bands hold them."""
    fitted = model.latent_["mean"].values
    design = np.concatenate([fitted, np.ones((*fitted.shape[:2], 1))], axis=-1)
    line = np.linalg.lstsq(design.reshape(-1, design.shape[-1]), truth[TRAIN].ravel(), rcond=None)[0]
    error = truth[TEST] - found["mean"].values @ line[:-1] - line[-1]
    sd = np.sqrt(np.einsum("k,ntkl,l->nt", line[:-1], found["covariance"].values, line[:-1]))
    return 1.0 - (error**2).mean() / truth[TEST].var(), (np.abs(error) < 1.645 * sd).mean()


def test_latents_are_recovered_on_other_trials(fitted, simulated):
    data, latent, _ = simulated
    found = fitted.transform(some(data, TEST))
    assert found["mean"].dims == ("trial", "time", "latent")
    assert list(found["latent"].values) == ["shared_0", "spikes_0"]
    for k in range(2):
        score, coverage = r2(fitted, found, latent[..., k])
        assert score > 0.93
        assert 0.7 < coverage <= 1.0


def test_shared_latents_are_told_from_either_modality(fitted, simulated):
    data, latent, _ = simulated
    test = some(data, TEST)
    from_spikes = fitted.transform({"spikes": test["spikes"]})
    from_behaviour = fitted.transform({"behaviour": test["behaviour"]})
    assert r2(fitted, from_spikes, latent[..., 0])[0] > 0.9
    assert r2(fitted, from_behaviour, latent[..., 0])[0] > 0.9
    # Behaviour says nothing of what spikes have for themselves: the prior remains.
    private = from_behaviour.sel(latent="spikes_0")
    np.testing.assert_allclose(private["sd"], 1.0, atol=0.1)


def test_missing_bins_cost_little_and_widen_the_bands(fitted, simulated):
    data, latent, _ = simulated
    test = some(data, TEST)
    rng = np.random.default_rng(1)
    gone = xr.DataArray(rng.random((8, N_BINS)) < 0.3, dims=("trial", "time"))
    holes = fitted.transform({name: array.astype(float).where(~gone) for name, array in test.items()})
    whole = fitted.transform(test)
    for k in range(2):
        assert r2(fitted, holes, latent[..., k])[0] > r2(fitted, whole, latent[..., k])[0] - 0.05
    assert float(holes["sd"].mean()) > float(whole["sd"].mean())
    half = {name: array.astype(float).where(array["time"] < 1.0) for name, array in test.items()}
    sd = fitted.transform(half)["sd"].sel(latent="shared_0").mean("trial")
    assert float(sd[-1]) > 3.0 * float(sd[10])


def test_rates_and_behaviour_are_predicted(fitted, simulated):
    data, _, rate = simulated
    test = some(data, TEST)
    rates = fitted.predict(test, to="spikes")
    assert rates.dims == ("trial", "time", "unit")
    assert 1.0 - ((rates.values - rate[TEST]) ** 2).mean() / rate[TEST].var() > 0.9
    behaviour = fitted.predict({"spikes": test["spikes"]}, to="behaviour")
    residual = (behaviour - test["behaviour"]).values
    # Noise of variance 1 remains, and what spikes leave open.
    assert residual.var() < 1.0 + 0.1 * (test["behaviour"].values.var() - 1.0)
    gain = fitted.cosmoothing({"spikes": test["spikes"]}, {"spikes": ["u3", "u5", "u8"]})
    assert gain["per_unit"].sizes == {"unit": 3}
    assert 0.0 < float(gain["pooled"]) < 2.0
    assert gain["per_unit"].min() < gain["pooled"] < gain["per_unit"].max()


def test_length_scales_loadings_and_bound(fitted, simulated):
    assert np.all(np.abs(fitted.length_scale_.values / (6.0 * STEP) - 1.0) < 0.3)
    assert fitted.loading_["spikes"].dims == ("latent", "unit")
    assert np.isnan(fitted.loading_["behaviour"].sel(latent="spikes_0")).all()
    assert fitted.elbo_["part"].values.tolist() == ["training", "held_out"]
    assert fitted.weight_.sel(modality="spikes") > 0.5
    own = fitted.score(some(simulated[0], TEST))
    shuffled = {name: array.isel(time=np.random.default_rng(0).permutation(N_BINS)).assign_coords(time=array["time"])
                for name, array in some(simulated[0], TEST).items()}  # fmt: skip
    assert own > fitted.score(shuffled)


def test_trials_of_any_length_and_lists(fitted, simulated):
    test = some(simulated[0], slice(28, 30))
    parts = {name: [array[0], array[1, :25]] for name, array in test.items()}
    short = fitted.transform({name: [array[1, :25]] for name, array in test.items()})
    both = fitted.transform(parts)
    np.testing.assert_allclose(both["mean"][1, :25], short["mean"][0], atol=2e-3)
    assert np.isnan(both["mean"][1, 25:]).all()
    # Longer than any trial of the fit: two trials end to end, but for the seam.
    longer = {
        name: xr.concat(
            [a[0], a[1].assign_coords(time=a["time"] + N_BINS * STEP)], "time", coords="minimal", compat="override"
        )
        for name, a in test.items()
    }
    assert fitted.transform(longer)["mean"].sizes["time"] == 2 * N_BINS


def test_a_file_gives_the_same_answers(fitted, simulated, tmp_path):
    test = some(simulated[0], TEST)
    again = nd.models.load(fitted.save(tmp_path / "model.nc"))
    xr.testing.assert_identical(again.latent_["mean"].rename(None), fitted.latent_["mean"].rename(None))
    xr.testing.assert_equal(again.transform(test), fitted.transform(test))
    assert again.length_scale_.identical(fitted.length_scale_)
    assert again.get_params()["likelihood"] == {"spikes": "poisson"}
    assert "length scales" in repr(again)


def test_the_same_rng_gives_the_same_fit(simulated):
    data = some(simulated[0], TRAIN)
    few = {"hidden": (16,), "n_epochs": 150, "learning_rate": 1e-2, "patience": 1}
    settings = (1, {"spikes": 1, "behaviour": 0}, {"spikes": "poisson"})
    one, two = (nd.models.MultimodalGPVAE(*settings, **few, rng=3).fit(data) for _ in range(2))
    xr.testing.assert_identical(one.latent_, two.latent_)


def test_simulated_data_have_the_model_s_moments(fitted, simulated):
    drawn = fitted.simulate(200, 30, rng=0)
    assert drawn["spikes"].sizes == {"trial": 200, "time": 30, "unit": 40}
    np.testing.assert_allclose(drawn["latent"].var(("trial", "time")), 1.0, atol=0.15)
    train = simulated[0]["spikes"].isel(trial=TRAIN)
    assert float(drawn["spikes"].mean()) == pytest.approx(float(train.mean()), rel=0.15)


def test_bad_input_is_refused_by_name(fitted, simulated):
    data = simulated[0]
    model = nd.models.MultimodalGPVAE(likelihood={"spikes": "poisson"})
    with pytest.raises(NotFittedError):
        model.transform(data)
    with pytest.raises(RecordingError, match="as many trials"):
        model.fit({"spikes": data["spikes"], "behaviour": data["behaviour"][:5]})
    late = data["behaviour"].assign_coords(time=data["behaviour"]["time"] + 1.0)
    with pytest.raises(RecordingError, match="same times"):
        model.fit({"spikes": data["spikes"], "behaviour": late})
    with pytest.raises(RecordingError, match="counts in spikes"):
        model.fit({"spikes": data["spikes"] + 0.5})
    with pytest.raises(RecordingError, match="NaN everywhere"):
        model.fit({"spikes": data["spikes"] * np.nan})
    with pytest.raises(RecordingError, match="infinite"):
        model.fit({"spikes": data["spikes"], "behaviour": data["behaviour"] / 0.0})
    with pytest.raises(RecordingError, match="regular times"):
        model.fit({"spikes": data["spikes"].isel(time=[0, 1, 2, 5, 6])})
    with pytest.raises(RecordingError, match="dict of modality"):
        model.fit(data["spikes"])
    with pytest.raises(RecordingError, match="2 bins"):
        model.fit({"spikes": data["spikes"].isel(time=slice(0, 1))})
    with pytest.raises(OptionError, match="likelihood"):
        nd.models.MultimodalGPVAE(likelihood={"spikes": "laplace"}).fit(data)
    with pytest.raises(OptionError, match="period"):
        nd.models.MultimodalGPVAE(kernel="periodic").fit(data)
    with pytest.raises(OptionError, match="at least one latent"):
        nd.models.MultimodalGPVAE(0, {"spikes": 0, "behaviour": 0}).fit(data)
    with pytest.raises(RecordingError, match="modalities of the fit"):
        fitted.transform({"video": data["spikes"]})
    with pytest.raises(RecordingError, match="unit of the fit"):
        fitted.transform({"spikes": data["spikes"].assign_coords(unit=np.arange(40))})
    with pytest.raises(OptionError, match="a modality of the fit"):
        fitted.predict(data, to="video")
    with pytest.raises(OptionError, match="some of the ids"):
        fitted.cosmoothing(data, {"spikes": ["nobody"]})


def test_without_jax_the_extra_is_named(monkeypatch, simulated):
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(nd.errors.MissingDependencyError, match="gpvae"):
        nd.models.MultimodalGPVAE().fit(simulated[0])
