"""Every circuit of the zoo: rates in the range that its docstring states, and the signature it was made for."""

from __future__ import annotations

import numpy as np
import pytest

from neurodata.errors import OptionError
from neurodata.simulate import Circuit, run, unit_truth, zoo
from neurodata.simulate.truth import truth_of

# Circuit: lowest and highest mean rate (Hz) over seeds and sizes, as the docstrings state, widened by what a run of 5 s
# adds: the error of a mean over 30 irregular neurons at 17 Hz is sqrt(17 / 150) = 0.3 Hz, and slow inputs move more.
RATES = {
    "static": (15.0, 19.0),
    "hub": (15.0, 19.0),
    "null": (14.0, 21.0),
    "clustered": (15.5, 23.0),
    "ring": (15.5, 19.0),
    "chain": (4.0, 9.0),
    "common_input": (15.0, 20.5),
    "switching_drive": (15.0, 19.0),
    "switching_coupling": (15.5, 20.5),
    "gain": (9.0, 25.0),
    "stdp": (15.0, 18.5),
    "modulated": (9.0, 24.0),
    "ca3": (3.5, 12.0),
    "tuned": (11.0, 18.5),
}
SIZES = (30, 80, 200)
HALF = [name for name in RATES if name != "null"]


def counts(rec, width=0.05):
    """Spike counts (neuron, bin)."""
    spikes, duration = rec["spikes"].to_dataset(), float(rec["truth"].attrs["duration"])
    count = spikes["spike_count"].values
    n_bins = round(duration / width)
    at = np.minimum((spikes["spike_time"].values / width).astype(int), n_bins - 1)
    out = np.zeros((count.size, n_bins))
    np.add.at(out, (np.repeat(np.arange(count.size), count), at), 1.0)
    return out


def rates(rec):
    return rec["spikes"]["spike_count"].values / float(rec["truth"].attrs["duration"])


def correlations(rec, width=0.1):
    c = np.corrcoef(counts(rec, width))
    np.fill_diagonal(c, np.nan)
    return c


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", RATES)
def test_rates_are_as_stated_and_nobody_is_silent(name, n):
    seed = SIZES.index(n)
    rec = run(getattr(zoo, name)(n=n, rng=seed), 5.0, rng=seed)
    low, high = RATES[name]
    assert rec["spikes"].sizes["unit"] == n
    assert low <= rates(rec).mean() <= high
    truth = truth_of(rec)
    for population in np.unique(truth["population"].values):
        assert rates(rec)[truth["population"].values == population].mean() > 1.0
    assert truth["weight"].shape == (n, n)
    assert set(np.unique(truth["sign"].values)) == {-1, 1}


@pytest.mark.parametrize("name", HALF)
def test_half_the_epsp_is_one_argument(name):
    builder = getattr(zoo, name)
    full, half = builder(n=40, rng=3).network(), builder(n=40, epsp=0.12, rng=3).network()
    assert np.array_equal(full.post, half.post)
    np.testing.assert_allclose(half.psp, 0.5 * full.psp, rtol=1e-9)


@pytest.mark.parametrize("name", RATES)
def test_same_rng_same_circuit_and_json_keeps_it(name):
    builder = getattr(zoo, name)
    circuit = builder(n=40, rng=5)
    assert builder(n=40, rng=5).content_hash == circuit.content_hash
    assert builder(n=40, rng=6).content_hash != circuit.content_hash
    assert Circuit.from_json(circuit.to_json()).content_hash == circuit.content_hash
    assert circuit.name == name


@pytest.mark.parametrize("name", RATES)
def test_too_small_is_refused(name):
    with pytest.raises(OptionError, match="neurons"):
        getattr(zoo, name)(n=1, rng=0)


