"""Twins: the parts against theory and brute force, and a match of circuits whose knobs are known."""

from __future__ import annotations

import numpy as np
import pytest

import neurodata as nd
from neurodata.errors import OptionError, RecordingError
from neurodata.simulate import LIF, CurrentSynapses, Latent, observe, run, zoo
from neurodata.simulate.neurons import jump_for_psp
from neurodata.validate import match, recording_statistics
from neurodata.validate._pieces import gather, windows
from neurodata.validate._recorded import Binned, Recorded
from neurodata.validate._search import distance, to_knobs, to_vector
from neurodata.validate._target import _factorise, as_log_rates, private_sd, shared_loadings, window_share
from neurodata.validate._twin import Knobs, background, f_i_curve, lay_out
from neurodata.validate.statistics import per_unit, read

QUICK = {"n_rounds": 1, "n_checks": 2}


def doubly_stochastic(loading, tau, seconds, rng, rate=8.0, width=0.005):
    """Spike trains whose log rates follow Ornstein-Uhlenbeck processes of known loading."""
    n_bins = round(seconds / width)
    decay = np.exp(-width / tau)
    drive = np.empty((n_bins, loading.shape[1]))
    drive[0] = rng.standard_normal(loading.shape[1])
    for k in range(1, n_bins):
        drive[k] = decay * drive[k - 1] + np.sqrt(1 - decay**2) * rng.standard_normal(loading.shape[1])
    mean = rate * width * np.exp(drive @ loading.T - (loading**2).sum(axis=1) / 2)
    counts = rng.poisson(mean)
    trains = []
    for row in counts.T:
        at = np.repeat(np.arange(n_bins), row)
        trains.append(np.sort((at + rng.random(at.size)) * width))
    return nd.make_recording(spikes=nd.make_spikes(trains, support=[[0.0, seconds]]))


class TestTarget:
    @pytest.mark.parametrize("ratio", [0.01, 0.5, 1.0, 20.0])
    def test_window_share_is_the_double_integral(self, ratio):
        t = (np.arange(1000) + 0.5) / 1000 * ratio
        expected = np.exp(-np.abs(t[:, None] - t[None, :])).mean()
        assert window_share(ratio, 1.0) == pytest.approx(expected, rel=1e-3)

    def test_factors_give_back_the_entries_off_the_diagonal(self):
        rng = np.random.default_rng(0)
        true = rng.normal(0.2, 1.0, (40, 2))
        product = true @ true.T
        noisy = product + np.diag(rng.uniform(5, 9, 40))
        found = _factorise(noisy, 0.0, 2, np.ones(40))
        off = ~np.eye(40, dtype=bool)
        # Convergence of the filled-in diagonal; no noise.
        assert np.abs((found @ found.T - product)[off]).max() < 0.05

    def test_noise_makes_no_factors_but_a_weak_mean_survives(self):
        rng = np.random.default_rng(1)
        noise = rng.normal(0.0, 0.05, (60, 60))
        matrix = 0.01 + (noise + noise.T) / np.sqrt(2)
        found = _factorise(matrix, 0.05, 4, np.ones(60))
        pairs = np.triu_indices(60, 1)
        assert found.shape[1] <= 2
        # The mean of 1770 entries is known to 0.05 / sqrt(1770) = 0.0012.
        assert (found @ found.T)[pairs].mean() == pytest.approx(matrix[pairs].mean(), abs=0.004)

    def test_two_units(self):
        assert _factorise(np.array([[0.0, 0.25], [0.25, 0.0]]), 0.01, 4, np.ones(2)).ravel().tolist() == [0.5, 0.5]

    def test_log_normal_rates_have_the_variance_asked_for(self):
        shared, private = as_log_rates({"slow": np.full((1, 1), 1.2)}, np.array([0.9]))
        z = np.random.default_rng(2).standard_normal((400_000, 2))
        rate = np.exp(z[:, 0] * shared["slow"][0, 0] + z[:, 1] * private[0])
        # Relative variance 1.2^2 + 0.9^2; its Monte Carlo error is about 4 %.
        assert rate.var() / rate.mean() ** 2 == pytest.approx(2.25, rel=0.15)

    def test_loadings_of_a_known_process(self):
        """One slow drive with loadings of both signs: signs and sizes come back."""
        rng = np.random.default_rng(3)
        loading = np.repeat([[0.4], [-0.4]], 8, axis=0)
        pieces = gather(read(doubly_stochastic(loading, 2.0, 400.0, rng)), windows())
        unit = per_unit(pieces)
        found = shared_loadings(pieces, unit, 2.0, rng)["slow"]
        product = found @ found.T
        pairs = np.triu_indices(16, 1)
        same = (loading @ loading.T > 0)[pairs]
        # 400 s are 100 correlation times of two seconds: a covariance is known to about 15 %.
        assert product[pairs][same].mean() == pytest.approx(0.16, rel=0.3)
        assert product[pairs][~same].mean() == pytest.approx(-0.16, rel=0.3)

    def test_private_fluctuation_is_what_shared_drives_leave(self):
        rng = np.random.default_rng(4)
        pieces = gather(read(doubly_stochastic(0.5 * np.eye(10), 2.0, 400.0, rng)), windows())
        unit = per_unit(pieces)
        nothing = {"slow": np.zeros((10, 1))}
        found = private_sd(pieces, unit, nothing, {"slow": 2.0})
        # The Fano factor in 1 s sees exp(0.25) - 1, averaged over a second of two: about 0.86 of it.
        assert np.median(found**2) == pytest.approx(np.expm1(0.25) * window_share(1.0, 2.0), rel=0.35)


