"""Simulation-based calibration: are the draws of a sampler draws from the posterior?"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurodata._core.parallel import iterate_parallel, one_thread
from neurodata._core.progress import Progress, as_progress
from neurodata._core.provenance import storable_attrs, with_operation
from neurodata._core.rng import RNGLike, children
from neurodata.diagnostics.ecdf import ecdf_band, ecdf_difference, ecdf_p_value, rank_chi_square
from neurodata.diagnostics.mcmc import autocorrelation, effective_sample_size, thinning
from neurodata.errors import OptionError
from neurodata.validate._quantities import (
    finite_or_ordered,
    flatten,
    functions_of,
    parameters_of,
    same_names,
)

Params = Mapping[str, Any]

_N_PILOTS = 8
_MOST_THINNING = 200
# Below this share of the draws asked for, the verdict says that they are too dependent.
_LEAST_ESS = 0.6


class _Task(NamedTuple):
    """What one simulation needs, the same for all."""

    prior: Callable[[np.random.Generator], Params]
    simulate: Callable[[Params, np.random.Generator], Any]
    sample: Callable[[Any, int, np.random.Generator], Params]
    quantities: Any
    vectorized: bool
    n_draws: int


class _Outcome(NamedTuple):
    """What is kept of one simulation: arrays (quantity)."""

    names: list[str]
    rank: np.ndarray
    true: np.ndarray
    mean: np.ndarray
    sd: np.ndarray
    ess: np.ndarray


def sbc(
    prior: Callable[[np.random.Generator], Params],
    simulate: Callable[[Params, np.random.Generator], Any],
    sample: Callable[[Any, int, np.random.Generator], Params],
    *,
    n_simulations: int = 100,
    n_draws: int = 99,
    quantities: Sequence[str] | Mapping[str, Callable[..., Any]] | None = None,
    thin: int | str = "auto",
    level: float = 0.95,
    vectorized: bool = False,
    rng: RNGLike = None,
    n_jobs: int = 1,
    progress: bool | Progress = False,
) -> xr.Dataset:
    """Simulation-based calibration of a sampler.

    Parameters are drawn from the prior, data from the parameters, and draws from the sampler given the data. If these
    are draws from the posterior, the rank of the true value among them is uniform [1]_, for every function of the
    parameters and the data.

    Parameters
    ----------
    prior : callable
        ``prior(rng) -> params``, a dict of arrays.
    simulate : callable
        ``simulate(params, rng) -> data``.
    sample : callable
        ``sample(data, n_draws, rng) -> draws``, a dict of arrays whose first axis has `n_draws` draws in the order of
        the chain, warm-up left out. It is not told the truth: a chain that starts there passes unjustly.
    n_simulations, n_draws : int
        100 of 99 is a first look, 1000 of 99 good enough for a release.
    quantities : sequence of str, or dict of str to callable, optional
        What is ranked: some of the parameters (by default all that `sample` returns, each element by itself), or
        ``function(params, data) -> number or array``. For a mixture, whose labels can switch, give functions that do
        not depend on labels: the number of clusters, whether two units share one, sorted rates. The log-likelihood
        of the data is worth adding always: it sees what no single parameter shows [2]_.
    thin : int or "auto"
        `sample` is asked for `thin` times `n_draws`, and every `thin`-th is kept. "auto" looks at a few chains first
        and takes what makes the kept draws of all quantities nearly independent; 1 for a sampler without a chain.
    level : float
        Probability that a right sampler passes in all quantities: the band is as wide as their number needs.
    vectorized : bool
        Functions take all draws at once: the first axis of every parameter is the draw, and of the result too.
    rng : int, Generator, ..., optional
        Every simulation has random numbers of its own; the result does not depend on `n_jobs`.
    n_jobs : int
        Workers of the joblib backend in use.
    progress : bool or Progress

    Returns
    -------
    Dataset
        `rank` (quantity, simulation), 0 to `n_draws`; ties are broken at random. `ecdf_difference` (quantity,
        rank_value) with the band `band_lower`, `band_upper` (rank_value), and `passed` (quantity): the ECDF of the
        ranks stays in the band. `p` (quantity), of the ECDF at its worst point, and `chi_square_p`, neither corrected
        for the number of quantities. `ess` (quantity, simulation), effective number of the draws kept; `true`,
        `posterior_mean`, `posterior_sd` (quantity, simulation). ``attrs["verdict"]`` says it in words; attrs `thin`.

    Raises
    ------
    OptionError
        A function that does not return what it should.

    See Also
    --------
    geweke : stronger for the conditionals of a Gibbs sampler, since it needs no posterior for each simulation.
    neurodata.plot.sbc_ecdf : the picture.

    Notes
    -----
    What can be seen: a posterior shifted by d of its sd, or with its sd wrong by a factor s, fails in 9 of 10 runs
    (one quantity, ranks among 99) for

    ============= ==== =========== =============
    n_simulations d    s, too wide s, too narrow
    ============= ==== =========== =============
    100           0.38 1.48        0.70
    300           0.23 1.25        0.82
    1000          0.12 1.12        0.90
    4000          0.06 1.06        0.95
    ============= ==== =========== =============

    An error of 10 % in the variance of one conditional changes the sd of a single parameter by 5 % at most: one
    parameter by itself needs more than 4000 simulations. Much fewer do where many wrong draws add up in one number: the
    log-likelihood, or a sum of squares.

    Ranks among dependent draws crowd at both ends, as if the posterior were too narrow; hence the thinning. Data
    come from the model's own prior: SBC says that the sampler is right, and nothing of whether the model is.

    References
    ----------
    .. [1] S. Talts, M. Betancourt, D. Simpson, A. Vehtari and A. Gelman, "Validating Bayesian inference algorithms
       with simulation-based calibration" (2018), arXiv:1804.06788.
    .. [2] M. Modrák, A. H. Moon, S. Kim, P. Bürkner, N. Huurre, K. Faltejsková, A. Gelman and A. Vehtari,
       "Simulation-based calibration checking for Bayesian computation: the choice of test quantities shapes
       sensitivity", Bayesian Analysis (2023), doi:10.1214/23-BA1404.

    Examples
    --------
    One number with a normal prior, seen once with noise of the same size; the draws of the second sampler are too
    close to each other.

    >>> import numpy as np
    >>> import neurodata as nd
    >>> def prior(rng):
    ...     return {"x": rng.normal()}
    >>> def simulate(params, rng):
    ...     return rng.normal(params["x"])
    >>> def sample(data, n_draws, rng):
    ...     return {"x": rng.normal(data / 2, np.sqrt(0.5), n_draws)}
    >>> def narrow(data, n_draws, rng):
    ...     return {"x": rng.normal(data / 2, 0.3, n_draws)}
    >>> bool(nd.validate.sbc(prior, simulate, sample, thin=1, rng=1).passed.all())
    True
    >>> print(nd.validate.sbc(prior, simulate, narrow, thin=1, rng=1).attrs["verdict"])
    FAILED: 1 of 1 quantities (100 simulations, rank among 99 draws)
      x: p < 1e-12; the truth is too often outside the draws: the posterior is too narrow
    """
    if n_simulations < 10 or n_draws < 9 or not 0 < level < 1:
        raise OptionError(
            "n_simulations of 10 or more, n_draws of 9 or more, level between 0 and 1",
            f"n_simulations={n_simulations}, n_draws={n_draws}, level={level}",
            "100 simulations of 99 draws are a first look",
        )
    if thin != "auto" and not (isinstance(thin, int) and thin >= 1):
        raise OptionError('thin="auto" or a whole number from 1', f"{thin!r}", "1 keeps every draw")
    chosen = quantities
    if isinstance(quantities, str):
        chosen = [quantities]
    elif quantities is not None and not (
        isinstance(quantities, Sequence) and quantities and all(isinstance(name, str) for name in quantities)
    ):
        chosen = functions_of(quantities, "quantities")
    task = _Task(prior, simulate, sample, chosen, vectorized, int(n_draws))
    pilots, simulations = children(rng, 2)
    if isinstance(thin, str):
        thin = _choose_thinning(task, pilots)
    outcomes = _run_all(task, thin, simulations.spawn(n_simulations), n_jobs, as_progress(progress))
    return _result(outcomes, task.n_draws, thin, level)


def _choose_thinning(task: _Task, rng: np.random.Generator) -> int:
    """By the autocorrelation over a few chains of their own, made longer until they are 20 times what is needed."""
    with one_thread():
        worlds = [_world(task, seed) for seed in rng.spawn(_N_PILOTS)]
        length = max(task.n_draws, 100)
        while True:
            chains = []
            for (params, data), seed in zip(worlds, rng.spawn(_N_PILOTS), strict=True):
                draws = _draws(task, data, length, 1, seed)
                chains.append(_values(task, params, draws, data)[2])
            needed = thinning(autocorrelation(np.stack(chains)))
            if 20 * needed <= length:
                return needed
            if length >= 20 * _MOST_THINNING:
                raise OptionError(
                    f"a chain whose every {_MOST_THINNING}th draw is nearly independent of the last",
                    f"draws still dependent at a distance of {needed}",
                    "thin inside `sample`, mend its mixing, or give `thin` as a number and read `ess` in the result",
                )
            length = min(4 * length, 20 * _MOST_THINNING)


def _run_all(
    task: _Task, thin: int, seeds: list[np.random.Generator], n_jobs: int, progress: Progress
) -> list[_Outcome]:
    """All simulations, in their order. They go to the workers in parcels, so that quick ones are not slowed by that."""
    parcels = np.array_split(np.arange(len(seeds)), min(len(seeds), 50))
    calls = [(task, thin, parcel, [seeds[k] for k in parcel], n_jobs != 1) for parcel in parcels]
    found: dict[int, _Outcome] = {}
    progress.start(len(seeds), "calibration")
    try:
        # Limiting threads reads the table of loaded libraries, 15 ms: once here, or once for each parcel of a worker.
        with one_thread() if n_jobs == 1 else nullcontext():
            for done in iterate_parallel(_run_parcel, calls, n_jobs):
                found.update(done)
                progress.update(len(done))
    finally:
        progress.close()
    return [found[k] for k in range(len(seeds))]


def _run_parcel(
    task: _Task, thin: int, numbers: np.ndarray, seeds: list[np.random.Generator], in_worker: bool
) -> dict[int, _Outcome]:
    done = {}
    with one_thread() if in_worker else nullcontext():
        for number, seed in zip(numbers.tolist(), seeds, strict=True):
            with _Noted(f"in simulation {number} of the calibration"):
                done[number] = _run_one(task, thin, seed)
    return done


class _Noted:
    """Adds where it happened to an error that passes through."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if error is not None:
            error.add_note(self.text)


