"""How different the responses to events are: distances between patterns, from two halves of the trials."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.cli.analyses.base import Analysis, Picture, Result, Settings, Step, Table, node, node_names
from neurodata.errors import RecordingError
from neurodata.preprocess import epoch

FEWEST_TRIALS = 6
MOST_KINDS = 20
WINDOW_S = 0.5


def run(recording: xr.DataTree, settings: Settings, step: Step) -> Result:
    """Correlation distance between the patterns of one half of the trials and those of the other."""
    from neurodata import plot

    step("rdm: patterns")
    kinds = _kinds(recording)
    trials, what = _trials(recording, kinds)
    matrix = split_distances(trials, kinds)
    values = matrix.values
    within, between = float(np.diag(values).mean()), float(values[~np.eye(len(kinds), dtype=bool)].mean())
    n_best = int((values.argmin(axis=1) == np.arange(len(kinds))).sum())
    symmetric = matrix.copy(data=(values + values.T) / 2)
    step("rdm: figures")
    names = [str(kind) for kind in kinds]
    return Result(
        verdict=[
            f"Patterns of the same event in two halves of the trials are {within:.2f} apart, those of different events "
            f"{between:.2f} (correlation distance, 0 to 2)"
            + (
                ": the responses tell the events apart." if within < between else ": they do not tell the events apart."
            ),
            f"{n_best} of {len(kinds)} kinds of event are closest to themselves in the other half "
            f"(chance: 1 of {len(kinds)}).",
        ],
        pictures=[
            Picture(
                "Dissimilarity of responses",
                f"1 - correlation of the patterns over {what} between odd and even trials. Distances between two "
                "halves are not made small by shared noise; small ones off the diagonal are events that are alike.",
                plot.rdm(symmetric).figure,
            )
        ],
        tables=[
            Table(
                "Distances between halves",
                ("odd \\ even trials", *names),
                tuple((names[i], *(f"{v:.2f}" for v in values[i])) for i in range(len(kinds))),
                "The diagonal is the same event in both halves.",
            )
        ],
        data=xr.Dataset({"distance": matrix, "rdm": symmetric}),
        settings={"pattern": f"mean over 0 to {WINDOW_S:g} s after the event, of each of {what}", "kinds": len(kinds)},
        caveats=[
            "A distance between patterns says that responses differ, not what in the event makes them differ.",
            "Odd and even trials are not independent where the recording drifts slowly.",
        ],
    )


def split_distances(trials: xr.DataArray, kinds: list[str]) -> xr.DataArray:
    """Correlation distances between mean patterns of odd trials (rows) and of even trials (columns) of each kind.

    The mean over kinds is taken off each half first: what all events share says nothing of their differences.

    Parameters
    ----------
    trials : DataArray (trial, item)
        With a coordinate `description`.
    kinds : list of str

    Returns
    -------
    DataArray (condition, condition_2)
    """
    labels = trials["description"].values.astype(str)
    halves = []
    for half in (0, 1):
        means = [np.nanmean(trials.values[np.flatnonzero(labels == kind)[half::2]], axis=0) for kind in kinds]
        stack = np.stack(means)
        stack = stack - stack.mean(axis=0)
        stack = stack - stack.mean(axis=1, keepdims=True)
        size = np.linalg.norm(stack, axis=1, keepdims=True)
        halves.append(np.divide(stack, size, out=np.zeros_like(stack), where=size > 0))
    return xr.DataArray(
        1.0 - halves[0] @ halves[1].T,
        dims=("condition", "condition_2"),
        coords={"condition": kinds, "condition_2": kinds},
        attrs={"units": "1", "long_name": "correlation distance"},
    )


def _kinds(recording: xr.DataTree) -> list[str]:
    values, number = np.unique(node(recording, "events")["description"].values.astype(str), return_counts=True)
    often = [k for k in np.argsort(-number, kind="stable") if number[k] >= FEWEST_TRIALS][:MOST_KINDS]
    if len(often) < 2:
        raise RecordingError(
            f"two kinds of event or more with {FEWEST_TRIALS} trials each",
            f"{len(often)}",
            "take another analysis, or name the events in the file",
        )
    return sorted(str(values[k]) for k in often)


def _trials(recording: xr.DataTree, kinds: list[str]) -> tuple[xr.DataArray, str]:
    """One value per trial and channel (unit)."""
    events = node(recording, "events")
    if node_names(recording, "eeg"):
        eeg = node(recording, node_names(recording, "eeg")[0])
        rows = np.flatnonzero(eeg["ch_unit"].values.astype(str) == "V") if "ch_unit" in eeg.coords else slice(None)
        cut = epoch(
            eeg["signal"].isel(channel=rows), events, (0.2, WINDOW_S), kind=kinds, baseline=(-0.2, 0.0), drop=True
        )
        return cut.sel(time=slice(0.0, None)).mean("time"), f"{cut.sizes['channel']} channels"
    spikes = node(recording, node_names(recording, "spikes")[0])
    cut = epoch(spikes, events, (0.0, WINDOW_S), kind=kinds, bin_width=WINDOW_S, drop=True)
    total = cut.sum("time")
    return total.copy(data=np.sqrt(total.values)), f"{cut.sizes['unit']} units (square roots of counts)"


def _lacks(recording: xr.DataTree) -> str:
    if "events" not in recording.children:
        return "events"
    if node_names(recording, "eeg"):
        return ""
    named = node_names(recording, "spikes")
    return "" if named and "spike_time" in recording[named[0]] else "a node eeg or spikes"


ANALYSIS = Analysis(
    name="rdm",
    title="Dissimilarity of responses",
    question="Are the responses to different events different, and which are alike?",
    lacks=_lacks,
    run=run,
    is_default=False,
)
