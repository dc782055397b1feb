"""Posteriors of bi-clustering: who is together, how many groups, rates with bands, chains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from scipy.stats import rankdata

from neurodata.errors import OptionError
from neurodata.plot._style import FAINT, INK, SEQUENTIAL, axes, colour, dress, figure, note, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_LABELS = 40
_RANK_BINS = 20


def similarity(similarity: xr.DataArray, cluster: xr.DataArray | None = None, ax: Axes | None = None) -> Axes:
    """Posterior probability that two elements belong together, in the order of a point partition.

    Parameters
    ----------
    similarity : DataArray (element, element)
        `BiClustering.unit_similarity_`, or of `state_similarity()`.
    cluster : DataArray (element,), optional
        `BiClustering.unit_cluster_`: orders the rows and is drawn as borders; else the order stays.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> ax = nd.plot.similarity(xr.DataArray(np.eye(3), dims=("unit", "unit_2")))
    >>> ax.get_xlabel()
    'unit'
    """
    values = np.asarray(similarity.values, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1]:
        raise OptionError("a square matrix", f"dims {similarity.dims} of {values.shape}", "pass unit_similarity_")
    n = len(values)
    order, borders = np.arange(n), np.array([])
    if cluster is not None:
        label = np.asarray(cluster.values)
        if label.shape != (n,):
            raise OptionError(f"a cluster for each of {n} elements", f"shape {label.shape}", "pass unit_cluster_")
        within = np.array([values[i, label == label[i]].mean() for i in range(n)])
        order = np.lexsort((-within, label))
        borders = np.flatnonzero(np.diff(label[order])) + 0.5
    ax = dress(figure(5.4, 4.6).add_subplot()) if ax is None else dress(ax)
    image = ax.imshow(
        values[order][:, order], cmap=SEQUENTIAL, vmin=0.0, vmax=1.0, origin="lower", interpolation="nearest"
    )
    for border in borders:
        ax.axhline(border, color="white", linewidth=1.2)
        ax.axvline(border, color="white", linewidth=1.2)
    dim = str(similarity.dims[0])
    ax.set_xlabel(dim)
    ax.set_ylabel(dim)
    shown = np.arange(n)[:: max(1, -(-n // _LABELS))]
    names = similarity[dim].values[order] if dim in similarity.coords else order
    ax.set_xticks(shown, [str(names[i]) for i in shown], rotation=90)
    ax.set_yticks(shown, [str(names[i]) for i in shown])
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.85, pad=0.02)
    bar.set_label("probability of being together", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return ax


def group_numbers(probability: xr.DataArray, ax: Axes | None = None) -> Axes:
    """Posterior probabilities of the number of clusters or states.

    Parameters
    ----------
    probability : DataArray (number,)
        `BiClustering.n_clusters_` or `n_states_`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes

    Examples
    --------
    >>> import xarray as xr
    >>> import neurodata as nd
    >>> table = xr.DataArray([0.2, 0.8], dims="n_clusters", coords={"n_clusters": [2, 3]})
    >>> nd.plot.group_numbers(table).get_xlabel()
    'number of clusters'
    """
    if probability.ndim != 1:
        raise OptionError("probabilities along one dim", f"dims {probability.dims}", "pass model.n_clusters_")
    dim = str(probability.dims[0])
    number = probability[dim].values
    ax = axes(ax, 4.0, 3.0)
    ax.bar(number, probability.values, width=0.7, color=colour(0))
    ax.set_xticks(number)
    ax.set_ylim(0.0, 1.0)
    ax.set_xlabel("number of " + dim.removeprefix("n_").replace("_", " "))
    ax.set_ylabel("posterior probability")
    return ax


def rates(
    rate: xr.Dataset, data: xr.DataArray, unit: Sequence[Any] | None = None, *, most: int = 6, marks: Any = None
) -> np.ndarray:
    """Counts of some units with the posterior mean and band of their rate.

    Parameters
    ----------
    rate : Dataset
        `BiClustering.predict_rate()`: `mean`, `low`, `high` (time, unit), log of the mean count per bin.
    data : DataArray (time, unit)
        Counts.
    unit : sequence, optional
        Units to draw; default `most` of them, evenly spread over the data's order.
    most : int
        Panels at most.
    marks : DataArray (time,), optional
        `BiClustering.state_`: drawn behind as colours.

    Returns
    -------
    array of Axes
        One per unit, above each other.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> counts = xr.DataArray(np.ones((5, 2)), dims=("time", "unit"), coords={"time": np.arange(5.0), "unit": [3, 8]})
    >>> rate = xr.Dataset({name: np.log(counts) for name in ("mean", "low", "high")}, attrs={"level": 0.9})
    >>> len(nd.plot.rates(rate, counts))
    2
    """
    if not {"mean", "low", "high"} <= set(rate.data_vars):
        raise OptionError("mean, low and high", f"{list(rate.data_vars)}", "pass model.predict_rate()")
    names = list(data["unit"].values)
    if unit is None:
        unit = [names[i] for i in np.unique(np.linspace(0, len(names) - 1, min(most, len(names))).round().astype(int))]
    missing = [one for one in unit if one not in names]
    if missing:
        raise OptionError(f"units of the data, {names[:5]}, ...", f"{missing}", "correct unit=")
    chosen = list(unit)[:most]
    made = figure(9.0, 1.3 * len(chosen) + 0.8)
    panels = made.subplots(len(chosen), 1, sharex=True, squeeze=False)[:, 0]
    time = data["time"].values
    for ax, one in zip(panels, chosen, strict=True):
        dress(ax)
        here = rate.sel(unit=one)
        ax.step(time, data.sel(unit=one).values, where="mid", color=FAINT, linewidth=0.7)
        ax.fill_between(time, np.exp(here["low"].values), np.exp(here["high"].values), color=colour(0), alpha=0.3, lw=0)
        ax.plot(time, np.exp(here["mean"].values), color=colour(0), linewidth=1.2)
        ax.set_ylabel(f"unit {one}")
        if marks is not None:
            _shade(ax, time, np.asarray(marks.values))
    panels[-1].set_xlabel("time (s)")
    title(panels[0], "counts per bin, and their mean")
    note(panels[0], f"band: {100 * float(rate.attrs.get('level', 0.9)):.0f} %")
    return panels


def _shade(ax: Axes, time: np.ndarray, state: np.ndarray) -> None:
    """Colour behind each run of a state."""
    edge = np.concatenate([[0], np.flatnonzero(np.diff(state)) + 1, [len(state)]])
    for a, b in zip(edge[:-1], edge[1:], strict=True):
        if state[a] >= 0:
            end = time[b] if b < len(time) else time[-1]
            ax.axvspan(time[a], end, color=colour(int(state[a]) + 1), alpha=0.12, linewidth=0)


def chains(posterior: xr.Dataset | xr.DataTree, names: Sequence[str] | None = None) -> np.ndarray:
    """Traces of label-free numbers, and the ranks of each chain's draws among all.

    Ranks of chains that sample the same distribution are even (Vehtari et al. 2021, doi:10.1214/20-BA1221).

    Parameters
    ----------
    posterior : Dataset or DataTree
        `BiClustering.posterior_`, or its `posterior` group: variables of dims chain, draw.
    names : sequence of str, optional
        Variables to draw; default all of dims chain, draw.

    Returns
    -------
    array (variable, 2) of Axes

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> draws = np.random.default_rng(0).normal(size=(2, 50))
    >>> nd.plot.chains(xr.Dataset({"mass": (("chain", "draw"), draws)})).shape
    (1, 2)
    """
    data = posterior["posterior"].to_dataset() if isinstance(posterior, xr.DataTree) else posterior
    able = [str(name) for name, one in data.data_vars.items() if one.dims == ("chain", "draw")]
    wanted = able if names is None else list(names)
    unknown = [name for name in wanted if name not in able]
    if unknown or not wanted:
        raise OptionError(f"variables of dims chain, draw: {able}", f"{unknown or 'none'}", "correct names=")
    made = figure(9.0, 1.5 * len(wanted) + 0.5)
    panels = made.subplots(len(wanted), 2, squeeze=False, width_ratios=(3, 1))
    for (left, right), name in zip(panels, wanted, strict=True):
        values = data[name].values
        rank = rankdata(values).reshape(values.shape)
        for k, (trace, own) in enumerate(zip(values, rank, strict=True)):
            dress(left).plot(trace, color=colour(k), linewidth=0.7, alpha=0.8)
            dress(right).hist(
                own, bins=_RANK_BINS, range=(0, values.size + 1), histtype="step", color=colour(k), linewidth=1.0
            )
        right.axhline(values.shape[1] / _RANK_BINS, color=INK, linewidth=0.7, linestyle=":")
        left.set_ylabel(name.replace("_", " "))
        right.set_yticks([])
    panels[-1, 0].set_xlabel("draw")
    panels[-1, 1].set_xlabel("rank among all draws")
    return panels
