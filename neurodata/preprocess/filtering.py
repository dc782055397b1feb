"""Zero-phase filters in Hz."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import xarray as xr

from neurodata._core.provenance import with_operation
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.filtering import padding, zero_phase
from neurodata.preprocess._apply import Data, along_time, floating, is_counts, logged, on_nodes
from neurodata.preprocess._channels import voltage_channels, with_channels
from neurodata.preprocess._sampling import regular_slices, sampling_step, time_values

Short = Literal["error", "nan"]


def filter(
    data: Data,
    highpass: float | None = None,
    lowpass: float | None = None,
    *,
    notch: float | Sequence[float] | None = None,
    order: int = 4,
    notch_quality: float = 30.0,
    short: Short = "error",
    sampling_rate: float | None = None,
) -> Data:
    """Filter without phase shift: a Butterworth filter run forwards and backwards, and notches.

    Every stretch without gap or NaN is filtered by itself, its ends extended by odd reflection (SciPy's
    `sosfiltfilt`). Running both ways doubles the attenuation: -6 dB at the corner frequencies.

    Parameters
    ----------
    data : DataArray (time, ...), Dataset or DataTree
        A signal; or an `eeg` node or a recording (all its `eeg` nodes), which comes back with `signal` filtered.
        Channels that do not measure voltage (`ch_unit` other than V, `ch_type` stim, misc, ...) are passed through.
    highpass, lowpass : float, optional
        Corner frequencies, Hz: high-pass, low-pass, or both for a band.
    notch : float or list of float, optional
        Frequencies to remove, Hz, e.g. ``[50, 100, 150]``.
    order : int
        Of the Butterworth filter (for a band: of each side).
    notch_quality : float
        Notch frequency over -3 dB width of one pass.
    short : {"error", "nan"}
        What to do with stretches shorter than the extension of the ends: an error, or NaN.
    sampling_rate : float, optional
        Hz; default from the attr `sampling_rate` or the time coordinate.

    Returns
    -------
    DataArray, Dataset or DataTree
        Attrs `highpass` and `lowpass` (Hz) say the narrowest band so far. Dask arrays stay lazy, rechunked to span
        all of time (fewer channels per block); lazy arrays of a file are read.

    Raises
    ------
    OptionError
        No filter asked for; frequencies that are not below half the sampling rate, or in the wrong order.
    RecordingError
        Irregular times (see `resample`), stretches that are too short, counts.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> t = np.arange(2000) / 1000
    >>> slow, fast = np.sin(2 * np.pi * 5 * t), np.sin(2 * np.pi * 200 * t)
    >>> node = nd.make_eeg((slow + fast)[:, None], sampling_rate=1000.0)
    >>> low = nd.preprocess.filter(node, lowpass=40.0)["signal"]
    >>> bool(abs(low.values[500:1500, 0] - slow[500:1500]).max() < 1e-3)
    True
    """
    settings = {
        "highpass": highpass,
        "lowpass": lowpass,
        "notch": notch,
        "order": order,
        "notch_quality": notch_quality,
        "short": short,
    }
    if short not in ("error", "nan"):
        raise OptionError("short 'error' or 'nan'", f"{short!r}", "choose one of the two")
    if isinstance(data, xr.DataArray):
        return _filter(data, sampling_rate, settings)

    def change(node: xr.Dataset) -> xr.Dataset:
        if "signal" not in node:
            raise RecordingError("an eeg node with signal", f"{list(map(str, node.data_vars))}", "pass a DataArray")
        rate = sampling_rate if sampling_rate is not None else node.attrs.get("sampling_rate")
        changed = _filter(node["signal"], rate, settings, node.attrs)
        band = {key: changed.attrs[key] for key in ("highpass", "lowpass") if key in changed.attrs}
        return node.assign(signal=changed).assign_attrs(with_operation({**node.attrs, **band}, "filter", **settings))

    return on_nodes(data, "eeg", change)


def _filter(
    data: xr.DataArray, rate: float | None, settings: dict[str, Any], node_attrs: dict[Any, Any] | None = None
) -> xr.DataArray:
    if is_counts(data):
        raise RecordingError("a continuous signal", "counts", "use nd.preprocess.smooth for counts")
    time = time_values(data)
    step = sampling_step(data, time, rate)
    sections = _sections(1 / step, settings)
    slices = regular_slices(time, step, "to filter")
    shortest_allowed = padding(sections) + 1

    def run(values: np.ndarray) -> np.ndarray:
        filtered, shortest = zero_phase(values, sections, slices)
        if shortest and settings["short"] == "error":
            raise RecordingError(
                f"stretches without gap or NaN of at least {shortest_allowed} samples "
                f"({shortest_allowed * step:.3g} s) for this filter",
                f"one of {shortest} samples",
                "lower order=, or pass short='nan' to leave such stretches out (NaN)",
            )
        return filtered.astype(values.dtype)

    # A lazy computation would raise only when it is computed: gaps are known already.
    lengths = [part.stop - part.start for part in slices]
    if settings["short"] == "error" and lengths and min(lengths) < shortest_allowed:
        run(np.zeros(time.size))
    use = voltage_channels(data)
    result = with_channels(data, use, along_time(run, floating(data if use is None else data.isel(channel=use))))
    before = {**(node_attrs or {}), **data.attrs}
    band: dict[str, float] = {}
    if settings["highpass"] is not None:
        band["highpass"] = max([settings["highpass"], *_number(before.get("highpass"))])
    if settings["lowpass"] is not None:
        band["lowpass"] = min([settings["lowpass"], *_number(before.get("lowpass"))])
    return logged(result.assign_attrs(band), "filter", **settings)


def _number(value: Any) -> list[float]:
    return [float(value)] if isinstance(value, (int, float)) and value > 0 else []


def _sections(rate: float, settings: dict[str, Any]) -> np.ndarray:
    """Second-order sections (section, 6) of all that was asked for."""
    from scipy.signal import butter, iirnotch, tf2sos

    low, high, order = settings["highpass"], settings["lowpass"], settings["order"]
    notches = [] if settings["notch"] is None else np.atleast_1d(settings["notch"]).astype(float).tolist()
    wanted = [f for f in (low, high, *notches) if f is not None]
    if not wanted:
        raise OptionError("highpass=, lowpass= or notch= (Hz)", "none", "pass at least one")
    if any(not np.isfinite(f) or not 0 < f < rate / 2 for f in wanted):
        raise OptionError(
            f"frequencies above 0 and below half the sampling rate ({rate / 2:g} Hz)", f"{wanted} Hz", "lower them"
        )
    if low is not None and high is not None and low >= high:
        raise OptionError("highpass below lowpass", f"highpass {low:g} Hz, lowpass {high:g} Hz", "swap them")
    if order < 1 or int(order) != order or settings["notch_quality"] <= 0:
        raise OptionError(
            "a whole order of at least 1, notch_quality > 0", f"{order}, {settings['notch_quality']}", "correct them"
        )
    parts = []
    if low is not None and high is not None:
        parts.append(butter(order, [low, high], "bandpass", fs=rate, output="sos"))
    elif low is not None or high is not None:
        parts.append(
            butter(
                order, low if high is None else high, "highpass" if high is None else "lowpass", fs=rate, output="sos"
            )
        )
    parts += [tf2sos(*iirnotch(f, settings["notch_quality"], fs=rate)) for f in notches]
    return np.concatenate(parts)
