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
    "private": (0.4, True, 0.05, 6.0),
    "private_tau": (0.5, True, 0.03, 3.0),
    "slow_tau": (0.5, True, 0.4, 8.0),
    "fast": (0.3, True, 0.1, 8.0),
    "middle": (0.3, True, 0.1, 5.0),
    "slow": (0.3, True, 0.1, 5.0),
    "fast_common": (0.08, False, -0.6, 0.6),
    "middle_common": (0.08, False, -0.6, 0.6),
    "slow_common": (0.08, False, -0.6, 0.6),
}


class Goal(NamedTuple):
    """Statistics of the recording, and how far off counts as one unit in the search."""

    value: dict[str, float]
    scale: dict[str, float]


@dataclass
class Bench:
    """Everything that stays the same while the knobs are turned."""

    neurons: Neurons
    shape: Windows
    goal: Goal
    seconds: float
    epsp: float
    seed: int
    curves: dict[tuple[float, float, float], Curve] = field(default_factory=dict)

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
            key = (knobs.reset, knobs.private * level, knobs.private_tau)
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
        step = np.log((wanted + 0.5) / (count + 0.5)) / 0.4
        return offset + gain * trust * np.clip(step, -4.0, 4.0)

    def misfit(self, found: dict[str, float]) -> np.ndarray:
        """Differences from the goal in units of its scale."""
        return np.array(
            [
                np.clip(distance(found[name], value), -3.0, 3.0) / self.goal.scale[name]
                for name, value in self.goal.value.items()
                if name in self.goal.scale
            ]
        )


def distance(found: float, wanted: float) -> float:
    """Relative difference, on a log scale where both are positive."""
    if not np.isfinite(found):
        return 1.0
    if found > 0 and wanted > 0:
        return float(np.log(found / wanted))
    return (found - wanted) / max(abs(wanted), 1e-12)


def to_vector(knobs: Knobs) -> np.ndarray:
    """Knobs in units of their steps."""
    return np.array(
        [
            (np.log(getattr(knobs, name)) if log else getattr(knobs, name)) / step
            for name, (step, log, _, _) in STEPS.items()
        ]
    )


def to_knobs(vector: np.ndarray) -> Knobs:
    """The inverse of `to_vector`, inside the ranges."""
    fields = {}
    for x, (name, (step, log, low, high)) in zip(vector, STEPS.items(), strict=True):
        value = float(np.exp(x * step) if log else x * step)
        fields[name] = float(np.clip(value, low, high))
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
    n_rounds: int = 6,
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
    misfit = bench.misfit(bench.measure(start, offset, 0)[0])
    jacobian = _slopes(bench, x, offset, misfit, n_jobs)
    update("slopes")
    course: list[float] = []
    best, best_x, best_offset = np.inf, x, offset
    step = np.zeros(x.size)
    for n in range(n_rounds + 1):
        knobs = to_knobs(x)
        calls = [(knobs, offset, 100 + n * n_streams + k) for k in range(n_streams)]
        results = run_parallel(bench.measure, calls, n_jobs)
        new = np.mean([bench.misfit(found) for found, _ in results], axis=0)
        if step @ step > 0.0025:
            jacobian += 0.5 * np.outer(new - misfit - jacobian @ step, step) / (step @ step)
        misfit = new
        offset = bench.corrected(knobs, offset, np.mean([count for _, count in results], axis=0), 0.5)
        size = float(np.sqrt(np.mean(misfit**2)))
        course.append(size)
        if size < best:
            best, best_x, best_offset = size, x, offset
        if n == n_rounds:
            break
        update(f"misfit {size:.2f}")
        after = to_vector(to_knobs(x + _step(jacobian, misfit, x - origin) * (1.0 if n < 2 else 0.6)))
        step, x = after - x, after
    return Found(to_knobs(best_x), best_offset, course)


def _slopes(bench: Bench, x: np.ndarray, offset: np.ndarray, misfit: np.ndarray, n_jobs: int) -> np.ndarray:
    calls = [(to_knobs(x + unit), offset, 0) for unit in np.eye(x.size)]
    return np.array([bench.misfit(found) - misfit for found, _ in run_parallel(bench.measure, calls, n_jobs)]).T


def _step(jacobian: np.ndarray, misfit: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Damped least squares with a weak pull to the start."""
    pull = 0.3
    a = np.concatenate((jacobian, pull * np.eye(moved.size)))
    b = -np.concatenate((misfit, pull * moved))
    damp = 0.5
    step = np.linalg.solve(a.T @ a + damp * np.eye(moved.size), a.T @ b)
    return step * min(1.0, 2.5 / max(np.abs(step).max(), 1e-12))
