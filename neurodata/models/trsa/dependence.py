"""AGTDM: a test of dependence of two RDMs that adapts the geo-topological thresholds."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.distance_correlation import correlations, double_centred
from neurodata.models.trsa.rdm import align, squares, to_vectors
from neurodata.models.trsa.transforms import geo_topological_vectors

STATISTICS = ("correlation", "excess", "standardised")
_BOUNDS = ("lower_a", "upper_a", "lower_b", "upper_b")


def adaptive_dependence(
    a: xr.DataArray,
    b: xr.DataArray,
    *,
    n_thresholds: int = 6,
    n_permutations: int = 1000,
    rank: bool = False,
    rng: RNGLike = None,
) -> xr.Dataset:
    r"""Test whether two RDMs of the same conditions depend on each other, at whichever thresholds show it best.

    The statistic is the largest distance correlation [2]_ of :math:`GT_{l,u}(a)` and :math:`GT_{l',u'}(b)` over a grid
    of the four thresholds [1]_. Each permutation of the conditions gets a maximum of its own, so that the choice of the
    best cell costs no validity.

    Parameters
    ----------
    a, b : DataArray (condition, condition_2)
        Matched by label; nothing unknown. As distances, not squares of them, where the distance correlation proper is
        wanted.
    n_thresholds : int
        Quantiles from 0 to 1 in the grid, 2 or more: all pairs ``lower < upper`` of them, for each RDM.
    n_permutations : int
    rank : bool
        As in `geo_topological`.
    rng : Generator, seed or None

    Returns
    -------
    Dataset
        - ``statistic`` (kind): the maximum of the distance correlation, of its excess over its mean over permutations,
          and of that excess in units of their standard deviation. The three maxima weigh cells differently: the first
          favours cells whose correlation is large by chance too.
        - ``p_value`` (kind): share of the permutations, the data among them, with a maximum as large.
        - ``threshold`` (kind, bound): where the maximum is.
        - ``null`` (kind, permutation): maxima of the permutations.

    Raises
    ------
    RecordingError
        Conditions that differ; unknown pairs; fewer than four conditions.
    OptionError
        Fewer than two thresholds or one permutation.

    Notes
    -----
    With A, B doubly centred, :math:`\mathrm{dCor} = (\langle A, B \rangle / |A||B|)^{1/2}`, negative products counting
    as 0. Mean and standard deviation of a cell are over the permutations and the data, which under independence are
    alike. A permutation costs one product of matrices, cells of `a` by cells of `b`.

    References
    ----------
    .. [1] B. Lin, N. Kriegeskorte, "Adaptive geo-topological independence criterion", arXiv:1810.02923.
    .. [2] G. Székely, M. Rizzo, N. Bakirov, "Measuring and testing dependence by correlation of distances", Ann.
       Stat. 35 (2007), 2769-2794, doi:10.1214/009053607000000505.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> x = np.random.default_rng(0).normal(size=12)
    >>> one, other = (nd.models.make_rdm(np.abs(np.subtract.outer(y, y))) for y in (x, x**2))
    >>> test = nd.models.adaptive_dependence(one, other, n_permutations=99, rng=1)
    >>> float(test["p_value"].sel(kind="standardised")) <= 0.05
    True
    """
    if n_thresholds < 2 or n_permutations < 1:
        raise OptionError(
            "two thresholds and one permutation or more", f"{n_thresholds} and {n_permutations}", "6 and 1000 are usual"
        )
    one, other = align([a, b])
    n = one.sizes["condition"]
    if one.ndim != 2 or other.ndim != 2:
        raise RecordingError("single RDMs", f"dims {one.dims} and {other.dims}", "select one of each")
    if n < 4:
        raise RecordingError("four conditions or more", f"{n}", "fewer have too few permutations")
    first, second = to_vectors(one)[0], to_vectors(other)[0]
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise RecordingError("RDMs without unknown pairs", "NaN", "select conditions whose pairs are all known")
    quantile = np.linspace(0.0, 1.0, n_thresholds)
    low, high = np.triu_indices(n_thresholds, 1)
    cells = list(zip(quantile[low], quantile[high], strict=True))
    stacks = [
        double_centred(squares(np.concatenate([geo_topological_vectors(vector, x, y, rank) for x, y in cells]), n))
        for vector in (first, second)
    ]
    generator_ = generator(rng)
    order = np.concatenate([np.arange(n)[None], [generator_.permutation(n) for _ in range(n_permutations)]])
    table = correlations(stacks[0], stacks[1], order).reshape(order.shape[0], -1)
    excess = table - table.mean(axis=0)
    spread = table.std(axis=0)
    scaled = np.divide(excess, spread, out=np.zeros_like(excess), where=spread > 0)
    best = np.stack([values.max(axis=1) for values in (table, excess, scaled)])
    place = [int(values[0].argmax()) for values in (table, excess, scaled)]
    found = [(*cells[k // len(cells)], *cells[k % len(cells)]) for k in place]
    # Maxima that are equal but for rounding count as equal: against the test, never for it.
    p_value = (best >= best[:, :1] - 1e-12).mean(axis=1)
    return xr.Dataset(
        {
            "statistic": ("kind", best[:, 0]),
            "p_value": ("kind", p_value),
            "threshold": (("kind", "bound"), np.array(found)),
            "null": (("kind", "permutation"), best[:, 1:]),
        },
        coords={"kind": list(STATISTICS), "bound": list(_BOUNDS)},
        attrs={"n_permutations": n_permutations, "n_thresholds": n_thresholds, "scale": "rank" if rank else "raw"},
    )
