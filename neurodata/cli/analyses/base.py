"""What an analysis takes and gives; rendering it is the business of `neurodata.cli.report`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import xarray as xr

from neurodata.plot.html import Picture as Picture
from neurodata.plot.html import Table as Table
from neurodata.schema import modality_of


@dataclass(frozen=True)
class Settings:
    """What the user may set.

    Attributes
    ----------
    bin_width : float or None
        s; None = the analysis chooses.
    n_states : int
    rng : int
        Seed.
    limited : bool
        Whether an analysis may leave out units, channels or time, and say so, to end in minutes.
    """

    bin_width: float | None = None
    n_states: int = 3
    rng: int = 0
    limited: bool = True


@dataclass
class Result:
    """What an analysis found.

    Attributes
    ----------
    verdict : list of str
        The answer in sentences, with numbers, the most important first.
    pictures, tables
        In the order to show them.
    data : Dataset
        Everything that was computed, with labels.
    settings : dict
        What was set or chosen, for the report.
    caveats : list of str
        What the answer does not say.
    """

    verdict: list[str]
    pictures: list[Picture] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    data: xr.Dataset = field(default_factory=xr.Dataset)
    settings: dict[str, Any] = field(default_factory=dict)
    caveats: list[str] = field(default_factory=list)


# Told of each step of an analysis: what is being done.
Step = Callable[[str], None]


@dataclass(frozen=True)
class Analysis:
    """One analysis.

    Attributes
    ----------
    name : str
        What `--analysis` takes.
    title, question : str
        For the report.
    lacks : callable
        ``lacks(recording)`` says in words what the recording lacks for it, "" when nothing.
    run : callable
        ``run(recording, settings, step) -> Result``.
    is_default : bool
        Whether it is run unasked on recordings that have what it needs.
    """

    name: str
    title: str
    question: str
    lacks: Callable[[xr.DataTree], str]
    run: Callable[[xr.DataTree, Settings, Step], Result]
    is_default: bool = True


def node_names(recording: xr.DataTree, modality: str) -> list[str]:
    """Names of the nodes of a modality."""
    return [name for name in recording.children if modality_of(name) == modality]


def node(recording: xr.DataTree, name: str) -> xr.Dataset:
    """One node as a Dataset of its own."""
    return recording.children[name].to_dataset(inherit=False)
