"""Motifs of coupling over time and their communities."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.cli.analyses._traces import lacks_traces, prepare_traces
from neurodata.cli.analyses.base import Analysis, Picture, Result, Settings, Step, Table, node
from neurodata.cli.inputs import collected_warnings
from neurodata.errors import RecordingError
from neurodata.models import DynamicConnectome

MOST_MOTIFS, N_RESTARTS = 5, 3
FEWEST_TIMES = 40
# Kinds of trial or event that are looked at, the most frequent first.
MOST_STAGES = 8


def run(recording: xr.DataTree, settings: Settings, step: Step) -> Result:
    """Fit, test against stages where there are some, describe."""
    traces, remarks = traces_of(recording, settings)
    step("connectome: motifs")
    with collected_warnings() as seen:
        model = new_model(settings).fit(traces)
        stages = _stages(recording)
        step("connectome: atlas")
        if stages:
            try:
                model.atlas(stages)
            except RecordingError as error:
                remarks.append(f"No atlas of trials or events: {error.got}.")
    boundaries = model.boundaries()
    step("connectome: figures")
    return Result(
        verdict=_verdict(model, boundaries),
        pictures=_pictures(model, stages, boundaries),
        tables=_tables(model),
        data=model.to_dataset().assign(boundary=boundaries.drop_vars("change_session")),
        settings={
            "model": f"DynamicConnectome, up to {MOST_MOTIFS} motifs, {N_RESTARTS} restarts",
            "traces": f"{traces.shape[1]} of {traces.dims[1]}, {traces.sizes['time']} times",
            "links": f"false discovery rate {model.link_level:g} against {model.n_surrogates} turned copies",
            "seed": settings.rng,
        },
        caveats=[*remarks, *seen, *_CAVEATS],
    )


_CAVEATS = [
    "A link says that two traces change together while the motif is active, not that their cells are connected.",
    "Movement, bleaching and the reference make traces change together too.",
    "Turned copies keep each trace as it is: what all share with a drift of the recording stands out as well.",
]


def new_model(settings: Settings) -> DynamicConnectome:
    """The model of the analysis, not fitted."""
    return DynamicConnectome(max_motifs=MOST_MOTIFS, n_restarts=N_RESTARTS, rng=settings.rng)


def traces_of(recording: xr.DataTree, settings: Settings) -> tuple[xr.DataArray, list[str]]:
    """Traces of the recording within the limits, with remarks."""
    traces, remarks = prepare_traces(recording, settings.bin_width, settings.limited)
    if traces.sizes["time"] < FEWEST_TIMES:
        raise RecordingError(
            f"at least {FEWEST_TIMES} times", f"{traces.sizes['time']}", "take narrower bins (--bin-width)"
        )
    return traces, remarks


def _stages(recording: xr.DataTree) -> dict[str, list[tuple[float, float]]]:
    """Intervals of the most frequent conditions of trials, or descriptions of events that last."""
    found: dict[str, list[tuple[float, float]]] = {}
    if "trials" in recording.children:
        table = node(recording, "trials")
        name = next((one for one in ("condition", "stage", "stimulus", "description") if one in table), None)
        if name is not None and {"start", "stop"} <= set(table.variables):
            for what, a, z in zip(table[name].values, table["start"].values, table["stop"].values, strict=True):
                if z > a:
                    found.setdefault(str(what), []).append((float(a), float(z)))
    elif "events" in recording.children:
        table = node(recording, "events")
        rows = zip(table["description"].values, table["onset"].values, table["duration"].values, strict=True)
        for what, a, length in rows:
            if np.isfinite(length) and length > 0:
                found.setdefault(str(what), []).append((float(a), float(a + length)))
    often = sorted(found, key=lambda name: -len(found[name]))[:MOST_STAGES]
    return {name: found[name] for name in often}


def _verdict(model: DynamicConnectome, boundaries: xr.DataArray) -> list[str]:
    numbers = [int(row.max(initial=-1)) + 1 for row in model.community_.values]
    linked = [int((row >= 0).sum()) for row in model.community_.values]
    dim = str(model.community_.dims[1])
    lines = [
        f"{model.n_motifs_} motifs of coupling explain {1.0 - model.relative_error_**2:.0%} of the squared affinities "
        f"(stability over restarts {model.stability_:.2f}).",
        f"Their graphs link {', '.join(map(str, linked))} of {model.community_.shape[1]} {dim}s, in "
        f"{', '.join(map(str, numbers))} communities.",
        f"Their activity changes level {boundaries.size} times.",
    ]
    if model.stability_ < 0.9:
        lines.append("Restarts do not agree on the motifs: do not interpret single ones.")
    if "atlas_" not in vars(model):
        return lines
    atlas = model.atlas_
    chosen = atlas["significant"]
    for stage in atlas["stage"].values:
        motifs = [str(m) for m in atlas["motif"].values if bool(chosen.sel(stage=stage, motif=m))]
        if motifs:
            lines.append(f"Motifs {', '.join(motifs)} follow {stage!s} (false discovery rate {model.level:g}).")
    if not bool(chosen.any()):
        lines.append("No motif follows the trials or events more than turned courses do.")
    return lines


def _pictures(model: DynamicConnectome, stages: dict[str, Any], boundaries: xr.DataArray) -> list[Picture]:
    from neurodata import plot

    pictures = [
        Picture(
            "When motifs are active",
            "Activity of each motif; colours behind are trials or events, dotted lines where the level changes.",
            plot.motif_courses(model.time_factor_, stages, boundaries=boundaries)[0].figure,
        )
    ]
    if "atlas_" in vars(model):
        pictures.append(
            Picture(
                "Atlas",
                "Correlation of the activity of each motif with each kind of trial or event.",
                plot.motif_atlas(model.atlas_).figure,
            )
        )
    for motif in range(model.n_motifs_):
        community = model.community_.isel(motif=motif)
        if not (community.values >= 0).any():
            continue
        pictures += [
            Picture(
                f"Motif {motif}: pairs",
                "Weights of pairs in the order of communities (coloured bars); the last have no links.",
                plot.community_matrix(model.pair_factor_.isel(motif=motif), community).figure,
            ),
            Picture(
                f"Motif {motif}: graph",
                "Links that exceed chance; lines within a community have its colour.",
                plot.motif_graph(model.graph_.isel(motif=motif), community).figure,
            ),
        ]
    return pictures


def _tables(model: DynamicConnectome) -> list[Table]:
    rows = []
    dim = str(model.community_.dims[1])
    names = model.community_[dim].values
    for motif, (label, probability) in enumerate(
        zip(model.community_.values, model.community_prob_.values, strict=True)
    ):
        for k in range(int(label.max(initial=-1)) + 1):
            own = np.flatnonzero(label == k)
            certain = float(np.nanmean(probability[own, k]))
            text = ", ".join(str(one) for one in names[own][:12]) + (", ..." if own.size > 12 else "")
            rows.append((f"{motif}", f"{k}", own.size, f"{certain:.2f}", text))
    heads = ("motif", "community", dim + "s", "mean probability of membership", "ids")
    return [Table("Communities", heads, tuple(rows), "Of the partition with the least expected variation.")]


ANALYSIS = Analysis(
    name="connectome",
    title="Motifs of coupling and their communities",
    question="Which units change together, when, and in which groups?",
    lacks=lacks_traces,
    run=run,
    is_default=False,
)
