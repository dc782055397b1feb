"""From factors and groups to the labelled results of DynamicConnectome, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.models.connectome.motif_groups import Groups
from neurodata.models.connectome.nonnegative_cp import NonnegativeCP
from neurodata.models.connectome.sessions import Sessions
from neurodata.models.connectome.table import as_labels
from neurodata.preprocess._sampling import sampling_step, time_values

if TYPE_CHECKING:
    from neurodata.models.connectome.dynamic import DynamicConnectome

# Samples that the smoothing of affinities lasts, by default.
_SMOOTHING = 10.0


def affinity_settings(given: Mapping[str, Any] | None, data: Any) -> dict[str, Any]:
    """Settings of `differential_affinity`: the defaults of the model, changed by what was given."""
    settings = {"scale": "rms", **dict(given or {})}
    if "smoothing" not in settings:
        first = data
        if not isinstance(data, xr.DataArray):
            values = list(data.values()) if isinstance(data, Mapping) else data
            first = values[0] if isinstance(values, (list, tuple)) and values else None
        if isinstance(first, xr.DataArray) and first.sizes.get("time", 0) > 1:
            settings["smoothing"] = _SMOOTHING * sampling_step(first, time_values(first))
    return settings


def square_pairs(cp: NonnegativeCP, sessions: Sessions) -> xr.DataArray:
    """Patterns over pairs as symmetric matrices of unit length over i < j."""
    n, n_motifs = len(sessions.label), cp.rank
    values = np.full((n_motifs, n, n), np.nan)
    if cp.symmetric is not None:
        unit = cp.factor_[sessions.item].values
        values = np.einsum("ir,jr->rij", unit, unit)
        i, j = np.triu_indices(n, 1)
        size = np.sqrt((values[:, i, j] ** 2).sum(axis=1))
        values /= np.where(size > 0, size, 1.0)[:, None, None]
    else:
        factor = cp.factor_["pair"]
        place = {label: k for k, label in enumerate(sessions.label.tolist())}
        i = np.array([place[label] for label in factor["unit"].values.tolist()])
        j = np.array([place[label] for label in factor["unit_2"].values.tolist()])
        values[:, i, j] = values[:, j, i] = factor.values.T
    values[:, np.arange(n), np.arange(n)] = np.nan
    item = sessions.item
    return xr.DataArray(
        values,
        dims=("motif", item, f"{item}_2"),
        coords={"motif": np.arange(n_motifs), item: sessions.label, f"{item}_2": sessions.label},
        attrs={"units": "1"},
    )


def observed_share(sessions: Sessions) -> xr.DataArray:
    """Share of each unit's pairs that were observed in any animal."""
    n = len(sessions.label)
    together = np.zeros((n, n), dtype=bool)
    for stream, member in zip(sessions.stream, sessions.members(), strict=True):
        seen = stream.observed.astype(np.float32)
        together[np.ix_(member, member)] |= (seen.T @ seen) > 0
    np.fill_diagonal(together, False)
    share = together.sum(axis=1) / (n - 1)
    return xr.DataArray(share, dims=sessions.item, coords={sessions.item: sessions.label}, attrs={"units": "1"})


def courses_of(model: DynamicConnectome, sessions: Sessions) -> list[np.ndarray]:
    """Activity (time, motif) of each animal, weights in it; 0 where it is not known."""
    whole = np.nan_to_num(model.time_factor_.values) * model.weight_.values
    if sessions.side_by_side:
        return [whole * loading for loading in np.nan_to_num(model.session_factor_.values)]
    return [whole[rows] for rows in sessions.rows()]


def group_arrays(found: list[Groups], like: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """Communities (motif, unit) and their probabilities (motif, unit, community), 0 beyond a motif's last."""
    item = str(like.dims[1])
    most = max(groups.probability.shape[1] for groups in found)
    probability = np.zeros((len(found), like.sizes[item], most))
    for row, groups in zip(probability, found, strict=True):
        row[:, : groups.probability.shape[1]] = groups.probability
        row[np.isnan(groups.probability).any(axis=1)] = np.nan
    coords = {"motif": like["motif"].values, item: like[item].values}
    attrs = {"units": "1"}
    return (
        xr.DataArray(np.stack([groups.label for groups in found]), dims=("motif", item), coords=coords, attrs=attrs),
        xr.DataArray(
            probability,
            dims=("motif", item, "community"),
            coords={**coords, "community": np.arange(most)},
            attrs=attrs,
        ),
    )


def mean_within(graph: xr.DataArray, community: xr.DataArray) -> np.ndarray:
    """Mean weight of the pairs within each community, (motif, community); NaN where there is no pair."""
    n_groups = max(1, int(community.values.max(initial=-1)) + 1)
    out = np.full((community.sizes["motif"], n_groups), np.nan)
    upper = np.triu(np.ones(graph.shape[1:], dtype=bool), 1)
    for r, (weight, label) in enumerate(zip(graph.values, community.values, strict=True)):
        for k in range(n_groups):
            own = label == k
            values = weight[np.outer(own, own) & upper]
            values = values[np.isfinite(values)]
            if values.size:
                out[r, k] = values.mean()
    return out


def as_cp(model: DynamicConnectome) -> NonnegativeCP:
    """The factorisation behind a fitted model."""
    pair = model.pair_factor_
    item = str(pair.dims[1])
    rank_one = model.pair_rank == 1
    cp = NonnegativeCP(model.n_motifs_, symmetric=(item, f"{item}_2") if rank_one else None)
    time = model.time_factor_.rename(motif="component")
    factor: dict[str, xr.DataArray] = {"time": time}
    if model.shared_time_:
        factor["session"] = model.session_factor_.rename(motif="component")
    if rank_one:
        factor[item] = model.unit_factor_.rename(motif="component")
    else:
        i, j = np.triu_indices(pair.sizes[item], 1)
        seen = np.isfinite(pair.values[0, i, j])
        label = pair[item].values
        names = as_labels(list(zip(label[i[seen]].tolist(), label[j[seen]].tolist(), strict=True)))
        one, two = zip(*names.tolist(), strict=True)
        factor["pair"] = xr.DataArray(
            pair.values[:, i[seen], j[seen]].T,
            dims=("pair", "component"),
            coords={
                "component": pair["motif"].values,
                "unit": ("pair", np.array(one)),
                "unit_2": ("pair", np.array(two)),
            },
        )
    cp.factor_, cp.weight_ = factor, model.weight_.rename(motif="component")
    order = ["time", *(["session"] if model.shared_time_ else []), *([item, f"{item}_2"] if rank_one else ["pair"])]
    if model.shared_time_:
        order = ["session", "time", *order[2:]]
    cp.row_dim_, cp.dim_order_ = "time", ",".join(order)
    cp.noise_ = 0.0
    return cp
