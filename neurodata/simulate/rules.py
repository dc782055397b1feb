"""Who connects to whom: rules that draw the edges between two populations, and how weights and delays are drawn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from neurodata.errors import OptionError
from neurodata.simulate._json import register


def _probability(value: float, name: str) -> None:
    if not 0.0 <= value <= 1.0:
        raise OptionError(f"{name} between 0 and 1", f"{value!r}", "pass a probability")


@register
@dataclass(frozen=True)
class Bernoulli:
    """Each pair is connected with probability `p`, independently; never a neuron with itself."""

    p: float = 0.1

    def __post_init__(self) -> None:
        _probability(self.p, "p")


@register
@dataclass(frozen=True)
class FixedInDegree:
    """Each postsynaptic neuron gets `k` distinct presynaptic partners."""

    k: int = 100

    def __post_init__(self) -> None:
        if self.k < 0:
            raise OptionError("an in-degree of 0 or more", f"{self.k}", "pass k=")


@register
@dataclass(frozen=True)
class AllToAll:
    """Every pair but a neuron with itself."""


@register
@dataclass(frozen=True)
class OneToOne:
    """Neuron i of one population to neuron i of the other, of the same size."""


@register
@dataclass(frozen=True)
class Ring:
    """Connection probability falls with the distance on a ring: p_max exp(-d^2 / (2 width^2)), d in turns (0 to 0.5).

    Positions are those of the populations; `offset` (turns) shifts the centre, so that a ring can push one way.
    """

    p_max: float = 0.5
    width: float = 0.1
    offset: float = 0.0

    def __post_init__(self) -> None:
        _probability(self.p_max, "p_max")
        if not self.width > 0:
            raise OptionError("a positive width in turns", f"{self.width}", "pass width=")


@register
@dataclass(frozen=True)
class Hub:
    """Mean connection probability `p`, with out-degrees spread log-normally (`spread` = sd of the log): a few hubs."""

    p: float = 0.1
    spread: float = 1.0

    def __post_init__(self) -> None:
        _probability(self.p, "p")
        if self.spread < 0:
            raise OptionError("a spread of 0 or more", f"{self.spread}", "pass spread=")


@register
@dataclass(frozen=True, eq=False)
class Explicit:
    """The edges themselves, with their weights (signed, mV of PSP peak) and delays (s).

    Parameters
    ----------
    pre, post : array (edge,), int
        Neurons within their populations.
    weight : array (edge,)
        PSP peak, mV; the sign is the synapse's.
    delay : array (edge,)
        s.
    """

    pre: np.ndarray
    post: np.ndarray
    weight: np.ndarray
    delay: np.ndarray

    def __post_init__(self) -> None:
        for name, kind in (("pre", np.int64), ("post", np.int64), ("weight", np.float64), ("delay", np.float64)):
            object.__setattr__(self, name, np.ascontiguousarray(getattr(self, name), dtype=kind))
        sizes = {name: getattr(self, name).shape for name in ("pre", "post", "weight", "delay")}
        if len(set(sizes.values())) != 1 or self.pre.ndim != 1:
            raise OptionError("pre, post, weight and delay of one length", f"{sizes}", "pass one value per edge")
        bad = int((~np.isfinite(self.weight)).sum())
        if bad:
            raise OptionError("finite weights", f"{bad} NaN or infinite", "leave unknown edges out, or set them to 0")
        bad = int((~np.isfinite(self.delay)).sum())
        if bad:
            raise OptionError("finite delays", f"{bad} NaN or infinite", "give every edge a delay in s")


Rule: TypeAlias = Bernoulli | FixedInDegree | AllToAll | OneToOne | Ring | Hub | Explicit


@register
@dataclass(frozen=True)
class Weights:
    """Log-normal weights around a median; magnitudes, since the sign is the presynaptic population's.

    Parameters
    ----------
    median : float
        mV of PSP peak, or with ``unit="jump"`` the synapses' own unit (mV of input, or nS).
    sigma : float
        Standard deviation of the log; 0 gives every edge the same weight. About 0.5-1 in cortex.
    unit : {"psp", "jump"}
    """

    median: float
    sigma: float = 0.0
    unit: str = "psp"

    def __post_init__(self) -> None:
        if not np.isfinite(self.median) or self.median < 0:
            raise OptionError(
                "a finite weight of 0 or more", f"{self.median}", "the sign is the population's: pass sign=-1 there"
            )
        if not self.sigma >= 0:
            raise OptionError("a sigma of 0 or more", f"{self.sigma}", "pass sigma=")
        if self.unit not in ("psp", "jump"):
            raise OptionError("unit 'psp' or 'jump'", f"{self.unit!r}", "pass unit='psp' for mV of PSP peak")

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` magnitudes."""
        if self.sigma == 0.0:
            return np.full(n, self.median)
        return self.median * np.exp(self.sigma * rng.standard_normal(n))


