"""Claims: what each kind of result is translated to, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import RecordingError
from neurodata.validate import claims

UNIT = ["a", "b", "c"]
PAIR = {"post": UNIT, "pre": UNIT}


def pairs(values, **extra) -> xr.DataArray:
    return xr.DataArray(np.array(values), dims=(*extra, "post", "pre"), coords={**extra, **PAIR})


@pytest.fixture(scope="module")
def counts() -> xr.DataArray:
    return make_counts(np.random.default_rng(0).poisson(0.4, (400, 3)), 0.02, unit=UNIT)


def test_weights_of_states_are_combined_by_their_precision():
    weight = np.zeros((2, 3, 3))
    error = np.ones((2, 3, 3))
    weight[:, 1, 0], error[:, 1, 0] = (0.5, 0.2), (0.1, 0.05)
    weight[:, 0, 2], error[:, 0, 2] = (-3.0, 7.0), (0.5, np.nan)  # nothing known in the second state
    said = claims(SimpleNamespace(weight_=pairs(weight, state=[0, 1]), weight_se_=pairs(error, state=[0, 1])), None)
    precision = np.array([100.0, 400.0])
    mean = (precision * [0.5, 0.2]).sum() / precision.sum()
    assert said["edge_weight"].sel(post="b", pre="a").item() == pytest.approx(mean)
    assert said["edge_score"].sel(post="b", pre="a").item() == pytest.approx(mean * np.sqrt(500.0))
    assert said["edge_score"].sel(post="a", pre="c").item() == pytest.approx(6.0)
    assert said["edge_sign"].sel(post="a", pre="c").item() == -1
    assert {(p, q) for p in UNIT for q in UNIT if said["edge"].sel(post=p, pre=q)} == {("b", "a"), ("a", "c")}
    assert np.isnan(np.diag(said["edge_score"])).all()


def test_hmm_glm(counts):
    model = nd.models.HMMGLM(
        prior=None, n_states=2, history=0.04, n_basis=1, n_restarts=1, max_iter=20, rng=0, tol=1e-2
    ).fit(counts)
    said = claims(model, counts, held_out=counts)
    assert set(said.data_vars) == {"edge_weight", "edge_score", "edge_sign", "edge", "state", "bits_per_spike"}
    np.testing.assert_array_equal(said["state"], model.predict(counts))
    assert said["bits_per_spike"].item() == model.score(counts)
    assert said.attrs["model"] == "HMMGLM"
    parts = [counts.isel(time=slice(200, None)), counts.isel(time=slice(0, 200))]
    joined = claims(model, parts)["state"]
    np.testing.assert_array_equal(joined["time"], counts["time"])


def test_one_state_is_no_claim_about_states(counts):
    model = nd.models.HMMGLM(n_states=1, history=0.04, n_basis=1).fit(counts)
    assert "state" not in claims(model, counts)


def test_sessions_that_share_times_have_no_common_clock(counts):
    model = nd.models.HMMGLM(n_states=2, history=0.04, n_basis=1, n_restarts=1, max_iter=20, rng=0, tol=1e-2).fit(
        counts
    )
    assert "state" not in claims(model, [counts, counts])


def test_posterior_of_connection_types():
    kind = ["inhibitory", "none", "excitatory"]
    p = np.zeros((3, 3, 3))
    p[:] = [0.05, 0.9, 0.05]
    p[1, 0], p[0, 2] = [0.1, 0.2, 0.7], [0.6, 0.3, 0.1]
    prior = xr.DataArray(p, dims=("post", "pre", "connection"), coords={**PAIR, "connection": kind})
    said = claims(SimpleNamespace(connection_prior_=prior), None)
    assert said["edge_probability"].sel(post="b", pre="a").item() == pytest.approx(0.8)
    assert said["edge_score"].sel(post="b", pre="a").item() == pytest.approx(0.8)
    assert said["edge_sign"].sel(post="b", pre="a").item() == 1
    assert said["edge_sign"].sel(post="a", pre="c").item() == -1
    assert int(said["edge"].sum()) == 2
    with_weights = SimpleNamespace(
        connection_prior_=prior, weight_=pairs(np.ones((3, 3))), weight_se_=pairs(np.ones((3, 3)))
    )
    both = claims(with_weights, None)
    assert both["edge_score"].sel(post="b", pre="a").item() == 1.0  # z ranks, the posterior decides
    assert int(both["edge"].sum()) == 2
    decided = SimpleNamespace(connection_prior_=prior, connection_=pairs(np.zeros((2, 3, 3)), state=[0, 1]))
    assert int(claims(decided, None)["edge"].sum()) == 0


def test_results_of_other_models():
    time, unit = 0.5 * np.arange(4), UNIT
    factor = np.zeros((2, 3, 3))
    factor[0, 0, 1] = factor[0, 1, 0] = 1.0
    factor[1, 1, 2] = factor[1, 2, 1] = 3.0
    connectome = SimpleNamespace(
        pair_factor_=xr.DataArray(factor, dims=("motif", "unit", "unit_2"), coords={"unit": unit, "unit_2": unit}),
        community_=xr.DataArray([[0, 0, 1], [0, 1, 1]], dims=("motif", "unit"), coords={"unit": unit}),
    )
    said = claims(connectome, None)
    assert said["edge_score"].sel(post="b", pre="c").item() == said["edge_score"].sel(post="c", pre="b").item() == 3.0
    assert said["cluster"].values.tolist() == [0, 1, 1]
    cluster = SimpleNamespace(
        unit_cluster_=xr.DataArray([1, 1, 0], dims="unit", coords={"unit": unit}),
        state_=xr.DataArray([0, 0, 1, 1], dims="time", coords={"time": time}),
        latent_=xr.DataArray(np.ones((2, 4)), dims=("latent", "time"), coords={"time": time}),
    )
    said = claims(cluster, None)
    assert {"cluster", "state", "latent"} <= set(said.variables)
    assert said["latent"].dims == ("time", "latent")
    spread = xr.Dataset({"mean": (("trial", "time", "latent"), np.ones((1, 4, 2))), "sd": ((), 1.0)}, {"time": time})
    assert claims(SimpleNamespace(latent_=spread), None)["latent"].shape == (4, 2)
    several = xr.DataArray(np.ones((3, 4, 2)), dims=("trial", "time", "latent"), coords={"time": time})
    assert not claims(SimpleNamespace(latent_=several), None).data_vars
    rdm = xr.DataArray(np.arange(8.0).reshape(2, 2, 2), dims=("subject", "condition", "condition_2"))
    assert claims(SimpleNamespace(rdm_=rdm), None)["rdm"].values.tolist() == [[2, 3], [4, 5]]


def test_a_model_may_speak_for_itself():
    model = SimpleNamespace(claims=lambda data: xr.Dataset({"edge_score": pairs(np.ones((3, 3)))}), weight_=1)
    assert set(claims(model, None).data_vars) == {"edge_score"}
    slow = xr.DataArray(np.ones((4, 2)), dims=("time", "latent"), coords={"time": np.arange(4.0)})
    assert claims(SimpleNamespace(claims=lambda data: xr.Dataset({"latent": slow})), None)["latent"].shape == (4, 2)
    wrong = SimpleNamespace(claims=lambda data: xr.Dataset({"edges": pairs(np.ones((3, 3)))}))
    with pytest.raises(RecordingError, match="'edges'"):
        claims(wrong, None)
    flat = SimpleNamespace(claims=lambda data: xr.Dataset({"edge_score": ("pair", np.ones(3))}))
    with pytest.raises(RecordingError, match="dims"):
        claims(flat, None)


def test_an_unfitted_or_silent_model_claims_nothing(counts):
    assert not claims(SimpleNamespace(), counts).data_vars
    assert not claims(nd.validate.baselines.LaggedRegression(), counts).data_vars
