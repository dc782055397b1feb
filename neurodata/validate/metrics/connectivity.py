"""Claimed connections against true ones: ranking, decision, sign, weight, delay."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial

import numpy as np
import xarray as xr
from scipy.stats import ConstantInputWarning, pearsonr, spearmanr
from sklearn.metrics import average_precision_score, roc_auc_score

from neurodata.errors import RecordingError
from neurodata.validate.metrics.base import Metric

# Fewer true edges than this say nothing about a correlation over edges.
_FEWEST = 3


@dataclass(frozen=True)
class Pairs:
    """The directed pairs of units whose truth is known, one row each.

    Attributes
    ----------
    exists : array (pair,), bool
        Whether the pair is a true edge.
    value : dict of array (pair,)
        Claims and further truths by name: `edge_score`, ..., `true_weight`, `true_sign` (of the presynaptic unit).
    """

    exists: np.ndarray
    value: dict[str, np.ndarray]


def pairs(claims: xr.Dataset, truth: xr.Dataset, presynaptic: int = 0) -> Pairs:
    """Line up claims and truth over directed pairs of different units.

    Units are matched by id; a unit that only one side knows is left out, and so is a pair whose truth is unknown
    (`exists` is NaN). A claim that is NaN counts as no evidence: 0.

    Parameters
    ----------
    claims, truth : Dataset
    presynaptic : {0, 1, -1}
        Only pairs whose presynaptic unit excites (1) or inhibits (-1); 0 is all.

    Returns
    -------
    Pairs

    Raises
    ------
    RecordingError
        No unit in common.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> ids = {"post": ["a", "b"], "pre": ["a", "b"]}
    >>> claims = xr.Dataset({"edge_score": (("post", "pre"), [[0.0, 2.0], [np.nan, 0.0]])}, coords=ids)
    >>> truth = xr.Dataset({"exists": (("post", "pre"), [[0.0, 1.0], [0.0, 0.0]])}, coords=ids)
    >>> known = pairs(claims, truth)
    >>> known.exists.tolist(), known.value["edge_score"].tolist()
    ([True, False], [2.0, 0.0])
    """
    post = _common(claims["post"].values, truth["post"].values, "post")
    pre = _common(claims["pre"].values, truth["pre"].values, "pre")
    claimed = _matrices(claims, post[0], pre[0])
    true = _matrices(truth, post[1], pre[1])
    exists = true["exists"]
    ids_post, ids_pre = truth["post"].values[post[1]], truth["pre"].values[pre[1]]
    keep = np.isfinite(exists) & (ids_post[:, None] != ids_pre[None, :])
    sign = _sign(truth, ids_pre)
    if presynaptic:
        keep &= (sign == presynaptic)[None, :]
    value = {f"true_{name}": array[keep] for name, array in true.items()}
    value["true_sign"] = np.broadcast_to(sign[None, :], exists.shape)[keep]
    for name, array in claimed.items():
        # A delay that is not claimed is no delay of 0.
        value[name] = array[keep] if name == "edge_delay" else np.nan_to_num(array[keep])
    return Pairs(exists[keep] > 0, value)


def _matrices(dataset: xr.Dataset, post: np.ndarray, pre: np.ndarray) -> dict[str, np.ndarray]:
    """The variables (post, pre), rows and columns as asked."""
    return {
        str(name): array.transpose("post", "pre").values.astype(np.float64)[np.ix_(post, pre)]
        for name, array in dataset.data_vars.items()
        if set(array.dims) == {"post", "pre"}
    }


def _common(claimed: np.ndarray, true: np.ndarray, dim: str) -> tuple[np.ndarray, np.ndarray]:
    place = {unit: i for i, unit in enumerate(claimed.tolist())}
    both = [(place[unit], i) for i, unit in enumerate(true.tolist()) if unit in place]
    if not both:
        raise RecordingError(
            f"claims and truth about the same units ({dim})",
            f"claims about {claimed[:5].tolist()}, truth about {true[:5].tolist()}",
            "pass nd.simulate.unit_truth of the recording the model was fitted to",
        )
    a, b = np.array(both).T
    return a, b


def _sign(truth: xr.Dataset, pre: np.ndarray) -> np.ndarray:
    """Sign of each presynaptic unit; from its weights when the truth has no `sign`."""
    if "sign" in truth and truth["sign"].dims == ("unit",):
        known = dict(zip(truth["unit"].values.tolist(), truth["sign"].values.tolist(), strict=True))
        return np.array([known[unit] for unit in pre.tolist()])
    if "weight" not in truth:
        return np.zeros(len(pre))
    weight = truth["weight"].transpose("post", "pre").sel(pre=pre).values
    excites, inhibits = (weight > 0).any(axis=0), (weight < 0).any(axis=0)
    return excites.astype(int) - inhibits.astype(int)


def _both_kinds(exists: np.ndarray) -> bool:
    return bool(exists.any() and not exists.all())


def average_precision(claims: xr.Dataset, truth: xr.Dataset, presynaptic: int = 0) -> float:
    """Area under precision over recall of the ranking by `edge_score`; by chance it is the prevalence of edges."""
    known = pairs(claims, truth, presynaptic)
    if not _both_kinds(known.exists):
        return float("nan")
    return float(average_precision_score(known.exists, known.value["edge_score"]))


def auroc(claims: xr.Dataset, truth: xr.Dataset, presynaptic: int = 0) -> float:
    """Probability that a true edge has a higher `edge_score` than a pair without one."""
    known = pairs(claims, truth, presynaptic)
    if not _both_kinds(known.exists):
        return float("nan")
    return float(roc_auc_score(known.exists, known.value["edge_score"]))


def prevalence(truth: xr.Dataset, presynaptic: int = 0) -> float:
    """Part of the pairs of known truth that are edges: the average precision of guessing."""
    known = pairs(truth[["exists"]], truth, presynaptic)
    return float(known.exists.mean()) if known.exists.size else float("nan")


def mcc(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Matthews correlation of the model's own decision `edge`; 0 when it calls all pairs alike."""
    known = pairs(claims, truth)
    if not _both_kinds(known.exists):
        return float("nan")
    called = known.value["edge"] > 0.5
    return _mcc(float((called & known.exists).sum()), float(called.sum()), float(known.exists.sum()), called.size)


