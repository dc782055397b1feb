"""Simulation-based calibration on a normal mean, whose posterior is known: N(y / 2, 1 / 2)."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.signal import lfilter

import neurodata as nd
from neurodata.errors import OptionError

SD = np.sqrt(0.5)


def prior(rng):
    return {"x": rng.normal()}


def simulate(params, rng):
    return rng.normal(params["x"])


def sampler(shift: float = 0.0, factor: float = 1.0):
    """Independent draws, shifted by `shift` posterior sd, with the sd times `factor`."""

    def sample(data, n_draws, rng):
        return {"x": data / 2 + SD * (shift + factor * rng.standard_normal(n_draws))}

    return sample


def chain(correlation: float):
    """A chain that is stationary at the posterior from its first draw."""

    def sample(data, n_draws, rng):
        start = correlation * rng.standard_normal(1)
        noise = np.sqrt(1 - correlation**2) * rng.standard_normal(n_draws)
        return {"x": data / 2 + SD * lfilter([1.0], [1.0, -correlation], noise, zi=start)[0]}

    return sample


def log_likelihood(params, data):
    return -0.5 * (data - params["x"]) ** 2


def test_ranks_are_those_of_a_plain_loop():
    """The same random numbers, taken in the order that the docstring promises: a child for each simulation."""
    result = nd.validate.sbc(prior, simulate, sampler(), n_simulations=12, n_draws=9, thin=1, rng=5)
    _, simulations = np.random.default_rng(5).spawn(2)
    for k, rng in enumerate(simulations.spawn(12)):
        world, draws, _ = rng.spawn(3)
        x = world.normal()
        drawn = sampler()(world.normal(x), 9, draws)["x"]
        assert result["rank"].values[0, k] == (drawn < x).sum()
        assert result["true"].values[0, k] == x
        assert result["posterior_mean"].values[0, k] == pytest.approx(drawn.mean())
        assert result["posterior_sd"].values[0, k] == pytest.approx(drawn.std(ddof=1))


def test_the_result_does_not_depend_on_the_number_of_workers():
    # Functions without a name of their own, since workers cannot import this file.
    prior, simulate = (lambda rng: {"x": rng.normal()}), (lambda params, rng: rng.normal(params["x"]))  # noqa: E731
    log_likelihood = lambda params, data: -0.5 * (data - params["x"]) ** 2  # noqa: E731
    settings = {"n_simulations": 60, "n_draws": 19, "quantities": {"x": lambda p, d: p["x"], "l": log_likelihood}}
    serial = nd.validate.sbc(prior, simulate, chain(0.5), **settings, rng=1)
    parallel = nd.validate.sbc(prior, simulate, chain(0.5), **settings, rng=1, n_jobs=2)
    assert serial.identical(parallel)
    assert not serial.identical(nd.validate.sbc(prior, simulate, chain(0.5), **settings, rng=2))


def test_more_simulations_leave_the_first_as_they_were():
    few, many = (nd.validate.sbc(prior, simulate, sampler(), n_simulations=n, thin=1, rng=1) for n in (20, 40))
    np.testing.assert_array_equal(few["rank"], many["rank"][:, :20])


@pytest.mark.statistical
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (sampler(shift=0.6), "the draws are too high"),
        (sampler(shift=-0.6), "the draws are too low"),
        (sampler(factor=0.5), "the posterior is too narrow"),
        (sampler(factor=2.0), "the posterior is too wide"),
    ],
    ids=["high", "low", "narrow", "wide"],
)
def test_what_is_wrong_is_said(wrong, said):
    """By the table in the docstring, 100 simulations see a shift of 0.38 and factors of 0.70 and 1.48."""
    result = nd.validate.sbc(prior, simulate, wrong, thin=1, rng=0)
    assert not result.passed.item()
    assert result.p.item() < 0.05
    assert said in result.attrs["verdict"]


@pytest.mark.statistical
def test_a_sampler_that_ignores_the_data_is_seen_by_the_likelihood_alone():
    """Draws from the prior have uniform ranks for every parameter (Modrák et al. 2023)."""

    def from_prior(data, n_draws, rng):
        return {"x": rng.standard_normal(n_draws)}

    quantities = {"x": lambda params, data: params["x"], "log_likelihood": log_likelihood}
    result = nd.validate.sbc(prior, simulate, from_prior, quantities=quantities, thin=1, rng=0)
    assert result.passed.values.tolist() == [True, False]


@pytest.mark.statistical
def test_dependent_draws_are_thinned_and_named_when_they_are_not():
    """An autocorrelation of 0.95 makes 99 draws worth 2.5."""
    right = nd.validate.sbc(prior, simulate, chain(0.95), rng=0)
    # Every k-th draw has an autocorrelation time of (1 + r^k) / (1 - r^k): at most 1.2 from k = 47, estimated.
    assert 30 <= right.attrs["thin"] <= 75
    assert np.median(right.ess) > 70
    assert right.passed.all()
    wrong = nd.validate.sbc(prior, simulate, chain(0.95), thin=1, rng=0)
    assert not wrong.passed.any()
    assert "thin more" in wrong.attrs["verdict"]
    assert nd.validate.sbc(prior, simulate, sampler(), rng=0).attrs["thin"] == 1


def test_a_chain_that_hardly_moves_is_refused():
    with pytest.raises(OptionError, match="nearly independent"):
        nd.validate.sbc(prior, simulate, chain(0.9999), n_simulations=10, rng=0)


@pytest.mark.statistical
def test_ties_are_broken_at_random():
    """A coin with a uniform prior on heads or tails, seen through a flip that is right in 4 of 5 cases."""

    def flip(rng):
        return {"head": int(rng.integers(2))}

    def see(params, rng):
        return params["head"] ^ int(rng.random() < 0.2)

    def infer(data, n_draws, rng):
        return {"head": (rng.random(n_draws) < (0.8 if data else 0.2)).astype(int)}

    right = nd.validate.sbc(flip, see, infer, n_simulations=500, thin=1, rng=0)
    assert right.passed.all()
    assert right.chi_square_p.item() > 0.001
    sure = nd.validate.sbc(flip, see, lambda d, n, rng: {"head": np.full(n, d)}, n_simulations=500, thin=1, rng=0)
    assert not sure.passed.any()


def test_a_quantity_without_spread_is_left_to_the_ties():
    result = nd.validate.sbc(
        prior, simulate, sampler(), quantities={"one": lambda params, data: 1.0}, n_simulations=50, rng=0
    )
    assert result.passed.all()
    assert result.ess.isnull().all()
    assert result.attrs["thin"] == 1


def test_parameters_are_ranked_element_by_element():
    def several(rng):
        return {"a": rng.normal(size=(2, 2)), "b": rng.normal(), "latent": rng.normal(size=5)}

    def posterior(data, n_draws, rng):
        return {"a": rng.normal(size=(n_draws, 2, 2)), "b": rng.normal(size=n_draws)}

    def nothing(params, rng):
        return None

    result = nd.validate.sbc(several, nothing, posterior, n_simulations=10, thin=1, rng=0)
    assert result.quantity.values.tolist() == ["a[0,0]", "a[0,1]", "a[1,0]", "a[1,1]", "b"]
    one = nd.validate.sbc(several, nothing, posterior, quantities=["b"], n_simulations=10, thin=1, rng=0)
    assert one.quantity.values.tolist() == ["b"]
    np.testing.assert_array_equal(one["rank"][0], result["rank"][4])


def test_vectorized_functions_give_the_same():
    quantities = {"l": log_likelihood, "both": lambda p, d: np.stack([p["x"], p["x"] ** 2], axis=-1)}
    settings = {"n_simulations": 20, "n_draws": 9, "quantities": quantities, "thin": 1, "rng": 0}
    one_by_one, at_once = (
        nd.validate.sbc(prior, simulate, sampler(), vectorized=vectorized, **settings) for vectorized in (False, True)
    )
    assert one_by_one.identical(at_once)
    assert at_once.quantity.values.tolist() == ["l", "both[0]", "both[1]"]


def test_the_band_is_wider_for_more_quantities_and_marks_what_failed():
    quantities = {f"q{k}": lambda params, data: params["x"] for k in range(10)}
    one = nd.validate.sbc(prior, simulate, sampler(), thin=1, rng=0)
    ten = nd.validate.sbc(prior, simulate, sampler(), quantities=quantities, thin=1, rng=0)
    assert (ten.band_upper >= one.band_upper).all()
    assert (ten.band_upper > one.band_upper).any()
    assert ten.attrs["band_coverage"] >= 0.995
    assert ten.attrs["verdict"] == "passed: 10 of 10 quantities (100 simulations, rank among 99 draws)"
    outside = (ten.ecdf_difference > ten.band_upper + 1e-9) | (ten.ecdf_difference < ten.band_lower - 1e-9)
    assert (outside.any("rank_value") == ~ten.passed).all()
    assert ((ten.p <= 1 - ten.attrs["band_coverage"]) == ~ten.passed).all()


def test_the_result_can_be_stored(tmp_path):
    result = nd.validate.sbc(prior, simulate, sampler(), n_simulations=10, thin=1, rng=0)
    result.to_netcdf(tmp_path / "sbc.nc", engine="h5netcdf")
    import xarray as xr

    with xr.open_dataset(tmp_path / "sbc.nc", engine="h5netcdf") as again:
        assert again.load().equals(result)
        assert again.attrs["verdict"] == result.attrs["verdict"]


def test_progress_counts_simulations():
    class Count:
        def __init__(self):
            self.total = self.done = 0
            self.closed = False

        def start(self, total, label):
            self.total = total

        def update(self, n=1, note=""):
            self.done += n

        def close(self):
            self.closed = True

    count = Count()
    nd.validate.sbc(prior, simulate, sampler(), n_simulations=73, thin=1, rng=0, progress=count)
    assert (count.total, count.done, count.closed) == (73, 73, True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prior": lambda rng: 1.0}, "prior to return a dict"),
        ({"sample": lambda data, n, rng: {"x": np.zeros(n + 1)}}, "draws along the first axis"),
        ({"sample": lambda data, n, rng: {"y": np.zeros(n)}}, "both prior and sample"),
        ({"sample": lambda data, n, rng: {"x": np.full(n, np.nan)}}, "NaN in x"),
        ({"quantities": ["z"]}, "z"),
        ({"quantities": {"z": 3}}, "dict of name to function"),
        ({"quantities": {"z": lambda p, d: np.zeros(int(abs(10 * p["x"])) + 1)}}, "same quantities in every"),
        ({"n_draws": 3}, "n_draws of 9 or more"),
        ({"thin": 0}, "whole number from 1"),
        ({"thin": "some"}, "whole number from 1"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(change, message):
    call = {"prior": prior, "simulate": simulate, "sample": sampler(), "n_simulations": 10, "rng": 0, **change}
    with pytest.raises(OptionError, match=message):
        nd.validate.sbc(call.pop("prior"), call.pop("simulate"), call.pop("sample"), **call)


def test_an_error_says_in_which_simulation_it_was():
    def fails(data, n_draws, rng):
        raise ZeroDivisionError("no draws")

    with pytest.raises(ZeroDivisionError) as caught:
        nd.validate.sbc(prior, simulate, fails, n_simulations=10, thin=1, rng=0)
    assert caught.value.__notes__ == ["in simulation 0 of the calibration"]


def test_the_picture_shows_every_line_and_the_band():
    quantities = {"x": lambda params, data: params["x"], "log_likelihood": log_likelihood}
    result = nd.validate.sbc(prior, simulate, sampler(factor=0.5), quantities=quantities, thin=1, rng=0)
    ax = nd.plot.sbc_ecdf(result)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(labels[1:]) == ["log_likelihood (failed)", "x (failed)"]
    lines = {line.get_label(): line.get_ydata() for line in ax.lines}
    np.testing.assert_allclose(lines["x (failed)"], np.r_[0, result.ecdf_difference.sel(quantity="x")])
    ax.figure.savefig(io.BytesIO(), format="png", dpi=50)
    with pytest.raises(OptionError, match="lacks ecdf_difference"):
        nd.plot.sbc_ecdf(result[["rank"]])


def test_the_picture_names_only_failures_where_there_are_many():
    quantities = {f"q{k}": lambda params, data: params["x"] for k in range(12)}
    result = nd.validate.sbc(prior, simulate, sampler(), quantities=quantities, thin=1, rng=0)
    ax = nd.plot.sbc_ecdf(result)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["95 % band"]
    assert ax.get_title("right") == "12 of 12 passed, 100 simulations"
