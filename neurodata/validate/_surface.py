"""What many noisy simulations around one setting of the knobs say together: slopes of the statistics, and rates."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

# First row of the Plackett-Burman design of 12 runs; the others are its rotations, and a row of minuses.
_ROW = np.array([1, 1, -1, 1, 1, 1, -1, -1, -1, 1, -1])
RUNS = _ROW.size + 1
# Slopes of a statistic, in misfit per step of a knob, and of a log rate per step, as they usually are.
USUAL_SLOPE, USUAL_DRIFT = 1.0, 0.15
# The same for the misfit per log unit of wrong rates.
RATE_EFFECT = 4.0
# mV; simulations whose bias was further off than this say little about the rate of a neuron.
NEAR_BIAS = 1.5
# Misfit from which a statistic counts less.
HOPELESS = 2.0


class Trial(NamedTuple):
    """A simulation: knobs (knob,) in steps, offsets of the biases (neuron,), spikes (neuron,), misfit (statistic,)."""

    x: np.ndarray
    offset: np.ndarray
    spikes: np.ndarray
    misfit: np.ndarray


class Line(NamedTuple):
    """Misfit at a point (statistic,), its slopes (statistic, knob), and the squared error of a slope (knob,)."""

    misfit: np.ndarray
    slope: np.ndarray
    error: np.ndarray

    @property
    def size(self) -> float:
        """Root mean misfit by Cauchy's loss: the square, but hopeless statistics count by their logarithm."""
        return float(HOPELESS * np.sqrt(np.mean(np.log1p((self.misfit / HOPELESS) ** 2))))


def design(n: int, rng: np.random.Generator) -> np.ndarray:
    """Twelve points (run, knob) of -1 and 1, in which each of up to eleven knobs is up in half of the runs whatever
    the others are (Plackett and Burman 1946, doi 10.1093/biomet/33.4.305); columns are shuffled.

    Examples
    --------
    >>> points = design(11, np.random.default_rng(0))
    >>> bool((points.T @ points == 12 * np.eye(11)).all())
    True
    """
    rows = np.vstack([np.roll(_ROW, k) for k in range(_ROW.size)] + [-np.ones(_ROW.size)])
    return rows[:, rng.permutation(_ROW.size)[:n]] * rng.choice([-1.0, 1.0])


def nearness(trials: list[Trial], x: np.ndarray, reach: float) -> np.ndarray:
    """Weights (trial,) of trials that are up to about `reach` steps from `x` in each knob."""
    squared = np.array([((trial.x - x) ** 2).sum() for trial in trials])
    return np.exp(-squared / (2.0 * reach**2 * x.size))


def line(trials: list[Trial], x: np.ndarray, reach: float, wanted: np.ndarray) -> Line:
    """Weighted regression of the misfits on the knobs around `x`.

    What wrong rates do to the statistics is taken out: the common error of the rates, and that of the spikes in all,
    are regressors too, and the line is that at the right rates.

    Parameters
    ----------
    trials : list of Trial
    x : array (knob,)
    reach : float
        Steps.
    wanted : array (neuron,)
        Spikes.
    """
    weight = nearness(trials, x, reach)
    moved = np.array([trial.x - x for trial in trials])
    misfit = np.array([trial.misfit for trial in trials])
    error = np.array([_rate_error(trial.spikes, wanted) for trial in trials])
    columns = np.column_stack((np.ones(len(trials)), moved, error))
    penalty = np.concatenate(([0.0], np.full(moved.shape[1], USUAL_SLOPE**-2.0), np.full(2, RATE_EFFECT**-2.0)))
    noise = 0.25
    for _ in range(3):
        gram = columns.T @ (weight[:, None] * columns) + noise * np.diag(penalty) + 1e-9 * np.eye(columns.shape[1])
        inverse = np.linalg.inv(gram)
        hat = inverse @ columns.T * weight
        coefficient = hat @ misfit
        rest = weight.sum() - np.trace(columns @ hat * weight[:, None])
        residual = weight @ (misfit - columns @ coefficient) ** 2
        noise = float(np.clip(residual.mean() / max(rest, 0.2 * weight.sum()), 0.01, 4.0))
    variance = noise * np.einsum("kt,kt->k", hat, hat)
    # Slopes of which nothing is known are as uncertain as they usually are large.
    variance += USUAL_SLOPE**2 * (noise * penalty * np.diag(inverse)) ** 2
    knobs = slice(1, 1 + moved.shape[1])
    return Line(coefficient[0], coefficient[knobs].T, variance[knobs])


def _rate_error(count: np.ndarray, wanted: np.ndarray) -> tuple[float, float]:
    trust = wanted / (wanted + 5.0)
    each = np.log((count + 0.5) / (wanted + 0.5))
    return float(np.log((count.sum() + 0.5) / (wanted.sum() + 0.5))), float((trust * each).sum() / trust.sum())


def drift(trials: list[Trial], x: np.ndarray, reach: float, wanted: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Change of each neuron's log rate per step of each knob, (neuron, knob), at the same offset of the bias.

    `slope` (neuron,) is the growth of log rates per mV. Little is known of neurons that fire little, and for them the
    change is taken to be small.
    """
    weight = nearness(trials, x, reach)
    moved = np.array([trial.x - x for trial in trials])
    level = np.array([np.log((t.spikes + 0.5) / (wanted + 0.5)) - slope * t.offset for t in trials])
    moved = moved - np.average(moved, axis=0, weights=weight)
    level = level - np.average(level, axis=0, weights=weight)
    values, vectors = np.linalg.eigh(moved.T @ (weight[:, None] * moved))
    along = vectors.T @ (moved.T @ (weight[:, None] * level))
    noise = np.average(level**2, axis=0, weights=weight) + 1e-6
    return (vectors @ (along / (np.maximum(values, 0.0)[:, None] + noise / USUAL_DRIFT**2))).T


def settled(
    trials: list[Trial],
    x: np.ndarray,
    reach: float,
    wanted: np.ndarray,
    slope: np.ndarray,
    offset: np.ndarray,
    change: np.ndarray,
) -> np.ndarray:
    """Offsets (neuron,) that give the wanted rates at `x`, from all trials together.

    Each says what it would have given at `x` and at the offsets of now; spikes are averaged, not their logarithms,
    since units that fire in rare bouts are far from their mean in any single simulation.

    Parameters
    ----------
    trials, x, reach, wanted, slope
        As in `drift`.
    offset : array (neuron,)
        mV, those of now.
    change : array (neuron, knob)
        See `drift`.
    """
    near = nearness(trials, x, reach)
    for _ in range(3):
        off = np.array([offset - trial.offset for trial in trials])
        weight = near[:, None] / (1.0 + (off / NEAR_BIAS) ** 2)
        exponent = slope * off + np.array([change @ (x - trial.x) for trial in trials])
        expected = np.array([trial.spikes for trial in trials]) * np.exp(np.clip(exponent, -3.0, 3.0))
        expected = (weight * expected).sum(axis=0) / weight.sum(axis=0)
        trust = wanted * weight.sum(axis=0) / (wanted * weight.sum(axis=0) + 5.0)
        step = np.log((wanted + 0.5) / (expected + 0.5)) / slope
        offset = offset + trust * np.clip(step, -3.0, 3.0)
    return offset
