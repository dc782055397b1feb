"""Labelled RDMs as vectors of pairs in one order of conditions, and tables with the labels back on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.rdm_similarity import pair_places


class Stack(NamedTuple):
    """RDMs as vectors; what else is known of them."""

    vectors: np.ndarray  # (rdm, pair), a copy
    conditions: np.ndarray  # (condition,), labels
    coords: dict[str, Any]  # coordinates on rdm
    single: bool  # it was one RDM, without a dim of its own

    @property
    def size(self) -> int:
        """Number of RDMs."""
        return len(self.vectors)


def stack(rdms: xr.DataArray, what: str = "rdms") -> Stack:
    """One stack from a DataArray (condition, condition_2) or (rdm, condition, condition_2).

    Raises
    ------
    RecordingError
        It is not square, symmetric and labelled once.
    """
    fix = "pass what neurodata.models.rdm returns"
    if not isinstance(rdms, xr.DataArray):
        raise RecordingError(f"{what}: an RDM as a DataArray", type(rdms).__name__, fix)
    second = "condition_2"
    if "condition" not in rdms.dims or second not in rdms.dims or rdms.ndim not in (2, 3):
        raise RecordingError(f"{what}: dims ([rdm,] condition, condition_2)", f"{rdms.dims}", fix)
    if rdms.sizes["condition"] != rdms.sizes[second]:
        raise RecordingError(f"{what}: square matrices (condition, condition_2)", f"sizes {dict(rdms.sizes)}", fix)
    others = [dim for dim in rdms.dims if dim not in ("condition", second)]
    order = (*others, "condition", second)
    values = (rdms if rdms.dims == order else rdms.transpose(*order)).values
    values = np.asarray(values, dtype=np.float64).reshape(-1, *values.shape[-2:])
    n = values.shape[1]
    if n < 3:
        raise RecordingError(f"{what}: three conditions or more", f"{n}", "there is no geometry of fewer")
    # Variables, not DataArrays: small RDMs are compared in less time than it takes to build one for each coordinate.
    held = rdms.coords.variables
    labels = held["condition"].values if "condition" in held else np.arange(n)
    again = held[second].values if second in held else labels
    if not np.array_equal(labels, again):
        raise RecordingError(f"{what}: the same labels along both dims", "labels that differ", fix)
    if len(set(labels.tolist())) < n:
        raise RecordingError(f"{what}: every condition once", "labels that repeat", "average their patterns first")
    rows, columns, _ = pair_places(n)
    flat = values.reshape(len(values), n * n)
    upper, lower = np.take(flat, rows * n + columns, axis=1), np.take(flat, columns * n + rows, axis=1)
    apart = np.abs(upper - lower)
    largest = apart.max(initial=0.0)
    if np.isnan(largest):
        one_sided = np.isnan(upper) != np.isnan(lower)
        largest = np.inf if one_sided.any() else np.nanmax(apart, initial=0.0)
    # The tolerance of `check_rdm`; what is symmetric to the last bits needs no look at each entry.
    if largest > 1e-12 and not (apart <= 1e-12 + 1e-6 * np.abs(lower))[np.isfinite(apart)].all():
        raise RecordingError(f"{what}: symmetric matrices", "one that is not", "average it with its transpose")
    if np.isinf(upper).any():
        raise RecordingError(f"{what}: finite dissimilarities, NaN where unknown", "infinite ones", "set them to NaN")
    coords: dict[str, Any] = {}
    if others:
        coords = {str(name): coord.values for name, coord in held.items() if coord.dims == (others[0],)}
        if others[0] in coords:
            coords["rdm"] = coords.pop(str(others[0]))
    return Stack(upper, labels, coords, not others)


def in_order_of(one: Stack, conditions: np.ndarray, what: str) -> Stack:
    """The stack with its conditions in this order; refused, by name, when they are not the same ones."""
    own = one.conditions.tolist()
    wanted = conditions.tolist()
    if own == wanted:
        return one
    missing = sorted(map(str, set(wanted) - set(own)))
    extra = sorted(map(str, set(own) - set(wanted)))
    if missing or extra:
        lacks = f"lacks {', '.join(missing[:5])}{' ...' if len(missing) > 5 else ''}" if missing else ""
        has = f"has also {', '.join(extra[:5])}{' ...' if len(extra) > 5 else ''}" if extra else ""
        raise RecordingError(
            f"{what}: the same conditions as the others",
            "one that " + " and ".join(part for part in (lacks, has) if part),
            "select the common conditions on both dims first",
        )
    place = {label: k for k, label in enumerate(own)}
    order = np.array([place[label] for label in wanted])
    n = len(own)
    pair = np.zeros((n, n), dtype=np.int64)
    rows, columns = np.triu_indices(n, 1)
    pair[rows, columns] = pair[columns, rows] = np.arange(rows.size)
    chosen = pair[order[rows], order[columns]]
    return Stack(np.ascontiguousarray(one.vectors[:, chosen]), conditions, one.coords, one.single)


def aligned(**items: xr.DataArray) -> list[Stack]:
    """Stacks of several DataArrays, all in the order of conditions of the first."""
    found = [stack(value, what) for what, value in items.items()]
    return [found[0]] + [
        in_order_of(one, found[0].conditions, what) for one, what in zip(found[1:], list(items)[1:], strict=True)
    ]


def named_models(models: Any, conditions: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Fixed model RDMs as vectors (model, pair) and their names, from a mapping or a DataArray ([model,] ...)."""
    if isinstance(models, Mapping):
        if not models:
            raise OptionError("one model or more", "an empty mapping", "pass {name: rdm}")
        parts = []
        for name, value in models.items():
            one = in_order_of(stack(value, f"model {name!r}"), conditions, f"model {name!r}")
            if one.size != 1:
                raise OptionError(f"one RDM for model {name!r}", f"{one.size}", "pass them as models of their own")
            parts.append(one.vectors[0])
        return np.array(parts), [str(name) for name in models]
    one = in_order_of(stack(models, "models"), conditions, "models")
    names = one.coords.get("model", one.coords.get("rdm", np.arange(one.size)))
    return one.vectors, [str(name) for name in names] if not one.single else [str(models.name or "model")]


def groups_of(one: Stack, subject: str | Sequence[Any] | None) -> tuple[np.ndarray, np.ndarray]:
    """Which subject each RDM is of, from 0, and the subjects' labels.

    `subject` is a coordinate on rdm, an array (rdm,), or None: every RDM is a subject of its own.
    """
    if subject is None:
        return np.arange(one.size), np.arange(one.size)
    if isinstance(subject, str):
        if subject not in one.coords:
            raise OptionError(
                f"a coordinate {subject!r} on rdm", f"{sorted(one.coords) or 'none'}", "assign it, or pass an array"
            )
        values = np.asarray(one.coords[subject])
    else:
        values = np.asarray(subject)
    if values.shape != (one.size,):
        raise OptionError(f"one subject for each of {one.size} RDMs", f"shape {values.shape}", "pass an array (rdm,)")
    labels, place = np.unique(values, return_inverse=True)
    return place.ravel(), labels