def test_static_has_the_weights_of_the_table():
    """Median EPSP 0.24 mV, IPSP four times that, p = 0.1, delays 1-4 ms, 80 to 20."""
    network = zoo.static(n=400, rng=0).network()
    excitatory = network.psp > 0
    n_edges = network.psp.size
    # Binomial: sd of the count is sqrt(n p (1 - p)) = 120; the median of a log-normal of sigma 0.5 has a relative error
    # of 0.5 sqrt(pi / 2 / n) = 0.0055 for 12800 edges, 0.011 for 3200.
    assert n_edges == pytest.approx(0.1 * 400 * 399, abs=4 * 120)
    assert np.median(network.psp[excitatory]) == pytest.approx(0.24, rel=4 * 0.0055)
    assert np.median(network.psp[~excitatory]) == pytest.approx(-0.96, rel=4 * 0.011)
    assert 10 <= network.delay.min() <= 11
    assert 39 <= network.delay.max() <= 40
    assert (network.sign == 1).sum() == 320


def test_null_has_no_edges_but_correlations():
    rec = run(zoo.null(n=40, rng=0), 60.0, rng=0)
    truth = truth_of(rec)
    assert truth["exists"].values.sum() == 0.0
    loading = truth["latent_loading"].values[:, 0]
    expected = np.outer(loading, loading)[np.triu_indices(40, 1)]
    found = correlations(rec, 0.2)[np.triu_indices(40, 1)]
    # 300 bins: chance correlations of sd 0.06; the shared drive must explain most of what is found.
    assert np.corrcoef(expected, found)[0, 1] > 0.8


def test_hub_out_degrees_are_lognormal():
    """At 400 targets the binomial part is small: the sd of the log out-degree is that asked for."""
    weight = zoo.hub(n=500, p=0.03, spread=0.8, rng=1).network().weight_matrix()
    out = (weight[:, :400] > 0).sum(axis=0)
    # sd of a sample sd over 400 neurons: 0.8 / sqrt(800) = 0.028; the Poisson part adds 1 / (2 x 15) to the variance.
    assert np.log(np.maximum(out, 1)).std() == pytest.approx(0.82, abs=0.12)
    # Targets are the same for all: in-degrees stay binomial.
    incoming = (weight[:, :400] > 0).sum(axis=1)
    assert incoming.std() < 1.3 * np.sqrt(incoming.mean())


def test_clusters_correlate_inside_more_than_across():
    circuit = zoo.clustered(n=80, rng=0)
    rec = run(circuit, 30.0, rng=0)
    cluster = unit_truth(rec)["cluster"].values
    assert np.bincount(cluster[cluster >= 0]).tolist() == [16, 16, 16, 16]
    assert (cluster[64:] == -1).all()
    correlation = correlations(rec)[:64, :64]
    same = cluster[:64, None] == cluster[:64]
    # 300 bins: chance sd of one correlation 0.06, of the mean over hundreds of pairs far less.
    assert np.nanmean(correlation[same]) > 0.15
    assert np.nanmean(correlation[~same]) < 0.02
    # Metastable: a cluster's rate moves far more than Poisson counts would (Fano factor 1).
    total = np.array([counts(rec, 0.1)[cluster == c].sum(axis=0) for c in range(4)])
    assert (total.var(axis=1) / total.mean(axis=1)).min() > 2.0
    # And no cluster wins for good.
    assert total.mean(axis=1).max() < 1.3 * total.mean(axis=1).min()
    weight = truth_of(rec)["weight"].values[:64, :64]
    assert weight[same].sum() > 5 * weight[~same].sum() / 3  # three times as many pairs across


