"""The atlas: how active each motif is in each stage, and how much affinity it lends each community there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from neurodata.diagnostics.circular_shift import circular_shift_test
from neurodata.diagnostics.decisions import benjamini_hochberg
from neurodata.errors import RecordingError
from neurodata.models.connectome.stages import StageWeights


def make_atlas(
    course: np.ndarray,
    stages: StageWeights,
    rows: Sequence[np.ndarray],
    level: float,
    within: np.ndarray,
    n_shifts: int,
    rng: np.random.Generator,
) -> xr.DataArray:
    """Atlas of stages.

    Parameters
    ----------
    course : array (time, motif)
        Activity, in units of affinity.
    stages : StageWeights
    rows : sequence of array
        Rows of each recording.
    level : float
        False discovery rate over all stages and motifs.
    within : array (motif, community)
        Mean weight of the motif's pairs within each community; NaN where there is none.
    n_shifts : int
        Turns, for several recordings.
    rng : Generator

    Returns
    -------
    DataArray (stage, motif, community)
    """
    n_stages, n_motifs = len(stages.name), course.shape[1]
    correlation, p = np.full((n_stages, n_motifs), np.nan), np.full((n_stages, n_motifs), np.nan)
    joint, level_joint = np.full(n_stages, np.nan), np.full(n_stages, np.nan)
    activity = np.full((n_stages, n_motifs), np.nan)
    seen = np.isfinite(course).all(axis=1)
    total = course[seen].mean(axis=0)
    for k, weight in enumerate(stages.weight):
        known = seen & np.isfinite(weight)
        if known.sum() < 4 or np.ptp(weight[known]) == 0:
            raise RecordingError(
                f"a stage {stages.name[k]!r} that is sometimes on and sometimes off while traces are recorded",
                f"{int(known.sum())} known times, always {weight[known][:1].tolist()}",
                "check its times: they are on the clock of the traces, in s",
            )
        parts = [part[known[part]] for part in rows]
        parts = [part for part in parts if len(part)]
        clean = np.nan_to_num(course), np.nan_to_num(weight)[None]
        test = circular_shift_test(*clean, parts, n_shifts, rng)
        correlation[k], p[k], joint[k] = test.correlation[0], test.p_value[0], test.joint_p_value[0]
        level_joint[k] = circular_shift_test(*clean, parts, n_shifts, rng, detrend=True).joint_p_value[0]
        share = weight[known] if stages.kind[k] == "stage" else (weight[known] > np.median(weight[known])) * 1.0
        activity[k] = share @ course[known] / share.sum()
    value = activity[:, :, None] * within[None]
    relative = np.divide(activity, total, out=np.full_like(activity, np.nan), where=total > 0)
    both = ("stage", "motif")
    return xr.DataArray(
        value,
        dims=("stage", "motif", "community"),
        coords={
            "stage": stages.name,
            "motif": np.arange(n_motifs),
            "community": np.arange(within.shape[1]),
            "stage_kind": ("stage", stages.kind),
            "stage_p_value": ("stage", joint, {"units": "1"}),
            "detrended_p_value": ("stage", level_joint, {"units": "1"}),
            "relative_activity": (both, relative, {"units": "1"}),
            "correlation": (both, correlation, {"units": "1"}),
            "p_value": (both, p, {"units": "1"}),
            "significant": (both, benjamini_hochberg(p, level)),
        },
        attrs={"units": "1", "long_name": "mean affinity from the motif", "level": float(level)},
    )
