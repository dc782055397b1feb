"""Recording only some of the neurons."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import xarray as xr

from neurodata.containers.spikes import make_spikes
from neurodata.errors import OptionError, RecordingError
from neurodata.simulate._json import register
from neurodata.simulate.observation.base import Stage, node_of, per_unit_facts, retold, with_nodes
from neurodata.simulate.truth import truth_of

_WAYS = ("random", "cluster", "rate", "patch")


@register
@dataclass(frozen=True)
class Subsample(Stage):
    """Record some of the units and lose the rest. Ids and order are kept.

    Parameters
    ----------
    fraction : float, optional
        Share of the units to keep, above 0 to 1; rounded, at least one unit.
    n : int, optional
        Number of units to keep, instead of `fraction`.
    by : {"random", "cluster", "rate", "patch"}
        random: each as likely as the others. cluster: whole known groups (`/truth` cluster; units of none are last),
        in random order, until there are enough; the last may be taken in part. rate: likelier the more spikes a unit
        has, so silent units are missed, as with electrodes. patch: the units nearest to a random place, by the
        positions in `/truth`.
    bias : float
        For ``by="rate"``: chances are as the count of spikes to this power; units without spikes are never kept
        unless there are too few others.

    Examples
    --------
    >>> from neurodata.simulate import Subsample, observe, run, zoo
    >>> seen = observe(run(zoo.null(n=10, rng=0), 1.0, rng=0), [Subsample(n=3)], rng=1)
    >>> seen["truth"]["observed"].values.sum(), seen["truth"]["unit_neuron"].shape
    (np.int64(3), (3, 1))
    """

    fraction: float | None = None
    n: int | None = None
    by: str = "random"
    bias: float = 1.0

    def __post_init__(self) -> None:
        if (self.fraction is None) == (self.n is None):
            raise OptionError("Subsample with fraction= or n=", "both" if self.n is not None else "neither", "pass one")
        if self.fraction is not None:
            self._require_finite("fraction")
            self._require(0 < self.fraction <= 1, "a fraction above 0, up to 1", "fraction")
        if self.n is not None:
            self._require(
                isinstance(self.n, (int, np.integer)) and not isinstance(self.n, bool) and self.n >= 1,
                "n of 1 or more", "n",
            )  # fmt: skip
        self._require(self.by in _WAYS, f"by of {', '.join(_WAYS)}", "by")
        self._require_finite("bias")
        self._require(self.bias >= 0, "a bias of 0 or more", "bias")

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """Some of the units; see `Stage.apply`."""
        truth = truth_of(rec)
        n_units = truth.sizes["unit"]
        wanted = max(1, round(self.fraction * n_units)) if self.n is None else self.n  # type: ignore[operator]
        if wanted > n_units:
            raise OptionError(f"at most the {n_units} units of the recording", f"n={wanted}", "pass a smaller n=")
        keep = np.sort(self._choose(rec, truth, wanted, rng))
        changed: dict[str, xr.Dataset | None] = {}
        if "spikes" in rec.children:
            changed["spikes"] = _some_spikes(node_of(rec, "spikes"), keep)
        if "calcium" in rec.children:
            changed["calcium"] = _some_rois(node_of(rec, "calcium"), keep)
        if not changed:
            raise RecordingError("spikes or calcium to take units from", f"{sorted(rec.children)}", "subsample earlier")
        changed["truth"] = retold(
            truth, truth["unit"].values[keep], truth["unit_neuron"].values[keep], **per_unit_facts(truth, keep)
        )
        return with_nodes(rec, changed)

    def _choose(self, rec: xr.DataTree, truth: xr.Dataset, wanted: int, rng: np.random.Generator) -> np.ndarray:
        n_units = truth.sizes["unit"]
        if self.by == "random":
            return rng.permutation(n_units)[:wanted]
        first = truth["unit_neuron"].values[:, 0]
        if self.by == "cluster":
            cluster = truth["cluster"].values[first]
            if (cluster < 0).all():
                raise OptionError("a circuit with clusters", "none in /truth", "pass by='random'")
            groups = rng.permutation(np.unique(cluster[cluster >= 0]))
            rank = {int(group): place for place, group in enumerate(groups)}
            place = np.array([rank.get(int(c), len(groups)) for c in cluster])
            return np.lexsort((rng.random(n_units), place))[:wanted]
        if self.by == "rate":
            if "spikes" not in rec.children:
                raise RecordingError(
                    "spikes to choose units by their rate", f"nodes {sorted(rec.children)}", "subsample before imaging"
                )
            count = node_of(rec, "spikes")["spike_count"].values.astype(np.float64)
            weight = np.where(count > 0, count**self.bias, 0.0)
            # Smallest of exponentials with these rates: successive draws without replacement.
            with np.errstate(divide="ignore"):
                wait = rng.exponential(size=n_units) / weight
            return np.lexsort((rng.random(n_units), wait))[:wanted]
        place = truth["position"].values.astype(np.float64)[first] if "position" in truth else np.full(n_units, np.nan)
        if not np.isfinite(place).all():
            raise OptionError("positions of all neurons in /truth", "none", "pass by='random'")
        # Positions are turns on a ring.
        distance = np.abs((place - rng.random() + 0.5) % 1.0 - 0.5)
        return np.lexsort((rng.random(n_units), distance))[:wanted]


def _some_spikes(spikes: xr.Dataset, keep: np.ndarray) -> xr.Dataset:
    count = spikes["spike_count"].values
    begin = np.concatenate(([0], np.cumsum(count)))
    kept = np.zeros(count.size, dtype=bool)
    kept[keep] = True
    mask = np.repeat(kept, count) if begin[-1] else np.zeros(0, dtype=bool)
    extra = {
        str(name): spikes[name].values[keep]
        for name in spikes.coords
        if name != "unit" and spikes[name].dims == ("unit",)
    }
    support = (
        np.stack((spikes["support_start"].values, spikes["support_stop"].values), axis=1)
        if "support_start" in spikes
        else None
    )
    return make_spikes(
        spikes["spike_time"].values[mask],
        spike_count=count[keep],
        unit=spikes["unit"].values[keep],
        time_unit="s",
        support=support,
        attrs=spikes.attrs,
        **extra,
    )


def _some_rois(calcium: xr.Dataset, keep: np.ndarray) -> xr.Dataset:
    return calcium.isel(roi=keep)
