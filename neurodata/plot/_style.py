"""One look for all pictures, set on the axes that are drawn on and on nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe & Ito's colours, told apart by nearly all eyes (https://jfly.uni-koeln.de/color/).
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6D1F", "#F0E442")
INK = "#222222"
FAINT = "#8A8A8A"
# Two-sided and one-sided values; both readable in grey.
DIVERGING = "RdBu_r"
SEQUENTIAL = "cividis"


def colour(k: int) -> str:
    """Colour number `k` of the palette, which repeats."""
    return PALETTE[k % len(PALETTE)]


def figure(width: float = 9.0, height: float = 4.0) -> Figure:
    """A figure that pyplot does not know of, so that none is left open (size in inches)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    made = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(made)
    return made


def axes(ax: Axes | None, width: float = 9.0, height: float = 4.0) -> Axes:
    """The axes that were given, or those of a new figure, with the common look."""
    return dress(figure(width, height).add_subplot() if ax is None else ax)


def dress(ax: Axes) -> Axes:
    """Two spines, small outward ticks, small type."""
    ax.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(FAINT)
        ax.spines[side].set_linewidth(0.8)
    ax.tick_params(labelsize=8, color=FAINT, length=3, width=0.8)
    for label in (ax.xaxis.label, ax.yaxis.label):
        label.set_fontsize(9)
        label.set_color(INK)
    return ax


def note(ax: Axes, text: str) -> None:
    """A short remark above the axes at the right, for what the picture leaves out."""
    if text:
        ax.set_title(text, loc="right", fontsize=8, color=FAINT)


def title(ax: Axes, text: str) -> None:
    """A heading above the axes at the left."""
    ax.set_title(text, loc="left", fontsize=10, color=INK)


def scale_bar(ax: Axes, size: float, text: str, bottom: float) -> None:
    """A vertical bar `size` data units long at the right edge, with its meaning beside it."""
    from matplotlib.transforms import blended_transform_factory

    place = blended_transform_factory(ax.transAxes, ax.transData)
    ax.plot([1.008, 1.008], [bottom, bottom + size], transform=place, color=INK, lw=2, clip_on=False)
    ax.text(1.016, bottom + size / 2, text, transform=place, va="center", ha="left", fontsize=8, color=INK)


def round_size(value: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above `value`.

    Examples
    --------
    >>> [round_size(v) for v in (0.7, 3.0, 99.0)]
    [0.5, 2.0, 50.0]
    """
    if not np.isfinite(value) or value <= 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(value))
    return float(power * max(factor for factor in (1, 2, 5) if factor * power <= value * (1 + 1e-9)))


def item_colours(values: Any) -> dict[Any, str]:
    """A colour for each distinct value, in order of first appearance."""
    return {value: colour(k) for k, value in enumerate(dict.fromkeys(values))}