def test_ring_neighbours_fire_together_and_the_bump_wanders():
    rec = run(zoo.ring(n=80, rng=0), 60.0, rng=0)
    position = truth_of(rec)["position"].values[:64]
    gap = np.abs(position[:, None] - position)
    gap = np.minimum(gap, 1.0 - gap)
    correlation = correlations(rec, 0.2)[:64, :64]
    near, far = np.nanmean(correlation[(gap > 0) & (gap < 0.1)]), np.nanmean(correlation[gap > 0.35])
    # 300 bins: chance sd of one correlation 0.06, of the mean over hundreds of pairs far less.
    assert near > 0.15
    assert far < -0.08
    # What makes it hard: neighbours without a synapse are correlated too, more than half as much as those with one.
    exists = truth_of(rec)["exists"].values[:64, :64]
    near_by = (gap > 0) & (gap < 0.1)
    apart = near_by & (exists == 0) & (exists.T == 0)
    assert np.nanmean(correlation[apart]) > 0.5 * np.nanmean(correlation[near_by & (exists == 1)])
    x = counts(rec, 0.2)[:64]
    place = np.angle((x * np.exp(2j * np.pi * position)[:, None]).sum(axis=0))
    assert (np.histogram(place, 4, (-np.pi, np.pi))[0] > 20).all()  # of 300 bins
    # The same total for all neurons, as source and as target.
    weight = truth_of(rec)["weight"].values[:64, :64]
    np.testing.assert_allclose(weight.sum(axis=0), 2.4, rtol=1e-6)
    np.testing.assert_allclose(weight.sum(axis=1), 2.4, rtol=1e-6)


def test_ring_suppression_silences_all():
    rec = run(zoo.ring(n=50, suppression=15.0, span=10.0, rng=0), 10.0, rng=0)
    x = counts(rec, 0.05)
    start = np.rint(rec["trials"]["start"].values / 0.05).astype(int)
    assert start.size == 39
    others = np.setdiff1d(np.arange(200), start)
    assert x[:, start].mean() < 0.1 * x[:, others].mean()


def test_chain_fires_in_order():
    rec = run(zoo.chain(n=50, rng=0), 40.0, rng=0)
    truth = truth_of(rec)
    cluster = truth["cluster"].values
    x = counts(rec, 0.005)
    start = np.rint(rec["trials"]["start"].values / 0.005).astype(int)
    start = start[start < x.shape[1] - 12]
    window = start[:, None] + np.arange(12)
    volley = np.array([x[cluster == g].mean(axis=0)[window].mean(axis=0) for g in range(5)]) / 0.005
    peak = volley.argmax(axis=1)
    assert (np.diff(peak) >= 1).all()
    # Far above the 6 Hz of the rest of the time, in the last group too.
    assert volley.max(axis=1).min() > 40.0
    groups = truth["weight"].values[cluster == 1][:, cluster == 0]
    assert (groups > 0).mean() > 0.6
    assert (truth["weight"].values[cluster == 0][:, cluster == 4] == 0).all()


@pytest.mark.parametrize("hidden", [True, False])
def test_fans_correlate_unconnected_neurons(hidden):
    rec = run(zoo.common_input(n=60, hidden=hidden, rng=0), 30.0, rng=0)
    truth = truth_of(rec)
    reached = truth["population"].values != "D"
    cluster = truth["cluster"].values[reached]
    correlation = correlations(rec, 0.02)[np.ix_(reached, reached)]
    exists = truth["exists"].values[np.ix_(reached, reached)]
    alone = (exists == 0) & (exists.T == 0)
    same = cluster[:, None] == cluster
    # 1500 bins: chance sd of one correlation 0.026, of a mean over some hundred pairs 0.003.
    assert np.nanmean(correlation[alone & same]) > 0.06
    assert abs(np.nanmean(correlation[alone & ~same])) < 0.015
    if hidden:
        assert truth["latent_loading"].values.astype(bool).sum() == 60
        assert reached.all()
    else:
        drivers = np.flatnonzero(~reached)
        weight = truth["weight"].values[:, drivers]
        assert drivers.size == 6
        assert ((weight > 0).sum(axis=1)[reached] == 2).all()
        assert set(truth["cell_type"].values[drivers]) == {"driver"}