@register
@dataclass(frozen=True)
class Delays:
    """Delays spread evenly between `low` and `high` (s)."""

    low: float = 0.001
    high: float = 0.004

    def __post_init__(self) -> None:
        if not (np.isfinite(self.low) and np.isfinite(self.high) and 0 < self.low <= self.high):
            raise OptionError(
                "delays with 0 < low <= high, in s", f"{self.low} to {self.high}", "pass Delays(low, high)"
            )

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """`n` delays, s."""
        return np.full(n, self.low) if self.low == self.high else rng.uniform(self.low, self.high, n)


def draw_edges(
    rule: Rule,
    n_pre: int,
    n_post: int,
    same: bool,
    pre_position: np.ndarray,
    post_position: np.ndarray,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Edges that a rule draws.

    Parameters
    ----------
    rule : Rule
    n_pre, n_post : int
    same : bool
        Whether both ends are one population; then no neuron connects to itself.
    pre_position, post_position : array (neuron,)
        Position on the ring in turns; used by `Ring`.
    rng : Generator

    Returns
    -------
    pre, post : array (edge,), int64
    """
    if isinstance(rule, Explicit):
        for name, index, n in (("pre", rule.pre, n_pre), ("post", rule.post, n_post)):
            if index.size and (index.min() < 0 or index.max() >= n):
                raise OptionError(
                    f"{name} neurons 0 to {n - 1}", f"{index.min()} to {index.max()}", "check the indices"
                )
        return rule.pre, rule.post
    if isinstance(rule, OneToOne):
        if n_pre != n_post:
            raise OptionError("two populations of one size", f"{n_pre} and {n_post}", "use another rule")
        if same:
            raise OptionError("two different populations for one-to-one", "the same one", "use another rule")
        return np.arange(n_pre), np.arange(n_post)
    if isinstance(rule, FixedInDegree):
        return _fixed_in_degree(rule.k, n_pre, n_post, same, rng)
    if isinstance(rule, Bernoulli):
        # The number of edges is binomial, and given it every set of pairs is as probable as any other.
        n_pairs = n_pre * (n_post - 1) if same else n_pre * n_post
        chosen = rng.choice(n_pairs, size=rng.binomial(n_pairs, rule.p), replace=False, shuffle=False)
        pre, post = np.divmod(np.sort(chosen), n_post - 1 if same else n_post)
        return pre, post + (same & (post >= pre))
    if isinstance(rule, AllToAll):
        probability = np.ones((n_pre, 1))
    elif isinstance(rule, Ring):
        gap = np.abs(post_position[None, :] - pre_position[:, None] - rule.offset) % 1.0
        gap = np.minimum(gap, 1.0 - gap)
        probability = rule.p_max * np.exp(-0.5 * (gap / rule.width) ** 2)
    else:
        strength = np.exp(rule.spread * rng.standard_normal((n_pre, 1)))
        probability = np.minimum(1.0, rule.p * strength / strength.mean())
    hit = rng.random((n_pre, n_post)) < probability
    if same:
        np.fill_diagonal(hit, False)
    pre, post = np.nonzero(hit)
    return pre, post


def _fixed_in_degree(
    k: int, n_pre: int, n_post: int, same: bool, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    possible = n_pre - 1 if same else n_pre
    if k > possible:
        raise OptionError(f"an in-degree of at most {possible}", f"{k}", "lower k")
    pre = np.empty((n_post, k), dtype=np.int64)
    for i in range(n_post):
        pre[i] = rng.choice(possible, size=k, replace=False, shuffle=False)
        if same:
            pre[i] += pre[i] >= i
    return pre.ravel(), np.repeat(np.arange(n_post), k)
