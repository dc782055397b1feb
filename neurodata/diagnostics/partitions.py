"""What draws of a partition say: similarity of elements, a point estimate, how far from it the draws are."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from scipy.optimize import linear_sum_assignment

from neurodata.errors import OptionError
from neurodata.kernels.partitions_nb import sweeten

# Draws by which candidates are judged, and candidates that are improved.
_MOST_DRAWS = 200
_STARTS = 8


class CredibleBall(NamedTuple):
    """Draws around a point estimate (Wade & Ghahramani 2018, doi:10.1214/17-BA1073).

    Attributes
    ----------
    radius : float
        Variation of information, nats, that holds `level` of the draws.
    level : float
    farthest, fewest, most : array (element,)
        Of the draws within: the one farthest from the estimate; the farthest of those with the fewest and of those with
        the most groups.
    """

    radius: float
    level: float
    farthest: np.ndarray
    fewest: np.ndarray
    most: np.ndarray


def similarity(draws: np.ndarray) -> np.ndarray:
    """Part of the draws (draw, element) in which two elements have one label: (element, element)."""
    out = np.zeros((draws.shape[1], draws.shape[1]))
    for label in range(int(draws.max()) + 1):
        member = (draws == label).astype(np.float32)
        out += member.T @ member
    return out / len(draws)


def canonical(labels: np.ndarray) -> np.ndarray:
    """The same groups, numbered by size; those of one size by first appearance.

    Examples
    --------
    >>> canonical(np.array([7, 2, 2, 5]))
    array([1, 0, 0, 2])
    """
    _, first, inverse, size = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), dtype=np.int64)
    rank[np.lexsort((first, -size))] = np.arange(len(size))
    return rank[inverse]


def point_partition(draws: np.ndarray) -> np.ndarray:
    """Partition with the least expected variation of information to the draws, as a greedy search finds it.

    Parameters
    ----------
    draws : array (draw, element)
        Labels. Some 200 of them, evenly spaced, judge.

    Returns
    -------
    array (element,)
        Groups numbered by size.

    Notes
    -----
    Starts are one group and the draws of least loss; elements then move one at a time while that lowers the loss, as in
    SALSO (Dahl, Johnson & Müller 2022, doi:10.1080/10618600.2022.2069779), with the exact expectation over draws.

    Examples
    --------
    >>> point_partition(np.array([[0, 0, 1, 1], [1, 1, 0, 0], [0, 0, 0, 1]]))
    array([0, 0, 1, 1])
    """
    few = _ranked(draws[:: max(1, -(-len(draws) // _MOST_DRAWS))])
    distinct = np.unique(np.stack([canonical(each) for each in few]), axis=0)
    n_labels = min(few.shape[1], int(distinct.max()) + 2)
    losses = [sweeten(each.copy(), few, n_labels, 0) for each in distinct]
    starts = [np.zeros(few.shape[1], dtype=np.int64)]
    starts += [distinct[i].copy() for i in np.argsort(losses, kind="stable")[:_STARTS]]
    found = [(sweeten(each, few, n_labels, 100), i) for i, each in enumerate(starts)]
    return canonical(starts[min(found)[1]])


def expected_loss(labels: np.ndarray, draws: np.ndarray) -> float:
    """Mean variation of information of a partition to the draws, nats."""
    labels = canonical(labels)
    return float(sweeten(labels, _ranked(draws), int(labels.max()) + 1, 0))


def _ranked(draws: np.ndarray) -> np.ndarray:
    """Labels of each draw from 0 without gaps."""
    return np.stack([np.unique(each, return_inverse=True)[1] for each in draws]).astype(np.int64)


def variation_of_information(a: np.ndarray, b: np.ndarray) -> float:
    """Of two labellings, nats (Meila 2007, doi:10.1016/j.jmva.2006.11.013).

    Examples
    --------
    >>> round(variation_of_information(np.array([0, 0, 1, 1]), np.zeros(4, dtype=int)), 6)
    0.693147
    """
    return expected_loss(a, np.asarray(b)[None])


def credible_ball(draws: np.ndarray, point: np.ndarray, level: float = 0.95) -> CredibleBall:
    """The `level` of the draws that lie nearest to `point`.

    Examples
    --------
    >>> ball = credible_ball(np.array([[0, 0, 1], [0, 0, 1], [0, 0, 1], [0, 0, 0]]), np.array([0, 0, 1]), 0.7)
    >>> ball.radius, ball.most
    (0.0, array([0, 0, 1]))
    """
    distance = np.array([variation_of_information(each, point) for each in draws])
    radius = float(np.quantile(distance, level, method="inverted_cdf"))
    within = np.flatnonzero(distance <= radius + 1e-12)
    n_groups = np.array([len(np.unique(draws[i])) for i in within])

    def farthest(chosen: np.ndarray) -> np.ndarray:
        return canonical(draws[chosen[np.argmax(distance[chosen])]])

    fewest, most = within[n_groups == n_groups.min()], within[n_groups == n_groups.max()]
    return CredibleBall(radius, level, farthest(within), farthest(fewest), farthest(most))


def ball_table(draws: np.ndarray, point: np.ndarray, level: float, dim: str, coords: dict[str, Any]) -> xr.Dataset:
    """A credible ball with labels: its bounds, and how far each is from the point estimate.

    Examples
    --------
    >>> draws = np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0], [0, 1, 2]])
    >>> table = ball_table(draws, np.array([0, 0, 1]), 0.75, "unit", {"unit": [7, 8, 9]})
    >>> table["vertical_lower"].values.tolist(), round(float(table["radius"]), 3)
    ([0, 2, 1], 0.462)
    """
    if not 0.0 < level < 1.0:
        raise OptionError("a level between 0 and 1", repr(level), "pass e.g. level=0.95")
    ball = credible_ball(draws, point, level)
    bounds = {
        "horizontal": (ball.farthest, "draw in the ball that is farthest from the point estimate"),
        "vertical_upper": (ball.fewest, "of the draws in the ball with the fewest groups, the farthest"),
        "vertical_lower": (ball.most, "of the draws in the ball with the most groups, the farthest"),
    }
    nat = {"units": "nat", "long_name": "variation of information to the point estimate"}
    variables: dict[str, Any] = {"point": (dim, point, {"units": "1", "long_name": "point estimate"})}
    for name, (labels, words) in bounds.items():
        variables[name] = (dim, match_labels(labels, point), {"units": "1", "long_name": words})
        variables[f"distance_{name}"] = ((), variation_of_information(labels, point), nat)
    variables["radius"] = ((), ball.radius, {"units": "nat", "long_name": "radius of the ball"})
    return xr.Dataset(variables, coords=coords, attrs={"level": level})


def match_labels(labels: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """`labels` renamed so that as many elements as can be have the label they have in `reference`.

    Groups without a partner get labels that `reference` does not use.

    Examples
    --------
    >>> match_labels(np.array([5, 5, 9, 1]), np.array([0, 0, 1, 1]))
    array([0, 0, 2, 1])
    """
    own, own_at = np.unique(labels, return_inverse=True)
    other, other_at = np.unique(reference, return_inverse=True)
    table = np.zeros((len(own), len(other)), dtype=np.int64)
    np.add.at(table, (own_at, other_at), 1)
    rows, columns = linear_sum_assignment(-table)
    name = np.full(len(own), -1, dtype=np.int64)
    name[rows] = other[columns]
    free = int(other.max()) + 1 + np.arange(len(own))
    name[name < 0] = free[: int((name < 0).sum())]
    return name[own_at]
