"""Models of RDMs: one fixed, a non-negative sum of several, the best of several; what each learns from RDMs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from scipy.optimize import nnls

from neurodata.errors import OptionError
from neurodata.kernels import rdm_similarity as kernel
from neurodata.models.trsa.comparators import CENTRED, LINEAR, SHAPES, WHITENED, similarity
from neurodata.models.trsa.pooling import standardised
from neurodata.models.trsa.stacks import Stack, in_order_of, stack


@dataclass(frozen=True, eq=False)
class FixedRDM:
    """One RDM, with nothing to fit.

    Parameters
    ----------
    rdm : DataArray (condition, condition_2)

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> nd.models.FixedRDM(xr.DataArray(1 - np.eye(3), dims=("condition", "condition_2"))).kind
    'fixed'
    """

    rdm: xr.DataArray
    kind = "fixed"

    @property
    def parts(self) -> xr.DataArray:
        """The component RDMs."""
        return self.rdm


@dataclass(frozen=True, eq=False)
class WeightedRDM:
    r"""A weighted sum of RDMs with weights of 0 or more, as squared distances of independent features add up.

    The weights maximise the mean similarity with the training RDMs: with y the sum of these, each divided by its size,
    :math:`\arg\min_{\theta \ge 0} |M\theta - y|^2` in the metric of the comparison points in the direction of the
    greatest cosine with y. For rank correlations the weights are those for ``corr`` with the mean ranks.

    Parameters
    ----------
    rdms : DataArray (component, condition, condition_2)
        Any name for the first dim.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> parts = xr.DataArray(np.ones((2, 3, 3)) - np.eye(3), dims=("component", "condition", "condition_2"))
    >>> nd.models.WeightedRDM(parts).kind
    'weighted'
    """

    rdms: xr.DataArray
    kind = "weighted"

    @property
    def parts(self) -> xr.DataArray:
        """The component RDMs."""
        return self.rdms


@dataclass(frozen=True, eq=False)
class SelectedRDM:
    """The one of several RDMs that is most similar to the training RDMs.

    Parameters
    ----------
    rdms : DataArray (component, condition, condition_2)
        Any name for the first dim.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> parts = xr.DataArray(np.ones((2, 3, 3)) - np.eye(3), dims=("component", "condition", "condition_2"))
    >>> nd.models.SelectedRDM(parts).kind
    'selected'
    """

    rdms: xr.DataArray
    kind = "selected"

    @property
    def parts(self) -> xr.DataArray:
        """The component RDMs."""
        return self.rdms


RDMModel = FixedRDM | WeightedRDM | SelectedRDM


class Parts:
    """A model's components as vectors, in the data's order of conditions."""

    def __init__(self, name: str, model: Any, data: Stack) -> None:
        if isinstance(model, xr.DataArray):
            model = FixedRDM(model)
        if not isinstance(model, RDMModel):
            raise OptionError(
                f"model {name!r}: a DataArray, FixedRDM, WeightedRDM or SelectedRDM",
                type(model).__name__,
                "wrap the RDMs in one of these",
            )
        one = in_order_of(stack(model.parts, f"model {name!r}"), data.conditions, f"model {name!r}")
        if model.kind == "fixed" and one.size != 1:
            raise OptionError(f"one RDM for the fixed model {name!r}", f"{one.size}", "use WeightedRDM or SelectedRDM")
        self.name, self.kind, self.vectors = name, model.kind, one.vectors

    def fit(
        self, train: np.ndarray, pairs: np.ndarray, comparison: str, covariance: np.ndarray | None, weight: np.ndarray
    ) -> np.ndarray:
        """Weights (component,) from training RDMs (rdm, pair), known on `pairs` (indices) of the components."""
        own = self.vectors[:, pairs]
        if len(own) == 1:
            return np.ones(1)
        if self.kind == "selected":
            found = similarity(own, train, comparison, covariance)
            sign = -1.0 if comparison == "bures-metric" else 1.0
            return np.eye(len(own))[int(np.nanargmax(sign * (found @ weight)))]
        return non_negative(own, train, comparison, covariance, weight)


def non_negative(
    parts: np.ndarray, train: np.ndarray, comparison: str, covariance: np.ndarray | None, weight: np.ndarray
) -> np.ndarray:
    """Weights of 0 or more, of length 1, of the sum of `parts` that is most similar to the training RDMs on average."""
    if comparison in SHAPES:
        raise OptionError(
            "a comparison that weighted models can be fitted by", f"{comparison!r}", "use 'whitened-cosine'"
        )
    known = np.isfinite(parts).all(axis=0) & np.isfinite(train).all(axis=0)
    if comparison in WHITENED and not known.all():
        raise OptionError("RDMs without NaN", f"{int((~known).sum())} unknown pairs", "drop conditions, or use 'corr'")
    parts, train = parts[:, known], standardised(train[:, known], comparison, covariance)
    if comparison not in LINEAR:
        train, comparison = kernel.centred(train), "corr"
    if comparison in CENTRED:
        parts = kernel.centred(parts)
    target = weight @ train
    if comparison in WHITENED:
        n = kernel.n_conditions(known.size)
        matrix = np.eye(n) if covariance is None else np.diag(covariance) if covariance.ndim == 1 else covariance
        parts, target = kernel.whitened_vectors(parts, matrix), kernel.whitened_vectors(target[None], matrix)[0]
    scale = np.sqrt(np.einsum("ij,ij->i", parts, parts))
    usable = scale > 0
    theta = np.zeros(len(parts))
    if not usable.any() or not np.isfinite(target).all():
        return np.full(len(parts), np.nan)
    unit = parts[usable] / scale[usable, None]
    # Both sides in the plane of the parts: the least squares are the same and as small as there are parts.
    basis, corner = np.linalg.qr(unit.T)
    found, _ = nnls(corner, basis.T @ target)
    if not found.any():
        # No sum has a positive cosine with the target: the least bad part.
        found[int(np.argmax(unit @ target))] = 1.0
    theta[usable] = found / scale[usable]
    return theta / np.sqrt((theta**2).sum())
