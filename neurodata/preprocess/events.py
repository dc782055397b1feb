"""Deconvolved calcium events as counts."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.containers._coords import TIME_ATTRS
from neurodata.errors import OptionError, RecordingError
from neurodata.preprocess._apply import node_of
from neurodata.preprocess._sampling import GAP_STEPS, JITTER, sampling_step, segment_slices, time_values


def events_to_counts(
    data: xr.DataArray | xr.Dataset | xr.DataTree,
    *,
    bin_width: float | None = None,
    quantum: Literal["quantile", "mode"] | float | np.ndarray = "quantile",
    quantile: float = 0.5,
    floor: float = 0.1,
    sampling_rate: float | None = None,
) -> xr.DataArray:
    """Turn deconvolved amplitudes into whole numbers that models of counts take.

    Each ROI's amplitudes are divided by a typical amplitude of its own, its quantum, and rounded (0.5 to the even
    neighbour). The quantum makes ROIs comparable; it is no calibration to spikes.

    Parameters
    ----------
    data : DataArray (time, roi), Dataset or DataTree
        Deconvolved amplitudes, 0 or above; or a `calcium` node or a recording that has them.
    bin_width : float, optional
        s; amplitudes are summed over this many frames before rounding. A whole multiple of the time between frames,
        to 1 %. Bins lie inside gap-free stretches; what is left at the end of a stretch is dropped (attr
        `dropped_frames`).
    quantum : {"quantile", "mode"}, float or array (roi,)
        "quantile": the `quantile` of a ROI's amplitudes, the median by default. "mode": their half-sample mode [1]_ on
        a log scale, for amplitudes that gather at one value. Or the quanta themselves.
    quantile : float
        Between 0 and 1.
    floor : float
        Amplitudes below this share of a large event have no say in the quantum (they are still rounded like the
        others, to 0). Solvers leave many tiny positive amplitudes, which would otherwise be the typical ones. A large
        event is one such that half of the ROI's summed amplitude comes in events no larger.
    sampling_rate : float, optional
        Frames per second, Hz; default from the attr or the time coordinate.

    Returns
    -------
    DataArray
        `counts` (time, unit), the ids of the ROIs as those of the units, with all their coordinates and `quantum`
        (unit; a.u.). int32 when everything was observed, else float64 with NaN. A ROI without any event has counts
        of 0 and a quantum of NaN; one that was never observed has NaN. Attr `bin_width` (s).

    Raises
    ------
    RecordingError
        Negative amplitudes; nothing deconvolved.
    OptionError
        A width that does not fit the frames; a quantum that is not positive.

    References
    ----------
    .. [1] D. R. Bickel and R. Fruehwirth, "On a fast, robust estimator of the mode", Computational Statistics & Data
       Analysis 50 (2006), doi:10.1016/j.csda.2005.07.011.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> amplitude = np.array([[0.0, 0.0], [2.1, 0.0], [1.9, 0.0], [4.1, 0.0], [2.0, 0.0]])
    >>> node = nd.make_calcium(deconvolved=amplitude, sampling_rate=10.0, roi=["a", "b"])
    >>> counts = nd.preprocess.events_to_counts(node)
    >>> counts.sel(unit="a").values.tolist(), counts.sel(unit="b").values.tolist()
    ([0, 1, 1, 2, 1], [0, 0, 0, 0, 0])
    """
    attrs: dict[Any, Any] = {}
    if not isinstance(data, xr.DataArray):
        node = node_of(data, "calcium")
        if "deconvolved" not in node:
            raise RecordingError(
                "a calcium node with deconvolved", f"{list(map(str, node.data_vars))}", "deconvolve the traces first"
            )
        attrs, data = dict(node.attrs), node["deconvolved"]
    if set(data.dims) != {"time", "roi"}:
        raise RecordingError(
            "amplitudes (time, roi)", f"dims {tuple(map(str, data.dims))}", "pass rec['calcium']['deconvolved']"
        )
    attrs |= data.attrs
    data = data.transpose("time", "roi")
    time = time_values(data)
    step = sampling_step(data, time, sampling_rate if sampling_rate is not None else attrs.get("sampling_rate"))
    amplitude = np.asarray(data.values, dtype=np.float64)
    if (amplitude < 0).any():
        rois = data["roi"].values[(amplitude < 0).any(axis=0)][:5].tolist()
        raise RecordingError(
            "deconvolved amplitudes of 0 or above", f"negative ones, e.g. in ROIs {rois}", "clip them, or check them"
        )
    quanta = _quanta(amplitude, quantum, quantile, floor)
    n_frames = _frames_per_bin(bin_width, step)
    total, centre, dropped = _sum_frames(amplitude, time, n_frames, GAP_STEPS * step)
    with np.errstate(invalid="ignore"):
        counts = np.where((total == 0) & np.isnan(quanta), 0.0, np.round(total / quanta))
    values = counts if np.isnan(counts).any() else counts.astype(np.int32)
    coords: dict[Any, Any] = {
        name: xr.Variable("unit", coord.values, coord.attrs)
        for name, coord in data.coords.items()
        if coord.dims == ("roi",) and name != "roi"
    }
    coords |= {
        "unit": ("unit", data["roi"].values),
        "time": ("time", centre, TIME_ATTRS),
        "quantum": ("unit", quanta, {"units": str(data.attrs.get("units", "a.u.")), "long_name": "quantum"}),
    }
    attrs.pop("sampling_rate", None)
    attrs |= {"units": "1", "long_name": "number of events", "bin_width": n_frames * step, "dropped_frames": dropped}
    stated = quantum if isinstance(quantum, str) else "given"
    attrs = with_operation(
        attrs, "events_to_counts", bin_width=bin_width, quantum=stated, quantile=quantile, floor=floor
    )
    return xr.DataArray(values, dims=("time", "unit"), coords=coords, name="counts", attrs=attrs)


def _quanta(amplitude: np.ndarray, quantum: str | float | np.ndarray, quantile: float, floor: float) -> np.ndarray:
    n_rois = amplitude.shape[1]
    if not isinstance(quantum, str):
        quanta = np.broadcast_to(np.asarray(quantum, dtype=np.float64), (n_rois,)).copy()
        if (quanta <= 0).any():
            raise OptionError("quanta above 0", f"{quanta.min()}", "correct quantum=")
        return quanta
    if quantum not in ("quantile", "mode") or not 0 <= quantile <= 1 or not 0 <= floor < 1:
        raise OptionError(
            "quantum 'quantile' or 'mode' or numbers, quantile from 0 to 1, floor from 0 to below 1",
            f"{quantum!r}, {quantile}, {floor}",
            "correct them",
        )
    quanta = np.full(n_rois, np.nan)
    for roi in range(n_rois):
        positive = np.sort(amplitude[amplitude[:, roi] > 0, roi])
        if positive.size:
            mass = np.cumsum(positive)
            large = positive[np.searchsorted(mass, mass[-1] / 2)]
            positive = positive[positive >= floor * large]
            quanta[roi] = (
                np.quantile(positive, quantile)
                if quantum == "quantile"
                else np.exp(_half_sample_mode(np.log(positive)))
            )
    return quanta


def _half_sample_mode(values: np.ndarray) -> float:
    """Keep the half of the sorted values that lies closest together, again and again."""
    x = np.sort(values)
    while x.size > 3:
        half = -(-x.size // 2)
        width = x[half - 1 :] - x[: x.size - half + 1]
        first = int(np.argmin(width))
        x = x[first : first + half]
    if x.size == 3:
        x = x[:2] if x[1] - x[0] < x[2] - x[1] else x[1:] if x[1] - x[0] > x[2] - x[1] else x[1:2]
    return float(x.mean())


def _frames_per_bin(bin_width: float | None, step: float) -> int:
    if bin_width is None:
        return 1
    ratio = bin_width / step if np.isfinite(bin_width) else 0.0
    n = int(round(ratio))
    if n < 1 or abs(ratio / n - 1) > JITTER:
        low = max(1, int(ratio))
        raise OptionError(
            f"a bin width that is a whole multiple of the {step:.6g} s between frames",
            f"{bin_width!r} s",
            f"pass {low * step:.6g} or {(low + 1) * step:.6g}",
        )
    return n


def _sum_frames(amplitude: np.ndarray, time: np.ndarray, n: int, max_gap: float) -> tuple[np.ndarray, np.ndarray, int]:
    """Sums of `n` frames in a row without a gap, the mean times of these frames, and the number of frames left over."""
    if n == 1:
        return amplitude, time, 0
    rows = [
        np.arange(part.start, part.stop - (part.stop - part.start) % n).reshape(-1, n)
        for part in segment_slices(time, max_gap)
    ]
    index = np.concatenate(rows) if rows else np.zeros((0, n), dtype=int)
    if index.size == 0:
        raise OptionError(
            "bins no longer than the stretches without a gap", f"{n} frames per bin", "shorten bin_width="
        )
    total = np.zeros((index.shape[0], amplitude.shape[1]))
    for k in range(n):
        total += amplitude[index[:, k]]
    return total, time[index].mean(axis=1), time.size - index.size
