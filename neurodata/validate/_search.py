"""Turning the knobs of a twin until its statistics are those of the recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from neurodata._core.parallel import run_parallel
from neurodata.simulate.circuit import Circuit
from neurodata.validate._pieces import Windows, gather, of_units
from neurodata.validate._twin import Curve, Knobs, Neurons, build, f_i_curve, simulate
from neurodata.validate.statistics import summarise

# Unit of each knob in the search, whether on a log scale, and its range.
STEPS: dict[str, tuple[float, bool, float, float]] = {
    "reset": (2.0, False, -75.0, -51.0),
    "noise": (0.15, True, 1.0, 10.0),
    "private": (0.4, True, 0.05, 6.0),
    "private_tau": (0.5, True, 0.03, 3.0),
    "slow_tau": (0.5, True, 0.4, 8.0),
    "fast": (0.3, True, 0.1, 8.0),
    "middle": (0.3, True, 0.1, 5.0),
    "slow": (0.3, True, 0.1, 5.0),
    "fast_common": (0.1, False, -0.6, 0.6),
    "middle_common": (0.1, False, -0.6, 0.6),
    "slow_common": (0.1, False, -0.6, 0.6),
}


# Of the search, in steps of the knobs: Levenberg's damping at the start, pull to the start, longest step of a round.
DAMPING, PULL, LONGEST_STEP = 0.5, 0.3, 1.0
# Growth of a log rate per mV of bias, about; simulations from which the rates are settled at the end.
SLOPE, SETTLING = 0.4, 8


class Goal(NamedTuple):
    """Statistics of the recording, and the sampling errors of those that the knobs are turned for."""

    value: dict[str, float]
    error: dict[str, float]


@dataclass
class Bench:
    """Everything that stays the same while the knobs are turned.

    Attributes
    ----------
    neurons : Neurons
    shape : Windows
        Of the statistics.
    goal : Goal
    seconds : float
        Length of one simulation.
    epsp : float
        Median EPSP, mV.
    seed : int
        Of the graph and, with the number of a stream, of all that differs between simulations.
    slowest : float
        Longest correlation time of the slow drives, s.
    curves : dict
        Rate over bias, measured so far.
    """

    neurons: Neurons
    shape: Windows
    goal: Goal
    seconds: float
    epsp: float
    seed: int
    slowest: float = 8.0
    curves: dict[tuple[float, ...], Curve] = field(default_factory=dict)

    def varied(self, epsp: float | None = None, seed: int | None = None) -> Bench:
        """The same with other synapses, or another graph."""
        return replace(self, epsp=self.epsp if epsp is None else epsp, seed=self.seed if seed is None else seed)

    def lasting(self, seconds: float) -> Bench:
        """The same with simulations of another length (s)."""
        return replace(self, seconds=seconds)

    def circuit(self, knobs: Knobs, offset: np.ndarray) -> Circuit:
        """The circuit at these knobs."""
        curves = {}
        for level in np.unique(self.neurons.level):
            key = (knobs.reset, knobs.noise, knobs.private * level, knobs.private_tau)
            if key not in self.curves:
                self.curves[key] = f_i_curve(knobs, float(level), np.random.default_rng(self.seed))
            curves[float(level)] = self.curves[key]
        return build(self.neurons, knobs, curves, offset, epsp=self.epsp, seed=self.seed)

    def measure(self, knobs: Knobs, offset: np.ndarray, stream: int) -> tuple[dict[str, float], np.ndarray]:
        """Statistics of a twin, and its spikes by neuron."""
        n = self.neurons.rate.size
        trains = simulate(
            self.circuit(knobs, offset), np.arange(n), self.seconds, np.random.default_rng([self.seed, stream])
        )
        count = trains.last - trains.first
        return summarise(gather(of_units(trains, self.neurons.recorded), self.shape, 1)), count

    def corrected(self, knobs: Knobs, offset: np.ndarray, count: np.ndarray, gain: float) -> np.ndarray:
        """Offsets that bring the rates nearer to those wanted."""
        wanted = self.neurons.rate * self.seconds
        trust = wanted / (wanted + 5.0)
        step = np.log((wanted + 0.5) / (count + 0.5)) / SLOPE
        return offset + gain * trust * np.clip(step, -4.0, 4.0)

    def misfit(self, found: dict[str, float]) -> np.ndarray:
        """Differences from the goal; 1 is about 10 %, or half a sampling error where that is more."""
        return np.array(
            [distance(found[name], self.goal.value[name], error) for name, error in self.goal.error.items()]
        )


def distance(found: float, wanted: float, error: float) -> float:
    """Difference in units of 10 % and half a sampling error together.

    On a log scale where both are positive and the wanted value is clear of 0; large differences count by their
    logarithm, so that one hopeless statistic does not outweigh all others and yet keeps a slope.

    Examples
    --------
    >>> round(distance(1.1, 1.0, 0.0), 2), distance(1.0, 1.0, 0.3)
    (0.85, 0.0)
    """
    if not np.isfinite(found):
        return 3.0
    if found > 0 and wanted > 2.0 * error:
        difference = np.log(found / wanted) / (0.1 + 0.5 * error / wanted)
    else:
        difference = (found - wanted) / (0.1 * abs(wanted) + 0.5 * error + 1e-12)
    return float(np.sign(difference) * 4.0 * np.log1p(abs(difference) / 4.0))


def to_vector(knobs: Knobs) -> np.ndarray:
    """Knobs in units of their steps."""
    return np.array(
        [
            (np.log(getattr(knobs, name)) if log else getattr(knobs, name)) / step
            for name, (step, log, _, _) in STEPS.items()
        ]
    )


def to_knobs(vector: np.ndarray, slowest: float = np.inf) -> Knobs:
    """The inverse of `to_vector`, inside the ranges."""
    fields = {}
    for x, (name, (step, log, low, high)) in zip(vector, STEPS.items(), strict=True):
        value = float(np.exp(x * step) if log else x * step)
        fields[name] = float(np.clip(value, low, min(high, slowest) if name == "slow_tau" else high))
    return Knobs(**fields)


class Found(NamedTuple):
    """Where the search ended: knobs, offsets of the biases (mV), and its course (misfit per round)."""

    knobs: Knobs
    offset: np.ndarray
    course: list[float]


def search(
    bench: Bench,
    start: Knobs,
    *,
    n_rounds: int = 8,
    n_streams: int = 2,
    n_jobs: int = 1,
    update: Callable[[str], None] = lambda note: None,
) -> Found:
    """Gauss-Newton on the knobs, with the rates corrected neuron by neuron on the way.

    The slopes are differences between simulations with common random numbers. The rounds use fresh ones, several at a
    time, so that the twin does not learn the noise of one; slopes are kept up by half of Broyden's update.
    """
    offset = np.zeros(bench.neurons.rate.size)
    for stream in range(3):
        _, count = bench.measure(start, offset, stream)
        offset = bench.corrected(start, offset, count, 0.8)
    update("rates")
    origin = x = to_vector(start)
    jacobian, misfit = _slopes(bench, x, offset, n_streams, n_jobs)
    update("slopes")
    course: list[float] = []
    best, best_x, best_offset = np.inf, x, offset
    damping, before = DAMPING, misfit
    step = np.zeros(x.size)
    for n in range(n_rounds + 1):
        knobs = to_knobs(x, bench.slowest)
        stream = 100 + n * (n_streams + 1)
        # Rates first: every other statistic hangs on them.
        _, count = bench.measure(knobs, offset, stream)
        offset = bench.corrected(knobs, offset, count, 0.8)
        calls = [(knobs, offset, stream + 1 + k) for k in range(n_streams)]
        results = run_parallel(bench.measure, calls, n_jobs)
        misfit = np.mean([bench.misfit(found) for found, _ in results], axis=0)
        size = float(np.sqrt(np.mean(misfit**2)))
        # Far off the straight line a difference says nothing about the slope here.
        if step @ step > 0.01 and size <= 1.15 * best:
            jacobian += 0.5 * np.outer(misfit - before - jacobian @ step, step) / (step @ step)
        offset = bench.corrected(knobs, offset, np.mean([count for _, count in results], axis=0), 0.4)
        course.append(size)
        if size > 1.15 * best:
            damping *= 4.0
        if size <= best:
            best, best_x, best_offset, best_misfit = size, x, offset, misfit
            damping = max(damping / 2.0, DAMPING / 4.0)
        elif size > 1.15 * best:  # from where it was good, with a shorter step
            x, offset, misfit = best_x, best_offset, best_misfit
        if n == n_rounds:
            break
        update(f"misfit {size:.2f}")
        after = to_vector(to_knobs(x + _step(jacobian, misfit, x - origin, damping), bench.slowest))
        step, x, before = after - x, after, misfit
    return _settled(bench, to_knobs(best_x, bench.slowest), best_offset, course)


def _settled(bench: Bench, knobs: Knobs, offset: np.ndarray, course: list[float]) -> Found:
    """Correct the rates at the knobs found, from all of several simulations together: units that fire in rare bouts
    are far from their mean rate in any single one.
    """
    wanted = bench.neurons.rate * bench.seconds
    trust = wanted / (wanted + 5.0)
    seen: list[tuple[np.ndarray, np.ndarray]] = []
    for n in range(SETTLING):
        _, count = bench.measure(knobs, offset, 400 + n)
        seen.append((offset, count))
        # What each simulation would have given at the offsets of now.
        expected = np.mean([c * np.exp(SLOPE * (offset - o)) for o, c in seen], axis=0)
        offset = offset + trust * np.clip(np.log((wanted + 0.5) / (expected + 0.5)) / SLOPE, -4.0, 4.0)
    return Found(knobs, offset, course)


def _slopes(
    bench: Bench, x: np.ndarray, offset: np.ndarray, n_streams: int, n_jobs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Change of the misfit (statistic, knob) per step of each knob, and the misfit here (statistic,)."""
    moves = np.concatenate((np.zeros((1, x.size)), np.eye(x.size)))
    calls = [(to_knobs(x + move, bench.slowest), offset, stream) for move in moves for stream in range(n_streams)]
    found = [bench.misfit(values) for values, _ in run_parallel(bench.measure, calls, n_jobs)]
    mean = np.mean(np.reshape(found, (len(moves), n_streams, -1)), axis=1)
    return (mean[1:] - mean[0]).T, mean[0]


def _step(jacobian: np.ndarray, misfit: np.ndarray, moved: np.ndarray, damping: float) -> np.ndarray:
    """Damped least squares with a weak pull to the start."""
    a = np.concatenate((jacobian, PULL * np.eye(moved.size)))
    b = -np.concatenate((misfit, PULL * moved))
    step = np.linalg.solve(a.T @ a + damping * np.eye(moved.size), a.T @ b)
    return step * min(1.0, LONGEST_STEP / max(np.abs(step).max(), 1e-12))
