"""Power over frequency, and how power and voltage change around events."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurodata.cli.analyses._shuffles import (
    N_SHUFFLES,
    label_shuffle_p,
    one_sample_t,
    sign_flip_p,
    two_sample_t,
)
from neurodata.cli.analyses._spectrum_view import change_pictures, change_table, evoked_picture, peak_table
from neurodata.cli.analyses.base import Analysis, Picture, Result, Settings, Step, Table, node, node_names
from neurodata.preprocess import epoch, power_spectrum, spectrogram

# Names and limits (Hz) as in most of the EEG literature.
BANDS = {"delta": (1.0, 4.0), "theta": (4.0, 8.0), "alpha": (8.0, 13.0), "beta": (13.0, 30.0), "gamma": (30.0, 80.0)}
# The bands whose change around events is looked at.
EVENT_BANDS = ("theta", "alpha", "beta")
FEWEST_TRIALS = 6
MOST_KINDS = 4
MOST_CHANNELS = 64
MOST_TRIALS = 200
BEFORE_S = 2.0
AFTER_S = 2.5
# Long enough that alpha (10 Hz) does not leak into theta (up to 8 Hz): a Hann window of 1 s is 2 Hz wide to each side.
WINDOW_S = 1.0
STEP_S = 0.1
_SEGMENT_S = 2.0
_SPECTRUM_S = 600.0


@dataclass(frozen=True)
class Change:
    """Change of log power after events, one value per (trial, band, channel), dB."""

    value: xr.DataArray
    movie: xr.DataArray


def run(recording: xr.DataTree, settings: Settings, step: Step) -> Result:
    """Spectra; with events, evoked responses and the change of band power."""
    from neurodata import plot

    name = node_names(recording, "eeg")[0]
    signal, remarks = _voltages(node(recording, name))
    step("spectrum: Welch")
    segment = _segment(signal)
    density = power_spectrum(signal, segment, max_duration=_SPECTRUM_S if settings.limited else None)
    peaks = _peaks(density)
    pictures = [
        Picture(
            "Power spectrum",
            f"Welch's method, Hann windows of {segment:.2g} s, of each channel. Sharp lines at 50 or 60 Hz and "
            "their multiples are from the mains.",
            plot.spectrum(density, highest=min(80.0, float(density["frequency"][-1]))).figure,
        )
    ]
    tables: list[Table] = [peak_table(density, peaks, BANDS)]
    data = xr.Dataset({"power": density.drop_attrs(deep=False), "peak_frequency": peaks})
    verdict = [_peak_line(peaks)]
    kinds = _kinds(recording)
    caveats = [*remarks, *_CAVEATS]
    shown = {
        "channels": signal.sizes["channel"],
        "reference": str(recording[name].attrs.get("reference", "")) or "as recorded",
        "filter": "none",
    }
    if not kinds:
        verdict.append(f"No kind of event comes {FEWEST_TRIALS} times or more, so nothing was averaged around events.")
        return Result(verdict, pictures, tables, data, shown, caveats)
    step("spectrum: epochs")
    after = _after(recording, kinds)
    epochs, left_out = _epochs(signal, recording, kinds, after)
    caveats = left_out + caveats
    pictures.append(evoked_picture(epochs))
    step("spectrum: power around events")
    change = _change(epochs)
    step("spectrum: shuffles")
    labels = change.value["description"].values
    tests = _tests(change.value, kinds, settings.rng)
    pictures += change_pictures(change.movie, change.value, kinds)
    tables.append(change_table(change.value, tests["change_p"], kinds))
    verdict = [*_change_lines(change.value, tests, kinds), *verdict]
    mean = change.movie.groupby("description").mean("trial").rename(description="kind")
    data = data.assign(
        power_change=mean.drop_attrs(deep=False),
        trial_change=change.value.drop_attrs(deep=False),
        evoked=epochs.groupby("description").mean("trial").rename(description="kind", time="time_evoked"),
    ).assign(tests)
    shown |= {
        "events": ", ".join(f"{kind} ({(labels == kind).sum()})" for kind in kinds),
        "window": f"{BEFORE_S:g} s before to {after:g} s after each event",
        "power": f"Hann windows of {WINDOW_S:g} s every {STEP_S:g} s",
        "baseline": f"{-BEFORE_S + WINDOW_S / 2:g} to {-WINDOW_S / 2:g} s (windows that end before the event)",
        "tested": f"mean over {WINDOW_S / 2:g} to {after - WINDOW_S / 2:g} s, {N_SHUFFLES} shuffles",
        "seed": settings.rng,
    }
    return Result(verdict, pictures, tables, data, shown, caveats)


_CAVEATS = [
    "Nothing was cleaned: blinks, muscles and the mains are in the data as recorded, and a change that is locked to "
    "the events can come from them.",
    "A channel measures the potential against its reference; a place on the scalp is not a place in the brain.",
    "The p values count how often shuffled data reach the change somewhere among all channels and bands, so they "
    "account for having looked at many. They take trials as exchangeable: slow trends over the session break that.",
]


def _voltages(eeg: xr.Dataset) -> tuple[xr.DataArray, list[str]]:
    signal, remarks = eeg["signal"], []
    good = np.ones(signal.sizes["channel"], dtype=bool)
    if "ch_unit" in eeg.coords:
        good &= eeg["ch_unit"].values.astype(str) == "V"
    if "bad" in eeg.coords and eeg["bad"].values.any():
        remarks.append(f"{int(eeg['bad'].values.sum())} channels marked bad are left out.")
        good &= ~eeg["bad"].values
    rows = np.flatnonzero(good)
    if rows.size > MOST_CHANNELS:
        remarks.append(f"{MOST_CHANNELS} of {rows.size} channels, evenly spread, are analysed, to bound the time.")
        rows = rows[np.linspace(0, rows.size - 1, MOST_CHANNELS).astype(int)]
    return signal.isel(channel=rows), remarks


def _segment(signal: xr.DataArray) -> float:
    """Length of Welch's windows, s: 2 s, or the longest stretch without a gap where that is shorter."""
    time = signal["time"].values
    step = np.diff(time)
    if step.size == 0:
        return _SEGMENT_S
    usual = float(np.median(step))
    edge = np.r_[-1, np.flatnonzero(step > 1.5 * usual), time.size - 1]
    return min(_SEGMENT_S, int(np.diff(edge).max()) * usual)


