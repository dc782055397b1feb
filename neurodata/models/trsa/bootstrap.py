"""Bootstrap of RDM models over stimuli, subjects or both, and noise ceilings, as Datasets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from scipy import stats

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.models.trsa.comparators import SHAPES, check_comparison, check_covariance
from neurodata.models.trsa.resample import resampled
from neurodata.models.trsa.stacks import Stack, groups_of, named_models, stack

RESAMPLES = ("stimuli", "subjects", "both", "dual")
BOUNDS = ["lower", "upper"]


def noise_ceiling(
    rdms: xr.DataArray,
    comparison: str = "corr",
    *,
    subject: str | Sequence[Any] | None = None,
    condition_covariance: Any = None,
    pooling: str = "matched",
) -> xr.DataArray:
    r"""How similar to the data the best possible model could be: lower and upper bound.

    The upper bound is the mean similarity of each RDM with the pooled RDM, the one that maximises it; the lower bound
    leaves the subject's own RDMs out of the pool [1]_.

    Parameters
    ----------
    rdms : DataArray (rdm, condition, condition_2)
    comparison : str
        As in `compare_rdms`, without Bures and Procrustes.
    subject : str or array (rdm,), optional
        Coordinate on rdm, or labels; RDMs of one subject are left out together, and subjects count alike. Default:
        every RDM is a subject.
    condition_covariance : array, optional
        As in `compare_rdms`.
    pooling : {"matched", "plain"}
        ``matched`` divides each RDM by its size in the metric of the comparison, so that no RDM has a higher mean
        similarity than the pool; ``plain`` divides by the root mean square or standard deviation even for whitened
        comparisons, which can fall short of the maximum.

    Returns
    -------
    DataArray (bound)
        ``lower`` is NaN for one subject.

    Notes
    -----
    For ``cosine``, ``corr`` and the whitened ones the pool is :math:`\sum_r x_r / |x_r|`. For ``rho-a`` it is the ranks
    of the mean ranks, which maximise a sum of products of ranks. For ``spearman`` and the taus the same pool stands in:
    it is exact for Spearman without ties, and only near the maximum for tau, which has no closed form.

    References
    ----------
    .. [1] H. Nili et al., "A toolbox for representational similarity analysis", PLoS Comput. Biol. 10 (2014), e1003553,
       doi:10.1371/journal.pcbi.1003553.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> d = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 2.0], [4.0, 2.0, 0.0]])
    >>> rdms = xr.DataArray([d, d, d.T], dims=("rdm", "condition", "condition_2"))
    >>> nd.models.noise_ceiling(rdms).round(6).values.tolist()
    [1.0, 1.0]
    """
    _check(comparison, pooling)
    if comparison in SHAPES:
        raise OptionError("a comparison with a noise ceiling", f"{comparison!r}", "compare with 'whitened-cosine'")
    data = stack(rdms)
    group, _ = groups_of(data, subject)
    n = data.conditions.size
    _, bounds = resampled(
        data.vectors,
        data.vectors[:0],
        np.ones((1, n)),
        np.ones((1, data.size)),
        group,
        comparison,
        covariance=check_covariance(condition_covariance, n, comparison),
        pooling=pooling,
    )
    return xr.DataArray(
        bounds[:, 0],
        dims="bound",
        coords={"bound": BOUNDS},
        attrs={"comparison": comparison, "pooling": pooling},
        name="ceiling",
    )


def bootstrap_rdms(
    models: Any,
    rdms: xr.DataArray,
    *,
    resample: str = "dual",
    comparison: str = "corr",
    n_draws: int = 1000,
    ceiling: bool = True,
    subject: str | Sequence[Any] | None = None,
    stimulus_group: Sequence[Any] | None = None,
    condition_covariance: Any = None,
    pooling: str = "matched",
    level: float = 0.95,
    draws: tuple[np.ndarray | None, np.ndarray | None] | None = None,
    rng: RNGLike = None,
) -> xr.Dataset:
    r"""Standard errors, intervals and tests of how similar fixed models are to data RDMs.

    Stimuli and subjects are drawn with replacement. A resample is not made: a condition drawn c times and a subject
    drawn k times are weights (:math:`c_i c_j` for a pair of conditions), with the pairs of copies of one condition left
    out, so every statistic of the resample, ranks included, is one of weighted vectors.

    Parameters
    ----------
    models : mapping of names to RDMs, or DataArray ([model,] condition, condition_2)
    rdms : DataArray (rdm, condition, condition_2)
        Data.
    resample : {"dual", "both", "stimuli", "subjects"}
        What the result should generalise to. ``both`` draws stimuli and subjects at once, which counts the noise of
        measurement twice; ``dual`` [1]_ takes that off with the help of the two single resamples.
    comparison : str
        As in `compare_rdms`. Bures, Procrustes and a full `condition_covariance` only with ``subjects``.
    n_draws : int
    ceiling : bool
        The noise ceiling of each draw too.
    subject : str or array (rdm,), optional
        Coordinate on rdm, or labels: RDMs of one subject are drawn together. Default: every RDM is a subject.
    stimulus_group : array (condition,), optional
        Labels of stimuli that are drawn together.
    condition_covariance : array, optional
        As in `compare_rdms`; variances where stimuli are drawn.
    pooling : {"matched", "plain"}
        As in `noise_ceiling`.
    level : float
        Of the intervals.
    draws : (array (draw, n_stimuli), array (draw, n_subjects)), optional
        Indices to use instead of random ones, of stimuli (or their groups) and subjects in sorted order; None for what
        is not drawn.
    rng : Generator, seed or None

    Returns
    -------
    Dataset
        - ``score`` (model): mean similarity on the data; ``ceiling`` (bound).
        - ``score_draw`` (factor, draw, model), ``ceiling_draw`` (factor, bound, draw); NaN where a draw has fewer than
          three stimuli. ``factor`` is ``both``, ``subjects``, ``stimuli`` for ``dual``, else the one drawn.
        - ``variance``, ``standard_error`` (model); ``interval`` (model, bound): score -+ t standard errors.
        - ``p_zero`` (model): one-sided t, score above 0; ``p_ceiling`` (model, bound): two-sided t, score against
          ceiling.
        - ``difference_error``, ``p_difference`` (model, model_2): two-sided t of differences.
        - attrs ``dof``: number of subjects or stimuli, the lesser for both, minus 1.

    Notes
    -----
    With R subjects and C stimuli, and variances :math:`V_r, V_c, V_{rc}` over the draws,

    .. math:: v = \tfrac{R}{R-1} V_r + \tfrac{C}{C-1} V_c - \tfrac{C R}{(C-1)(R-1)} (V_{rc} - V_r - V_c),

    not below either of its first two terms and not above :math:`V_{rc}`; single resamples have the factor
    :math:`R/(R-1)` or :math:`C/(C-1)`.

    References
    ----------
    .. [1] H. Schütt et al., "Statistical inference on representational geometries", eLife 12 (2023), e82566,
       doi:10.7554/eLife.82566.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> rng = np.random.default_rng(0)
    >>> line = np.abs(np.subtract.outer(np.arange(8.0), np.arange(8.0)))
    >>> noise = rng.normal(size=(6, 8, 8))
    >>> rdms = xr.DataArray(line + noise + noise.transpose(0, 2, 1), dims=("rdm", "condition", "condition_2"))
    >>> model = xr.DataArray(line, dims=("condition", "condition_2"))
    >>> table = nd.models.bootstrap_rdms({"line": model}, rdms, n_draws=100, rng=1)
    >>> float(table["p_zero"].sel(model="line")) < 0.05
    True
    """
    _check(comparison, pooling)
    if resample not in RESAMPLES:
        raise OptionError(f"resample among {', '.join(RESAMPLES)}", f"{resample!r}", "choose one of them")
    if not 0 < level < 1:
        raise OptionError("a level between 0 and 1", f"{level}", "0.95 is usual")
    data = stack(rdms)
    vectors, names = named_models(models, data.conditions)
    n = data.conditions.size
    covariance = check_covariance(condition_covariance, n, comparison)
    group, subjects = groups_of(data, subject)
    clusters = np.arange(n) if stimulus_group is None else np.asarray(stimulus_group)
    if clusters.shape != (n,):
        raise OptionError(f"a label for each of {n} conditions", f"shape {clusters.shape}", "pass one array")
    labels, cluster = np.unique(clusters, return_inverse=True)
    n_subjects, n_stimuli = len(subjects), len(labels)
    _enough(resample, n_subjects, n_stimuli)
    by_stimulus, by_subject = _draws(draws, resample, n_draws, n_stimuli, n_subjects, generator(rng))

    def run(counts: np.ndarray, rdm_counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return resampled(
            data.vectors,
            vectors,
            counts,
            rdm_counts,
            group,
            comparison,
            covariance=covariance,
            ceiling=ceiling,
            pooling=pooling,
        )

    ones, all_rdms = np.ones((1, n)), np.ones((1, data.size))
    score, bound = run(ones, all_rdms)
    counts = None if by_stimulus is None else _counts(by_stimulus, n_stimuli)[:, cluster.ravel()]
    rdm_counts = None if by_subject is None else _counts(by_subject, n_subjects)[:, group]
    plan = {
        "both": (counts, rdm_counts),
        "subjects": (ones, rdm_counts),
        "stimuli": (counts, all_rdms),
    }
    factors = ["both", "subjects", "stimuli"] if resample == "dual" else [resample]
    found = [run(*plan[factor]) for factor in factors]  # type: ignore[arg-type]
    scores = np.stack([one for one, _ in found])
    bounds = np.stack([two for _, two in found])
    moments = covariances(np.concatenate([scores, bounds.transpose(0, 2, 1)], axis=2))
    sizes = (
        n_subjects if resample != "stimuli" else None,
        n_stimuli if resample != "subjects" else None,
    )
    dof = min(size for size in sizes if size is not None) - 1
    return _table(names, score[0], bound[:, 0], scores, bounds, moments, sizes, dof, level, factors, data).assign_attrs(
        comparison=comparison, resample=resample, dof=dof, level=level, pooling=pooling, n_draws=scores.shape[1]
    )


def _check(comparison: str, pooling: str) -> None:
    check_comparison(comparison)
    if pooling not in ("matched", "plain"):
        raise OptionError("pooling 'matched' or 'plain'", f"{pooling!r}", "choose one of them")


def _enough(resample: str, n_subjects: int, n_stimuli: int) -> None:
    if resample != "stimuli" and n_subjects < 2:
        raise OptionError("two subjects or more", f"{n_subjects}", "resample='stimuli' needs only one")
    if resample != "subjects" and n_stimuli < 4:
        raise OptionError("four stimuli (or groups) or more", f"{n_stimuli}", "resample='subjects' needs fewer")


def _draws(
    draws: tuple[np.ndarray | None, np.ndarray | None] | None,
    resample: str,
    n_draws: int,
    n_stimuli: int,
    n_subjects: int,
    rng: np.random.Generator,
) -> tuple[np.ndarray | None, np.ndarray | None]:
    if draws is None:
        if n_draws < 2:
            raise OptionError("two draws or more", f"{n_draws}", "1000 is usual")
        draws = (
            rng.integers(0, n_stimuli, (n_draws, n_stimuli)) if resample != "subjects" else None,
            rng.integers(0, n_subjects, (n_draws, n_subjects)) if resample != "stimuli" else None,
        )
    for part, size, needed, what in (
        (draws[0], n_stimuli, resample != "subjects", "stimuli"),
        (draws[1], n_subjects, resample != "stimuli", "subjects"),
    ):
        if not needed:
            continue
        if part is None:
            raise OptionError(f"drawn indices of {what}", "None", f"resample={resample!r} draws them")
        part = np.asarray(part)
        if part.ndim != 2 or not np.issubdtype(part.dtype, np.integer) or part.min() < 0 or part.max() >= size:
            raise OptionError(
                f"indices of {what}, 0 to {size - 1}, (draw, index)", f"{part.dtype}, shape {part.shape}", "integers"
            )
    if resample in ("both", "dual") and len(draws[0]) != len(draws[1]):  # type: ignore[arg-type]
        raise OptionError("as many draws of stimuli as of subjects", "other numbers", "pass one row each per draw")
    return draws


def _counts(drawn: np.ndarray, size: int) -> np.ndarray:
    """How often each index is in each row."""
    out = np.zeros((len(drawn), size))
    np.add.at(out, (np.arange(len(drawn))[:, None], drawn), 1.0)
    return out


def covariances(values: np.ndarray) -> np.ndarray:
    """Covariance (factor, quantity, quantity) over draws (factor, draw, quantity), draws without a score left out.

    Examples
    --------
    >>> covariances(np.array([[[0.0], [2.0], [np.nan]]])).tolist()
    [[[2.0]]]
    """
    usable = np.isfinite(values[:, :, 0]).all(axis=0)
    if usable.sum() < 2:
        raise OptionError("two usable draws or more", f"{int(usable.sum())}", "draw more, or use more stimuli")
    kept = values[:, usable]
    kept = kept - kept.mean(axis=1, keepdims=True)
    return np.einsum("fda,fdb->fab", kept, kept) / (kept.shape[1] - 1)


def corrected(variance: np.ndarray, n_subjects: int | None, n_stimuli: int | None) -> np.ndarray:
    """Variance from those of the resamples (factor, ...): both, subjects, stimuli; or of a single one.

    Examples
    --------
    >>> float(corrected(np.array([2.5, 1.0, 1.0]), 11, 21).round(4))
    1.5725
    """
    if len(variance) == 1:
        single = [size for size in (n_subjects, n_stimuli) if size is not None]
        factor = single[0] / (single[0] - 1) if len(single) == 1 else 1.0
        return factor * variance[0]
    if n_subjects is None or n_stimuli is None:
        raise OptionError("numbers of subjects and of stimuli", "None", "the dual bootstrap needs both")
    over, stim = n_subjects / (n_subjects - 1), n_stimuli / (n_stimuli - 1)
    both, by_subject, by_stimulus = variance
    total = over * by_subject + stim * by_stimulus - over * stim * (both - by_subject - by_stimulus)
    return np.minimum(np.maximum(total, np.maximum(over * by_subject, stim * by_stimulus)), both)


def _table(
    names: list[str],
    score: np.ndarray,
    bound: np.ndarray,
    scores: np.ndarray,
    bounds: np.ndarray,
    moments: np.ndarray,
    sizes: tuple[int | None, int | None],
    dof: int,
    level: float,
    factors: list[str],
    data: Stack,
) -> xr.Dataset:
    n_models = len(names)
    own = np.einsum("faa->fa", moments)
    of_differences = own[:, :, None] + own[:, None, :] - 2.0 * moments
    variance = corrected(own[:, :n_models], *sizes)
    pairs = np.maximum(corrected(of_differences[:, :n_models, :n_models], *sizes), 0.0)
    to_bound = np.maximum(corrected(of_differences[:, :n_models, n_models:], *sizes), 0.0)
    error, pair_error, bound_error = np.sqrt(np.maximum(variance, 0.0)), np.sqrt(pairs), np.sqrt(to_bound)
    reach = stats.t.ppf(0.5 + level / 2.0, dof) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        p_zero = stats.t.sf(score / error, dof)
        p_pair = 2.0 * stats.t.sf(np.abs(score[:, None] - score) / pair_error, dof)
        p_bound = 2.0 * stats.t.sf(np.abs(score[:, None] - bound) / bound_error, dof)
    np.fill_diagonal(p_pair, np.nan)
    return xr.Dataset(
        {
            "score": ("model", score),
            "ceiling": ("bound", bound),
            "score_draw": (("factor", "draw", "model"), scores),
            "ceiling_draw": (("factor", "bound", "draw"), bounds),
            "variance": ("model", variance),
            "standard_error": ("model", error),
            "interval": (("model", "bound"), np.stack([score - reach, score + reach], axis=1)),
            "difference_error": (("model", "model_2"), pair_error),
            "p_zero": ("model", p_zero),
            "p_difference": (("model", "model_2"), p_pair),
            "p_ceiling": (("model", "bound"), p_bound),
        },
        coords={"model": names, "model_2": names, "bound": BOUNDS, "factor": factors},
        attrs={"n_rdms": data.size, "n_conditions": data.conditions.size},
    )
