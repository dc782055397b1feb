"""Representations: RDMs side by side and over time, conditions in space, how well models and thresholds do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._style import FAINT, INK, SEQUENTIAL, axes, colour, dress, figure, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def rdm_panel(rdms: xr.DataArray, *, most: int = 12) -> np.ndarray:
    """Several RDMs side by side on one scale.

    Parameters
    ----------
    rdms : DataArray (rdm, condition, condition_2)
        Any name for the first dim; a movie gives its strip.
    most : int
        Panels; of more RDMs, evenly spaced ones are shown.

    Returns
    -------
    array of Axes

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> movie = nd.models.make_rdm(np.ones((3, 4, 4)) - np.eye(4), dims=("time",), coords={"time": [0.0, 0.1, 0.2]})
    >>> [ax.get_title() for ax in nd.plot.rdm_panel(movie)]
    ['time 0', 'time 0.1', 'time 0.2']
    """
    if rdms.ndim != 3 or rdms.shape[1] != rdms.shape[2]:
        raise OptionError("RDMs (rdm, condition, condition_2)", f"dims {rdms.dims}", "select or average the other dims")
    if most < 1:
        raise OptionError("one panel or more", f"{most}", "12 fit on a screen")
    first = rdms.dims[0]
    shown = np.unique(np.linspace(0, rdms.shape[0] - 1, min(most, rdms.shape[0])).round().astype(int))
    values = rdms.values[shown].astype(np.float64)
    n = values.shape[1]
    values[:, np.arange(n), np.arange(n)] = np.nan
    low, high = min(0.0, np.nanmin(values, initial=0.0)), np.nanmax(values, initial=0.0)
    made = figure(min(1.5 * shown.size + 1.0, 16.0), 2.4)
    panels = made.subplots(1, shown.size, squeeze=False)[0]
    for ax, k, matrix in zip(panels, shown, values, strict=True):
        dress(ax)
        image = ax.imshow(matrix, cmap=SEQUENTIAL, vmin=low, vmax=high or 1.0, interpolation="nearest")
        name = rdms[first].values[k] if first in rdms.coords else k
        ax.set_title(f"{first} {name:g}" if isinstance(name, (int, float, np.number)) else str(name), fontsize=8)
        ax.set_xticks([])
        ax.set_yticks([])
    names = rdms["condition"].values if "condition" in rdms.coords else np.arange(n)
    if n <= 12:
        panels[0].set_yticks(range(n), [str(one) for one in names])
    bar = made.colorbar(image, ax=list(panels), shrink=0.8, pad=0.01)
    bar.set_label(str(rdms.attrs.get("measure") or "dissimilarity"), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    if shown.size < rdms.shape[0]:
        made.supxlabel(f"{shown.size} of {rdms.shape[0]}, evenly spaced", fontsize=8, color=FAINT)
    return panels


def mds(rdm: xr.DataArray, *, n_axes: int = 2, squared: bool = True, ax: Axes | None = None) -> Axes:
    """Conditions as points whose distances are those of the RDM as well as two or three axes can have them.

    Parameters
    ----------
    rdm : DataArray (condition, condition_2)
        Without NaN.
    n_axes : {2, 3}
    squared : bool
        The dissimilarities are squared distances, as Euclidean, Mahalanobis and crossnobis ones are.
    ax : Axes, optional
        With a 3d projection for three axes.

    Returns
    -------
    Axes
        The remark says what share of the squared distances is seen.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> place = np.array([0.0, 1.0, 3.0])
    >>> ax = nd.plot.mds(nd.models.make_rdm(np.square(place[:, None] - place), ["a", "b", "c"]))
    >>> [text.get_text() for text in ax.texts]
    ['a', 'b', 'c']
    """
    if rdm.ndim != 2 or rdm.shape[0] != rdm.shape[1] or not np.isfinite(rdm.values).all():
        raise OptionError("one RDM without NaN", f"shape {rdm.shape}", "select one, and drop unknown conditions")
    if n_axes not in (2, 3):
        raise OptionError("2 or 3 axes", f"{n_axes}", "more cannot be drawn")
    values = rdm.values if squared else rdm.values**2
    centre = np.eye(len(values)) - 1.0 / len(values)
    found, directions = np.linalg.eigh(-0.5 * centre @ values @ centre)
    kept = np.maximum(found[::-1][:n_axes], 0.0)
    points = directions[:, ::-1][:, :n_axes] * np.sqrt(kept)
    if ax is None:
        ax = figure(5.0, 4.6).add_subplot(projection="3d" if n_axes == 3 else None)
        if n_axes == 2:
            dress(ax)
    names = rdm["condition"].values if "condition" in rdm.coords else np.arange(len(values))
    canvas: Any = ax  # two or three coordinates a point
    beside = 0.015 * np.ptp(points) * np.eye(n_axes)[0]
    for k, (point, name) in enumerate(zip(points, names, strict=True)):
        canvas.scatter(*point[:, None], color=colour(k), s=26)
        canvas.text(*(point + beside), f"{name}", fontsize=8, color=INK)
    if n_axes == 2:
        ax.set_aspect("equal", adjustable="datalim")
    ax.set_xlabel("axis 1", fontsize=9)
    ax.set_ylabel("axis 2", fontsize=9)
    total = np.abs(found).sum()
    note(ax, f"{100 * kept.sum() / total:.0f} % of the squared distances" if total else "")
    return ax


def threshold_map(table: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """How well each lower and upper quantile of the geo-topological transform identifies, and what was chosen.

    Parameters
    ----------
    table : Dataset
        From `neurodata.models.select_thresholds`.
    ax : Axes, optional

    Returns
    -------
    Axes
        Circles are the choices of the folds. The remark gives the honest accuracy beside the best cell's.

    Examples
    --------
    >>> import xarray as xr
    >>> import neurodata as nd
    >>> table = xr.Dataset({"accuracy_grid": (("lower", "upper"), [[0.5, 0.8]]), "lower_fold": ("fold", [0.0]),
    ...     "upper_fold": ("fold", [1.0]), "accuracy": 0.7, "accuracy_same_data": 0.8},
    ...     coords={"lower": [0.0], "upper": [0.5, 1.0]})
    >>> nd.plot.threshold_map(table).get_xlabel()
    'lower quantile'
    """
    if "accuracy_grid" not in table:
        raise OptionError("a table with accuracy_grid", f"{list(table)}", "pass what select_thresholds returns")
    ax = axes(ax, 5.2, 4.4)
    grid = table["accuracy_grid"].transpose("upper", "lower")
    low, high = grid["lower"].values, grid["upper"].values
    image = ax.pcolormesh(_edges(low), _edges(high), grid.values, cmap=SEQUENTIAL)
    places, number = np.unique(
        np.stack([table["lower_fold"].values, table["upper_fold"].values]), axis=1, return_counts=True
    )
    ax.scatter(places[0], places[1], s=24.0 * number, facecolors="none", edgecolors="white", linewidths=1.4)
    ax.set_xlabel("lower quantile")
    ax.set_ylabel("upper quantile")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
    bar.set_label("accuracy", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    note(ax, f"nested {float(table['accuracy']):.3f}, best cell {float(table['accuracy_same_data']):.3f}")
    return ax


def _edges(values: np.ndarray) -> np.ndarray:
    """Borders of the cells round these centres."""
    if values.size == 1:
        return np.array([values[0] - 0.025, values[0] + 0.025])
    middle = (values[1:] + values[:-1]) / 2
    return np.concatenate([[2 * values[0] - middle[0]], middle, [2 * values[-1] - middle[-1]]])


def confusion(table: Any, *, ax: Axes | None = None) -> Axes:
    """What was named what.

    Parameters
    ----------
    table : Dataset or DataArray (label, label_2)
        From `neurodata.models.identify`, or `TopologicalRSA.confusion_`.
    ax : Axes, optional

    Returns
    -------
    Axes
        Colours are shares of each row; numbers are counts.

    Examples
    --------
    >>> import xarray as xr
    >>> import neurodata as nd
    >>> table = xr.DataArray([[3, 1], [0, 4]], dims=("label", "label_2"), coords={"label": ["V1", "IT"]})
    >>> [text.get_text() for text in nd.plot.confusion(table).texts]
    ['3', '1', '0', '4']
    """
    matrix = table["confusion"] if isinstance(table, xr.Dataset) else table
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise OptionError("a confusion matrix (label, label_2)", f"dims {matrix.dims}", "pass what identify returns")
    n = matrix.shape[0]
    ax = axes(ax, min(8.0, 2.6 + 0.5 * n), min(7.0, 2.2 + 0.45 * n))
    counts = matrix.values
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    ax.imshow(share, cmap=SEQUENTIAL, vmin=0.0, vmax=1.0, interpolation="nearest")
    for i in range(n):
        for j in range(n):
            shade = "white" if share[i, j] <= 0.5 else "black"
            ax.text(j, i, f"{counts[i, j]}", ha="center", va="center", fontsize=8, color=shade)
    names = [str(name) for name in (matrix["label"].values if "label" in matrix.coords else range(n))]
    ax.set_xticks(range(n), names, rotation=45, ha="right")
    ax.set_yticks(range(n), names)
    ax.set_xlabel("named")
    ax.set_ylabel("is")
    if isinstance(table, xr.Dataset) and "accuracy" in table:
        note(ax, f"accuracy {float(table['accuracy']):.3f}, chance {float(table['chance']):.3f}")
    return ax


def model_scores(table: xr.Dataset, *, ax: Axes | None = None) -> Axes:
    """Similarity of models with the data, with intervals and the noise ceiling.

    Parameters
    ----------
    table : Dataset
        From `neurodata.models.bootstrap_rdms`.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import xarray as xr
    >>> import neurodata as nd
    >>> table = xr.Dataset({"score": ("model", [0.3, 0.1]), "interval": (("model", "bound"), [[0.2, 0.4], [0.0, 0.2]]),
    ...     "ceiling": ("bound", [0.5, 0.6])}, coords={"model": ["line", "ring"]}, attrs={"comparison": "corr"})
    >>> nd.plot.model_scores(table).get_ylabel()
    'similarity (corr)'
    """
    if not {"score", "interval"} <= set(table):
        raise OptionError("a table with score and interval", f"{list(table)}", "pass what bootstrap_rdms returns")
    names = [str(name) for name in table["model"].values]
    ax = axes(ax, min(9.0, 2.0 + 0.8 * len(names)), 3.8)
    score, interval = table["score"].values, table["interval"].values
    place = np.arange(len(names))
    ax.bar(place, score, color=[colour(k) for k in range(len(names))], width=0.7)
    ax.vlines(place, interval[:, 0], interval[:, 1], color=INK, lw=1.4)
    if "ceiling" in table and np.isfinite(table["ceiling"].values[1]):
        lower, upper = table["ceiling"].values
        bottom = lower if np.isfinite(lower) else upper
        ax.axhspan(bottom, upper, color=FAINT, alpha=0.35, lw=0)
        note(ax, "band: noise ceiling")
    ax.axhline(0.0, color=FAINT, lw=0.8)
    ax.set_xticks(place, names, rotation=30 if max(map(len, names)) > 6 else 0)
    ax.set_ylabel(f"similarity ({table.attrs.get('comparison', '')})")
    return ax
