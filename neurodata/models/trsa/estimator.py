"""Topological RSA from patterns to inference, as one estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neurodata._core.rng import RNGLike, children
from neurodata.errors import OptionError, RecordingError
from neurodata.models.base import Model
from neurodata.models.trsa.bootstrap import bootstrap_rdms, noise_ceiling
from neurodata.models.trsa.comparators import SHAPES, similarity
from neurodata.models.trsa.estimate import rdm as estimate_rdm
from neurodata.models.trsa.geodesics import geodesic
from neurodata.models.trsa.identification import identify
from neurodata.models.trsa.pooling import pooled
from neurodata.models.trsa.rdm import align_rdms, check_rdm
from neurodata.models.trsa.stacks import in_order_of, stack
from neurodata.models.trsa.thresholds import GRID, select_thresholds
from neurodata.models.trsa.transforms import geo_topological

KINDS = ("geo-topological", "geodesic")


class TopologicalRSA(Model):
    r"""RDMs, their geometry and topology, and what they are evidence for.

    Patterns become RDMs, these are transformed by :math:`GT_{l,u}` (`geo_topological`) or geodesics, and compared with
    models (`bootstrap_rdms`) and with each other (`identify`).

    Parameters
    ----------
    dissimilarity, noise_precision
        As in `rdm`; not used where RDMs are given.
    transform : (str, float, float), "select" or None
        ``("geo-topological", lower, upper)``; ``("geodesic", lower, upper)``, geodesics on the geo-topological graph;
        ``"select"``: geo-topological with the quantiles that identify `label` best, ``accuracy_`` is then nested; None:
        the RDMs as they are.
    rank : bool
        As in `geo_topological`.
    comparison : str
        As in `compare_rdms`.
    resample, n_draws
        As in `bootstrap_rdms`.
    label, subject : str, optional
        Coordinates on rdm: what is identified, and what is left out together.
    n_folds, n_permutations
        As in `identify`.
    rng : Generator, seed or None

    Attributes
    ----------
    rdm_ : DataArray (rdm, condition, condition_2)
        Transformed; model RDMs are transformed alike.
    ceiling_ : DataArray (bound)
    model_score_, model_error_, model_p_ : DataArray (model)
    model_interval_ : DataArray (model, bound)
    model_difference_p_ : DataArray (model, model_2)
        Where models were given.
    confusion_ : DataArray (label, label_2)
    threshold_ : DataArray (edge)
    accuracy_grid_ : DataArray (lower, upper)
    accuracy_, accuracy_error_, accuracy_p_, optimism_ : float
        Where `label` was.

    Notes
    -----
    Departures from the paper [1]_: quantiles of the dissimilarities themselves unless `rank`; subjects, not rows, are
    resampled; thresholds are chosen by nested cross-validation; pairs at distance 0 keep their edge in geodesics.

    References
    ----------
    .. [1] B. Lin, N. Kriegeskorte, "The topology and geometry of neural representations", arXiv:2309.11028,
       doi:10.48550/arXiv.2309.11028.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> import neurodata as nd
    >>> rng = np.random.default_rng(0)
    >>> base = rng.normal(size=(8, 12))
    >>> patterns = xr.DataArray(base + 0.3 * rng.normal(size=(6, 8, 12)), dims=("subject", "condition", "channel"))
    >>> model = nd.models.TopologicalRSA(transform=("geo-topological", 0.1, 0.9), n_draws=50, rng=0)
    >>> truth = nd.models.rdm(xr.DataArray(base, dims=("condition", "channel")))
    >>> float(model.fit(patterns, {"truth": truth}).model_score_[0]) > 0.8
    True
    """

    _results: ClassVar[tuple[str, ...]] = (
        "rdm_",
        "ceiling_",
        "model_score_",
        "model_error_",
        "model_interval_",
        "model_p_",
        "model_difference_p_",
        "confusion_",
        "threshold_",
        "accuracy_grid_",
    )
    _facts: ClassVar[tuple[str, ...]] = ("accuracy_", "accuracy_error_", "accuracy_p_", "optimism_", "chance_")

    def __init__(
        self,
        dissimilarity: str = "euclidean",
        noise_precision: Any = None,
        *,
        transform: Any = None,
        rank: bool = False,
        comparison: str = "corr",
        resample: str = "dual",
        n_draws: int = 1000,
        label: str | None = None,
        subject: str | None = None,
        n_folds: int | None = None,
        n_permutations: int = 0,
        rng: RNGLike = None,
    ) -> None:
        self.dissimilarity = dissimilarity
        self.noise_precision = noise_precision
        self.transform = transform
        self.rank = rank
        self.comparison = comparison
        self.resample = resample
        self.n_draws = n_draws
        self.label = label
        self.subject = subject
        self.n_folds = n_folds
        self.n_permutations = n_permutations
        self.rng = rng

    def fit(
        self, data: xr.DataArray | Sequence[xr.DataArray], models: Mapping[str, Any] | None = None
    ) -> TopologicalRSA:
        """Estimate and transform RDMs, compare them with models, and identify where they are from.

        Parameters
        ----------
        data : DataArray or sequence of DataArray
            RDMs (rdm, condition, condition_2); patterns ([subject,] [run,] condition, channel); or one array of
            patterns per subject, of any channels.
        models : mapping of names to RDMs, optional

        Returns
        -------
        TopologicalRSA
        """
        self._forget()
        boot_rng, identify_rng = children(self.rng, 2)
        raw = self._rdms(data)
        edges = self._edges()
        if self.transform == "select":
            if self.label is None:
                raise OptionError("label= with transform='select'", "None", "name the coordinate to identify")
            table = select_thresholds(
                raw,
                self.label,
                subject=self.subject or "subject",
                lower=GRID,
                upper=GRID,
                rank=self.rank,
                n_folds=self.n_folds,
                rng=identify_rng,
            )
            low, high = (float(edge) for edge in table["threshold"].values)
            edges = ("geo-topological", low, high)
            self.accuracy_grid_, self.optimism_ = table["accuracy_grid"], float(table["optimism"])
            self._keep(table)
        if edges is not None:
            self.threshold_ = xr.DataArray(list(edges[1:]), dims="edge", coords={"edge": ["lower", "upper"]})
        self.rdm_ = self._transformed(raw)
        if self.label is not None and self.transform != "select":
            self._keep(
                identify(
                    self.rdm_,
                    self.label,
                    subject=self.subject or "subject",
                    n_folds=self.n_folds,
                    n_permutations=self.n_permutations,
                    rng=identify_rng,
                )
            )
        if self.comparison not in SHAPES:
            self.ceiling_ = noise_ceiling(self.rdm_, self.comparison, subject=self.subject)
        if models is not None:
            table = bootstrap_rdms(
                {name: self._transformed(model) for name, model in models.items()},
                self.rdm_,
                resample=self.resample,
                comparison=self.comparison,
                n_draws=self.n_draws,
                ceiling=self.comparison not in SHAPES,
                subject=self.subject,
                rng=boot_rng,
            )
            self.model_score_, self.model_error_ = table["score"], table["standard_error"]
            self.model_interval_, self.model_p_ = table["interval"], table["p_zero"]
            self.model_difference_p_ = table["p_difference"]
        self._name_results()
        return self

    def score(self, data: xr.DataArray | Sequence[xr.DataArray]) -> float:
        """Mean similarity of the RDMs of other subjects with the pooled RDM of those that were fitted.

        Parameters
        ----------
        data
            As in `fit`.
        """
        self._require_fit()
        fitted = stack(self.rdm_)
        other = in_order_of(stack(self._transformed(self._rdms(data))), fitted.conditions, "data")
        share = np.full(fitted.size, 1.0 / fitted.size)
        best = pooled(fitted.vectors, self.comparison, None, share)
        return float(similarity(best[None], other.vectors, self.comparison).mean())

    def _keep(self, table: xr.Dataset) -> None:
        self.confusion_ = table["confusion"]
        self.accuracy_, self.accuracy_error_ = float(table["accuracy"]), float(table["standard_error"])
        self.chance_ = float(table["chance"])
        if "p" in table:
            self.accuracy_p_ = float(table["p"])

    def _edges(self) -> tuple[str, float, float] | None:
        if self.transform is None or self.transform == "select":
            return None
        if isinstance(self.transform, str) or len(self.transform) != 3 or self.transform[0] not in KINDS:
            raise OptionError(
                "transform None, 'select' or (kind, lower, upper), kind " + " or ".join(KINDS),
                f"{self.transform!r}",
                "as ('geo-topological', 0.1, 0.9)",
            )
        kind, lower, upper = self.transform
        return kind, float(lower), float(upper)

    def _rdms(self, data: Any) -> xr.DataArray:
        if isinstance(data, xr.DataArray):
            if "condition_2" in data.dims:
                checked = check_rdm(data, minimum=3)
                return checked if checked.ndim == 3 else checked.expand_dims("rdm")
            several = "subject" in data.dims
            parts = [data.isel(subject=k) for k in range(data.sizes["subject"])] if several else [data]
            names = data["subject"].values if "subject" in data.dims and "subject" in data.coords else None
        elif isinstance(data, Sequence) and data and all(isinstance(one, xr.DataArray) for one in data):
            parts, names = list(data), None
        else:
            raise RecordingError("a DataArray, or a list of them", type(data).__name__, "see TopologicalRSA.fit")
        plain = [one.drop_vars("subject", errors="ignore") for one in parts]
        found = align_rdms([estimate_rdm(one, self.dissimilarity, self.noise_precision) for one in plain])
        if any(one.ndim != 2 for one in found):
            raise RecordingError(
                "patterns ([run,] condition, channel)", f"an RDM of dims {found[0].dims}", "select one time"
            )
        stacked = xr.concat(found, "rdm", combine_attrs="override", coords="minimal", compat="override")
        return stacked.assign_coords(subject=("rdm", np.arange(len(parts)) if names is None else names))

    def _transformed(self, rdms: xr.DataArray) -> xr.DataArray:
        if self.transform is None:
            return rdms
        lower, upper = (float(edge) for edge in self.threshold_.values)
        if self.transform != "select" and self.transform[0] == "geodesic":
            # Pairs without a path count as the longest one: no comparison takes infinite lengths.
            return geodesic(rdms, lower=lower, upper=upper, rank=self.rank, disconnected="max")
        return geo_topological(rdms, lower, upper, rank=self.rank)

    def _summary(self) -> list[tuple[str, str]]:
        lines = [("RDMs", f"{self.rdm_.sizes['rdm']} of {self.rdm_.sizes['condition']} conditions")]
        if "model_score_" in vars(self):
            for name, score, error in zip(
                self.model_score_["model"].values, self.model_score_.values, self.model_error_.values, strict=True
            ):
                lines.append((str(name), f"{score:.3f} ({self.comparison}, s.e. {error:.3f})"))
        if "ceiling_" in vars(self):
            lines.append(("noise ceiling", "{:.3f} to {:.3f}".format(*self.ceiling_.values)))
        if "accuracy_" in vars(self):
            lines.append(("identification", f"{self.accuracy_:.3f}, chance {self.chance_:.3f}"))
        return lines
