"""Time steps of a network of integrate-and-fire neurons, in Numba.

Linear parts are propagated exactly over a step (Rotter and Diesmann 1999, doi 10.1007/s004220050570). Neurons are taken
in blocks that stay in the first-level cache, in plain loops over few arrays, which the compiler turns into vector
instructions.
A spike that ends step k with a delay of d steps arrives at the start of step k + 1 + d.

The ring buffer is flat, [slot, receptor, neuron]; `offset` of an edge is (delay, receptor, target) in it.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

BLOCK = 256

# Columns of the table of parameters, one row per population.
(
    LEAK, SYN_E, SYN_I, DECAY_E, DECAY_I, SPIKE, RESET, REFRACTORY, REST, REVERSAL_E, REVERSAL_I, STEP_OVER_TAU,
    PER_LEAK, NOISE_WHITE, NOISE_DECAY, NOISE_STEP, DELTA, THRESHOLD, ADAPT_A, ADAPT_B, ADAPT_DECAY, N_PARAMETERS,
) = range(22)  # fmt: skip

LIF_CURRENT, LIF_CONDUCTANCE, ADEX_CURRENT, ADEX_CONDUCTANCE = range(4)


class State(NamedTuple):
    """Variables of the neurons; changed in place.

    `v` mV; `g_e`, `g_i` synaptic input (mV) or conductance (nS); `adapt` mV; `noise` mV; `until` last step of
    refractoriness; `ring` arrivals to come; `free` the membrane potential that the slow input alone would hold.
    """

    v: np.ndarray
    g_e: np.ndarray
    g_i: np.ndarray
    adapt: np.ndarray
    noise: np.ndarray
    until: np.ndarray
    ring: np.ndarray
    free: np.ndarray
    gain: np.ndarray
    modulator: np.ndarray
    frame_spikes: np.ndarray


class Edges(NamedTuple):
    """Edges by source: `first` (neuron + 1), `offset`, `post`, `jump`."""

    first: np.ndarray
    offset: np.ndarray
    post: np.ndarray
    jump: np.ndarray


class Slow(NamedTuple):
    """Slow inputs by frame, as in `simulate.inputs`; `modulator` is (on, tau, target rate, drive, plasticity)."""

    steps: int
    state: np.ndarray
    signal: np.ndarray
    loading: np.ndarray
    bias: np.ndarray
    state_drive: np.ndarray
    state_gain: np.ndarray
    coupling: np.ndarray
    block: np.ndarray
    has_gain: bool
    has_coupling: bool
    modulator: np.ndarray


class Plastic(NamedTuple):
    """Plastic edges and their traces.

    `rule`: (on, a_plus, a_minus, tau_plus, tau_minus, 1/tau_homeostasis, target rate), times in steps, a_* as shares of
    the largest jump; `plastic` (edge), `source` (edge), `in_first` (neuron + 1), `in_edge` plastic edges by target.
    """

    rule: np.ndarray
    plastic: np.ndarray
    source: np.ndarray
    in_first: np.ndarray
    in_edge: np.ndarray
    largest: np.ndarray
    pre: np.ndarray
    post: np.ndarray
    last: np.ndarray
    rate: np.ndarray
    counted: np.ndarray


@numba.njit(cache=True, error_model="numpy", inline="always")
def _exp_minus(x):
    """exp(-x) for 0 <= x <= 30 by arithmetic alone, so that loops over it vectorise; accurate to 1e-12 up to x = 4."""
    y = -min(x, 30.0) * 0.0625
    p = 1.0 + y / 11.0
    p = 1.0 + y / 10.0 * p
    p = 1.0 + y / 9.0 * p
    p = 1.0 + y / 8.0 * p
    p = 1.0 + y / 7.0 * p
    p = 1.0 + y / 6.0 * p
    p = 1.0 + y / 5.0 * p
    p = 1.0 + y / 4.0 * p
    p = 1.0 + y / 3.0 * p
    p = 1.0 + y / 2.0 * p
    p = 1.0 + y * p
    p = p * p
    p = p * p
    p = p * p
    return p * p


@numba.njit(cache=True, error_model="numpy")
def _arrive(g, arriving, decay):
    """Decay over the last step, then add what arrives now; the slot is emptied."""
    for i in range(g.size):
        g[i] = g[i] * decay + arriving[i]
        arriving[i] = 0.0


@numba.njit(cache=True, error_model="numpy")
def _lif_current(v, g_e, g_i, free, until, step, leak, syn_e, syn_i, reset):
    for i in range(v.size):
        new = leak * v[i] + (1.0 - leak) * free[i] + (syn_e * g_e[i] + syn_i * g_i[i])
        v[i] = reset if until[i] >= step else new


@numba.njit(cache=True, error_model="numpy")
def _lif_current_gain(v, g_e, g_i, free, gain, until, step, leak, syn_e, syn_i, reset):
    for i in range(v.size):
        new = leak * v[i] + (1.0 - leak) * free[i] + gain[i] * (syn_e * g_e[i] + syn_i * g_i[i])
        v[i] = reset if until[i] >= step else new


@numba.njit(cache=True, error_model="numpy")
def _lif_conductance(v, g_e, g_i, free, until, step, step_over_tau, per_leak_e, per_leak_i, e_e, e_i, reset):
    for i in range(v.size):
        a, b = per_leak_e * g_e[i], per_leak_i * g_i[i]
        total = 1.0 + a + b
        target = (free[i] + a * e_e + b * e_i) / total
        new = target + (v[i] - target) * _exp_minus(step_over_tau * total)
        v[i] = reset if until[i] >= step else new


@numba.njit(cache=True, error_model="numpy")
def _lif_conductance_gain(v, g_e, g_i, free, gain, until, step, step_over_tau, per_leak_e, per_leak_i, e_e, e_i, reset):
    for i in range(v.size):
        a, b = per_leak_e * gain[i] * g_e[i], per_leak_i * gain[i] * g_i[i]
        total = 1.0 + a + b
        target = (free[i] + a * e_e + b * e_i) / total
        new = target + (v[i] - target) * _exp_minus(step_over_tau * total)
        v[i] = reset if until[i] >= step else new


@numba.njit(cache=True, error_model="numpy")
def _adex(v, g_e, g_i, adapt, free, gain, until, step, p, conductance):
    """Exponential Euler: the exponential and adaptation are held over the step, the rest is propagated exactly."""
    for i in range(v.size):
        rise = p[DELTA] * np.exp(min((v[i] - p[THRESHOLD]) / p[DELTA], 30.0))
        current = free[i] + rise - adapt[i]
        if conductance:
            a = p[PER_LEAK] * p[SYN_E] * gain[i] * g_e[i]
            b = p[PER_LEAK] * p[SYN_I] * gain[i] * g_i[i]
            total = 1.0 + a + b
            target = (current + a * p[REVERSAL_E] + b * p[REVERSAL_I]) / total
            new = target + (v[i] - target) * np.exp(-p[STEP_OVER_TAU] * total)
        else:
            new = current + (v[i] - current) * p[LEAK] + gain[i] * (p[SYN_E] * g_e[i] + p[SYN_I] * g_i[i])
        pull = p[ADAPT_A] * (v[i] - p[REST])
        adapt[i] = pull + (adapt[i] - pull) * p[ADAPT_DECAY]
        v[i] = p[RESET] if until[i] >= step else new


@numba.njit(cache=True, error_model="numpy")
def _add_noise(v, noise, until, step, p, rng):
    """White noise on the membrane, or a coloured current; drawn for every neuron in every step."""
    if p[NOISE_WHITE] > 0.0:
        sd = p[NOISE_WHITE]
        for i in range(v.size):
            draw = rng.standard_normal()
            if until[i] < step:
                v[i] += sd * draw
    if p[NOISE_STEP] > 0.0:
        for i in range(v.size):
            noise[i] = noise[i] * p[NOISE_DECAY] + p[NOISE_STEP] * rng.standard_normal()
            if until[i] < step:
                v[i] += (1.0 - p[LEAK]) * noise[i]


@numba.njit(cache=True, error_model="numpy")
def _spikes(v, until, step, begin, p, spike_step, spike_source, n_spikes, adapt, adex):
    """Reset neurons above threshold and write them down; returns the new number of spikes."""
    threshold = p[SPIKE]
    hits = 0
    for i in range(v.size):
        hits += v[i] >= threshold
    if hits == 0:
        return n_spikes
    last = step + np.int64(p[REFRACTORY])
    for i in range(v.size):
        if v[i] >= threshold:
            v[i] = p[RESET]
            until[i] = last
            spike_step[n_spikes] = step
            spike_source[n_spikes] = begin + i
            n_spikes += 1
            if adex:
                adapt[i] += p[ADAPT_B]
    return n_spikes


@numba.njit(cache=True, error_model="numpy")
def _background(ring, slot, n, bounds, rates, jumps, receptors, populations, rng):
    """Poisson background: how many spikes reach a population in this step, and whom each reaches."""
    for k in range(rates.size):
        lo = bounds[populations[k]]
        size = bounds[populations[k] + 1] - lo
        base = (slot * 2 + receptors[k]) * n + lo
        for _ in range(rng.poisson(rates[k] * size)):
            ring[base + np.int64(rng.random() * size)] += jumps[k]


@numba.njit(cache=True, error_model="numpy")
def _begin_frame(step, state, slow, dt, n):
    """Slow inputs of the frame that begins now; the modulator moves on."""
    frame = step // slow.steps
    z = slow.state[frame]
    push = 0.0
    if slow.modulator[0] > 0.0:
        width = slow.steps * dt
        if frame > 0:
            rate = state.frame_spikes[0] / (n * width)
            share = 1.0 - np.exp(-width / slow.modulator[1])
            state.modulator[frame] = state.modulator[frame - 1]
            state.modulator[frame] += share * (rate / slow.modulator[2] - state.modulator[frame - 1])
        push = slow.modulator[3] * (state.modulator[frame] - 1.0)
    state.frame_spikes[0] = 0.0
    for i in range(n):
        drive = slow.bias[i] + slow.state_drive[z, i] - push
        for k in range(slow.signal.shape[1]):
            drive += slow.signal[frame, k] * slow.loading[k, i]
        gain = slow.state_gain[z, i]
        state.gain[i] = gain
        state.free[i] = gain * drive  # the resting potential is added by the caller


@numba.njit(cache=True, error_model="numpy")
def _deliver(source, slot, n, state, edges, slow, z):
    """Write the edges of one spike into the ring buffer."""
    ring = state.ring
    size = ring.size
    base = slot * 2 * n
    if not slow.has_coupling:
        for e in range(edges.first[source], edges.first[source + 1]):
            at = base + edges.offset[e]
            if at >= size:
                at -= size
            ring[at] += edges.jump[e]
    else:
        block = slow.block[source]
        for e in range(edges.first[source], edges.first[source + 1]):
            at = base + edges.offset[e]
            if at >= size:
                at -= size
            ring[at] += edges.jump[e] * slow.coupling[z, slow.block[edges.post[e]], block]


@numba.njit(cache=True, error_model="numpy")
def _learn(step, begin, end, spike_source, edges, plastic, potentiation):
    """Pair STDP for the spikes of this step; traces are read before these spikes are added to them."""
    rule = plastic.rule
    for k in range(begin, end):
        s = spike_source[k]
        for e in range(edges.first[s], edges.first[s + 1]):
            if plastic.plastic[e]:
                j = edges.post[e]
                trace = plastic.post[j] * np.exp(-(step - plastic.last[j]) / rule[4])
                edges.jump[e] = max(0.0, edges.jump[e] - rule[2] * plastic.largest[e] * trace)
        for q in range(plastic.in_first[s], plastic.in_first[s + 1]):
            e = plastic.in_edge[q]
            i = plastic.source[e]
            trace = plastic.pre[i] * np.exp(-(step - plastic.last[i]) / rule[3])
            change = rule[1] * potentiation * plastic.largest[e] * trace
            edges.jump[e] = min(plastic.largest[e], edges.jump[e] + change)
    for k in range(begin, end):
        s = spike_source[k]
        gap = step - plastic.last[s]
        plastic.pre[s] = plastic.pre[s] * np.exp(-gap / rule[3]) + 1.0
        plastic.post[s] = plastic.post[s] * np.exp(-gap / rule[4]) + 1.0
        plastic.last[s] = step
        plastic.counted[s] += 1.0


@numba.njit(cache=True, error_model="numpy")
def _scale(plastic, edges, frame):
    """Homeostatic scaling over one frame (s): each neuron's rate, low-passed over 1 s, against its target."""
    rule = plastic.rule
    for j in range(plastic.rate.size):
        plastic.rate[j] += (1.0 - np.exp(-frame)) * (plastic.counted[j] / frame - plastic.rate[j])
        plastic.counted[j] = 0.0
        factor = np.exp(frame * rule[5] * (1.0 - plastic.rate[j] / rule[6]))
        for q in range(plastic.in_first[j], plastic.in_first[j + 1]):
            e = plastic.in_edge[q]
            edges.jump[e] = min(plastic.largest[e], edges.jump[e] * factor)


