"""Affinities of all pairs over time that are made block by block, when they are needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.models.connectome.maker import Maker
from neurodata.models.connectome.table import Slot, Table, pair_labels

# A block of affinities takes at most about this, bytes.
_BLOCK_BYTES = 8 * 2**20


@dataclass(frozen=True, repr=False)
class AffinityStream:
    """Affinities (time, pair) as float32, made from traces a block of time at a time.

    `neurodata.models.NonnegativeCP` takes it as it stands: the tensor never exists. `to_dataarray` makes it.

    Attributes
    ----------
    time : array (time,)
        s.
    unit : array (unit,)
        Labels; `item` is the dim they were of (unit, roi, channel).
    observed : array (time, unit)
        A pair has an affinity where both are.
    """

    maker: Maker
    time: np.ndarray
    unit: np.ndarray
    item: str
    observed: np.ndarray
    attrs: dict[str, Any] = field(default_factory=dict)

    @property
    def sizes(self) -> dict[str, int]:
        """Sizes of the packed tensor."""
        return {"time": len(self.time), "pair": len(self.unit) * (len(self.unit) - 1) // 2}

    @property
    def nbytes(self) -> int:
        """Bytes that the packed tensor would take."""
        return 4 * self.sizes["time"] * self.sizes["pair"]

    @property
    def pairs(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions of the two units of each pair."""
        return np.triu_indices(len(self.unit), 1)

    def read(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` .. `stop` (time, pair), 0 where not observed."""
        return self.maker(start, stop)

    def table(self, symmetric: tuple[str, str] | None) -> Table:
        """As a model reads it."""
        own = (self.item, f"{self.item}_2")
        if symmetric is not None and tuple(symmetric) != own:
            raise OptionError(f"symmetric={own} or None", repr(symmetric), "name the dims of the traces")
        i, j = self.pairs
        n_pairs = len(i)
        if symmetric is None:
            slots: tuple[Slot, ...] = (Slot("pair", pair_labels(self.unit[i], self.unit[j]), np.arange(n_pairs)),)
        else:
            slots = (Slot(self.item, self.unit, i), Slot(self.item, self.unit, j))
        pattern = row_pattern = None
        if not self.observed.all():
            kinds, row_pattern = np.unique(self.observed, axis=0, return_inverse=True)
            pattern, row_pattern = kinds[:, i] & kinds[:, j], row_pattern.ravel().astype(np.int32)
        return Table(
            self.read,
            len(self.time),
            n_pairs,
            np.dtype(np.float32),
            "time",
            {"time": ("time", self.time, {"units": "s"})},
            slots,
            ("time", "pair") if symmetric is None else ("time", *own),
            pattern,
            row_pattern,
            self.block_rows,
        )

    @property
    def block_rows(self) -> int:
        """Rows that are best made at once."""
        at_most = max(32, _BLOCK_BYTES // (4 * max(1, self.sizes["pair"])))
        return int(min(at_most, max(32, 4 * self.maker.margin)))

    def to_dataarray(self, *, packed: bool = True) -> xr.DataArray:
        """The whole tensor, NaN where not observed.

        Parameters
        ----------
        packed : bool
            Dims (time, pair), with the two units as coordinates of `pair`; else (time, unit, unit_2), of which the
            diagonal is NaN.

        Examples
        --------
        >>> import neurodata as nd, numpy as np
        >>> traces = nd.make_calcium(np.random.default_rng(0).random((40, 3)), sampling_rate=10.0)["fluorescence"]
        >>> stream = nd.models.differential_affinity(traces)
        >>> stream.to_dataarray().sizes["pair"], stream.to_dataarray(packed=False).dims
        (3, ('time', 'roi', 'roi_2'))
        """
        i, j = self.pairs
        values = np.empty((len(self.time), len(i)), dtype=np.float32)
        for a in range(0, len(self.time), self.block_rows):
            z = min(a + self.block_rows, len(self.time))
            values[a:z] = self.read(a, z)
            values[a:z][~(self.observed[a:z][:, i] & self.observed[a:z][:, j])] = np.nan
        item_2 = f"{self.item}_2"
        time = xr.Variable("time", self.time, {"units": "s"})
        attrs = {**self.attrs, "units": "1"}
        if packed:
            coords: dict[str, Any] = {"time": time, self.item: ("pair", self.unit[i]), item_2: ("pair", self.unit[j])}
            return xr.DataArray(values, dims=("time", "pair"), coords=coords, name="affinity", attrs=attrs)
        square = np.full((len(self.time), len(self.unit), len(self.unit)), np.nan, dtype=np.float32)
        square[:, i, j] = values
        square[:, j, i] = values
        coords = {"time": time, self.item: self.unit, item_2: self.unit}
        return xr.DataArray(square, dims=("time", self.item, item_2), coords=coords, name="affinity", attrs=attrs)

    def __repr__(self) -> str:
        span = f"{self.time[0]:g} to {self.time[-1]:g} s" if len(self.time) else "no time"
        whole = f"{self.nbytes / 2**20:.1f} MiB if made"
        return f"<AffinityStream of {len(self.unit)} {self.item}s, {len(self.time)} times ({span}), {whole}>"
