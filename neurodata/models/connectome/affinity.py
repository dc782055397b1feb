"""How alike the traces of each pair change at each time."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.models.connectome.derivative import SCALES, Traces, derivatives, read_traces
from neurodata.models.connectome.maker import Differential, Maker, RankCorrelation, Smoothed
from neurodata.models.connectome.stream import AffinityStream

_SIGNS = {"positive": (1.0,), "negative": (-1.0,), "both": (1.0, -1.0)}
# Smoothing reaches so many time constants.
_REACH = 5.0
# Samples of a sliding window for rank correlations, by default.
_WINDOW = 25


def differential_affinity(
    traces: xr.DataArray,
    *,
    method: str = "differential",
    sign: str = "positive",
    lag: float = 0.0,
    window: float | None = None,
    polynomial: int = 2,
    scale: str = "robust",
    smoothing: float | None = None,
    causal: bool = False,
) -> AffinityStream:
    """Affinities of all pairs of traces at each time, from their derivatives, as a stream that makes them in blocks.

    ``a_ij(t) = exp(-(d_i - d_j)^2 / (s_i s_j)) g(|d_i| / s_i) g(|d_j| / s_j)``, with d the Savitzky-Golay derivative of
    a robust z-score, s its scale over the recording, and ``g(u) = u^2 / (1 + u^2)``: two traces that do not
    change are not coupled by that.

    Parameters
    ----------
    traces : DataArray (time, unit|roi|channel)
        NaN = not observed. Calcium traces, binned rates, envelopes. Gaps in `time` are not bridged.
    method : {"differential", "rank_correlation"}
        "rank_correlation" is the usual baseline: Spearman's correlation in a sliding window centred at each time.
    sign : {"positive", "negative", "both"}
        Changes in the same direction, in opposite ones (d_j with its sign turned), or the larger of the two. For rank
        correlations their positive part, negative part, or size.
    lag : float
        s, a whole number of samples: the mean of i now with j earlier, and of j now with i earlier. Only for
        derivatives.
    window : float, optional
        s: of the Savitzky-Golay filter (default 5 samples), or of the rank correlation (default 25 samples).
    polynomial : int
        Order of the Savitzky-Golay filter.
    scale : {"robust", "rms"}
        Of traces and of derivatives: from the median absolute deviation, or the standard deviation. Traces that are
        noise most of the time have the scale of the noise by the first, so that noise passes the gate and events count
        as alike only where they agree to within the noise; take "rms" for them.
    smoothing : float, optional
        Time constant of an exponential mean of affinities over time, s; it reaches 5 time constants.
    causal : bool
        That mean is over the past only, else over both sides. The Savitzky-Golay filter is centred in both cases.

    Returns
    -------
    AffinityStream
        Values between 0 and 1. Where the derivative of a unit is not known (near NaN, in a stretch shorter than the
        window, less than `lag` after its start), it has no affinities: NaN in the tensor, left out by models.

    Raises
    ------
    RecordingError
        Traces that never change, or that are all NaN; repeated labels.
    OptionError
        Settings that make no sense.

    Notes
    -----
    In the spirit of Dyballa et al. 2024 (ICLR, arXiv:2402.14102), whose formula is not known to us; this one is ours.
    The exponential is good to 1e-5 of its value.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> time = np.arange(200) * 0.1
    >>> values = np.stack([np.sin(time), np.sin(time), -np.sin(time)], axis=1)
    >>> traces = nd.make_calcium(values, sampling_rate=10.0)["fluorescence"]
    >>> tensor = nd.models.differential_affinity(traces).to_dataarray()
    >>> [round(float(v), 2) for v in tensor.mean("time")]
    [0.11, 0.01, 0.01]
    """
    if method not in ("differential", "rank_correlation"):
        raise OptionError("method 'differential' or 'rank_correlation'", repr(method), "choose one")
    if sign not in _SIGNS:
        raise OptionError(f"sign in {sorted(_SIGNS)}", repr(sign), "choose one")
    if scale not in SCALES:
        raise OptionError(f"scale in {sorted(SCALES)}", repr(scale), "choose one")
    for name, value in (("window", window), ("smoothing", smoothing)):
        if value is not None and not (np.isfinite(value) and value > 0):
            raise OptionError(f"{name} above 0 s", repr(value), f"pass {name} in s, or None")
    read = read_traces(traces)
    maker: Maker
    if method == "differential":
        maker, observed = _differential(read, sign, lag, window, polynomial, scale)
    elif lag:
        raise OptionError("lag=0 for rank correlations", repr(lag), "use method='differential', or shift the traces")
    else:
        maker, observed = _rank_correlation(read, sign, window)
    if smoothing is not None:
        rows = np.zeros((len(read.time), 2), dtype=np.int64)
        for stretch in read.stretches:
            rows[stretch] = stretch.start, stretch.stop
        length = int(np.ceil(_REACH * smoothing / read.step)) + 1
        decay = float(np.exp(-read.step / smoothing))
        maker = Smoothed(maker, decay, length, causal, rows, observed)
    attrs: dict[str, Any] = {"method": method, "sign": sign, "lag": float(lag), "smoothing": float(smoothing or 0.0)}
    return AffinityStream(maker, read.time, read.label, read.item, observed, attrs)


def _differential(
    traces: Traces, sign: str, lag: float, window: float | None, polynomial: int, scale: str
) -> tuple[Differential, np.ndarray]:
    slope = derivatives(traces, window, polynomial, scale)
    spread = SCALES[scale](slope)
    observed = np.isfinite(slope)
    relative = np.where(observed, slope / spread, 0.0)
    gate = (relative**2 / (1.0 + relative**2)).astype(np.float32)
    value = np.where(observed, slope, 0.0).astype(np.float32)
    weight = (spread**-0.5).astype(np.float32)
    n_late = int(round(lag / traces.step))
    if lag < 0 or abs(n_late * traces.step - lag) > 0.01 * traces.step:
        raise OptionError(f"a lag of a whole number of samples ({traces.step:g} s each)", repr(lag), "round it")
    if n_late == 0:
        return Differential(value, gate, weight, _SIGNS[sign]), observed
    late_value, late_gate, seen = np.zeros_like(value), np.zeros_like(gate), np.zeros_like(observed)
    for stretch in traces.stretches:
        a, z = stretch.start, stretch.stop
        if z - a > n_late:
            late_value[a + n_late : z] = value[a : z - n_late]
            late_gate[a + n_late : z] = gate[a : z - n_late]
            seen[a + n_late : z] = observed[a + n_late : z] & observed[a : z - n_late]
    # A unit is in or out for both its times, so that each pair has both terms or none.
    value, gate = np.where(seen, value, 0), np.where(seen, gate, 0)
    late_value, late_gate = np.where(seen, late_value, 0), np.where(seen, late_gate, 0)
    kept = [np.ascontiguousarray(one, dtype=np.float32) for one in (value, gate, late_value, late_gate)]
    return Differential(kept[0], kept[1], weight, _SIGNS[sign], kept[2], kept[3]), seen


def _rank_correlation(traces: Traces, sign: str, window: float | None) -> tuple[RankCorrelation, np.ndarray]:
    n = _WINDOW if window is None else int(round(window / traces.step))
    if n < 3:
        raise OptionError("a window of 3 samples or more", f"{n}", f"pass window={3 * traces.step:g} s or more")
    n_times = len(traces.time)
    first, last = np.zeros(n_times, dtype=np.int64), np.zeros(n_times, dtype=np.int64)
    observed = np.zeros(traces.values.shape, dtype=bool)
    seen = np.isfinite(traces.values)
    for stretch in traces.stretches:
        a, z = stretch.start, stretch.stop
        for t in range(a, z):
            first[t], last[t] = t - n // 2, t - n // 2 + n
            if first[t] >= a and last[t] <= z:
                observed[t] = seen[first[t] : last[t]].all(axis=0)
    return RankCorrelation(np.nan_to_num(traces.values), first, last, observed, sign), observed
