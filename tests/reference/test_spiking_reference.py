"""The embedded engine against a plain loop over neurons, with a dictionary of arrivals and matrix exponentials."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

from neurodata.kernels import spiking_nb as nb
from neurodata.simulate import (
    LIF,
    OU,
    STDP,
    AdEx,
    AllToAll,
    Circuit,
    ConductanceSynapses,
    Connection,
    CurrentSynapses,
    Explicit,
    Latent,
    PoissonInput,
    Population,
    States,
    Stimulus,
    run,
)
from neurodata.simulate.activity import starting_voltage
from neurodata.simulate.engine_numba import Ready
from neurodata.simulate.run import draw_inputs

DT = 1e-4


def plain(circuit: Circuit, n_steps: int, seed: int):
    """Spikes as (step, neuron), in order, and the synaptic variables of every step summed over neurons; no noise."""
    network = circuit.network()
    slow_rng, fast_rng = np.random.default_rng(seed).spawn(2)
    frame_steps = round(circuit.frame / circuit.dt)
    inputs = draw_inputs(circuit, network, -(-n_steps // frame_steps), slow_rng)
    v = starting_voltage(circuit, fast_rng)
    cells = [p for p in circuit.populations for _ in range(p.n)]
    n, dt = len(cells), circuit.dt
    g, adapt, until = np.zeros((n, 2)), np.zeros(n), np.full(n, -1)
    out = defaultdict(list)
    for e, source in enumerate(network.source):
        out[source].append((network.post[e], network.inhibitory[e], network.jump[e], network.delay[e]))
    arrivals = defaultdict(list)
    spikes, sums = [], []
    for step in range(n_steps):
        frame = step // frame_steps
        z = inputs.state[frame]
        for i, receptor, jump in arrivals.pop(step, ()):
            g[i, receptor] += jump
        sums.append(g.sum(axis=0))
        fired = []
        for i, cell in enumerate(cells):
            neuron, synapses = cell.neuron, cell.synapses
            gain = inputs.state_gain[z, i]
            drive = network.bias[i] + inputs.state_drive[z, i] + inputs.signal[frame] @ inputs.loading[:, i]
            free = neuron.v_rest + gain * drive
            taus = (neuron.tau_m, synapses.tau_e, synapses.tau_i)
            conductance = isinstance(synapses, ConductanceSynapses)
            if isinstance(neuron, AdEx):
                new, adapt[i] = adex_step(neuron, synapses, v[i], gain * g[i], adapt[i], free, dt)
            elif conductance:
                mean = gain * g[i] * mean_decay(synapses, dt)
                new = relax(v[i], neuron, free, mean, synapses, dt)
            else:
                system = np.diag(-1.0 / np.array(taus))
                system[0, 1:] = gain / neuron.tau_m
                new = free + (expm(system * dt) @ np.array([v[i] - free, *g[i]]))[0]
            g[i] *= np.exp(-dt / np.array(taus[1:]))
            v[i] = neuron.v_reset if until[i] >= step else new
            if v[i] >= neuron.v_spike:
                v[i] = neuron.v_reset
                until[i] = step + round(neuron.refractory / dt)
                fired.append(i)
                if isinstance(neuron, AdEx):
                    adapt[i] += neuron.b / neuron.leak
        for i in fired:
            spikes.append((step, i))
            for post, receptor, jump, delay in out[i]:
                factor = inputs.coupling[z, inputs.block[post], inputs.block[i]]
                arrivals[step + 1 + delay].append((post, receptor, jump * factor))
    return spikes, np.array(sums)


def mean_decay(synapses, dt: float) -> np.ndarray:
    """Mean of exp(-t / tau) over one step, by quadrature."""
    node, weight = np.polynomial.legendre.leggauss(5)
    taus = np.array([synapses.tau_e, synapses.tau_i])
    return (np.exp(-0.5 * (node[:, None] + 1.0) * dt / taus) * 0.5 * weight[:, None]).sum(axis=0)


def relax(v: float, neuron, free: float, mean: np.ndarray, synapses, dt: float) -> float:
    """Membrane with conductances held over a step (nS, pA, pF, ms)."""
    leak = neuron.capacitance / (neuron.tau_m * 1e3)
    total = leak + mean.sum()
    target = (leak * free + mean @ np.array([synapses.e_e, synapses.e_i])) / total
    return target + (v - target) * np.exp(-dt * 1e3 * total / neuron.capacitance)


def adex_step(neuron, synapses, v: float, g: np.ndarray, w: float, free: float, dt: float) -> tuple[float, float]:
    """Midpoint rule: a half step gives the voltage at which the exponential and the adaptation are taken."""

    def move(upto: float, at: float, adapt: float) -> float:
        up = neuron.delta * np.exp(min((at - neuron.v_threshold) / neuron.delta, 30.0))
        if isinstance(synapses, ConductanceSynapses):
            return relax(v, neuron, free + up - adapt, g * mean_decay(synapses, dt), synapses, upto)
        system = np.diag([-1.0 / neuron.tau_m, -1.0 / synapses.tau_e, -1.0 / synapses.tau_i])
        system[0, 1:] = 1.0 / neuron.tau_m
        kick = (expm(system * dt) @ np.array([0.0, *g]))[0] * upto / dt
        held = free + up - adapt
        return held + (v - held) * np.exp(-upto / neuron.tau_m) + kick

    middle = min(move(dt / 2, v, w), neuron.v_spike)
    pull = neuron.a / neuron.leak * (middle - neuron.v_rest)
    later = pull + (w - pull) * np.exp(-dt / neuron.tau_w)
    return move(dt, middle, 0.5 * (w + later)), later


def ready_for(circuit: Circuit, n_steps: int, seed: int, **options) -> Ready:
    network = circuit.network()
    slow_rng, fast_rng = np.random.default_rng(seed).spawn(2)
    inputs = draw_inputs(circuit, network, -(-n_steps // round(circuit.frame / circuit.dt)), slow_rng)
    return Ready(circuit, network, inputs, n_steps, fast_rng, **options)


def small(neuron=None, synapses=None, bias: float = 22.0, strength: float = 1.5, n: int = 7, **fields) -> Circuit:
    """Neurons above threshold, both signs, delays of 1 step to 9 ms, also in two populations of different kinds."""
    rng = np.random.default_rng(2)
    weight = strength * rng.choice([-0.6, 1.0], (n, n)) * rng.uniform(0.3, 1.0, (n, n)) * (rng.random((n, n)) < 0.6)
    np.fill_diagonal(weight, 0.0)
    return Circuit.from_arrays(
        weight, rng.choice([1, 2, 3, 17, 90], (n, n)) * DT, neuron=neuron or LIF(), bias=bias + np.arange(n),
        synapses=synapses or CurrentSynapses(0.004, 0.009), noise=None, dale=False, **fields,
    )  # fmt: skip


STATES = {
    "gain": States(2, (0.02, 0.05), gain=np.random.default_rng(3).uniform(0.6, 1.6, (2, 7))),
    "drive": States(2, (0.02, 0.05), drive=np.random.default_rng(3).normal(0.0, 5.0, (2, 7))),
    "coupling": States(
        2, (0.02, 0.05), coupling=np.array([[[1.0, 0.0], [3.0, 1.0]], [[2.0, 1.5], [0.0, 1.0]]]),
        block=np.array([0, 1, 0, 1, 1, 0, 0]),
    ),
}  # fmt: skip
ADEX = AdEx(v_reset=-58.0, b=40.0, a=4.0, tau_w=0.05)
CASES = {
    "lif-current": small(),
    "lif-equal-time-constants": small(LIF(tau_m=0.004, refractory=0.0), bias=24.0),
    "lif-conductance": small(synapses=ConductanceSynapses()),
    "adex-current": small(ADEX, bias=30.0),
    "adex-conductance": small(ADEX, ConductanceSynapses(), bias=30.0),
    "gain-current": small(states=STATES["gain"]),
    "gain-conductance": small(synapses=ConductanceSynapses(), states=STATES["gain"]),
    "gain-adex": small(ADEX, bias=30.0, states=STATES["gain"]),
    "drive": small(states=STATES["drive"]),
    "coupling": small(states=STATES["coupling"]),
    "slow": small(
        latents=(Latent(0.02, np.arange(7.0)),),
        stimuli=(Stimulus((0.03, 0.05), 0.02, np.full((2, 7), 6.0), condition=(1, 0)),),
    ),
    "kinds-mixed": Circuit(
        (
            Population("A", 3, neuron=ADEX, bias=33.0),
            Population("B", 2, sign=-1, bias=24.0, synapses=ConductanceSynapses(), neuron=LIF(refractory=0.0043)),
            Population("C", 2, bias=26.0, neuron=LIF(v_reset=-65.0)),
        ),
        tuple(Connection(a, b, AllToAll(), 1.0 if a != "B" else 0.5) for a in "ABC" for b in "ABC"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_spikes_are_those_of_a_plain_loop(case):
    circuit, n_steps = CASES[case], 1000
    expected, sums = plain(circuit, n_steps, seed=4)
    ready = ready_for(circuit, n_steps, seed=4)
    ready.advance(n_steps)
    assert len(expected) > 15
    assert list(zip(ready.spike_step.tolist(), ready.spike_neuron.tolist(), strict=True)) == expected
    if all(isinstance(p.synapses, CurrentSynapses) for p in circuit.populations):
        np.testing.assert_allclose(ready.currents.e.sum(axis=1), sums[9::10, 0], rtol=1e-9)
        np.testing.assert_allclose(ready.currents.i.sum(axis=1), sums[9::10, 1], rtol=1e-9)


def test_volleys_outgrow_every_buffer_and_nothing_is_lost():
    """Forty neurons, each to each with delays of 1 to 8 steps, fire almost together and often."""
    rng = np.random.default_rng(0)
    n = 40
    weight = 0.02 * (1.0 - np.eye(n))
    circuit = Circuit.from_arrays(
        weight,
        rng.integers(1, 9, (n, n)) * DT,
        neuron=LIF(refractory=0.0),
        bias=np.linspace(300.0, 400.0, n),
        noise=None,
    )
    expected, sums = plain(circuit, 250, seed=0)
    ready = ready_for(circuit, 250, seed=0, room=1)
    chunks = ready.queue.after.size
    ready.advance(250)
    assert ready.queue.after.size > chunks
    assert len(expected) > 4 * n
    assert list(zip(ready.spike_step.tolist(), ready.spike_neuron.tolist(), strict=True)) == expected
    np.testing.assert_allclose(ready.currents.e[:, 0], sums[9::10, 0], rtol=1e-9)


def test_a_spike_in_every_step_is_counted():
    """Without refractoriness a hundred times the threshold's drive fires every neuron in every step but the first."""
    circuit = Circuit((Population("E", 3, neuron=LIF(refractory=0.0), bias=1e5),))
    rec = run(circuit, 0.5, rng=0, max_rate=np.inf)
    assert rec["spikes"]["spike_count"].values.tolist() == [5000, 5000, 5000]
    refractory = Circuit((Population("E", 3, neuron=LIF(refractory=0.0009), bias=1e5),))
    rec = run(refractory, 0.5, rng=0, max_rate=np.inf)
    assert rec["spikes"]["spike_count"].values.tolist() == [500, 500, 500]


