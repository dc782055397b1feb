"""What a metric is: a name, what it needs of the claims and of the truth, a function, and its value by chance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import xarray as xr

Score: TypeAlias = Callable[[xr.Dataset, xr.Dataset], float]
Chance: TypeAlias = Callable[[xr.Dataset], float]
Better: TypeAlias = Literal["higher", "lower", "zero"]


@dataclass(frozen=True)
class _WhereItApplies:
    """A score that is NaN where the claims or the truth lack what it needs."""

    needs: tuple[str, ...]
    truth: tuple[str, ...]
    score: Score

    def __call__(self, claims: xr.Dataset, truth: xr.Dataset) -> float:
        known = all(name in claims for name in self.needs) and all(name in truth for name in self.truth)
        return float(self.score(claims, truth)) if known else float("nan")


@dataclass(frozen=True)
class Metric:
    """One number that compares what a model claims with what is true.

    Parameters
    ----------
    name : str
    needs : tuple of str
        Variables of the claims without which the metric does not apply.
    function : callable
        ``function(claims, truth) -> float``; NaN where the truth leaves the metric without meaning. It is only called
        when everything needed is there; `Metric.function` itself is then NaN.
    truth : tuple of str
        Variables of the truth without which the metric does not apply.
    chance : float, callable or None
        What a model that knows nothing gets; a callable takes the truth. None where that has no general value.
    better : {"higher", "lower", "zero"}
        Which values are good; "zero" is nearest to zero.
    bounds : (float, float)
        Range of the values.

    Examples
    --------
    >>> import xarray as xr
    >>> same = Metric("same", ("cluster",), lambda c, t: float((c.cluster == t.cluster).mean()), truth=("cluster",))
    >>> found, true = xr.Dataset({"cluster": ("unit", [0, 1])}), xr.Dataset({"cluster": ("unit", [0, 0])})
    >>> same(found, true), same(xr.Dataset(), true)
    (0.5, nan)
    """

    name: str
    needs: tuple[str, ...]
    function: Score
    truth: tuple[str, ...] = ()
    chance: float | Chance | None = None
    better: Better = "higher"
    bounds: tuple[float, float] = (-np.inf, np.inf)

    def __post_init__(self) -> None:
        if not isinstance(self.function, _WhereItApplies):
            object.__setattr__(self, "function", _WhereItApplies(self.needs, self.truth, self.function))

    def __call__(self, claims: xr.Dataset, truth: xr.Dataset) -> float:
        """The value, NaN where the metric does not apply."""
        return self.function(claims, truth)

    def chance_level(self, truth: xr.Dataset) -> float:
        """What a model that knows nothing gets against this truth; NaN when unknown."""
        if self.chance is None or not all(name in truth for name in self.truth):
            return float("nan")
        return float(self.chance(truth) if callable(self.chance) else self.chance)