def _peaks(density: xr.DataArray) -> xr.DataArray:
    """Frequency (Hz) between 4 and 30 Hz that stands out most over the 1/f course of each channel; NaN where none."""
    band = density.sel(frequency=slice(4.0, 30.0))
    around = density.sel(frequency=slice(2.0, 45.0))
    x, y = np.log10(around["frequency"].values), np.log10(np.maximum(around.values, 1e-300))
    slope, level = np.polyfit(x, np.where(np.isfinite(y), y, 0.0), 1)
    over = np.log10(np.maximum(band.values, 1e-300)) - (np.log10(band["frequency"].values)[:, None] * slope + level)
    rising, falling = np.diff(over, axis=0)[:-1] > 0, np.diff(over, axis=0)[1:] < 0
    summit = np.vstack([np.zeros_like(over[:1], dtype=bool), rising & falling, np.zeros_like(over[:1], dtype=bool)])
    over = np.where(summit, over, -np.inf)
    best = over.argmax(axis=0)
    # log10 of a Welch estimate scatters by log10(e) over the root of the number of independent segments, of which
    # overlapping Hann windows have some 0.6 each; 4 of that, because the highest of some 50 frequencies is taken.
    scatter = 1 / np.log(10) / np.sqrt(0.6 * float(density.attrs["n_segments"]))
    found = np.take_along_axis(over, best[None], axis=0)[0] > max(0.2, 4 * scatter)
    return xr.DataArray(
        np.where(found, band["frequency"].values[best], np.nan),
        dims="channel",
        coords={"channel": density["channel"].values},
        attrs={"units": "Hz", "long_name": "frequency that stands out most, 4 to 30 Hz"},
    )


def _peak_line(peaks: xr.DataArray) -> str:
    found = peaks.dropna("channel")
    if found.sizes["channel"] == 0:
        return "No rhythm between 4 and 30 Hz stands out of the 1/f course of the spectrum."
    number, edge = np.histogram(found.values, bins=np.arange(3.5, 31.5))
    return (
        f"A rhythm between 4 and 30 Hz stands out in {found.sizes['channel']} of {peaks.sizes['channel']} channels, "
        f"most often near {edge[number.argmax()] + 0.5:.0f} Hz ({number.max()} channels)."
    )


def _kinds(recording: xr.DataTree) -> list[str]:
    """The most frequent kinds of events, in alphabetical order."""
    if "events" not in recording.children:
        return []
    values, number = np.unique(node(recording, "events")["description"].values.astype(str), return_counts=True)
    often = [k for k in np.argsort(-number, kind="stable") if number[k] >= FEWEST_TRIALS][:MOST_KINDS]
    return sorted(str(values[k]) for k in often)


def _after(recording: xr.DataTree, kinds: list[str]) -> float:
    """Seconds after an event to look at: up to 2.5, less where the next event comes sooner."""
    table = node(recording, "events")
    chosen = np.isin(table["description"].values.astype(str), kinds)
    onset = np.sort(table["onset"].values[chosen])
    step = np.diff(onset)
    usual = float(np.median(step[step > 0])) if (step > 0).any() else AFTER_S + BEFORE_S
    return float(np.clip(usual - BEFORE_S, 2 * WINDOW_S, AFTER_S))


