"""Tables and figures of the analysis of states."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurodata.cli.analyses.base import Picture, Table
from neurodata.models import HMMGLM

_ZOOM_S = 40.0


class Fold(NamedTuple):
    """Held-out bits per event of one block, with states and with one state only."""

    states: float
    one_state: float
    ridge: float
    prior: str = "ridge"


def dwell_table(path: xr.DataArray, probability: xr.DataArray, counts: xr.DataArray) -> xr.Dataset:
    """How much, how often and how long each state is visited, and the mean rate in it.

    Parameters
    ----------
    path : DataArray (time,)
        Most probable state of each bin, -1 where none.
    probability : DataArray (time, state)
    counts : DataArray (time, unit)

    Returns
    -------
    Dataset
        `occupancy`, `n_visits`, `dwell_mean`, `dwell_median` (s), `rate` (events/s per unit), by `state`.
        A visit ends at a gap of the recording.
    """
    width = float(counts.attrs["bin_width"])
    values, time = path.values, path["time"].values
    states = probability["state"].values
    edge = np.flatnonzero((np.diff(values) != 0) | (np.diff(time) > 1.5 * width)) + 1
    first, last = np.r_[0, edge], np.r_[edge, values.size]
    length, visited = (last - first) * width, values[first]
    seen = values >= 0
    rate = counts.transpose("time", "unit").values.astype(float)
    columns: dict[str, list[float]] = {
        "occupancy": [],
        "n_visits": [],
        "dwell_mean": [],
        "dwell_median": [],
        "rate": [],
    }
    for state in states:
        own = length[visited == state]
        columns["occupancy"].append(float((values[seen] == state).mean()) if seen.any() else np.nan)
        columns["n_visits"].append(float(own.size))
        columns["dwell_mean"].append(float(own.mean()) if own.size else np.nan)
        columns["dwell_median"].append(float(np.median(own)) if own.size else np.nan)
        inside = rate[values == state]
        columns["rate"].append(float(np.nanmean(inside)) / width if inside.size else np.nan)
    units = {"occupancy": "1", "n_visits": "1", "dwell_mean": "s", "dwell_median": "s", "rate": "1/s"}
    return xr.Dataset(
        {name: ("state", np.array(column), {"units": units[name]}) for name, column in columns.items()},
        coords={"state": states},
    )


def pictures(
    model: HMMGLM,
    typed: HMMGLM,
    path: xr.DataArray,
    probability: xr.DataArray,
    counts: xr.DataArray,
    event: str,
) -> list[Picture]:
    """States over time, rates and couplings; `typed` is the model with kinds of connection."""
    from neurodata import plot

    # Units that prefer the same state lie together, so that states and couplings can be seen as blocks.
    order = _by_preference(model)
    sorted_counts = counts.isel(unit=order)
    whole = plot.states(probability, sorted_counts).figure
    begin = _zoom_start(path)
    zoom = plot.states(probability, sorted_counts, start=begin, stop=begin + _ZOOM_S).figure
    panels = plot.connectivity(model, what="weight", sort=order)
    each = f"{event}s per second of each unit"
    found = [
        Picture(
            "States over the recording",
            f"Top: posterior probability of each state, stacked to 1. Below: {each}, units in the order of the state "
            "in which they are most active.",
            whole,
        ),
        Picture(
            f"A closer look: {begin:.0f} to {begin + _ZOOM_S:.0f} s",
            "The same at the time scale of single visits, where most switches are.",
            zoom,
        ),
        Picture(
            "Activity of units in each state",
            "Mean rate while the state is the most probable one.",
            _rates(model, path, counts, order, event),
        ),
        Picture(
            "Couplings in each state",
            "Log gain of a unit (row) per count of another (column) over the history, on one scale for all states; the "
            "units are in the same order as above, and the diagonal is left out. Red drives, blue suppresses.",
            panels[0].figure,
        ),
    ]
    found.append(
        Picture(
            "Kinds of connection in each state, and what the states share",
            "Probability that a coupling excites less the probability that it inhibits, pairs as above; the last panel "
            "is the prior that all states share, learned from them.",
            plot.connectivity(typed, what="type", sort=order)[0].figure,
        )
    )
    found.append(
        Picture(
            "Strongest couplings, with intervals",
            "Log gain per count at each lag with 95 % intervals, which take the states as known; the pairs furthest "
            "from zero in units of their errors.",
            plot.filters(model, counts)[0].figure,
        )
    )
    if len(model.initial_) > 1:
        found.append(
            Picture(
                "Transitions",
                "States with the length of a mean visit under the fitted chain; arrows: which state comes next.",
                plot.transitions(model).figure,
            )
        )
    return found


def _by_preference(model: HMMGLM) -> np.ndarray:
    intercept = np.nan_to_num(model.intercept_.values)
    return np.lexsort((-intercept.max(axis=0), intercept.argmax(axis=0)))


def _zoom_start(path: xr.DataArray) -> float:
    """Start of the window with the most switches of state."""
    time = path["time"].values
    at = time[1:][np.diff(path.values) != 0]
    if at.size == 0:
        return float(time[0])
    number = np.searchsorted(at, at + _ZOOM_S) - np.arange(at.size)
    return float(max(time[0], min(at[int(number.argmax())] - 1.0, time[-1] - _ZOOM_S)))


def _rates(model: HMMGLM, path: xr.DataArray, counts: xr.DataArray, order: np.ndarray, event: str) -> Any:
    from neurodata.plot._style import axes, colour

    width = float(counts.attrs["bin_width"])
    ax = axes(None, 9.0, 2.8)
    values = counts.transpose("time", "unit").values.astype(float)
    for state in model.initial_["state"].values:
        inside = values[path.values == state]
        if inside.size:
            rate = np.nanmean(inside, axis=0)[order] / width
            ax.plot(np.arange(rate.size), rate, "o", color=colour(int(state)), ms=4, label=f"state {state}")
    ids = counts["unit"].values[order]
    shown = np.arange(0, ids.size, max(1, -(-ids.size // 30)))
    ax.set_xticks(shown, [str(ids[k]) for k in shown], rotation=90)
    ax.set_ylim(bottom=0)
    ax.set_xlabel("unit")
    ax.set_ylabel(f"{event}s/s")
    ax.legend(frameon=False, fontsize=8, ncols=6)
    return ax.figure


def states_table(table: xr.Dataset, event: str) -> Table:
    """Share of time, visits and rate of each state."""
    rows = tuple(
        (
            f"state {state}",
            f"{float(table['occupancy'][k]):.1%}",
            int(table["n_visits"][k]),
            f"{float(table['dwell_mean'][k]):.3g}",
            f"{float(table['dwell_median'][k]):.3g}",
            f"{float(table['rate'][k]):.3g}",
        )
        for k, state in enumerate(table["state"].values)
    )
    heads = ("state", "share of time", "visits", "mean visit (s)", "median visit (s)", f"{event}s/s per unit")
    return Table("States", heads, rows, "From the most probable path; states are numbered by their share of time.")


def folds_table(folds: list[Fold], event: str) -> Table:
    """Scores on held-out blocks."""
    rows = tuple(
        (
            f"block {k + 1}",
            f"{fold.states:.3f}",
            f"{fold.one_state:.3f}",
            f"{fold.states - fold.one_state:+.3f}",
            f"{fold.ridge:g}",
            fold.prior,
        )
        for k, fold in enumerate(folds)
    )
    heads = ("held-out block", "with states", "one state", "gain", "ridge chosen", "prior chosen")
    return Table("Held-out score", heads, rows, f"Bits per {event} above the constant rates of the training data.")


def connections_table(model: HMMGLM, most: int = 10) -> Table:
    """The pairs that are most probably connected in some state, beside what the states share."""
    probability, shared = model.connection_prob_, model.connection_prior_
    present = 1.0 - probability.sel(connection="none").values
    present[:, np.eye(present.shape[1], dtype=bool)] = -1.0
    top = np.nan_to_num(present, nan=-1.0).max(axis=0)
    ids, names = probability["post"].values, probability["state"].values
    rows: list[tuple[Any, ...]] = []
    for flat in np.argsort(-top, axis=None, kind="stable")[:most]:
        post, pre = np.unravel_index(flat, top.shape)
        if top[post, pre] < 0.0:
            break
        each = [_odds(probability.values[k, post, pre]) for k in range(len(names))]
        rows.append((f"{ids[pre]} → {ids[post]}", *each, _odds(shared.values[post, pre])))
    heads = ("from → to", *(f"state {name}" for name in names), "shared prior")
    return Table(
        "Connections",
        heads,
        tuple(rows),
        f"Probability of inhibition (-) and excitation (+), the {most} pairs most probably connected in a state.",
    )


def _odds(probability: np.ndarray) -> str:
    return f"- {probability[0]:.2f} / + {probability[2]:.2f}"


def couplings_table(model: HMMGLM, most: int = 5) -> Table:
    """The couplings furthest from zero in units of their errors."""
    rows: list[tuple[Any, ...]] = []
    weight, error = model.weight_.values, model.weight_se_.values
    units = model.weight_["post"].values
    for k, state in enumerate(model.weight_["state"].values):
        z = weight[k] / error[k]
        np.fill_diagonal(z, np.nan)
        for flat in np.argsort(-np.nan_to_num(np.abs(z)), axis=None)[:most]:
            post, pre = np.unravel_index(flat, z.shape)
            pair = f"{weight[k, post, pre]:+.2f} ± {error[k, post, pre]:.2f}"
            rows.append((f"state {state}", f"{units[pre]} → {units[post]}", pair, f"{z[post, pre]:+.1f}"))
    n_pairs = units.size * (units.size - 1)
    return Table(
        "Strongest couplings",
        ("state", "from → to", "weight ± s.e.", "weight / s.e."),
        tuple(rows),
        f"The {most} largest of {n_pairs} pairs in each state, by weight over its standard error.",
    )
