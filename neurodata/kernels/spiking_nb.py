"""Time steps of a network of integrate-and-fire neurons, in Numba.

Linear parts are propagated exactly over a step (Rotter and Diesmann 1999, doi 10.1007/s004220050570). Neurons are taken
in blocks that stay in the first-level cache, in plain loops over few arrays: the compiler turns them into vector
instructions as long as it has at most eight pairs of arrays to check for overlap.

A spike that ends step k with a delay of d steps arrives at the start of step k + 1 + d. Until then it waits in a queue
for that step, which holds only what is under way: a ring of one cell per step and neuron would be hundreds of times
larger, and every step would have to read all of its cells.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

BLOCK = 512
CHUNK = 64  # arrivals that the queue hands out at once; a power of two

# Columns of the table of parameters, one row per population.
(
    LEAK, SYN_E, SYN_I, DECAY_E, DECAY_I, SPIKE, RESET, REST, REVERSAL_E, REVERSAL_I, STEP_OVER_TAU,
    PER_LEAK, NOISE_WHITE, NOISE_DECAY, NOISE_STEP, DELTA, THRESHOLD, ADAPT_A, ADAPT_B, ADAPT_DECAY, N_PARAMETERS,
) = range(21)  # fmt: skip

LIF_CURRENT, LIF_CONDUCTANCE, ADEX_CURRENT, ADEX_CONDUCTANCE = range(4)


class State(NamedTuple):
    """Variables of the neurons; changed in place.

    `v` mV; `g` (receptor x neuron) synaptic input (mV) or conductance (nS), excitatory ones first, as it will be at the
    start of the next step before anything arrives; `adapt` mV; `noise` mV; `free` the membrane potential that the slow
    input alone would hold.
    """

    v: np.ndarray
    g: np.ndarray
    adapt: np.ndarray
    noise: np.ndarray
    free: np.ndarray
    gain: np.ndarray
    modulator: np.ndarray
    frame_spikes: np.ndarray


class Cells(NamedTuple):
    """What neurons are: `kind` and `parameters` by population, its `bounds`; `hold` (steps) and `reset` by neuron."""

    kind: np.ndarray
    parameters: np.ndarray
    bounds: np.ndarray
    hold: np.ndarray
    reset: np.ndarray


class Edges(NamedTuple):
    """Edges by source: `first` (neuron + 1), `delay` (steps), `target` (place in `State.g`), `post`, `jump`."""

    first: np.ndarray
    delay: np.ndarray
    target: np.ndarray
    post: np.ndarray
    jump: np.ndarray


class Queue(NamedTuple):
    """Arrivals to come, in chunks that are chained by the step in which they arrive.

    `target`, `jump` (chunk x place); `after` (chunk) the next one in the chain, -1 for none; `unused` a stack of chunks
    with its height in `n_unused[0]`; `head`, `end` (slot) first chunk and next place, -1 and 0 when empty. A slot is a
    step modulo their number.
    """

    target: np.ndarray
    jump: np.ndarray
    after: np.ndarray
    unused: np.ndarray
    n_unused: np.ndarray
    head: np.ndarray
    end: np.ndarray


class Spikes(NamedTuple):
    """Spikes so far: `step`, `source`; `total[0]` of them; from `held[0]` on they may be refractory still."""

    step: np.ndarray
    source: np.ndarray
    total: np.ndarray
    held: np.ndarray


class Currents(NamedTuple):
    """Synaptic input summed over each population (sample, population), every `every` steps."""

    every: int
    e: np.ndarray
    i: np.ndarray


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
    """exp(-x) for 0 <= x <= 30 by products and sums alone, so that loops over it vectorise; to 1e-12."""
    y = min(x, 30.0) * -0.03125
    p = 1.0 + y * (1.0 / 9.0)
    p = 1.0 + y * (1.0 / 8.0) * p
    p = 1.0 + y * (1.0 / 7.0) * p
    p = 1.0 + y * (1.0 / 6.0) * p
    p = 1.0 + y * 0.2 * p
    p = 1.0 + y * 0.25 * p
    p = 1.0 + y * (1.0 / 3.0) * p
    p = 1.0 + y * 0.5 * p
    p = 1.0 + y * p
    p = p * p
    p = p * p
    p = p * p
    p = p * p
    return p * p


@numba.njit(cache=True, error_model="numpy")
def _lif_current(v, g_e, g_i, free, leak, syn_e, syn_i, decay_e, decay_i):
    for i in range(v.size):
        e, j = g_e[i], g_i[i]
        v[i] = leak * v[i] + (1.0 - leak) * free[i] + (syn_e * e + syn_i * j)
        g_e[i] = decay_e * e
        g_i[i] = decay_i * j


@numba.njit(cache=True, error_model="numpy")
def _lif_current_gain(v, g_e, g_i, free, gain, leak, syn_e, syn_i):
    for i in range(v.size):
        v[i] = leak * v[i] + (1.0 - leak) * free[i] + gain[i] * (syn_e * g_e[i] + syn_i * g_i[i])


@numba.njit(cache=True, error_model="numpy")
def _lif_conductance(v, g_e, g_i, free, step_over_tau, per_leak_e, per_leak_i, e_e, e_i, decay_e, decay_i):
    for i in range(v.size):
        e, j = g_e[i], g_i[i]
        a, b = per_leak_e * e, per_leak_i * j
        total = 1.0 + a + b
        target = (free[i] + a * e_e + b * e_i) / total
        v[i] = target + (v[i] - target) * _exp_minus(step_over_tau * total)
        g_e[i] = decay_e * e
        g_i[i] = decay_i * j


@numba.njit(cache=True, error_model="numpy")
def _lif_conductance_gain(v, g_e, g_i, free, gain, step_over_tau, per_leak_e, per_leak_i, e_e, e_i):
    for i in range(v.size):
        a, b = per_leak_e * gain[i] * g_e[i], per_leak_i * gain[i] * g_i[i]
        total = 1.0 + a + b
        target = (free[i] + a * e_e + b * e_i) / total
        v[i] = target + (v[i] - target) * _exp_minus(step_over_tau * total)


@numba.njit(cache=True, error_model="numpy")
def _decay(g, factor):
    for i in range(g.size):
        g[i] *= factor


@numba.njit(cache=True, error_model="numpy")
def _adex(v, g_e, g_i, adapt, free, gain, p, conductance):
    """Exponential midpoint rule: the exponential and adaptation are those of the middle, the rest is exact."""
    for i in range(v.size):
        push, total, kick = free[i], 1.0, 0.0
        if conductance:
            a = p[PER_LEAK] * p[SYN_E] * gain[i] * g_e[i]
            b = p[PER_LEAK] * p[SYN_I] * gain[i] * g_i[i]
            total = 1.0 + a + b
            push += a * p[REVERSAL_E] + b * p[REVERSAL_I]
        else:
            kick = gain[i] * (p[SYN_E] * g_e[i] + p[SYN_I] * g_i[i])
        rise = p[DELTA] * np.exp(min((v[i] - p[THRESHOLD]) / p[DELTA], 30.0))
        target = (push + rise - adapt[i]) / total
        half = np.exp(-0.5 * p[STEP_OVER_TAU] * total)
        # Not beyond the cut-off, else the step of a spike would throw the adaptation far away.
        middle = min(target + (v[i] - target) * half + 0.5 * kick, p[SPIKE])
        pull = p[ADAPT_A] * (middle - p[REST])
        last = adapt[i]
        adapt[i] = pull + (last - pull) * p[ADAPT_DECAY]
        rise = p[DELTA] * np.exp(min((middle - p[THRESHOLD]) / p[DELTA], 30.0))
        target = (push + rise - 0.5 * (last + adapt[i])) / total
        v[i] = target + (v[i] - target) * (half * half) + kick


@numba.njit(cache=True, error_model="numpy")
def _add_noise(v, noise, p, rng):
    """White noise on the membrane, or a coloured current; drawn for every neuron in every step."""
    if p[NOISE_WHITE] > 0.0:
        for i in range(v.size):
            v[i] += p[NOISE_WHITE] * rng.standard_normal()
    if p[NOISE_STEP] > 0.0:
        for i in range(v.size):
            noise[i] = noise[i] * p[NOISE_DECAY] + p[NOISE_STEP] * rng.standard_normal()
            v[i] += (1.0 - p[LEAK]) * noise[i]


@numba.njit(cache=True, error_model="numpy")
def _above(v, threshold):
    hits = 0
    for i in range(v.size):
        hits += v[i] >= threshold
    return hits


@numba.njit(cache=True, error_model="numpy")
def _update(lo, hi, state, p, kind, has_gain, rng):
    """One step of the neurons `lo` to `hi`, refractory or not; returns how many end above threshold."""
    n = state.v.size
    v, free, gain = state.v[lo:hi], state.free[lo:hi], state.gain[lo:hi]
    g_e, g_i = state.g[lo:hi], state.g[n + lo : n + hi]
    if kind == LIF_CURRENT and not has_gain:
        _lif_current(v, g_e, g_i, free, p[LEAK], p[SYN_E], p[SYN_I], p[DECAY_E], p[DECAY_I])
    elif kind == LIF_CONDUCTANCE and not has_gain:
        _lif_conductance(
            v, g_e, g_i, free, p[STEP_OVER_TAU], p[PER_LEAK] * p[SYN_E], p[PER_LEAK] * p[SYN_I], p[REVERSAL_E],
            p[REVERSAL_I], p[DECAY_E], p[DECAY_I],
        )  # fmt: skip
    else:
        if kind == LIF_CURRENT:
            _lif_current_gain(v, g_e, g_i, free, gain, p[LEAK], p[SYN_E], p[SYN_I])
        elif kind == LIF_CONDUCTANCE:
            _lif_conductance_gain(
                v, g_e, g_i, free, gain, p[STEP_OVER_TAU], p[PER_LEAK] * p[SYN_E], p[PER_LEAK] * p[SYN_I],
                p[REVERSAL_E], p[REVERSAL_I],
            )  # fmt: skip
        else:
            _adex(v, g_e, g_i, state.adapt[lo:hi], free, gain, p, kind == ADEX_CONDUCTANCE)
        _decay(g_e, p[DECAY_E])
        _decay(g_i, p[DECAY_I])
    if p[NOISE_WHITE] > 0.0 or p[NOISE_STEP] > 0.0:
        _add_noise(v, state.noise[lo:hi], p, rng)
    return _above(v, p[SPIKE])


@numba.njit(cache=True, error_model="numpy")
def _hold(step, v, cells, spikes, longest):
    """Put refractory neurons, wherever a step has taken them, back to reset. They are among the latest spikes."""
    count, held = spikes.total[0], spikes.held[0]
    while held < count and spikes.step[held] + longest < step:
        held += 1
    spikes.held[0] = held
    for k in range(held, count):
        s = spikes.source[k]
        if spikes.step[k] + cells.hold[s] >= step:
            v[s] = cells.reset[s]


@numba.njit(cache=True, error_model="numpy")
def _fire(step, lo, hi, state, p, adex, spikes):
    """Reset neurons above threshold and write them down."""
    count = spikes.total[0]
    for i in range(lo, hi):
        if state.v[i] >= p[SPIKE]:
            state.v[i] = p[RESET]
            spikes.step[count] = step
            spikes.source[count] = i
            count += 1
            if adex:
                state.adapt[i] += p[ADAPT_B]
    spikes.total[0] = count


@numba.njit(cache=True, error_model="numpy")
def _more_spikes(spikes, least):
    """The same with room for twice as many, and for `least` more."""
    size = 2 * spikes.step.size + least
    step = np.empty(size, dtype=np.int64)
    source = np.empty(size, dtype=np.int64)
    step[: spikes.step.size] = spikes.step
    source[: spikes.step.size] = spikes.source
    return Spikes(step, source, spikes.total, spikes.held)


@numba.njit(cache=True, error_model="numpy")
def _more_chunks(queue, least):
    """The same with room for `least` more chunks and twice as many in all."""
    old = queue.after.size
    size = 2 * old + least
    target = np.empty(size * CHUNK, dtype=np.int32)
    jump = np.empty(size * CHUNK)
    after = np.empty(size, dtype=np.int64)
    unused = np.empty(size, dtype=np.int64)
    target[: old * CHUNK] = queue.target
    jump[: old * CHUNK] = queue.jump
    after[:old] = queue.after
    top = queue.n_unused[0]
    unused[:top] = queue.unused[:top]
    for chunk in range(old, size):
        unused[top] = chunk
        top += 1
    queue.n_unused[0] = top
    return Queue(target, jump, after, unused, queue.n_unused, queue.head, queue.end)


@numba.njit(cache=True, error_model="numpy")
def _arrive(slot, g, queue):
    """Add what arrives now to the synapses, and hand back its chunks."""
    chunk, end = queue.head[slot], queue.end[slot]
    top = queue.n_unused[0]
    while chunk >= 0:
        begin = chunk * CHUNK
        after = queue.after[chunk]
        for k in range(begin, begin + CHUNK if after >= 0 else end):
            g[queue.target[k]] += queue.jump[k]
        queue.unused[top] = chunk
        top += 1
        chunk = after
    queue.n_unused[0] = top
    queue.head[slot], queue.end[slot] = -1, 0


@numba.njit(cache=True, error_model="numpy")
def _send(source, ahead, edges, slow, z, queue):
    """Put the edges of one spike into the queue; slot `ahead` is that of the next step."""
    n_slots = queue.head.size
    block = slow.block[source]
    for e in range(edges.first[source], edges.first[source + 1]):
        slot = ahead + edges.delay[e]
        if slot >= n_slots:
            slot -= n_slots
        end = queue.end[slot]
        if end % CHUNK == 0:  # its last chunk is full, or it has none
            queue.n_unused[0] -= 1
            chunk = queue.unused[queue.n_unused[0]]
            queue.after[chunk] = -1
            if end == 0 and queue.head[slot] < 0:
                queue.head[slot] = chunk
            else:
                queue.after[(end - 1) // CHUNK] = chunk
            end = chunk * CHUNK
        queue.target[end] = edges.target[e]
        if slow.has_coupling:
            queue.jump[end] = edges.jump[e] * slow.coupling[z, slow.block[edges.post[e]], block]
        else:
            queue.jump[end] = edges.jump[e]
        queue.end[slot] = end + 1


@numba.njit(cache=True, error_model="numpy")
def _background(g, n, bounds, rates, jumps, receptors, populations, rng):
    """Poisson background: how many spikes reach a population in this step, and whom each reaches."""
    for k in range(rates.size):
        lo = bounds[populations[k]]
        size = bounds[populations[k] + 1] - lo
        base = receptors[k] * n + lo
        for _ in range(rng.poisson(rates[k] * size)):
            g[base + np.int64(rng.random() * size)] += jumps[k]


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
def _sum_currents(row, state, cells, currents):
    """Synaptic input of this step summed over each population, mV."""
    n = state.v.size
    for p in range(cells.kind.size):
        par = cells.parameters[p]
        conductance = cells.kind[p] == LIF_CONDUCTANCE or cells.kind[p] == ADEX_CONDUCTANCE
        e, i = 0.0, 0.0
        for j in range(cells.bounds[p], cells.bounds[p + 1]):
            if conductance:
                e += state.g[j] * (par[REVERSAL_E] - state.v[j])
                i += state.g[n + j] * (par[REVERSAL_I] - state.v[j])
            else:
                e += state.g[j]
                i += state.g[n + j]
        scale = par[PER_LEAK] if conductance else 1.0
        # The synapses have decayed over this step already.
        currents.e[row, p] = e * scale / par[DECAY_E]
        currents.i[row, p] = i * scale / par[DECAY_I]


@numba.njit(cache=True, error_model="numpy")
def advance(begin, end, dt, state, cells, edges, slow, plastic, background, queue, spikes, currents, rng):
    """Simulate steps `begin` to `end`.

    Returns
    -------
    queue : Queue
    spikes : Spikes
        Those given, or larger copies: what grows is replaced.
    """
    n = cells.bounds[-1]
    n_slots = queue.head.size
    longest = cells.hold.max()
    bg_rate, bg_jump, bg_receptor, bg_population = background
    flagged = np.empty(n // BLOCK + cells.kind.size + 1, dtype=np.int64)
    for step in range(begin, end):
        if spikes.total[0] + n > spikes.step.size:
            spikes = _more_spikes(spikes, n)
        if step % slow.steps == 0:
            if plastic.rule[0] > 0.0 and plastic.rule[5] > 0.0 and step > 0:
                _scale(plastic, edges, slow.steps * dt)
            _begin_frame(step, state, slow, dt, n)
            for p in range(cells.kind.size):
                for i in range(cells.bounds[p], cells.bounds[p + 1]):
                    state.free[i] += cells.parameters[p, REST]
        _arrive(step % n_slots, state.g, queue)
        _background(state.g, n, cells.bounds, bg_rate, bg_jump, bg_receptor, bg_population, rng)
        at, hits = 0, 0
        for p in range(cells.kind.size):
            for lo in range(cells.bounds[p], cells.bounds[p + 1], BLOCK):
                hi = min(lo + BLOCK, cells.bounds[p + 1])
                flagged[at] = _update(lo, hi, state, cells.parameters[p], cells.kind[p], slow.has_gain, rng)
                hits += flagged[at]
                at += 1
        _hold(step, state.v, cells, spikes, longest)
        fresh = spikes.total[0]
        if hits > 0:
            at = 0
            for p in range(cells.kind.size):
                for lo in range(cells.bounds[p], cells.bounds[p + 1], BLOCK):
                    if flagged[at] > 0:
                        hi = min(lo + BLOCK, cells.bounds[p + 1])
                        _fire(step, lo, hi, state, cells.parameters[p], cells.kind[p] >= ADEX_CURRENT, spikes)
                    at += 1
        z = slow.state[step // slow.steps]
        n_fresh = spikes.total[0] - fresh
        if n_fresh > 0:
            state.frame_spikes[0] += n_fresh
            for k in range(fresh, fresh + n_fresh):
                s = spikes.source[k]
                degree = edges.first[s + 1] - edges.first[s]
                need = degree // CHUNK + min(degree, n_slots) + 1
                if queue.n_unused[0] < need:
                    queue = _more_chunks(queue, need)
                _send(s, (step + 1) % n_slots, edges, slow, z, queue)
            if plastic.rule[0] > 0.0:
                potentiation = 1.0
                if slow.modulator[0] > 0.0:
                    excess = state.modulator[step // slow.steps] - 1.0
                    potentiation = max(0.0, 1.0 - slow.modulator[4] * excess)
                _learn(step, fresh, fresh + n_fresh, spikes.source, edges, plastic, potentiation)
        if (step + 1) % currents.every == 0 and (step + 1) // currents.every <= currents.e.shape[0]:
            _sum_currents((step + 1) // currents.every - 1, state, cells, currents)
    return queue, spikes
