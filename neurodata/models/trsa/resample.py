"""Scores of RDM models and noise ceilings in given resamples, for every comparison that has them; arrays in and out."""

from __future__ import annotations

import numpy as np

from neurodata.errors import OptionError
from neurodata.kernels import rdm_resampling as kernel
from neurodata.kernels import rdm_similarity
from neurodata.kernels.rdm_resampling_nb import ranked_draws
from neurodata.models.trsa.comparators import CENTRED, RANKED, SHAPES, WHITENED, similarity

# Numbers held at once in weights of pairs and their products.
_BLOCK = 4_000_000


def resampled(
    data: np.ndarray,
    models: np.ndarray,
    counts: np.ndarray,
    rdm_counts: np.ndarray,
    group: np.ndarray,
    comparison: str,
    *,
    covariance: np.ndarray | None = None,
    ceiling: bool = True,
    pooling: str = "matched",
) -> tuple[np.ndarray, np.ndarray]:
    """Mean similarity of each model with the data, and the noise ceilings, in each draw.

    Parameters
    ----------
    data, models : array (rdm, pair) and (model, pair)
        NaN where unknown; pairs that any of them lacks are left out of all.
    counts : array (draw, condition) or (1, condition)
        How often each condition was drawn; one row stands for all draws.
    rdm_counts : array (draw, rdm) or (1, rdm)
    group : array (rdm,), int
        Subject of each RDM.
    comparison : str
    covariance : array (condition,) or (condition, condition), optional
    ceiling : bool
    pooling : {"matched", "plain"}
        For whitened comparisons, whether RDMs are scaled by their whitened size before they are pooled, which gives the
        highest upper ceiling there is, or by their plain size.

    Returns
    -------
    array (draw, model)
    array (2, draw)
        Lower and upper; NaN where not asked for.
    """
    counts, rdm_counts = np.asarray(counts, dtype=np.float64), np.asarray(rdm_counts, dtype=np.float64)
    known = np.isfinite(data).all(axis=0) & np.isfinite(models).all(axis=0)
    if not known.any():
        raise OptionError("pairs of conditions that all RDMs and models know", "none", "drop RDMs that are mostly NaN")
    if comparison in SHAPES or (covariance is not None and covariance.ndim == 2):
        return _fixed_conditions(data, models, counts, rdm_counts, group, comparison, covariance, ceiling, known)
    if comparison in WHITENED and not known.all():
        data, models, counts, covariance, known = _whole_conditions(data, models, counts, covariance, known)
    data, models = np.where(known, data, 0.0), np.where(known, models, 0.0)
    if comparison in ("tau-a", "tau-b"):
        return _kendall_draws(data, models, counts, rdm_counts, group, comparison, ceiling, known)
    if comparison in RANKED:
        stack = np.concatenate([data, models])
        n_draws = max(len(counts), len(rdm_counts))
        return ranked_draws(
            stack,
            np.argsort(stack, axis=1),
            len(data),
            np.broadcast_to(counts, (n_draws, counts.shape[1])),
            known,
            np.broadcast_to(rdm_counts, (n_draws, len(data))),
            group,
            comparison == "spearman",
            ceiling,
            kernel.FEWEST,
        )
    variance = None
    if comparison in WHITENED:
        variance = np.ones(counts.shape[1]) if covariance is None else covariance
    block = max(1, _BLOCK // (data.shape[1] + counts.shape[1] * (len(data) + len(models)) + len(data) ** 2))
    found_scores, found_bounds = [], []
    for start in range(0, len(counts), block):
        part = slice(start, start + block)
        gram = kernel.grams(
            data, models, counts[part], known, centre=comparison in CENTRED, variance=variance, full=ceiling
        )
        rdm_part = rdm_counts[part] if len(rdm_counts) > 1 and len(counts) > 1 else rdm_counts
        one, other = _linear(gram, rdm_part, group, ceiling, pooling if comparison in WHITENED else "matched")
        found_scores.append(one)
        found_bounds.append(other)
    return np.concatenate(found_scores), np.concatenate(found_bounds, axis=1)


def _linear(
    gram: kernel.Grams, rdm_counts: np.ndarray, group: np.ndarray, ceiling: bool, pooling: str
) -> tuple[np.ndarray, np.ndarray]:
    n_draws = max(len(gram.cross), len(rdm_counts))
    if len(gram.cross) < n_draws:
        gram = kernel.Grams(*(np.broadcast_to(part, (n_draws, *part.shape[1:])) for part in gram))
    rdm_counts = np.broadcast_to(rdm_counts, (n_draws, rdm_counts.shape[1]))
    scores = kernel.scores(gram, rdm_counts)
    if not ceiling:
        return scores, np.full((2, n_draws), np.nan)
    size = gram.size if pooling == "plain" else np.sqrt(np.maximum(np.einsum("drr->dr", gram.data), 0.0))
    return scores, kernel.ceilings(gram.data, kernel.divide(np.ones_like(size), size), rdm_counts, group)


def _fixed_conditions(
    data: np.ndarray,
    models: np.ndarray,
    counts: np.ndarray,
    rdm_counts: np.ndarray,
    group: np.ndarray,
    comparison: str,
    covariance: np.ndarray | None,
    ceiling: bool,
    known: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Comparisons that copies of a condition have no meaning for: all conditions once, RDMs as drawn."""
    if (counts != 1).any():
        what = f"comparison={comparison!r}" if comparison in SHAPES else "a full condition_covariance"
        raise OptionError(
            "resample='subjects'"
            + (", or a condition_covariance of variances alone" if covariance is not None else ""),
            f"{what} with resampled conditions",
            "copies of a condition leave pairs out, which it has no value for: resample subjects, or compare otherwise",
        )
    if comparison in SHAPES:
        if ceiling:
            raise OptionError(
                "ceiling=False", f"comparison={comparison!r}", "it has no best single prediction in closed form"
            )
        found = similarity(models, data, comparison)[None]
        shape = (len(rdm_counts), *found.shape[1:])
        return kernel.weighted_mean(np.broadcast_to(found, shape), rdm_counts), np.full((2, len(rdm_counts)), np.nan)
    assert covariance is not None  # for type checkers: the caller chose this branch by it
    white_data, white_models = white(data, known, comparison, covariance), white(models, known, comparison, covariance)
    between = (white_data @ white_data.T)[None]
    gram = kernel.Grams(
        between,
        (white_models @ white_data.T)[None],
        np.einsum("ij,ij->i", white_models, white_models)[None],
        np.sqrt(np.einsum("drr->dr", between)),
    )
    return _linear(gram, rdm_counts, group, ceiling, "matched")


def white(vectors: np.ndarray, known: np.ndarray, comparison: str, covariance: np.ndarray) -> np.ndarray:
    """Vectors whose inner products are whitened ones, for complete RDMs and a full covariance."""
    if not known.all():
        raise OptionError(
            "RDMs without NaN, for a full condition_covariance",
            f"{int((~known).sum())} unknown pairs",
            "drop conditions",
        )
    vectors = rdm_similarity.centred(vectors) if comparison in CENTRED else vectors
    return rdm_similarity.whitened_vectors(vectors, covariance)


def _whole_conditions(
    data: np.ndarray, models: np.ndarray, counts: np.ndarray, covariance: np.ndarray | None, known: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
    """Without the conditions of which no pair is known; anything else that is missing is refused."""
    n = counts.shape[1]
    rows, columns = np.triu_indices(n, 1)
    used = np.unique(np.concatenate([rows[known], columns[known]]))
    inside = np.isin(rows, used) & np.isin(columns, used)
    if not known[inside].all():
        raise OptionError(
            "whole conditions missing, or none, for a whitened comparison with resampled conditions",
            f"{int((~known[inside]).sum())} unknown pairs among conditions of which others are known",
            "drop these conditions, or use comparison='corr' or 'cosine'",
        )
    covariance = None if covariance is None else covariance[used]
    return data[:, inside], models[:, inside], counts[:, used], covariance, known[inside]


def _kendall_draws(
    data: np.ndarray,
    models: np.ndarray,
    counts: np.ndarray,
    rdm_counts: np.ndarray,
    group: np.ndarray,
    comparison: str,
    ceiling: bool,
    known: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    n_draws = max(len(counts), len(rdm_counts))
    scores, bounds = np.full((n_draws, len(models)), np.nan), np.full((2, n_draws), np.nan)
    adjust = comparison == "tau-b"
    member = np.eye(group.max() + 1)[group]
    fixed = rdm_similarity.kendall(models[:, known], data[:, known], adjust) if len(counts) == 1 else None
    for draw in range(n_draws):
        count, rdm_count = counts[draw % len(counts)], rdm_counts[draw % len(rdm_counts)]
        if (count > 0).sum() < kernel.FEWEST:
            continue
        weight = (kernel.pair_weights(count[None])[0] * known).astype(np.int64)
        drawn = weight > 0
        if not drawn.any():
            continue
        copies = weight[drawn]
        found = (
            rdm_similarity.kendall(models[:, drawn], data[:, drawn], adjust, copies)
            if fixed is None or (count != 1).any()
            else fixed
        )
        scores[draw] = kernel.weighted_mean(found[None], rdm_count[None])[0]
        if ceiling:
            bounds[:, draw] = _kendall_ceilings(data[:, drawn], copies, rdm_count, member, adjust)
    return scores, bounds


def _kendall_ceilings(
    data: np.ndarray, copies: np.ndarray, rdm_count: np.ndarray, member: np.ndarray, adjust: bool
) -> np.ndarray:
    """Similarity with the mean ranks, without and with each group: near the bounds of tau, which no formula gives."""
    ranks = rdm_similarity.ranks_in_order(data, np.argsort(data, axis=1), copies.astype(np.float64))
    pooled = rdm_count @ ranks
    groups = np.flatnonzero(rdm_count @ member > 0)
    of_group = (member[:, groups] * rdm_count[:, None]).T @ ranks
    predictions = np.concatenate([pooled[None], pooled - of_group])
    found = rdm_similarity.kendall(predictions, data, adjust, copies)
    own = np.full((2, len(data)), np.nan)
    own[1] = found[0]
    if groups.size > 1:
        for k, g in enumerate(groups):
            inside = member[:, g] > 0
            own[0, inside] = found[1 + k, inside]
    return np.array([kernel.mean_over_groups(part[None], rdm_count[None], member)[0] for part in own])
