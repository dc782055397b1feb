"""A fitted HMM-GLM: who is coupled to whom in each state, with what filters, and how many states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._style import DIVERGING, FAINT, INK, axes, colour, dress, figure, note, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from neurodata.models import HMMGLM

# Two-sided 95 % of a Gaussian.
_Z95 = 1.96
_LABELS = 8
# How far arrows between states bend, as a part of their length.
_BOW = 0.12


def connectivity(model: HMMGLM, *, what: str | None = None, sort: Any = None, sign: Any = None) -> np.ndarray:
    """Couplings in each state beside what the states share, on one colour scale that is symmetric round zero.

    Parameters
    ----------
    model : HMMGLM
        Fitted.
    what : {"type", "weight"}, optional
        "type": the probability of excitation less that of inhibition, from `connection_prob_`, and the same of
        `connection_prior_`; the default with ``prior="onehot"``. "weight": `weight_`, and `shared_weight_` where the
        model has it; the default otherwise.
    sort : array (unit,), optional
        Rows of the units in the order to draw them.
    sign : array (unit,), optional
        1 for excitatory units, -1 for inhibitory, 0 unknown: the units are drawn in these groups, with lines between.

    Returns
    -------
    array of Axes
        One for each state and, where there is one, the last for what they share; y is the unit that is driven (post),
        x the one that drives (pre). The diagonal is left out.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (300, 3)), bin_width=0.02)
    >>> model = nd.models.HMMGLM(n_states=2, n_restarts=1, prior="gaussian", rng=0).fit(counts)
    >>> [ax.get_title() for ax in nd.plot.connectivity(model)]
    ['state 0', 'state 1', 'shared mean']
    """
    stack, names, label = _couplings(model, what)
    n_units = stack.shape[1]
    order, cuts = _grouped(n_units, sort, sign)
    stack = stack.copy()
    stack[:, np.arange(n_units), np.arange(n_units)] = np.nan
    stack = stack[:, order][:, :, order]
    finite = np.abs(stack[np.isfinite(stack)])
    limit = 1.0 if label.startswith("P(") else (float(np.percentile(finite, 99.5)) if finite.size else 1.0) or 1.0
    made = figure(min(2.7 * len(stack) + 1.2, 13.0), 3.7)
    panels = made.subplots(1, len(stack), sharex=True, sharey=True, squeeze=False)[0]
    ids = model.weight_["post"].values[order]
    shown = np.arange(0, n_units, max(1, -(-n_units // _LABELS)))
    n_states = model.weight_.sizes["state"]
    for k, ax in enumerate(panels):
        dress(ax)
        image = ax.imshow(stack[k], cmap=DIVERGING, vmin=-limit, vmax=limit, origin="lower", interpolation="nearest")
        ink = colour(k) if k < n_states else INK
        ax.set_title(names[k], fontsize=10, color=ink, fontweight="bold")
        ax.set_xlabel("from unit (pre)")
        ax.set_xticks(shown, [str(ids[j]) for j in shown], rotation=90)
        ax.set_yticks(shown, [str(ids[j]) for j in shown])
        for cut in cuts:
            ax.axhline(cut - 0.5, color=INK, lw=0.8)
            ax.axvline(cut - 0.5, color=INK, lw=0.8)
    panels[0].set_ylabel("to unit (post)")
    clipped = bool(finite.size and finite.max() > limit)
    bar = made.colorbar(image, ax=list(panels), shrink=0.8, pad=0.01, extend="both" if clipped else "neither")
    bar.set_label(label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    return panels


def filters(model: HMMGLM, data: Any, pairs: Sequence[tuple[Any, Any]] | None = None, *, most: int = 6) -> np.ndarray:
    """Coupling filters over lags with 95 % intervals, all states of a pair in one panel.

    Parameters
    ----------
    model : HMMGLM
        Fitted.
    data : DataArray or list of DataArray
        Counts of the fit, from which the intervals are computed.
    pairs : sequence of (post, pre), optional
        Ids of units; by default those whose summed filter is furthest from zero in units of its standard error.
    most : int
        Pairs to choose when `pairs` is not given.

    Returns
    -------
    array of Axes
        x is the lag (ms), y the gain of the linear predictor per spike. Intervals take the states as known.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (300, 3)), bin_width=0.02)
    >>> model = nd.models.HMMGLM(n_states=1, rng=0).fit(counts)
    >>> panels = nd.plot.filters(model, counts, pairs=[(0, 1)])
    >>> panels[0].get_title("left"), panels[0].get_xlabel()
    ('1 → 0', 'lag (ms)')
    """
    chosen = _strongest(model, most) if pairs is None else list(pairs)
    if not chosen:
        raise OptionError("at least one pair (post, pre)", repr(pairs), "pass ids of units")
    error = model.filter_se(data, chosen)
    lag = 1e3 * model.filter_["lag"].values
    columns = min(3, len(chosen))
    rows = -(-len(chosen) // columns)
    made = figure(3.0 * columns + 0.4, 2.1 * rows + 0.6)
    grid = made.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = grid.ravel()[: len(chosen)]
    for empty in grid.ravel()[len(chosen) :]:
        empty.set_visible(False)
    for k, (ax, (post, pre)) in enumerate(zip(panels, chosen, strict=True)):
        dress(ax)
        ax.axhline(0.0, color=FAINT, lw=0.8, ls=":")
        for s, state in enumerate(model.filter_["state"].values):
            middle = model.filter_.sel(post=post, pre=pre).values[s]
            half = _Z95 * error.values[s, k]
            ax.fill_between(lag, middle - half, middle + half, color=colour(s), alpha=0.2, lw=0)
            ax.plot(lag, middle, "o-", color=colour(s), ms=3, lw=1.4, label=f"state {state}")
        title(ax, f"{pre} → {post}")
        if k + columns >= len(chosen):
            ax.set_xlabel("lag (ms)")
            ax.tick_params(labelbottom=True)
    for ax in grid[:, 0]:
        ax.set_ylabel("gain per spike", fontsize=9)
    if model.filter_.sizes["state"] > 1:
        made.legend(
            *panels[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside upper right", ncols=8
        )
    return panels


def transitions(model: HMMGLM, *, least: float = 0.02, ax: Axes | None = None) -> Axes:
    """States as circles, their areas the shares of time, with arrows for the way on and the mean visit in s.

    Parameters
    ----------
    model : HMMGLM
        Fitted.
    least : float
        Smallest share of the leaving transitions of a state that gets an arrow.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Numbers at arrows are the probability that this is the next state, once the state is left. The mean visit is
        ``bin_width / (1 - P[stay])``, that of the fitted chain.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (300, 3)), bin_width=0.02)
    >>> ax = nd.plot.transitions(nd.models.HMMGLM(n_states=2, n_restarts=1, rng=0).fit(counts))
    >>> len([text for text in ax.texts if text.get_text().endswith(" s")])
    2
    """
    from matplotlib.patches import Circle, FancyArrowPatch

    matrix, occupancy = model.transition_.values, model.occupancy_.values
    n = len(matrix)
    dwell = model.bin_width_ / np.maximum(1.0 - np.diag(matrix), 1e-12)
    leave = matrix - np.diag(np.diag(matrix))
    leave = leave / np.maximum(leave.sum(axis=1, keepdims=True), 1e-300)
    angle = np.pi / 2 - 2.0 * np.pi * np.arange(n) / n if n != 2 else np.array([np.pi, 0.0])
    place = np.stack([np.cos(angle), np.sin(angle)], axis=1) * (n > 1)
    # Small enough that neighbours on the circle do not touch.
    largest = 0.42 if n <= 3 else 0.8 * np.sin(np.pi / n)
    radius = np.maximum(largest * np.sqrt(occupancy / occupancy.max()), 0.35 * largest)
    ax = axes(ax, 4.8, 3.2 if n <= 2 else 4.8)
    for i in range(n):
        for j in range(n):
            if i == j or leave[i, j] < least:
                continue
            span = place[j] - place[i]
            length = float(np.hypot(*span))
            along, aside = span / length, np.array([span[1], -span[0]]) / length
            # There and back are bows on either side of the line between the circles.
            begin = place[i] + radius[i] * (0.92 * along + 0.39 * aside)
            end = place[j] + (radius[j] + 0.03) * (-0.92 * along + 0.39 * aside)
            arrow = FancyArrowPatch(
                begin, end, connectionstyle=f"arc3,rad={_BOW}", arrowstyle="-|>", mutation_scale=11,
                lw=0.6 + 3.0 * leave[i, j], color=colour(i), shrinkA=0, shrinkB=0, gid=f"{i}-{j}",
            )  # fmt: skip
            ax.add_patch(arrow)
            # On the bow, nearer its origin than the middle, where arrows between opposite states cross.
            bend = 0.5 * (begin + end) + _BOW * float(np.hypot(*(end - begin))) * aside
            at = 0.49 * begin + 0.42 * bend + 0.09 * end
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"}
            ax.text(at[0], at[1], f"{leave[i, j]:.2f}", fontsize=8, color=colour(i), ha="center", va="center", bbox=box)
    for i, state in enumerate(model.transition_["state"].values):
        ax.add_patch(Circle(tuple(place[i]), radius[i], facecolor=colour(i), alpha=0.9, lw=0, gid=f"state {state}"))
        ax.text(
            place[i, 0],
            place[i, 1],
            str(state),
            color="white",
            fontsize=12,
            fontweight="bold",
            ha="center",
            va="center",
        )
        outward = np.array([0.0, -1.0]) if n <= 2 else place[i]
        at = place[i] + outward * (radius[i] + (0.14 if n <= 2 else 0.2))
        ax.text(at[0], at[1], f"{dwell[i]:.2g} s", color=INK, fontsize=9, ha="center", va="center")
    high = 1.0 + largest + 0.3
    ax.set(
        xlim=(-high, high),
        ylim=(float(place[:, 1].min()) + 1.0 - high, high) if n > 2 else (-0.85, 0.85),
        aspect="equal",
        xticks=[],
        yticks=[],
    )
    ax.spines[:].set_visible(False)
    note(ax, "circles: share of time and mean visit; arrows: next state")
    return ax


def state_selection(table: xr.Dataset) -> np.ndarray:
    """Held-out score, co-smoothing and BIC over the number of states, side by side.

    Parameters
    ----------
    table : Dataset
        From `neurodata.models.select_n_states`.

    Returns
    -------
    array of Axes
        Thin lines are folds; bars are standard errors of the difference to the highest. A ring marks the choice.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (300, 2)), bin_width=0.02)
    >>> table = nd.models.select_n_states(nd.models.HMMGLM(n_restarts=1, rng=0), counts, [1, 2], n_folds=2)
    >>> [ax.get_ylabel() for ax in nd.plot.state_selection(table)]
    ['held-out score (bits/spike)', 'co-smoothing (bits/spike)', 'BIC - lowest (nats)']
    """
    wanted = ("score", "cosmoothing", "bic", "best", "best_by_cosmoothing", "best_by_bic")
    missing = [name for name in wanted if name not in getattr(table, "data_vars", ())]
    if missing:
        raise OptionError(
            "the result of select_n_states", f"lacks {', '.join(missing)}", "pass that Dataset as it came"
        )
    number = table["n_states"].values
    made = figure(9.6, 3.0)
    panels = made.subplots(1, 3, sharex=True)
    labels = ("held-out score (bits/spike)", "co-smoothing (bits/spike)", "BIC - lowest (nats)")
    choices = ("best", "best_by_cosmoothing", "best_by_bic")
    for k, (ax, name) in enumerate(zip(panels, ("score", "cosmoothing", "bic"), strict=True)):
        dress(ax)
        if name == "bic":
            mean = table["bic"].values - float(table["bic"].min())
            ax.plot(number, mean, "o-", color=colour(k), ms=4)
        else:
            ax.plot(number, table[name].transpose("n_states", "fold").values, color=FAINT, lw=0.6, alpha=0.7)
            mean = table[f"mean_{name}"].values
            note(ax, "grey: folds")
            ax.errorbar(number, mean, table[f"{name}_se"].values, fmt="o-", color=colour(k), ms=4, capsize=2)
        best = int(table[choices[k]])
        at = mean[np.flatnonzero(number == best)[0]]
        ax.plot([best], [at], "o", ms=12, mfc="none", mec=INK, mew=1.2)
        title(ax, f"best: {best}")
        ax.set(xlabel="number of states", ylabel=labels[k])
        ax.set_xticks(number)
    return panels


def _couplings(model: HMMGLM, what: str | None) -> tuple[np.ndarray, list[str], str]:
    """Matrices (panel, post, pre), their names, and what the colours mean."""
    typed = "connection_prob_" in vars(model)
    kind = what or ("type" if typed else "weight")
    if kind not in ("type", "weight") or (kind == "type" and not typed):
        raise OptionError(
            "what='weight', or 'type' of a model with prior='onehot'", repr(what), "set what=, or fit with that prior"
        )
    names = [f"state {state}" for state in model.weight_["state"].values]
    if kind == "type":
        probability, shared = model.connection_prob_, model.connection_prior_
        signed = [
            (part.sel(connection="excitatory") - part.sel(connection="inhibitory")).values
            for part in (probability, shared)
        ]
        return np.concatenate([signed[0], signed[1][None]]), [*names, "shared prior"], "P(excitatory) - P(inhibitory)"
    stack, label = model.weight_.values, "coupling (linear predictor per spike)"
    if "shared_weight_" in vars(model):
        return np.concatenate([stack, model.shared_weight_.values[None]]), [*names, "shared mean"], label
    return stack, names, label


def _grouped(n_units: int, sort: Any, sign: Any) -> tuple[np.ndarray, np.ndarray]:
    """Rows in the order to draw, excitatory first, and where groups end."""
    order = np.arange(n_units) if sort is None else np.asarray(sort)
    if sign is None:
        return order, np.zeros(0, dtype=int)
    sign = np.asarray(sign)
    if sign.shape != (n_units,):
        raise OptionError(f"a sign for each of the {n_units} units", f"shape {sign.shape}", "correct sign=")
    order = order[np.argsort(-sign[order], kind="stable")]
    return order, np.flatnonzero(np.diff(sign[order])) + 1


def _strongest(model: HMMGLM, most: int) -> list[tuple[Any, Any]]:
    ratio = np.nan_to_num(np.abs(model.weight_.values) / np.maximum(model.weight_se_.values, 1e-300)).max(axis=0)
    if len(ratio) > 1:
        np.fill_diagonal(ratio, -1.0)
    ids = model.weight_["post"].values
    best = np.argsort(-ratio, axis=None, kind="stable")[: min(most, ratio.size)]
    return [(ids[i], ids[j]) for i, j in zip(*np.unravel_index(best, ratio.shape), strict=True) if ratio[i, j] >= 0]
