"""What the bi-clustering sampler is given and what it changes."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np

from neurodata.kernels.bicluster_nb import count_table


@dataclass(frozen=True)
class Counts:
    """Data of the sampler.

    Attributes
    ----------
    counts : array (unit, bin), int32
        -1 where not observed.
    starts : array (sequence + 1,)
        First bin of each sequence, and the number of bins last.
    table : array (unit, largest count + 1)
        How often each unit has each count.
    """

    counts: np.ndarray
    starts: np.ndarray
    table: np.ndarray

    @classmethod
    def of(cls, counts: np.ndarray, starts: np.ndarray) -> Counts:
        """From counts (unit, bin) and the first bins of the sequences."""
        counts = np.ascontiguousarray(counts, dtype=np.int32)
        table = np.empty((len(counts), max(0, int(counts.max(initial=0))) + 1), dtype=np.int64)
        count_table(counts, table)
        return cls(counts, np.asarray(starts, dtype=np.int64), table)


@dataclass
class State:
    """Everything that is unknown. Clusters live in slots, of which those without units mean nothing.

    Attributes
    ----------
    dispersion, baseline : array (unit,)
        r and d.
    loading : array (unit, latent)
        c.
    cluster : array (unit,)
        Slot of each unit's cluster.
    x : array (slot, bin, m)
        Trajectories: common course first, then the latent factors.
    transition, offset, noise : array (slot, state, m, m), (slot, state, m), (slot, state, m, m)
        A, b and Q.
    path : array (bin,)
        State of each bin, which is that of the step into it.
    beta, switch : array (state,), (state, state)
        Weights that the rows of the transition matrix share, and the matrix.
    mass, stick, gamma : float
        ``alpha + kappa``, ``kappa / (alpha + kappa)``, and the concentration of `beta`.
    """

    dispersion: np.ndarray
    baseline: np.ndarray
    loading: np.ndarray
    cluster: np.ndarray
    x: np.ndarray
    transition: np.ndarray
    offset: np.ndarray
    noise: np.ndarray
    path: np.ndarray
    beta: np.ndarray
    switch: np.ndarray
    mass: float
    stick: float
    gamma: float

    def copy(self) -> State:
        """The same in arrays of its own."""
        return copy.deepcopy(self)

    def clusters(self) -> np.ndarray:
        """Slots that have units."""
        return np.unique(self.cluster)
