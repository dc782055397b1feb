"""Dissimilarities of patterns that lack channels: pair by pair, on the channels that both conditions have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from neurodata.models.trsa.layout import Layout, cells
from neurodata.models.trsa.weights import Noise

if TYPE_CHECKING:
    from neurodata.models.trsa.estimate import Settings


def with_missing(block: np.ndarray, found: Layout, noise: Noise | None, settings: Settings) -> np.ndarray:
    """Dissimilarities (batch, condition, condition), divided by the number of channels of each pair.

    Conditions with the same channels go through together, so the cost grows with the number of distinct sets of
    channels, not with that of pairs.
    """
    n = found.conditions.size
    out = np.empty((len(block), n, n))
    for k, values in enumerate(block):
        if found.row is None:
            n_runs = values.shape[0]
            flat = values.reshape(-1, values.shape[-1])
            row, fold = np.tile(np.arange(n), n_runs), np.repeat(np.arange(n_runs), n)
        else:
            flat, row = values, found.row
            fold = np.zeros(row.size, dtype=np.int64) if found.fold is None else found.fold
        one = noise.at(k, 1) if noise is not None and noise.by_batch else noise
        out[k] = _one(flat, row, fold, n, len(found.runs), one, settings)
    return out


def _one(
    values: np.ndarray,
    row: np.ndarray,
    fold: np.ndarray,
    n: int,
    n_runs: int,
    noise: Noise | None,
    settings: Settings,
) -> np.ndarray:
    seen = np.isfinite(values)
    if noise is not None and noise.unknown is not None:
        seen = seen & ~noise.unknown
    alive = seen.any(axis=1)
    values, seen, row, fold = values[alive], seen[alive], row[alive], fold[alive]
    used = np.zeros((n, values.shape[1]), dtype=bool)
    for c in range(n):
        part = seen[row == c]
        if len(part):
            used[c] = part.all(axis=0) if settings.crossed else part.any(axis=0)
    out = np.full((n, n), np.nan)
    masks, which = np.unique(used, axis=0, return_inverse=True)
    which = which.ravel()
    for a in range(len(masks)):
        for b in range(a, len(masks)):
            channels = np.flatnonzero(masks[a] & masks[b])
            members = np.flatnonzero((which == a) | (which == b))
            if channels.size == 0 or members.size < 2:
                continue
            rows = np.flatnonzero(np.isin(row, members))
            distance = _complete(
                values[np.ix_(rows, channels)], row[rows], fold[rows], members, n_runs, channels, noise, settings
            )
            first, second = np.flatnonzero(which[members] == a), np.flatnonzero(which[members] == b)
            out[np.ix_(members[first], members[second])] = distance[np.ix_(first, second)]
            out[np.ix_(members[second], members[first])] = distance[np.ix_(second, first)]
    out[np.arange(n), np.arange(n)] = 0.0
    return out


def _complete(
    values: np.ndarray,
    row: np.ndarray,
    fold: np.ndarray,
    members: np.ndarray,
    n_runs: int,
    channels: np.ndarray,
    noise: Noise | None,
    settings: Settings,
) -> np.ndarray:
    """Dissimilarities of some conditions on channels that all of them have."""
    from neurodata.models.trsa.estimate import dissimilarities

    place = np.searchsorted(members, row)
    if settings.crossed:
        sums, counts = cells(values, place, fold, members.size, n_runs)
    else:
        # Means over the repeats that have the channel.
        seen = np.isfinite(values)
        total, _ = cells(np.where(seen, values, 0.0), place, None, members.size, 1)
        number, _ = cells(seen.astype(np.float64), place, None, members.size, 1)
        sums, counts = total / number, np.ones((1, members.size))
    found = dissimilarities(sums, counts, None if noise is None else noise.of(channels), settings)
    return found if settings.measure in ("correlation", "cosine") else found / channels.size