def state_rates(rec, width=0.02):
    """Rates (state, neuron) over the bins that lie in one state."""
    truth = truth_of(rec)
    state = truth["state"].values.reshape(-1, round(width / truth.attrs["frame"]))
    whole = (state == state[:, :1]).all(axis=1)
    x = counts(rec, width) / width
    return np.array([x[:, whole & (state[:, 0] == s)].mean(axis=1) for s in np.unique(state)])


def test_drive_states_change_rates_of_those_they_favour():
    rec = run(zoo.switching_drive(n=50, dwell=(1.0, 2.0), rng=0), 60.0, rng=0)
    truth = truth_of(rec)
    drive = truth["state_drive"].values
    assert set(np.unique(drive)) == {0.0, 1.5}
    assert (drive.astype(bool).sum(axis=1) == 25).all()
    found = state_rates(rec)
    # 1.5 mV x about 3.5 Hz/mV; the error of a mean difference is sqrt(2 x 17 / (25 x 20)) = 0.26 Hz.
    for s in range(3):
        favoured = drive[s] > 0
        more = (found[s] - found.mean(axis=0))[favoured].mean() - (found[s] - found.mean(axis=0))[~favoured].mean()
        assert more > 2.0
    assert (truth["coupling_gain"].values == 1.0).all()


def test_coupling_states_change_coupling_and_not_rates():
    circuit = zoo.switching_coupling(n=60, dwell=(1.0, 2.0), rng=0)
    rec = run(circuit, 60.0, rng=0)
    free = run(zoo.switching_coupling(n=60, dwell=(1.0, 2.0), matched=False, rng=0), 60.0, rng=0)
    truth = truth_of(rec)
    np.testing.assert_allclose(truth["coupling_gain"].values, [[[1.9, 0.1], [0.1, 1.9]], [[0.1, 1.9], [1.9, 0.1]]])
    assert set(np.unique(truth["block"].values)) == {0, 1}
    held, moved = (np.abs(np.diff(state_rates(r), axis=0)[0]) for r in (rec, free))
    # Two estimates over about 30 s each: sd below sqrt(2 x 17 / 30) = 1.1 Hz (CV < 1: less), mean |difference| 0.85.
    assert held.mean() < 0.85
    assert moved.mean() > 2.0 * held.mean()
    # Synapses: what edge (post, pre) does within 20 ms, by state. Strong inhibitory edges show it.
    state = truth["state"].values.reshape(-1, 2)[:, 0]
    x = counts(rec, 0.01)
    block, weight = truth["block"].values, truth["weight"].values
    effect = {True: [], False: []}
    for post, pre in zip(*np.nonzero(weight < -0.5), strict=True):
        for s in (0, 1):
            at = np.flatnonzero((state[:-1] == s) & (x[pre, :-1] > 0))
            none = np.flatnonzero((state[:-1] == s) & (x[pre, :-1] == 0))
            change = x[post, at + 1].mean() - x[post, none + 1].mean()
            effect[(block[post] == (block[pre] + s) % 2)].append(change)
    strong, weak = np.mean(effect[True]), np.mean(effect[False])
    assert strong < -0.01
    assert abs(weak) < 0.5 * abs(strong)


def test_gain_makes_counts_variable_and_moves_rates_together():
    rec = run(zoo.gain(n=50, dwell=(3.0, 6.0), rng=0), 60.0, rng=0)
    still = run(zoo.gain(n=50, depth=0.0, dwell=(3.0, 6.0), rng=0), 60.0, rng=0)
    found = state_rates(rec)
    assert (np.diff(found.mean(axis=1)) > 2.0).all()
    x, y = (counts(r, 1.0) for r in (rec, still))
    fano = x.var(axis=1, ddof=1) / x.mean(axis=1), y.var(axis=1, ddof=1) / y.mean(axis=1)
    assert np.median(fano[0]) > 1.5 * np.median(fano[1])
    assert np.nanmean(correlations(rec, 1.0)) > np.nanmean(correlations(still, 1.0)) + 0.2
    sensitivity = truth_of(rec)["state_gain"].values[2] - 1.0
    assert np.corrcoef(sensitivity, found[2] / found[0])[0, 1] > 0.5


