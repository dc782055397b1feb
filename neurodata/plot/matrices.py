"""Square matrices: couplings per state, dissimilarities between conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._style import DIVERGING, SEQUENTIAL, colour, dress, figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def weights(weight: xr.DataArray, *, sort: Any = None, self_coupling: bool = False) -> np.ndarray:
    """Coupling of each pair of units in each state, one panel per state on one scale.

    Parameters
    ----------
    weight : DataArray (state, post, pre) or (post, pre)
        `HMMGLM.weight_`.
    sort : array (unit,), optional
        Rows in the order to draw them.
    self_coupling : bool
        Draw the diagonal too, which holds refractoriness and is often much larger; left white otherwise.

    Returns
    -------
    array of Axes
        y is the unit that is driven (post), x the one that drives (pre).

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> panels = nd.plot.weights(xr.DataArray(np.ones((2, 3, 3)), dims=("state", "post", "pre")))
    >>> len(panels), panels[0].get_ylabel()
    (2, 'to unit (post)')
    """
    if not {"post", "pre"} <= set(weight.dims):
        raise OptionError("weights with dims post and pre", f"{weight.dims}", "pass model.weight_")
    stack = weight if "state" in weight.dims else weight.expand_dims("state")
    values = stack.transpose("state", "post", "pre").values.astype(np.float64)
    n_states, n_units = values.shape[:2]
    order = np.arange(n_units) if sort is None else np.asarray(sort)
    if not self_coupling:
        values = values.copy()
        values[:, np.arange(n_units), np.arange(n_units)] = np.nan
    values = values[:, order][:, :, order]
    finite = np.abs(values[np.isfinite(values)])
    limit = float(np.percentile(finite, 99.5)) if finite.size else 1.0
    limit = limit or 1.0
    made = figure(min(3.0 * n_states + 1.0, 12.0), 3.9)
    panels = made.subplots(1, n_states, sharex=True, sharey=True, squeeze=False)[0]
    for state, ax in enumerate(panels):
        dress(ax)
        image = ax.imshow(
            values[state], cmap=DIVERGING, vmin=-limit, vmax=limit, origin="lower", interpolation="nearest"
        )
        if "state" in weight.dims:
            ax.set_title(f"state {state}", fontsize=10, color=colour(state), fontweight="bold")
        ax.set_xlabel("from unit (pre)")
        shown, names = _labels(weight, order)
        ax.set_xticks(shown, names, rotation=90)
        ax.set_yticks(shown, names)
    panels[0].set_ylabel("to unit (post)")
    bar = made.colorbar(image, ax=list(panels), shrink=0.85, pad=0.01, extend="both")
    bar.set_label("coupling (log rate per spike)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return panels


def rdm(matrix: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """A matrix of dissimilarities between conditions.

    Parameters
    ----------
    matrix : DataArray (condition, condition_2)
        Symmetric.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import xarray as xr
    >>> import neurodata as nd
    >>> values = xr.DataArray([[0.0, 1.0], [1.0, 0.0]], dims=("condition", "condition_2"),
    ...                       coords={"condition": ["a", "b"]})
    >>> [label.get_text() for label in nd.plot.rdm(values).get_yticklabels()]
    ['a', 'b']
    """
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise OptionError("a square matrix", f"shape {matrix.shape}", "select one matrix")
    n = matrix.shape[0]
    ax = figure(min(8.0, 2.4 + 0.45 * n), min(7.0, 1.9 + 0.4 * n)).add_subplot() if ax is None else ax
    dress(ax)
    values = matrix.values.astype(np.float64).copy()
    values[np.arange(n), np.arange(n)] = np.nan
    image = ax.imshow(values, cmap=SEQUENTIAL, interpolation="nearest", vmin=min(0.0, np.nanmin(values, initial=0.0)))
    first = matrix.dims[0]
    names = [str(name) for name in (matrix[first].values if first in matrix.coords else range(n))]
    if n <= 30:
        ax.set_xticks(range(n), names, rotation=45, ha="right")
        ax.set_yticks(range(n), names)
    if n <= 8:
        middle = np.nanmean([np.nanmin(values), np.nanmax(values)]) if n > 1 else 0.0
        for i in range(n):
            for j in range(n):
                if i != j:
                    shade = "white" if values[i, j] <= middle else "black"
                    ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=8, color=shade)
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
    bar.set_label(str(matrix.attrs.get("long_name", matrix.name or "dissimilarity")), fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return ax


def _labels(weight: xr.DataArray, order: np.ndarray) -> tuple[np.ndarray, list[str]]:
    ids = weight["post"].values if "post" in weight.coords else np.arange(weight.sizes["post"])
    shown = np.arange(0, order.size, max(1, -(-order.size // 8)))
    return shown, [str(ids[order[k]]) for k in shown]
