"""How alike RDMs are."""

from __future__ import annotations

from typing import Any

import xarray as xr

from neurodata.models.trsa.comparators import check_comparison, check_covariance, similarity
from neurodata.models.trsa.stacks import aligned


def compare_rdms(
    a: xr.DataArray, b: xr.DataArray, comparison: str = "corr", *, condition_covariance: Any = None
) -> xr.DataArray:
    r"""Similarity of every RDM of one stack with every RDM of another.

    Conditions are matched by their labels, never by their place; RDMs with other conditions are refused. A pair of
    conditions that either RDM does not know (NaN) is left out of their comparison.

    Parameters
    ----------
    a, b : DataArray (condition, condition_2) or (rdm, condition, condition_2)
    comparison : str
        With x, y the upper triangles of n pairs:

        ``"cosine"``, ``"corr"``
            :math:`x'y / \sqrt{x'x\,y'y}`, for ``corr`` after each mean is taken off.
        ``"spearman"``, ``"rho-a"``
            The same of average ranks; :math:`12 \sum \tilde r_x \tilde r_y / (n^3 - n)`, the mean of Spearman's
            correlation over all ways to break ties [1]_.
        ``"tau-a"``, ``"tau-b"``
            Kendall's concordance over all n (n - 1) / 2 pairs of entries, or without those that tie.
        ``"whitened-cosine"``, ``"whitened-corr"``
            :math:`x'V^{-1}y / \sqrt{x'V^{-1}x\,y'V^{-1}y}` with V the covariance that dissimilarities have because they
            share conditions [2]_, exact for any `condition_covariance`. ``corr`` takes the means off first.
        ``"cka"``
            Linear centred kernel alignment [3]_: ``whitened-cosine`` of conditions with equal, independent errors.
        ``"bures"``, ``"bures-metric"``
            With A, B the centred kernels :math:`-D/2` and :math:`F = \mathrm{tr}(A^{1/2} B A^{1/2})^{1/2}`:
            :math:`F / \sqrt{\mathrm{tr} A\,\mathrm{tr} B}` [4]_, and :math:`\mathrm{tr} A + \mathrm{tr} B - 2 F`, which
            is a squared distance: smaller is more alike.
        ``"procrustes"``
            One minus the Procrustes disparity of the patterns that the RDMs, as squared distances, embed:
            :math:`F^2 / (\mathrm{tr} A\,\mathrm{tr} B)`.
    condition_covariance : array (condition,) or (condition, condition), optional
        Covariance of the errors of the conditions' patterns, in the order of `a`; default the identity. Variances alone
        as a vector.

    Returns
    -------
    DataArray (rdm, rdm_2)
        Without a dim for what was a single RDM; NaN where it is not defined, as the correlation of a constant RDM.

    Notes
    -----
    ``tau-a`` and ``tau-b`` cost O(n log n) a pair of RDMs. With S = L L', :math:`w = S^{-1}1 / (1'S^{-1}1)` and
    :math:`T = L^{-1}(I - 1w')`, the whitened cosine is the cosine of the matrices :math:`T (-D/2) T'`, in
    O(C^3), and no n x n matrix is made. RDMs with single unknown pairs have V restricted to what is known.

    References
    ----------
    .. [1] H. Schütt et al., "Statistical inference on representational geometries", eLife 12 (2023), e82566,
       doi:10.7554/eLife.82566.
    .. [2] J. Diedrichsen et al., "Comparing representational geometries using whitened unbiased-distance-matrix
       similarity", Neurons, Behavior, Data analysis, and Theory 5 (2021), doi:10.51628/001c.27664.
    .. [3] S. Kornblith et al., "Similarity of neural network representations revisited", ICML 2019,
       arXiv:1905.00414.
    .. [4] S. Harvey, B. Larsen, A. Williams, "Duality of Bures and shape distances with implications for comparing
       neural representations", UniReps 2023, arXiv:2311.11436.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> d = np.array([[0.0, 1.0, 4.0], [1.0, 0.0, 2.0], [4.0, 2.0, 0.0]])
    >>> a = xr.DataArray(d, dims=("condition", "condition_2"), coords={"condition": [*"abc"], "condition_2": [*"abc"]})
    >>> b = a.isel(condition=[2, 0, 1], condition_2=[2, 0, 1])
    >>> float(nd.models.compare_rdms(a, b, "tau-a"))
    1.0
    """
    check_comparison(comparison)
    one, other = aligned(a=a, b=b)
    n = one.conditions.size
    covariance = check_covariance(condition_covariance, n, comparison)
    found = similarity(one.vectors, other.vectors, comparison, covariance, n)
    coords: dict[str, Any] = {}
    dims = []
    for side, suffix in ((one, ""), (other, "_2")):
        if side.single:
            found = found[0] if suffix == "" else found[..., 0]
            continue
        dims.append(f"rdm{suffix}")
        coords |= {f"{name}{suffix}": (f"rdm{suffix}", values) for name, values in side.coords.items()}
    return xr.DataArray(found, dims=dims, coords=coords, attrs={"comparison": comparison}, name="similarity")
