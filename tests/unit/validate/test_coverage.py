"""Coverage of intervals that are right, too narrow or too wide, and the band that chance allows."""

from __future__ import annotations

import io

import numpy as np
import pytest
import xarray as xr
from scipy.stats import binom, norm

import neurodata as nd
from neurodata.errors import OptionError


@pytest.fixture
def normals():
    """Truth (500,) around known centres with sd 1."""
    rng = np.random.default_rng(0)
    centre = rng.normal(0, 3, 500)
    return centre + rng.standard_normal(500), centre


@pytest.mark.parametrize("n", [7, 50, 333])
@pytest.mark.parametrize("level", [0.5, 0.8, 0.95])
def test_the_band_is_the_exact_binomial(n, level):
    """By its definition: each tail outside has at most 2.5 %, and one count further in would leave more."""
    result = nd.validate.coverage(np.zeros(n), mean=0.0, sd=1.0, levels=[level])
    low, high = (round(float(result[name].item()) * n) for name in ("band_lower", "band_upper"))
    mass = binom.pmf(np.arange(n + 1), n, level)
    assert mass[:low].sum() <= 0.025 < mass[: low + 1].sum()
    assert mass[high + 1 :].sum() <= 0.025 + 1e-12 < mass[high:].sum() + 1e-12
    assert low <= n * level <= high


def test_right_intervals_pass_by_all_three_ways(normals):
    truth, centre = normals
    by_sd = nd.validate.coverage(truth, mean=centre, sd=1.0)
    half = norm.ppf([0.75, 0.9, 0.975])[:, None]
    by_limits = nd.validate.coverage(truth, lower=centre - half, upper=centre + half)
    xr.testing.assert_allclose(by_sd.drop_attrs(), by_limits.drop_attrs())
    np.testing.assert_allclose(by_sd.coverage, (np.abs(truth - centre) <= half).mean(axis=1))
    np.testing.assert_allclose(by_sd.width, 2 * half[:, 0])
    draws = centre + np.random.default_rng(1).standard_normal((999, 500))
    by_draws = nd.validate.coverage(truth, draws)
    assert by_sd.passed.all()
    assert by_draws.passed.all()
    assert "as it should be" in by_sd.attrs["verdict"]


def test_too_narrow_and_too_wide_are_said(normals):
    truth, centre = normals
    for sd, said in ((0.7, "too narrow"), (1.5, "too wide")):
        result = nd.validate.coverage(truth, mean=centre, sd=sd)
        assert not result.passed.any()
        assert result.attrs["verdict"].count(said) == 3


@pytest.mark.statistical
@pytest.mark.parametrize("n_draws", [39, 50, 199])
def test_few_draws_do_not_lower_the_coverage(n_draws):
    """20000 truths: four binomial standard errors of 95 % are 0.006; plain quantiles of 39 draws hold 92.5 %."""
    rng = np.random.default_rng(2)
    result = nd.validate.coverage(rng.standard_normal(20_000), rng.standard_normal((n_draws, 20_000)))
    np.testing.assert_allclose(result.coverage.sel(level=0.95), 0.95, atol=0.006)
    # Interpolation between order statistics costs a little where they are far apart in probability.
    np.testing.assert_allclose(result.coverage, [0.5, 0.8, 0.95], atol=0.016)


@pytest.mark.statistical
def test_the_band_holds_its_confidence():
    """2000 tables of 200 right intervals: 95 % of them at least in the band, but for three standard errors (1.5 %)."""
    rng = np.random.default_rng(3)
    truth = {f"table {k}": rng.standard_normal(200) for k in range(2000)}
    zero, one = dict.fromkeys(truth, 0.0), dict.fromkeys(truth, 1.0)
    result = nd.validate.coverage(truth, mean=zero, sd=one, levels=[0.8])
    assert 0.935 < result.passed.mean() < 0.985


def test_nan_is_unknown_and_counted(normals):
    truth, centre = normals
    unknown, without = truth.copy(), centre.copy()
    unknown[:50] = np.nan
    without[40:60] = np.nan
    result = nd.validate.coverage(unknown, mean=without, sd=1.0)
    assert result.n.values.tolist() == [440] * 3
    assert result.n_missing.values.tolist() == [60] * 3
    expected = nd.validate.coverage(truth[60:], mean=centre[60:], sd=1.0)
    np.testing.assert_array_equal(result.coverage, expected.coverage)
    with pytest.raises(OptionError, match="a true value"):
        nd.validate.coverage(np.full(5, np.nan), mean=np.zeros(5), sd=1.0)


