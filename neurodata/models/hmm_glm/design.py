"""The design matrix: a column of ones, each unit's recent counts weighted by each basis shape, and covariates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln

from neurodata.errors import RecordingError
from neurodata.models.sequences import CountSequences

# Rows made at a time: their sums stay in the cache.
_FILL_ROWS = 1024


@dataclass(frozen=True)
class Layout:
    """How columns are laid out: ones, (pre, basis) for coupling, (unit, self basis) when there is one, covariates.

    Attributes
    ----------
    basis : array (basis, lag)
        Coupling shapes; none, (0, lag), for units without couplings.
    self_basis : array (self basis, lag) or None
        Shapes of a unit's own history; None when it is coupled to itself as to any other unit.
    n_covariates : int
        Covariates; each has a coefficient of its own in every unit.
    """

    n_units: int
    basis: np.ndarray
    self_basis: np.ndarray | None
    n_covariates: int = 0

    @property
    def n_lags(self) -> int:
        """Longest history, bins."""
        return max(self.basis.shape[1], 0 if self.self_basis is None else self.self_basis.shape[1])

    @property
    def n_coupling(self) -> int:
        """Number of coupling columns."""
        return self.n_units * len(self.basis)

    @property
    def n_history(self) -> int:
        """Number of columns without the covariates, which come last."""
        return 1 + self.n_coupling + (0 if self.self_basis is None else self.n_units * len(self.self_basis))

    @property
    def n_columns(self) -> int:
        """Number of columns."""
        return self.n_history + self.n_covariates

    def free(self) -> np.ndarray | None:
        """Which coefficients (column, post) exist; None when all do."""
        if self.self_basis is None:
            return None
        own = np.eye(self.n_units, dtype=bool)
        free = np.ones((self.n_columns, self.n_units), dtype=bool)
        free[1 : 1 + self.n_coupling] = np.repeat(~own, len(self.basis), axis=0)
        free[1 + self.n_coupling : self.n_history] = np.repeat(own, len(self.self_basis), axis=0)
        return free

    def coefficients(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Coupling (state, post, pre, basis) and self coefficients (state, unit, self basis) of `theta`."""
        n_states, n_units = len(theta), self.n_units
        block = theta[:, 1 : 1 + self.n_coupling].reshape(n_states, n_units, len(self.basis), n_units)
        coupling = block.transpose(0, 3, 1, 2)
        if self.self_basis is None:
            return coupling.copy(), None
        own = theta[:, 1 + self.n_coupling : self.n_history].reshape(n_states, n_units, -1, n_units)
        return coupling.copy(), np.einsum("smjm->smj", own).copy()

    def covariates(self, theta: np.ndarray) -> np.ndarray:
        """Coefficients of the covariates, (state, unit, covariate)."""
        return theta[:, self.n_history :].transpose(0, 2, 1).copy()

    def theta(
        self,
        intercept: np.ndarray,
        coupling: np.ndarray,
        own: np.ndarray | None,
        covariates: np.ndarray | None = None,
    ) -> np.ndarray:
        """The inverse of `coefficients` and `covariates`: (state, column, post)."""
        n_states = len(intercept)
        parts = [intercept[:, None], coupling.transpose(0, 2, 3, 1).reshape(n_states, self.n_coupling, self.n_units)]
        if own is not None:
            block = np.zeros((n_states, self.n_units, own.shape[2], self.n_units))
            index = np.arange(self.n_units)
            block[:, index, :, index] = own.transpose(1, 0, 2)
            parts.append(block.reshape(n_states, -1, self.n_units))
        if covariates is not None:
            parts.append(covariates.transpose(0, 2, 1))
        return np.concatenate(parts, axis=1)

    def filters(self, coupling: np.ndarray, own: np.ndarray | None) -> np.ndarray:
        """Filters (state, post, pre, lag)."""
        filters = np.zeros((*coupling.shape[:3], self.n_lags))
        filters[..., : self.basis.shape[1]] = coupling @ self.basis
        if own is not None and self.self_basis is not None:
            index = np.arange(self.n_units)
            filters[:, index, index] = 0.0
            filters[:, index, index, : self.self_basis.shape[1]] = own @ self.self_basis
        return filters


@dataclass(frozen=True)
class Design:
    """Rows of the regression: bins whose count and whole history were observed.

    Attributes
    ----------
    columns : array (row, column), float64
    counts : array (row, unit), int32
        -1 where not observed.
    row_bin : array (row,)
        Bin of the chain that each row belongs to. Other bins say nothing about the state by themselves.
    starts : array (sequence + 1,)
        First bin of each sequence, and the number of bins last.
    constant : float
        The part ``-sum log x!`` of the log-likelihood.
    """

    columns: np.ndarray
    counts: np.ndarray
    row_bin: np.ndarray
    starts: np.ndarray
    constant: float

    @property
    def n_bins(self) -> int:
        """Bins of the chain."""
        return int(self.starts[-1])

    @property
    def n_observed(self) -> np.ndarray:
        """Observed counts of each unit."""
        return (self.counts >= 0).sum(axis=0)

    @property
    def n_spikes(self) -> np.ndarray:
        """Spikes of each unit."""
        return np.where(self.counts > 0, self.counts, 0).sum(axis=0)


