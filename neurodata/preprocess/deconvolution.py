"""From dF/F to events."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.kernels.oasis_nb import events, residual
from neurodata.kernels.smoothing import gaussian_weights, weighted_mean
from neurodata.preprocess._apply import Data, along_time, floating, logged, on_nodes
from neurodata.preprocess._sampling import GAP_STEPS, sampling_step, segment_slices, time_values

# s; what suite2p's documentation recommends as `tau`.
DECAY = {"GCaMP6f": 0.7, "GCaMP6m": 1.0, "GCaMP6s": 1.25}
_MEDIAN_DIFFERENCE = 0.9538725524  # median of abs(x - y), x and y independent normal of unit variance
_BASELINE_QUANTILE = 0.08
_BASELINE_SMOOTHING = 0.5  # s


def deconvolve(
    data: Data,
    *,
    indicator: str | None = None,
    decay: float | None = None,
    penalty: float | Literal["noise"] = 0.0,
    threshold: float = 0.0,
    baseline: float | None = None,
    sampling_rate: float | None = None,
) -> Data:
    r"""Events behind dF/F: non-negative deconvolution of a first-order autoregressive process (OASIS [1]_).

    .. math:: \min_{s \ge 0} \tfrac12 \sum_t (c_t + b - y_t)^2 + \lambda \sum_t s_t, \quad
        c_t = \gamma c_{t-1} + s_t, \quad \gamma = e^{-\Delta t / \tau}

    Parameters
    ----------
    data : DataArray (time, roi), Dataset or DataTree
        dF/F; or a `calcium` node or a recording with `dff`, which comes back with the variable `deconvolved` added.
    indicator : {"GCaMP6f", "GCaMP6m", "GCaMP6s"}, optional
        Gives :math:`\tau` = 0.7, 1.0, 1.25 s, as suite2p recommends. Default: the attr `indicator` of the node.
    decay : float, optional
        :math:`\tau`, s, instead. Isolated spikes decay faster than the recommended values, which suit bursts.
    penalty : float or "noise"
        :math:`\lambda` in standard deviations of the noise. 0, the default, was as good as any in a comparison on
        recordings with known spikes [2]_. "noise": for each trace the one that leaves a residual as large as the noise
        (the original proposal).
    threshold : float
        Smallest event, in standard deviations of the noise; smaller ones join the decay before them.
    baseline : float, optional
        b. Default: for each trace the 8 % quantile after Gaussian smoothing (0.5 s); so slow changes must have gone
        before, as `delta_f_over_f` does.
    sampling_rate : float, optional
        Hz; default from the attr or the time coordinate.

    Returns
    -------
    DataArray, Dataset or DataTree
        `deconvolved` (time, roi), in units of dF/F: the jump that each event makes. Gaps in time are not bridged: each
        stretch begins anew, with 0 in its first frame, because what went before is not known. A NaN stays NaN, and the
        trace decays through it. A trace without any value is NaN. Dask arrays stay lazy.

    Notes
    -----
    The noise is the median absolute difference of neighbouring frames over 0.954.

    References
    ----------
    .. [1] J. Friedrich, P. Zhou and L. Paninski, "Fast online deconvolution of calcium imaging data",
       PLoS Comput. Biol. 2017, doi:10.1371/journal.pcbi.1005423.
    .. [2] M. Pachitariu, C. Stringer and K. D. Harris, "Robustness of spike deconvolution for neuronal calcium
       imaging", J. Neurosci. 2018, doi:10.1523/JNEUROSCI.3339-17.2018.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> trace = np.zeros(50)
    >>> trace[20:] = np.exp(-np.arange(30) / 10.0 / 0.5)  # one event, decay 0.5 s
    >>> node = nd.make_calcium(dff=trace[:, None], sampling_rate=10.0)
    >>> event = nd.preprocess.deconvolve(node["dff"], decay=0.5, baseline=0.0)
    >>> np.flatnonzero(event.values[:, 0] > 0.5).tolist()
    [20]
    """
    settings = {
        "indicator": indicator,
        "decay": decay,
        "penalty": penalty,
        "threshold": threshold,
        "baseline": baseline,
        "sampling_rate": sampling_rate,
    }
    _check(indicator, decay, penalty, threshold, baseline)
    if isinstance(data, xr.DataArray):
        return _deconvolve(data, data.attrs, **settings)

    def add(node: xr.Dataset) -> xr.Dataset:
        if "dff" not in node:
            raise RecordingError(
                "a calcium node with dff",
                f"{list(map(str, node.data_vars))}",
                "compute it first: nd.preprocess.delta_f_over_f(data, neuropil_coefficient=0.7)",
            )
        found = _deconvolve(node["dff"], {**node.attrs, **node["dff"].attrs}, **settings)
        return node.assign(deconvolved=found).assign_attrs(with_operation(node.attrs, "deconvolve", **settings))

    return on_nodes(data, "calcium", add)


def _deconvolve(trace: xr.DataArray, attrs: dict[Any, Any], **settings: Any) -> xr.DataArray:
    tau = settings["decay"]
    if tau is None:
        indicator = settings["indicator"] or attrs.get("indicator")
        if indicator not in DECAY:
            raise MissingOptionError(
                "how fast the indicator decays",
                "neither decay= nor an indicator" if indicator is None else f"the unknown indicator {indicator!r}",
                f"pass decay= (s), or indicator= as one of {', '.join(DECAY)}",
            )
        tau = DECAY[indicator]
    time = time_values(trace)
    step = sampling_step(trace, time, settings["sampling_rate"] or attrs.get("sampling_rate"))
    if tau < 0.1 * step:
        raise OptionError(
            "a decay in s, no shorter than a tenth of a frame", f"{tau:g} s at {1 / step:g} Hz", "pass decay="
        )
    slices = segment_slices(time, GAP_STEPS * step)
    raw = floating(trace)
    found = along_time(
        _traces, raw, g=float(np.exp(-step / tau)), penalty=settings["penalty"], threshold=settings["threshold"],
        baseline=settings["baseline"], smoothing=_BASELINE_SMOOTHING / step, slices=slices,
    )  # fmt: skip
    found = found.assign_attrs({**trace.attrs, "units": "dF/F", "long_name": "deconvolved"}).rename("deconvolved")
    return logged(found, "deconvolve", **{**settings, "decay": tau})


def _traces(
    values: np.ndarray, g: float, penalty: float | str, threshold: float, baseline: float | None, smoothing: float,
    slices: list[slice],
) -> np.ndarray:  # fmt: skip
    """Events of traces (..., time)."""
    y = values.astype(np.float64)
    noise = _noise(y, slices)
    if baseline is None:
        smooth = weighted_mean(y, gaussian_weights(smoothing), slices)
        seen = ~np.isnan(y).all(axis=-1)
        level = np.full(y.shape[:-1], np.nan)
        smooth = np.where(np.isnan(y), np.nan, smooth)
        level[seen] = np.nanquantile(smooth[seen], _BASELINE_QUANTILE, axis=-1)
        y = y - level[..., None]
    else:
        y = y - baseline
    out = np.full(y.shape, np.nan)
    for place in np.ndindex(y.shape[:-1]):
        sd = float(noise[place])
        pieces = [y[place][part] for part in slices]
        weight = _penalty_for_noise(pieces, g, sd) if penalty == "noise" else float(penalty) * sd
        for part, piece in zip(slices, pieces, strict=True):
            out[place][part] = events(piece, g, weight, threshold * sd)
    return out.astype(values.dtype)


def _noise(y: np.ndarray, slices: list[slice]) -> np.ndarray:
    """Standard deviation of the noise of traces (..., time); 0 where no two neighbours were observed."""
    change = np.abs(np.concatenate([np.diff(y[..., part]) for part in slices], axis=-1)) if slices else y[..., :0]
    sd = np.zeros(y.shape[:-1])
    seen = ~np.isnan(change).all(axis=-1)
    sd[seen] = np.nanmedian(change[seen], axis=-1) / _MEDIAN_DIFFERENCE
    return sd


def _penalty_for_noise(pieces: list[np.ndarray], g: float, sd: float) -> float:
    """The penalty that leaves a mean squared residual of sd^2, by bisection (the residual grows with the penalty)."""
    size = np.array([np.count_nonzero(~np.isnan(piece)) for piece in pieces])
    if not size.sum() or sd == 0:
        return 0.0

    def left(penalty: float) -> float:
        squares = [residual(piece, g, penalty) * n for piece, n in zip(pieces, size, strict=True) if n]
        return float(np.sum(squares) / size.sum()) - sd**2

    low, high = 0.0, sd
    if left(0.0) >= 0:
        return 0.0
    while left(high) < 0:
        low, high = high, 2.0 * high
        if high > 1e6 * sd:  # a trace that is all noise fits with no events at all
            return high
    for _ in range(25):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if left(middle) < 0 else (low, middle)
    return high


def _check(
    indicator: str | None, decay: float | None, penalty: float | str, threshold: float, baseline: float | None
) -> None:
    if indicator is not None and indicator not in DECAY:
        raise OptionError(f"indicator of {', '.join(DECAY)}", f"{indicator!r}", "choose one, or pass decay= (s)")
    if decay is not None and not (np.isfinite(decay) and decay > 0):
        raise OptionError("a positive decay in s", f"{decay!r}", "pass decay=")
    if penalty != "noise" and not (isinstance(penalty, (int, float)) and np.isfinite(penalty) and penalty >= 0):
        raise OptionError("a penalty of 0 or more, or 'noise'", f"{penalty!r}", "pass penalty=")
    if not (np.isfinite(threshold) and threshold >= 0):
        raise OptionError("a threshold of 0 or more", f"{threshold!r}", "pass threshold=")
    if baseline is not None and not np.isfinite(baseline):
        raise OptionError("a finite baseline", f"{baseline!r}", "pass baseline=, or leave it out")