@pytest.mark.parametrize("case", ["lif-current", "adex-conductance", "coupling"])
def test_compiled_kernel_is_the_python_code(case):
    """The main loop in plain Python, over the compiled pieces, with noise and background, from the same stream."""
    circuit = CASES[case]
    populations = tuple(
        Population(
            p.name, p.n, sign=p.sign, neuron=p.neuron, synapses=p.synapses, bias=p.bias, noise=OU(2.0, tau),
            background=(PoissonInput(20.0, 0.3, 20),),
        )
        for p, tau in zip(circuit.populations, [0.0, 0.01] * len(circuit.populations), strict=False)
    )  # fmt: skip
    circuit = circuit.replace(populations=populations)
    compiled, python = (ready_for(circuit, 300, seed=1, room=1) for _ in range(2))
    compiled.advance(300)
    _, spikes = nb.advance.py_func(
        0, 300, python.dt, python.state, python.cells, python.edges, python.slow, python.plastic, python.background,
        python.queue, python.spikes, python.currents, python.rng,
    )  # fmt: skip
    total = int(spikes.total[0])
    assert total > 3
    assert spikes.step[:total].tolist() == compiled.spike_step.tolist()
    assert spikes.source[:total].tolist() == compiled.spike_neuron.tolist()
    assert python.state.v.tolist() == compiled.state.v.tolist()


