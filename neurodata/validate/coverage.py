"""Do intervals hold the truth as often as they say?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import storable_attrs, with_operation
from neurodata.errors import OptionError


def coverage(
    truth: Any,
    draws: Any = None,
    *,
    lower: Any = None,
    upper: Any = None,
    mean: Any = None,
    sd: Any = None,
    levels: Sequence[float] = (0.5, 0.8, 0.95),
    confidence: float = 0.95,
) -> xr.Dataset:
    """Share of true values inside their intervals, with the band that chance allows.

    Intervals come from `draws`, or from `lower` and `upper`, or, for a normal (Laplace) posterior, from `mean` and
    `sd`. Every argument may be a dict of such, for several quantities.

    Parameters
    ----------
    truth : array (...) or dict of str to array
        NaN is unknown: not counted.
    draws : array (draw, ...), or DataArray with the dim draw (and chain), optional
        Draws from the posterior of each true value. Intervals are central.
    lower, upper : array (level, ...), optional
        Ends of the intervals; without the first axis where there is one level.
    mean, sd : array (...), optional
    levels : sequence of float
        Nominal coverage of the intervals.
    confidence : float
        Of the band.

    Returns
    -------
    Dataset
        Over ([quantity,] level): `coverage`; `band_lower`, `band_upper`: where the coverage of `n` independent right
        intervals lies with probability `confidence` at least (exact binomial); `passed`: it does; `width`, the mean
        width of the intervals; `n`, how many were counted; `n_missing`, how many were not, because the truth or the
        interval is NaN. ``attrs["verdict"]`` is the table in words.

    Raises
    ------
    OptionError
        Shapes that do not fit, or too few draws for a level.

    Notes
    -----
    Ends of central intervals are order statistics, interpolated, placed so that a right posterior has nominal
    coverage for any number of draws (quantiles of type 6). That needs ``2 / (1 - level) - 1`` draws: 39 for 0.95.

    The band is for independent values. Values that one data set gives together err together, and stray further: count
    one value per data set, or many data sets.

    Only truth and data from the model's own prior test the *method*. On a simulated spiking circuit the model is
    wrong by design, and coverage below nominal says how far the intervals can be trusted there, not that a sampler is
    faulty; `sbc` and `geweke` test that.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> rng = np.random.default_rng(0)
    >>> centre = rng.normal(size=400)
    >>> truth = centre + rng.normal(size=400)
    >>> print(nd.validate.coverage(truth, mean=centre, sd=np.full(400, 0.5)).attrs["verdict"])
    50 % intervals hold 25.0 % of 400 true values: too narrow (45.0 to 55.0 % by chance)
    80 % intervals hold 46.8 % of 400 true values: too narrow (76.0 to 83.8 % by chance)
    95 % intervals hold 64.8 % of 400 true values: too narrow (92.8 to 97.0 % by chance)
    """
    levels = tuple(float(level) for level in np.atleast_1d(levels))
    if not (all(0 < level < 1 for level in levels) and levels and 0 < confidence < 1):
        raise OptionError(
            "levels and confidence between 0 and 1", f"{levels}, {confidence}", "0.95 is 95 per cent, for example"
        )
    kind, first, second = _intervals_given(draws, lower, upper, mean, sd)
    several = isinstance(truth, Mapping)
    rows = []
    for name in truth if several else ("",):
        one = [_part(source, name, several) for source in (truth, first, second)]
        rows.append(_count(name, kind, *one, levels=levels, confidence=confidence))
    variables = ("coverage", "band_lower", "band_upper", "passed", "width", "n", "n_missing")
    columns = {name: np.stack([row[name] for row in rows]) for name in variables}
    dims: tuple[str, ...] = ("quantity", "level")
    coords: dict[str, Any] = {"quantity": list(truth) if several else [""], "level": list(levels)}
    result = xr.Dataset({name: (dims, values) for name, values in columns.items()}, coords=coords)
    if not several:
        result = result.isel(quantity=0, drop=True)
    attrs = {"confidence": confidence, "verdict": _verdict(result)}
    settings = {"levels": levels, "confidence": confidence, "intervals": kind}
    result.attrs = storable_attrs(with_operation(attrs, "validate.coverage", **settings))
    return result


def _intervals_given(draws: Any, lower: Any, upper: Any, mean: Any, sd: Any) -> tuple[str, Any, Any]:
    """Which of the three ways was used, and its one or two arguments."""
    ways = {"draws": (draws, draws), "limits": (lower, upper), "normal": (mean, sd)}
    used = [name for name, given in ways.items() if any(part is not None for part in given)]
    if len(used) != 1 or any(part is None for part in ways[used[0]]):
        arguments = {"draws": draws, "lower": lower, "upper": upper, "mean": mean, "sd": sd}
        got = ", ".join(name for name, value in arguments.items() if value is not None)
        raise OptionError("draws, or lower and upper, or mean and sd", got or "none of them", "give one kind")
    return used[0], *ways[used[0]]


def _part(source: Any, name: str, several: bool) -> Any:
    if not several:
        return source
    if not isinstance(source, Mapping) or name not in source:
        got = ", ".join(map(str, source)) if isinstance(source, Mapping) else type(source).__name__
        raise OptionError(f"a dict with {name!r}, as truth has it", got, "give intervals for everything in truth")
    return source[name]


def _count(
    name: str, kind: str, truth: Any, first: Any, second: Any, *, levels: tuple[float, ...], confidence: float
) -> dict[str, np.ndarray]:
    """One row of the table: arrays (level)."""
    from scipy.stats import binom

    where = f" of {name!r}" if name else ""
    if kind == "draws":
        true, drawn = _aligned_draws(truth, first)
        _fitting(true.shape, drawn.shape[1:], f"draws{where} of shape (draw, *truth)", drawn.shape)
        low, high = _central(drawn, levels)
    elif kind == "normal":
        true, centre, spread = (np.asarray(x, dtype=np.float64) for x in _aligned(truth, first, second))
        centre = _spread_out(centre, true.shape, f"mean{where}")
        low, high = _normal(centre, _spread_out(spread, true.shape, f"sd{where}"), levels)
    else:
        true, low, high = (np.asarray(x, dtype=np.float64) for x in _aligned(truth, first, second))
        low, high = (x[None] if len(levels) == 1 and x.shape == true.shape else x for x in (low, high))
        for x in (low, high):
            _fitting((len(levels), *true.shape), x.shape, f"limits{where} of shape (level, *truth)", x.shape)
    known = np.isfinite(true) & ~(np.isnan(low) | np.isnan(high)).any(axis=0)
    n = int(known.sum())
    if n == 0:
        raise OptionError(f"a true value{where} that is known and has intervals", "none", "see NaN in truth and limits")
    true, low, high = true[known], low[:, known], high[:, known]
    share = ((low <= true) & (true <= high)).mean(axis=1)
    tail = (1 - confidence) / 2
    band = [binom.ppf(q, n, levels) / n for q in (tail, 1 - tail)]
    return {
        "coverage": share,
        "band_lower": band[0],
        "band_upper": band[1],
        # Both are whole numbers over n: half of one is safe from rounding.
        "passed": (share > band[0] - 0.5 / n) & (share < band[1] + 0.5 / n),
        "width": (high - low).mean(axis=1),
        "n": np.full(len(levels), n),
        "n_missing": np.full(len(levels), known.size - n),
    }


def _aligned(truth: Any, *others: Any) -> list[Any]:
    """DataArrays with their dims in the order of truth's, and its coordinates; a dim `level` comes first."""
    if not isinstance(truth, xr.DataArray):
        return [truth, *others]
    made: list[Any] = [truth]
    for other in others:
        if isinstance(other, xr.DataArray):
            if not set(truth.dims) <= set(other.dims):
                raise OptionError(f"intervals with the dims of truth {truth.dims}", f"{other.dims}", "rename the dims")
            try:
                xr.align(truth, other, join="exact", exclude=set(other.dims) - set(truth.dims))
            except ValueError as error:
                raise OptionError(
                    "the same labels on truth and intervals", str(error), "select and sort both"
                ) from error
            other = other.transpose("level", ..., missing_dims="ignore").transpose(..., *truth.dims)
        made.append(other)
    return made