def _epochs(
    signal: xr.DataArray, recording: xr.DataTree, kinds: list[str], after: float
) -> tuple[xr.DataArray, list[str]]:
    cut = epoch(signal, node(recording, "events"), (BEFORE_S, after), kind=kinds)
    whole = cut.notnull().all(["time", "channel"]).values
    remarks = []
    if not whole.all():
        remarks.append(f"{int((~whole).sum())} events are left out: their window is not wholly recorded.")
    rows = np.flatnonzero(whole)
    if rows.size > MOST_TRIALS:
        remarks.append(f"{MOST_TRIALS} of {rows.size} events, evenly spread, are analysed, to bound the time.")
        rows = rows[np.linspace(0, rows.size - 1, MOST_TRIALS).astype(int)]
    return cut.isel(trial=rows), remarks


def _change(epochs: xr.DataArray) -> Change:
    """Log power relative to each trial's own baseline, over time and as a mean after the event."""
    power = spectrogram(epochs, WINDOW_S, STEP_S)
    bands = [
        power.sel(frequency=slice(low, high)).mean("frequency") for low, high in (BANDS[name] for name in EVENT_BANDS)
    ]
    density = xr.concat(bands, dim="band").assign_coords(band=list(EVENT_BANDS))
    decibel = density.copy(data=10 * np.log10(np.maximum(density.values, 1e-300)))
    baseline = decibel.sel(time=slice(None, -WINDOW_S / 2)).mean("time")
    movie = (decibel - baseline).transpose("trial", "band", "channel", "time")
    movie.attrs = {"units": "dB", "long_name": "change of power"}
    value = movie.sel(time=slice(WINDOW_S / 2, None)).mean("time", keep_attrs=True)
    return Change(value, movie)


def _tests(value: xr.DataArray, kinds: list[str], seed: int) -> dict[str, xr.DataArray]:
    """P of each kind's change against none; with two kinds, also of their difference."""
    rng = np.random.default_rng(seed)
    labels = value["description"].values
    pair = {"band": value["band"].values, "channel": value["channel"].values}
    change = np.stack([sign_flip_p(value.values[labels == kind], rng) for kind in kinds])
    tests = {"change_p": xr.DataArray(change, dims=("kind", *pair), coords={"kind": kinds, **pair})}
    if len(kinds) == 2:
        difference = label_shuffle_p(value.values, labels == kinds[0], rng)
        tests["difference_p"] = xr.DataArray(difference, dims=tuple(pair), coords=pair)
    return tests


def _largest(t: np.ndarray, value: xr.DataArray) -> tuple[tuple[int, int], str]:
    """Where |t| is largest, as indices and in words."""
    i, j = (int(k) for k in np.unravel_index(int(np.abs(t).argmax()), t.shape))
    return (i, j), f"{value['band'].values[i]} power at {value['channel'].values[j]}"


def _change_lines(value: xr.DataArray, tests: dict[str, xr.DataArray], kinds: list[str]) -> list[str]:
    labels, x = value["description"].values, value.values
    lines = []
    if "difference_p" in tests:
        first, p = labels == kinds[0], tests["difference_p"].values
        t = two_sample_t(x, first)
        at, where = _largest(t, value)
        difference = float((x[first].mean(axis=0) - x[~first].mean(axis=0))[at])
        size = f"{difference:+.1f} ± {abs(difference / t[at]) if t[at] else 0.0:.1f} dB"
        n_sure = int((p < 0.05).sum())
        lines.append(
            f"{kinds[0]} and {kinds[1]} differ most in {where}: {size} (p = {p[at]:.2g}); {n_sure} of {p.size} pairs "
            "of channel and band differ at p < 0.05, corrected for all."
            if n_sure
            else f"{kinds[0]} and {kinds[1]} do not differ in band power at p < 0.05, corrected for all channels and "
            f"bands; the largest difference is {size} in {where}."
        )
    for k, kind in enumerate(kinds):
        own, p = x[labels == kind], tests["change_p"].values[k]
        t = one_sample_t(own)
        at, where = _largest(t, value)
        mean = float(own.mean(axis=0)[at])
        error = abs(mean / t[at]) if t[at] else 0.0
        sure = "" if p[at] < 0.05 else ", no more than shuffled data show"
        lines.append(
            f"After {kind} the clearest change is in {where}: {mean:+.1f} ± {error:.1f} dB (p = {p[at]:.2g}{sure})."
        )
    return lines


def _lacks(recording: xr.DataTree) -> str:
    for name in node_names(recording, "eeg"):
        dataset = node(recording, name)
        if "ch_unit" not in dataset.coords or (dataset["ch_unit"].values.astype(str) == "V").any():
            return ""
    return "a node eeg with channels in V"


ANALYSIS = Analysis(
    name="spectrum",
    title="Power, and its change around events",
    question="Which rhythms are there, and which of them change when something happens?",
    lacks=_lacks,
    run=run,
)
