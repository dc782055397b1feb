"""Motifs of a dynamic connectome: when they are active, who is in them, in which stages, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._style import DIVERGING, FAINT, INK, SEQUENTIAL, axes, colour, dress, figure, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Points of a drawn course; of longer ones the mean over stretches is drawn.
_POINTS = 2000
_LABELS = 40


def motif_courses(
    course: xr.DataArray,
    stages: Mapping[str, Sequence[tuple[float, float]]] | None = None,
    *,
    boundaries: xr.DataArray | None = None,
) -> np.ndarray:
    """Activity of each motif over time, above stages or stimuli.

    Parameters
    ----------
    course : DataArray (time, motif)
        `DynamicConnectome.time_factor_`. Animals with a time of their own are drawn after each other.
    stages : mapping of name to intervals, optional
        ``[(start, stop), ...]`` in s, drawn behind as colours. For animals that share their time, or a single one.
    boundaries : DataArray (change,), optional
        `DynamicConnectome.boundaries()`: thin lines.

    Returns
    -------
    array of Axes
        One per motif, above each other.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> course = xr.DataArray(np.eye(4)[:, :2], dims=("time", "motif"), coords={"time": np.arange(4.0)})
    >>> len(nd.plot.motif_courses(course, {"odour": [(1.0, 2.0)]}))
    2
    """
    if set(course.dims) != {"time", "motif"}:
        raise OptionError("courses (time, motif)", f"dims {course.dims}", "pass model.time_factor_")
    values = course.transpose("time", "motif").values
    several = "time_session" in course.coords
    time = np.arange(len(values)) * 1.0 if several else course["time"].values
    made = figure(9.0, 1.0 * values.shape[1] + 1.2)
    panels = made.subplots(values.shape[1], 1, sharex=True, squeeze=False)[:, 0]
    step = max(1, -(-len(values) // _POINTS))
    for r, ax in enumerate(panels):
        dress(ax)
        for number, intervals in enumerate((stages or {}).values() if not several else ()):
            for start, stop in intervals:
                ax.axvspan(max(start, time[0]), min(stop, time[-1]), color=colour(number + 1), alpha=0.15, linewidth=0)
        whole = len(values) // step * step
        with np.errstate(invalid="ignore"):
            drawn = values[:whole, r].reshape(-1, step).mean(axis=1)
        ax.fill_between(time[:whole:step], 0.0, drawn, color=colour(0), linewidth=0, alpha=0.85)
        ax.set_ylabel(f"motif {course['motif'].values[r] if 'motif' in course.coords else r}")
        ax.set_ylim(0.0, None)
        ax.set_yticks([])
        ax.set_xlim(time[0], time[-1])
        if boundaries is not None and not several:
            for one in boundaries.values:
                ax.axvline(one, color=INK, linewidth=0.8, linestyle=":")
        if several:
            for edge in np.flatnonzero(course["time_session"].values[1:] != course["time_session"].values[:-1]) + 1:
                ax.axvline(edge, color=INK, linewidth=1.0)
    panels[-1].set_xlabel("sample (animals after each other)" if several else "time (s)")
    if stages and not several:
        from matplotlib.patches import Patch

        marks = [Patch(color=colour(k + 1), alpha=0.3, label=str(name)) for k, name in enumerate(stages)]
        panels[0].legend(handles=marks, frameon=False, fontsize=8, ncols=8, loc="lower left", bbox_to_anchor=(0.0, 1.0))
    return panels


def community_matrix(weight: xr.DataArray, community: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Weights of the pairs of a motif, in the order of its communities, whose borders are drawn.

    Parameters
    ----------
    weight : DataArray (unit, unit_2)
        One motif of `DynamicConnectome.pair_factor_` or `graph_`; NaN is left white.
    community : DataArray (unit,)
        The same motif of `community_`; -1 (no links) comes last.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> weight = xr.DataArray(np.eye(3), dims=("unit", "unit_2"))
    >>> nd.plot.community_matrix(weight, xr.DataArray([1, 0, 0], dims="unit")).get_xlabel()
    'unit'
    """
    values = np.array(weight.values, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise OptionError("a square matrix", f"dims {weight.dims} of {values.shape}", "select a motif: .sel(motif=0)")
    n = len(values)
    label = np.asarray(community.values)
    if label.shape != (n,):
        raise OptionError(f"a community for each of {n} units", f"shape {label.shape}", "select the same motif")
    np.fill_diagonal(values, np.nan)
    strength = np.nansum(values, axis=1)
    last = np.where(label < 0, label.max() + 1, label)
    order = np.lexsort((-strength, last))
    ax = dress(figure(5.4, 4.6).add_subplot()) if ax is None else dress(ax)
    finite = values[np.isfinite(values)]
    high = float(np.percentile(finite, 99)) if finite.size else 1.0
    image = ax.imshow(
        values[order][:, order],
        cmap=SEQUENTIAL,
        vmin=0.0,
        vmax=high or float(finite.max(initial=0.0)) or 1.0,
        origin="lower",
        interpolation="nearest",
    )
    edges = np.flatnonzero(np.diff(last[order])) + 0.5
    for edge in edges:
        ax.axhline(edge, color="white", linewidth=1.2)
        ax.axvline(edge, color="white", linewidth=1.2)
    bounds = np.concatenate([[-0.5], edges, [n - 0.5]])
    for low, top in zip(bounds[:-1], bounds[1:], strict=True):
        own = int(last[order][int(np.ceil(low))])
        if own <= label.max():
            ax.plot([low, low], [low, top], color=colour(own), linewidth=5, clip_on=False, solid_capstyle="butt")
    dim = str(weight.dims[0])
    names = weight[dim].values if dim in weight.coords else np.arange(n)
    shown = np.arange(n)[:: max(1, -(-n // _LABELS))]
    ax.set_xticks(shown, [str(names[order[i]]) for i in shown], rotation=90, fontsize=6)
    ax.set_yticks(shown, [str(names[order[i]]) for i in shown], fontsize=6)
    ax.set_xlabel(dim)
    ax.set_ylabel(dim)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02, extend="max")
    bar.set_label("weight of the pair", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return ax


def motif_atlas(atlas: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """How active each motif is in each stage, as a heat map; stars mark what turned courses hardly reach.

    Parameters
    ----------
    atlas : DataArray (stage, motif, community)
        `DynamicConnectome.atlas_`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> both = ("stage", "motif")
    >>> coords = {"stage": ["fed"], "correlation": (both, [[0.5, -0.5]]), "significant": (both, [[True, False]])}
    >>> atlas = xr.DataArray(np.ones((1, 2, 1)), dims=("stage", "motif", "community"), coords=coords)
    >>> [text.get_text() for text in nd.plot.motif_atlas(atlas).texts]
    ['*']
    """
    if not {"correlation", "significant"} <= set(atlas.coords):
        raise OptionError("an atlas with correlations", f"coordinates {sorted(map(str, atlas.coords))}", "pass atlas_")
    values = atlas["correlation"].transpose("stage", "motif").values
    chosen = atlas["significant"].transpose("stage", "motif").values
    n_stages, n_motifs = values.shape
    ax = axes(ax, 2.4 + 0.6 * n_motifs, 1.6 + 0.4 * n_stages)
    limit = max(0.1, float(np.nanmax(np.abs(values), initial=0.0)))
    image = ax.imshow(values, cmap=DIVERGING, vmin=-limit, vmax=limit, aspect="auto", interpolation="nearest")
    for i, j in zip(*np.nonzero(chosen), strict=True):
        shade = "white" if abs(values[i, j]) > 0.6 * limit else INK
        ax.text(j, i, "*", ha="center", va="center", fontsize=14, color=shade)
    ax.set_yticks(np.arange(n_stages), [str(name) for name in atlas["stage"].values])
    names = atlas["motif"].values if "motif" in atlas.coords else np.arange(n_motifs)
    ax.set_xticks(np.arange(n_motifs), [str(name) for name in names])
    ax.set_xlabel("motif")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
    bar.set_label("correlation of activity with the stage", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    level = atlas.attrs.get("level")
    note(ax, f"*: false discovery rate {100 * float(level):g} %" if level is not None else "")
    return ax


def motif_graph(
    weight: xr.DataArray,
    community: xr.DataArray,
    *,
    position: Any = None,
    most: int = 300,
    ax: Axes | None = None,
) -> Axes:
    """Units of a motif as points, coloured by community, with its strongest links: on a circle, or where they are.

    Parameters
    ----------
    weight : DataArray (unit, unit_2)
        One motif of `DynamicConnectome.graph_`; coordinates `x` and `y` of the units are used as positions.
    community : DataArray (unit,)
        The same motif of `community_`; units without links (-1) are grey.
    position : array (unit, 2), optional
        Where the units are; default the coordinates `x` and `y`, else a circle in the order of communities.
    most : int
        Links, at most.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> weight = xr.DataArray(np.ones((3, 3)), dims=("unit", "unit_2"))
    >>> ax = nd.plot.motif_graph(weight, xr.DataArray([0, 0, -1], dims="unit"))
    >>> len(ax.collections[0].get_segments())
    3
    """
    from matplotlib.collections import LineCollection

    values = np.nan_to_num(np.asarray(weight.values, dtype=np.float64))
    n = len(values)
    label = np.asarray(community.values)
    if values.shape != (n, n) or label.shape != (n,):
        raise OptionError("weights (unit, unit_2) and a community for each", f"{weight.dims}", "select one motif")
    dim = str(weight.dims[0])
    circle = position is None and not {"x", "y"} <= set(weight.coords)
    if circle:
        order = np.lexsort((np.arange(n), np.where(label < 0, label.max() + 1, label)))
        angle = np.empty(n)
        angle[order] = 2.0 * np.pi * np.arange(n) / n
        place = np.column_stack([np.cos(angle), np.sin(angle)])
    elif position is None:
        place = np.column_stack([weight["x"].values, weight["y"].values]).astype(np.float64)
    else:
        place = np.asarray(position, dtype=np.float64)
        if place.shape != (n, 2):
            raise OptionError(f"positions ({n}, 2)", f"{place.shape}", "pass one for each unit")
    i, j = np.triu_indices(n, 1)
    strength = values[i, j]
    chosen = np.argsort(-strength, kind="stable")[:most]
    chosen = chosen[strength[chosen] > 0][::-1]
    ax = axes(ax, 5.0, 5.0)
    top = strength[chosen].max(initial=0.0) or 1.0
    within = (label[i[chosen]] == label[j[chosen]]) & (label[i[chosen]] >= 0)
    colours = [colour(int(label[a])) if own else FAINT for a, own in zip(i[chosen], within, strict=True)]
    ax.add_collection(
        LineCollection(
            list(np.stack([place[i[chosen]], place[j[chosen]]], axis=1)),
            colors=colours,
            linewidths=0.3 + 1.7 * strength[chosen] / top,
            alpha=0.5,
        )
    )
    for one in np.unique(label):
        own = label == one
        shade = FAINT if one < 0 else colour(int(one))
        ax.scatter(place[own, 0], place[own, 1], s=8 if one < 0 else 24, color=shade, zorder=3,
                   label="no links" if one < 0 else f"community {one}")  # fmt: skip
    names = weight[dim].values if dim in weight.coords else np.arange(n)
    linked = np.flatnonzero(label >= 0)
    if linked.size <= _LABELS:
        for k in linked:
            x, y = (1.06 if circle else 1.0) * place[k]
            ax.text(float(x), float(y), str(names[k]), fontsize=6, color=INK, ha="center", va="center")
    if circle:
        ax.set_axis_off()
        ax.set_aspect("equal")
    else:
        ax.set_xlabel("x")
        ax.set_ylabel("y")
    ax.autoscale_view()
    ax.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    total = int((strength > 0).sum())
    note(ax, "" if len(chosen) == total else f"{len(chosen)} strongest of {total} links")
    return ax
