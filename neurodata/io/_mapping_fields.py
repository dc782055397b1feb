"""The variables that a mapping names for one node, and how their axes are told apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from neurodata.errors import MissingOptionError, OptionError, RecordingError
from neurodata.io._paths import Leaf, Match

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
# How files spell the units of times.
_TIME_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "s"),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), "ms"),
    **dict.fromkeys(("us", "usec", "µs", "μs", "microsecond", "microseconds"), "us"),
}


@dataclass(frozen=True)
class MappingOptions:
    """What the caller states besides the mapping; see `read_mapping`."""

    dims: Any = None
    sampling_rate: Any = None
    start: float = 0.0
    time_unit: str | None = None
    bin_width: float | None = None
    signal_unit: str | None = None
    sort: bool = False
    support: Any = None


class Fields:
    """The mapped variables of one node, and the sizes of its axes as far as they are known."""

    def __init__(self, node: str, matches: dict[str, Match], options: MappingOptions) -> None:
        self.node, self.matches, self.options = node, dict(matches), options
        rate = options.sampling_rate
        self.sampling_rate = rate.get(node) if isinstance(rate, Mapping) else rate
        self.time = self.times("time")
        self.n_times = None if self.time is None else self.time.size

    def __contains__(self, variable: str) -> bool:
        return variable in self.matches

    def pop(self, variable: str) -> Match | None:
        return self.matches.pop(variable, None)

    def single(self, variable: str) -> Leaf | None:
        """The one leaf of a variable that takes no `*`."""
        match = self.pop(variable)
        if match is None:
            return None
        if match.starred:
            raise OptionError(f"one array for {self.node}/{variable}", "a path with *", "name one array")
        return match.leaves[0][1]

    def vector(self, variable: str) -> np.ndarray | None:
        """A one-dimensional variable; rows and columns of MATLAB become one axis."""
        leaf = self.single(variable)
        return None if leaf is None else self.flat(leaf, variable)

    def flat(self, leaf: Leaf, variable: str) -> np.ndarray:
        array = np.asarray(leaf.read())
        if array.size and array.ndim > 1 and sum(size != 1 for size in array.shape) > 1:
            raise RecordingError(
                f"{self.node}/{variable} to be a vector",
                f"shape {leaf.shape}",
                "take one column with a slice such as 'path[:, 0]'",
            )
        return array.reshape(-1)

    def scale(self, leaf: Leaf, variable: str) -> float:
        """Factor that turns times of a leaf into s: stated by the caller, else by the file, else they are s."""
        stated = self.options.time_unit
        if stated == "sample":
            if self.sampling_rate is None:
                raise MissingOptionError("the sampling rate of times in samples", "none", "pass sampling_rate= (Hz)")
            return 1.0 / self.sampling_rate
        unit = stated if stated is not None else (_TIME_UNITS.get(leaf.unit) if leaf.unit else "s")
        if unit not in SECONDS:
            raise OptionError(
                "times in 's', 'ms', 'us' or 'sample'",
                f"{self.node}/{variable} in {stated or leaf.unit!r}",
                "state the unit with time_unit=",
            )
        return SECONDS[unit]

    def times(self, variable: str) -> np.ndarray | None:
        if variable not in self:
            return None
        leaf = self.matches[variable].leaves[0][1]
        factor = self.scale(leaf, variable)
        values = self.vector(variable)
        assert values is not None
        values = values.astype(np.float64)
        return values if factor == 1.0 else values * factor

    def stated_dims(self, variable: str, n_dims: int, allowed: tuple[str, ...]) -> tuple[str, ...] | None:
        dims = self.options.dims
        if isinstance(dims, Mapping):
            dims = dims.get(f"{self.node}/{variable}")
        if dims is None:
            return None
        dims = tuple(dims)
        if len(dims) != n_dims or len(set(dims)) != n_dims or not set(dims) <= set(allowed):
            raise OptionError(f"{n_dims} dims out of {allowed} for {self.node}/{variable}", f"{dims}", "correct dims=")
        return dims

    def matrix(self, variable: str, item: str, n_items: int | None = None) -> tuple[Any, np.ndarray | None]:
        """A variable as (time, item), and the ids of the items when a `*` found them."""
        match = self.pop(variable)
        assert match is not None
        if match.starred:
            columns = [self.flat(leaf, variable) for _, leaf in match.leaves]
            sizes = {column.size for column in columns}
            if len(sizes) > 1:
                raise RecordingError(
                    f"arrays of one length in {self.node}/{variable}", f"lengths {sorted(sizes)}", "check the path"
                )
            self.know(variable, sizes.pop())
            return np.stack(columns, axis=1), match.ids()
        leaf = match.leaves[0][1]
        if len(leaf.shape) == 1:
            self.know(variable, leaf.shape[0])
            return leaf.read()[:, None], None
        if len(leaf.shape) != 2:
            raise RecordingError(
                f"{self.node}/{variable} with dims time and {item}", f"shape {leaf.shape}", "take a slice of it"
            )
        dims = self.stated_dims(variable, 2, ("time", item)) or self._match(leaf, variable, item, n_items)
        self.know(variable, leaf.shape[dims.index("time")])
        swap = dims[0] != "time"
        if leaf.lazy is not None:
            return leaf.lazy(swap), None
        array = leaf.read()
        return (array.T if swap else array), None

    def know(self, variable: str, n_times: int) -> None:
        if self.n_times is not None and n_times != self.n_times:
            raise RecordingError(
                f"{self.n_times} times in {self.node}/{variable}, as in the rest of the node",
                f"{n_times}",
                "check the paths and dims=",
            )
        self.n_times = n_times

    def _match(self, leaf: Leaf, variable: str, item: str, n_items: int | None) -> tuple[str, str]:
        known, other, dim = (self.n_times, item, "time") if self.n_times is not None else (n_items, "time", item)
        key = f"{self.node}/{variable}"
        if known is None:
            raise MissingOptionError(
                f"to know which axis of {key} is time",
                f"shape {leaf.shape} and no times to match it to",
                f'pass dims={{"{key}": ("time", "{item}")}}, or in the other order, or map {self.node}/time',
            )
        fits = [axis for axis in (0, 1) if leaf.shape[axis] == known]
        if not fits:
            raise RecordingError(
                f"{key} with an axis of {known} ({dim})", f"shape {leaf.shape}", "check the paths of the mapping"
            )
        if len(fits) == 2:
            raise MissingOptionError(
                f"to know which axis of {key} is {dim}",
                f"shape {leaf.shape}, where both fit {known}",
                f'pass dims={{"{key}": ("time", "{item}")}}, or in the other order',
            )
        return (dim, other) if fits[0] == 0 else (other, dim)

    def clock(self) -> dict[str, Any]:
        """Keywords of the constructors that say when samples were taken."""
        if self.time is not None:
            return {"time": self.time}
        if self.sampling_rate is None:
            raise MissingOptionError(
                f"the times of {self.node}, or their sampling rate",
                "neither",
                f"map {self.node}/time, or pass sampling_rate= (Hz)",
            )
        return {"sampling_rate": self.sampling_rate, "start": self.options.start}

    def item_coords(self, ids: np.ndarray | None) -> dict[str, Any]:
        """What is left: one value per item, by position or, with a `*`, by id."""
        coords: dict[str, Any] = {}
        for variable in list(self.matches):
            match = self.matches[variable]
            if not match.starred:
                values = self.vector(variable)
                assert values is not None
                coords[variable] = values
                continue
            own = dict(zip(match.ids().tolist(), (leaf for _, leaf in match.leaves), strict=True))
            wanted = list(own) if ids is None else ids.tolist()
            if set(own) != set(wanted):
                raise RecordingError(
                    f"{self.node}/{variable} for the same ids as the data",
                    f"{sorted(set(map(str, set(own) ^ set(wanted))))[:5]} are in one only",
                    "check the paths",
                )
            self.pop(variable)
            columns = [self.flat(own[item], variable) for item in wanted]
            if any(column.size != 1 for column in columns):
                raise RecordingError(f"one value of {self.node}/{variable} per id", "more or none", "check the path")
            coords[variable] = np.array([column[0] for column in columns])
        return coords
