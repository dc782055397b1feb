"""Whole-brain calcium of five C. elegans (Dag et al. 2023, doi:10.1016/j.cell.2023.04.023), from NEURODATA_DATA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

import neurodata as nd

FOLDER = "calcium/celegans_neuropal"
FED, ENCOUNTER_FRAME = "2022-01-16-01", 325
WORMS = ("2022-07-26-31", "2022-07-26-38", "2022-07-27-31", "2022-07-27-38")
MAPPING = {"calcium/fluorescence": "gcamp/trace_array", "calcium/time": "timing/timestamp_confocal"}


def traces(folder: Path, worm: str) -> xr.DataArray:
    """Fluorescence (time, roi) of a worm."""
    path = folder / FOLDER / f"{worm}-data.h5"
    return nd.load(path, reader="hdf5", mapping=MAPPING)["calcium"]["fluorescence"]


def encounter(data: xr.DataArray) -> float:
    """Time of the food encounter, s: the beginning of its frame (counted from 1)."""
    time = data["time"].values
    return 0.5 * float(time[ENCOUNTER_FRAME - 2] + time[ENCOUNTER_FRAME - 1])


def identities(folder: Path) -> dict[str, dict[int, tuple[str, str]]]:
    """For each worm: column of the traces -> name of the neuron, and its class; doubtful names are left out."""
    import h5py

    found: dict[str, dict[int, tuple[str, str]]] = {}
    with h5py.File(folder / FOLDER / "NeuroPAL_labels_dict.jld2") as file:

        def value(one: Any) -> Any:
            while isinstance(one, h5py.Reference):
                one = file[one][()]
            return one.decode() if isinstance(one, bytes) else one

        def mapping(one: Any) -> dict[Any, Any]:
            pairs = [value(pair) for pair in value(one)]
            return {value(pair["first"]): value(pair["second"]) for pair in pairs}

        for worm, match in mapping(mapping(file["NeuroPAL_labels"][()])["dict_match_dict"]).items():
            own = {}
            for number, facts in mapping(match["1"]).items():
                known = mapping(facts) if isinstance(facts, np.ndarray) else {}
                name, kind = str(known.get("label", "")), str(known.get("neuron_class", ""))
                if name and kind and "?" not in name and name not in ("nan", "missing"):
                    own[int(number) - 1] = (name, kind)
            found[str(worm)] = own
    return found


def named(folder: Path, worm: str, names: dict[int, tuple[str, str]]) -> xr.DataArray:
    """Traces of the identified neurons of a worm, labelled by name; of a name given twice, the first."""
    data = traces(folder, worm)
    columns = [k for k in sorted(names) if k < data.sizes["roi"]]
    label = [names[k][0] for k in columns]
    first = [i for i, name in enumerate(label) if label.index(name) == i]
    chosen = [columns[i] for i in first]
    return data.isel(roi=chosen).assign_coords(roi=[label[i] for i in first])