@numba.njit(cache=True, error_model="numpy")
def _sum_currents(row, state, bounds, parameters, kind, current_e, current_i):
    """Synaptic input summed over each population, mV."""
    for p in range(kind.size):
        conductance = kind[p] == LIF_CONDUCTANCE or kind[p] == ADEX_CONDUCTANCE
        e, i = 0.0, 0.0
        for j in range(bounds[p], bounds[p + 1]):
            if conductance:
                e += state.g_e[j] * (parameters[p, REVERSAL_E] - state.v[j])
                i += state.g_i[j] * (parameters[p, REVERSAL_I] - state.v[j])
            else:
                e += state.g_e[j]
                i += state.g_i[j]
        scale = parameters[p, PER_LEAK] if conductance else 1.0
        current_e[row, p] = e * scale
        current_i[row, p] = i * scale


@numba.njit(cache=True, error_model="numpy")
def advance(
    begin, end, dt, state, edges, slow, plastic, kind, parameters, bounds, background, current_every, current_e,
    current_i, spike_step, spike_source, n_spikes, rng,
):  # fmt: skip
    """Simulate steps `begin` to `end`; stops before a step that the spike buffers might not hold.

    Returns
    -------
    step : int
        First step that was not simulated: `end`, or less when the buffers must grow.
    n_spikes : int
    """
    n = bounds[-1]
    n_slots = state.ring.size // (2 * n)
    bg_rate, bg_jump, bg_receptor, bg_population = background
    for step in range(begin, end):
        if n_spikes + n > spike_step.size:
            return step, n_spikes
        if step % slow.steps == 0:
            if plastic.rule[0] > 0.0 and plastic.rule[5] > 0.0 and step > 0:
                _scale(plastic, edges, slow.steps * dt)
            _begin_frame(step, state, slow, dt, n)
            for p in range(kind.size):
                for i in range(bounds[p], bounds[p + 1]):
                    state.free[i] += parameters[p, REST]
        slot = step % n_slots
        _background(state.ring, slot, n, bounds, bg_rate, bg_jump, bg_receptor, bg_population, rng)
        fresh = n_spikes
        for p in range(kind.size):
            par = parameters[p]
            for lo in range(bounds[p], bounds[p + 1], BLOCK):
                hi = min(lo + BLOCK, bounds[p + 1])
                v, g_e, g_i, until = state.v[lo:hi], state.g_e[lo:hi], state.g_i[lo:hi], state.until[lo:hi]
                free, gain, adapt = state.free[lo:hi], state.gain[lo:hi], state.adapt[lo:hi]
                at = slot * 2 * n
                _arrive(g_e, state.ring[at + lo : at + hi], par[DECAY_E])
                _arrive(g_i, state.ring[at + n + lo : at + n + hi], par[DECAY_I])
                if kind[p] == LIF_CURRENT:
                    if slow.has_gain:
                        _lif_current_gain(
                            v, g_e, g_i, free, gain, until, step, par[LEAK], par[SYN_E], par[SYN_I], par[RESET]
                        )
                    else:
                        _lif_current(v, g_e, g_i, free, until, step, par[LEAK], par[SYN_E], par[SYN_I], par[RESET])
                elif kind[p] == LIF_CONDUCTANCE:
                    if slow.has_gain:
                        _lif_conductance_gain(
                            v, g_e, g_i, free, gain, until, step, par[STEP_OVER_TAU], par[PER_LEAK] * par[SYN_E],
                            par[PER_LEAK] * par[SYN_I], par[REVERSAL_E], par[REVERSAL_I], par[RESET],
                        )  # fmt: skip
                    else:
                        _lif_conductance(
                            v, g_e, g_i, free, until, step, par[STEP_OVER_TAU], par[PER_LEAK] * par[SYN_E],
                            par[PER_LEAK] * par[SYN_I], par[REVERSAL_E], par[REVERSAL_I], par[RESET],
                        )  # fmt: skip
                else:
                    _adex(v, g_e, g_i, adapt, free, gain, until, step, par, kind[p] == ADEX_CONDUCTANCE)
                if par[NOISE_WHITE] > 0.0 or par[NOISE_STEP] > 0.0:
                    _add_noise(v, state.noise[lo:hi], until, step, par, rng)
                n_spikes = _spikes(
                    v, until, step, lo, par, spike_step, spike_source, n_spikes, adapt, kind[p] >= ADEX_CURRENT
                )
        z = slow.state[step // slow.steps]
        if n_spikes > fresh:
            state.frame_spikes[0] += n_spikes - fresh
            # Arrivals count from the start of the next step.
            ahead = (step + 1) % n_slots
            for k in range(fresh, n_spikes):
                _deliver(spike_source[k], ahead, n, state, edges, slow, z)
            if plastic.rule[0] > 0.0:
                potentiation = 1.0
                if slow.modulator[0] > 0.0:
                    excess = state.modulator[step // slow.steps] - 1.0
                    potentiation = max(0.0, 1.0 - slow.modulator[4] * excess)
                _learn(step, fresh, n_spikes, spike_source, edges, plastic, potentiation)
        if (step + 1) % current_every == 0 and (step + 1) // current_every <= current_e.shape[0]:
            _sum_currents((step + 1) // current_every - 1, state, bounds, parameters, kind, current_e, current_i)
    return end, n_spikes