def test_plastic_weights_drift_and_stay_bounded_while_rates_stay():
    rec = run(zoo.stdp(n=50, snapshot=20.0, rng=0), 60.0, rng=0)
    truth = truth_of(rec)
    weight = truth["weight_t"].values
    assert truth["snapshot"].values.tolist() == [0.0, 20.0, 40.0, 60.0]
    np.testing.assert_allclose(weight[0], truth["weight"].values, atol=1e-12)
    sign = truth["sign"].values
    plastic = (truth["exists"].values > 0) & (sign[:, None] > 0) & (sign > 0)
    for later in (2, 3):
        assert (weight[later][plastic] != weight[0][plastic]).mean() > 0.99
        assert np.array_equal(weight[later][~plastic], weight[0][~plastic])
    assert weight[:, plastic].min() >= 0.0
    assert weight[1:, plastic].max() <= max(4 * 0.24, weight[0].max()) * (1 + 1e-9)
    similar = [np.corrcoef(weight[0][plastic], w[plastic])[0, 1] for w in weight[1:]]
    assert similar[0] > similar[1] > similar[2] > 0.5
    assert weight[3][plastic].mean() == pytest.approx(weight[0][plastic].mean(), rel=0.2)
    x = counts(rec, 20.0).mean(axis=0) / 20.0
    assert np.ptp(x) < 1.5


def test_modulator_holds_the_rate():
    with_it, without = (run(zoo.modulated(n=40, tau=2.0, drive=d, rng=0), 60.0, rng=0) for d in (3.0, 0.0))
    # The same latent, since the same streams draw it.
    assert np.array_equal(with_it["truth"]["latent"].values, without["truth"]["latent"].values)
    spread = [counts(r, 0.5).mean(axis=0).std() for r in (with_it, without)]
    assert spread[0] < 0.8 * spread[1]
    assert with_it["truth"]["modulator"].values.min() < 0.9 < 1.1 < with_it["truth"]["modulator"].values.max()


