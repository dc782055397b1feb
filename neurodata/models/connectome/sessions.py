"""Traces of one or many animals as streams of affinities whose units are aligned by label."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import NeurodataWarning, OptionError, RecordingError
from neurodata.models.connectome.affinity import differential_affinity
from neurodata.models.connectome.derivative import ITEM_DIMS
from neurodata.models.connectome.stream import AffinityStream
from neurodata.models.connectome.table import labels_of

IDENTITIES = (None, "label", "own")
# Tensors up to this size are made once; larger ones block by block in every pass, bytes.
_MOST_BYTES = 512 * 2**20


@dataclass(frozen=True)
class Sessions:
    """Affinities of all animals.

    Attributes
    ----------
    name : tuple
        Of each animal.
    stream : tuple of AffinityStream
        Units of all are in the order of `label`.
    label : array (unit,)
        All units, in the order in which they first appear.
    item : str
        Their dim.
    side_by_side : bool
        Whether the animals share their time.
    """

    name: tuple[Any, ...]
    stream: tuple[AffinityStream, ...]
    label: np.ndarray
    item: str
    side_by_side: bool

    @property
    def tensor(self) -> Any:
        """What `NonnegativeCP` factorises."""
        whole = sum(one.nbytes for one in self.stream) <= _MOST_BYTES
        made = [one.to_dataarray() if whole else one for one in self.stream]
        if self.side_by_side:
            return dict(zip(self.name, made, strict=True))
        return made if len(made) > 1 else made[0]

    def rows(self) -> list[np.ndarray]:
        """For each animal its rows of the courses over time."""
        if self.side_by_side:
            return [np.arange(len(self.stream[0].time))] * len(self.stream)
        ends = np.cumsum([0, *(len(one.time) for one in self.stream)]).tolist()
        return [np.arange(a, z) for a, z in zip(ends[:-1], ends[1:], strict=True)]

    def members(self) -> list[np.ndarray]:
        """For each animal the positions of its units among all."""
        place = {label: k for k, label in enumerate(self.label.tolist())}
        return [np.array([place[label] for label in one.unit.tolist()]) for one in self.stream]


def read_sessions(
    data: Any, settings: Mapping[str, Any] | None, identities: str | None, shared_time: bool | None
) -> Sessions:
    """Check traces and turn them into affinities.

    Parameters
    ----------
    data : DataArray (time, unit), mapping of animal to such, or list of such
    settings : mapping, optional
        Of `differential_affinity`.
    identities : {None, "label", "own"}
    shared_time : bool, optional
        Whether animals share their time; by default those of a mapping do where their clocks are the same.
    """
    if identities not in IDENTITIES:
        raise OptionError("identities 'label', 'own' or None", repr(identities), "choose one")
    given = _named(data)
    several = len(given) > 1
    items = {next((d for d in ITEM_DIMS if d in one.dims), None) for one in given.values()}
    if len(items) > 1:
        raise RecordingError("animals with the same dim of units", f"{sorted(map(str, items))}", "rename them alike")
    if several:
        given = _identified(given, identities)
    streams = {}
    label: list[Any] = []
    for name, one in given.items():
        item = next((d for d in ITEM_DIMS if d in one.dims), None)
        if item is not None:
            own = labels_of(one, item).tolist()
            label += [value for value in own if value not in set(label)]
            place = {value: k for k, value in enumerate(label)}
            # One order of units everywhere, so that a pair has one name.
            order = np.argsort([place[value] for value in own], kind="stable")
            one = one.assign_coords({item: np.asarray(own)}).isel({item: order})
        try:
            streams[name] = differential_affinity(one, **dict(settings or {}))
        except RecordingError as error:
            if not several:
                raise
            raise RecordingError(error.expected, f"of {name!r}: {error.got}", error.fix) from error
        except TypeError as error:
            raise OptionError("settings of differential_affinity", str(error), "correct affinity=") from error
    made = tuple(streams.values())
    same = several and isinstance(data, Mapping) and _one_clock(made)
    if shared_time and not (several and _one_clock(made)):
        raise RecordingError("several animals on one clock, for shared_time=True", "other times", "leave shared_time")
    side_by_side = same if shared_time is None else bool(shared_time)
    return Sessions(tuple(given), made, np.array(label), made[0].item, side_by_side)


def _named(data: Any) -> dict[Any, xr.DataArray]:
    if isinstance(data, Mapping):
        given = dict(data)
    elif isinstance(data, (xr.DataArray, str, np.ndarray)) or not isinstance(data, Iterable):
        given = {0: data}
    else:
        given = dict(enumerate(data))
    if not given:
        raise RecordingError("traces of an animal or more", "none", "pass a DataArray (time, unit), or several")
    for one in given.values():
        if not isinstance(one, xr.DataArray):
            raise RecordingError("DataArrays (time, unit)", type(one).__name__, "pass e.g. rec['calcium']['dff']")
    return given


def _identified(given: dict[Any, xr.DataArray], identities: str | None) -> dict[Any, xr.DataArray]:
    """Labels that say which units of several animals are the same."""
    own = {name: _labels(one) for name, one in given.items()}
    if identities == "own":
        return {name: _relabelled(one, [f"{name}:{label}" for label in own[name]]) for name, one in given.items()}
    number = [isinstance(label, (int, float)) for labels in own.values() for label in labels]
    shared = sum(map(len, own.values())) - len(set().union(*map(set, own.values())))
    if identities is None and shared and all(number):
        warnings.warn(
            f"{shared} numbers of units are in more than one animal and are taken as the same unit there; "
            "identities='own' keeps the animals' units apart, identities='label' says that this is meant",
            NeurodataWarning,
            stacklevel=4,
        )
    if identities != "own" and not shared:
        warnings.warn(
            "animals without a unit in common by label: no motif can span them",
            NeurodataWarning,
            stacklevel=4,
        )
    if any(number) and not all(number):
        raise RecordingError("labels of one kind", "numbers and text", "name the units of all animals alike")
    return given


def _labels(one: xr.DataArray) -> list[Any]:
    item = next((d for d in ITEM_DIMS if d in one.dims), None)
    return [] if item is None else labels_of(one, item).tolist()


def _relabelled(one: xr.DataArray, names: list[str]) -> xr.DataArray:
    item = next(d for d in ITEM_DIMS if d in one.dims)
    return one.assign_coords({item: names})


def _one_clock(streams: tuple[AffinityStream, ...]) -> bool:
    first = streams[0].time
    step = float(np.median(np.diff(first))) if len(first) > 1 else 0.0
    return all(
        len(one.time) == len(first) and np.allclose(one.time, first, rtol=0.0, atol=1e-6 + 1e-3 * step)
        for one in streams
    )
