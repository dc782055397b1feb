"""Stages of observation that make a twin's data those of its recording: its neurons, its bins."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.simulate._json import register
from neurodata.simulate.observation.base import Stage, per_unit_facts, retold, spikes_of, with_nodes
from neurodata.simulate.truth import truth_of


@register
@dataclass(frozen=True, eq=False)
class Recorded(Stage):
    """Record certain units and lose the rest.

    Parameters
    ----------
    unit : array (unit,), int
        Rows of the units to keep, in the order in which they are to come. They are numbered from 0.

    Examples
    --------
    >>> from neurodata.simulate import observe, run, zoo
    >>> rec = observe(run(zoo.null(n=5, rng=0), 1.0, rng=0), [Recorded([3, 1])], rng=0)
    >>> rec["truth"]["unit_neuron"].values.tolist()
    [[3], [1]]
    """

    unit: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=np.int64))

    def __post_init__(self) -> None:
        object.__setattr__(self, "unit", np.asarray(self.unit, dtype=np.int64).reshape(-1))
        if self.unit.size == 0 or np.unique(self.unit).size != self.unit.size or self.unit.min() < 0:
            raise OptionError("rows of different units", f"{self.unit[:5].tolist()}", "pass unit=")

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """The chosen units; see `Stage.apply`."""
        from neurodata.containers.spikes import make_spikes, unit_slices

        truth, spikes = truth_of(rec), spikes_of(rec, self)
        if self.unit.max() >= spikes.sizes["unit"]:
            raise OptionError(
                f"rows below {spikes.sizes['unit']}, the number of units", f"{self.unit.max()}", "pass other unit="
            )
        parts = unit_slices(spikes)
        time = spikes["spike_time"].values
        ids = np.arange(self.unit.size)
        support = np.stack((spikes["support_start"].values, spikes["support_stop"].values), axis=1)
        node = make_spikes([time[parts[row]] for row in self.unit], unit=ids, time_unit="s", support=support)
        facts = per_unit_facts(truth, self.unit)
        return with_nodes(
            rec, {"spikes": node, "truth": retold(truth, ids, truth["unit_neuron"].values[self.unit], **facts)}
        )


@register
@dataclass(frozen=True)
class Binned(Stage):
    """Keep counts in bins instead of spike times, as for a recording that came so.

    Parameters
    ----------
    bin_width : float
        s.

    Examples
    --------
    >>> from neurodata.simulate import observe, run, zoo
    >>> rec = observe(run(zoo.null(n=5, rng=0), 1.0, rng=0), [Binned(0.5)], rng=0)
    >>> rec["spikes"]["counts"].sizes["time"]
    2
    """

    bin_width: float = 0.5

    def __post_init__(self) -> None:
        self._require_finite("bin_width")
        self._require(self.bin_width > 0, "a positive bin_width in s", "bin_width")

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """Counts; see `Stage.apply`."""
        from neurodata.preprocess import bin_spikes

        counts = bin_spikes(spikes_of(rec, self), self.bin_width)
        return with_nodes(rec, {"spikes": xr.Dataset({"counts": counts}, attrs={"bin_width": self.bin_width})})