class TestTwin:
    def test_background_makes_the_fluctuation_it_says(self):
        """Campbell: the variance is the rate times the integral of the squared potential."""
        neuron, synapses = LIF(), CurrentSynapses()
        t = np.arange(0, 0.4, 1e-5)
        tau_m, tau_s = neuron.tau_m, synapses.tau_e
        shape = tau_s / (tau_m - tau_s) * (np.exp(-t / tau_m) - np.exp(-t / tau_s))
        sources = background(3.0)
        variance = sum(
            s.rate
            * s.n
            * np.sum((float(jump_for_psp(np.array(s.psp), s.psp > 0, neuron, synapses)) * shape) ** 2)
            * 1e-5
            for s in sources
        )
        assert np.sqrt(variance) == pytest.approx(3.0, rel=1e-3)
        assert sum(s.rate * s.n * s.psp for s in sources) == pytest.approx(0.0)

    def test_curve_gives_the_rate_of_a_neuron(self):
        from neurodata.simulate import Circuit, Population

        knobs = Knobs()
        curve = f_i_curve(knobs, 0.0, np.random.default_rng(0))
        wanted = np.array([0.5, 2.0, 10.0, 40.0])
        bias = np.repeat(curve.bias(np.log(wanted)), 10)
        population = Population("E", 40, neuron=LIF(v_reset=knobs.reset), bias=bias, background=background(knobs.noise))
        rec = run(Circuit((population,), dt=5e-4), 60.0, rng=1)
        rate = rec["spikes"]["spike_count"].values.reshape(4, 10).mean(axis=1) / 60.0
        # 300 spikes at the lowest rate (6 %) and a curve measured in half a minute.
        np.testing.assert_allclose(rate, wanted, rtol=0.25)

    def test_a_fifth_is_inhibitory_and_every_unit_has_a_neuron(self):
        rng = np.random.default_rng(5)
        rate, private = rng.gamma(2.0, 2.0, 30), rng.random(30)
        shared = {"slow": rng.standard_normal((30, 2))}
        neurons = lay_out(rate, private, shared, 20, rng)
        assert neurons.size.sum() == 50
        assert neurons.size[neurons.sign < 0].sum() == 10
        assert np.unique(neurons.recorded).size == 30
        np.testing.assert_array_equal(neurons.rate[neurons.recorded], rate)
        np.testing.assert_array_equal(neurons.shared["slow"][neurons.recorded], shared["slow"])
        # Units with more private fluctuation are in the louder classes.
        level = np.repeat(neurons.level, neurons.size)[neurons.recorded]
        assert np.corrcoef(level, private)[0, 1] > 0.8

    def test_knobs_and_vector(self):
        knobs = Knobs(reset=-61.0, private=0.4, slow_tau=3.0, fast_common=-0.1)
        back = to_knobs(to_vector(knobs))
        assert back.private == pytest.approx(0.4)
        assert back.reset == pytest.approx(-61.0)
        assert to_knobs(to_vector(knobs), slowest=2.0).slow_tau == 2.0

    def test_distance(self):
        assert distance(2.0, 1.0, 0.0) == pytest.approx(-distance(0.5, 1.0, 0.0))
        assert distance(0.05, 0.0, 0.1) == pytest.approx(4 * np.log1p(1 / 4))
        assert distance(-0.1, 0.1, 0.01) < distance(0.0, 0.1, 0.01) < 0
        assert np.isfinite(distance(np.nan, 1.0, 0.1))


