"""Recordings of several modalities as padded arrays with masks, and results put back on their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError

# Bins whose distance differs from the bin width by less than this part of it are regular.
_JITTER = 0.01
COUNTS = ("poisson", "negbin")


@dataclass(frozen=True)
class Frames:
    """Trials of one or more modalities, padded at their ends.

    Attributes
    ----------
    data : dict of modality to dict
        ``y`` (trial, time, channel), float32, 0 where not observed; ``observed`` (trial, time, channel), or (trial,
        time, 1) where bins are observed as a whole or not at all.
    lengths : array (trial,)
        Bins of each trial.
    time : DataArray or Index
        Of the longest trial.
    trial : array (trial,)
    step : float
        Distance of bins, in the unit of `time`.
    channels : dict of modality to DataArray
        One frame, for its dims and coordinates.
    """

    data: dict[str, dict[str, np.ndarray]]
    lengths: np.ndarray
    time: np.ndarray
    trial: np.ndarray
    step: float
    channels: dict[str, xr.DataArray]

    @property
    def n_trials(self) -> int:
        """How many trials."""
        return len(self.lengths)

    def select(self, index: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
        """Data of some trials."""
        return {name: {k: v[index] for k, v in part.items()} for name, part in self.data.items()}

    def beyond(self) -> np.ndarray:
        """Bins after the end of a trial (trial, time)."""
        return np.arange(len(self.time)) >= self.lengths[:, None]


def read_frames(
    data: Any, likelihoods: Mapping[str, str], channels: Mapping[str, xr.DataArray] | None = None
) -> Frames:
    """Check the arrays of all modalities and pad them to one length.

    Parameters
    ----------
    data : mapping of names to DataArray ([trial,] time, ...) or list of DataArray (time, ...)
    likelihoods : mapping of names to str
        Those that are counts must hold counts.
    channels : mapping of names to DataArray, optional
        Frames of an earlier call, whose channels these must have.

    Raises
    ------
    RecordingError
        Nothing observed, trials or clocks that differ, values that the likelihood does not allow, other channels.
    """
    if not isinstance(data, Mapping) or not data:
        raise RecordingError("a dict of modality names to DataArrays", type(data).__name__, "as {'spikes': counts}")
    trials = {str(name): _trials(str(name), value) for name, value in data.items()}
    counts = {name: len(one) for name, one in trials.items()}
    if len(set(counts.values())) > 1:
        raise RecordingError("as many trials in each modality", f"{counts}", "NaN stands for trials without one")
    first = next(iter(trials))
    steps = [_step(name, one) for name, part in trials.items() for one in part]
    step = next((s for s in steps if s is not None), 1.0)
    for name, part in trials.items():
        for k, (one, other) in enumerate(zip(part, trials[first], strict=True)):
            if one.sizes["time"] != other.sizes["time"] or not np.allclose(
                _times(one), _times(other), rtol=0, atol=_JITTER * step
            ):
                raise RecordingError(
                    "the same times in each modality",
                    f"trial {k}: {name} and {first} differ",
                    "resample to one clock first, as with xarray's interp",
                )
    if any(s is not None and abs(s - step) > _JITTER * step for s in steps):
        raise RecordingError("trials with one bin width", f"{sorted({s for s in steps if s is not None})}", "resample")
    lengths = np.array([one.sizes["time"] for one in trials[first]])
    longest = int(lengths.argmax())
    arrays, frames = {}, {}
    for name, part in trials.items():
        frame = part[0].isel(time=0, drop=True)
        if channels is not None and name in channels:
            part = [_in_order(name, one, channels[name]) for one in part]
            frame = channels[name]
        arrays[name] = _padded(name, part, likelihoods.get(name, "gaussian"), int(lengths.max()))
        frames[name] = frame.drop_vars([c for c in frame.coords if not frame[c].dims])
    whole = data[first]
    named = isinstance(whole, xr.DataArray) and "trial" in whole.dims and "trial" in whole.coords
    trial = np.asarray(whole["trial"].values) if named else np.arange(len(lengths))
    return Frames(arrays, lengths, _times(trials[first][longest]), trial, step, frames)


def _trials(name: str, value: Any) -> list[xr.DataArray]:
    if isinstance(value, xr.DataArray):
        if "trial" in value.dims:
            value = value.transpose("trial", "time", ...) if "time" in value.dims else value
            parts = [value.isel(trial=k, drop=True) for k in range(value.sizes["trial"])]
        else:
            parts = [value]
    elif isinstance(value, Sequence) and value and all(isinstance(one, xr.DataArray) for one in value):
        parts = list(value)
    else:
        raise RecordingError("a DataArray or a list of them", f"{name}: {type(value).__name__}", "see fit")
    for one in parts:
        if "time" not in one.dims or one.sizes["time"] < 2 or one.size == 0:
            raise RecordingError("([trial,] time, ...) with at least 2 bins", f"{name}: {dict(one.sizes)}", "see fit")
    if not parts:
        raise RecordingError("at least one trial", f"{name}: none", "leave an absent modality out")
    parts = [one if one.ndim > 1 else one.expand_dims(channel=[name], axis=-1) for one in parts]
    return [one.transpose("time", ...) for one in parts]


def _times(one: xr.DataArray) -> np.ndarray:
    return np.asarray(one["time"].values, dtype=float) if "time" in one.coords else np.arange(one.sizes["time"]) * 1.0


def _step(name: str, one: xr.DataArray) -> float | None:
    gaps = np.diff(_times(one))
    step = float(np.median(gaps))
    if step <= 0 or np.abs(gaps - step).max() > _JITTER * step:
        raise RecordingError("regular times", f"{name}: gaps {gaps.min():g} to {gaps.max():g}", "bin or resample first")
    return step


def _in_order(name: str, one: xr.DataArray, frame: xr.DataArray) -> xr.DataArray:
    """The channels of `frame`, in its order; those that are absent are not observed."""
    if set(one.dims) - {"time"} != set(frame.dims):
        raise RecordingError(f"{name} with dims {frame.dims}", f"{one.dims}", "give the dims of the fit")
    for dim in frame.dims:
        if dim in frame.coords and dim in one.coords:
            strange = set(one[dim].values) - set(frame[dim].values)
            if strange:
                raise RecordingError(
                    f"{dim} of the fit in {name}", f"also {sorted(strange, key=str)[:5]}", "leave them out"
                )
            one = one.reindex({dim: frame[dim].values})
        elif one.sizes[dim] != frame.sizes[dim]:
            raise RecordingError(f"{frame.sizes[dim]} of {dim} in {name}", f"{one.sizes[dim]}", "name the channels")
    return one.transpose("time", *frame.dims)


def _padded(name: str, parts: list[xr.DataArray], likelihood: str, length: int) -> dict[str, np.ndarray]:
    n = int(np.prod(parts[0].shape[1:]))
    y = np.full((len(parts), length, n), np.nan, dtype=np.float32)
    for k, one in enumerate(parts):
        if one.dims != parts[0].dims or one.shape[1:] != parts[0].shape[1:]:
            raise RecordingError("the same channels in each trial", f"{name}: {one.dims} {one.shape}", "pad with NaN")
        y[k, : one.sizes["time"]] = np.asarray(one.values, dtype=np.float32).reshape(-1, n)
    seen = ~np.isnan(y)
    if not seen.any():
        raise RecordingError(f"something observed in {name}", "NaN everywhere", "leave the modality out")
    y = np.where(seen, y, np.float32(0.0))
    if not np.isfinite(y).all():
        raise RecordingError(f"finite values in {name}", "infinite ones", "mark what was not observed as NaN")
    if likelihood in COUNTS and ((y < 0).any() or (y != np.round(y)).any()):
        raise RecordingError(f"counts in {name}", "negative or fractional values", "or likelihood 'gaussian'")
    if likelihood == "bernoulli" and not np.isin(y, (0.0, 1.0)).all():
        raise RecordingError(f"0 or 1 in {name}", "other values", "or likelihood 'gaussian' or 'poisson'")
    some = np.asarray(seen.any(axis=2))
    whole = bool((np.asarray(seen.all(axis=2)) == some).all())
    observed = some[:, :, None] if whole else seen
    return {"y": y, "observed": observed.astype(np.float32)}


def check_choice(what: str, value: Any, options: tuple[str, ...]) -> None:
    """Refuse a setting that is none of the options."""
    if value not in options:
        raise OptionError(f"{what} among {', '.join(options)}", f"{value!r}", "see MultimodalGPVAE")
