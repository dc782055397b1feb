"""Where courses over time change level: least squares over all segmentations, their number by a criterion."""

from __future__ import annotations

import numpy as np

from neurodata.errors import OptionError

# Rows on which all segmentations are compared; longer courses are averaged, and changes refined afterwards.
_MOST_ROWS = 3000
# Of a change, per parameter, in log rows. With 1, as in BIC, slow noise is cut in pieces: some ten changes where there
# are none (15 autoregressive courses of coefficient 0.95, 600 rows); 2 leaves two there, none at 0.8, and finds planted
# ones that 3 misses.
_PENALTY = 2.0


def change_points(
    course: np.ndarray, n_changes: int | None = None, *, most: int = 20, shortest: int = 2
) -> tuple[np.ndarray, np.ndarray]:
    """Rows at which new segments begin, of the piecewise constant course of least squared distance.

    Parameters
    ----------
    course : array (time, course)
        Finite; each is scaled to variance 1.
    n_changes : int, optional
        Default: the number of least ``n D log(RSS) + 2 k (D + 1) log(n)``, with n the number of rows over the
        correlation time of the residuals of the finest segmentation: neighbouring rows say the same.
    most : int
        Changes, at most, where their number is not given.
    shortest : int
        Rows of a segment, at least.

    Returns
    -------
    changes : array (change,)
        Rows, in order.
    criterion : array (number of changes,)
        For 0, 1, ... changes; empty where their number is given.

    Examples
    --------
    >>> import numpy as np
    >>> rng = np.random.default_rng(0)
    >>> level = np.repeat([0.0, 2.0, -1.0], [30, 50, 40])[:, None]
    >>> change_points(level + 0.3 * rng.normal(size=(120, 1)))[0].tolist()
    [30, 80]
    """
    if course.ndim != 2 or len(course) < 2 * shortest or not np.isfinite(course).all():
        raise OptionError(f"finite courses of {2 * shortest} rows or more", f"shape {course.shape}", "leave out NaN")
    if n_changes is not None and not 0 <= n_changes <= len(course) // shortest - 1:
        raise OptionError(f"a number of changes up to {len(course) // shortest - 1}", f"{n_changes}", "pass fewer")
    spread = course.std(axis=0)
    values = (course - course.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    if not values.shape[1]:
        return np.zeros(0, dtype=np.int64), np.zeros(0)
    step = -(-len(values) // _MOST_ROWS)
    n = len(values) // step
    coarse = values[: n * step].reshape(n, step, -1).mean(axis=1)
    least = max(1, -(-shortest // step))
    deepest = n_changes if n_changes is not None else min(most, max(0, n // least - 1))
    error, back = _segmentations(coarse, deepest, least)
    criterion = np.zeros(0)
    if n_changes is None:
        finest = _changes(back, deepest, n)
        rows = max(4.0, n / _correlation_time(_residual(coarse, finest)))
        d = values.shape[1]
        fit = rows * d * np.log(np.maximum(error, 1e-12 * max(error[0], 1e-300)) / (n * d))
        criterion = fit + _PENALTY * np.arange(deepest + 1) * (d + 1) * np.log(rows)
        n_changes = int(np.argmin(criterion))
    changes = _changes(back, n_changes, n) * step
    return (_refined(values, changes, step, shortest) if step > 1 else changes), criterion


def _segmentations(values: np.ndarray, deepest: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Error with 0 .. `deepest` changes, and for each number and end the begin of the last segment."""
    n = len(values)
    first = np.concatenate([np.zeros((1, values.shape[1])), np.cumsum(values, axis=0)])
    second = np.concatenate([[0.0], np.cumsum((values**2).sum(axis=1))])
    best = np.full((deepest + 1, n + 1), np.inf)
    back = np.zeros((deepest + 1, n + 1), dtype=np.int64)
    for end in range(least, n + 1):
        begin = np.arange(0, end - least + 1)
        total = first[end] - first[begin]
        cost = second[end] - second[begin] - (total**2).sum(axis=1) / (end - begin)
        best[0, end] = cost[0]
        if deepest:
            whole = best[:-1, begin] + cost
            back[1:, end] = np.argmin(whole, axis=1)
            best[1:, end] = np.min(whole, axis=1)
    return np.maximum(best[:, n], 0.0), back


def _changes(back: np.ndarray, number: int, end: int) -> np.ndarray:
    found = []
    for k in range(number, 0, -1):
        end = int(back[k, end])
        found.append(end)
    return np.array(found[::-1], dtype=np.int64)


def _residual(values: np.ndarray, changes: np.ndarray) -> np.ndarray:
    return np.concatenate([part - part.mean(axis=0) for part in np.split(values, changes)])


def _correlation_time(residual: np.ndarray) -> float:
    """Rows that count for one: 1 + 2 sum of autocorrelations up to the first one below 0.05, mean over courses."""
    n = len(residual)
    power = np.abs(np.fft.rfft(residual, n=2 * n, axis=0)) ** 2
    covariance = np.fft.irfft(power, axis=0)[: max(2, n // 4)].sum(axis=1)
    if covariance[0] <= 0:
        return 1.0
    correlation = covariance / covariance[0]
    low = np.flatnonzero(correlation < 0.05)
    return float(max(1.0, 1.0 + 2.0 * correlation[1 : low[0] if low.size else len(correlation)].sum()))


def _refined(values: np.ndarray, changes: np.ndarray, step: int, shortest: int) -> np.ndarray:
    """Each change moved by up to a coarse row on either side, to where its two segments fit best."""
    out = changes.copy()
    for k in range(len(out)):
        low = (out[k - 1] if k else 0) + shortest
        high = (out[k + 1] if k + 1 < len(out) else len(values)) - shortest
        begin, end = low - shortest, high + shortest
        tried = np.arange(max(low, out[k] - step), min(high, out[k] + step) + 1)
        if not tried.size:
            continue
        error = [
            ((values[begin:c] - values[begin:c].mean(axis=0)) ** 2).sum()
            + ((values[c:end] - values[c:end].mean(axis=0)) ** 2).sum()
            for c in tried
        ]
        out[k] = tried[int(np.argmin(error))]
    return out
