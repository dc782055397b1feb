"""NonnegativeCP against plain NumPy: gradients, masks, sessions, streams; and the manners of a model."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone

import neurodata as nd
from neurodata.errors import NotFittedError, OptionError, RecordingError

PAIRS = ("unit", "unit_2")
N, T = 12, 40


def planted(seed: int = 0, noise: float = 0.05) -> tuple[xr.DataArray, dict[str, np.ndarray]]:
    """A symmetric tensor (time, unit, unit_2) of three motifs, float64, diagonal NaN, noise that is never negative."""
    rng = np.random.default_rng(seed)
    unit = rng.random((N, 3)) * (rng.random((N, 3)) < 0.6) + 0.05
    time = rng.random((T, 3)) ** 3
    full = np.einsum("tr,ir,jr->tij", time, unit, unit)
    extra = noise * rng.random(full.shape)
    full = full + extra + extra.transpose(0, 2, 1)
    full[:, range(N), range(N)] = np.nan
    names = [f"n{k}" for k in range(N)]
    tensor = xr.DataArray(
        full,
        dims=("time", *PAIRS),
        coords={"time": 5.0 + 0.5 * np.arange(T), "unit": names, "unit_2": names},
    )
    return tensor, {"time": time, "unit": unit}


def packed(tensor: xr.DataArray) -> xr.DataArray:
    i, j = np.triu_indices(tensor.sizes["unit"], 1)
    names = tensor["unit"].values
    return xr.DataArray(
        tensor.transpose("time", *PAIRS).values[:, i, j],
        dims=("time", "pair"),
        coords={"time": tensor["time"], "unit": ("pair", names[i]), "unit_2": ("pair", names[j])},
    )


def model(rank: int = 3, **settings) -> nd.models.NonnegativeCP:
    return nd.models.NonnegativeCP(rank, **{"symmetric": PAIRS, "n_restarts": 2, "rng": 0, "tol": 1e-8, **settings})


def natural_residual(tensor: np.ndarray, time: np.ndarray, unit: np.ndarray, weight: np.ndarray) -> float:
    """Of least squares over the cells of (t, i, j), i < j, that are not NaN, by the full gradient."""
    time = time * weight
    residual = np.einsum("tr,ir,jr->tij", time, unit, unit) - tensor
    upper = np.triu(np.ones(tensor.shape[1:], bool), 1) & np.isfinite(tensor)
    residual = np.where(upper, residual, 0.0)
    both = residual + residual.transpose(0, 2, 1)
    of_time = np.einsum("tij,ir,jr->tr", residual, unit, unit)
    of_unit = np.einsum("tij,tr,jr->ir", both, time, unit)
    scale = np.linalg.norm(np.where(upper, tensor, 0.0))
    return max(np.abs(np.minimum(of_time, time)).max(), np.abs(np.minimum(of_unit, unit)).max()) / scale


def test_the_minimum_is_one_and_the_loss_is_what_it_says():
    tensor, truth = planted()
    fitted = model().fit(tensor)
    time, unit, weight = fitted.factor_["time"].values, fitted.factor_["unit"].values, fitted.weight_.values
    assert fitted.converged_
    assert natural_residual(tensor.values, time, unit, weight) < 1e-6
    i, j = np.triu_indices(N, 1)
    data = tensor.values[:, i, j]
    error = ((data - (weight * time) @ (unit[i] * unit[j]).T) ** 2).sum() / (data**2).sum()
    assert fitted.relative_error_**2 == pytest.approx(error, rel=1e-6)
    assert float(fitted.loss_[-1]) == pytest.approx(0.5 * error, rel=1e-6)
    assert nd.models.factor_match_score(fitted.factor_, truth) > 0.97
    assert (np.diff(fitted.loss_) <= 0).all()
    assert (np.diff(fitted.weight_) <= 0).all()
    for factor in fitted.factor_.values():
        np.testing.assert_allclose((factor**2).sum(factor.dims[0]), 1.0)
        assert (factor.values >= 0).all()


def test_labels_and_inputs_are_kept_and_order_of_dims_does_not_matter():
    tensor, _ = planted()
    before = tensor.copy(deep=True)
    fitted = model().fit(tensor)
    xr.testing.assert_identical(tensor, before)
    assert fitted.factor_["unit"]["unit"].values.tolist() == tensor["unit"].values.tolist()
    np.testing.assert_array_equal(fitted.factor_["time"]["time"], tensor["time"])
    for other in (packed(tensor), tensor.transpose("unit", "time", "unit_2")):
        again = model().fit(other)
        for dim in ("time", "unit"):
            np.testing.assert_allclose(again.factor_[dim].values, fitted.factor_[dim].values, atol=1e-9)


def test_float32_ends_where_float64_does():
    tensor, _ = planted()
    exact, quick = model().fit(tensor), model(tol=1e-5).fit(tensor.astype(np.float32))
    assert quick.converged_
    assert quick.relative_error_ == pytest.approx(exact.relative_error_, rel=1e-4)
    assert nd.models.factor_match_score(quick.factor_, exact.factor_) > 0.9999


def slow_masked_fit(values: np.ndarray, time: np.ndarray, unit: np.ndarray, n_sweeps: int) -> float:
    """Relative squared error of alternating exact least squares by SciPy, over pairs i < j that are not NaN."""
    from scipy.optimize import nnls

    seen = np.isfinite(values)
    for _ in range(n_sweeps):
        for t in range(len(values)):
            i, j = np.nonzero(np.triu(seen[t], 1))
            time[t] = nnls(unit[i] * unit[j], values[t, i, j])[0]
        for i in range(values.shape[1]):
            t, j = np.nonzero(seen[:, i] & (np.arange(values.shape[1]) != i))
            unit[i] = nnls(time[t] * unit[j], values[t, i, j])[0]
    residual = np.einsum("tr,ir,jr->tij", time, unit, unit) - values
    upper = np.triu(np.ones(values.shape[1:], bool), 1) & seen
    return float((residual[upper] ** 2).sum() / (values[upper] ** 2).sum())


def test_scattered_missing_cells_are_left_out_as_a_slow_reference_does():
    tensor, truth = planted()
    rng = np.random.default_rng(3)
    lost = rng.random((T, N, N)) < 0.3
    lost |= lost.transpose(0, 2, 1)
    tensor = tensor.where(~lost)
    fitted = model().fit(tensor)
    time, unit = fitted.factor_["time"].values, fitted.factor_["unit"].values
    assert natural_residual(tensor.values, time, unit, fitted.weight_.values) < 1e-6
    start = np.random.default_rng(0)
    slow = min(slow_masked_fit(tensor.values, start.random((T, 3)), start.random((N, 3)), 60) for _ in range(3))
    assert fitted.relative_error_**2 == pytest.approx(slow, rel=1e-3)
    assert nd.models.factor_match_score(fitted.factor_, truth) > 0.95


def test_times_without_any_observation_are_nan_and_cost_nothing():
    tensor, _ = planted()
    kept = np.setdiff1d(np.arange(T), [7, 8, 30])
    gappy = tensor.where(tensor["time"].isin(tensor["time"][kept]))
    with_gap, without = model().fit(gappy), model().fit(tensor.isel(time=kept))
    time = with_gap.factor_["time"]
    assert np.flatnonzero(np.isnan(time).all("component")).tolist() == [7, 8, 30]
    np.testing.assert_allclose(time.values[kept], without.factor_["time"].values, atol=1e-5)


def sessions(n_sessions: int = 4) -> tuple[dict[str, xr.DataArray], xr.DataArray]:
    """Sessions that lack units, each with its own units only; and the same as one array with NaN."""
    tensor, truth = planted()
    rng = np.random.default_rng(5)
    share = rng.uniform(0.3, 1.0, (n_sessions, 3))
    single, whole = {}, []
    for w in range(n_sessions):
        keep = np.sort(rng.choice(N, 9, replace=False))
        full = np.einsum("r,tr,ir,jr->tij", share[w], truth["time"], truth["unit"], truth["unit"])
        full += 0.01 * rng.random(full.shape)
        one = tensor.copy(data=0.5 * (full + full.transpose(0, 2, 1)))
        single[f"s{w}"] = one.isel(unit=keep, unit_2=keep)
        whole.append(single[f"s{w}"].reindex({dim: tensor[dim].values for dim in PAIRS}))
    return single, xr.concat(whole, xr.Variable("session", list(single)))


def test_sessions_that_lack_units_equal_one_array_with_nan():
    single, whole = sessions()
    one, other = model(rank=3).fit(single), model(rank=3).fit(whole)
    assert set(one.factor_) == {"session", "time", "unit"}
    assert one.factor_["session"]["session"].values.tolist() == ["s0", "s1", "s2", "s3"]
    assert one.relative_error_ == pytest.approx(other.relative_error_, rel=1e-5)
    assert nd.models.factor_match_score(one.factor_, other.factor_) > 0.999
    tensor, truth = planted()  # units are in the order in which they first appear; labels align them
    unit = xr.DataArray(truth["unit"], dims=("unit", "component"), coords={"unit": tensor["unit"].values})
    assert one.factor_["unit"]["unit"].values.tolist() != tensor["unit"].values.tolist()
    assert (
        nd.models.factor_match_score(one.factor_, {"time": truth["time"], "unit": unit}, dims=("time", "unit")) > 0.99
    )


def test_pairs_as_a_dim_of_their_own_are_aligned_by_both_units():
    """Time x session x pair, a loading for every pair; sessions with other units."""
    single, whole = sessions()
    fitted = model(3, symmetric=None, tol=1e-6).fit({name: packed(one) for name, one in single.items()})
    assert set(fitted.factor_) == {"time", "session", "pair"}
    pairs = fitted.factor_["pair"]
    seen = packed(whole.isel(session=0, drop=True)).notnull().any("time")
    for w in range(1, 4):
        seen = seen | packed(whole.isel(session=w, drop=True)).notnull().any("time")
    assert pairs.sizes["pair"] == int(seen.sum())
    assert len({frozenset(two) for two in zip(pairs["unit"].values, pairs["unit_2"].values, strict=True)}) == len(pairs)
    rebuilt = fitted.reconstruct().sel(session="s2")
    for p in (0, 7, 20):
        one = single["s2"]
        names = pairs["unit"].values[p], pairs["unit_2"].values[p]
        if set(names) <= set(one["unit"].values):
            expected = one.sel(unit=names[0], unit_2=names[1]).values
            np.testing.assert_allclose(rebuilt.isel(pair=p).values, expected, atol=0.05)


def test_a_list_is_one_stretch_after_the_other():
    tensor, _ = planted()
    parts = [tensor.isel(time=slice(0, 15)), tensor.isel(time=slice(15, None))]
    one, whole = model().fit(parts), model().fit(tensor)
    np.testing.assert_allclose(one.factor_["time"].values, whole.factor_["time"].values, atol=1e-9)
    assert one.factor_["time"]["sequence"].values.tolist() == [0] * 15 + [1] * 25
    fewer = [parts[0], parts[1].isel(unit=slice(2, None), unit_2=slice(2, None))]
    lacking = tensor.copy()
    lacking[15:, :2] = lacking[15:, :, :2] = np.nan
    one, masked = model().fit(fewer), model().fit(lacking)
    assert one.relative_error_ == pytest.approx(masked.relative_error_, rel=1e-5)


def test_general_tensors_have_a_factor_per_dim_and_any_dim_may_be_the_longest():
    rng = np.random.default_rng(1)
    truth = {"trial": rng.random((7, 2)) ** 2, "unit": rng.random((9, 2)) ** 2, "time": rng.random((20, 2)) ** 2}
    tensor = xr.DataArray(np.einsum("ar,br,cr->abc", *truth.values()), dims=tuple(truth))
    for names in (("trial", "unit", "time"), ("a", "b", "c")):
        named = tensor.rename(dict(zip(truth, names, strict=True)))
        fitted = nd.models.NonnegativeCP(2, rng=0, tol=1e-7).fit(named)
        assert fitted.relative_error_ < 1e-3
        expected = dict(zip(names, truth.values(), strict=True))
        assert nd.models.factor_match_score(fitted.factor_, expected) > 0.999
        xr.testing.assert_allclose(fitted.reconstruct().drop_vars(names, errors="ignore"), named, atol=1e-2)


def test_blocks_on_disk_equal_memory():
    pytest.importorskip("dask")
    tensor = packed(planted()[0])
    lazy = tensor.chunk(time=7)
    one, other = model().fit(lazy), model().fit(tensor)
    np.testing.assert_allclose(one.factor_["time"].values, other.factor_["time"].values, atol=1e-9)
    np.testing.assert_allclose(one.score(lazy), other.score(tensor))


def test_threads_do_not_change_a_digit(monkeypatch):
    from neurodata.models.connectome import hals

    tensor = xr.DataArray(np.random.default_rng(0).random((1300, 45)), dims=("time", "unit")).astype(np.float32)
    found = []
    for n_threads in (1, 2, 3):
        monkeypatch.setattr(hals, "usable_threads", lambda n=n_threads: n)
        monkeypatch.setattr(hals, "_WORTH_THREADS", 0.0)
        found.append(nd.models.NonnegativeCP(3, n_restarts=1, max_iter=20, rng=0).fit(tensor).to_dataset())
    xr.testing.assert_identical(found[0], found[1])
    xr.testing.assert_identical(found[0], found[2])


def test_an_affinity_stream_equals_its_tensor():
    values = np.cumsum(np.random.default_rng(2).standard_normal((120, 6)), axis=0)
    traces = xr.DataArray(values, dims=("time", "unit"), coords={"time": 0.1 * np.arange(120), "unit": list("abcdef")})
    traces[40:60, 2] = np.nan
    stream = nd.models.differential_affinity(traces, smoothing=0.3)
    for symmetric in (PAIRS, None):
        streamed = model(2, tol=1e-5, symmetric=symmetric).fit(stream)
        made = model(2, tol=1e-5, symmetric=symmetric).fit(stream.to_dataarray())
        assert streamed.relative_error_ == pytest.approx(made.relative_error_, rel=1e-5)
        assert nd.models.factor_match_score(streamed.factor_, made.factor_) > 0.999
    assert streamed.factor_["pair"]["unit_2"].values[:3].tolist() == ["b", "c", "d"]


def test_penalties_do_what_they_are_for_and_the_loss_never_rises():
    tensor, _ = planted()
    free = model().fit(tensor)

    def roughness(fitted):
        time = fitted.factor_["time"].values
        return (np.diff(time, 2, axis=0) ** 2).sum()

    smooth = model(smoothness=1000.0, tol=1e-5).fit(tensor)
    assert smooth.converged_
    assert roughness(smooth) < 0.5 * roughness(free)
    sparse = model(sparsity=2e-2, tol=1e-5).fit(tensor)
    assert (sparse.factor_["unit"] == 0).sum() > (free.factor_["unit"] == 0).sum()
    named = model(sparsity={"unit": 2e-2}, tol=1e-5).fit(tensor)
    np.testing.assert_array_equal(named.factor_["unit"].values, sparse.factor_["unit"].values)
    scaled = model(sparsity=2e-2, tol=1e-5).fit(1000.0 * tensor)
    np.testing.assert_allclose(scaled.factor_["unit"].values, sparse.factor_["unit"].values, atol=1e-6)
    for fitted in (free, smooth, sparse):
        assert (np.diff(fitted.loss_) <= 0).all()


def test_a_start_is_taken_and_tensorly_goes_both_ways():
    from tensorly.cp_tensor import cp_to_tensor

    tensor, truth = planted(noise=0.0)
    fitted = model().fit(tensor)
    other = fitted.to_tensorly()
    full = cp_to_tensor(other)
    i, j = np.triu_indices(N, 1)
    np.testing.assert_allclose(full[:, i, j], fitted.reconstruct().values, atol=1e-9)
    again = model(max_iter=3).fit(tensor, start=other)
    assert again.restart_loss_.sizes["restart"] == 1
    assert float(again.loss_[0]) <= float(fitted.loss_[-1]) + 1e-9
    from_truth = model(max_iter=2).fit(tensor, start=truth)
    assert from_truth.relative_error_ < 1e-6
    with pytest.raises(OptionError, match="shape"):
        model(2).fit(tensor, start=truth)


def test_score_is_of_what_was_not_fitted():
    tensor, _ = planted(noise=0.0)
    train, test = tensor.isel(time=slice(0, 28)), tensor.isel(time=slice(28, None))
    scores = [model(rank, tol=1e-6).fit(train).score(test) for rank in (1, 2, 3)]
    assert scores[0] < scores[1] < scores[2]
    assert scores[2] > 0.999
    # Rows that no motif explains: a fit of the held-out cells themselves would score above 0.
    rng = np.random.default_rng(9)
    random = packed(test).copy(data=rng.random(packed(test).shape) ** 8)
    assert model(3).fit(train).score(random) < 0.35
    with pytest.raises(RecordingError, match="seen"):
        model(3).fit(train.isel(unit=slice(0, 9), unit_2=slice(0, 9))).score(test)


def test_manners_of_a_model(tmp_path):
    tensor, _ = planted()
    one = model(tol=1e-5)
    with pytest.raises(NotFittedError):
        _ = one.factor_
    assert one.fit(tensor) is one
    other = clone(one).fit(planted(seed=4)[0])
    other.fit(tensor)
    xr.testing.assert_identical(other.to_dataset(), one.to_dataset())
    xr.testing.assert_identical(clone(one).set_params(n_jobs=2).fit(tensor).weight_, one.weight_)
    for again in (pickle.loads(pickle.dumps(one)), nd.models.load(one.save(tmp_path / "model.nc"))):
        assert again.get_params() == one.get_params()
        xr.testing.assert_identical(again.to_dataset(), one.to_dataset())
        assert again.score(tensor) == one.score(tensor)
        assert again.converged_ is True
    assert "NonnegativeCP" in repr(one)
    assert "relative error" in one._repr_html_()
    drawn = one.simulate(rng=1)
    assert drawn.dims == ("time", "pair")
    assert (drawn >= 0).all()
    assert nd.models.factor_match_score(clone(one).fit(drawn).factor_, one.factor_) > 0.9


def test_pairs_of_a_saved_factor_keep_their_names(tmp_path):
    fitted = model(symmetric=None, tol=1e-4).fit(packed(planted()[0]))
    again = nd.models.load(fitted.save(tmp_path / "model.nc"))
    assert again.factor_["pair"]["unit_2"].values.tolist() == fitted.factor_["pair"]["unit_2"].values.tolist()
    assert np.isfinite(again.score(packed(planted()[0])))


def test_sessions_and_stretches_are_saved_simulated_and_rebuilt(tmp_path):
    single, whole = sessions()
    tensor, _ = planted()
    in_a_row = [tensor.isel(time=slice(0, 10)), tensor.isel(time=slice(10, None))]
    for data in (single, in_a_row):
        fitted = model(tol=1e-4).fit(data)
        again = nd.models.load(fitted.save(tmp_path / "model.nc"))
        xr.testing.assert_identical(again.to_dataset(), fitted.to_dataset())
    fitted = model().fit(single)
    rebuilt = fitted.reconstruct()
    assert rebuilt.dims == ("session", "time", "pair")
    values = whole.transpose("session", "time", *PAIRS).sel(
        {dim: fitted.factor_["unit"]["unit"].values for dim in PAIRS}
    )
    i, j = np.triu_indices(N, 1)
    seen = values.values[:, :, i, j]
    residual = (rebuilt.values - seen)[np.isfinite(seen)]
    assert np.sqrt((residual**2).mean()) == pytest.approx(fitted.noise_, rel=1e-6)
    assert fitted.simulate(noise=0.0, rng=0).dims == rebuilt.dims


def test_the_residual_of_every_iteration_is_there():
    fitted = model(max_iter=7).fit(planted()[0])
    assert not fitted.converged_
    assert fitted.n_iter_ == fitted.loss_.size == fitted.kkt_.size == 7
    assert np.isfinite(fitted.kkt_).all()
    done = model(tol=1e-5).fit(planted()[0])
    assert float(done.kkt_[-1]) < 1e-5


def broken(change):
    tensor, _ = planted()
    return change(tensor.copy(deep=True))


def set_cells(tensor, value, *cells):
    tensor.values[cells] = value
    return tensor


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: -x, "at least 0"),
        (lambda x: x * np.inf, "finite"),
        (lambda x: x * 0, "zeros"),
        (lambda x: x * np.nan, "NaN"),
        (lambda x: x.isel(time=slice(0, 0)), "empty"),
        (lambda x: x.isel(unit=[0], unit_2=[0]), "two units"),
        (lambda x: x.isel(time=0, drop=True), "besides"),
        (lambda x: x.assign_coords(unit=["a"] * N, unit_2=["a"] * N), "distinct|repeated"),
        (lambda x: x.assign_coords(unit_2=x["unit"].values[::-1]), "same labels"),
        (lambda x: set_cells(x, 9.0, 3, 2, 5), "symmetric"),
        (lambda x: x.where(~((x["unit"] == "n4") | (x["unit_2"] == "n4"))), "n4"),
        (lambda x: x.values, "DataArray"),
        (lambda x: [], "empty list"),
        (lambda x: {"a": x, "b": x.isel(time=slice(0, 9))}, "one time"),
        (lambda x: x.astype(str), "numbers"),
    ],
)
def test_bad_tensors_are_refused(change, words):
    with pytest.raises(RecordingError, match=words):
        model().fit(broken(change))


@pytest.mark.parametrize(
    "settings",
    [
        {"rank": 0},
        {"rank": 67},  # there are 66 pairs
        {"max_iter": 0},
        {"tol": 0.0},
        {"n_restarts": 0},
        {"sparsity": -1.0},
        {"sparsity": {"trial": 1.0}},
        {"smoothness": np.inf},
        {"symmetric": ("unit",)},
        {"symmetric": ("roi", "roi_2")},
    ],
)
def test_settings_that_make_no_sense_are_refused_at_fit(settings):
    with pytest.raises(OptionError):
        model().set_params(**settings).fit(planted()[0])
