"""What drives a circuit from outside: noise, stimuli, hidden states, slow latents, a global modulator; and their draws.

Everything slow is held constant within a frame of `Circuit.frame` seconds, so that what `/truth` says of it is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from neurodata.errors import OptionError
from neurodata.simulate._json import register


def _require(ok: bool, expected: str, got: object, fix: str) -> None:
    if not ok:
        raise OptionError(expected, f"{got!r}", fix)


@register
@dataclass(frozen=True)
class OU:
    """Private noise of each neuron that makes its free membrane potential fluctuate with standard deviation `sd`.

    Parameters
    ----------
    sd : float
        mV, of the membrane potential without spikes and synapses.
    tau : float
        Correlation time of the noise current, s; 0 is white, which makes the membrane potential itself an
        Ornstein-Uhlenbeck process.
    """

    sd: float = 3.5
    tau: float = 0.0

    def __post_init__(self) -> None:
        _require(bool(np.isfinite(self.sd)) and self.sd >= 0, "a noise of 0 mV or more", self.sd, "pass sd=")
        _require(
            bool(np.isfinite(self.tau)) and self.tau >= 0, "a correlation time of 0 s or more", self.tau, "pass tau="
        )


@register
@dataclass(frozen=True)
class PoissonInput:
    """Background spikes: `n` independent sources per neuron, each firing at `rate`, through excitatory synapses.

    Parameters
    ----------
    rate : float
        Hz, of one source.
    psp : float
        mV of PSP peak; negative for inhibitory background.
    n : int
    """

    rate: float = 5.0
    psp: float = 0.2
    n: int = 100

    def __post_init__(self) -> None:
        _require(bool(np.isfinite(self.rate)) and self.rate >= 0, "a rate of 0 Hz or more", self.rate, "pass rate=")
        _require(bool(np.isfinite(self.psp)), "a finite weight", self.psp, "pass psp= (mV)")
        _require(self.n >= 0, "0 sources or more", self.n, "pass n=")


@register
@dataclass(frozen=True, eq=False)
class Stimulus:
    """Events that drive neurons: event e lasts from `onset[e]` for `duration` and shows condition `condition[e]`.

    Parameters
    ----------
    onset : sequence of float
        s; whole multiples of the circuit's frame.
    duration : float
        s.
    tuning : array (condition, neuron)
        Input while a condition is shown, mV.
    condition : sequence of int, optional
        Default: always condition 0.
    name : str
    """

    onset: tuple[float, ...]
    duration: float
    tuning: np.ndarray
    condition: tuple[int, ...] = ()
    name: str = "stimulus"

    def __post_init__(self) -> None:
        tuning = np.atleast_2d(np.asarray(self.tuning, dtype=np.float64))
        object.__setattr__(self, "tuning", tuning)
        object.__setattr__(self, "onset", tuple(float(x) for x in self.onset))
        object.__setattr__(self, "condition", tuple(int(c) for c in self.condition) or (0,) * len(self.onset))
        _require(bool(np.isfinite(tuning).all()), "finite tuning", "NaN or infinite values", "correct tuning=")
        _require(self.duration > 0, "a positive duration in s", self.duration, "pass duration=")
        _require(
            len(self.condition) == len(self.onset), "one condition per onset", len(self.condition), "check condition="
        )
        known = all(0 <= c < len(tuning) for c in self.condition)
        _require(
            known,
            f"conditions 0 to {len(tuning) - 1}, one row of tuning= each",
            sorted(set(self.condition)),
            "check condition=",
        )
        _require(
            all(x >= 0 for x in self.onset), "onsets of 0 s or later", min(self.onset, default=0.0), "check onset="
        )


@register
@dataclass(frozen=True, eq=False)
class Latent:
    """A slow shared input: an Ornstein-Uhlenbeck process, or a sinusoid, of unit variance times a loading per neuron.

    Parameters
    ----------
    tau : float
        Correlation time, or for ``process="sinusoid"`` the period, s.
    loading : array (neuron,)
        mV.
    process : {"ou", "sinusoid"}
    """

    tau: float
    loading: np.ndarray
    process: str = "ou"

    def __post_init__(self) -> None:
        object.__setattr__(self, "loading", np.asarray(self.loading, dtype=np.float64).reshape(-1))
        _require(self.tau > 0, "a positive time constant in s", self.tau, "pass tau=")
        _require(self.process in ("ou", "sinusoid"), "process 'ou' or 'sinusoid'", self.process, "pass process=")
        _require(bool(np.isfinite(self.loading).all()), "finite loadings", "NaN or infinite values", "correct loading=")


@register
@dataclass(frozen=True, eq=False)
class States:
    """Hidden states that switch drive, gain or coupling.

    Parameters
    ----------
    n : int
        Number of states.
    dwell : float or (low, high)
        How long a state lasts, s: the mean of a gamma distribution, or the ends of a uniform one.
    dwell_shape : float
        Shape of the gamma distribution: 1 is exponential, so a Markov chain; above, semi-Markov and more regular.
    jump : array (state, state), optional
        Probability of the next state given this one, zero diagonal; default: all others alike.
    drive : array (state, neuron), optional
        Added input, mV.
    gain : array (state, neuron), optional
        Factor on the synaptic and deterministic input of each neuron (not on its private noise).
    coupling : array (state, post block, pre block), optional
        Factor on the synapses between blocks of neurons. Only this changes who talks to whom.
    block : array (neuron,), optional
        Block of each neuron; default: its population.
    """

    n: int
    dwell: float | tuple[float, float] = (2.0, 10.0)
    dwell_shape: float = 1.0
    jump: np.ndarray | None = None
    drive: np.ndarray | None = None
    gain: np.ndarray | None = None
    coupling: np.ndarray | None = None
    block: np.ndarray | None = None

    def __post_init__(self) -> None:
        _require(self.n >= 1, "one state or more", self.n, "pass n=")
        for name in ("jump", "drive", "gain", "coupling"):
            value = getattr(self, name)
            if value is None:
                continue
            value = np.asarray(value, dtype=np.float64)
            object.__setattr__(self, name, value)
            _require(value.shape[:1] == (self.n,), f"{name} with {self.n} states first", value.shape, f"check {name}=")
            _require(bool(np.isfinite(value).all()), f"finite {name}", "NaN or infinite values", f"correct {name}=")
        if self.block is not None:
            object.__setattr__(self, "block", np.asarray(self.block, dtype=np.int64))
        if self.jump is not None:
            square = self.jump.shape == (self.n, self.n) and bool((self.jump >= 0).all())
            rows = square and bool(np.allclose(self.jump.sum(axis=1), 1)) and bool((np.diag(self.jump) == 0).all())
            _require(rows or self.n == 1, "jump rows that sum to 1 with a zero diagonal", self.jump, "correct jump=")
        for name in ("gain", "coupling"):
            value = getattr(self, name)
            _require(
                value is None or bool((value >= 0).all()),
                f"a {name} of 0 or more",
                "negative values",
                f"correct {name}=",
            )
        ends = self.dwell if isinstance(self.dwell, tuple) else (self.dwell, self.dwell)
        _require(
            len(ends) == 2 and 0 < ends[0] <= ends[1],
            "a positive dwell time, or (low, high), in s",
            self.dwell,
            "pass dwell=",
        )
        _require(self.dwell_shape > 0, "a positive dwell shape", self.dwell_shape, "pass dwell_shape=")

    def draw(self, n_frames: int, frame: float, rng: np.random.Generator) -> np.ndarray:
        """State of each frame, (frame,) int64."""
        path = np.empty(n_frames, dtype=np.int64)
        state, begin, end = int(rng.integers(self.n)), 0, 0.0
        while begin < n_frames:
            if isinstance(self.dwell, tuple):
                end += rng.uniform(*self.dwell)
            else:
                end += rng.gamma(self.dwell_shape, self.dwell / self.dwell_shape)
            stop = min(n_frames, max(begin + 1, round(end / frame)))
            path[begin:stop] = state
            begin = stop
            if self.n > 1:
                if self.jump is None:
                    state = (state + 1 + int(rng.integers(self.n - 1))) % self.n
                else:
                    state = int(rng.choice(self.n, p=self.jump[state]))
        return path


@register
@dataclass(frozen=True)
class Modulator:
    """An astrocyte-like signal m that follows the rate of the whole population and holds it near a target.

    tau dm/dt = rate / target_rate - m. Every neuron gets -`drive` (m - 1) mV; potentiation under STDP is scaled by
    max(0, 1 - `plasticity` (m - 1)), in the spirit of NALSM (Ivanov and Michmizos 2021, arXiv 2110.14204).
    """

    tau: float = 1.0
    target_rate: float = 10.0
    drive: float = 1.0
    plasticity: float = 0.0

    def __post_init__(self) -> None:
        _require(self.tau > 0, "a positive time constant in s", self.tau, "pass tau=")
        _require(self.target_rate > 0, "a positive target rate in Hz", self.target_rate, "pass target_rate=")


@register
@dataclass(frozen=True)
class STDP:
    """Pair spike-timing dependent plasticity of the connections marked plastic, with homeostatic scaling.

    dw = a_plus w_max exp(-D / tau_plus) when post fires D after pre, -a_minus w_max exp(-D / tau_minus) when pre fires
    after post (all pairs; times at the somata); w stays in [0, w_max].
    Homeostasis: tau_homeostasis dw/dt = w (1 - r_post / target_rate).

    Parameters
    ----------
    a_plus, a_minus : float
        Change per pair as a share of `w_max`.
    tau_plus, tau_minus : float
        s.
    w_max : float
        PSP peak, mV.
    tau_homeostasis : float
        s; 0 switches homeostasis off.
    target_rate : float
        Hz.
    snapshot : float
        Weights are kept in `/truth` every so many s.
    """

    a_plus: float = 0.005
    a_minus: float = 0.00525
    tau_plus: float = 0.020
    tau_minus: float = 0.020
    w_max: float = 1.0
    tau_homeostasis: float = 0.0
    target_rate: float = 10.0
    snapshot: float = 10.0

    def __post_init__(self) -> None:
        for name in ("tau_plus", "tau_minus", "w_max", "target_rate", "snapshot"):
            _require(getattr(self, name) > 0, f"a positive {name}", getattr(self, name), f"pass {name}=")
        for name in ("a_plus", "a_minus", "tau_homeostasis"):
            _require(getattr(self, name) >= 0, f"{name} of 0 or more", getattr(self, name), f"pass {name}=")


class Inputs(NamedTuple):
    """What was drawn for one run; a frame is `Circuit.frame` s.

    Attributes
    ----------
    state : array (frame,), int64
    latent : array (frame, latent)
    stimulus : array (frame, channel)
        1 while a condition of a stimulus is shown.
    signal, loading : array (frame, signal), (signal, neuron)
        Latents and stimuli side by side: the drive is bias + state_drive[state] + signal @ loading.
    state_drive, state_gain : array (state, neuron)
    coupling : array (state, post block, pre block)
    block : array (neuron,), int64
    trials : array (event, 3)
        Start (s), stop (s), channel of each event.
    """

    state: np.ndarray
    latent: np.ndarray
    stimulus: np.ndarray
    signal: np.ndarray
    loading: np.ndarray
    state_drive: np.ndarray
    state_gain: np.ndarray
    coupling: np.ndarray
    block: np.ndarray
    trials: np.ndarray


def draw_latent(latent: Latent, n_frames: int, frame: float, rng: np.random.Generator) -> np.ndarray:
    """Values of one latent, (frame,), of unit variance."""
    if latent.process == "sinusoid":
        phase = rng.uniform(0.0, 2.0 * np.pi)
        return np.sqrt(2.0) * np.sin(2.0 * np.pi * (np.arange(n_frames) + 0.5) * frame / latent.tau + phase)
    from scipy.signal import lfilter

    decay = np.exp(-frame / latent.tau)
    noise = rng.standard_normal(n_frames)
    noise[1:] *= np.sqrt(1.0 - decay**2)
    return lfilter([1.0], [1.0, -decay], noise)


def stimulus_frames(stimulus: Stimulus, n_frames: int, frame: float) -> tuple[np.ndarray, np.ndarray]:
    """What is shown in each frame (frame, condition), and the events (start, stop, condition) inside the run."""
    shown = np.zeros((n_frames, len(stimulus.tuning)))
    events = []
    for onset, condition in zip(stimulus.onset, stimulus.condition, strict=True):
        first, last = onset / frame, (onset + stimulus.duration) / frame
        if abs(first - round(first)) > 1e-6 or abs(last - round(last)) > 1e-6:
            raise OptionError(
                f"events that begin and end on frames of {frame:g} s",
                f"{onset:g} to {onset + stimulus.duration:g} s",
                "round them, or pass a shorter frame= to the circuit",
            )
        if round(last) <= n_frames:
            shown[round(first) : round(last), condition] = 1.0
            events.append((onset, onset + stimulus.duration, float(condition)))
    return shown, np.array(events).reshape(-1, 3)
