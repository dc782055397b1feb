"""Bins lying end to end, as the sampler has them, and the arrays that they came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import storable_attrs
from neurodata.errors import RecordingError
from neurodata.models.sequences import CountSequences, Piece, read_counts

Data = xr.DataArray | Sequence[xr.DataArray]


@dataclass(frozen=True)
class Layout:
    """Where each bin of the sampler lies in the arrays of the data.

    Attributes
    ----------
    frames : tuple of Dataset
        Coordinates of each array, without its counts.
    pieces : tuple of Piece
    starts : array (sequence + 1,)
    bin_width : float
        s.
    is_list : bool
    """

    frames: tuple[xr.Dataset, ...]
    pieces: tuple[Piece, ...]
    starts: np.ndarray
    bin_width: float
    is_list: bool

    @classmethod
    def of(cls, sequences: CountSequences) -> Layout:
        """That of checked counts."""
        frames = []
        for array in sequences.arrays:
            kept = {k: v for k, v in array.coords.items() if "unit" not in v.dims}
            frame = xr.Dataset(coords={k: v.variable for k, v in kept.items()})
            # Sizes of dims without coordinates are known only by an array.
            dims = tuple(dim for dim in ("trial", "time") if dim in array.dims)
            frame["within"] = (dims, np.zeros([array.sizes[dim] for dim in dims], dtype=np.int8))
            frames.append(frame)
        return cls(tuple(frames), sequences.pieces, sequences.starts, sequences.bin_width, sequences.is_list)

    @property
    def n_bins(self) -> int:
        """Bins of the sampler."""
        return int(self.starts[-1])

    def bins(self) -> xr.Dataset:
        """Coordinates on `bin`: time (s), number of the sequence, array of the list, and trial where there are some."""
        array, trial, row = self._rows()
        sequence = np.repeat(np.arange(len(self.pieces)), np.diff(self.starts))
        coords: dict[str, Any] = {
            "bin": np.arange(self.n_bins),
            "sequence": ("bin", sequence),
            "array": ("bin", array),
        }
        if all("time" in frame.coords for frame in self.frames):
            times = np.empty(self.n_bins)
            for k, frame in enumerate(self.frames):
                times[array == k] = frame["time"].values[row[array == k]]
            coords["time"] = ("bin", times, {"units": "s"})
        if any("trial" in frame.dims for frame in self.frames):
            coords["trial"] = ("bin", trial)
        return xr.Dataset(coords=coords)

    def restore(
        self, values: np.ndarray, fill: Any, extra: dict[str, Any] | None = None, **attrs: Any
    ) -> xr.DataArray | list[xr.DataArray]:
        """Values (bin, ...) as arrays (..., time, ...) like the data; `fill` in bins outside every sequence."""
        extra = extra or {}
        array, trial, row = self._rows()
        out = []
        for k, frame in enumerate(self.frames):
            dims, sizes = frame["within"].dims, frame["within"].shape
            whole = np.full((*sizes, *values.shape[1:]), fill, dtype=values.dtype)
            own = array == k
            place = (trial[own], row[own]) if "trial" in dims else (row[own],)
            whole[place] = values[own]
            coords = {str(name): v for name, v in frame.coords.items()}
            out.append(
                xr.DataArray(
                    whole,
                    dims=(*dims, *extra),
                    coords={**coords, **extra},
                    attrs={"bin_width": self.bin_width, **attrs},
                )
            )
        return out if self.is_list else out[0]

    def take(self, data: Data, unit: np.ndarray, may_lack: bool) -> np.ndarray:
        """Counts (bin, unit) of other data on the same bins, -1 where not observed.

        Parameters
        ----------
        data : DataArray or list of DataArray
            With the dims, times and trials of the data of the fit.
        unit : array (unit,)
        may_lack : bool
            Whether arrays may lack units.
        """
        sequences = read_counts(data, unit=unit, need_spikes=False, union=may_lack)
        other = Layout.of(sequences)
        if len(other.frames) != len(self.frames) or other.is_list != self.is_list:
            raise RecordingError(
                f"{len(self.frames)} array(s) as in the fit", f"{len(other.frames)}", "pass the data of the fit in full"
            )
        for k, (a, b) in enumerate(zip(self.frames, other.frames, strict=True)):
            if dict(a.sizes) != dict(b.sizes) or (
                "time" in a.coords and not np.allclose(a["time"], b["time"] if "time" in b.coords else np.nan)
            ):
                raise RecordingError(
                    f"the bins of the fit, {dict(a.sizes)}",
                    f"{dict(b.sizes)}" + (f" in array {k}" if self.is_list else ""),
                    "pass the data of the fit with what was held out filled in",
                )
        # Through the arrays' own places: more may be observed, so that sequences begin or end elsewhere.
        blocks = [np.full((*frame["within"].shape, len(unit)), -1, dtype=np.int32) for frame in self.frames]
        array, trial, row = other._rows()
        for k, block in enumerate(blocks):
            own = array == k
            block[(trial[own], row[own]) if block.ndim == 3 else (row[own],)] = sequences.counts[own]
        out = np.empty((self.n_bins, len(unit)), dtype=np.int32)
        array, trial, row = self._rows()
        for k, block in enumerate(blocks):
            own = array == k
            out[own] = block[(trial[own], row[own]) if block.ndim == 3 else (row[own],)]
        return out

    def _rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Array, trial and row of each bin."""
        if not self.pieces:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
        array = np.concatenate([np.full(p.length, p.array) for p in self.pieces])
        trial = np.concatenate([np.full(p.length, p.trial) for p in self.pieces])
        row = np.concatenate([np.arange(p.start, p.start + p.length) for p in self.pieces])
        return array, trial, row

    def to_nodes(self) -> dict[str, xr.Dataset]:
        """Datasets for a file; `from_nodes` reads them back."""
        table = np.array([[p.array, p.trial, p.start, p.length] for p in self.pieces], dtype=np.int64)
        nodes = {
            "pieces": xr.Dataset(
                {"piece": (("sequence", "field"), table)},
                attrs={"bin_width": self.bin_width, "is_list": int(self.is_list), "n_arrays": len(self.frames)},
            )
        }
        for k, frame in enumerate(self.frames):
            frame = frame.assign_attrs(storable_attrs(frame.attrs))
            for name in frame.variables:
                frame[name].attrs = storable_attrs(frame[name].attrs)
            nodes[f"array_{k}"] = frame
        return nodes

    @classmethod
    def from_nodes(cls, nodes: dict[str, xr.Dataset]) -> Layout:
        """The inverse of `to_nodes`."""
        first = nodes["pieces"]
        pieces = tuple(Piece(*map(int, row)) for row in first["piece"].values)
        frames = tuple(nodes[f"array_{k}"] for k in range(int(first.attrs["n_arrays"])))
        starts = np.concatenate([[0], np.cumsum([p.length for p in pieces])]).astype(np.int64)
        return cls(frames, pieces, starts, float(first.attrs["bin_width"]), bool(first.attrs["is_list"]))