def test_several_quantities_are_rows(normals):
    truth, centre = normals
    result = nd.validate.coverage(
        {"weight": truth, "rate": truth[:100]},
        mean={"weight": centre, "rate": centre[:100]},
        sd={"weight": np.ones(500), "rate": np.full(100, 0.3)},
    )
    assert result.coverage.dims == ("quantity", "level")
    assert result.n.sel(quantity="rate", level=0.5) == 100
    assert result.passed.sel(quantity="weight").all()
    assert not result.passed.sel(quantity="rate").any()
    assert "rate: 95 % intervals hold" in result.attrs["verdict"]
    with pytest.raises(OptionError, match="'rate'"):
        nd.validate.coverage({"rate": truth}, {"weight": centre[None]})


def test_labelled_draws_go_by_name_of_dims():
    rng = np.random.default_rng(4)
    truth = xr.DataArray(rng.standard_normal((30, 5)), dims=("post", "pre"), coords={"pre": list("abcde")})
    draws = truth.copy(data=np.zeros((30, 5))) + xr.DataArray(rng.standard_normal((2, 100)), dims=("chain", "draw"))
    values = rng.standard_normal((5, 100, 30, 2))
    draws = draws.transpose("pre", "draw", "post", "chain").copy(data=values)
    result = nd.validate.coverage(truth, draws)
    plain = nd.validate.coverage(truth.values, values.transpose(3, 1, 2, 0).reshape(200, 30, 5))
    np.testing.assert_array_equal(result.coverage, plain.coverage)
    with pytest.raises(OptionError, match="same labels"):
        nd.validate.coverage(truth, draws.assign_coords(pre=list("bcdea")))
    with pytest.raises(OptionError, match="dims of truth"):
        nd.validate.coverage(truth, mean=truth.isel(pre=0, drop=True), sd=truth * 0 + 1)


def test_labelled_limits_may_have_level_anywhere():
    truth = xr.DataArray(np.zeros(6), dims="unit")
    half = xr.DataArray([1.0, 2.0], dims="level")
    low, high = ((truth + sign * half).transpose("unit", "level") for sign in (-1, 1))
    result = nd.validate.coverage(truth, lower=low, upper=high, levels=(0.5, 0.8))
    assert result.width.values.tolist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({}, "none of them"),
        ({"draws": np.zeros((100, 5)), "mean": np.zeros(5), "sd": 1.0}, "draws, mean, sd"),
        ({"lower": np.zeros((3, 5))}, "lower and upper"),
        ({"draws": np.zeros((38, 5))}, "39 draws"),
        ({"draws": np.zeros((100, 4))}, "of shape"),
        ({"lower": np.zeros((2, 5)), "upper": np.ones((2, 5))}, "limits of shape"),
        ({"mean": np.zeros(4), "sd": 1.0}, "mean of the shape of truth"),
        ({"mean": np.zeros(5), "sd": -np.ones(5)}, "sd of 0 or more"),
        ({"mean": np.zeros(5), "sd": 1.0, "levels": [95]}, "between 0 and 1"),
        ({"mean": np.zeros(5), "sd": 1.0, "levels": []}, "between 0 and 1"),
    ],
)
def test_what_gives_no_intervals_is_refused(call, message):
    with pytest.raises(OptionError, match=message):
        nd.validate.coverage(np.zeros(5), **call)


def test_the_picture_has_a_mark_for_every_level_and_fills_those_outside(normals):
    truth, centre = normals
    result = nd.validate.coverage(
        {"a": truth, "b": truth}, mean={"a": centre, "b": centre}, sd={"a": np.ones(500), "b": np.full(500, 0.5)}
    )
    ax = nd.plot.coverage(result)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    marks = {line.get_label(): line for line in ax.lines}
    np.testing.assert_allclose(marks["a"].get_ydata(), 100 * result.coverage.sel(quantity="a"))
    filled = [line for line in ax.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in filled] == [0, 3]
    ax.figure.savefig(io.BytesIO(), format="png", dpi=50)
    assert nd.plot.coverage(nd.validate.coverage(truth, mean=centre, sd=1.0)).get_legend() is None
    with pytest.raises(OptionError, match="lacks coverage"):
        nd.plot.coverage(xr.Dataset())
