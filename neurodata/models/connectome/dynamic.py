"""DynamicConnectome: the estimator. Traces in; motifs of coupling, when they are active, and their communities out."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neurodata._core.parallel import run_parallel
from neurodata._core.progress import Progress, as_progress
from neurodata._core.rng import RNGLike, generator
from neurodata.diagnostics.change_points import change_points
from neurodata.errors import NeurodataWarning, NotFittedError, OptionError
from neurodata.models.base import Model
from neurodata.models.connectome import motif_groups
from neurodata.models.connectome.atlas import make_atlas
from neurodata.models.connectome.dynamic_results import (
    affinity_settings,
    as_cp,
    courses_of,
    group_arrays,
    mean_within,
    observed_share,
    square_pairs,
)
from neurodata.models.connectome.motif_graph import Course, graphs
from neurodata.models.connectome.motif_number import select_n_motifs
from neurodata.models.connectome.nonnegative_cp import NonnegativeCP
from neurodata.models.connectome.sessions import Sessions, read_sessions
from neurodata.models.connectome.stages import joined, stage_weights

# Names in files of results that are named like a dim.
_STORED = {"community_": "member"}


class DynamicConnectome(Model):
    """Motifs of functional coupling among units, when each is active, and the communities of units in it.

    Affinities of all pairs at each time (`differential_affinity`) are factorised into motifs, each a pattern over
    pairs times a course over time (`NonnegativeCP`). Pairs whose affinity follows a motif's course more than those of
    turned traces do are the links of its graph, whose communities are sampled (`WeightedSBM`).

    Parameters
    ----------
    n_motifs : int, optional
        By default chosen by `select_n_motifs`, up to `max_motifs`.
    affinity : mapping, optional
        Settings of `differential_affinity`. By default ``scale="rms"`` and smoothing with a time constant of ten
        samples; what is given here is changed alone.
    pair_rank : {None, 1}
        None: a motif's pattern is any non-negative weight of each pair. 1: the product of a weight of each unit.
    sparsity, smoothness, n_restarts, max_iter, tol
        Of `NonnegativeCP`; `sparsity` is of pairs, or of units with ``pair_rank=1``.
    communities : mapping, optional
        Settings of `WeightedSBM`.
    n_surrogates : int
        Copies of the recording in which every unit is turned in time by an amount of its own, to tell links from
        chance; 0 makes every pair of positive weight a link.
    link_level, level : float
        False discovery rates: of the links of each motif, and of the stages and motifs of the atlas.
    max_motifs : int
        Most motifs that are tried where their number is chosen.
    identities : {None, "label", "own"}
        Of several animals: "label", units of the same label are the same unit; "own", no two are. None is "label",
        with a warning where labels are plain numbers.
    shared_time : bool, optional
        Whether animals share their time, and so a motif's course, with a loading of each animal. By default those of a
        mapping do whose clocks are the same; else each animal has courses of its own, one animal after the other.
    rng : int, Generator or None
    n_jobs : int
        Processes for restarts and for motifs.
    progress : bool

    Attributes
    ----------
    time_factor_ : DataArray (time, motif)
        Activity of each motif over all animals, of unit length; NaN where nothing was observed. With animals after
        each other, the coordinate `time_session` says whose time it is.
    session_factor_ : DataArray (session, motif)
        Loading of each animal: of unit length with shared time, else the root mean square activity there.
    weight_ : DataArray (motif,)
        Of motifs, the largest first.
    pair_factor_ : DataArray (motif, unit, unit_2)
        Pattern over pairs, of unit length over i < j; NaN on the diagonal and for pairs never observed together.
    graph_ : DataArray (motif, unit, unit_2)
        Links: how much more of a pair's affinity follows the motif than in turned traces, 0 where it could be chance.
    community_ : DataArray (motif, unit)
        Largest first; -1 = no links in this motif.
    community_prob_ : DataArray (motif, unit, community)
    overall_community_ : DataArray (unit,)
        Communities of the mean affinity that all motifs make together.
    observed_share_ : DataArray (unit,)
        Share of a unit's pairs that were observed in any animal.
    atlas_ : DataArray (stage, motif, community)
        After `atlas`, or `fit` with stages.
    selection_score_, selection_stability_ : DataArray (n_components,)
        Where the number of motifs was chosen.
    n_motifs_, relative_error_, stability_, converged_ : int, float, float, bool

    Notes
    -----
    In the spirit of Dyballa et al. 2024 (ICLR, arXiv:2402.14102): affinities, factors and communities are ours, see
    `docs/dynamic_connectome.md`.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> drive = np.cumsum(rng.normal(size=(400, 2)), axis=0)
    >>> values = drive[:, np.arange(12) // 6] + 0.5 * rng.normal(size=(400, 12))
    >>> traces = nd.make_calcium(values, sampling_rate=5.0)["fluorescence"]
    >>> model = nd.models.DynamicConnectome(2, communities={"n_chains": 2}, n_surrogates=5, rng=0).fit(traces)
    >>> model.time_factor_.dims, model.pair_factor_.dims
    (('time', 'motif'), ('motif', 'roi', 'roi_2'))
    >>> atlas = model.atlas({"first half": [(0.0, 40.0)]})
    >>> atlas.dims
    ('stage', 'motif', 'community')
    """

    _results: ClassVar[tuple[str, ...]] = (
        "time_factor_",
        "session_factor_",
        "weight_",
        "pair_factor_",
        "graph_",
        "community_",
        "community_prob_",
        "overall_community_",
        "observed_share_",
        "atlas_",
        "selection_score_",
        "selection_stability_",
        "unit_factor_",
    )
    _facts: ClassVar[tuple[str, ...]] = ("n_motifs_", "relative_error_", "stability_", "converged_", "shared_time_")

    def __init__(
        self,
        n_motifs: int | None = None,
        *,
        affinity: Mapping[str, Any] | None = None,
        pair_rank: int | None = None,
        sparsity: float = 0.0,
        smoothness: float = 0.0,
        n_restarts: int = 5,
        max_iter: int = 500,
        tol: float = 1e-4,
        communities: Mapping[str, Any] | None = None,
        n_surrogates: int = 50,
        link_level: float = 0.1,
        level: float = 0.05,
        max_motifs: int = 8,
        identities: str | None = None,
        shared_time: bool | None = None,
        rng: RNGLike = None,
        n_jobs: int = 1,
        progress: bool | Progress = False,
    ) -> None:
        self.n_motifs = n_motifs
        self.affinity = affinity
        self.pair_rank = pair_rank
        self.sparsity = sparsity
        self.smoothness = smoothness
        self.n_restarts = n_restarts
        self.max_iter = max_iter
        self.tol = tol
        self.communities = communities
        self.n_surrogates = n_surrogates
        self.link_level = link_level
        self.level = level
        self.max_motifs = max_motifs
        self.identities = identities
        self.shared_time = shared_time
        self.rng = rng
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, data: Any, stages: Any = None) -> DynamicConnectome:
        """Find motifs, and their communities.

        Parameters
        ----------
        data : DataArray (time, unit|roi|channel), mapping of animal to such, or list of such
            Calcium traces, binned rates, envelopes; NaN = not observed. Units of several animals are aligned by label,
            and may differ.
        stages : optional
            As for `atlas`, which is then made.

        Returns
        -------
        DynamicConnectome
            The model itself.

        Raises
        ------
        RecordingError
            Traces that are all NaN, infinite or never change, labels repeated within an animal, traces that are too
            short.
        OptionError
            Settings that make no sense, and more motifs than the tensor can have.
        """
        self._check()
        fit_rng, graph_rng, group_rng, atlas_rng = generator(self.rng).spawn(4)
        sessions = read_sessions(data, affinity_settings(self.affinity, data), self.identities, self.shared_time)
        symmetric = (sessions.item, f"{sessions.item}_2") if self.pair_rank == 1 else None
        cp = NonnegativeCP(
            1,
            symmetric=symmetric,
            max_iter=self.max_iter,
            tol=self.tol,
            n_restarts=self.n_restarts,
            sparsity=self.sparsity,
            smoothness=self.smoothness,
            rng=int(fit_rng.integers(2**31)),
            n_jobs=self.n_jobs,
            progress=self.progress,
        )
        tensor = sessions.tensor
        table = None
        if self.n_motifs is None:
            table = self._selected(cp, tensor, sessions)
            stable = int(table["best_stable"])
            cp.set_params(rank=stable if stable > 0 else int(table["best"]))
        else:
            cp.set_params(rank=self.n_motifs)
        cp.fit(tensor)
        self._forget()
        self._store_motifs(cp, sessions, table)
        self._store_graphs(sessions, graph_rng)
        self._store_groups(sessions, group_rng)
        self._name_results()
        if stages is not None:
            self.atlas(stages, rng=atlas_rng)
        return self

    def _check(self) -> None:
        for name, least in (("n_motifs", 1), ("n_surrogates", 0), ("max_motifs", 1)):
            value = getattr(self, name)
            if value is None and name == "n_motifs":
                continue
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
                raise OptionError(f"{name}: a whole number of at least {least}", repr(value), f"correct {name}=")
        if 0 < self.n_surrogates < 3:
            raise OptionError("n_surrogates: 0, or 3 or more", repr(self.n_surrogates), "pass e.g. 20")
        if self.pair_rank not in (None, 1):
            raise OptionError("pair_rank None or 1", repr(self.pair_rank), "choose one")
        for name in ("link_level", "level"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise OptionError(f"{name}: between 0 and 1", repr(getattr(self, name)), "pass e.g. 0.05")
        motif_groups.check_settings(self.communities)

    def _selected(self, cp: NonnegativeCP, tensor: Any, sessions: Sessions) -> xr.Dataset:
        margin = max(one.maker.margin for one in sessions.stream)
        n_rows = sum(len(part) for part in (sessions.rows()[:1] if sessions.side_by_side else sessions.rows()))
        # Held-out stretches keep the reach of the smoothing away from the others, as far as there is room.
        return select_n_motifs(
            cp, tensor, range(1, self.max_motifs + 1), gap=min(margin, n_rows // 20), n_restarts=max(3, self.n_restarts)
        )

    def _store_motifs(self, cp: NonnegativeCP, sessions: Sessions, table: xr.Dataset | None) -> None:
        time = cp.factor_["time"].rename(component="motif")
        if "sequence" in time.coords:
            name = np.array([str(one) for one in sessions.name])[time["sequence"].values]
            time = time.drop_vars("sequence").assign_coords(time_session=("time", name))
        time.attrs = {"units": "1"}
        self.time_factor_ = time
        self.weight_ = cp.weight_.rename(component="motif").assign_attrs(units="1")
        names = np.array([str(one) for one in sessions.name])
        if sessions.side_by_side:
            loading = cp.factor_["session"].rename(component="motif").assign_coords(session=names)
        else:
            values = [np.sqrt(np.nanmean(time.values[rows] ** 2, axis=0)) for rows in sessions.rows()]
            loading = xr.DataArray(
                np.stack(values), dims=("session", "motif"), coords={"session": names, "motif": time["motif"].values}
            )
        self.session_factor_ = loading.assign_attrs(units="1")
        self.pair_factor_ = square_pairs(cp, sessions)
        if self.pair_rank == 1:
            self.unit_factor_ = cp.factor_[sessions.item].rename(component="motif").assign_attrs(units="1")
        self.observed_share_ = observed_share(sessions)
        self.n_motifs_ = int(cp.rank)
        self.relative_error_, self.stability_, self.converged_ = cp.relative_error_, cp.stability_, cp.converged_
        self.shared_time_ = int(sessions.side_by_side)
        if table is not None:
            self.selection_score_ = table["mean_score"].drop_vars("score", errors="ignore")
            self.selection_stability_ = table["stability"].copy()
        if not cp.converged_:
            warnings.warn(
                f"motifs did not settle in {self.max_iter} iterations: raise max_iter, or tol",
                NeurodataWarning,
                stacklevel=3,
            )

    def _store_graphs(self, sessions: Sessions, rng: np.random.Generator) -> None:
        courses = [Course(values) for values in courses_of(self, sessions)]
        found = graphs(sessions, courses, self.n_surrogates, self.link_level, rng)
        self._coefficient = found.coefficient
        self.graph_ = self.pair_factor_.copy(data=found.weight)
        for array in self.graph_.values:
            np.fill_diagonal(array, 0.0)
        empty = [r for r, graph in enumerate(found.weight) if not np.nansum(graph) > 0]
        if empty:
            warnings.warn(
                f"no pair follows motif {', '.join(map(str, empty))} more than turned traces do: no communities there",
                NeurodataWarning,
                stacklevel=3,
            )

    def _store_groups(self, sessions: Sessions, rng: np.random.Generator) -> None:
        progress = as_progress(self.progress)
        seeds = rng.spawn(self.n_motifs_ + 1)
        mean = np.nanmean(self.time_factor_.values, axis=0) * self.weight_.values
        if self.shared_time_:
            mean = mean * self.session_factor_.values.mean(axis=0)
        overall = np.einsum("r,rij->ij", mean, self.graph_.values)
        each = [*self.graph_.values, overall]
        serial = self.n_jobs == 1
        progress.start(len(each) if serial else 0, "communities")
        try:
            calls = [(graph, self.communities, seed) for graph, seed in zip(each, seeds, strict=True)]
            if serial:
                found = []
                for call in calls:
                    found.append(motif_groups.find_groups(*call))
                    progress.update(1)
            else:
                found = run_parallel(motif_groups.find_groups, calls, self.n_jobs)
        finally:
            progress.close()
        self.community_, self.community_prob_ = group_arrays(found[:-1], self.pair_factor_)
        coords = {sessions.item: sessions.label}
        self.overall_community_ = xr.DataArray(found[-1].label, dims=sessions.item, coords=coords, attrs={"units": "1"})

    def atlas(self, stages: Any, *, n_shifts: int = 4999, rng: RNGLike = None) -> xr.DataArray:
        """How active each motif is in each stage, against the same courses turned in time.

        Parameters
        ----------
        stages : mapping of name to intervals, DataArray (time,) or (time, signal), Dataset of trials or events
            Intervals are ``[(start, stop), ...]`` in s on the clock of the traces. A DataArray of labels has a stage
            per value; one of numbers with fractions has signals, such as speed. For animals with courses of their own,
            one for all or a list (or mapping by animal) with one for each.
        n_shifts : int
            Turns where several animals are turned each by a time of its own; of one, all turns are taken.
        rng : int, Generator or None

        Returns
        -------
        DataArray (stage, motif, community)
            Mean affinity that the motif lends the pairs of the community in the stage (of a signal: while it is above
            its median). Coordinates (stage, motif): `relative_activity` (1 = as on average), `correlation` with the
            stage, its two-sided `p_value`, and `significant` at a false discovery rate of `level` over all;
            `stage_p_value` (stage,): of all motifs together, and `detrended_p_value`: the same without straight trends.
            It is kept as `atlas_`.

        Notes
        -----
        Turned courses keep their slowness, and need not be like a course that drifts: a stage that begins or ends with
        the recording stands out by any drift. Believe it where `detrended_p_value` is small as well, or where
        recordings without the stage do not show it at the same times.
        """
        self._require_fit()
        rows = self._rows()
        time = self.time_factor_["time"].values
        parts: list[Any]
        if len(rows) > 1 and isinstance(stages, (list, tuple)):
            parts = list(stages)
        elif len(rows) > 1 and isinstance(stages, Mapping) and set(stages) == set(self._session_names()):
            parts = [stages[name] for name in self._session_names()]
        else:
            parts = [stages] * len(rows)
        if len(parts) != len(rows):
            raise OptionError(f"stages for {len(rows)} animals", f"{len(parts)}", "pass one for each, or one for all")
        weights = joined([stage_weights(one, time[part]) for one, part in zip(parts, rows, strict=True)])
        loading = self.session_factor_.values.mean(axis=0) if self.shared_time_ else 1.0
        course = self.time_factor_.values * self.weight_.values * loading
        self.atlas_ = make_atlas(
            course, weights, rows, self.level, mean_within(self.graph_, self.community_), n_shifts, generator(rng)
        )
        self.atlas_.name = "atlas"
        return self.atlas_

    def _session_names(self) -> list[str]:
        return [str(name) for name in self.session_factor_["session"].values]

    def _rows(self) -> list[np.ndarray]:
        """Rows of each recording whose time is its own."""
        if "time_session" not in self.time_factor_.coords:
            return [np.arange(self.time_factor_.sizes["time"])]
        owner = self.time_factor_["time_session"].values
        return [np.flatnonzero(owner == name) for name in self._session_names()]

    def boundaries(self, n_changes: int | None = None) -> xr.DataArray:
        """Times at which the activity of motifs changes level.

        Parameters
        ----------
        n_changes : int, optional
            Of each recording; by default a criterion chooses, see `neurodata.diagnostics.change_points`.

        Returns
        -------
        DataArray (change,)
            s; the coordinate `change_session` says whose.
        """
        self._require_fit()
        time = self.time_factor_["time"].values
        found, owner = [], []
        names = self._session_names()
        for name, rows in zip(names, self._rows(), strict=False):
            part = self.time_factor_.values[rows]
            seen = rows[np.isfinite(part).all(axis=1)]
            # Roots: the spread of an activity that cannot be negative grows with its level.
            changes, _ = change_points(np.sqrt(self.time_factor_.values[seen]), n_changes)
            # A change is between the last time of one level and the first of the next.
            found += [0.5 * (time[seen[k - 1]] + time[seen[k]]) for k in changes.tolist()]
            owner += [name if "time_session" in self.time_factor_.coords else ""] * len(changes)
        return xr.DataArray(
            np.array(found, dtype=np.float64),
            dims="change",
            coords={"change_session": ("change", np.array(owner, dtype=str))},
            attrs={"units": "s"},
            name="boundary",
        )

    def score(self, data: Any, *, n_folds: int = 5, rng: RNGLike = 0) -> float:
        """Share of the sum of squares of new affinities that is predicted, at most 1; see `NonnegativeCP.score`.

        Parameters
        ----------
        data
            As for `fit`, of units that it has seen.
        n_folds : int
        rng : int or Generator
        """
        self._require_fit()
        identities = "own" if self.identities == "own" else "label"
        settings = affinity_settings(self.affinity, data)
        sessions = read_sessions(data, settings, identities, bool(self.shared_time_) or None)
        return as_cp(self).score(sessions.tensor, n_folds=n_folds, rng=rng)

    def simulate(self, *, noise: float | None = None, rng: RNGLike = None) -> xr.DataArray:
        """Affinities from the model: the tensor of all motifs, with Gaussian noise cut off at 0.

        Parameters
        ----------
        noise : float, optional
            Standard deviation; none by default.
        rng : int or Generator
        """
        self._require_fit()
        return as_cp(self).simulate(noise=0.0 if noise is None else noise, rng=rng)

    def claims(self, data: Any) -> xr.Dataset:
        """What the model says of units, for `neurodata.validate`: `cluster`, from `overall_community_`."""
        self._require_fit()
        cluster = self.overall_community_
        return xr.Dataset({"cluster": cluster.rename({str(cluster.dims[0]): "unit"})})

    def to_dataset(self) -> xr.Dataset:
        """All results in one Dataset; `community_` is `member` there, as `community` is a dim."""
        dataset = super().to_dataset().drop_vars("community")
        arrays = {stored: getattr(self, name) for name, stored in _STORED.items()}
        return dataset.assign_coords(community=self.community_prob_["community"].values).assign(arrays)

    def _restore(self, tree: xr.DataTree) -> None:
        """Results from a file."""
        dataset = tree.to_dataset()
        for name in self._results:
            stored = _STORED.get(name, name[:-1])
            if stored in dataset:
                array = dataset[stored]
                used = {str(dim) for dim in array.dims}
                setattr(self, name, array.drop_vars([c for c in array.coords if not set(array[c].dims) <= used]))
        for fact in self._facts:
            setattr(self, fact, dataset.attrs[fact[:-1]])
        self.converged_ = bool(self.converged_)
        self._name_results()

    def __getattr__(self, name: str) -> Any:
        if name == "atlas_" and self.__sklearn_is_fitted__():
            raise NotFittedError("stages, for atlas_", "a fit without them", "call atlas(stages)")
        return super().__getattr__(name)

    def _summary(self) -> list[tuple[str, str]]:
        sizes = [int((row.max(initial=-1)) + 1) for row in self.community_.values]
        items = f"{self.pair_factor_.sizes['motif']} of {self.pair_factor_.shape[1]} {self.pair_factor_.dims[1]}s"
        return [
            ("motifs", items),
            ("communities of each", ", ".join(map(str, sizes))),
            ("animals", str(self.session_factor_.sizes["session"])),
            ("relative error of affinities", f"{self.relative_error_:.3g}"),
            ("stability of restarts", f"{self.stability_:.3f}"),
        ]