class TestStages:
    def test_recorded_keeps_trains_and_truth_together(self):
        rec = run(zoo.static(n=6, rng=0), 3.0, rng=0)
        seen = observe(rec, [Recorded([4, 0])], rng=0)
        slices = nd.containers.unit_slices(rec["spikes"].to_dataset())
        mine = nd.containers.unit_slices(seen["spikes"].to_dataset())
        for unit, row in enumerate((4, 0)):
            np.testing.assert_array_equal(
                seen["spikes"]["spike_time"].values[mine[unit]], rec["spikes"]["spike_time"].values[slices[row]]
            )
        truth = nd.simulate.unit_truth(seen)
        weight = rec["truth"]["weight"].values
        assert truth.weight.sel(post=0, pre=1).item() == weight[4, 0]
        assert truth.sign.values.tolist() == rec["truth"]["sign"].values[[4, 0]].tolist()
        assert seen["truth"]["observed"].values.sum() == 2

    def test_binned(self):
        rec = run(zoo.null(n=4, rng=0), 3.0, rng=0)
        seen = observe(rec, [Recorded([0, 1, 2, 3]), Binned(0.5)], rng=0)
        assert seen["spikes"]["counts"].sizes == {"time": 6, "unit": 4}
        assert int(seen["spikes"]["counts"].sum()) == int(rec["spikes"]["spike_count"].sum())
        nd.check(nd.simulate.without_truth(seen))

    def test_stages_survive_json(self):
        for stage in (Recorded([2, 5]), Binned(0.25)):
            back = nd.simulate.Stage.from_dict(stage.to_dict())
            assert back.to_dict() == stage.to_dict()

    @pytest.mark.parametrize("unit", [[], [1, 1], [-1]])
    def test_bad_units(self, unit):
        with pytest.raises(OptionError, match="units"):
            Recorded(unit)
        with pytest.raises(OptionError, match="below 3"):
            observe(run(zoo.null(n=3, rng=0), 1.0, rng=0), [Recorded([3])], rng=0)


@pytest.fixture(scope="module")
def lab():
    """A circuit of another make than the twins: white noise, one slow drive, rates of its own."""
    circuit = zoo.static(n=20, bias=15.0, rng=1).replace(latents=[Latent(1.5, np.linspace(0.5, 2.5, 20))])
    return nd.simulate.without_truth(run(circuit, 80.0, rng=2))


@pytest.fixture(scope="module")
def found(lab):
    return match(lab, rng=0, **QUICK)