@pytest.mark.parametrize("overlap", [0.0, 0.3])
def test_partial_cues_recall_whole_assemblies(overlap):
    circuit = zoo.ca3(n=80, overlap=overlap, rng=1)
    rec = run(circuit, 40.0, rng=0)
    members, cue = zoo.assemblies(circuit), circuit.stimuli[0].tuning > 0
    excitatory = truth_of(rec)["sign"].values > 0
    x = counts(rec, 0.005)
    recalled, bystanders, control = [], [], []
    trials = rec["trials"]
    for onset, condition in zip(trials["start"].values, trials["condition"].values, strict=True):
        at = round(onset / 0.005)
        fired = x[:, at : at + 12].sum(axis=1) > 0
        uncued = excitatory & ~cue[condition]
        if condition == 3:
            control.append(fired[uncued].mean())
        else:
            recalled.append(fired[members[condition] & uncued].mean())
            bystanders.append(fired[~members[condition] & uncued].mean())
    assert len(recalled) > 40
    assert np.mean(recalled) > 0.85
    assert np.mean(bystanders) < 0.5
    assert np.mean(control) < 0.55
    # A set of neurons drawn at random, of the same size, shows none of that.
    random = np.random.default_rng(0).permutation(np.flatnonzero(excitatory & ~cue[0]))[: members[0].sum() // 2]
    start = [
        round(o / 0.005) for o, c in zip(trials["start"].values, trials["condition"].values, strict=True) if c == 1
    ]
    others = [(x[random, a : a + 12].sum(axis=1) > 0).mean() for a in start]
    assert np.mean(others) < 0.7
    assert (members.sum(axis=0) > 1).any() == (overlap > 0)
    cluster = truth_of(rec)["cluster"].values
    for k in range(3):
        assert members[k][cluster == k].all()


def test_half_the_epsp_recalls_less():
    scores = []
    for epsp in (0.24, 0.12):
        circuit = zoo.ca3(n=60, epsp=epsp, rng=0)
        rec = run(circuit, 30.0, rng=0)
        x, members, cue = counts(rec, 0.005), zoo.assemblies(circuit), circuit.stimuli[0].tuning > 0
        events = zip(rec["trials"]["start"].values, rec["trials"]["condition"].values, strict=True)
        scores.append(
            np.mean(
                [
                    (x[members[c] & ~cue[c], round(o / 0.005) : round(o / 0.005) + 12].sum(axis=1) > 0).mean()
                    for o, c in events
                    if c < 3
                ]
            )
        )
    assert scores[1] < scores[0] - 0.2


def test_tuned_rates_follow_the_true_geometry():
    rec = run(zoo.tuned(n=60, n_conditions=6, n_repeats=10, rng=0), 61.0, rng=0)
    truth = truth_of(rec)
    tuning = truth["tuning"].values
    condition = rec["trials"]["condition"].values
    assert np.bincount(condition).tolist() == [10] * 6
    x = counts(rec, 0.25)
    start = np.rint(rec["trials"]["start"].values / 0.25).astype(int)
    response = np.array([x[:, s : s + 2].sum(axis=1) for s in start])
    mean = np.array([response[condition == c].mean(axis=0) for c in range(6)])
    upper = np.triu_indices(6, 1)
    true, found = (((m[:, None] - m) ** 2).sum(axis=2)[upper] for m in (tuning, mean))
    assert np.corrcoef(true, found)[0, 1] > 0.8
    # Neurons prefer the direction nearest to their position.
    best = np.abs((tuning.argmax(axis=0) / 6 - truth["position"].values + 0.5) % 1.0 - 0.5)
    assert best.max() <= 1 / 12 + 1e-9


@pytest.mark.parametrize(
    ("build", "match"),
    [
        (lambda: zoo.clustered(n=40, n_clusters=20, rng=0), "clusters"),
        (lambda: zoo.ring(n=40, width=0.0, rng=0), "width"),
        (lambda: zoo.chain(n=40, n_groups=1, rng=0), "groups"),
        (lambda: zoo.chain(n=40, period=0.1, rng=0), "volleys"),
        (lambda: zoo.common_input(n=40, n_fans=20, rng=0), "fans"),
        (lambda: zoo.switching_drive(n=40, n_states=1, rng=0), "states"),
        (lambda: zoo.switching_drive(n=40, fraction=0.0, rng=0), "fraction"),
        (lambda: zoo.switching_coupling(n=40, contrast=2.0, rng=0), "contrast"),
        (lambda: zoo.switching_coupling(n=40, n_states=9, rng=0), "states"),
        (lambda: zoo.gain(n=40, depth=0.9, rng=0), "depth"),
        (lambda: zoo.ca3(n=40, overlap=0.9, rng=0), "overlap"),
        (lambda: zoo.ca3(n=40, n_assemblies=9, rng=0), "assemblies"),
        (lambda: zoo.ca3(n=40, cued=0.0, rng=0), "cued"),
        (lambda: zoo.ca3(n=40, period=0.1, rng=0), "between events"),
        (lambda: zoo.tuned(n=40, n_conditions=1, rng=0), "conditions"),
        (lambda: zoo.chain(n=40, epsp=float("nan"), rng=0), "EPSP"),
        (lambda: zoo.balanced(n=40, synapse="gap", rng=0), "synapse"),
        (lambda: zoo.assemblies(zoo.static(n=20, rng=0)), "ca3"),
    ],
)
def test_senseless_options_are_refused(build, match):
    with pytest.raises(OptionError, match=match):
        build()
