"""Turning the knobs of a twin until its statistics are those of the recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from neurodata._core.parallel import run_parallel
from neurodata.simulate.circuit import Circuit
from neurodata.validate._pieces import Windows, gather, of_units
from neurodata.validate._surface import HOPELESS, Line, Trial, design, drift, line, settled
from neurodata.validate._twin import Curve, Knobs, Neurons, biases, build, f_i_curve, simulate
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


# Of the search, in steps of the knobs: damping, pull to the start, longest step of a round.
DAMPING, PULL, LONGEST_STEP = 0.1, 0.3, 1.5
# How far the simulations of a round are from its middle, in the first and at the end, and those that rates are from.
FIRST_REACH, LAST_REACH, RATE_REACH = 0.7, 0.4, 0.8
# Simulations from which the rates are settled at the start, before a long simulation, and at the end.
BEGINNING, BETWEEN, SETTLING = 4, 3, 8


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
        return build(self.neurons, knobs, self._curves(knobs), offset, epsp=self.epsp, seed=self.seed)

    def _curves(self, knobs: Knobs) -> dict[float, Curve]:
        """Rate over bias by level of private fluctuation."""
        curves = {}
        for level in np.unique(self.neurons.level):
            key = (knobs.reset, knobs.noise, knobs.private * level, knobs.private_tau)
            if key not in self.curves:
                self.curves[key] = f_i_curve(knobs, float(level), np.random.default_rng(self.seed))
            curves[float(level)] = self.curves[key]
        return curves

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
        step = np.log((wanted + 0.5) / (count + 0.5)) / self.steepness(knobs)
        return offset + gain * trust * np.clip(step, -4.0, 4.0)

    def steepness(self, knobs: Knobs) -> np.ndarray:
        """Growth of each neuron's log rate per mV of bias."""
        _, slope = biases(self.neurons, knobs, self._curves(knobs))
        return np.clip(slope, 0.15, 0.6)

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
    long: Bench,
    *,
    n_rounds: int = 6,
    n_jobs: int = 1,
    update: Callable[[str], None] = lambda note: None,
) -> Found:
    """Turn the knobs along a line through many simulations, with the rates of all neurons kept right on the way.

    A round is twelve simulations, each with random numbers of its own, in which all knobs are up or down at once; all
    simulations so far, the nearer the more, give the slopes and the misfit in the middle, and correct each neuron's
    bias. A step that did not help is taken back. After every other round one simulation by `long`, which is the same
    but for its length, says how far the statistics are from those of short simulations, in which slow units count less.
    """
    rng = np.random.default_rng([bench.seed, 7])
    surface = _Surface(bench, to_vector(start))
    surface.settle(BEGINNING)
    update("rates")
    origin = x = centre = surface.x
    course: list[float] = []
    longest = LONGEST_STEP
    for n in range(n_rounds):
        reach = max(LAST_REACH, FIRST_REACH - 0.1 * n)
        surface.move(x)
        points = [surface.inside(x + reach * point) for point in design(x.size, rng)]
        surface.simulate(points, n_jobs)
        here = surface.line(x, reach)
        course.append(here.size)
        update(f"misfit {here.size:.2f}")
        if n == 0 or here.size <= 1.15 * surface.line(centre, reach).size:
            centre = x
        else:
            longest = max(longest / 2.0, reach)
        if n % 2 and long.seconds > 1.2 * bench.seconds:
            surface.compare(long, centre, reach)
        best = surface.line(centre, reach)
        x = surface.inside(centre + _step(best, centre - origin, longest))
    # The last step has been seen by no simulation.
    surface.move(x)
    surface.settle(SETTLING)
    course.append(surface.line(x, LAST_REACH).size)
    if course[-1] > surface.line(centre, LAST_REACH).size:
        surface.move(centre)
        surface.settle(SETTLING)
        course.append(surface.line(centre, LAST_REACH).size)
    return Found(to_knobs(surface.x, bench.slowest), surface.offset, course)


