"""Scores of models on circuits with known truth: how good, how much better than guessing, at what cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.diagnostics.spread import mean_interval
from neurodata.errors import OptionError
from neurodata.plot._style import DIVERGING, FAINT, INK, SEQUENTIAL, colour, dress, figure, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^vP*X"
_ROW = ("circuit", "observation")


def score_map(score: xr.DataArray, *, better: str = "higher", ax: Axes | None = None) -> Axes:
    """Mean score of every model (columns) on every circuit as it was observed (rows), with its interval over seeds.

    Parameters
    ----------
    score : DataArray (model, circuit, observation, seed)
        One metric of the result of a grid.
    better : {"higher", "lower", "zero"}
        Which values are good; good is bright.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        In each cell the mean and half the 95 % interval of the mean; "-" where there is no score. Models and rows
        without any score are left out.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> score = xr.DataArray(np.full((2, 1, 1, 3), 0.5), dims=("model", "circuit", "observation", "seed"))
    >>> [text.get_text() for text in nd.plot.score_map(score).texts]
    ['0.50 ± 0.00', '0.50 ± 0.00']
    """
    score = _four(score)
    found = mean_interval(score)
    mean = _rows(found["mean_"])
    half = _rows(found["high"] - found["mean_"])
    models = np.array([str(m) for m in score["model"].values])
    rows = np.array([f"{c}, {o}" for c in score["circuit"].values for o in score["observation"].values])
    edges = np.repeat(np.arange(score.sizes["circuit"]), score.sizes["observation"])
    # Models and rows without any score would be grey throughout; they are left out when there are others.
    across, down = np.isfinite(mean).any(axis=0), np.isfinite(mean).any(axis=1)
    if across.any():
        mean, half = mean[np.ix_(down, across)], half[np.ix_(down, across)]
        models, rows, edges = models[across], rows[down], edges[down]
    ax = figure(min(12.0, 3.2 + 1.25 * len(models)), 1.5 + 0.32 * len(rows)).add_subplot() if ax is None else ax
    dress(ax)
    finite = mean[np.isfinite(mean)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if better == "zero":
        high = max(abs(low), abs(high)) or 1.0
        low, cmap = -high, DIVERGING
    else:
        cmap = SEQUENTIAL if better == "higher" else f"{SEQUENTIAL}_r"
        low, high = (low, high) if high > low else (low - 0.5, high + 0.5)
    image = ax.imshow(mean, cmap=cmap, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    ax.set_facecolor("#eeeeee")
    for i, j in np.ndindex(mean.shape):
        if np.isfinite(mean[i, j]):
            text = f"{mean[i, j]:.2f}" + (f" ± {half[i, j]:.2f}" if np.isfinite(half[i, j]) else "")
            red, green, blue, _ = image.cmap(image.norm(mean[i, j]))
            ink = "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
        else:
            text, ink = "-", FAINT
        ax.text(j, i, text, ha="center", va="center", fontsize=7.5, color=ink)
    ax.set_xticks(range(len(models)), models, rotation=20, ha="right")
    ax.set_yticks(range(len(rows)), rows)
    for k in np.flatnonzero(np.diff(edges)):
        ax.axhline(k + 0.5, color="white", lw=3)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    return ax


def score_against_chance(
    score: xr.DataArray, chance: xr.DataArray | None = None, *, label: str = "score", baselines: Any = ()
) -> np.ndarray:
    """Score of each model on each circuit as a dot with its interval over seeds, and the score of guessing as a line.

    Parameters
    ----------
    score : DataArray (model, circuit, observation, seed)
    chance : DataArray, as `score`, optional
    label : str
        Of the axis.
    baselines : sequence of str
        Models drawn with empty marks.

    Returns
    -------
    array of Axes
        One per observation.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> score = xr.DataArray(np.full((2, 1, 1, 3), 0.5), dims=("model", "circuit", "observation", "seed"))
    >>> nd.plot.score_against_chance(score, label="AP")[0].get_xlabel()
    'AP'
    """
    score = _four(score)
    shades = {str(name): m for m, name in enumerate(score["model"].values)}
    score = _with_scores(score)
    found = mean_interval(score)
    n_models, n_circuits, n_views, _ = score.shape
    made = figure(min(12.0, 3.6 + 2.6 * n_views), 1.6 + 0.16 * n_circuits * (n_models + 2))
    panels = made.subplots(1, n_views, sharex=True, sharey=True, squeeze=False)[0]
    step = 0.8 / max(n_models, 1)
    for v, ax in enumerate(panels):
        dress(ax)
        for m, name in enumerate(score["model"].values):
            y = np.arange(n_circuits) + (m - (n_models - 1) / 2) * step
            one = found.isel(model=m, observation=v)
            mean, low, high = (one[part].values for part in ("mean_", "low", "high"))
            shade, shape = _look(shades[str(name)])
            ax.hlines(y, low, high, color=shade, lw=1.5)
            face = "white" if str(name) in {str(b) for b in baselines} else shade
            ax.plot(mean, y, shape, color=shade, mfc=face, ms=4.5, label=str(name))
        if chance is not None:
            there = {d: score[d].values for d in ("circuit", "observation")}
            level = _four(chance).sel(there).isel(observation=v).mean(("model", "seed"), skipna=True).values
            ax.vlines(level, np.arange(n_circuits) - 0.46, np.arange(n_circuits) + 0.46, color=INK, lw=1, ls=":")
        ax.set_title(str(score["observation"].values[v]), fontsize=10, color=INK)
        ax.set_xlabel(label)
        for k in range(1, n_circuits):
            ax.axhline(k - 0.5, color="#e6e6e6", lw=0.8, zorder=0)
    panels[0].set_yticks(range(n_circuits), [str(c) for c in score["circuit"].values])
    panels[0].set_ylim(n_circuits - 0.5, -0.5)
    handles, labels = panels[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside right upper", fontsize=8, frameon=False)
    return panels


def score_by_duration(score: xr.DataArray, *, label: str = "score") -> np.ndarray:
    """Mean score over the length of the recording, with its interval over seeds; one panel per circuit.

    Parameters
    ----------
    score : DataArray (duration, model, circuit, observation, seed)
        Observations are averaged, seed by seed.
    label : str

    Returns
    -------
    array of Axes

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> dims = ("duration", "model", "circuit", "observation", "seed")
    >>> score = xr.DataArray(np.full((2, 1, 1, 1, 3), 0.5), dims=dims, coords={"duration": [30.0, 60.0]})
    >>> nd.plot.score_by_duration(score)[0].get_xlabel()
    'length of the recording (s)'
    """
    if "duration" not in score.dims:
        raise OptionError("scores with a dim duration", f"{score.dims}", "give the grid several durations")
    score = _labelled(score)
    shades = {str(name): m for m, name in enumerate(score["model"].values)}
    found = mean_interval(_with_scores(score).mean("observation", skipna=True))
    made, panels = _panels(found.sizes["circuit"], sharey=True)
    x = found["duration"].values
    for c, ax in enumerate(panels):
        for name in found["model"].values:
            one = found.sel(model=name).isel(circuit=c).sortby("duration")
            shade, shape = _look(shades[str(name)])
            x = one["duration"].values
            ax.plot(x, one["mean_"].values, color=shade, marker=shape, ms=4, label=str(name))
            ax.fill_between(x, one["low"].values, one["high"].values, color=shade, alpha=0.12, lw=0)
        ax.set_xscale("log")
        ax.set_xlim(x[0] / 1.1, x[-1] * 1.1)
        ax.set_xticks(x, [f"{value:g}" for value in x], minor=False)
        ax.minorticks_off()
        ax.set_xlabel("length of the recording (s)")
        ax.set_title(str(found["circuit"].values[c]), fontsize=10, color=INK)
    panels[0].set_ylabel(label)
    handles, labels = panels[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return panels


def detection_curves(true_positive_rate: xr.DataArray, precision: xr.DataArray) -> np.ndarray:
    """ROC and precision-recall curves of each model, averaged over circuits, observations and seeds.

    Parameters
    ----------
    true_positive_rate : DataArray (model, ..., false_positive_rate)
    precision : DataArray (model, ..., recall)

    Returns
    -------
    array of Axes
        ROC, precision-recall.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> grid = np.linspace(0, 1, 3)
    >>> rate = xr.DataArray([grid], dims=("model", "false_positive_rate"), coords={"false_positive_rate": grid})
    >>> precision = xr.DataArray([grid], dims=("model", "recall"), coords={"recall": grid})
    >>> nd.plot.detection_curves(rate, precision)[1].get_ylabel()
    'precision'
    """
    made = figure(9.0, 4.2)
    panels = made.subplots(1, 2)
    for ax, curve, dim in zip(panels, (true_positive_rate, precision), ("false_positive_rate", "recall"), strict=True):
        dress(ax)
        mean = curve.mean([d for d in curve.dims if d not in ("model", dim)], skipna=True)
        for m in range(mean.sizes["model"]):
            line = mean.isel(model=m)
            if np.isfinite(line.values).any():
                name = str(line["model"].values) if "model" in line.coords else str(m)
                style = ("-", "--", "-.")[m // 8 % 3]
                ax.plot(mean[dim].values, line.values, color=colour(m), ls=style, lw=1.6, label=name)
        ax.set(xlim=(0, 1), ylim=(0, 1.02))
    panels[0].plot([0, 1], [0, 1], color=FAINT, lw=0.8, ls=":")
    panels[0].set(xlabel="share of unconnected pairs called connected", ylabel="share of connections found")
    panels[1].set(xlabel="share of connections found (recall)", ylabel="precision")
    handles, labels = panels[0].get_legend_handles_labels()
    if handles:
        made.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    return panels


def weight_scatter(true: xr.DataArray, claimed: xr.DataArray) -> np.ndarray:
    """Weight a model gives to each true connection over its true weight; one panel per model that gives weights.

    Parameters
    ----------
    true, claimed : DataArray (model, ..., edge_sample)
        mV, and the unit of the model; NaN where there is none.

    Returns
    -------
    array of Axes

    Examples
    --------
    >>> import xarray as xr
    >>> import neurodata as nd
    >>> true = xr.DataArray([[0.2, -0.8]], dims=("model", "edge_sample"), coords={"model": ["a"]})
    >>> nd.plot.weight_scatter(true, 0.1 * true)[0].get_xlabel()
    'true weight (mV)'
    """
    from scipy.stats import spearmanr

    both = {}
    for m, name in enumerate(true["model"].values):
        x, y = (part.sel(model=name).values.ravel() for part in (true, claimed))
        kept = np.isfinite(x) & np.isfinite(y)
        if kept.any():
            both[str(name)] = (m, x[kept], y[kept])
    if not both:
        raise OptionError("a model that gives weights to true connections", "none does", "leave this picture out")
    _, panels = _panels(len(both))
    for ax, (name, (m, x, y)) in zip(panels, both.items(), strict=True):
        ax.axhline(0, color="#e0e0e0", lw=0.8)
        ax.axvline(0, color="#e0e0e0", lw=0.8)
        ax.plot(x, y, ".", ms=2.5, color=colour(m), alpha=0.4, mew=0)
        top = float(np.percentile(np.abs(y), 99.5)) or 1.0
        ax.set_ylim(-1.1 * top, 1.1 * top)
        ax.set_title(name, fontsize=10, color=INK)
        ax.set_xlabel("true weight (mV)")
        if x.size > 2 and np.ptp(x) > 0 and np.ptp(y) > 0:
            note(ax, f"rank correlation {float(spearmanr(x, y).statistic):.2f}")
            ax.set_title(name, loc="left", fontsize=10, color=INK)
            ax.set_title("", loc="center")
    panels[0].set_ylabel("weight by the model")
    return panels


def runtimes(runtime: xr.DataArray, *, ax: Axes | None = None) -> Axes:
    """Time each model took for one cell: all cells as dots, the median as a bar.

    Parameters
    ----------
    runtime : DataArray (model, ...)
        s.
    ax : Axes, optional

    Returns
    -------
    Axes

    Examples
    --------
    >>> import xarray as xr
    >>> import neurodata as nd
    >>> nd.plot.runtimes(xr.DataArray([[1.0, 2.0]], dims=("model", "seed"))).get_xlabel()
    'time for one cell (s)'
    """
    runtime = _labelled(runtime)
    names = [str(m) for m in runtime["model"].values]
    ax = figure(8.0, 1.2 + 0.32 * len(names)).add_subplot() if ax is None else ax
    dress(ax)
    for m in range(len(names)):
        values = runtime.isel(model=m).values.ravel()
        values = values[np.isfinite(values)]
        if values.size:
            ax.plot(values, np.full(values.size, m), ".", color=colour(m), alpha=0.35, ms=5, mew=0)
            ax.plot([np.median(values)] * 2, [m - 0.35, m + 0.35], color=colour(m), lw=2.5)
    ax.set_xscale("log")
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("time for one cell (s)")
    return ax


def _labelled(values: xr.DataArray) -> xr.DataArray:
    """With a label on every dim, so that rows and columns can be named."""
    missing = {dim: np.arange(values.sizes[dim]) for dim in values.dims if dim not in values.coords}
    return values.assign_coords(missing)


def _four(score: xr.DataArray) -> xr.DataArray:
    wanted = ("model", "circuit", "observation", "seed")
    if set(score.dims) != set(wanted):
        raise OptionError(
            f"scores with dims {wanted}", f"{score.dims}", "select one metric (and duration) of the result of a grid"
        )
    return _labelled(score).transpose(*wanted)


def _rows(values: xr.DataArray) -> np.ndarray:
    """(circuit and observation, model)."""
    return values.transpose(*_ROW, "model").values.reshape(-1, values.sizes["model"])


def _look(m: int) -> tuple[str, str]:
    """Colour and mark of model number `m`; the mark changes when colours repeat."""
    return colour(m), _MARKERS[(m + m // 8) % len(_MARKERS)]


def _with_scores(score: xr.DataArray) -> xr.DataArray:
    """Without the models, circuits and observations that have no score at all, when others have one."""
    there = score.notnull()
    if not there.any():
        return score
    kept = {d: there.any([o for o in score.dims if o != d]).values for d in ("model", "circuit", "observation")}
    return score.isel({d: np.flatnonzero(rows) for d, rows in kept.items()})


def _panels(n: int, sharey: bool = False) -> tuple[Any, np.ndarray]:
    """A figure with `n` panels in rows of four at most."""
    columns = min(n, 4)
    rows = -(-n // columns)
    made = figure(min(12.0, 1.0 + 2.8 * columns), 0.8 + 2.7 * rows)
    panels = made.subplots(rows, columns, squeeze=False, sharey=sharey).ravel()
    for ax in panels[n:]:
        ax.remove()
    for ax in panels[:n]:
        dress(ax)
    return made, panels[:n]
