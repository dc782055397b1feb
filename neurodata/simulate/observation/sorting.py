"""Spike sorting: missed and foreign spikes, merged and split units, blind time of a channel, jitter."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import xarray as xr

from neurodata.containers.spikes import make_spikes
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.observation_nb import outside_dead_time
from neurodata.simulate._json import register
from neurodata.simulate.observation.base import Stage, retold, spikes_of, support_of, with_nodes
from neurodata.simulate.truth import truth_of

_ROUNDS = 50  # of drawing false spikes again that a blind channel could not have seen


@register
@dataclass(frozen=True)
class Sorting(Stage):
    r"""Extracellular spikes after sorting.

    Units are put on channels by the positions in `/truth`, `channels` neighbours on each. In this order:

    1. Each spike is missed with a chance that grows within bursts, where amplitudes decline:
       :math:`p \propto 1 + b\,e^{-ISI/\tau}`, scaled for each unit so that `miss` is its expected share of misses.
    2. A channel sees nothing for `dead_time` after each spike that it detects. This leaves a trough around lag 0 in
       the cross-correlograms of neighbours that is no inhibition (Bar-Gad et al. 2001,
       doi 10.1016/S0165-0270(01)00339-9).
    3. Foreign spikes are added: `contamination` is their expected share among the recorded spikes of the unit.
    4. Some neighbours are merged, some units are split at random in two parts.
    5. Times jitter.

    The default shares are chosen as typical of well-isolated to average units; they are not taken from one source.

    Parameters
    ----------
    miss : float
        Expected share of spikes missed, 0 to below 1.
    burst : float
        b above: how much likelier a spike is missed right after another. Where a chance would exceed 1, it is 1, and
        the others are raised to keep the mean.
    burst_decay : float
        :math:`\tau`, s.
    contamination : float
        Expected share of foreign spikes among those recorded, 0 to below 1.
    source : {"poisson", "neighbours"}
        Foreign spikes at random times, or taken from the spikes of other units on the channel, which lose them (the
        share is then that of the channel: a quiet unit beside a busy one gets no more than its own share).
    merge : float or int
        A float is the chance of each unit to be merged with a neighbour, an int the number of merged pairs.
    split : float or int
        A float is the chance of each unit (that is not merged) to be split, an int the number of split units.
    dead_time : float
        s; 0 for none.
    channels : int
        Units per channel.
    jitter : float
        Standard deviation, s; times stay within the recording.
    min_spikes : int
        Units with fewer recorded spikes are not found by the sorter.

    Notes
    -----
    `/truth` then has, per unit: `missed_fraction` and `censored_fraction` (of the spikes of its neurons; step 1 and,
    of those left, step 2), `stolen_fraction` (of those left then, taken by neighbours), `false_positive_fraction` (of
    the recorded spikes), `merged`, `split`. Halves of a split share the figures of the whole, except for the last.
    Unit ids are numbers from 0 in the order of the channels, as a sorter gives them; they say nothing of the neuron.

    Examples
    --------
    >>> from neurodata.simulate import Sorting, observe, run, zoo
    >>> seen = observe(run(zoo.null(n=10, rng=0), 5.0, rng=0), [Sorting(merge=1, split=0)], rng=1)
    >>> seen["truth"]["unit_neuron"].shape
    (9, 2)
    """

    miss: float = 0.1
    burst: float = 2.0
    burst_decay: float = 0.02
    contamination: float = 0.05
    source: str = "poisson"
    merge: float | int = 0.05
    split: float | int = 0.05
    dead_time: float = 0.001
    channels: int = 4
    jitter: float = 5e-5
    min_spikes: int = 1

    once: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._require_share("miss", "contamination")
        self._require_finite("burst", "burst_decay", "merge", "split", "dead_time", "jitter")
        for name in ("burst", "dead_time", "jitter"):
            self._require(getattr(self, name) >= 0, f"{name} of 0 or more", name)
        self._require(self.burst_decay > 0, "a positive burst_decay in s", "burst_decay")
        self._require(self.dead_time < 0.1 and self.jitter < 0.1, "dead_time and jitter in s, below 0.1", "dead_time")
        self._require(self.source in ("poisson", "neighbours"), "source 'poisson' or 'neighbours'", "source")
        for name in ("merge", "split"):
            value = getattr(self, name)
            self._require(
                value >= 0 and (isinstance(value, (int, np.integer)) or value <= 1),
                f"{name} as a share (float up to 1) or a number (int)", name,
            )  # fmt: skip
        for name, least in (("channels", 1), ("min_spikes", 0)):
            value = getattr(self, name)
            whole = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
            self._require(whole and value >= least, f"{name} as a whole number of {least} or more", name)
        if self.source == "neighbours" and self.contamination > 0 and self.channels < 2:
            raise OptionError("2 or more units per channel for source='neighbours'", "channels=1", "pass channels=")

    def apply(self, rec: xr.DataTree, rng: np.random.Generator) -> xr.DataTree:
        """Spikes as a sorter gives them; see `Stage.apply`."""
        spikes = spikes_of(rec, self)
        support = support_of(spikes)
        truth = truth_of(rec)
        streams = dict(zip(("place", "miss", "false", "units", "jitter"), rng.spawn(5), strict=True))
        sources = truth["unit_neuron"].values
        n_units = sources.shape[0]
        order, channel = _places(truth, sources[:, 0], self.channels, streams["place"])
        time = spikes["spike_time"].values
        unit = np.repeat(np.arange(n_units), spikes["spike_count"].values)

        fired = np.bincount(unit, minlength=n_units)
        seen = streams["miss"].random(time.size) >= self._miss_chance(time, unit, fired)
        time, unit = time[seen], unit[seen]
        crossed = np.bincount(unit, minlength=n_units)
        by_channel = np.lexsort((time, channel[unit]))
        time, unit = time[by_channel], unit[by_channel]
        if self.dead_time > 0:
            seen = outside_dead_time(time, channel[unit], self.dead_time)
            time, unit = time[seen], unit[seen]
        detected = np.bincount(unit, minlength=n_units)
        foreign = np.zeros(time.size, dtype=bool)
        if self.contamination > 0 and self.source == "poisson":
            time, unit, foreign = self._add_noise(time, unit, detected, channel, support, streams["false"])
        elif self.contamination > 0:
            unit, foreign = self._take_from_neighbours(unit, detected, channel, streams["false"])
        own = np.bincount(unit[~foreign], minlength=n_units)

        label, whole, merged = self._relabel(unit, order, channel, streams["units"])
        n_found = whole.shape[0]
        recorded = np.bincount(label, minlength=n_found)
        false = np.bincount(label[foreign], minlength=n_found)
        if self.jitter > 0:
            time = _jittered(time, support, self.jitter, streams["jitter"])
        found = np.flatnonzero(recorded >= self.min_spikes)
        if not found.size:
            raise RecordingError(
                f"a unit with {self.min_spikes} or more recorded spikes", "none", "record longer, or lower min_spikes="
            )
        number = np.full(n_found, -1)
        number[found] = np.arange(found.size)
        kept = number[label] >= 0
        time, row = time[kept], number[label[kept]]
        by_unit = np.lexsort((time, row))
        node = make_spikes(
            time[by_unit],
            spike_count=np.bincount(row, minlength=found.size),
            unit=np.arange(found.size),
            time_unit="s",
            support=support,
            channel=channel[whole[found, 0]],
        )

        def total(values: np.ndarray) -> np.ndarray:
            return np.where(whole >= 0, values[whole], 0).sum(axis=1)[found]

        facts = {
            "missed_fraction": _share(total(fired) - total(crossed), total(fired)),
            "censored_fraction": _share(total(crossed) - total(detected), total(crossed)),
            "stolen_fraction": _share(total(detected) - total(own), total(detected)),
            "false_positive_fraction": _share(false[found], recorded[found]),
            "merged": merged[found] == 1,
            "split": merged[found] == -1,
        }
        changed = {
            "spikes": node,
            "truth": retold(truth, np.arange(found.size), _sources(sources, whole[found]), **facts),
        }
        return with_nodes(rec, changed)

    def _miss_chance(self, time: np.ndarray, unit: np.ndarray, fired: np.ndarray) -> np.ndarray:
        """Chance of each spike to be missed, with mean `miss` in each unit."""
        if self.miss == 0 or not time.size:
            return np.zeros(time.size)
        weight = np.ones(time.size)
        same = unit[1:] == unit[:-1]
        weight[1:][same] += self.burst * np.exp(-np.diff(time)[same] / self.burst_decay)
        share = np.full(fired.size, self.miss)
        some = np.maximum(fired, 1)
        share *= some / np.maximum(np.bincount(unit, weights=weight, minlength=fired.size), 1e-300)
        chance = share[unit] * weight
        for _ in range(20):  # what a chance above 1 leaves over goes to the others of the unit
            high = chance >= 1
            if not (chance > 1).any():
                break
            full = np.bincount(unit, weights=high, minlength=fired.size)
            open_ = np.bincount(unit, weights=np.where(high, 0.0, chance), minlength=fired.size)
            factor = (self.miss * fired - full) / np.maximum(open_, 1e-300)
            chance = np.where(high, 1.0, chance * factor[unit])
        return chance

    def _add_noise(
        self, time: np.ndarray, unit: np.ndarray, detected: np.ndarray, channel: np.ndarray, support: np.ndarray,
        rng: np.random.Generator,
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
        """False spikes at random times at which the channel was not blind; sorted by channel and time."""
        odds = self.contamination / (1.0 - self.contamination)
        owner = np.repeat(np.arange(detected.size), rng.poisson(odds * detected))
        length = support[:, 1] - support[:, 0]
        foreign = np.zeros(time.size, dtype=bool)
        for _ in range(_ROUNDS):
            if not owner.size:
                break
            # Where in all of the recorded time, then in which stretch.
            at = rng.random(owner.size) * length.sum()
            epoch = np.minimum(np.searchsorted(np.cumsum(length), at, side="right"), length.size - 1)
            fresh = at - (np.cumsum(length) - length)[epoch] + support[epoch, 0]
            time, unit = np.concatenate((time, fresh)), np.concatenate((unit, owner))
            foreign = np.concatenate((foreign, np.ones(owner.size, dtype=bool)))
            tried = np.concatenate((np.zeros(foreign.size - owner.size, dtype=bool), np.ones(owner.size, dtype=bool)))
            order = np.lexsort((time, channel[unit]))
            time, unit, foreign, tried = time[order], unit[order], foreign[order], tried[order]
            blind = np.zeros(time.size, dtype=bool)
            close = (np.diff(time) < self.dead_time) & (np.diff(channel[unit]) == 0)
            blind[1:] |= close & tried[1:]
            blind[:-1] |= close & tried[:-1]
            owner = unit[blind]
            time, unit, foreign = time[~blind], unit[~blind], foreign[~blind]
        if owner.size:
            raise OptionError(
                "channels with time left for false spikes",
                f"{owner.size} that found no place beside the dead time of {self.dead_time:g} s",
                "pass fewer channels=, a shorter dead_time=, or less contamination=",
            )
        return time, unit, foreign

    def _take_from_neighbours(
        self, unit: np.ndarray, detected: np.ndarray, channel: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Spikes handed to another unit of the channel, in proportion to what each of those has."""
        given = rng.random(unit.size) < self.contamination
        new = unit.copy()
        # Spikes come sorted by channel.
        bounds = np.searchsorted(channel[unit], np.arange(channel.max() + 2))
        for c, (begin, end) in enumerate(zip(bounds[:-1], bounds[1:], strict=True)):
            members = np.flatnonzero(channel == c)
            mine = begin + np.flatnonzero(given[begin:end])
            for u in members:
                leaving = mine[unit[mine] == u]
                others = members[members != u]
                # Each unit receives the share of its own size, so that contamination is alike for quiet and busy ones.
                weight = detected[others].astype(np.float64)
                if leaving.size and weight.sum() > 0:
                    new[leaving] = rng.choice(others, size=leaving.size, p=weight / weight.sum())
        return new, new != unit

    def _relabel(
        self, unit: np.ndarray, order: np.ndarray, channel: np.ndarray, rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The found unit of each spike; the units (found, 2) behind it; 1 merged, -1 split, 0 as it was."""
        n_units = order.size
        # Neighbours in the order of places, on one channel; pairs do not overlap.
        start = int(rng.integers(2)) if n_units > 2 else 0
        pairs = [(order[i], order[i + 1]) for i in range(start, n_units - 1, 2)]
        if self.channels > 1:
            pairs = []
            for c in dict.fromkeys(channel[order]):
                members = rng.permutation(order[channel[order] == c])
                pairs += list(zip(members[0::2], members[1::2], strict=False))
        n_merged = _number(self.merge, n_units / 2, len(pairs), "merge", "pairs of neighbours", rng)
        joined = [pairs[i] for i in rng.permutation(len(pairs))[:n_merged]]
        apart = np.setdiff1d(np.arange(n_units), np.array(joined, dtype=np.int64).reshape(-1))
        n_split = _number(self.split, apart.size, apart.size, "split", "units that are not merged", rng)
        halved = rng.permutation(apart)[:n_split]

        group = {int(u): [int(u), -1, 0] for u in order}
        for a, b in joined:
            group[int(a)] = [int(a), int(b), 1]
            del group[int(b)]
        rows: list[list[int]] = []
        for u in order:
            if int(u) in group:
                row = group[int(u)]
                rows += [[row[0], -1, -1]] * 2 if u in halved else [row]
        table = np.array(rows, dtype=np.int64)
        label_of = np.zeros(n_units, dtype=np.int64)
        for i in range(len(rows) - 1, -1, -1):  # the first half of a split wins, the second is drawn below
            label_of[table[i, 0]] = i
            if table[i, 1] >= 0:
                label_of[table[i, 1]] = i
        label = label_of[unit]
        share = np.full(n_units, 1.0)
        share[halved] = rng.uniform(0.2, 0.8, size=halved.size)
        label = label + (rng.random(unit.size) >= share[unit])
        return label, table[:, :2], table[:, 2]


def _places(
    truth: xr.Dataset, first: np.ndarray, per_channel: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Units in the order of their place (ties at random), and the channel of each unit."""
    position = truth["position"].values.astype(np.float64) if "position" in truth else np.zeros(truth.sizes["neuron"])
    order = np.lexsort((rng.random(first.size), np.nan_to_num(position[first])))
    channel = np.empty(first.size, dtype=np.int64)
    # No channel holds fewer than asked for (a single one could have no neighbour).
    parts = [rng.permutation(part) for part in np.array_split(order, max(1, first.size // per_channel))]
    order = np.concatenate(parts)
    channel[order] = np.repeat(np.arange(len(parts)), [part.size for part in parts])
    return order, channel


def _number(value: float | int, trials: float, most: int, name: str, of: str, rng: np.random.Generator) -> int:
    if isinstance(value, (int, np.integer)):
        if value > most:
            raise OptionError(f"at most {most} {of}", f"{name}={value}", f"pass a smaller {name}=")
        return int(value)
    return min(most, int(rng.binomial(round(trials), value)))


def _jittered(time: np.ndarray, support: np.ndarray, sd: float, rng: np.random.Generator) -> np.ndarray:
    epoch = np.maximum(np.searchsorted(support[:, 0], time, side="right") - 1, 0)
    return np.clip(time + sd * rng.standard_normal(time.size), support[epoch, 0], support[epoch, 1])


def _sources(before: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Neurons behind each found unit from those of the units before, padded with -1, padding last."""
    halves = [np.where(column[:, None] >= 0, before[np.maximum(column, 0)], -1) for column in whole.T]
    wide = np.concatenate(halves, axis=1)
    wide = np.take_along_axis(wide, np.argsort(wide < 0, axis=1, kind="stable"), axis=1)
    return wide[:, : max(1, int((wide >= 0).sum(axis=1).max()))]


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)