class _Surface:
    """All simulations of a search, the knobs of now (in steps), and the offsets that give the wanted rates there."""

    def __init__(self, bench: Bench, x: np.ndarray) -> None:
        self.bench = bench
        self.x = self.inside(x)
        self.wanted = bench.neurons.rate * bench.seconds
        self.offset = np.zeros(self.wanted.size)
        self.trials: list[Trial] = []
        self.beyond: list[np.ndarray] = []

    def inside(self, x: np.ndarray) -> np.ndarray:
        """The point itself, or the nearest within the ranges."""
        return to_vector(to_knobs(x, self.bench.slowest))

    def simulate(self, points: list[np.ndarray], n_jobs: int) -> None:
        """Try some settings, each with offsets that follow its knobs."""
        change, slope = self._rates()
        calls = []
        for k, point in enumerate(points):
            shift = np.clip(-(change @ (point - self.x)) / slope, -3.0, 3.0)
            calls.append((to_knobs(point, self.bench.slowest), self.offset + shift, len(self.trials) + k))
        results = run_parallel(self.bench.measure, calls, n_jobs)
        for point, (_, offset, _), (found, count) in zip(points, calls, results, strict=True):
            self.trials.append(Trial(point, offset, count, self.bench.misfit(found)))
        self.move(self.x)

    def move(self, x: np.ndarray) -> None:
        """Go to other knobs, and correct the offsets by what all simulations say."""
        if self.trials:
            change, slope = self._rates()
            self.offset = self.offset + np.clip(-(change @ (x - self.x)) / slope, -3.0, 3.0)
            self.x = x
            self.offset = settled(self.trials, x, RATE_REACH, self.wanted, slope, self.offset, change)
        self.x = x

    def settle(self, n: int) -> None:
        """Simulate `n` times at the knobs of now, correcting the rates after each by what these simulations say.

        Those at other knobs have no say here: what is left of their error does not average out.
        """
        knobs = to_knobs(self.x, self.bench.slowest)
        slope, before = self.bench.steepness(knobs), len(self.trials)
        for _ in range(n):
            found, count = self.bench.measure(knobs, self.offset, len(self.trials))
            self.trials.append(Trial(self.x, self.offset, count, self.bench.misfit(found)))
            still = np.zeros((slope.size, self.x.size))
            self.offset = settled(self.trials[before:], self.x, RATE_REACH, self.wanted, slope, self.offset, still)

    def line(self, x: np.ndarray, reach: float) -> Line:
        """Misfit and slopes at a point."""
        # The very first simulations had rates of their own.
        found = line(self.trials[BEGINNING // 2 :], x, reach, self.wanted)
        return found._replace(misfit=found.misfit + np.mean(self.beyond, axis=0)) if self.beyond else found

    def compare(self, long: Bench, x: np.ndarray, reach: float) -> None:
        """Simulate for longer, and keep how far the misfit is from that of short simulations."""
        short = line(self.trials[BEGINNING // 2 :], x, reach, self.wanted)
        self.move(x)
        self.settle(BETWEEN)
        found, _ = long.measure(to_knobs(x, self.bench.slowest), self.offset, len(self.trials) + 1000)
        self.beyond.append(self.bench.misfit(found) - short.misfit)

    def _rates(self) -> tuple[np.ndarray, np.ndarray]:
        """Change of the log rates per step of the knobs, and per mV."""
        slope = self.bench.steepness(to_knobs(self.x, self.bench.slowest))
        if len(self.trials) <= BEGINNING:
            return np.zeros((slope.size, self.x.size)), slope
        return drift(self.trials, self.x, RATE_REACH, self.wanted, slope), slope


def _step(here: Line, moved: np.ndarray, longest: float) -> np.ndarray:
    """Least squares with a weak pull to the start; what is not known of the slopes damps it.

    The mean square misfit after a step, over what the slopes may be, is that at the slopes found plus their variance
    times the step squared. Statistics that stay far off hold back the others less and less (Cauchy's loss).
    """
    unknown = here.error * len(here.misfit) + DAMPING
    step = np.zeros(moved.size)
    for _ in range(5):
        weight = 1.0 / (1.0 + ((here.misfit + here.slope @ step) / HOPELESS) ** 2)
        turned = here.slope.T * weight
        normal = turned @ here.slope + np.diag(PULL**2 + unknown)
        step = np.linalg.solve(normal, -turned @ here.misfit - PULL**2 * moved)
        step *= min(1.0, longest / max(np.abs(step).max(), 1e-12))
    return step
