"""Single neurons of the embedded engine against theory: firing rates, subthreshold noise, the size of potentials."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import erfcx

from neurodata.simulate import LIF, OU, Circuit, CurrentSynapses, PoissonInput, Population, run


def siegert_rate(mean: float, sd: float, neuron: LIF, dt: float) -> float:
    """Rate (Hz) of an LIF neuron with white noise (Siegert 1951, doi 10.1103/PhysRev.81.617; Brunel and Hakim 1999,
    doi 10.1162/089976699300016179, eq. 3.22); `sd` is that of the free membrane potential.

    The boundaries are shifted by 0.5826 standard deviations of one step's noise, the continuity correction for a
    barrier that is watched only once per step (Broadie, Glasserman and Kou 1997, doi 10.1111/1467-9965.00035).
    """
    sigma = sd * np.sqrt(2.0)
    shift = 0.5826 * sigma * np.sqrt(dt / neuron.tau_m)
    low = (neuron.v_reset - neuron.v_rest - mean) / sigma
    high = (neuron.v_threshold + shift - neuron.v_rest - mean) / sigma
    integral, _ = quad(lambda x: erfcx(-x), low, high)
    return 1.0 / (neuron.refractory + neuron.tau_m * np.sqrt(np.pi) * integral)


@pytest.mark.statistical
@pytest.mark.parametrize(("mean", "sd"), [(18.0, 3.5), (14.0, 5.0), (22.0, 2.0)])
def test_rate_with_white_noise_is_that_of_theory(mean, sd):
    neuron = LIF()
    circuit = Circuit((Population("E", 400, neuron=neuron, bias=mean, noise=OU(sd)),))
    rec = run(circuit, 20.0, rng=1)
    time = rec["spikes"]["spike_time"].values
    rate = (time > 1.0).sum() / (400 * 19.0)
    expected = siegert_rate(mean, sd, neuron, circuit.dt)
    # A renewal process with CV < 1: the count of 7600 neuron-seconds has a relative error below 1 / sqrt(rate * 7600).
    assert rate == pytest.approx(expected, rel=0.01 + 3.0 / np.sqrt(expected * 7600))


@pytest.mark.statistical
@pytest.mark.parametrize("tau", [0.0, 0.05])
def test_free_membrane_has_the_stated_noise(tau):
    """Voltages are not recorded, so the state of the kernel is looked at directly; nothing reaches the threshold."""
    from neurodata.simulate.engine_numba import Ready
    from neurodata.simulate.run import draw_inputs

    neuron = LIF(v_threshold=1000.0, v_reset=-71.0)
    circuit = Circuit((Population("E", 4000, neuron=neuron, bias=5.0, noise=OU(3.5, tau)),))
    network = circuit.network()
    rng = np.random.default_rng(3)
    ready = Ready(circuit, network, draw_inputs(circuit, network, 100, rng), 5000, rng)
    ready.state.v[:] = -65.0
    ready.advance(5000)
    state = ready.state
    assert ready.spike_step.size == 0
    # 4000 independent values: the sd of a sample sd is sd / sqrt(2 n) = 0.039, the mean's 0.055.
    assert state.v.std() == pytest.approx(3.5, abs=4 * 0.039)
    assert state.v.mean() == pytest.approx(-65.0, abs=4 * 0.055)


@pytest.mark.statistical
def test_poisson_background_has_the_mean_of_campbell():
    """Mean input = rate x area of one potential; the area of a PSP is jump x tau_s (in mV s, over tau_m: mV)."""
    neuron, synapses = LIF(), CurrentSynapses()
    background = PoissonInput(rate=10.0, psp=0.2, n=200)
    driven = Circuit((Population("E", 300, neuron=neuron, synapses=synapses, background=(background,)),))
    jump = 0.2 / 0.15749013123685915  # 20 ms and 5 ms: the peak of a unit jump, by the closed form
    # Currents are read right after the arrivals of a step, where they are highest within it.
    sampled = (1e-4 / synapses.tau_e) / -np.expm1(-1e-4 / synapses.tau_e)
    mean = background.rate * background.n * jump * synapses.tau_e * sampled
    rec = run(driven, 5.0, rng=0)
    current = rec["truth"]["current_e"].values[500:, 0] / 300
    # Shot noise: variance rate n jump^2 tau_s / 2 per neuron, correlated over tau_s; 4.5 s x 300 neurons.
    sd = np.sqrt(background.rate * background.n * jump**2 * synapses.tau_e / 2)
    error = sd * np.sqrt(2 * synapses.tau_e / (4.5 * 300))
    assert current.mean() == pytest.approx(mean, abs=4 * error)
