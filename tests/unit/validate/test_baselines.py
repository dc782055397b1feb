"""Baselines: estimators' manners, what is left out, and networks whose couplings are known."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import xarray as xr
from sklearn.base import clone

import neurodata as nd
from neurodata.containers import make_counts
from neurodata.errors import NotFittedError, OptionError, RecordingError
from neurodata.validate.baselines import CrossCorrelation, LaggedRegression, RateOnly, Shuffle

BASELINES = [RateOnly(), CrossCorrelation(), LaggedRegression(), Shuffle(rng=4)]
UNIT = np.array(["a", "b", "c", "quiet", "e"])


def coupled(n_bins: int, seed: int, strength: float = 0.3) -> np.ndarray:
    """Spikes in 2 ms bins: a excites b and e inhibits c, both 2 bins later; "quiet" is silent."""
    rng = np.random.default_rng(seed)
    spikes = np.zeros((n_bins, 5), dtype=np.int32)
    spikes[:, 0], spikes[:, 4] = rng.random(n_bins) < 0.05, rng.random(n_bins) < 0.05
    before = np.zeros((n_bins, 2))
    before[2:] = spikes[:-2][:, [0, 4]]
    spikes[:, 1] = rng.random(n_bins) < 0.05 + strength * before[:, 0]
    spikes[:, 2] = rng.random(n_bins) < 0.3 - 0.28 * before[:, 1]
    return spikes


@pytest.fixture(scope="module")
def counts() -> xr.DataArray:
    return make_counts(coupled(20_000, 0), 0.002, unit=UNIT)


@pytest.fixture(params=BASELINES, ids=lambda model: type(model).__name__)
def model(request):
    return clone(request.param)


def test_manners(model, counts, tmp_path):
    settings = model.get_params()
    with pytest.raises(NotFittedError):
        _ = model.edge_score_
    before = counts.copy(deep=True)
    assert model.fit(counts) is model
    xr.testing.assert_identical(counts, before)
    assert model.get_params() == settings
    assert model.edge_score_["post"].values.tolist() == model.edge_score_["pre"].values.tolist() == UNIT.tolist()
    assert np.isnan(np.diag(model.edge_score_)).all()
    other = clone(model).fit(counts.isel(time=slice(0, 5000)))
    xr.testing.assert_identical(other.fit(counts).to_dataset(), model.to_dataset())
    for again in (pickle.loads(pickle.dumps(model)), nd.models.load(model.save(tmp_path / "model.nc"))):
        assert type(again) is type(model)
        assert again.get_params() == model.get_params()
        for name, values in model.to_dataset().variables.items():
            np.testing.assert_array_equal(again.to_dataset()[name], values, err_msg=name)
    assert type(model).__name__ in repr(model)


def test_ids_of_silent_units_are_kept_and_nothing_is_said_of_them(model, counts):
    model.fit(counts)
    said = nd.validate.claims(model, counts)
    assert not np.nan_to_num(said["edge_score"].sel(post="quiet")).any()
    assert not np.nan_to_num(said["edge_score"].sel(pre="quiet")).any()
    assert not said["edge"].sel(post="quiet").any()
    assert not said["edge"].sel(pre="quiet").any()


@pytest.mark.parametrize("kind", [CrossCorrelation, LaggedRegression])
def test_couplings_are_found_with_their_sign_and_direction(kind, counts):
    model = kind(level=1e-4).fit(counts)
    edges = {(str(p), str(q)) for p in UNIT for q in UNIT if model.edge_.sel(post=p, pre=q)}
    assert edges == {("b", "a"), ("c", "e")}
    assert model.edge_sign_.sel(post="b", pre="a") == 1
    assert model.edge_sign_.sel(post="c", pre="e") == -1
    assert RateOnly().fit(counts).edge_.sum() == 0
    assert Shuffle(rng=0).fit(counts).edge_.sum() == 0


def test_the_lag_of_the_peak(counts):
    delay = CrossCorrelation().fit(counts).edge_delay_
    assert delay.sel(post="b", pre="a").item() == pytest.approx(0.004)
    assert delay.sel(post="c", pre="e").item() == pytest.approx(0.004)


def test_the_weight_is_the_number_of_extra_spikes():
    """A coupling with the shape of the filter itself: the coefficient is its sum, within three standard errors."""
    rng = np.random.default_rng(5)
    pre = (rng.random(100_000) < 0.05).astype(float)
    lag = np.arange(1, 60)
    shape = np.exp(-(lag * 2 - 2) / 10) - np.exp(-(lag * 2 - 2) / 3)
    drive = np.convolve(pre, np.concatenate([[0.0], shape / shape.sum()]))[: pre.size]
    post = rng.random(pre.size) < 0.02 + 0.4 * drive
    model = LaggedRegression().fit(make_counts(np.column_stack([pre, post]).astype(int), 0.002))
    weight, error = (getattr(model, name).sel(post=1, pre=0).item() for name in ("weight_", "weight_se_"))
    assert error < 0.03
    assert abs(weight - 0.4) < 3 * error


def test_indirect_effects_are_partialled_out():
    """A chain a -> b -> c: the correlation sees a -> c, the regression does not."""
    rng = np.random.default_rng(6)
    spikes = np.zeros((100_000, 3))
    spikes[:, 0] = rng.random(len(spikes)) < 0.1
    for target in (1, 2):
        drive = 0.8 * np.roll(spikes[:, target - 1], 1)
        spikes[:, target] = rng.random(len(spikes)) < np.maximum(0.01, drive)
    counts = make_counts(spikes.astype(int), 0.002)
    sharp = {"decay": 0.002, "rise": 0.0, "delay": 0.002, "slow": None}
    direct = LaggedRegression(**sharp).fit(counts).z_
    indirect = CrossCorrelation().fit(counts).z_
    assert indirect.sel(post=2, pre=0) > 20
    assert direct.sel(post=2, pre=0) < 0.1 * direct.sel(post=2, pre=1)


def test_slow_shared_drive_is_hardly_a_connection():
    """Rates that swing together, 2 s a period: of what is shared, about (2 pi 0.1 s / 2 s)^2 = 0.1 comes through.

    To that the twelve z values add an error of 1 / sqrt(12) in the mean; it was 7.7 as they are, over eight seeds.
    """
    rng = np.random.default_rng(8)
    swing = 0.03 * (1 + 0.8 * np.sin(2 * np.pi * np.arange(100_000) / 1000))
    counts = make_counts((rng.random((100_000, 4)) < swing[:, None]).astype(int), 0.002)
    plain, less = LaggedRegression(slow=None).fit(counts), LaggedRegression().fit(counts)
    assert plain.edge_.sum() == 12
    assert plain.z_.mean() > 5
    assert less.z_.mean() < 0.77 + 3 / np.sqrt(12)


def test_false_edges_are_as_rare_as_promised():
    """Independent units: with probability 0.95 or more no edge at all, so 5 of 30 runs or fewer (binomial, p=0.003)."""
    runs = 30
    rng = np.random.default_rng(7)
    for kind in (CrossCorrelation, LaggedRegression):
        wrong = 0
        for _ in range(runs):
            counts = make_counts(rng.poisson(0.05, (3000, 6)), 0.005)
            wrong += bool(kind().fit(counts).edge_.any())
        assert wrong <= 5, kind.__name__


def test_a_gap_and_missing_bins_are_not_history(counts):
    values = counts.values.astype(float)
    values[5000:5400] = np.nan
    holed = make_counts(values, 0.002, unit=UNIT)
    parts = [counts.isel(time=slice(0, 5000)), counts.isel(time=slice(5400, None))]
    jump = counts.isel(time=np.r_[0:5000, 5400 : counts.sizes["time"]])
    for kind in (LaggedRegression, CrossCorrelation, RateOnly):
        whole = kind().fit(parts).to_dataset()
        for data in (holed, jump):
            again = kind().fit(data).to_dataset()
            for name in whole:
                # What the filter remembers from before the gap of 0.8 s is below exp(-8).
                np.testing.assert_allclose(again[name], whole[name], rtol=3e-4, atol=1e-6, err_msg=name)


def test_a_unit_of_one_session_only(counts):
    first = counts.isel(time=slice(0, 10_000))
    second = counts.isel(time=slice(10_000, None)).astype(float)
    second = second.where(second["unit"] != "a")
    both, alone = LaggedRegression().fit([first, second]), LaggedRegression().fit(first)
    # What is known of a comes from the first session alone, what is known of others from both.
    for name in ("weight_", "weight_se_"):
        both_a, alone_a = (getattr(m, name).sel(pre="a", post=["b", "c", "e"]) for m in (both, alone))
        np.testing.assert_allclose(both_a, alone_a, rtol=1e-9)
    assert both.weight_se_.sel(post="c", pre="e") < 0.8 * alone.weight_se_.sel(post="c", pre="e")


def test_trials_are_sequences(counts):
    values = counts.values.reshape(4, 5000, 5)
    trials = xr.DataArray(
        values,
        dims=("trial", "time", "unit"),
        coords={"time": 0.002 * np.arange(5000) + 0.001, "unit": UNIT},
        attrs={"bin_width": 0.002},
    )
    parts = [counts.isel(time=slice(k * 5000, (k + 1) * 5000)) for k in range(4)]
    for kind in (LaggedRegression, CrossCorrelation):
        xr.testing.assert_allclose(kind().fit(trials).to_dataset(), kind().fit(parts).to_dataset())


def test_score_is_positive_for_couplings_and_about_zero_for_none(counts):
    fresh = make_counts(coupled(20_000, 1), 0.002, unit=UNIT)
    gain = LaggedRegression().fit(counts).score(fresh)
    assert gain > 0
    assert abs(Shuffle(rng=0).fit(counts).score(fresh)) < 0.3 * gain
    assert RateOnly().fit(counts).score(fresh) == 0.0
    assert not hasattr(CrossCorrelation(), "score")
    with pytest.raises(RecordingError, match="0.002 s"):
        LaggedRegression().fit(counts).score(make_counts(fresh.values, 0.004, unit=UNIT))


def test_a_copy_of_a_unit_does_not_break_the_regression(counts):
    values = np.column_stack([counts.values, counts.values[:, 0]])
    model = LaggedRegression().fit(make_counts(values, 0.002))
    assert np.isfinite(model.score(make_counts(values, 0.002)))


def test_shuffling_keeps_rates_and_depends_on_its_rng_alone(counts):
    one, two, three = (Shuffle(rng=seed).fit(counts) for seed in (1, 1, 2))
    xr.testing.assert_identical(one.to_dataset(), two.to_dataset())
    assert not one.z_.equals(three.z_)
    np.testing.assert_allclose(one.rate_, LaggedRegression().fit(counts).rate_, atol=1e-3)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (LaggedRegression(decay=0.001), "rise < decay"),
        (LaggedRegression(slow=0.005), "slow above decay"),
        (LaggedRegression(level=0.0), "between 0 and 1"),
        (CrossCorrelation(window=0.05), "window < flank_start"),
        (CrossCorrelation(level=2.0), "between 0 and 1"),
    ],
)
def test_settings_that_make_no_sense(model, message, counts):
    with pytest.raises(OptionError, match=message):
        model.fit(counts)


def test_data_that_cannot_be_used(counts):
    with pytest.raises(RecordingError, match="more than 152 bins"):
        LaggedRegression().fit(counts.isel(time=slice(0, 150)))
    with pytest.raises(RecordingError, match="whole counts"):
        LaggedRegression().fit(counts + 0.5)
    with pytest.raises(RecordingError, match="at least one observed count"):
        RateOnly().fit(counts * np.nan)
    with pytest.raises(RecordingError, match="empty list"):
        RateOnly().fit([])
