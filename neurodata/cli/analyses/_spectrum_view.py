"""Tables and figures of the analysis of power."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.cli.analyses.base import Picture, Table

_MOST_ROWS = 12


def peak_table(density: xr.DataArray, peaks: xr.DataArray, bands: dict[str, tuple[float, float]]) -> Table:
    """Share of the power of each channel in each band, and its peak."""
    frequency = density["frequency"].values
    top = float(frequency[-1])
    used = {name: limits for name, limits in bands.items() if limits[0] < top}
    inside = density.sel(frequency=slice(1.0, 80.0)).sum("frequency")
    rows = []
    for k, channel in enumerate(density["channel"].values):
        shares = [
            f"{float(density.isel(channel=k).sel(frequency=slice(*limits)).sum() / inside[k]):.0%}"
            for limits in used.values()
        ]
        peak = float(peaks[k])
        rows.append((str(channel), *shares, f"{peak:.1f}" if np.isfinite(peak) else "none"))
    heads = ("channel", *(f"{name} {low:g}–{high:g} Hz" for name, (low, high) in used.items()), "peak (Hz)")
    return Table(
        "Power in bands",
        heads,
        tuple(rows),
        f"Share of the power from 1 to {min(80.0, top):g} Hz; peak: what stands out most of the 1/f course.",
    )


def evoked_picture(epochs: xr.DataArray) -> Picture:
    """Average voltage around the events of each kind."""
    from neurodata import plot

    cut = epochs.sel(time=slice(-0.2, 0.8))
    baseline = cut.sel(time=slice(-0.2, 0.0)).mean("time")
    centred = (cut - baseline).transpose(*cut.dims).assign_attrs(cut.attrs)
    panels = plot.averages(centred, most=16)
    return Picture(
        "Evoked responses",
        "Mean voltage around the events, less its mean over the 0.2 s before; the band is one standard error over "
        "trials. The number of trials is in brackets.",
        panels.flat[0].figure,
    )


def change_pictures(movie: xr.DataArray, value: xr.DataArray, kinds: list[str]) -> list[Picture]:
    """Change of power per channel and time, and its mean per channel with errors."""
    return [
        Picture(
            "Change of power around events",
            "Mean over trials of log power relative to each trial's baseline before the event. Blue: less power "
            "(desynchronisation), red: more. All panels share a scale.",
            _maps(movie, kinds),
        ),
        Picture(
            "Change of power by channel",
            "Mean after the event, with one standard error over trials.",
            _bars(value, kinds),
        ),
    ]


def _of_kind(data: xr.DataArray, kind: str) -> xr.DataArray:
    return data.isel(trial=np.flatnonzero(data["description"].values == kind))


def _maps(movie: xr.DataArray, kinds: list[str]) -> Any:
    from neurodata.plot._style import DIVERGING, FAINT, dress, figure

    bands = movie["band"].values
    names = [str(name) for name in movie["channel"].values]
    means = {kind: _of_kind(movie, kind).mean("trial") for kind in kinds}
    limit = max(float(np.nanpercentile(np.abs(mean.values), 99)) for mean in means.values()) or 1.0
    made = figure(3.0 * bands.size + 0.6, len(kinds) * max(1.6, 0.12 * len(names) + 0.7))
    grid = made.subplots(len(kinds), bands.size, sharex=True, sharey=True, squeeze=False)
    time = movie["time"].values
    step = float(np.median(np.diff(time)))
    for i, kind in enumerate(kinds):
        for j, band in enumerate(bands):
            ax = dress(grid[i, j])
            image = ax.imshow(
                means[kind].sel(band=band).transpose("channel", "time").values,
                extent=(time[0] - step / 2, time[-1] + step / 2, len(names) - 0.5, -0.5),
                aspect="auto",
                cmap=DIVERGING,
                vmin=-limit,
                vmax=limit,
                interpolation="nearest",
            )
            ax.axvline(0.0, color=FAINT, lw=0.8, ls=":")
            if i == 0:
                ax.set_title(str(band), fontsize=10)
            if i == len(kinds) - 1:
                ax.set_xlabel("time from event (s)")
        shown = np.arange(0, len(names), max(1, -(-len(names) // 16)))
        grid[i, 0].set_yticks(shown, [names[k] for k in shown])
        grid[i, 0].set_ylabel(kind)
    bar = made.colorbar(image, ax=grid, shrink=0.8, pad=0.01, extend="both")
    bar.set_label("change of power (dB)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return made


def _bars(value: xr.DataArray, kinds: list[str]) -> Any:
    from neurodata.plot._style import FAINT, colour, dress, figure

    bands = value["band"].values
    names = [str(name) for name in value["channel"].values]
    made = figure(9.0, 1.7 * bands.size + 0.5)
    grid = made.subplots(bands.size, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for ax, band in zip(grid, bands, strict=True):
        dress(ax)
        for k, kind in enumerate(kinds):
            own = _of_kind(value, kind).sel(band=band)
            mean, n = own.mean("trial").values, own.sizes["trial"]
            error = own.std("trial", ddof=1).values / np.sqrt(n)
            place = np.arange(len(names)) + 0.16 * (k - (len(kinds) - 1) / 2)
            ax.errorbar(place, mean, error, fmt="o", ms=3.5, color=colour(k), lw=1.0, label=f"{kind} ({n})")
        ax.axhline(0.0, color=FAINT, lw=0.8)
        ax.set_ylabel(f"{band} (dB)")
    shown = np.arange(0, len(names), max(1, -(-len(names) // 32)))
    grid[-1].set_xticks(shown, [names[k] for k in shown], rotation=90 if len(names) > 16 else 0)
    grid[0].legend(frameon=False, fontsize=8, ncols=4, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return made


def change_table(value: xr.DataArray, change_p: xr.DataArray, kinds: list[str]) -> Table:
    """The clearest changes of each kind."""
    rows: list[tuple[Any, ...]] = []
    for kind in kinds:
        own = _of_kind(value, kind)
        n = own.sizes["trial"]
        mean = own.mean("trial").values
        error = own.std("trial", ddof=1).values / np.sqrt(n)
        p = change_p.sel(kind=kind).values
        for flat in np.argsort(-np.abs(mean / error), axis=None)[: _MOST_ROWS // len(kinds)]:
            i, j = np.unravel_index(flat, mean.shape)
            band, channel = str(value["band"].values[i]), str(value["channel"].values[j])
            rows.append((kind, band, channel, f"{mean[i, j]:+.2f} ± {error[i, j]:.2f}", f"{p[i, j]:.2g}"))
    return Table(
        "Clearest changes of power",
        ("event", "band", "channel", "change ± s.e. (dB)", "p (corrected)"),
        tuple(rows),
        f"The largest of {value.sizes['band'] * value.sizes['channel']} pairs of band and channel for each event, by "
        "change over its standard error.",
    )