def _aligned_draws(truth: Any, draws: Any) -> tuple[np.ndarray, np.ndarray]:
    """Arrays of the truth (...) and of its draws (draw, ...), chains one after the other."""
    if isinstance(draws, xr.DataArray) and "draw" in draws.dims:
        if "chain" in draws.dims:
            draws = draws.stack(_sample=("chain", "draw"), create_index=False)
        else:
            draws = draws.rename(draw="_sample")
        if isinstance(truth, xr.DataArray):
            _, draws = _aligned(truth, draws)
        draws = draws.transpose("_sample", ...)
    return np.asarray(truth, dtype=np.float64), np.asarray(draws, dtype=np.float64)


def _central(draws: np.ndarray, levels: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    n_draws = draws.shape[0]
    needed = int(np.ceil(2 / (1 - max(levels)) - 1 - 1e-9))
    if n_draws < needed:
        raise OptionError(
            f"{needed} draws or more for a level of {max(levels):g}", f"{n_draws}", "draw more, or lower the level"
        )
    tails = (1 - np.asarray(levels)) / 2
    low = np.quantile(draws, tails, axis=0, method="weibull")
    return low, np.quantile(draws, 1 - tails, axis=0, method="weibull")


def _normal(mean: np.ndarray, sd: np.ndarray, levels: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    from scipy.stats import norm

    if (sd < 0).any():
        raise OptionError("sd of 0 or more", f"{np.nanmin(sd):g}", "give standard deviations, not variances or logs")
    half = norm.ppf(0.5 + np.asarray(levels) / 2).reshape(-1, *(1,) * mean.ndim) * sd
    return mean - half, mean + half


def _spread_out(values: np.ndarray, shape: tuple[int, ...], what: str) -> np.ndarray:
    try:
        return np.broadcast_to(values, shape)
    except ValueError as error:
        raise OptionError(
            f"{what} of the shape of truth {shape}", f"{values.shape}", "select the same units"
        ) from error


def _fitting(expected: tuple[int, ...], got: tuple[int, ...], what: str, shape: tuple[int, ...]) -> None:
    if expected != got:
        raise OptionError(what, f"shape {shape}, for {expected} of the truth", "transpose, or select the same units")


def _verdict(result: xr.Dataset) -> str:
    lines = []
    several = "quantity" in result.dims
    for q in range(result.sizes["quantity"] if several else 1):
        row = result.isel(quantity=q) if several else result
        name = f"{row.quantity.item()}: " if several else ""
        for k, level in enumerate(row.level.values):
            share, low, high = (100 * float(row[v][k]) for v in ("coverage", "band_lower", "band_upper"))
            said = "as it should be" if bool(row.passed[k]) else f"too {'narrow' if share < 100 * level else 'wide'}"
            lines.append(
                f"{name}{100 * level:g} % intervals hold {share:.1f} % of {int(row.n[k])} true values: "
                f"{said} ({low:.1f} to {high:.1f} % by chance)"
            )
    return "\n".join(lines)
