"""NonnegativeCP: the estimator. Labelled tensors in, labelled non-negative factors out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neurodata._core.parallel import one_thread, run_parallel
from neurodata._core.progress import Progress, as_progress
from neurodata._core.rng import RNGLike, generator
from neurodata.diagnostics.factor_match import factor_match_score
from neurodata.errors import NotFittedError, OptionError
from neurodata.models.base import Model
from neurodata.models.connectome import factors as parts
from neurodata.models.connectome import hals
from neurodata.models.connectome.combine import Layout, Tensor, read_problem
from neurodata.models.connectome.held_out import explained
from neurodata.models.connectome.problem import Problem
from neurodata.models.connectome.settings import check_settings, penalties


class NonnegativeCP(Model):
    """Non-negative canonical polyadic decomposition of labelled tensors: ``x[i, j, ..] = sum_r a[i, r] b[j, r] ..``.

    Least squares over what was observed, by hierarchical alternating least squares (HALS): coordinate descent on rows
    of factors, extrapolated, with restart where the loss would rise. The tensor may be symmetric in two dims, whose
    factor is then one and whose diagonal is left out; it may be read block by block; entries may be missing.

    Parameters
    ----------
    rank : int
        Number of components.
    symmetric : (dim, dim_2), optional
        Two dims with the same labels and one factor, as ``("unit", "unit_2")``. Only the pairs i < j are used. The
        tensor has both dims, or a dim `pair` with both as coordinates.
    max_iter : int
        Passes over the data.
    tol : float
        The conditions of Karush, Kuhn and Tucker count as met where the natural residual of every factor is below this
        part of the data's products with the others. Float32 data allow about 1e-6.
    n_restarts : int
        Fits from independent random starts, of which the best is kept.
    sparsity : float or mapping of dim to float
        Weight of the sum of a factor's entries; a number is for the symmetric dim, or for `pair`.
    smoothness : float
        Weight of half the squared second differences of the factor over `time`; gaps in time are not bridged. Each
        iteration then reads the data twice.
    ridge : float, optional
        Weight of half the squared norm of each factor without `sparsity`. By default 1e-4 where there is another
        penalty, which could be evaded by rescaling otherwise, and 0 where there is none.
    rng : int, Generator or None
    n_jobs : int
        Processes for restarts, each with a copy of the tensor.
    progress : bool

    Attributes
    ----------
    factor_ : dict of dim to DataArray (dim, component)
        Columns of unit length, components with the largest `weight_` first. NaN in rows without any observation. A
        factor over packed pairs names them by the coordinates `unit` and `unit_2`.
    weight_ : DataArray (component,)
        In the unit of the tensor; that of a symmetric dim counts its factor twice.
    loss_ : DataArray (iteration,)
        Half the squared error relative to the squared norm of the tensor, and penalties; it never rises.
    kkt_ : DataArray (iteration,)
        Largest residual of the conditions for a minimum, of factors before the iteration; far from the minimum an
        estimate, exact in the last iterations.
    restart_loss_ : DataArray (restart,)
        Final loss of each fit.
    stability_ : float
        Mean factor match score of the other restarts to the best; NaN with one.
    n_iter_, converged_, relative_error_, noise_ : int, bool, float, float
        `relative_error_` is the norm of the residual over that of the tensor, `noise_` the root mean square residual.

    Notes
    -----
    Penalties are relative to the squared norm of the tensor, on factors among which scale is balanced by them: they
    mean the same whatever the unit of the tensor. Data are used in their own precision, float32 or float64, sums over
    few numbers and Grams in float64. Rows (of `time`, else of the largest dim) are visited block by block, and
    everything else is held as a column: two products with the data per iteration, whatever the number of dims.
    Missing entries are left out of the loss, not imputed: an entry (a unit of a session) that is missing throughout
    costs nothing; missing patterns that change from row to row cost a Gram for each pattern.

    References
    ----------
    Cichocki & Phan 2009, doi:10.1587/transfun.E92.A.708. Ang & Gillis 2019, doi:10.1162/neco_a_01157.

    Examples
    --------
    >>> import neurodata as nd, numpy as np, xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> time, unit = rng.random((30, 2)), rng.random((8, 2))
    >>> tensor = xr.DataArray(np.einsum("tr,ir,jr->tij", time, unit, unit), dims=("time", "unit", "unit_2"))
    >>> model = nd.models.NonnegativeCP(2, symmetric=("unit", "unit_2"), rng=0).fit(tensor)
    >>> model.factor_["unit"].dims, model.relative_error_ < 0.01
    (('unit', 'component'), True)
    >>> bool(nd.models.factor_match_score(model.factor_, {"time": time, "unit": unit}) > 0.99)
    True
    """

    _results: ClassVar[tuple[str, ...]] = ("weight_", "loss_", "kkt_", "restart_loss_")
    _facts: ClassVar[tuple[str, ...]] = (
        "n_iter_",
        "converged_",
        "relative_error_",
        "noise_",
        "stability_",
        "row_dim_",
        "dim_order_",
    )

    def __init__(
        self,
        rank: int = 3,
        *,
        symmetric: tuple[str, str] | None = None,
        max_iter: int = 500,
        tol: float = 1e-4,
        n_restarts: int = 3,
        sparsity: float | Mapping[str, float] = 0.0,
        smoothness: float = 0.0,
        ridge: float | None = None,
        rng: RNGLike = None,
        n_jobs: int = 1,
        progress: bool | Progress = False,
    ) -> None:
        self.rank = rank
        self.symmetric = symmetric
        self.max_iter = max_iter
        self.tol = tol
        self.n_restarts = n_restarts
        self.sparsity = sparsity
        self.smoothness = smoothness
        self.ridge = ridge
        self.rng = rng
        self.n_jobs = n_jobs
        self.progress = progress

    def __getattr__(self, name: str) -> Any:
        if name == "factor_":
            raise NotFittedError("a fitted NonnegativeCP, for factor_", "one that is not", "call fit(tensor) first")
        return super().__getattr__(name)

    def fit(self, tensor: Tensor, start: Any = None) -> NonnegativeCP:
        """Factorise a tensor.

        Parameters
        ----------
        tensor : DataArray, affinity stream, mapping of session to such, or list of such
            Values of at least 0, NaN = not observed; in memory, or on disk as a Dask array. A mapping is of sessions
            that share their time: it adds a factor over `session`, and units may differ, by label. In a list, each has
            its own stretch of time; a tensor in blocks of time is such a list.
        start : mapping of dim to array (dim, component), or a TensorLy CPTensor, optional
            Where to start from, in place of random restarts. Factors of a CPTensor are in the order of the dims.

        Returns
        -------
        NonnegativeCP
            The model itself.

        Raises
        ------
        RecordingError
            Negative or infinite values, nothing observed, an entry of a dim never observed, repeated labels, an empty
            dim, halves that differ.
        OptionError
            Settings that make no sense, and a rank that no tensor of this shape needs.
        """
        check_settings(self.get_params(deep=False))
        problem, layout = read_problem(tensor, self.symmetric)
        return self._fit(problem, layout, start)

    def _fit(self, problem: Problem, layout: Layout, start: Any = None) -> NonnegativeCP:
        penalty = penalties(self, problem, layout)
        parts.check_rank(self.rank, problem, layout)
        progress = as_progress(self.progress)
        starts: list[tuple[np.ndarray, np.ndarray | None]]
        if start is not None:
            starts = [parts.read_start(start, self.rank, problem, layout)]
        else:
            children = generator(self.rng).spawn(self.n_restarts)
            starts = [(parts.random_start(problem, self.rank, child), None) for child in children]
        serial = self.n_jobs == 1
        progress.start(self.max_iter * len(starts) if serial else 0, f"{len(starts)} fits of rank {self.rank}")
        calls = [(problem, *given, penalty, self.max_iter, self.tol, progress if serial else None) for given in starts]
        try:
            fits = run_parallel(_one_fit if serial else _one_fit_alone, calls, self.n_jobs)
        finally:
            progress.close()
        self._store(fits, problem, layout)
        return self

    def _store(self, fits: list[hals.Fit], problem: Problem, layout: Layout) -> None:
        losses = np.array([one.loss[-1] for one in fits])
        best = fits[int(losses.argmin())]
        self._forget()
        self.factor_, self.weight_ = parts.labelled(best, problem, layout)
        matches = [
            factor_match_score(self.factor_, parts.labelled(one, problem, layout)[0]) for one in fits if one is not best
        ]
        iteration = {"iteration": np.arange(1, len(best.loss) + 1)}
        self.loss_ = xr.DataArray(best.loss, dims="iteration", coords=iteration, attrs={"units": "1"})
        self.kkt_ = xr.DataArray(best.kkt, dims="iteration", coords=iteration, attrs={"units": "1"})
        self.restart_loss_ = xr.DataArray(losses, dims="restart", coords={"restart": np.arange(len(fits))})
        self.stability_ = float(np.mean(matches)) if matches else float("nan")
        self.n_iter_, self.converged_ = len(best.loss), best.converged
        self.relative_error_ = float(np.sqrt(best.error))
        self.noise_ = float(np.sqrt(best.error * problem.square / problem.n_observed))
        self.row_dim_, self.dim_order_ = layout.row_dim, ",".join(layout.order)
        self._name_results()

    def _forget(self) -> None:
        super()._forget()
        if "factor_" in vars(self):
            del self.factor_

    def score(self, tensor: Tensor, *, n_folds: int = 5, rng: RNGLike = 0) -> float:
        """Share of the sum of squares of new rows (stretches of time) that is predicted, at most 1.

        The columns (pairs, or combinations of the other dims) are cut into folds at random. In each new row, one fold
        at a time is predicted from loadings that the other folds tell: nothing that is scored was fitted to.

        Parameters
        ----------
        tensor
            As for `fit`, with no labels that the fit has not seen (other than of rows).
        n_folds : int
        rng : int or Generator
            For the folds; a fixed seed by default, so that scores of models compare.
        """
        self._require_fit()
        problem, layout = read_problem(tensor, self.symmetric)
        return self._score(problem, layout, n_folds, rng)

    def _score(self, problem: Problem, layout: Layout, n_folds: int, rng: RNGLike) -> float:
        if layout.row_dim != self.row_dim_:
            raise OptionError(
                f"rows along {self.row_dim_!r}", f"{layout.row_dim!r}", "pass a tensor like that of the fit"
            )
        loading = parts.stacked(self.factor_, self.weight_, problem, layout)
        return explained(problem, loading, n_folds, generator(rng))

    def reconstruct(self, rows: slice = slice(None)) -> xr.DataArray:
        """The model's tensor, of the chosen rows; symmetric ones as packed pairs (dim `pair`), without the diagonal.

        Examples
        --------
        >>> import neurodata as nd, numpy as np, xarray as xr
        >>> tensor = xr.DataArray(np.ones((5, 4, 3)), dims=("time", "unit", "trial"))
        >>> model = nd.models.NonnegativeCP(1, rng=0).fit(tensor)
        >>> model.reconstruct(slice(0, 2)).shape, round(float(model.reconstruct()[0, 0, 0]), 3)
        ((2, 4, 3), 1.0)
        """
        self._require_fit()
        return parts.reconstructed(self.factor_, self.weight_, self.row_dim_, self.dim_order_, rows)

    def simulate(self, *, noise: float | None = None, rng: RNGLike = None) -> xr.DataArray:
        """A tensor from the model: `reconstruct`, with Gaussian noise, cut off at 0.

        Parameters
        ----------
        noise : float, optional
            Standard deviation; `noise_` by default.
        rng : int or Generator
        """
        mean = self.reconstruct()
        sd = self.noise_ if noise is None else noise
        drawn = np.maximum(0.0, mean.values + sd * generator(rng).standard_normal(mean.shape))
        return mean.copy(data=drawn)

    def to_tensorly(self) -> Any:
        """Weights and factors as a TensorLy CPTensor, in the order of the tensor's dims; NaN become 0."""
        self._require_fit()
        return parts.to_tensorly(self.factor_, self.weight_, self.dim_order_)

    def to_dataset(self) -> xr.Dataset:
        """All results in one Dataset: `factor_<dim>` for each factor, `weight`, traces; facts are attributes."""
        dataset = super().to_dataset()
        for dim, factor in self.factor_.items():
            coords = {name: c for name, c in factor.coords.items() if name not in dataset.coords}
            dataset = dataset.assign_coords(coords).assign({f"factor_{dim}": factor.variable})
        return dataset

    def _restore(self, tree: xr.DataTree) -> None:
        """Results from a file."""
        dataset = tree.to_dataset()
        self.symmetric = tuple(self.symmetric) if self.symmetric else None  # type: ignore[assignment]
        for name in self._results:
            array = dataset[name[:-1]]
            setattr(self, name, array.drop_vars([c for c in array.coords if not set(array[c].dims) <= set(array.dims)]))
        self.factor_ = {}
        for name in map(str, dataset.data_vars):
            if name.startswith("factor_"):
                array = dataset[name]
                extra = [c for c in array.coords if not set(array[c].dims) <= set(array.dims)]
                self.factor_[name.removeprefix("factor_")] = array.drop_vars(extra)
        for fact in self._facts:
            setattr(self, fact, dataset.attrs[fact[:-1]])
        self.converged_ = bool(self.converged_)

    def _summary(self) -> list[tuple[str, str]]:
        sizes = ", ".join(f"{len(factor)} {dim}" for dim, factor in self.factor_.items())
        done = "converged" if self.converged_ else "not converged"
        return [
            ("factors", sizes),
            ("relative error", f"{self.relative_error_:.4g}"),
            ("iterations", f"{self.n_iter_}, {done}"),
            ("stability of restarts", f"{self.stability_:.3f}"),
        ]


def _one_fit(
    problem: Problem,
    loading: np.ndarray,
    rows: np.ndarray | None,
    penalty: hals.Penalty,
    max_iter: int,
    tol: float,
    progress: Progress | None,
) -> hals.Fit:
    return hals.fit(problem, loading, rows, penalty, max_iter=max_iter, tol=tol, progress=progress)


def _one_fit_alone(*given: Any) -> hals.Fit:
    """In a worker: one thread."""
    with one_thread():
        return _one_fit(*given)
