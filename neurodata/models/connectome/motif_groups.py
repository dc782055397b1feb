"""Communities of the graph of a motif, also where some pairs were never observed together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from neurodata._core.parallel import one_thread
from neurodata.errors import OptionError
from neurodata.models.connectome.weighted_sbm import WeightedSBM

# Links with which there is something to tell groups by.
_FEWEST_LINKS = 3


class Groups(NamedTuple):
    """Communities of one graph.

    Attributes
    ----------
    label : array (unit,)
        -1 for units without links.
    probability : array (unit, community)
    """

    label: np.ndarray
    probability: np.ndarray


def check_settings(settings: Mapping[str, Any] | None) -> None:
    """Refuse settings that `WeightedSBM` does not have.

    Examples
    --------
    >>> check_settings({"n_chains": 3})
    """
    unknown = sorted(set(settings or {}) - (set(WeightedSBM().get_params()) - {"rng", "n_jobs", "progress"}))
    if unknown:
        raise OptionError("communities: settings of WeightedSBM", f"{unknown}", "correct the names")


def find_groups(weight: np.ndarray, settings: Mapping[str, Any] | None, rng: np.random.Generator) -> Groups:
    """Communities of one graph.

    Where pairs are NaN (their units were never observed together), communities are first found among units all of
    whose pairs were observed. Others join the one to which their links are most alike; missing pairs then take the
    weight of an observed pair of one of the two units with the community of the other one, drawn at random, and
    communities are found again.

    Parameters
    ----------
    weight : array (unit, unit)
        0 = no link, NaN = not observed.
    settings : mapping, optional
        Of `WeightedSBM`.
    rng : Generator

    Examples
    --------
    >>> import numpy as np
    >>> graph = np.kron(np.eye(2), np.ones((8, 8))) * np.random.default_rng(0).uniform(1, 2, (16, 16))
    >>> found = find_groups(np.triu(graph, 1) + np.triu(graph, 1).T, {"n_chains": 2}, np.random.default_rng(0))
    >>> len(np.unique(found.label)), found.probability.shape
    (2, (16, 2))
    """
    np.fill_diagonal(weight := weight.copy(), 0.0)
    missing = np.isnan(weight)
    if missing.any():
        weight = _completed(weight, missing, settings, rng)
    return _sampled(weight, settings, rng)


def _sampled(weight: np.ndarray, settings: Mapping[str, Any] | None, rng: np.random.Generator) -> Groups:
    n_links = int((np.triu(weight, 1) > 0).sum())
    n = len(weight)
    if n_links < _FEWEST_LINKS:
        return Groups(np.full(n, -1), np.full((n, 1), np.nan))
    with one_thread():
        # An own seed, not the generator: it is part of the settings and survives a copy.
        model = WeightedSBM(**dict(settings or {}), rng=int(rng.integers(2**31))).fit(weight)
    return Groups(model.community_.values.astype(np.int64), model.community_prob_.values)


def _completed(
    weight: np.ndarray, missing: np.ndarray, settings: Mapping[str, Any] | None, rng: np.random.Generator
) -> np.ndarray:
    core = _core(missing)
    label = np.full(len(weight), -1)
    label[core] = _sampled(weight[np.ix_(core, core)], settings, rng).label
    n_groups = int(label.max(initial=-1)) + 1
    member = label[:, None] == np.arange(n_groups)
    seen = ~missing
    np.fill_diagonal(seen, False)
    filled = np.where(missing, 0.0, weight)
    # Mean weight of each unit to each community, over observed pairs.
    count = seen @ member
    profile = np.divide(filled @ member, count, out=np.zeros((len(weight), n_groups)), where=count > 0)
    for unit in np.setdiff1d(np.arange(len(weight)), core):
        if n_groups and profile[unit].any():
            typical = np.stack([profile[member[:, g]].mean(axis=0) for g in range(n_groups)])
            known = count[unit] > 0
            size = np.linalg.norm(typical[:, known], axis=1) * np.linalg.norm(profile[unit, known])
            alike = (typical[:, known] @ profile[unit, known]) / np.where(size > 0, size, 1.0)
            label[unit] = int(np.argmax(alike))
    out = filled.copy()
    peers = {k: np.flatnonzero(label == k) for k in range(-1, n_groups)}
    for i, j in np.argwhere(np.triu(missing, 1)):
        # From the pairs of either unit with the other one's community: units keep how strongly they take part.
        known = [weight[one, rest[seen[one, rest]]] for one, rest in ((i, peers[label[j]]), (j, peers[label[i]]))]
        both = np.concatenate(known)
        if both.size:
            out[i, j] = out[j, i] = rng.choice(both)
    return out


def _core(missing: np.ndarray) -> np.ndarray:
    """Units whose pairs were all observed: those with most missing pairs are left out one at a time."""
    keep = np.arange(len(missing))
    while True:
        lacking = missing[np.ix_(keep, keep)].sum(axis=1)
        if not lacking.any():
            return keep
        # Of equals the last, so that units of one animal go together.
        worst = len(lacking) - 1 - int(np.argmax(lacking[::-1]))
        keep = np.delete(keep, worst)