def build_design(
    sequences: CountSequences, layout: Layout, covariates: np.ndarray | None = None, rate: np.ndarray | None = None
) -> Design:
    """Design matrix of count sequences.

    A count is used when it was observed and so was the history it is regressed on: the first `n_lags` bins of a
    sequence, and the bins after a missing count, are left out of the likelihood, and so are bins in which a covariate
    is NaN. Nothing is imputed. A unit without any observed count in a sequence is not part of that sequence: the others
    see it there at its mean count, a constant, so that their intercepts mean the same in all sequences.

    Parameters
    ----------
    sequences : CountSequences
    layout : Layout
    covariates : array (bin, covariate), optional
        As many as the layout has.
    rate : array (unit,), optional
        Mean count per bin of each unit, for sequences that it is not part of; by default that of these data. NaN and
        units never observed count as 0.

    Raises
    ------
    RecordingError
        When no bin has a complete history.
    """
    lags, counts = layout.n_lags, sequences.counts
    usable = np.zeros(len(counts), dtype=bool)
    for a, b in zip(sequences.starts[:-1], sequences.starts[1:], strict=True):
        usable[a:b] = _complete_history(counts[a:b], lags)
    usable &= (counts >= 0).any(axis=1)
    if covariates is not None:
        known = np.isfinite(covariates).all(axis=1)
        if usable.any() and not (usable & known).any():
            raise RecordingError(
                "at least one bin with all covariates and a complete history", "NaN in each", "check the covariates"
            )
        usable &= known
    row_bin = np.flatnonzero(usable)
    if not row_bin.size:
        longest = int(np.diff(sequences.starts).max())
        raise RecordingError(
            f"a stretch of more than {lags} fully observed bins (the history)",
            f"the longest sequence has {longest} bins" if longest <= lags else "missing counts in every such stretch",
            "shorten history=, or pass longer sequences",
        )
    columns = np.empty((len(row_bin), layout.n_columns))
    columns[:, 0] = 1.0
    absent = _stand_in(sequences, mean_count(counts) if rate is None else rate)
    _fill(columns[:, 1 : 1 + layout.n_coupling], counts, row_bin, absent, layout.basis)
    if layout.self_basis is not None:
        _fill(columns[:, 1 + layout.n_coupling : layout.n_history], counts, row_bin, absent, layout.self_basis)
    if covariates is not None:
        columns[:, layout.n_history :] = covariates[row_bin]
    used = np.ascontiguousarray(counts[row_bin])
    constant = -float(gammaln(used[used > 1] + 1.0).sum())
    return Design(columns, used, row_bin, sequences.starts, constant)


def mean_count(counts: np.ndarray) -> np.ndarray:
    """Mean of the observed counts of each unit; 0 for one never observed.

    Examples
    --------
    >>> mean_count(np.array([[1, -1], [2, -1]])).tolist()
    [1.5, 0.0]
    """
    return np.where(counts > 0, counts, 0).sum(axis=0) / np.maximum((counts >= 0).sum(axis=0), 1)


def recorded_together(sequences: CountSequences, design: Design) -> np.ndarray:
    """Pairs (post, pre) of which post was observed in a used bin of a sequence that pre is part of."""
    n_units = sequences.counts.shape[1]
    together = np.zeros((n_units, n_units), dtype=bool)
    edges = np.searchsorted(design.row_bin, design.starts)
    bins = zip(design.starts[:-1], design.starts[1:], strict=True)
    for (a, b), first, last in zip(bins, edges[:-1], edges[1:], strict=True):
        part = (sequences.counts[a:b] >= 0).any(axis=0)
        observed = np.asarray((design.counts[first:last] >= 0).any(axis=0))
        together |= observed[:, None] & part
    return together


@dataclass(frozen=True)
class _StandIn:
    """What units that a sequence is without are seen at: `value` (sequence, unit); `starts` of the sequences."""

    value: np.ndarray
    starts: np.ndarray
    needed: bool

    def __call__(self, bins: np.ndarray) -> np.ndarray:
        return self.value[np.searchsorted(self.starts, bins, side="right") - 1]


def _stand_in(sequences: CountSequences, rate: np.ndarray) -> _StandIn:
    """Mean counts for units in sequences that they are no part of, 0 elsewhere."""
    edges = zip(sequences.starts[:-1], sequences.starts[1:], strict=True)
    absent = np.stack([~(sequences.counts[a:b] >= 0).any(axis=0) for a, b in edges])
    return _StandIn(np.where(absent, np.nan_to_num(rate), 0.0), sequences.starts, bool(absent.any()))


def _complete_history(counts: np.ndarray, lags: int) -> np.ndarray:
    """Bins of one sequence for which the `lags` bins before were observed in all units the sequence has."""
    seen = counts >= 0
    broken = (~seen[:, seen.any(axis=0)]).any(axis=1)
    before = np.concatenate([[0], np.cumsum(broken)])
    bins = np.arange(len(counts))
    return (bins >= lags) & (before[bins] - before[np.maximum(bins - lags, 0)] == 0)


def _fill(columns: np.ndarray, counts: np.ndarray, row_bin: np.ndarray, absent: _StandIn, basis: np.ndarray) -> None:
    """``columns[:, pre * n_basis + j] = sum_k basis[j, k] * counts[bin - k - 1, pre]``, some rows at a time."""
    for a in range(0, len(row_bin), _FILL_ROWS):
        bins = row_bin[a : a + _FILL_ROWS]
        total = np.zeros((len(basis), len(bins), counts.shape[1]))
        for k in np.flatnonzero(basis.any(axis=0)):
            past = counts[bins - k - 1].astype(np.float64)
            if absent.needed:
                past = np.where(past < 0, absent(bins), past)
            for j in np.flatnonzero(basis[:, k]):
                total[j] += basis[j, k] * past
        columns[a : a + len(bins)] = total.transpose(1, 2, 0).reshape(len(bins), -1)