def test_exponential_by_products():
    x = np.concatenate((np.linspace(0.0, 4.0, 4001), np.logspace(-12, 0, 200)))
    ours = np.array([nb._exp_minus(value) for value in x])
    assert np.abs(ours / np.exp(-x) - 1.0).max() < 1e-12
    far = np.linspace(4.0, 30.0, 500)
    ours = np.array([nb._exp_minus(value) for value in far])
    assert np.abs(ours - np.exp(-far)).max() < 1e-12
    assert nb._exp_minus(1e6) == nb._exp_minus(30.0) > 0.0


def test_adex_follows_the_differential_equation():
    """Against an adaptive solver with event detection; a spike is called up to one step late, and each adds its own."""
    neuron = ADEX
    circuit = Circuit((Population("E", 1, neuron=neuron, bias=32.0),))
    ours = run(circuit, 0.4, rng=1)["spikes"]["spike_time"].values
    v = starting_voltage(circuit, np.random.default_rng(1).spawn(2)[1])[0]

    def slope(t, y):
        up = neuron.delta * np.exp((y[0] - neuron.v_threshold) / neuron.delta)
        return [
            (neuron.v_rest - y[0] + up - y[1] + 32.0) / neuron.tau_m,
            (neuron.a / neuron.leak * (y[0] - neuron.v_rest) - y[1]) / neuron.tau_w,
        ]

    def peak(t, y):
        return y[0] - neuron.v_spike

    peak.terminal = True
    t, y, exact = 0.0, [v, 0.0], []
    while t < 0.4:
        part = solve_ivp(slope, (t, 0.4), y, events=peak, rtol=1e-9, atol=1e-9, max_step=1e-3)
        if part.status != 1:
            break
        exact.append(part.t[-1])
        pull = neuron.a / neuron.leak * (neuron.v_reset - neuron.v_rest)
        w = pull + (part.y[1, -1] + neuron.b / neuron.leak - pull) * np.exp(-neuron.refractory / neuron.tau_w)
        t, y = part.t[-1] + neuron.refractory, [neuron.v_reset, w]
    assert len(exact) == ours.size > 5
    late = (ours - exact) / DT / (np.arange(ours.size) + 1)
    assert late.min() > 0.0
    assert late.max() < 2.0


