"""From a recording to what a model's `fit` takes: one default per class, the same for a recording and for its twins."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.preprocess import bin_spikes, deconvolve, delta_f_over_f, epoch, events_to_counts
from neurodata.preprocess._apply import node_of
from neurodata.preprocess._sampling import sampling_step, time_values
from neurodata.schema import modality_of

# Share of the neuropil signal that is in that of a cell, as suite2p subtracts it.
_NEUROPIL = 0.7
FORMS = ("counts", "traces", "conditions", "trials")


@dataclass(frozen=True)
class Prepare:
    """A way to turn a recording into data; ``prepare(rec)`` does it.

    Parameters
    ----------
    bin_width : float
        s. Calcium data get the nearest whole number of frames, at least one.
    form : {"counts", "traces", "conditions", "trials"}
        "counts": spikes per bin (time, unit), or events deconvolved from calcium. "traces": dF/F (time, roi) as it was
        sampled, and for spikes their rate (time, unit) in Hz. "conditions": rate (condition, unit) in Hz during the
        trials of each condition. "trials": counts by trial (trial, time, unit), as ``{"spikes": counts}``.
    decay : float, optional
        s, of calcium traces that have to be deconvolved; default from the attr `indicator` of the node.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.01, 0.05, 0.06]}, support=[[0.0, 0.1]]))
    >>> Prepare(bin_width=0.02)(rec).values.ravel().tolist()
    [1, 0, 1, 1, 0]
    """

    bin_width: float
    form: str = "counts"
    decay: float | None = None

    def __post_init__(self) -> None:
        if not (np.isfinite(self.bin_width) and self.bin_width > 0):
            raise OptionError("a positive bin width in s", f"{self.bin_width!r}", "pass bin_width= in s")
        if self.form not in FORMS:
            raise OptionError(f"a form among {FORMS}", f"{self.form!r}", "correct form=")

    def to_dict(self) -> dict[str, Any]:
        """The fields, for a file or a hash."""
        return asdict(self)

    def __call__(self, rec: xr.DataTree) -> Any:
        """Data for `fit`."""
        if self.form == "counts":
            return counts_of(rec, self.bin_width, self.decay)
        if self.form == "traces":
            return _traces(rec, self.bin_width)
        if self.form == "conditions":
            return _conditions(rec, self.decay)
        return {"spikes": _trials(rec, self.bin_width, self.decay)}


# Lagged relations are sharpest in bins shorter than a postsynaptic potential.
_SHORT = Prepare(0.002)
_DEFAULTS = {
    "RateOnly": _SHORT,
    "CrossCorrelation": Prepare(0.005),
    "LaggedRegression": _SHORT,
    "Shuffle": _SHORT,
    # In bins longer than a postsynaptic potential most of a coupling falls into the bin of the spike itself; shorter
    # ones multiply the time of a fit.
    "HMMGLM": Prepare(0.005),
    "BiClustering": Prepare(0.5),
    "DynamicConnectome": Prepare(1.0, "traces"),
    "MultimodalGPVAE": Prepare(0.02, "trials"),
    "TopologicalRSA": Prepare(1.0, "conditions"),
}


def prepare_for(model: Any) -> Prepare:
    """The default preparation for a model: by its class, or that of the nearest base class that has one.

    Parameters
    ----------
    model : estimator, or its class

    Returns
    -------
    Prepare
        Callable on a recording, picklable, and with a repr that says all of it.

    Raises
    ------
    MissingOptionError
        For a class without a default.

    Examples
    --------
    >>> import neurodata as nd
    >>> nd.validate.prepare_for(nd.models.HMMGLM())
    Prepare(bin_width=0.005, form='counts', decay=None)
    """
    kind = model if isinstance(model, type) else type(model)
    for base in kind.__mro__:
        if base.__name__ in _DEFAULTS:
            return _DEFAULTS[base.__name__]
    raise MissingOptionError(
        f"a model with a default preparation: {', '.join(sorted(_DEFAULTS))}",
        kind.__name__,
        "pass the model as (estimator, prepare), or prepare=: a function of the recording that gives what fit takes, "
        "e.g. nd.validate.Prepare(bin_width=0.02)",
    )


def counts_of(rec: xr.DataTree, bin_width: float, decay: float | None = None) -> xr.DataArray:
    """Counts (time, unit): of spikes where there are some, else of events deconvolved from calcium.

    Calcium that is not deconvolved yet is deconvolved first, after dF/F where that is not there either. Its bins are
    the whole number of frames nearest to `bin_width`, at least one.
    """
    if _has(rec, "spikes"):
        return bin_spikes(rec, bin_width)
    if not _has(rec, "calcium"):
        names = list(rec.children) if isinstance(rec, xr.DataTree) else type(rec).__name__
        raise RecordingError("a recording with spikes or calcium", f"{names}", "pass prepare= for other data")
    node = node_of(rec, "calcium")
    if "deconvolved" not in node:
        node = deconvolve(_with_dff(node), decay=decay)
    traces = node["deconvolved"]
    step = sampling_step(traces, time_values(traces), node.attrs.get("sampling_rate"))
    return events_to_counts(node, bin_width=max(1, round(bin_width / step)) * step)


def _with_dff(node: xr.Dataset) -> xr.Dataset:
    """The node with dF/F; computed with suite2p's share of the neuropil where that was recorded."""
    if "dff" in node:
        return node
    return delta_f_over_f(node, neuropil_coefficient=_NEUROPIL if "neuropil" in node else None)


def _has(rec: xr.DataTree, modality: str) -> bool:
    return isinstance(rec, xr.DataTree) and any(modality_of(str(name)) == modality for name in rec.children)


def _traces(rec: xr.DataTree, bin_width: float) -> xr.DataArray:
    if _has(rec, "calcium") and not _has(rec, "spikes"):
        node = node_of(rec, "calcium")
        return _with_dff(node)["dff"]
    counts = bin_spikes(rec, bin_width)
    rate = counts / bin_width
    return rate.rename("rate").assign_attrs({**counts.attrs, "units": "Hz", "long_name": "spikes per second"})


def _shortest_trial(rec: xr.DataTree) -> tuple[xr.Dataset, float]:
    if not _has(rec, "trials"):
        raise RecordingError(
            "a recording with trials", f"{list(rec.children)}", "pass prepare= for data without trials"
        )
    trials = node_of(rec, "trials")
    return trials, float((trials["stop"] - trials["start"]).min())


def _trials(rec: xr.DataTree, bin_width: float, decay: float | None) -> xr.DataArray:
    trials, length = _shortest_trial(rec)
    if _has(rec, "spikes"):
        return epoch(rec, trials, (0.0, length), bin_width=bin_width)
    return epoch(counts_of(rec, bin_width, decay), trials, (0.0, length))


def _conditions(rec: xr.DataTree, decay: float | None) -> xr.DataArray:
    trials, length = _shortest_trial(rec)
    if "condition" not in trials:
        raise RecordingError("trials with a column condition", f"{list(map(str, trials.data_vars))}", "add it")
    counts = _trials(rec, length, decay)
    rate = counts.assign_coords(condition=("trial", trials["condition"].values)).mean("time") / length
    means = rate.groupby("condition").mean("trial", keep_attrs=True)
    return means.rename("rate").assign_attrs(units="Hz")
