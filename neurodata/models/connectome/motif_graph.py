"""The graph of each motif: what every pair's affinity owes to the motif's course, and which pairs exceed chance."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from neurodata.diagnostics.decisions import benjamini_hochberg
from neurodata.errors import OptionError
from neurodata.models.connectome.maker import Differential, Maker, RankCorrelation, Smoothed
from neurodata.models.connectome.sessions import Sessions
from neurodata.models.connectome.stream import AffinityStream

# Shifted traces are at least this part of the recording away from their own time.
_LEAST_SHIFT = 0.05


class Graphs(NamedTuple):
    """Weights of pairs (motif, unit, unit), 0 where there is no link, NaN where a pair was never observed.

    Attributes
    ----------
    coefficient : array
        Regression of affinities on the motifs' courses.
    weight : array
        `coefficient` above its mean in shifted traces, of pairs for which it is larger than chance; 0 elsewhere.
    p_value : array
    """

    coefficient: np.ndarray
    weight: np.ndarray
    p_value: np.ndarray


@dataclass(frozen=True)
class Course:
    """Activity (time, motif) of the motifs in one animal, as a tensor's rows have it: weights are in it."""

    values: np.ndarray


def graphs(
    sessions: Sessions, courses: list[Course], n_surrogates: int, level: float, rng: np.random.Generator
) -> Graphs:
    """Regress affinities on courses, and again with every unit turned by a time of its own.

    Parameters
    ----------
    sessions : Sessions
    courses : list of Course
        Of each animal.
    n_surrogates : int
        Turned copies; 0 keeps every pair with a coefficient above 0.
    level : float
        False discovery rate of the links of each motif.
    """
    n, members = len(sessions.label), sessions.members()
    n_motifs = courses[0].values.shape[1]
    gram = np.zeros((n * (n - 1) // 2, n_motifs, n_motifs))
    pairs = [_pairs_among_all(member, n) for member in members]
    for stream, course, place in zip(sessions.stream, courses, pairs, strict=True):
        gram[place] += _gram(stream, course.values)
    seen = np.asarray(gram.any(axis=(1, 2)))
    inverse = _inverted(gram[seen])

    def coefficients(streams: list[AffinityStream]) -> np.ndarray:
        cross = np.zeros((len(gram), n_motifs))
        for stream, course, place in zip(streams, courses, pairs, strict=True):
            cross[place] += _cross(stream, course.values)
        return np.einsum("prs,ps->rp", inverse, cross[seen])

    observed = coefficients(list(sessions.stream))
    if n_surrogates:
        null = np.stack(
            [coefficients([turned(one, rng) for one in sessions.stream]) for _ in range(n_surrogates)], axis=1
        )
        mean, p = _against(observed, null)
        kept = np.stack([benjamini_hochberg(row, level) for row in p])
        weight = np.where(kept, np.maximum(observed - mean, 0.0), 0.0)
    else:
        weight, p = np.maximum(observed, 0.0), np.full_like(observed, np.nan)
    return Graphs(*(_square(values, seen, n) for values in (observed, weight, p)))


def _against(observed: np.ndarray, null: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean under the null, and the share of null values of all pairs that exceed each pair's.

    Both are in units of each pair's own spread under the null, each surrogate in that of the others: one
    measured against a spread that it is part of could not be far away.
    """
    n = null.shape[1]
    mean, variance = null.mean(axis=1), null.var(axis=1, ddof=1)
    least = (1e-3 * np.sqrt(np.median(variance, axis=1, keepdims=True)) + 1e-300) ** 2
    p = np.empty_like(observed)
    for r in range(len(observed)):
        away = null[r] - mean[r]
        rest = np.maximum(((n - 1) * variance[r] - away**2 * n / (n - 1)) / (n - 2), least[r])
        own = away * (n / (n - 1.0)) / np.sqrt(rest * (1.0 + 1.0 / (n - 1.0)))
        z = (observed[r] - mean[r]) / np.sqrt(np.maximum(variance[r], least[r]) * (1.0 + 1.0 / n))
        ordered = np.sort(own, axis=None)
        above = ordered.size - np.searchsorted(ordered, z, side="left")
        p[r] = (1.0 + above) / (1.0 + ordered.size)
    return mean, p


def _pairs_among_all(member: np.ndarray, n: int) -> np.ndarray:
    """Places of an animal's pairs in the packed pairs of all units; its units are in order."""
    i, j = np.triu_indices(len(member), 1)
    a, b = member[i], member[j]
    return a * n - a * (a + 1) // 2 + b - a - 1


def _gram(stream: AffinityStream, course: np.ndarray) -> np.ndarray:
    """Sums of products of courses over the rows in which each pair was observed, (pair, motif, motif)."""
    i, j = stream.pairs
    kinds, row_kind = np.unique(stream.observed, axis=0, return_inverse=True)
    each = np.stack([course[row_kind.ravel() == k].T @ course[row_kind.ravel() == k] for k in range(len(kinds))])
    return np.einsum("kp,krs->prs", (kinds[:, i] & kinds[:, j]).astype(np.float64), each)


def _cross(stream: AffinityStream, course: np.ndarray) -> np.ndarray:
    """Products of affinities with courses, (pair, motif)."""
    total = np.zeros((stream.sizes["pair"], course.shape[1]))
    for a in range(0, len(stream.time), stream.block_rows):
        z = min(a + stream.block_rows, len(stream.time))
        total += (course[a:z].astype(np.float32).T @ stream.read(a, z)).T
    return total


def _inverted(gram: np.ndarray) -> np.ndarray:
    """Inverses, of many pairs with the same matrix once."""
    flat, kind = np.unique(gram.reshape(len(gram), -1), axis=0, return_inverse=True)
    n = gram.shape[1]
    return np.linalg.pinv(flat.reshape(-1, n, n), rcond=1e-8, hermitian=True)[kind.ravel()]


def _square(values: np.ndarray, seen: np.ndarray, n: int) -> np.ndarray:
    packed = np.full((len(values), len(seen)), np.nan)
    packed[:, seen] = values
    i, j = np.triu_indices(n, 1)
    out = np.zeros((len(values), n, n))
    out[:, i, j] = out[:, j, i] = packed
    return out


def turned(stream: AffinityStream, rng: np.random.Generator) -> AffinityStream:
    """The stream of traces of which each is turned, over the times at which it was observed, by a time of its own."""
    n_times, n_units = stream.observed.shape
    source = np.tile(np.arange(n_times)[:, None], (1, n_units))
    for unit in range(n_units):
        rows = np.flatnonzero(stream.observed[:, unit])
        least = max(1, int(_LEAST_SHIFT * len(rows)))
        if len(rows) > 2 * least:
            source[rows, unit] = np.roll(rows, int(rng.integers(least, len(rows) - least + 1)))
    return replace(stream, maker=_turned(stream.maker, source))


def _turned(maker: Maker, source: np.ndarray) -> Maker:
    if isinstance(maker, Smoothed):
        return replace(maker, maker=_turned(maker.maker, source))
    column = np.arange(source.shape[1])
    if isinstance(maker, Differential):
        value, gate, late_value, late_gate = (
            None if one is None else np.ascontiguousarray(one[source, column])
            for one in (maker.value, maker.gate, maker.late_value, maker.late_gate)
        )
        assert value is not None
        assert gate is not None
        return replace(maker, value=value, gate=gate, late_value=late_value, late_gate=late_gate)
    if isinstance(maker, RankCorrelation):
        return replace(maker, value=np.ascontiguousarray(maker.value[source, column]))
    raise OptionError("affinities of derivatives or rank correlations", type(maker).__name__, "set n_surrogates=0")
