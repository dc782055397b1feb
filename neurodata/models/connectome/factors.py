"""Factors with names: from stacked loadings to DataArrays and back, TensorLy's form, and the tensor they make."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError
from neurodata.models.connectome.combine import Layout
from neurodata.models.connectome.hals import Fit
from neurodata.models.connectome.problem import Problem
from neurodata.models.connectome.table import labels_of


def check_rank(rank: int, problem: Problem, layout: Layout) -> None:
    """Refuse a rank beyond which no component can add anything: the fewest cells that an entry of a dim has."""
    cells = [problem.n_columns]
    for mode in problem.modes:
        share = layout.slots.count(mode.dim) * problem.n_columns / (mode.last - mode.first)
        cells.append(int(np.ceil(problem.n_rows * share)))
    if rank > min(cells):
        raise OptionError(f"a rank of at most {min(cells)} for this tensor", str(rank), "pass fewer components")


def labelled(fit: Fit, problem: Problem, layout: Layout) -> tuple[dict[str, xr.DataArray], xr.DataArray]:
    """Factors with columns of unit length, largest weight first, and the weights."""
    pieces = {layout.row_dim: fit.rows.copy()}
    for mode in problem.modes:
        pieces[mode.dim] = fit.loading[mode.first : mode.last].copy()
    weight = np.full(fit.rows.shape[1], np.sqrt(problem.square))
    for dim, piece in pieces.items():
        norm = np.sqrt((piece**2).sum(axis=0))
        weight *= norm ** max(1, layout.slots.count(dim))
        piece /= np.where(norm > 0, norm, 1.0)
    order = np.argsort(-weight, kind="stable")
    unseen = problem.observed.sum(axis=1)[problem.row_group] == 0
    pieces[layout.row_dim][unseen] = np.nan
    component = {"component": np.arange(len(weight))}
    factors = {}
    for dim, piece in pieces.items():
        coords = layout.row_coords if dim == layout.row_dim else _coords(dim, layout.labels[dim])
        factors[dim] = xr.DataArray(
            piece[:, order], dims=(dim, "component"), coords={**coords, **component}, name=f"factor_{dim}"
        )
    return factors, xr.DataArray(weight[order], dims="component", coords=component)


def stacked(factors: Mapping[str, xr.DataArray], weight: xr.DataArray, problem: Problem, layout: Layout) -> np.ndarray:
    """Fitted loadings of the modes of another problem, found by label; the weights are in those of its first mode."""
    parts = []
    for mode in problem.modes:
        factor = factors.get(mode.dim)
        if factor is None:
            raise OptionError(f"dims {sorted(factors)}", f"{mode.dim!r}", "pass a tensor like that of the fit")
        known = {label: k for k, label in enumerate(_labels(factor, mode.dim))}
        wanted = layout.labels[mode.dim].tolist()
        unknown = [label for label in wanted if label not in known]
        if unknown:
            raise RecordingError(f"labels of {mode.dim!r} that the fit has seen", f"{unknown[:5]}", "leave these out")
        parts.append(np.nan_to_num(factor.values[[known[label] for label in wanted]]))
    # What a row is multiplied with is found anew, so that any scale does; the weights keep it near that of the data.
    share = layout.slots.count(problem.modes[0].dim)
    parts[0] = parts[0] * np.maximum(weight.values, np.finfo(float).tiny) ** (1.0 / share)
    return np.concatenate(parts)


def _coords(dim: str, label: np.ndarray) -> dict[str, Any]:
    """Coordinates of a factor; pairs of units are named by two."""
    if label.dtype == object and len(label) and isinstance(label[0], tuple):
        one, two = zip(*label.tolist(), strict=True)
        return {"unit": (dim, np.array(one)), "unit_2": (dim, np.array(two))}
    return {dim: label}


def _labels(factor: xr.DataArray, dim: str) -> list[Any]:
    return labels_of(factor, dim).tolist()


def random_start(problem: Problem, rank: int, rng: np.random.Generator) -> np.ndarray:
    """Uniform loadings, columns of unit length."""
    loading = rng.random((problem.n_entries, rank))
    for mode in problem.modes:
        loading[mode.first : mode.last] /= np.linalg.norm(loading[mode.first : mode.last], axis=0)
    return loading


def read_start(start: Any, rank: int, problem: Problem, layout: Layout) -> tuple[np.ndarray, np.ndarray]:
    """Stacked loadings and rows from factors by dim, or from a TensorLy CPTensor in the order of the dims."""
    sizes = {layout.row_dim: problem.n_rows, **{mode.dim: mode.last - mode.first for mode in problem.modes}}
    weight: Any = None
    if not hasattr(start, "factors") and isinstance(start, Mapping):  # TensorLy's class is a mapping too
        given = {dim: np.asarray(value, dtype=np.float64) for dim, value in start.items()}
    else:
        weight, values = start
        if len(values) != len(layout.order):
            raise OptionError(f"factors of {layout.order}", f"{len(values)} factors", "pass one per dim")
        given = {}
        for dim, value in zip(layout.order, values, strict=True):
            own = layout.symmetric[0] if dim in layout.symmetric else dim
            # Of the two factors of a symmetric tensor, their mean.
            given[own] = np.asarray(value, dtype=np.float64) if own not in given else 0.5 * (given[own] + value)
    for dim, size in sizes.items():
        if dim not in given or given[dim].shape != (size, rank):
            got = "none" if dim not in given else f"{given[dim].shape}"
            raise OptionError(f"a start for {dim!r} of shape {(size, rank)}", got, "pass one array per factor")
        given[dim] = np.nan_to_num(given[dim])
        if (given[dim] < 0).any() or not np.isfinite(given[dim]).all():
            raise OptionError(f"a start for {dim!r} of at least 0", "negative or infinite entries", "clip it at 0")
    rows = given[layout.row_dim] / np.sqrt(problem.square)
    if weight is not None:
        rows = rows * np.asarray(weight, dtype=np.float64)
    return np.concatenate([given[mode.dim] for mode in problem.modes]), rows


def reconstructed(
    factors: Mapping[str, xr.DataArray], weight: xr.DataArray, row_dim: str, dim_order: str, rows: slice
) -> xr.DataArray:
    """The tensor of the factors, over chosen rows; packed where it is symmetric."""
    order = dim_order.split(",")
    factors = {**factors, row_dim: factors[row_dim][rows]}
    double = [dim for dim in order if dim not in factors]
    if not double:
        product = weight
        for dim in order:
            product = product * factors[dim]
        return product.sum("component", skipna=False).transpose(*order)
    dim = order[order.index(double[0]) - 1]
    label = factors[dim][dim].values
    i, j = np.triu_indices(len(label), 1)
    values = factors[dim].values
    pair = xr.DataArray(
        values[i] * values[j],
        dims=("pair", "component"),
        coords={dim: ("pair", label[i]), double[0]: ("pair", label[j]), "component": weight["component"].values},
    )
    plain = [one for one in order if one not in (dim, double[0])]
    product = weight * pair
    for one in plain:
        product = product * factors[one]
    return product.sum("component", skipna=False).transpose(*plain, "pair")


def to_tensorly(factors: Mapping[str, xr.DataArray], weight: xr.DataArray, dim_order: str) -> Any:
    """A CPTensor; the factor of a symmetric dim is there twice."""
    from tensorly.cp_tensor import CPTensor

    arrays, last = [], ""
    for dim in dim_order.split(","):
        last = dim if dim in factors else last
        arrays.append(np.nan_to_num(factors[last].values))
    return CPTensor((weight.values.copy(), arrays))
