"""The drawn graph: degree statistics of every rule, weights and delays, and the size of a postsynaptic potential."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import chi2

from neurodata.errors import OptionError
from neurodata.simulate import (
    LIF,
    AdEx,
    AllToAll,
    Bernoulli,
    Circuit,
    ConductanceSynapses,
    Connection,
    CurrentSynapses,
    Delays,
    Explicit,
    FixedInDegree,
    Hub,
    OneToOne,
    Population,
    Ring,
    Weights,
)
from neurodata.simulate.neurons import jump_for_psp, psp_peak


def matrix(rule, n_pre=200, n_post=150, same=False, seed=0, **options) -> np.ndarray:
    """Number of synapses (post, pre) that a rule draws."""
    if same:
        circuit = Circuit((Population("A", n_pre),), (Connection("A", "A", rule, **options),), seed=seed)
        return circuit.network().matrix(np.ones(circuit.network().post.size))
    populations = (Population("A", n_pre), Population("B", n_post))
    network = Circuit(populations, (Connection("A", "B", rule, **options),), seed=seed).network()
    out = network.matrix(np.ones(network.post.size))
    assert not out[:n_pre].any()
    assert not out[:, n_pre:].any()
    return out[n_pre:, :n_pre]


@pytest.mark.statistical
@pytest.mark.parametrize("same", [True, False])
def test_bernoulli_is_binomial_and_even(same):
    totals, pairs = [], np.zeros((20, 20))
    for seed in range(400):
        edges = matrix(Bernoulli(0.15), 20, 20, same, seed)
        assert edges.max() <= 1
        totals.append(edges.sum())
        pairs += edges
    n_pairs = 380 if same else 400
    mean, variance = n_pairs * 0.15, n_pairs * 0.15 * 0.85
    assert np.mean(totals) == pytest.approx(mean, abs=4 * np.sqrt(variance / 400))
    assert np.var(totals) == pytest.approx(variance, rel=4 * np.sqrt(2 / 400))
    if same:
        assert np.trace(pairs) == 0
        pairs = pairs[~np.eye(20, dtype=bool)]
    # Every pair is as probable as any other: chi-square of the counts over 400 draws (4 sigma: p = 6e-5).
    statistic = ((pairs - 60.0) ** 2 / (400 * 0.15 * 0.85)).sum()
    assert chi2.sf(statistic, n_pairs) > 6e-5
    assert chi2.cdf(statistic, n_pairs) > 6e-5


def test_bernoulli_extremes():
    assert not matrix(Bernoulli(0.0), 10, 10, True).any()
    np.testing.assert_array_equal(matrix(Bernoulli(1.0), 10, 10, True), 1.0 - np.eye(10))
    assert matrix(Bernoulli(1.0), 4, 5).all()


@pytest.mark.statistical
@pytest.mark.parametrize("same", [True, False])
def test_fixed_in_degree_is_fixed_and_even(same):
    edges = matrix(FixedInDegree(12), 200, 150, same)
    assert edges.max() == 1
    assert (edges.sum(axis=1) == 12).all()
    if same:
        assert np.trace(edges) == 0
    # Out-degrees are binomial; the chi-square of 200 of them is within 4 sigma.
    out = edges.sum(axis=0)
    statistic = ((out - out.mean()) ** 2 / out.mean()).sum()
    assert abs(statistic - 199) < 4 * np.sqrt(2 * 199)


def test_all_to_all_and_one_to_one():
    np.testing.assert_array_equal(matrix(AllToAll(), 7, 7, True), 1.0 - np.eye(7))
    assert matrix(AllToAll(), 4, 5).all()
    np.testing.assert_array_equal(matrix(OneToOne(), 6, 6), np.eye(6))


@pytest.mark.statistical
@pytest.mark.parametrize("offset", [0.0, 0.25])
def test_ring_probability_falls_with_distance(offset):
    n, rule = 60, Ring(0.7, 0.08, offset)
    count = sum(matrix(rule, n, n, True, seed) for seed in range(100)) / 100
    # At the middle of a ring lag, by hand: the gap in turns from pre to post, less the offset, folded to 0..0.5.
    for lag in (1, 3, 10, 15, 16, 30, 55):
        gap = abs((lag / n - offset + 0.5) % 1.0 - 0.5)
        expected = 0.7 * np.exp(-(gap**2) / (2 * 0.08**2))
        found = np.mean([count[(i + lag) % n, i] for i in range(n)])
        assert found == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / 6000) + 1e-4)


@pytest.mark.statistical
def test_hub_out_degrees_spread_and_mean():
    edges = np.concatenate([matrix(Hub(0.05, 0.7), 400, 400, seed=s) for s in range(3)], axis=1)
    out = edges.sum(axis=0)
    assert edges.mean() == pytest.approx(0.05, rel=0.08)
    # Log-normal strengths of sd 0.7 through a binomial of mean 20: variance mean + mean^2 (exp(0.49) - 1).
    assert out.var() == pytest.approx(20 + 400 * (np.exp(0.49) - 1), rel=0.35)
    assert matrix(Hub(0.05, 0.0), 400, 400).sum(axis=0).var() == pytest.approx(19.0, rel=4 * np.sqrt(2 / 400))


@pytest.mark.statistical
def test_weights_are_lognormal_and_delays_uniform():
    circuit = Circuit(
        (Population("E", 200), Population("I", 200, sign=-1)),
        (
            Connection("E", "I", Bernoulli(0.5), Weights(0.24, 0.6), Delays(0.001, 0.004)),
            Connection("I", "E", Bernoulli(0.5), Weights(1.0, 0.0), 0.002),
        ),
    )
    network = circuit.network()
    excitatory = network.source < 200
    log = np.log(network.psp[excitatory])
    n = log.size
    assert log.mean() == pytest.approx(np.log(0.24), abs=4 * 0.6 / np.sqrt(n))
    assert log.std() == pytest.approx(0.6, rel=4 / np.sqrt(2 * n))
    assert (network.psp[~excitatory] == -1.0).all()
    assert (network.inhibitory == ~excitatory).all()
    assert (network.delay[~excitatory] == 20).all()
    delay = network.delay[excitatory] * 1e-4
    assert delay.mean() == pytest.approx(0.0025, abs=4 * 0.00087 / np.sqrt(n))
    assert delay.std() == pytest.approx(0.003 / np.sqrt(12), rel=0.03)
    # Jumps follow from the PSP by the closed form, 0.15749 mV per mV at 20 and 5 ms.
    np.testing.assert_allclose(network.psp, 0.15749013123685915 * network.jump, rtol=1e-9)


def test_rows_are_sorted_by_source_then_arrival():
    network = Circuit(
        (Population("E", 50),), (Connection("E", "E", Bernoulli(0.3), 0.2, Delays(0.001, 0.01)),)
    ).network()
    assert (np.diff(network.source) >= 0).all()
    for i in range(50):
        row = network.delay[network.first[i] : network.first[i + 1]]
        assert (np.diff(row) >= 0).all()
    assert network.first[-1] == network.post.size


def test_a_connection_more_leaves_the_others_as_they_are():
    first = Connection("A", "A", Bernoulli(0.3), Weights(0.2, 0.5))
    one = Circuit((Population("A", 30), Population("B", 5)), (first,), seed=4)
    two = one.replace(connections=(first, Connection("B", "A", AllToAll())))
    a, b = one.network(), two.network()
    np.testing.assert_array_equal(a.weight_matrix()[:, :30], b.weight_matrix()[:, :30])
    assert one.replace(seed=5).network().weight_matrix().tolist() != a.weight_matrix().tolist()


def test_several_synapses_of_a_pair_add_up():
    edges = Explicit([0, 0, 1], [1, 1, 0], [0.2, 0.3, 0.1], [0.001, 0.002, 0.001])
    weight = Circuit((Population("A", 2),), (Connection("A", "A", edges),)).network().weight_matrix()
    np.testing.assert_allclose(weight, [[0.0, 0.1], [0.5, 0.0]])


@pytest.mark.parametrize(
    ("circuit", "match"),
    [
        (Circuit((Population("A", 3),), (Connection("A", "A", FixedInDegree(3)),)), "in-degree of at most 2"),
        (Circuit((Population("A", 3),), (Connection("A", "A", OneToOne()),)), "different populations"),
        (
            Circuit((Population("A", 3), Population("B", 2)), (Connection("A", "B", OneToOne()),)),
            "one size",
        ),
        (Circuit((Population("A", 2),), (Connection("A", "A", Explicit([0], [2], [0.1], [0.001])),)), "0 to 1"),
        (Circuit((Population("A", 2),), (Connection("A", "A", Explicit([-1], [1], [0.1], [0.001])),)), "0 to 1"),
        (
            Circuit((Population("A", 2),), (Connection("A", "A", Explicit([0], [1], [-0.1], [0.001])),)),
            "Dale",
        ),
        (Circuit((Population("A", 2, sign=0),), (Connection("A", "A", AllToAll()),)), "sign"),
        (
            Circuit((Population("A", 2, synapses=ConductanceSynapses()),), (Connection("A", "A", AllToAll(), 60.0),)),
            "reversal",
        ),
    ],
)
def test_graphs_that_cannot_be_drawn_are_refused(circuit, match):
    with pytest.raises(OptionError, match=match):
        circuit.network()


def integrated_peak(jump: float, excitatory: bool, neuron, synapses) -> float:
    """Largest deflection from rest by a general-purpose integrator: volts, amperes and so on do not enter."""
    tau = synapses.tau_e if excitatory else synapses.tau_i
    rest, leak = neuron.v_rest, neuron.capacitance * 1e-3 / neuron.tau_m

    def slope(t, v):
        if isinstance(synapses, CurrentSynapses):
            return (rest - v + jump * np.exp(-t / tau)) / neuron.tau_m
        reversal = synapses.e_e if excitatory else synapses.e_i
        g = jump * np.exp(-t / tau)
        return (leak * (rest - v) + g * (reversal - v)) / (neuron.capacitance * 1e-3)

    end = 6 * max(tau, neuron.tau_m)
    solved = solve_ivp(slope, (0.0, end), [rest], rtol=1e-9, atol=1e-10, dense_output=True, max_step=tau / 5)
    deflection = solved.sol(np.linspace(0.0, end, 20_001))[0] - rest
    return float(deflection[np.abs(deflection).argmax()])


@pytest.mark.parametrize("tau_s", [0.002, 0.005, 0.020, 0.050])
@pytest.mark.parametrize("jump", [1.5, -6.0])
def test_current_psp_peak_is_that_of_an_integrator(jump, tau_s):
    neuron, synapses = LIF(tau_m=0.020), CurrentSynapses(tau_s, tau_s)
    found = float(psp_peak(np.array(jump), jump > 0, neuron, synapses))
    assert found == pytest.approx(integrated_peak(jump, jump > 0, neuron, synapses), rel=1e-5)


@pytest.mark.parametrize("neuron", [LIF(), AdEx(tau_m=0.010, v_rest=-65.0)])
@pytest.mark.parametrize("excitatory", [True, False])
@pytest.mark.parametrize("jump", [0.1, 2.0, 40.0])
def test_conductance_psp_peak_is_that_of_an_integrator(neuron, excitatory, jump):
    synapses = ConductanceSynapses()
    found = float(psp_peak(np.array(jump), excitatory, neuron, synapses))
    assert (found > 0) == excitatory
    # The integration inside has 200 steps per time constant, second order: 1e-4.
    assert found == pytest.approx(integrated_peak(jump, excitatory, neuron, synapses), rel=2e-4)


@pytest.mark.parametrize("synapses", [CurrentSynapses(), ConductanceSynapses()])
@pytest.mark.parametrize("excitatory", [True, False])
def test_jump_for_psp_is_the_inverse(synapses, excitatory):
    psp = np.array([0.0, 0.01, 0.24, 1.0, 3.0]) * (1 if excitatory else -1)
    jump = jump_for_psp(psp, excitatory, LIF(), synapses)
    np.testing.assert_allclose(psp_peak(jump, excitatory, LIF(), synapses), psp, rtol=1e-3, atol=1e-9)
    if isinstance(synapses, ConductanceSynapses):
        assert (jump >= 0).all()


def test_jump_units_give_the_psp_of_the_postsynaptic_neuron():
    """Two populations of different membranes get the same jump and different potentials."""
    circuit = Circuit(
        (
            Population("A", 1),
            Population("B", 1, neuron=LIF(tau_m=0.040)),
            Population("C", 1, synapses=ConductanceSynapses()),
        ),
        tuple(Connection("A", post, AllToAll(), Weights(2.0, unit="jump"), 0.001) for post in "BC"),
    )
    weight = circuit.network().weight_matrix()[:, 0]
    assert weight[1] == pytest.approx(integrated_peak(2.0, True, LIF(tau_m=0.040), CurrentSynapses()), rel=1e-5)
    assert weight[2] == pytest.approx(integrated_peak(2.0, True, LIF(), ConductanceSynapses()), rel=2e-4)
