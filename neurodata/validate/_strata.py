"""How well connections of each strength are found, over twins."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import xarray as xr

# Limits of the classes of |PSP|, mV.
PSP_EDGES = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6, np.inf)
# Average precision hangs on how many pairs are connected: it is given for one pair in ten.
PREVALENCE = 0.1
# A twin with fewer connections of a class says nothing about it by itself.
FEWEST_EDGES = 3
FEWEST_POOLED = 5
# Pooled estimates are resampled over twins; fewer twins than this cannot be.
FEWEST_RESAMPLED = 8
N_BOOTSTRAP = 1000
QUANTITIES = ("average_precision", "auroc", "recall", "sign_accuracy")


class Edges(NamedTuple):
    """The scored pairs of one twin.

    Attributes
    ----------
    exists : array (pair,), bool
    weight : array (pair,)
        Signed PSP, mV; 0 without a connection.
    score : array (pair,)
        Evidence.
    called : array (pair,), bool, or None
        The model's own decision.
    sign : array (pair,) or None
        Claimed sign.
    """

    exists: np.ndarray
    weight: np.ndarray
    score: np.ndarray
    called: np.ndarray | None
    sign: np.ndarray | None


def edges_of(claims: xr.Dataset, truth: xr.Dataset) -> Edges | None:
    """The pairs that claims and truth share; None when the claims say nothing about connections."""
    if "edge_score" not in claims or "weight" not in truth:
        return None
    from neurodata.validate.metrics.connectivity import pairs

    known = pairs(claims, truth)
    called, sign = known.value.get("edge"), known.value.get("edge_sign")
    return Edges(
        known.exists,
        known.value["true_weight"],
        known.value["edge_score"],
        None if called is None else called > 0.5,
        sign,
    )


class Interval(NamedTuple):
    """An estimate, its 95 % interval, and how many twins and connections it rests on."""

    value: float
    low: float
    high: float
    n_twins: int
    n_edges: int


NOTHING = Interval(np.nan, np.nan, np.nan, 0, 0)


def over_twins(values: np.ndarray, bounds: tuple[float, float] = (-np.inf, np.inf)) -> Interval:
    """Mean of one value per twin with Student's interval; NaN values are left out.

    Examples
    --------
    >>> found = over_twins(np.array([0.5, 0.6, 0.7]))
    >>> round(found.low, 2), round(found.value, 2), round(found.high, 2)
    (0.35, 0.6, 0.85)
    """
    from scipy.stats import t

    values = np.asarray(values, dtype=np.float64)
    values = values[np.isfinite(values)]
    if not values.size:
        return NOTHING
    mean = float(values.mean())
    if values.size == 1:
        return Interval(mean, np.nan, np.nan, 1, 0)
    half = float(t.ppf(0.975, values.size - 1) * values.std(ddof=1) / np.sqrt(values.size))
    low, high = max(mean - half, bounds[0]), min(mean + half, bounds[1])
    return Interval(mean, low, high, values.size, 0)


def stratum(twins: list[Edges], low: float, high: float, rng: np.random.Generator) -> dict[str, Interval]:
    """How well connections with ``low <= |PSP| < high`` are told from pairs without one.

    Weaker and stronger connections are left out. Where single twins have enough such connections, the estimate is the
    mean over twins with Student's interval; else all twins are pooled and resampled.
    """
    picked = [_picked(twin, low, high) for twin in twins]
    n_edges = [int(twin.exists.sum()) for twin in picked]
    alone = [twin for twin, n in zip(picked, n_edges, strict=True) if n >= FEWEST_EDGES]
    if len(alone) >= max(3, len(picked) // 2):
        table = [_quantities(twin) for twin in alone]
        used = sum(int(twin.exists.sum()) for twin in alone)
        return {
            name: over_twins(np.array([row[name] for row in table]), (0.0, 1.0))._replace(n_edges=used)
            for name in QUANTITIES
        }
    if sum(n_edges) < FEWEST_POOLED or len(picked) < FEWEST_RESAMPLED:
        return dict.fromkeys(QUANTITIES, NOTHING._replace(n_edges=sum(n_edges)))
    whole = _quantities(_pooled(picked))
    draws = []
    for _ in range(N_BOOTSTRAP):
        drawn = _pooled([picked[k] for k in rng.integers(len(picked), size=len(picked))])
        if drawn.exists.any():
            draws.append(_quantities(drawn))
    out = {}
    for name in QUANTITIES:
        values = np.array([row[name] for row in draws])
        ends = np.nanpercentile(values, [2.5, 97.5]) if np.isfinite(values).any() else (np.nan, np.nan)
        out[name] = Interval(whole[name], float(ends[0]), float(ends[1]), len(picked), sum(n_edges))
    return out


def _picked(twin: Edges, low: float, high: float) -> Edges:
    size = np.abs(twin.weight)
    keep = ~twin.exists | ((size >= low) & (size < high))
    return Edges(*(None if array is None else array[keep] for array in twin))  # type: ignore[arg-type]


def _pooled(twins: list[Edges]) -> Edges:
    columns = zip(*twins, strict=True)
    return Edges(*(None if any(a is None for a in column) else np.concatenate(column) for column in columns))  # type: ignore[arg-type]


def _quantities(twin: Edges) -> dict[str, float]:
    from sklearn.metrics import average_precision_score, roc_auc_score

    out = dict.fromkeys(QUANTITIES, np.nan)
    n_true, n = int(twin.exists.sum()), twin.exists.size
    if n_true and n_true < n:
        weight = np.where(twin.exists, PREVALENCE / n_true, (1.0 - PREVALENCE) / (n - n_true))
        out["average_precision"] = float(average_precision_score(twin.exists, twin.score, sample_weight=weight))
        out["auroc"] = float(roc_auc_score(twin.exists, twin.score))
    if n_true and twin.called is not None:
        out["recall"] = float(twin.called[twin.exists].mean())
    if n_true and twin.sign is not None:
        out["sign_accuracy"] = float((np.sign(twin.sign) == np.sign(twin.weight))[twin.exists].mean())
    return out
