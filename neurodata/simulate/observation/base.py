"""`observe` and what every stage shares: checks of its settings, JSON, the recording it gives back, the truth."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import FormatError, OptionError, RecordingError
from neurodata.schema import modality_of
from neurodata.simulate import _json
from neurodata.simulate.truth import truth_of

STAGES_ATTR = "stages"  # JSON of the stages applied so far, in `/truth` only


@dataclass(frozen=True)
class Stage:
    """One thing that happens between a circuit and the data of a lab.

    Subclasses are frozen dataclasses of numbers, text and arrays, all with defaults, and have `apply`.
    """

    once: ClassVar[bool] = False

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """The recording after this stage; `rec` is left as it is.

        Parameters
        ----------
        rec : DataTree
            With `/truth`.
        rng : Generator
        """
        raise NotImplementedError(f"{type(self).__name__} has no apply()")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON can hold them; `Stage.from_dict` is the inverse."""
        return _json.encode(self)

    @staticmethod
    def from_dict(settings: Mapping[str, Any]) -> Stage:
        """The stage that `to_dict` wrote.

        Raises
        ------
        FormatError
            Settings that are not those of a stage.

        Examples
        --------
        >>> from neurodata.simulate import Stage, Subsample
        >>> Stage.from_dict(Subsample(fraction=0.5).to_dict()) == Subsample(fraction=0.5)
        True
        """
        from neurodata.simulate import observation

        for name in dir(observation):  # a stage is known once its module has been loaded
            getattr(observation, name)
        stage = _json.decode(dict(settings))
        if not isinstance(stage, Stage):
            raise FormatError("the settings of a stage", f"{type(stage).__name__}", "pass what to_dict() gave")
        return stage

    def _require(self, ok: bool, expected: str, name: str) -> None:
        if not ok:
            raise OptionError(
                f"{type(self).__name__} with {expected}", f"{name}={getattr(self, name)!r}", f"pass {name}="
            )

    def _require_finite(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
            self._require(number and bool(np.isfinite(value)), f"a finite {name}", name)

    def _require_share(self, *names: str) -> None:
        self._require_finite(*names)
        for name in names:
            self._require(0 <= getattr(self, name) < 1, f"{name} from 0 to below 1", name)


def observe(rec: xr.DataTree, stages: Sequence[Stage] | Stage, *, rng: RNGLike = None) -> xr.DataTree:
    """What a lab would see of a simulated recording.

    Ranking methods on artificial data does not predict how they rank on real data (Theis et al. 2016,
    doi 10.1016/j.neuron.2016.04.014); these stages are for finding out when an analysis fails.

    Parameters
    ----------
    rec : DataTree
        A recording with `/truth`, from `nd.simulate.run`.
    stages : list of Stage
        `Subsample`, `Sorting`, `Calcium`, `LFP`, `EEG`, `Behaviour`, in the order in which they happen.
    rng : int, Generator, SeedSequence or None
        Every stage draws from a stream of its own: a stage added at the end changes nothing before it.

    Returns
    -------
    DataTree
        A new recording with `/truth` carried along: `unit_neuron` (unit, source) says which neurons each recorded
        unit stands for, `observed` (neuron) which neurons are in it at all.

    Raises
    ------
    RecordingError
        A recording without `/truth`, or without what a stage needs (spikes, after imaging).
    OptionError
        Something that is not a stage, or a setting that makes no sense.

    Examples
    --------
    >>> from neurodata.simulate import Calcium, Subsample, observe, run, zoo
    >>> rec = run(zoo.null(n=10, rng=0), 2.0, rng=0)
    >>> seen = observe(rec, [Subsample(fraction=0.5), Calcium(frame_rate=30.0)], rng=0)
    >>> sorted(seen.children), dict(seen["calcium"]["fluorescence"].sizes)
    (['calcium', 'truth'], {'time': 60, 'roi': 5})
    """
    truth_of(rec)
    listed = [stages] if isinstance(stages, Stage) else list(stages)
    for stage in listed:
        if not isinstance(stage, Stage):
            raise OptionError("a list of stages, e.g. [Subsample(fraction=0.5)]", f"{stage!r}", "pass stages=")
    for stage, stream in zip(listed, generator(rng).spawn(len(listed)), strict=True):
        done = applied(rec)
        if type(stage).once and type(stage).__name__ in done:
            name = type(stage).__name__
            raise OptionError(f"{name} once", f"a second {name} after {done}", "put both into one stage")
        seen = stage.apply(rec, stream)
        truth = node_of(seen, "truth")
        log = json.loads(truth.attrs.get(STAGES_ATTR, "[]")) + [stage.to_dict()]
        rec = with_nodes(seen, {"truth": truth.assign_attrs({STAGES_ATTR: json.dumps(log)})})
    return rec


def applied(rec: xr.DataTree) -> list[str]:
    """Names of the stages that made a recording, in order."""
    return [item["kind"] for item in json.loads(truth_of(rec).attrs.get(STAGES_ATTR, "[]"))]


def stages_of(rec: xr.DataTree) -> list[Stage]:
    """The stages that made a recording, in order."""
    return [Stage.from_dict(item) for item in json.loads(truth_of(rec).attrs.get(STAGES_ATTR, "[]"))]


def node_of(rec: xr.DataTree, name: str) -> xr.Dataset:
    """One node as a Dataset."""
    return rec.children[name].to_dataset(inherit=False)


def spikes_of(rec: xr.DataTree, stage: Stage) -> xr.Dataset:
    """The node `spikes`, or an error that says what went before."""
    if "spikes" not in rec.children:
        raise RecordingError(
            f"a recording with spikes for {type(stage).__name__}",
            f"nodes {sorted(rec.children)} after {applied(rec) or 'no stage'}",
            f"put {type(stage).__name__} before the stage that drops the spikes, or pass keep_spikes=True there",
        )
    return node_of(rec, "spikes")


def support_of(spikes: xr.Dataset) -> np.ndarray:
    """Starts and stops of what was recorded, (epoch, 2), s."""
    if "support_start" not in spikes:
        raise RecordingError(
            "spikes with a support (when recording began and ended)", "none", "pass support= to make_spikes"
        )
    return np.stack((spikes["support_start"].values, spikes["support_stop"].values), axis=1)


def with_nodes(rec: xr.DataTree, changed: Mapping[str, xr.Dataset | None]) -> xr.DataTree:
    """A new recording with some nodes replaced, added, or (None) left out."""
    nodes = {f"/{name}": node.to_dataset(inherit=False) for name, node in rec.children.items() if name not in changed}
    nodes |= {f"/{name}": node for name, node in changed.items() if node is not None}
    return xr.DataTree.from_dict({"/": rec.to_dataset(inherit=False), **nodes}, name=rec.name)


def free_name(rec: xr.DataTree, modality: str) -> str:
    """The name of one more node of a modality: `eeg`, then `eeg_2`, ..."""
    taken = [name for name in rec.children if modality_of(name) == modality]
    number = 1 + len(taken)
    while (name := modality if number == 1 else f"{modality}_{number}") in rec.children:
        number += 1
    return name


def retold(truth: xr.Dataset, unit: np.ndarray, sources: np.ndarray, **per_unit: Any) -> xr.Dataset:
    """The truth when other units are recorded.

    Parameters
    ----------
    truth : Dataset
    unit : array (unit,)
        Ids of the units now.
    sources : array (unit, source), int64
        Rows of `neuron` behind each, padded with -1.
    **per_unit : array (unit,)
        Further facts of the units now; what was known of the units before is dropped.
    """
    old = [name for name in truth.variables if "unit" in truth[name].dims]
    truth = truth.drop_vars(old).drop_dims("source", errors="ignore")
    observed = np.zeros(truth.sizes["neuron"], dtype=np.int8)
    observed[sources[sources >= 0]] = 1
    about = {"long_name": "neurons behind each unit, padded with -1"}
    variables: dict[str, Any] = {
        "observed": ("neuron", observed),
        "unit_neuron": (("unit", "source"), sources.astype(np.int64), about),
    }
    variables |= {name: ("unit", values) for name, values in per_unit.items()}
    return truth.assign(variables).assign_coords(unit=unit)


def per_unit_facts(truth: xr.Dataset, keep: np.ndarray) -> dict[str, np.ndarray]:
    """What `/truth` knows of each unit, for the rows `keep`, to be handed on to `retold`."""
    return {str(name): truth[name].values[keep] for name in truth.data_vars if truth[name].dims == ("unit",)}
