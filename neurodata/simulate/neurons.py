"""Neuron and synapse models, and how large a postsynaptic potential a weight makes.

Voltages in mV, times in s, capacitance in pF, conductances in nS. A current is given as the voltage that it would hold
the membrane above rest (mV): I / g_L.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from neurodata.errors import OptionError
from neurodata.simulate._json import register


def _check(problems: list[str], where: str) -> None:
    if problems:
        raise OptionError(f"{where} with sensible values", "; ".join(problems), "correct them")


def _finite(owner: object, names: tuple[str, ...]) -> list[str]:
    return [f"{name} = {getattr(owner, name)!r}" for name in names if not np.isfinite(getattr(owner, name))]


@register
@dataclass(frozen=True)
class LIF:
    """Leaky integrate-and-fire: tau_m dV/dt = E_L - V + input; a spike at V >= V_t, then V_r for t_ref.

    Parameters
    ----------
    tau_m : float
        Membrane time constant, s.
    v_rest, v_threshold, v_reset : float
        mV.
    refractory : float
        s.
    capacitance : float
        pF; with `tau_m` it sets the leak conductance, which matters for conductance synapses only.

    Examples
    --------
    >>> LIF(tau_m=0.02, capacitance=200.0).leak
    10.0
    """

    tau_m: float = 0.020
    v_rest: float = -70.0
    v_threshold: float = -50.0
    v_reset: float = -60.0
    refractory: float = 0.002
    capacitance: float = 200.0

    def __post_init__(self) -> None:
        problems = _finite(self, ("tau_m", "v_rest", "v_threshold", "v_reset", "refractory", "capacitance"))
        if not self.tau_m > 0:
            problems.append(f"tau_m = {self.tau_m} s, not positive")
        if not self.capacitance > 0:
            problems.append(f"capacitance = {self.capacitance} pF, not positive")
        if self.refractory < 0:
            problems.append(f"refractory = {self.refractory} s, negative")
        if self.v_reset >= self.v_threshold:
            problems.append(f"v_reset {self.v_reset} mV at or above v_threshold {self.v_threshold} mV")
        _check(problems, "an LIF neuron")

    @property
    def leak(self) -> float:
        """Leak conductance, nS."""
        return self.capacitance * 1e-3 / self.tau_m

    @property
    def v_spike(self) -> float:
        """Voltage at which a spike is called, mV."""
        return self.v_threshold


@register
@dataclass(frozen=True)
class AdEx:
    """Adaptive exponential integrate-and-fire (Brette and Gerstner 2005, doi 10.1152/jn.00686.2005).

    C dV/dt = -g_L (V - E_L) + g_L D exp((V - V_T) / D) - w + I;  tau_w dw/dt = a (V - E_L) - w;
    at V >= v_spike: V = v_reset, w += b.

    Parameters
    ----------
    tau_m, tau_w, refractory : float
        s.
    v_rest, v_threshold, delta, v_spike, v_reset : float
        mV: E_L, V_T, D, where a spike is cut off, and V_r.
    capacitance : float
        pF.
    a : float
        nS.
    b : float
        pA.
    """

    tau_m: float = 0.020
    v_rest: float = -70.0
    v_threshold: float = -50.0
    delta: float = 2.0
    v_spike: float = -30.0
    v_reset: float = -60.0
    refractory: float = 0.002
    capacitance: float = 200.0
    a: float = 2.0
    b: float = 20.0
    tau_w: float = 0.150

    def __post_init__(self) -> None:
        names = (
            "tau_m",
            "v_rest",
            "v_threshold",
            "delta",
            "v_spike",
            "v_reset",
            "refractory",
            "capacitance",
            "a",
            "b",
            "tau_w",
        )
        problems = _finite(self, names)
        problems += [
            f"{name} = {getattr(self, name)}, not positive"
            for name in ("tau_m", "tau_w", "delta", "capacitance")
            if not getattr(self, name) > 0
        ]
        if self.refractory < 0:
            problems.append(f"refractory = {self.refractory} s, negative")
        if self.v_spike <= self.v_threshold:
            problems.append(f"v_spike {self.v_spike} mV at or below v_threshold {self.v_threshold} mV")
        if self.v_reset >= self.v_spike:
            problems.append(f"v_reset {self.v_reset} mV at or above v_spike {self.v_spike} mV")
        _check(problems, "an AdEx neuron")

    @property
    def leak(self) -> float:
        """Leak conductance, nS."""
        return self.capacitance * 1e-3 / self.tau_m


@register
@dataclass(frozen=True)
class CurrentSynapses:
    """Current-based exponential synapses: a spike adds its weight (mV) to an input that decays exponentially (s)."""

    tau_e: float = 0.005
    tau_i: float = 0.005

    def __post_init__(self) -> None:
        _check([f"{n} = {getattr(self, n)} s" for n in ("tau_e", "tau_i") if not getattr(self, n) > 0], "synapses")


@register
@dataclass(frozen=True)
class ConductanceSynapses:
    """Conductance-based exponential synapses: a spike adds its weight (nS) to a conductance towards a reversal (mV)."""

    tau_e: float = 0.005
    tau_i: float = 0.010
    e_e: float = 0.0
    e_i: float = -80.0

    def __post_init__(self) -> None:
        problems = [f"{n} = {getattr(self, n)} s" for n in ("tau_e", "tau_i") if not getattr(self, n) > 0]
        if not self.e_e > self.e_i:
            problems.append(f"e_e {self.e_e} mV at or below e_i {self.e_i} mV")
        _check(problems, "synapses")


Neuron: TypeAlias = LIF | AdEx
Synapses: TypeAlias = CurrentSynapses | ConductanceSynapses


def psp_peak(jump: np.ndarray, excitatory: bool, neuron: Neuron, synapses: Synapses) -> np.ndarray:
    """Peak deflection from rest (mV) that one spike makes in a passive membrane.

    For current synapses the closed form: w tau_s / d (r^(tau_s / d) - r^(tau_m / d)) with
    d = tau_m - tau_s and r = tau_s / tau_m. For conductance synapses the membrane equation is integrated from rest.

    Parameters
    ----------
    jump : array
        Weight in the synapses' own unit: mV of input (signed) or nS (positive).
    excitatory : bool
        Which of the two receptors.
    neuron, synapses
        Models of the postsynaptic neuron. Adaptation and the exponential of `AdEx` are left out.

    Returns
    -------
    array
        mV, signed.

    Examples
    --------
    >>> round(float(psp_peak(1.0, True, LIF(tau_m=0.020), CurrentSynapses(tau_e=0.005))), 4)
    0.1575
    """
    jump = np.asarray(jump, dtype=np.float64)
    tau = synapses.tau_e if excitatory else synapses.tau_i
    if isinstance(synapses, CurrentSynapses):
        return jump * _current_peak(neuron.tau_m, tau)
    grid, peak = _conductance_peaks(excitatory, neuron, synapses, float(np.max(np.abs(jump), initial=0.0)))
    return np.interp(np.abs(jump), grid, peak)


def jump_for_psp(psp: np.ndarray, excitatory: bool, neuron: Neuron, synapses: Synapses) -> np.ndarray:
    """The weight in the synapses' own unit that makes a postsynaptic potential of this peak; inverse of `psp_peak`.

    Parameters
    ----------
    psp : array
        mV, signed.

    Raises
    ------
    OptionError
        When no conductance makes so large a potential (the reversal potential bounds it).

    Examples
    --------
    >>> jump = jump_for_psp(0.24, True, LIF(), ConductanceSynapses())
    >>> round(float(psp_peak(jump, True, LIF(), ConductanceSynapses())), 6)
    0.24
    """
    psp = np.asarray(psp, dtype=np.float64)
    tau = synapses.tau_e if excitatory else synapses.tau_i
    if isinstance(synapses, CurrentSynapses):
        return psp / _current_peak(neuron.tau_m, tau)
    wanted = float(np.max(np.abs(psp), initial=0.0))
    reach = abs((synapses.e_e if excitatory else synapses.e_i) - neuron.v_rest)
    if wanted >= 0.8 * reach:
        raise OptionError(
            f"a potential below 0.8 of the distance to the reversal potential ({0.8 * reach:.3g} mV)",
            f"{wanted:.3g} mV",
            "lower the weight, or use CurrentSynapses",
        )
    top = max(wanted, 1e-3) / (_current_peak(neuron.tau_m, tau) * reach) * neuron.leak
    for _ in range(60):
        grid, peak = _conductance_peaks(excitatory, neuron, synapses, top)
        if abs(peak[-1]) >= wanted:
            return np.interp(np.abs(psp), np.abs(peak), grid)
        top *= 1.5
    raise OptionError("a potential that some conductance makes", f"{wanted:.3g} mV", "lower the weight")


def _current_peak(tau_m: float, tau_s: float) -> float:
    """Peak of the membrane's answer to a unit jump of an exponentially decaying input."""
    if math.isclose(tau_m, tau_s, rel_tol=1e-6):
        return math.exp(-1.0)
    r, gap = tau_s / tau_m, tau_m - tau_s
    return tau_s / gap * (r ** (tau_s / gap) - r ** (tau_m / gap))


def _conductance_peaks(
    excitatory: bool, neuron: Neuron, synapses: ConductanceSynapses, top: float
) -> tuple[np.ndarray, np.ndarray]:
    """Peaks (mV, signed) for 257 conductances from 0 to `top` (nS): piecewise linear between them is exact to ~1e-5."""
    reversal = synapses.e_e if excitatory else synapses.e_i
    tau = synapses.tau_e if excitatory else synapses.tau_i
    grid = np.linspace(0.0, max(top, 1e-12), 257)
    step = min(tau, neuron.tau_m) / 200.0
    v = np.full(grid.size, neuron.v_rest)
    peak = np.zeros(grid.size)
    conductance = grid * math.exp(-0.5 * step / tau)  # at the middle of the step: second order
    for _ in range(int(6 * max(tau, neuron.tau_m) / step)):
        total = neuron.leak + conductance
        target = (neuron.leak * neuron.v_rest + conductance * reversal) / total
        v = target + (v - target) * np.exp(-step * total / (neuron.capacitance * 1e-3))
        deflection = v - neuron.v_rest
        peak = np.where(np.abs(deflection) > np.abs(peak), deflection, peak)
        conductance *= math.exp(-step / tau)
    return grid, peak