def _all_pairs(circuit: Circuit, times: list[np.ndarray]) -> dict[tuple[int, int], float]:
    """Weights (jump) after all pairs of spikes, for weights that never meet a bound; spikes of one step do not pair."""
    network, rule = circuit.network(), circuit.plasticity
    assert rule is not None
    largest = rule.w_max / 0.15749013123685915  # PSP peak of a unit jump, 20 and 5 ms
    out = {}
    for e, (i, j) in enumerate(zip(network.source, network.post, strict=True)):
        gap = times[j][:, None] - times[i][None, :]
        after, before = gap[gap > DT / 2], -gap[gap < -DT / 2]
        change = (
            rule.a_plus * np.exp(-after / rule.tau_plus).sum() - rule.a_minus * np.exp(-before / rule.tau_minus).sum()
        )
        out[int(i), int(j)] = network.jump[e] + largest * change
    return out


def test_stdp_is_the_sum_over_all_pairs():
    rule = STDP(a_plus=0.002, a_minus=0.0015, tau_plus=0.015, tau_minus=0.03, w_max=1.0, snapshot=0.25)
    circuit = Circuit(
        (Population("E", 5, bias=21.0 + np.arange(5), noise=OU(2.0)),),
        (Connection("E", "E", AllToAll(), 0.5, 0.0015, plastic=True),),
        plasticity=rule,
    )
    ready = ready_for(circuit, 5000, seed=3)
    ready.advance(5000)
    times = [(ready.spike_step[ready.spike_neuron == i] + 1) * DT for i in range(5)]
    assert min(t.size for t in times) > 5
    network = circuit.network()
    got = {(int(i), int(j)): w for i, j, w in zip(network.source, network.post, ready.edges.jump, strict=True)}
    expected = _all_pairs(circuit, times)
    assert max(abs(w / network.jump[0] - 1.0) for w in expected.values()) > 0.02
    assert got == pytest.approx(expected, rel=1e-10)


