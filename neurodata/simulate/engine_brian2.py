"""Adapter: the same circuit in brian2 (Stimberg, Brette and Goodman 2019, doi 10.7554/eLife.47314).

Consecutive populations of one kind become one `NeuronGroup`. brian2 calls the start of a step the time of its spikes,
here it is the end; its delays then agree, and its refractory times count one step more.
Current-based LIF is propagated exactly, conductances by the exponential Euler rule, AdEx by fourth-order Runge-Kutta.
"""

from __future__ import annotations

import dataclasses
import math
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from neurodata._core.optional import require
from neurodata._core.progress import Progress, Silent
from neurodata.errors import SimulationError
from neurodata.simulate.activity import (
    STRETCH,
    Activity,
    check_alive,
    drive_of_frame,
    in_order,
    last_stretch,
    refuse,
    starting_voltage,
)
from neurodata.simulate.inputs import Inputs
from neurodata.simulate.network import Network
from neurodata.simulate.neurons import AdEx, ConductanceSynapses, jump_for_psp

if TYPE_CHECKING:
    from neurodata.simulate.circuit import Circuit, Population


class Ready(NamedTuple):
    """A network that is built but has not run; `first` is the first neuron of each group."""

    network: Any
    groups: list[Any]
    monitors: list[Any]
    first: list[int]
    watch: _Watch

    def voltage(self) -> np.ndarray:
        """Membrane potentials (neuron; mV)."""
        return np.concatenate([np.asarray(group.v[:]) for group in self.groups])

    def spikes(self, dt: float) -> tuple[np.ndarray, np.ndarray]:
        """Step and neuron of every spike so far, group by group."""
        steps = [np.rint(np.asarray(monitor.t_[:]) / dt).astype(np.int64) for monitor in self.monitors]
        neurons = [
            np.asarray(m.i[:], dtype=np.int64) + first for m, first in zip(self.monitors, self.first, strict=True)
        ]
        return np.concatenate(steps), np.concatenate(neurons)


class _Watch:
    """Called every `STRETCH`: stops the network when it explodes, and tells how far it is."""

    def __init__(self, dt: float, max_rate: float, progress: Progress):
        self.dt, self.max_rate, self.progress = dt, max_rate, progress
        self.n_spikes = self.step = 0
        self.error: SimulationError | None = None

    def look(self, step: int, ready: Ready) -> None:
        """What happened up to `step`."""
        n_spikes = sum(int(monitor.num_spikes) for monitor in ready.monitors)
        if step > self.step:
            begin, end = self.step * self.dt, step * self.dt
            try:
                check_alive(n_spikes - self.n_spikes, begin, end, ready.voltage(), self.max_rate)
            except SimulationError as error:
                # An exception inside brian2's loop would come out wrapped in one of its own.
                self.error = error
                ready.network.stop()
            self.progress.update(step - self.step)
        self.n_spikes, self.step = n_spikes, step


def simulate_brian2(
    circuit: Circuit,
    network: Network,
    inputs: Inputs,
    n_steps: int,
    rng: np.random.Generator,
    max_rate: float,
    progress: Progress,
) -> Activity:
    """Run a circuit in brian2.

    brian2's preferences say which code it makes (`codegen.target`); they, its random numbers and NumPy's global ones
    are left as they were.

    Raises
    ------
    MissingDependencyError
        brian2 is not installed.
    OptionError
        Coupling states, plasticity or a modulator, which this adapter does not have.
    SimulationError
        When the mean rate of any 100 ms is above `max_rate`, or a voltage is no longer finite.
    """
    refuse(
        "brian2",
        {
            "states that switch coupling": bool((inputs.coupling != 1.0).any()),
            "plasticity": circuit.plasticity is not None,
            "a modulator": circuit.modulator is not None,
        },
        "engine='numba'",
    )
    brian2 = import_brian2()
    with own_state(brian2, rng):
        ready = build_brian2(brian2, circuit, network, inputs, rng, max_rate, progress)
        progress.start(n_steps, "simulating")
        ready.network.run(n_steps * circuit.dt * brian2.second, namespace={})
        progress.update(n_steps - ready.watch.step)
        progress.close()
        if ready.watch.error is not None:
            raise ready.watch.error
        step, neuron = ready.spikes(circuit.dt)
        check_alive(*last_stretch(step, n_steps, circuit.dt), ready.voltage(), max_rate)
    time, neuron = in_order(step, neuron, circuit.dt)
    return Activity(time, neuron, engine="brian2", version=brian2.__version__)


def import_brian2() -> ModuleType:
    """The package, imported in silence."""
    hook = sys.excepthook
    try:
        with quiet():
            return require("brian2", "brian2", "to simulate with engine='brian2'")
    finally:
        sys.excepthook = hook  # its import would call every uncaught error of the program one of brian2


