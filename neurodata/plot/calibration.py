"""Pictures of calibration: ranks against uniform, intervals against their nominal coverage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from neurodata.errors import OptionError
from neurodata.plot._style import FAINT, INK, axes, colour, note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# More lines than this cannot be told apart: those that passed turn grey.
_NAMED = 8


def sbc_ecdf(result: xr.Dataset, ax: Axes | None = None) -> Axes:
    """ECDF of the ranks of each quantity less that of uniform ranks, with the band it should stay in.

    Parameters
    ----------
    result : Dataset
        Of `neurodata.validate.sbc`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        A line above the band on the left and below it on the right means draws that are too close together; the other
        way round, too far apart; all on one side, a bias. Quantities that failed are drawn thick.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> result = nd.validate.sbc(
    ...     lambda rng: {"x": rng.normal()},
    ...     lambda params, rng: rng.normal(params["x"]),
    ...     lambda data, n_draws, rng: {"x": rng.normal(data / 2, np.sqrt(0.5), n_draws)},
    ...     thin=1,
    ...     rng=1,
    ... )
    >>> nd.plot.sbc_ecdf(result).get_ylabel()
    'ECDF - uniform'
    """
    _asked(result, ("ecdf_difference", "band_lower", "band_upper", "passed"), "sbc")
    ax = axes(ax, 6.0, 4.0)
    n_values = result.sizes["rank_value"]
    x = np.arange(n_values + 1) / n_values
    low, high = (np.r_[0.0, result[name].values] for name in ("band_lower", "band_upper"))
    level = 100 * float(result.attrs.get("level", 0.95))
    ax.fill_between(x, low, high, color=FAINT, alpha=0.25, lw=0, label=f"{level:g} % band")
    ax.axhline(0, color=FAINT, lw=0.8)
    passed = result["passed"].values
    few = passed.size <= _NAMED
    shown = 0
    for k in np.argsort(~passed, kind="stable"):
        y = np.r_[0.0, result["ecdf_difference"].values[k]]
        named = few or (not passed[k] and shown < _NAMED)
        ink = colour(shown) if named else FAINT
        text = str(result["quantity"].values[k]) + ("" if passed[k] else " (failed)")
        ax.plot(x, y, color=ink, lw=1.2 if passed[k] else 2.2, label=text if named else None)
        shown += named
    low, high = ax.get_ylim()
    # Room for the legend above the lines.
    ax.set_ylim(low, high + 0.3 * (high - low))
    ax.set(xlim=(0, 1), xlabel="rank of the truth among the draws (fraction)", ylabel="ECDF - uniform")
    ax.legend(fontsize=8, frameon=False, loc="upper right", ncols=2)
    note(ax, f"{passed.sum()} of {passed.size} passed, {result.sizes['simulation']} simulations")
    return ax


def coverage(result: xr.Dataset, ax: Axes | None = None) -> Axes:
    """Share of true values inside their intervals over the nominal share, with the band that chance allows.

    Parameters
    ----------
    result : Dataset
        Of `neurodata.validate.coverage`.
    ax : Axes, optional
        Where to draw; default a new figure.

    Returns
    -------
    Axes
        Below the diagonal intervals are too narrow, above it too wide. Bars are the bands; marks outside are filled.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> truth = np.random.default_rng(0).normal(size=100)
    >>> nd.plot.coverage(nd.validate.coverage(truth, mean=0.0, sd=1.0)).get_xlabel()
    'nominal coverage (%)'
    """
    _asked(result, ("coverage", "band_lower", "band_upper", "passed"), "coverage")
    ax = axes(ax, 4.6, 4.2)
    rows = result if "quantity" in result.dims else result.expand_dims(quantity=[""])
    n_rows = rows.sizes["quantity"]
    ax.plot([0, 100], [0, 100], color=FAINT, lw=0.8, ls=":")
    for k in range(n_rows):
        row = rows.isel(quantity=k)
        # Beside one another, so that bands of several quantities can be told apart.
        x = 100 * row["level"].values + 1.5 * (k - (n_rows - 1) / 2)
        share, low, high, passed = (row[name].values for name in ("coverage", "band_lower", "band_upper", "passed"))
        name = str(row["quantity"].item())
        ax.vlines(x, 100 * low, 100 * high, color=colour(k), lw=4, alpha=0.3)
        ax.plot(x, 100 * share, "o-", color=colour(k), mfc="white", ms=5, lw=1, label=name or None)
        ax.plot(x[~passed], 100 * share[~passed], "o", color=colour(k), ms=5)
    ax.set(xlim=(0, 102), ylim=(-2, 102), xlabel="nominal coverage (%)", ylabel="true values inside (%)")
    if n_rows > 1:
        ax.legend(fontsize=8, frameon=False, loc="upper left", labelcolor=INK)
    return ax


def _asked(result: xr.Dataset, wanted: tuple[str, ...], maker: str) -> None:
    missing = [name for name in wanted if name not in getattr(result, "data_vars", ())]
    if missing:
        raise OptionError(
            f"the result of neurodata.validate.{maker}", f"lacks {', '.join(missing)}", "pass that Dataset as it came"
        )