def test_stdp_stays_within_its_bounds():
    grows = Circuit(
        (Population("A", 1, bias=40.0), Population("B", 1, bias=40.5)),
        (Connection("A", "B", AllToAll(), 0.9, plastic=True), Connection("B", "A", AllToAll(), 0.1, plastic=True)),
        plasticity=STDP(a_plus=0.5, a_minus=0.0, w_max=1.0, snapshot=0.1),
    )
    weight = run(grows, 0.5, rng=0)["truth"]["weight_t"].values
    assert weight[-1].max() == pytest.approx(1.0)
    shrinks = grows.replace(plasticity=STDP(a_plus=0.0, a_minus=0.5, w_max=1.0, snapshot=0.1))
    assert run(shrinks, 0.5, rng=0)["truth"]["weight_t"].values[-1].max() == 0.0


def test_homeostasis_scales_weights_by_the_low_passed_rate():
    rule = STDP(0.0, 0.0, w_max=5.0, tau_homeostasis=2.0, target_rate=20.0, snapshot=1.0)
    circuit = Circuit(
        (Population("E", 3, bias=np.array([21.0, 25.0, 30.0])),),
        (Connection("E", "E", AllToAll(), 0.3, plastic=True),),
        plasticity=rule,
    )
    ready = ready_for(circuit, 10_000, seed=0)
    ready.advance(10_000)
    frame = circuit.frame
    factor = np.ones(3)
    for j in range(3):
        rate = rule.target_rate
        steps = ready.spike_step[ready.spike_neuron == j]
        for f in range(1, 200):  # frame f begins by scaling with what frame f - 1 held
            number = ((steps >= (f - 1) * 50) & (steps < f * 50)).sum()
            rate += (1.0 - np.exp(-frame / 1.0)) * (number / frame - rate)
            factor[j] *= np.exp(frame / rule.tau_homeostasis * (1.0 - rate / rule.target_rate))
    network = circuit.network()
    np.testing.assert_allclose(ready.edges.jump, network.jump * factor[network.post], rtol=1e-10)
    assert factor.max() / factor.min() > 1.2


def test_explicit_edges_keep_their_delays():
    circuit = Circuit(
        (Population("A", 1, bias=40.0), Population("B", 2, sign=0, bias=19.9, neuron=LIF(v_reset=-50.3))),
        (Connection("A", "B", Explicit([0, 0], [0, 1], [70.0, 70.0], [0.0007, 0.0123])),),
    )
    ready = ready_for(circuit, 400, seed=0)
    ready.advance(400)
    first = [ready.spike_step[ready.spike_neuron == i][0] for i in range(3)]
    assert first[1] - first[0] <= 8
    assert first[2] - first[0] <= 124
