"""Behaviour that follows what goes on inside a circuit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurodata.containers.behaviour import make_behaviour
from neurodata.errors import OptionError
from neurodata.simulate._json import register
from neurodata.simulate.observation.base import Stage, free_name, with_nodes
from neurodata.simulate.truth import truth_of

_VARIABLES = ("latent", "stimulus", "state", "modulator")


@register
@dataclass(frozen=True, eq=False)
class Behaviour(Stage):
    """Signals such as running speed or pupil size that read out a latent, a stimulus or the state of a circuit.

    Each signal is a gain times the source, later by `lag`, low-passed by an exponential of time constant `tau`, plus
    white noise.

    Parameters
    ----------
    of : {"latent", "stimulus", "state", "modulator"}
        What of `/truth` is read out. States become one source each: 1 while in that state, else 0.
    gain : array (signal,) or (signal, source), optional
        One value per source makes as many signals; a matrix mixes the sources. Default: 1 for each source.
    lag : float
        s; negative for behaviour that leads. Where the source is not known (before it begins, after it ends), its
        first or last value is taken.
    tau : float
        s; 0 for no filter.
    noise : float
        Standard deviation of the noise over that of the signal without noise; of a signal that never changes, as it is.
    sampling_rate : float
        Hz. Samples begin with the recording.
    names : tuple of str, optional
        Default: signal_0, signal_1, ...
    unit : str

    Examples
    --------
    >>> from neurodata.simulate import Behaviour, observe, run, zoo
    >>> rec = run(zoo.null(n=5, rng=0), 2.0, rng=0)
    >>> seen = observe(rec, [Behaviour(gain=[2.0], names=("speed",), unit="cm/s")], rng=0)
    >>> seen["behaviour"]["value"].dims, seen["behaviour"]["signal"].values.tolist()
    (('time', 'signal'), ['speed'])
    """

    of: str = "latent"
    gain: np.ndarray | None = None
    lag: float = 0.0
    tau: float = 0.1
    noise: float = 0.3
    sampling_rate: float = 30.0
    names: tuple[str, ...] | None = None
    unit: str = ""

    def __post_init__(self) -> None:
        self._require(self.of in _VARIABLES, f"of as one of {', '.join(_VARIABLES)}", "of")
        self._require_finite("lag", "tau", "noise", "sampling_rate")
        for name in ("tau", "noise"):
            self._require(getattr(self, name) >= 0, f"{name} of 0 or more", name)
        self._require(self.sampling_rate > 0, "a positive sampling_rate", "sampling_rate")
        if self.gain is not None:
            gain = np.asarray(self.gain, dtype=np.float64)
            object.__setattr__(self, "gain", gain)
            self._require(
                gain.ndim in (1, 2) and gain.size > 0 and bool(np.isfinite(gain).all()),
                "finite gains (signal,) or (signal, source)", "gain",
            )  # fmt: skip
        if self.names is not None:
            object.__setattr__(self, "names", tuple(map(str, self.names)))
            self._require(len(set(self.names)) == len(self.names), "names that differ", "names")

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """A node `behaviour`; see `Stage.apply`."""
        truth = truth_of(rec)
        if self.of not in truth:
            there = [name for name in _VARIABLES if name in truth]
            raise OptionError(f"a circuit with a {self.of} to read out", f"{there or 'none of them'}", "pass of=")
        source = _columns(truth[self.of].values, self.of)
        n_sources = source.shape[1]
        gain = np.eye(n_sources) if self.gain is None else self.gain
        gain = np.diag(gain) if gain.ndim == 1 else gain
        if gain.shape[1] != n_sources:
            raise OptionError(f"gains for the {n_sources} columns of {self.of}", f"{gain.shape[1]}", "correct gain=")
        if self.names is not None and len(self.names) != gain.shape[0]:
            raise OptionError(f"{gain.shape[0]} names, one per signal", f"{len(self.names)}", "correct names=")
        frame_time = truth["time"].values.astype(np.float64)
        frame = float(truth.attrs["frame"])
        begin, end = frame_time[0] - frame / 2, frame_time[-1] + frame / 2
        time = begin + np.arange(max(1, int((end - begin) * self.sampling_rate + 1e-6))) / self.sampling_rate
        smooth = _low_passed(source, frame, self.tau)
        # Sources are constant within a frame: the value of the frame in which the time lies.
        at = np.clip(np.floor((time - self.lag - begin) / frame + 1e-9).astype(int), 0, frame_time.size - 1)
        signal = smooth[at] @ gain.T
        spread = signal.std(axis=0)
        scale = self.noise * np.where(spread > 0, spread, 1.0)
        node = make_behaviour(
            signal + scale * rng.standard_normal(signal.shape),
            signal=list(self.names or (f"signal_{k}" for k in range(gain.shape[0]))),
            unit=self.unit,
            time=time,
            sampling_rate=self.sampling_rate,
        )
        return with_nodes(rec, {free_name(rec, "behaviour"): node})


def _columns(values: np.ndarray, of: str) -> np.ndarray:
    """(frame, source)."""
    if of == "state":
        return (values[:, None] == np.arange(int(values.max(initial=0)) + 1)).astype(np.float64)
    return values.astype(np.float64).reshape(values.shape[0], -1)


def _low_passed(values: np.ndarray, frame: float, tau: float) -> np.ndarray:
    """Exponential average of the past that begins at the first value."""
    from scipy.signal import lfilter

    if tau == 0:
        return values
    keep = np.exp(-frame / tau)
    return lfilter([1.0 - keep], [1.0, -keep], values, axis=0, zi=keep * values[:1])[0]