@contextmanager
def quiet() -> Iterator[None]:
    """Without deprecations, which are not the caller's affair: they come on import and whenever brian2 parses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


@contextmanager
def own_state(brian2: ModuleType, rng: np.random.Generator) -> Iterator[None]:
    """Seed brian2 from a child of `rng` and hold its log back to errors; afterwards both are as they were."""
    device, handler = brian2.get_device(), brian2.BrianLogger.console_handler
    random, level = device.get_random_state(), None if handler is None else handler.level
    brian2.seed(int(rng.spawn(1)[0].integers(2**32)))
    brian2.BrianLogger.log_level_error()
    try:
        with quiet():
            yield
    finally:
        device.set_random_state(random)
        if handler is not None:
            handler.setLevel(level)


def build_brian2(
    brian2: ModuleType,
    circuit: Circuit,
    network: Network,
    inputs: Inputs,
    rng: np.random.Generator,
    max_rate: float = math.inf,
    progress: Progress | None = None,
) -> Ready:
    """A brian2 network with the edges of `network`, not yet run."""
    has_gain = bool((inputs.state_gain != 1.0).any())
    voltage = starting_voltage(circuit, rng)
    parts = _merged(circuit, network)
    clock = brian2.Clock(circuit.dt * brian2.second)  # one for all: brian2 is slower with several
    moves = circuit.states is not None or inputs.signal.shape[1] > 0
    net = brian2.Network()
    groups, monitors = [], []
    for k, (first, last, population) in enumerate(parts):
        # Fixed names: brian2 compiles again for every new one.
        group = _group(brian2, circuit, clock, population, last - first, has_gain, f"neurodata_neurons_{k}")
        group.v = voltage[first:last]
        noise = population.noise
        if noise is not None and noise.sd > 0 and noise.tau > 0:
            group.noise = _current_sd(population) * rng.standard_normal(last - first)
        monitor = brian2.SpikeMonitor(group, name=f"neurodata_spikes_{k}")
        net.add(group, *group.contained_objects, monitor)
        net.add(_background(brian2, circuit, population, group))
        groups.append(group)
        monitors.append(monitor)

    def set_frame(frame: int) -> None:
        drive, gain = drive_of_frame(network, inputs, frame), inputs.state_gain[inputs.state[frame]]
        for group, (first, last, population) in zip(groups, parts, strict=True):
            group.variables["free"].set_value(population.neuron.v_rest + gain[first:last] * drive[first:last])
            if has_gain:
                group.variables["gain"].set_value(gain[first:last])

    set_frame(0)
    net.add(_synapses(brian2, circuit, network, clock, parts, groups))
    watch = _Watch(circuit.dt, max_rate, progress or Silent())
    ready = Ready(net, groups, monitors, [first for first, _, _ in parts], watch)
    frame_steps, stretch_steps = round(circuit.frame / circuit.dt), max(1, round(STRETCH / circuit.dt))
    step = 0

    @brian2.network_operation(clock=clock, when="start", order=-1)
    def slowly() -> None:
        nonlocal step
        if moves and step % frame_steps == 0 and step // frame_steps < inputs.state.size:
            set_frame(step // frame_steps)
        if step % stretch_steps == 0:
            watch.look(step, ready)
        step += 1

    net.add(slowly)
    return ready


def _merged(circuit: Circuit, network: Network) -> list[tuple[int, int, Population]]:
    """Runs of populations that differ in no parameter of the dynamics: first and last neuron, and one of them."""
    parts: list[tuple[int, int, Population]] = []
    for p, (begin, end) in zip(circuit.populations, zip(network.bounds, network.bounds[1:], strict=False), strict=True):
        if parts:
            first, _, q = parts[-1]
            if (p.neuron, p.synapses, p.noise, p.background) == (q.neuron, q.synapses, q.noise, q.background):
                parts[-1] = (first, int(end), q)
                continue
        parts.append((int(begin), int(end), p))
    return parts


def _current_sd(population: Population) -> float:
    """Standard deviation (mV) of the coloured current that moves the free membrane as much as was asked."""
    noise = population.noise
    assert noise is not None
    return noise.sd * math.sqrt((noise.tau + population.neuron.tau_m) / noise.tau)


def _group(
    brian2: ModuleType, circuit: Circuit, clock: Any, population: Population, n: int, has_gain: bool, name: str
) -> Any:
    neuron, synapses, noise, dt = population.neuron, population.synapses, population.noise, circuit.dt
    second = brian2.second
    adex, conductance = isinstance(neuron, AdEx), isinstance(synapses, ConductanceSynapses)
    names = {f.name: getattr(neuron, f.name) for f in dataclasses.fields(neuron)}
    names = {k: v * second if k in ("tau_m", "tau_w") else v for k, v in names.items() if k != "refractory"}
    # brian2's solution divides by the difference of the time constants: where they are equal, one part in a million.
    nudged = {
        k: tau * (1 + 1e-6) if tau == neuron.tau_m else tau
        for k, tau in (("tau_e", synapses.tau_e), ("tau_i", synapses.tau_i))
    }
    names |= {"leak": neuron.leak} | {k: tau * second for k, tau in nudged.items()}
    gain = "gain * " if has_gain else ""
    if conductance:
        names |= {"e_e": synapses.e_e, "e_i": synapses.e_i}  # type: ignore[union-attr]
        synaptic = f"{gain}(g_e * (e_e - v) + g_i * (e_i - v)) / leak"
    else:
        synaptic = f"{gain}(g_e + g_i)"
    coloured = noise is not None and noise.sd > 0 and noise.tau > 0
    extra = " + noise" if coloured else ""
    if adex:
        # Held at the cut-off inside a step, else the last stage of a spike would throw v, and with it w, far away.
        extra += " + delta * exp((clip(v, -1000.0, v_spike) - v_threshold) / delta) - w"
    model = f"""
        dv/dt = (free - v + {synaptic}{extra}) / tau_m : 1 (unless refractory)
        dg_e/dt = -g_e / tau_e : 1
        dg_i/dt = -g_i / tau_i : 1
        free : 1
        {"gain : 1" if has_gain else ""}
        {"noise : 1" if coloured else ""}
        {"dw/dt = (a / leak * (clip(v, -1000.0, v_spike) - v_rest) - w) / tau_w : 1" if adex else ""}
    """
    group = brian2.NeuronGroup(
        n,
        model,
        threshold="v >= v_spike" if adex else "v >= v_threshold",
        reset="v = v_reset" + ("; w += b / leak" if adex else ""),
        # A spike of step k is at its end here and at its start in brian2: one step more keeps the same steps silent.
        refractory=(round(neuron.refractory / dt) + 1) * dt * second,
        method="rk4" if adex else "exponential_euler" if conductance else "exact",
        clock=clock,
        namespace=names,
        name=name,
    )
    if coloured:
        assert noise is not None
        names["noise_decay"] = math.exp(-dt / noise.tau)
        names["noise_step"] = _current_sd(population) * math.sqrt(-math.expm1(-2.0 * dt / noise.tau))
        group.run_regularly("noise = noise * noise_decay + noise_step * randn()", when="start", order=1)
    elif noise is not None and noise.sd > 0:
        names["noise_step"] = noise.sd * math.sqrt(-math.expm1(-2.0 * dt / neuron.tau_m))
        group.run_regularly("v += noise_step * randn() * int(not_refractory)", when="after_groups")
    return group


def _background(brian2: ModuleType, circuit: Circuit, population: Population, group: Any) -> list[Any]:
    inputs = []
    for source in population.background:
        if source.n and source.rate:
            excites = source.psp >= 0
            jump = float(jump_for_psp(np.array(source.psp), excites, population.neuron, population.synapses))
            target = "g_e" if excites else "g_i"
            inputs.append(brian2.PoissonInput(group, target, source.n, source.rate * brian2.Hz, jump))
    return inputs


def _synapses(
    brian2: ModuleType,
    circuit: Circuit,
    network: Network,
    clock: Any,
    parts: list[tuple[int, int, Population]],
    groups: list[Any],
) -> list[Any]:
    """One `Synapses` per pair of groups and receptor; weights and delays that are all alike are stored once."""
    source, out = network.source, []
    for k, ((pre_first, pre_last, _), pre_group) in enumerate(zip(parts, groups, strict=True)):
        for m, ((post_first, post_last, _), post_group) in enumerate(zip(parts, groups, strict=True)):
            inside = (source >= pre_first) & (source < pre_last)
            inside &= (network.post >= post_first) & (network.post < post_last)
            for receptor, target in enumerate(("g_e", "g_i")):
                edges = np.flatnonzero(inside & (network.inhibitory == receptor))
                if not edges.size:
                    continue
                jump, delay = network.jump[edges], network.delay[edges] * circuit.dt
                one_jump, one_delay = bool((jump == jump[0]).all()), bool((delay == delay[0]).all())
                synapses = brian2.Synapses(
                    pre_group,
                    post_group,
                    model="" if one_jump else "jump : 1",
                    on_pre=f"{target}_post += jump",
                    delay=delay[0] * brian2.second if one_delay else None,
                    clock=clock,
                    name=f"neurodata_synapses_{k}_{m}_{target}",
                    namespace={"jump": float(jump[0])} if one_jump else {},
                )
                synapses.connect(i=source[edges] - pre_first, j=network.post[edges] - post_first)
                if not one_jump:
                    synapses.jump = jump
                if not one_delay:
                    synapses.delay = delay * brian2.second
                out.append(synapses)
    return out