def _run_one(task: _Task, thin: int, rng: np.random.Generator) -> _Outcome:
    """One world, its draws, and where the truth is among them."""
    for_world, for_draws, for_ties = rng.spawn(3)
    params, data = _world(task, for_world)
    draws = _draws(task, data, task.n_draws, thin, for_draws)
    names, true, values = _values(task, params, draws, data)
    below, tied = (values < true).sum(axis=0), (values == true).sum(axis=0)
    rank = below + for_ties.integers(0, tied, endpoint=True)
    with np.errstate(invalid="ignore"):
        ess = effective_sample_size(values[None])
        return _Outcome(names, rank, true, values.mean(axis=0), values.std(axis=0, ddof=1), ess)


def _world(task: _Task, rng: np.random.Generator) -> tuple[Params, Any]:
    params = parameters_of(task.prior(rng), "prior")
    return params, task.simulate(params, rng)


def _draws(task: _Task, data: Any, n_draws: int, thin: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Every `thin`-th draw of the sampler, `n_draws` of them, checked."""
    made = parameters_of(task.sample(data, n_draws * thin, rng), "sample")
    draws = {name: np.asarray(values) for name, values in made.items()}
    short = {name: values.shape for name, values in draws.items() if values.shape[:1] != (n_draws * thin,)}
    if short:
        raise OptionError(
            f"{n_draws * thin} draws along the first axis of everything that sample returns",
            ", ".join(f"{name}: shape {shape}" for name, shape in short.items()),
            "return exactly the number of draws that was asked for",
        )
    return {name: values[thin - 1 :: thin] for name, values in draws.items()}


def _values(
    task: _Task, params: Params, draws: dict[str, np.ndarray], data: Any
) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Names, true values (quantity) and values of the draws (draw, quantity)."""
    if isinstance(task.quantities, dict):
        if task.vectorized:
            one = {name: np.asarray(value)[None] for name, value in params.items()}
            names, true = flatten({name: f(one, data) for name, f in task.quantities.items()}, 1)
            names_of_draws, values = flatten({name: f(draws, data) for name, f in task.quantities.items()}, 1)
            true = true[0]
        else:
            names, true = flatten({name: f(params, data) for name, f in task.quantities.items()})
            rows = []
            for k in range(len(next(iter(draws.values())))):
                drawn = {name: values[k] for name, values in draws.items()}
                names_of_draws, row = flatten({name: f(drawn, data) for name, f in task.quantities.items()})
                same_names(names_of_draws, names)
                rows.append(row)
            values = np.stack(rows)
    else:
        wanted = [name for name in params if name in draws] if task.quantities is None else list(task.quantities)
        lacking = [name for name in wanted if name not in params or name not in draws]
        if lacking or not wanted:
            raise OptionError(
                f"parameters that both prior and sample return{': ' + ', '.join(lacking) if lacking else ''}",
                f"prior: {', '.join(map(str, params))}; sample: {', '.join(draws)}",
                "name the same things alike, or give functions as quantities",
            )
        names, true = flatten({name: params[name] for name in wanted})
        names_of_draws, values = flatten({name: draws[name] for name in wanted}, 1)
    same_names(names_of_draws, names)
    return names, finite_or_ordered(names, true, "the truth"), finite_or_ordered(names, values, "the draws")


def _result(outcomes: list[_Outcome], n_draws: int, thin: int, level: float) -> xr.Dataset:
    names = outcomes[0].names
    for outcome in outcomes:
        same_names(outcome.names, names)
    rank, true, mean, sd, ess = (
        np.stack([getattr(o, part) for o in outcomes], axis=1) for part in ("rank", "true", "mean", "sd", "ess")
    )
    n_values, n_simulations = n_draws + 1, len(outcomes)
    band = ecdf_band(n_simulations, n_values, 1 - (1 - level) / len(names))
    difference = ecdf_difference(rank, n_values)
    diagonal = np.arange(1, n_values + 1) / n_values
    inside = (difference + diagonal) * n_simulations
    # Counts are whole numbers: half of one is safe from rounding.
    passed = ((inside > band.lower - 0.5) & (inside < band.upper + 0.5)).all(axis=1)
    both = ("quantity", "simulation")
    result = xr.Dataset(
        {
            "rank": (both, rank),
            "ecdf_difference": (("quantity", "rank_value"), difference),
            "band_lower": ("rank_value", band.lower / n_simulations - diagonal),
            "band_upper": ("rank_value", band.upper / n_simulations - diagonal),
            "passed": ("quantity", passed),
            "p": ("quantity", ecdf_p_value(rank, n_values)),
            "chi_square_p": ("quantity", rank_chi_square(rank, n_values)),
            "ess": (both, ess),
            "true": (both, true),
            "posterior_mean": (both, mean),
            "posterior_sd": (both, sd),
        },
        coords={"quantity": names, "simulation": np.arange(n_simulations), "rank_value": np.arange(n_values)},
    )
    attrs: dict[str, Any] = {
        "n_draws": n_draws,
        "thin": thin,
        "level": level,
        "band_coverage": band.coverage,
        "verdict": _verdict(result, n_draws),
    }
    settings = {"n_simulations": n_simulations, "n_draws": n_draws, "thin": thin, "level": level}
    result.attrs = storable_attrs(with_operation(attrs, "validate.sbc", **settings))
    return result


def _verdict(result: xr.Dataset, n_draws: int) -> str:
    passed = result["passed"].values
    n_simulations = result.sizes["simulation"]
    scope = f"({n_simulations} simulations, rank among {n_draws} draws)"
    if passed.all():
        lines = [f"passed: {passed.size} of {passed.size} quantities {scope}"]
    else:
        lines = [f"FAILED: {(~passed).sum()} of {passed.size} quantities {scope}"]
    for k in np.flatnonzero(~passed)[:20]:
        p = float(result["p"][k])
        size = f"p = {p:.2g}" if p > 1e-12 else "p < 1e-12"
        lines.append(f"  {result.quantity.values[k]}: {size}; {_direction(result['rank'].values[k], n_draws)}")
    if (~passed).sum() > 20:
        lines.append(f"  and {(~passed).sum() - 20} more")
    # A quantity that is constant in a simulation has no ess there. (xarray's median would compile numbagg, if there.)
    finite = [row[np.isfinite(row)] for row in result["ess"].values]
    typical = np.array([np.median(row) if row.size else np.nan for row in finite])
    if (typical < _LEAST_ESS * n_draws).any():
        worst = int(np.nanargmin(typical))
        lines.append(
            f"  the draws of {result.quantity.values[worst]} were worth {typical[worst]:.0f} independent ones: "
            "dependent draws look like a posterior that is too narrow; thin more"
        )
    return "\n".join(lines)


def _direction(rank: np.ndarray, n_draws: int) -> str:
    """The shape of a histogram of ranks in words (section 4 of Talts et al. 2018)."""
    u = (rank + 0.5) / (n_draws + 1) - 0.5
    # Mean and variance of a uniform, and the variance of its square: 1/12, 1/80 - 1/144.
    shift = u.mean() * np.sqrt(12 * u.size)
    spread = (np.mean(u**2) - 1 / 12) / np.sqrt((1 / 80 - 1 / 144) / u.size)
    if max(abs(shift), abs(spread)) < 2:
        return "the ranks are uneven"
    if abs(shift) > abs(spread):
        return f"the draws are too {'low' if shift > 0 else 'high'}"
    if spread > 0:
        return "the truth is too often outside the draws: the posterior is too narrow"
    return "the truth is too often amid the draws: the posterior is too wide"
