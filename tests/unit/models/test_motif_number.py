"""select_n_motifs and the factor match score."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

import neurodata as nd
from neurodata.errors import OptionError, RecordingError
from neurodata.models.connectome.motif_number import _folds


def planted(seed: int, rank: int = 3) -> xr.DataArray:
    """Motifs that come and go several times, so that every block of time has all; gamma noise of mean 1."""
    rng = np.random.default_rng(seed)
    unit = rng.random((24, rank)) * (rng.random((24, rank)) < 0.4)
    phase = rng.uniform(0, 2 * np.pi, rank)
    period = rng.uniform(20, 40, rank)
    time = np.maximum(0.0, np.cos(2 * np.pi * np.arange(300)[:, None] / period + phase)) ** 2
    i, j = np.triu_indices(24, 1)
    mean = time @ (unit[i] * unit[j]).T
    values = mean * rng.gamma(10.0, 0.1, mean.shape)
    return xr.DataArray(values, dims=("time", "pair"), coords={"unit": ("pair", i), "unit_2": ("pair", j)})


def test_the_planted_number_is_found_and_fits_agree_there():
    base = nd.models.NonnegativeCP(symmetric=("unit", "unit_2"), n_restarts=2, rng=0)
    for seed in range(3):
        table = nd.models.select_n_motifs(base, planted(seed), range(1, 6), n_folds=3, n_restarts=4)
        assert int(table["best"]) == 3, seed
        assert int(table["best_stable"]) == 3
        assert float(table["stability"].sel(n_components=3)) > 0.99
        assert float(table["stability"].sel(n_components=5)) < 0.95
        assert table["score"].dims == ("n_components", "fold")
        assert (table["stability_least"] <= table["stability"]).all()
    assert base.rank == 3
    assert not base.__sklearn_is_fitted__()


def test_a_stream_is_selected_as_its_tensor():
    values = np.cumsum(np.random.default_rng(1).standard_normal((200, 8)), axis=0)
    traces = xr.DataArray(values, dims=("time", "unit"), coords={"time": 0.1 * np.arange(200)})
    stream = nd.models.differential_affinity(traces, smoothing=0.5)
    base = nd.models.NonnegativeCP(symmetric=("unit", "unit_2"), n_restarts=1, max_iter=30, rng=0)
    one, other = (
        nd.models.select_n_motifs(base, data, [1, 2], n_folds=2, n_restarts=2, gap=25)
        for data in (stream, stream.to_dataarray())
    )
    np.testing.assert_allclose(one["score"], other["score"], rtol=1e-4)


def test_held_out_blocks_are_contiguous_and_apart_from_what_is_fitted():
    folds = _folds(100, 4, 5)
    assert [test for _, test in folds] == [[(0, 25)], [(25, 50)], [(50, 75)], [(75, 100)]]
    assert folds[0][0] == [(30, 100)]
    assert folds[1][0] == [(0, 20), (55, 100)]


@pytest.mark.parametrize(
    "options", [{"n_folds": 1}, {"n_restarts": 1}, {"gap": -1}, {"candidates": []}, {"candidates": [0, 1]}]
)
def test_options_that_make_no_sense_are_refused(options):
    base = nd.models.NonnegativeCP(symmetric=("unit", "unit_2"))
    with pytest.raises(OptionError):
        nd.models.select_n_motifs(base, planted(0), **options)


def test_too_few_times_are_refused():
    base = nd.models.NonnegativeCP(symmetric=("unit", "unit_2"))
    with pytest.raises(RecordingError, match="fewer folds"):
        nd.models.select_n_motifs(base, planted(0).isel(time=slice(0, 5)), [1], n_folds=3)


def test_the_match_score_is_the_mean_product_of_cosines():
    rng = np.random.default_rng(0)
    one = {"time": rng.random((5, 2)), "unit": rng.random((4, 2))}
    turned = {dim: 3.0 * factor[:, ::-1] for dim, factor in one.items()}
    assert nd.models.factor_match_score(one, turned) == pytest.approx(1.0)
    angle = 0.3
    rotated = {"time": one["time"], "unit": np.array([[1.0, 0.0], [0.0, 1.0]])}
    straight = {"time": one["time"], "unit": np.array([[np.cos(angle), 0.0], [np.sin(angle), 1.0]])}
    assert nd.models.factor_match_score(rotated, straight) == pytest.approx((np.cos(angle) + 1) / 2)
    with pytest.raises(OptionError, match="same"):
        nd.models.factor_match_score(one, {"time": one["time"]})
    with pytest.raises(OptionError, match="entries"):
        nd.models.factor_match_score(one, {**one, "time": one["time"][1:]})


def test_labelled_factors_are_compared_on_what_both_have():
    values = np.random.default_rng(1).random((4, 2))
    one = {"unit": xr.DataArray(values, dims=("unit", "component"), coords={"unit": list("abcd")})}
    other = {"unit": one["unit"].isel(unit=[3, 1, 2])}
    assert nd.models.factor_match_score(one, other) == pytest.approx(1.0)
