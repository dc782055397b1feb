"""Geweke's joint distribution test: do the steps of a sampler leave prior and likelihood as they are?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.parallel import iterate_parallel, one_thread
from neurodata._core.progress import Progress, as_progress
from neurodata._core.provenance import storable_attrs, with_operation
from neurodata._core.rng import RNGLike, children
from neurodata.diagnostics.mcmc import effective_sample_size, standard_error
from neurodata.errors import OptionError
from neurodata.validate._quantities import flatten, functions_of, parameters_of, same_names

Params = Mapping[str, Any]

# A mean of fewer draws than this is not normal enough, nor its standard error known well enough, for a z of 3.
_LEAST_ESS = 100.0


def geweke(
    prior: Callable[[np.random.Generator], Params],
    simulate: Callable[[Params, np.random.Generator], Any],
    step: Callable[[Params, Any, np.random.Generator], Params],
    functions: Mapping[str, Callable[..., Any]],
    *,
    n_marginal: int,
    n_successive: int,
    n_chains: int = 1,
    level: float = 0.95,
    rng: RNGLike = None,
    n_jobs: int = 1,
    progress: bool | Progress = False,
) -> xr.Dataset:
    """Joint distribution test of the step of an MCMC sampler.

    Parameters and data are drawn in two ways: parameters from the prior and data from them, every time anew; and in a
    chain that alternates one step of the sampler given the data with new data given the parameters. If the step leaves
    the posterior unchanged, both have the same distribution [1]_. A wrong conditional shows, because its error feeds
    back through the data.

    Parameters
    ----------
    prior : callable
        ``prior(rng) -> params``, a dict of arrays: everything that `step` changes, latent variables too.
    simulate : callable
        ``simulate(params, rng) -> data``.
    step : callable
        ``step(params, data, rng) -> params``: one sweep over all parameters. It may change `params` in place.
    functions : dict of str to callable
        ``function(params, data) -> number or array``. They should not depend on labels that can switch.
    n_marginal : int
        Independent pairs of parameters and data.
    n_successive : int
        Steps of each chain.
    n_chains : int
        Chains of the second kind. Each begins with a draw from the joint distribution, so none needs a warm-up, but
        short chains have no time to stray: prefer few and long.
    level : float
        Probability that a right sampler passes in all functions and moments (Bonferroni).
    rng : int, Generator, ..., optional
        The result does not depend on `n_jobs`.
    n_jobs : int
        Workers of the joblib backend in use; chains and the independent draws are the tasks.
    progress : bool or Progress

    Returns
    -------
    Dataset
        `z` (function, moment): difference between chain and independent draws in units of its standard error, which
        for the chain takes autocorrelation into account; moment is "mean", or "square", the second moment about the
        mean of the independent draws. `marginal`, `successive` and their standard errors `marginal_se`,
        `successive_se`; `ess` (function, moment), independent draws that the chain is worth. `p` (function, moment),
        not corrected for their number. `passed` (function): both abs(z) < ``attrs["bound"]``, and both `ess` at least
        100. ``attrs["verdict"]`` says it in words.

    Raises
    ------
    OptionError
        A function that does not return what it should, or returns a value that is not finite.

    See Also
    --------
    sbc : also sees warm-up that is too short and bad mixing, which this test does not.

    Notes
    -----
    Make the data small (a few units, tens of bins): with much data, chain and parameters move slowly together, and
    the test needs many more steps. Priors must be proper, and functions must have a fourth moment: the precision of
    a Gamma(1, 1) prior is fine, the variance it implies is not; take the logarithm. A scale that a data set can
    multiply by much makes the chain slow.

    References
    ----------
    .. [1] J. Geweke, "Getting it right: joint distribution tests of posterior simulators", JASA 99 (2004), 799-804,
       doi:10.1198/016214504000001132.

    Examples
    --------
    A normal mean, one observation. The second step has forgotten the prior.

    >>> import numpy as np
    >>> import neurodata as nd
    >>> def prior(rng):
    ...     return {"x": rng.normal()}
    >>> def simulate(params, rng):
    ...     return rng.normal(params["x"])
    >>> def step(params, data, rng):
    ...     return {"x": rng.normal(data / 2, np.sqrt(0.5))}
    >>> def flat(params, data, rng):
    ...     return {"x": rng.normal(data / 1.5, np.sqrt(1 / 1.5))}
    >>> functions = {"x": lambda params, data: params["x"]}
    >>> settings = {"n_marginal": 2000, "n_successive": 4000, "rng": 1}
    >>> bool(nd.validate.geweke(prior, simulate, step, functions, **settings).passed.all())
    True
    >>> print(nd.validate.geweke(prior, simulate, flat, functions, **settings).attrs["verdict"])
    FAILED: 1 of 1 functions (all abs(z) < 2.24 in a right sampler)
      x: z = 11.8 of the second moment
    """
    if n_marginal < 100 or n_successive < 100 or n_chains < 1 or not 0 < level < 1:
        raise OptionError(
            "n_marginal and n_successive of 100 or more, n_chains of 1 or more, level between 0 and 1",
            f"n_marginal={n_marginal}, n_successive={n_successive}, n_chains={n_chains}, level={level}",
            "10000 of each are a first look",
        )
    named = functions_of(functions, "functions")
    seeds = children(rng, n_chains + 1)
    calls: list[tuple[Any, ...]] = [(0, n_marginal, prior, simulate, None, named, seeds[0])]
    calls += [(k, n_successive, prior, simulate, step, named, seeds[k]) for k in range(1, n_chains + 1)]
    found = {}
    bar = as_progress(progress)
    bar.start(len(calls), "joint distribution test")
    try:
        for number, names, values in iterate_parallel(_run, calls, n_jobs):
            found[number] = (names, values)
            bar.update()
    finally:
        bar.close()
    names = found[0][0]
    for k in range(1, n_chains + 1):
        same_names(found[k][0], names)
    chains = np.stack([found[k][1] for k in range(1, n_chains + 1)])
    settings = {"n_marginal": n_marginal, "n_successive": n_successive, "n_chains": n_chains, "level": level}
    return _compare(names, found[0][1], chains, settings)


def _run(
    number: int,
    n: int,
    prior: Callable[..., Params],
    simulate: Callable[..., Any],
    step: Callable[..., Params] | None,
    functions: dict[str, Callable[..., Any]],
    rng: np.random.Generator,
) -> tuple[int, list[str], np.ndarray]:
    """Values (draw, function) of independent draws, or of a chain where there is a step."""
    with one_thread():
        pairs = _independent(prior, simulate, rng) if step is None else _successive(prior, simulate, step, rng)
        params, data = next(pairs)
        names, first = flatten({name: f(params, data) for name, f in functions.items()})
        values = np.empty((n, first.size))
        values[0] = first
        for k in range(1, n):
            params, data = next(pairs)
            row = [f(params, data) for f in functions.values()]
            # The names of every row cost more than the step of a quick sampler; a changed size is an error below.
            flat = np.concatenate([np.ravel(part) for part in row])
            if flat.size != first.size:
                same_names(flatten(dict(zip(functions, row, strict=True)))[0], names)
            values[k] = flat
    if not np.isfinite(values).all():
        bad = [name for name, column in zip(names, values.T, strict=True) if not np.isfinite(column).all()]
        raise OptionError("functions that are finite", f"NaN or infinite: {', '.join(bad[:5])}", "mend the function")
    return number, names, values


def _independent(
    prior: Callable[..., Params], simulate: Callable[..., Any], rng: np.random.Generator
) -> Iterator[tuple[Params, Any]]:
    while True:
        params = parameters_of(prior(rng), "prior")
        yield params, simulate(params, rng)


def _successive(
    prior: Callable[..., Params],
    simulate: Callable[..., Any],
    step: Callable[..., Params],
    rng: np.random.Generator,
) -> Iterator[tuple[Params, Any]]:
    params = parameters_of(prior(rng), "prior")
    data = simulate(params, rng)
    while True:
        params = parameters_of(step(params, data, rng), "step")
        data = simulate(params, rng)
        yield params, data


def _compare(names: list[str], marginal: np.ndarray, chains: np.ndarray, settings: dict[str, Any]) -> xr.Dataset:
    """Moments of independent draws (draw, function) and of chains (chain, draw, function)."""
    from scipy.stats import norm

    centre = marginal.mean(axis=0)
    # About a fixed centre, which both share, the second moment is a mean like any other.
    first, second = (np.stack([x, (x - centre) ** 2], axis=-1) for x in (marginal, chains))
    mean = [first.mean(axis=0), second.mean(axis=(0, 1))]
    se = [first.std(axis=0, ddof=1) / np.sqrt(len(first)), standard_error(second)]
    # A function that never changes within rounding has no standard error: equal or not is all there is to say.
    scale = 1e-9 * (np.abs(mean[0]) + np.abs(mean[1]))
    constant = [se[0] <= scale / np.sqrt(len(first)), (second.std(axis=(0, 1)) <= scale) | np.isnan(se[1])]
    se = [np.where(c, 0.0, s) for c, s in zip(constant, se, strict=True)]
    ess = np.where(constant[1], float(second.shape[0] * second.shape[1]), effective_sample_size(second))
    difference = np.where(np.abs(mean[1] - mean[0]) <= scale, 0.0, mean[1] - mean[0])
    error = np.hypot(se[0], se[1])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(difference == 0, 0.0, difference / error)
    bound = float(norm.isf((1 - settings["level"]) / (2 * z.size)))
    enough = ess >= _LEAST_ESS
    both = ("function", "moment")
    result = xr.Dataset(
        {
            "z": (both, z),
            "p": (both, 2 * norm.sf(np.abs(z))),
            "passed": ("function", ((np.abs(z) < bound) & enough).all(axis=1)),
            "ess": (both, ess),
            "marginal": (both, mean[0]),
            "marginal_se": (both, se[0]),
            "successive": (both, mean[1]),
            "successive_se": (both, se[1]),
        },
        coords={"function": names, "moment": ["mean", "square"]},
    )
    attrs = {**settings, "bound": bound, "verdict": _verdict(result, bound)}
    result.attrs = storable_attrs(with_operation(attrs, "validate.geweke", **settings))
    return result


def _verdict(result: xr.Dataset, bound: float) -> str:
    passed, z, ess = (result[name].values for name in ("passed", "z", "ess"))
    wrong = (np.abs(z) >= bound).any(axis=1)
    head = f"passed: {passed.size} of {passed.size} functions" if passed.all() else ""
    if wrong.any():
        head = f"FAILED: {wrong.sum()} of {wrong.size} functions"
    elif not passed.all():
        head = f"UNDECIDED: {(~passed).sum()} of {passed.size} functions need a longer chain"
    lines = [f"{head} (all abs(z) < {bound:.2f} in a right sampler)"]
    for k in np.flatnonzero(~passed)[:20]:
        moment = int(np.abs(z[k]).argmax())
        what = ("mean", "second moment")[moment]
        text = f"  {result.function.values[k]}: z = {z[k, moment]:.1f} of the {what}"
        if ess[k].min() < _LEAST_ESS:
            text += f"; the chain is worth {ess[k].min():.0f} independent draws, too few to tell"
        lines.append(text)
    if (~passed).sum() > 20:
        lines.append(f"  and {(~passed).sum() - 20} more")
    return "\n".join(lines)
