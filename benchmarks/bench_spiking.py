"""Bars: the embedded engine against brian2 (Cython) and NEST (one thread) on the network of Vogels and Abbott.

4000 neurons, 1 s. brian2 over ours: current synapses >= 6, with delays of 1-20 ms >= 4, conductances >= 2.5; NEST over
ours: >= 8. And the time per unit of work (neuron-steps and synaptic events) at 16 000 neurons at most 1.5 times that at
1000, every neuron with as many inputs.

Only the simulation is timed: graphs are drawn, objects built and code compiled before. Engines take turns; the figure
is the median of the ratios of CPU time of neighbouring runs, with that of wall time beside it, because CPU time is not
disturbed by what else the machine does.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np

from neurodata._core.parallel import one_thread
from neurodata._core.progress import Silent
from neurodata.simulate import Circuit, Connection, FixedInDegree, zoo
from neurodata.simulate.engine_brian2 import build_brian2, import_brian2, own_state
from neurodata.simulate.engine_nest import _advance, build_nest, import_nest
from neurodata.simulate.engine_numba import Ready
from neurodata.simulate.run import draw_inputs

DURATION, ROUNDS = 1.0, 5
NETWORKS = {
    "CUBA": (lambda rng: zoo.balanced(4000, rng=rng), 6.0),
    "CUBA, delays 1-20 ms": (lambda rng: zoo.balanced(4000, delay=(0.001, 0.020), rng=rng), 4.0),
    "COBA": (lambda rng: zoo.balanced(4000, synapse="conductance", rng=rng), 2.5),
}
NEST_BAR, GROWTH_BAR = 8.0, 1.5


def clocked(do: Callable[[], object]) -> np.ndarray:
    """CPU and wall time, s."""
    wall, cpu = time.perf_counter(), time.process_time()
    do()
    return np.array([time.process_time() - cpu, time.perf_counter() - wall])


def ours(circuit: Circuit, duration: float, seed: int) -> tuple[np.ndarray, Ready]:
    network, n_steps = circuit.network(), round(duration / circuit.dt)
    slow, fast = np.random.default_rng(seed).spawn(2)
    inputs = draw_inputs(circuit, network, -(-n_steps // round(circuit.frame / circuit.dt)), slow)
    ready = Ready(circuit, network, inputs, n_steps, fast)
    return clocked(lambda: ready.advance(n_steps)), ready


def brian2_run(circuit: Circuit, duration: float, seed: int) -> np.ndarray:
    brian2, rng = import_brian2(), np.random.default_rng(seed)
    network, n_steps = circuit.network(), round(duration / circuit.dt)
    inputs = draw_inputs(circuit, network, -(-n_steps // round(circuit.frame / circuit.dt)), rng)
    with own_state(brian2, rng):
        ready = build_brian2(brian2, circuit, network, inputs, rng)
        ready.network.run(0 * brian2.second, namespace={})  # builds and compiles
        return clocked(lambda: ready.network.run(duration * brian2.second, namespace={}))


def nest_run(circuit: Circuit, duration: float, seed: int) -> np.ndarray:
    nest, rng = import_nest(), np.random.default_rng(seed)
    nest.verbosity = nest.VerbosityLevel.ERROR
    network, n_steps = circuit.network(), round(duration / circuit.dt)
    inputs = draw_inputs(circuit, network, -(-n_steps // round(circuit.frame / circuit.dt)), rng)
    ready = build_nest(nest, circuit, network, inputs, rng)
    try:
        return clocked(lambda: _advance(nest, ready, circuit.dt, n_steps, np.inf, Silent()))
    finally:
        nest.ResetKernel()


def against(name: str, other: Callable[[Circuit, float, int], np.ndarray], make: Callable, bar: float) -> bool:
    other(make(0), 0.05, 0)
    ours(make(0), 0.05, 0)
    rows = np.array(
        [(ours(make(seed), DURATION, seed)[0], other(make(seed), DURATION, seed)) for seed in range(ROUNDS)]
    )
    ratio = np.median(rows[:, 1] / rows[:, 0], axis=0)
    mine, theirs = np.median(rows[:, 0, 0]), np.median(rows[:, 1, 0])
    print(
        f"{name}: {theirs:.3f} s, ours {mine:.3f} s of CPU; ratio {ratio[0]:.1f} (wall {ratio[1]:.1f}), "
        f"bar >= {bar:g}: {'met' if ratio[0] >= bar else 'missed'}",
        flush=True,
    )
    return bool(ratio[0] >= bar)


def fixed_degree(n: int, rng: int) -> Circuit:
    """The current-based network, but with 80 inputs for every neuron."""
    circuit = zoo.balanced(n, rng=rng)
    rules = {"E": FixedInDegree(64), "I": FixedInDegree(16)}
    return circuit.replace(
        connections=tuple(
            Connection(c.pre, c.post, rules[c.pre], c.weight, c.delay) for c in circuit.connections
        )
    )  # fmt: skip


def per_work(n: int, seed: int) -> float:
    """CPU time per neuron-step and synaptic event, ns."""
    circuit = fixed_degree(n, seed)
    time_used, ready = ours(circuit, DURATION, seed)
    out_degree = np.diff(ready.edges.first)
    events = int(out_degree[ready.spike_neuron].sum())
    return float(time_used[0] / (n * round(DURATION / circuit.dt) + events) * 1e9)


def growth() -> bool:
    rows = np.array([[per_work(n, seed) for n in (1000, 16000)] for seed in range(ROUNDS)])
    ratio = float(np.median(rows[:, 1] / rows[:, 0]))
    small, large = np.median(rows, axis=0)
    print(
        f"per neuron-step or synaptic event: {small:.2f} ns at 1000 neurons, {large:.2f} ns at 16000; "
        f"ratio {ratio:.2f}, bar <= {GROWTH_BAR:g}: {'met' if ratio <= GROWTH_BAR else 'missed'}"
    )
    return ratio <= GROWTH_BAR


def main() -> int:
    with one_thread():
        met = [against(f"brian2, {name}", brian2_run, make, bar) for name, (make, bar) in NETWORKS.items()]
        met.append(against("NEST, CUBA", nest_run, NETWORKS["CUBA"][0], NEST_BAR))
        met.append(growth())
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