def mcc_at_count(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Matthews correlation when as many pairs are called as there are true edges, those of highest `edge_score`.

    Ties at the threshold are broken at random; this is the expectation, which needs no draw since the correlation is
    linear in the number of hits once the number of calls is fixed.
    """
    known = pairs(claims, truth)
    if not _both_kinds(known.exists):
        return float("nan")
    score, n_edges = known.value["edge_score"], int(known.exists.sum())
    threshold = np.sort(score)[-n_edges]
    above, tied = score > threshold, score == threshold
    share = (n_edges - above.sum()) / tied.sum()
    hits = (above & known.exists).sum() + share * (tied & known.exists).sum()
    return _mcc(float(hits), float(n_edges), float(n_edges), score.size)


def _mcc(hits: float, called: float, true: float, n: int) -> float:
    spread = np.sqrt(called * (n - called) * true * (n - true))
    return float((n * hits - called * true) / spread) if spread > 0 else 0.0


def false_discovery_rate(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Part of the edges the model calls that are none; NaN when it calls none."""
    known = pairs(claims, truth)
    called = known.value["edge"] > 0.5
    return float((~known.exists[called]).mean()) if called.any() else float("nan")


def false_positive_rate(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Part of the unconnected pairs that the model calls edges."""
    known = pairs(claims, truth)
    return float((known.value["edge"][~known.exists] > 0.5).mean()) if (~known.exists).any() else float("nan")


def sign_accuracy(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Part of the true edges whose sign the model has right; no claim (0, NaN) is wrong."""
    known = pairs(claims, truth)
    edge = known.exists & (known.value["true_weight"] != 0)
    if not edge.any():
        return float("nan")
    return float((np.sign(known.value["edge_sign"][edge]) == np.sign(known.value["true_weight"][edge])).mean())


def weight_pearson(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Pearson correlation of `edge_weight` with the signed PSP over the true edges."""
    return _over_edges(claims, truth, pearsonr)


def weight_spearman(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Spearman correlation of `edge_weight` with the signed PSP over the true edges."""
    return _over_edges(claims, truth, spearmanr)


def _over_edges(claims: xr.Dataset, truth: xr.Dataset, correlation) -> float:
    known = pairs(claims, truth)
    edge = known.exists
    if edge.sum() < _FEWEST:
        return float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # a constant has no correlation: NaN
        return float(correlation(known.value["edge_weight"][edge], known.value["true_weight"][edge]).statistic)


def delay_error(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Mean absolute error of `edge_delay` over the true edges for which the model names one, s."""
    known = pairs(claims, truth)
    error = np.abs(known.value["edge_delay"] - known.value["true_delay"])[known.exists]
    error = error[np.isfinite(error)]
    return float(error.mean()) if error.size else float("nan")


_EDGE = ("exists",)
METRICS = (
    Metric("ap", ("edge_score",), average_precision, _EDGE, prevalence, "higher", (0.0, 1.0)),
    Metric(
        "ap_excitatory",
        ("edge_score",),
        partial(average_precision, presynaptic=1),
        _EDGE,
        partial(prevalence, presynaptic=1),
        "higher",
        (0.0, 1.0),
    ),
    Metric(
        "ap_inhibitory",
        ("edge_score",),
        partial(average_precision, presynaptic=-1),
        _EDGE,
        partial(prevalence, presynaptic=-1),
        "higher",
        (0.0, 1.0),
    ),
    Metric("auroc", ("edge_score",), auroc, _EDGE, 0.5, "higher", (0.0, 1.0)),
    Metric("auroc_excitatory", ("edge_score",), partial(auroc, presynaptic=1), _EDGE, 0.5, "higher", (0.0, 1.0)),
    Metric("auroc_inhibitory", ("edge_score",), partial(auroc, presynaptic=-1), _EDGE, 0.5, "higher", (0.0, 1.0)),
    Metric("mcc", ("edge",), mcc, _EDGE, 0.0, "higher", (-1.0, 1.0)),
    Metric("mcc_at_count", ("edge_score",), mcc_at_count, _EDGE, 0.0, "higher", (-1.0, 1.0)),
    Metric("false_discovery_rate", ("edge",), false_discovery_rate, _EDGE, None, "lower", (0.0, 1.0)),
    Metric("false_positive_rate", ("edge",), false_positive_rate, _EDGE, None, "lower", (0.0, 1.0)),
    Metric("sign_accuracy", ("edge_sign",), sign_accuracy, ("exists", "weight"), 0.5, "higher", (0.0, 1.0)),
    Metric("weight_pearson", ("edge_weight",), weight_pearson, ("exists", "weight"), 0.0, "higher", (-1.0, 1.0)),
    Metric("weight_spearman", ("edge_weight",), weight_spearman, ("exists", "weight"), 0.0, "higher", (-1.0, 1.0)),
    Metric("delay_error", ("edge_delay",), delay_error, ("exists", "delay"), None, "lower", (0.0, np.inf)),
)