class TestMatch:
    def test_rates_of_a_fresh_twin(self, lab, found):
        """Neuron by neuron, on a simulation that the search has not seen."""
        twin = found.simulate(rng=99)
        here, there = lab["spikes"]["spike_count"].values, twin["spikes"]["spike_count"].values
        assert here.sum() == pytest.approx(there.sum(), rel=0.2)
        assert np.corrcoef(np.log(here + 1), np.log(there + 1))[0, 1] > 0.9

    def test_the_table_is_that_of_its_simulations(self, found):
        """An independent simulation through the public functions lies among those of the table."""
        fresh = recording_statistics(found.simulate(rng=7))["value"]
        for name in ("rate_mean", "isi_cv", "isi_lv", "fano_100ms", "population_cv"):
            ours = float(found.table["twin"].sel(statistic=name))
            assert float(fresh.sel(statistic=name)) == pytest.approx(ours, rel=0.25), name

    def test_the_table_holds_what_it_says(self, lab, found):
        table = found.table
        statistics = recording_statistics(lab)
        # The statistics sum over ten blocks of time, which cuts the autocorrelation short at their edges.
        edges = statistics["statistic"] == "population_timescale"
        np.testing.assert_allclose(table["recording"][~edges], statistics["value"][~edges])
        np.testing.assert_allclose(table["recording"][edges], statistics["value"][edges], rtol=0.1)
        twins = table["twins"].mean("check")
        np.testing.assert_allclose(table["twin"], twins)
        relative = (twins - table["recording"]) / abs(table["recording"])
        known = np.isfinite(relative.values)
        np.testing.assert_allclose(table["relative"].values[known], relative.values[known])
        within = abs(relative.values[known]) <= 0.2
        np.testing.assert_array_equal(table["within"].values[known], within)
        named = {str(n) for n in table["statistic"].values[~table["within"].values & found.compared]}
        assert named == set(found.missed)
        assert found.score == pytest.approx(1 - len(found.missed) / found.compared.sum())
        assert "n_units" not in found.missed

    def test_in_words(self, found):
        text = repr(found)
        assert f"of {int(found.compared.sum())} statistics are within 20 %" in text
        assert "isi_lv" in text

    def test_same_rng_same_twin(self, lab, found):
        again = match(lab, rng=0, **QUICK)
        assert again.circuit.content_hash == found.circuit.content_hash
        assert again.table.identical(found.table)

    def test_other_graphs_and_synapses(self, lab, found):
        strong = found.twin(seed=5, epsp=0.48)
        assert strong.content_hash != found.circuit.content_hash
        weights = np.abs(strong.network().psp)
        assert np.median(weights[strong.network().inhibitory == 0]) == pytest.approx(0.48, rel=0.15)
        rate = found.simulate(strong, rng=3)["spikes"]["spike_count"].values.sum()
        assert rate == pytest.approx(lab["spikes"]["spike_count"].values.sum(), rel=0.25)

    def test_no_truth_is_read(self, lab, found):
        """A recording with its truth gives the same twin as without."""
        with_truth = run(zoo.static(n=20, bias=15.0, rng=1), 80.0, rng=2)
        blind = nd.simulate.without_truth(with_truth)
        a, b = (match(rec, rng=1, n_rounds=1, n_checks=1).circuit.content_hash for rec in (with_truth, blind))
        assert a == b


def test_counts_are_matched_as_counts():
    rng = np.random.default_rng(6)
    common = np.exp(0.3 * rng.standard_normal((240, 1)))
    counts = nd.containers.make_counts(rng.poisson(3.0 * common * np.linspace(0.5, 2.0, 8)), 0.5)
    rec = nd.make_recording(spikes=counts.to_dataset(name="counts").assign_attrs(bin_width=0.5))
    found = match(rec, rng=0, **QUICK)
    twin = found.simulate(rng=1)
    assert twin["spikes"]["counts"].sizes == {"time": 240, "unit": 8}
    assert "isi_cv" in found.table.attrs["unavailable"]
    assert not np.isfinite(float(found.table["recording"].sel(statistic="isi_cv")))
    assert "isi_cv" not in found.missed


def test_more_units_than_a_twin_has():
    rng = np.random.default_rng(8)
    trains = [np.sort(rng.uniform(0, 60.0, rng.poisson(60 * r))) for r in rng.gamma(2.0, 3.0, 12)]
    rec = nd.make_recording(spikes=nd.make_spikes(trains, unit=list("abcdefghijkl"), support=[[0.0, 60.0]]))
    found = match(rec, max_units=5, rng=0, n_rounds=1, n_checks=1)
    assert found.simulate(duration=2.0, rng=0)["spikes"].sizes["unit"] == 5
    assert found.table.attrs["n_units_recorded"] == 12
    assert set(found.table.attrs["unit"]) <= set("abcdefghijkl")


def test_too_short_is_refused():
    rec = run(zoo.static(n=5, rng=0), 5.0, rng=0)
    with pytest.raises(RecordingError, match="30 s"):
        match(rec)


@pytest.mark.parametrize("options", [{"epsp": -1.0}, {"epsp": float("nan")}, {"max_units": 1}, {"n_rounds": 0}])
def test_bad_options(options):
    with pytest.raises(OptionError):
        match(run(zoo.static(n=5, rng=0), 1.0, rng=0), **options)
