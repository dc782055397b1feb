"""BiClustering: the estimator. Labelled counts in, a posterior and what is read off it out."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neurodata._core.memory import as_text, free_bytes
from neurodata._core.progress import Progress, as_progress
from neurodata._core.rng import RNGLike, generator
from neurodata.diagnostics import partitions
from neurodata.diagnostics.scores import bits_per_spike, poisson_log_likelihood
from neurodata.errors import MissingOptionError, NeurodataWarning, NotFittedError, OptionError, RecordingError
from neurodata.models.base import Model
from neurodata.models.bicluster import align, predictive
from neurodata.models.bicluster.chain import Drawn, Task, run_chains
from neurodata.models.bicluster.draws import Plan, bytes_needed, probes_of
from neurodata.models.bicluster.layout import Data, Layout
from neurodata.models.bicluster.posterior import course_draws, diagnostics, flat, posterior_tree, rectangle, table_of
from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.score import log_predictive
from neurodata.models.bicluster.settings import check_settings, make_prior
from neurodata.models.bicluster.state import Counts
from neurodata.models.bicluster.sweep import Settings
from neurodata.models.sequences import CountSequences, read_counts

log = logging.getLogger(__name__)

# Shorter recordings say nothing about dynamics.
FEWEST_BINS = 10
# R-hat beyond which chains are said to disagree; 1.01 is what to aim for (Vehtari et al. 2021).
DISAGREE = 1.05
# Replicated data sets of a posterior predictive check.
_REPLICATES = 200


class BiClustering(Model):
    """Which units move together, when the dynamics change, and how sure that is: a Bayesian bi-clustering of counts.

    Units are in clusters, each with a trajectory x of ``1 + n_latents`` courses; time is in states, each with linear
    dynamics of the trajectories. Unit i of cluster z has negative-binomial counts with log mean
    ``d_i + x_z[t, 0] + c_i . x_z[t, 1:]`` and dispersion ``r_i``, and in state s ``x_z[t] = A x_z[t - 1] + b + noise``.
    Neither the number of clusters nor that of states is set: both are part of the posterior, which is sampled.

    Parameters
    ----------
    n_latents : int
        Latent factors of a cluster, beside its common course; see `neurodata.models.select_n_latents`.
    observation : {"negbin", "poisson"}
        Distribution of counts; "poisson" is exact, and slower to mix: trajectories are proposed in short windows.
    dynamics : {"block", "full"}
        "block": each cluster has dynamics of its own. "full", the paper's way: the trajectories of all `max_clusters`
        clusters, with units or without, move together, in each state by one matrix over all of them. Its size grows
        with `max_clusters` times ``1 + n_latents``, and the time of a sweep with its third power: set `max_clusters`
        near the number that a fit with "block" found. Units then change clusters one by one, given trajectories.
    max_clusters, max_states : int
        Most clusters with units, and the number of states of the weak limit.
    n_chains : int
        Independent chains, from starts far apart.
    n_warmup : int
        Sweeps of each chain before the first draw.
    n_draws, thin : int
        Draws kept of each chain, one in `thin` sweeps.
    course_draws : int
        Draws of each chain of which the trajectories are kept, which is most of the memory: at most so many, evenly
        spread. Rates, scores, checks and simulations are averages over these; 0 = do without them.
    checkpoint : path, optional
        A folder. Chains are stored there from time to time, and a run that was stopped goes on from there as if it had
        not been. It must be of the same data, settings and seed.
    baseline_mean, baseline_sd, loading_sd : float
        ``d ~ N(baseline_mean, baseline_sd^2)``, ``c ~ N(0, loading_sd^2)``.
    dispersion_shape, dispersion_rate : float
        ``r ~ Gamma``; the paper has Gamma(1, 1).
    noise_dof, noise_scale, transition_mean, transition_precision : float
        ``Q ~ IW(n + noise_dof, noise_scale I)``, n courses that move together, and ``[A b] | Q`` matrix normal about
        ``[transition_mean I, 0]``, see `neurodata.models.bicluster.prior.Prior`.
    cluster_weight, cluster_rate : float
        ``K - 1 ~ Geometric(cluster_rate)``, weights of the K clusters ``Dirichlet(cluster_weight)``.
    sticky_shape, sticky_rate, stick_a, stick_b : float
        States: ``alpha + kappa ~ Gamma``, ``kappa / (alpha + kappa) ~ Beta``; the paper fixes 15 and 2/3.
    states_shape, states_rate : float
        Concentration of the weights that the states share, ``Gamma``; the paper has 5.
    rng : int, Generator or None
        The same seed gives the same draws, whatever `n_jobs`.
    n_jobs : int
        Processes for the chains (joblib; Dask under ``joblib.parallel_config``).
    progress : bool
        Show a bar with the time left.

    Attributes
    ----------
    posterior_ : DataTree
        All draws, as ArviZ reads them: groups `posterior` (`unit_cluster`, `bin_state`, `baseline`, `loading`,
        `dispersion`, `log_rate` of a few fixed entries, `n_clusters`, `n_states`, ...), `trajectories` (of
        `course_draws`), `sample_stats`, `observed_data`. Dims chain, draw first. Labels of clusters and states mean
        nothing beyond their draw.
    unit_cluster_ : DataArray (unit,)
        The partition with the smallest posterior expected variation of information; largest cluster first.
    state_ : DataArray (time,) or (trial, time), or a list of them as the data
        The same for time; -1 in bins outside the first and last observed one.
    unit_similarity_ : DataArray (unit, unit_2)
        Posterior probability that two units are in one cluster.
    n_clusters_, n_states_ : DataArray
        Posterior probabilities of their numbers.
    latent_ : Dataset, or a list of them as the data
        `mean`, `sd`, `low`, `high` (90 %) of the trajectories of the clusters of `unit_cluster_` (cluster, ..., time,
        latent): the `common` course, which is the mean over the cluster's units of their log mean counts less its mean
        over time, and factors of mean 0 and variance 1, the largest first. Draws are brought into one frame after
        sampling; `n_draws_found` says in how many of the `n_draws` with trajectories a cluster was found, and only
        these count. A cluster of n units has at most n - 1 factors: the others are NaN. Worked out when first asked.
    loading_ : Dataset
        `mean`, `sd`, `low`, `high` (unit, latent) of the loadings on these factors, and `baseline` (unit), so that the
        log mean count is ``baseline + common + loading . factors``.
    diagnostics_ : Dataset (quantity,)
        `r_hat` and `ess` of numbers that do not depend on labels.
    rate_ : DataArray (unit,)
        Mean count per bin of the fitted data, the baseline of `score`.
    complete_ : bool
        False when the run was interrupted: then these are the draws until then.
    bin_width_, largest_count_, sessions_differ_, constant_units_
        s; of the fitted data; whether arrays have different units; ids of units whose counts never change, as JSON.

    Notes
    -----
    After Wei 2024 (ICLR, arXiv:2309.02213). Departures: each cluster has, by default, dynamics of its own, memberships
    are drawn with baselines and loadings integrated out, the weak limit keeps its weights from sweep to sweep and
    learns its concentrations, the state of a bin is that of the step into it, missing counts are left out exactly, and
    labels, signs and rotations are aligned after sampling. Priors differ from the paper's where said above.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(2.0, (40, 4)), bin_width=0.5)
    >>> model = nd.models.BiClustering(n_latents=1, n_chains=1, n_warmup=4, n_draws=4, rng=0).fit(counts)
    >>> model.unit_cluster_.dims, model.state_.dims, model.posterior_["posterior"]["baseline"].dims
    (('unit',), ('time',), ('chain', 'draw', 'unit'))
    >>> model.latent_["mean"].dims, model.loading_["mean"].dims, model.unit_credible_ball()["horizontal"].dims
    (('cluster', 'time', 'latent'), ('unit', 'latent'), ('unit',))
    """

    _results: ClassVar[tuple[str, ...]] = (
        "posterior_",
        "unit_cluster_",
        "state_",
        "unit_similarity_",
        "n_clusters_",
        "n_states_",
        "latent_",
        "loading_",
        "diagnostics_",
        "rate_",
    )
    _facts: ClassVar[tuple[str, ...]] = (
        "complete_",
        "bin_width_",
        "largest_count_",
        "sessions_differ_",
        "constant_units_",
    )

    def __init__(
        self,
        *,
        n_latents: int = 2,
        observation: str = "negbin",
        dynamics: str = "block",
        max_clusters: int = 15,
        max_states: int = 10,
        n_chains: int = 4,
        n_warmup: int = 1000,
        n_draws: int = 1000,
        thin: int = 1,
        course_draws: int = 250,
        checkpoint: str | Path | None = None,
        baseline_mean: float = Prior.baseline_mean,
        baseline_sd: float = Prior.baseline_sd,
        loading_sd: float = Prior.loading_sd,
        dispersion_shape: float = Prior.dispersion_shape,
        dispersion_rate: float = Prior.dispersion_rate,
        noise_dof: float = Prior.noise_dof,
        noise_scale: float = Prior.noise_scale,
        transition_mean: float = Prior.transition_mean,
        transition_precision: float = Prior.transition_precision,
        cluster_weight: float = Prior.cluster_weight,
        cluster_rate: float = Prior.cluster_rate,
        sticky_shape: float = Prior.sticky_shape,
        sticky_rate: float = Prior.sticky_rate,
        stick_a: float = Prior.stick_a,
        stick_b: float = Prior.stick_b,
        states_shape: float = Prior.states_shape,
        states_rate: float = Prior.states_rate,
        rng: RNGLike = None,
        n_jobs: int = 1,
        progress: bool | Progress = False,
    ) -> None:
        self.n_latents = n_latents
        self.observation = observation
        self.dynamics = dynamics
        self.max_clusters = max_clusters
        self.max_states = max_states
        self.n_chains = n_chains
        self.n_warmup = n_warmup
        self.n_draws = n_draws
        self.thin = thin
        self.course_draws = course_draws
        self.checkpoint = checkpoint
        self.baseline_mean = baseline_mean
        self.baseline_sd = baseline_sd
        self.loading_sd = loading_sd
        self.dispersion_shape = dispersion_shape
        self.dispersion_rate = dispersion_rate
        self.noise_dof = noise_dof
        self.noise_scale = noise_scale
        self.transition_mean = transition_mean
        self.transition_precision = transition_precision
        self.cluster_weight = cluster_weight
        self.cluster_rate = cluster_rate
        self.sticky_shape = sticky_shape
        self.sticky_rate = sticky_rate
        self.stick_a = stick_a
        self.stick_b = stick_b
        self.states_shape = states_shape
        self.states_rate = states_rate
        self.rng = rng
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, data: Data) -> BiClustering:
        """Sample the posterior.

        Parameters
        ----------
        data : DataArray or list of DataArray
            Counts (time, unit), (trial, time, unit), or a list of such; NaN = not observed. A jump in `time`, a trial
            and an array of the list each begin a new sequence. Arrays of a list may have different units.

        Returns
        -------
        BiClustering
            The model itself. Ctrl-C ends the chains after the sweep they are at, and the draws until then are the
            result, with `complete_` False; a second Ctrl-C is the usual one.

        Raises
        ------
        OptionError
            Settings that make no sense, more draws than memory has room for, or a checkpoint of other data or settings.
        RecordingError, MissingOptionError
            Data that are no counts, without spikes, shorter than 10 bins, or of unknown bin width.
        """
        settings = self.get_params(deep=False)
        check_settings(settings)
        sequences = read_counts(data, union=True)
        _check_length(sequences)
        prior, plan = make_prior(settings), self._plan()
        counts = Counts.of(sequences.counts.T, sequences.starts)
        n_units, n_bins = counts.counts.shape
        needed = self._check_memory(n_units, n_bins, prior, plan)
        rngs = generator(self.rng).spawn(self.n_chains)
        tasks = [Task(k, rng, counts, prior, Settings(), plan) for k, rng in enumerate(rngs)]
        chains = run_chains(
            tasks,
            folder=None if self.checkpoint is None else Path(self.checkpoint),
            seeded=self.rng is not None,
            n_jobs=self.n_jobs,
            progress=as_progress(self.progress),
            label=f"{self.n_chains} chains, at most {as_text(needed)}",
        )
        self._store(chains, counts, plan, sequences)
        self.sessions_differ_ = _sessions_differ(data, sequences)
        self._warn(chains)
        return self

    def bytes_needed(self, data: Data) -> dict[str, int]:
        """Bytes that a fit to these data would take, without running it.

        Returns
        -------
        dict
            "draws" and "trajectories" that are kept, were there as many clusters as allowed, and the "total" of the
            run: with work arrays, and with draws copied once.

        Examples
        --------
        >>> import neurodata as nd, numpy as np
        >>> counts = nd.containers.make_counts(np.ones((100, 20)), bin_width=0.5)
        >>> sorted(nd.models.BiClustering().bytes_needed(counts))
        ['draws', 'total', 'trajectories']
        """
        settings = self.get_params(deep=False)
        check_settings(settings)
        n_bins, n_units = read_counts(data, union=True).counts.shape
        return bytes_needed(n_units, n_bins, make_prior(settings), self._plan(), self.n_chains)

    def state_similarity(self, stride: int = 1) -> xr.DataArray:
        """Posterior probability that two bins are in one state.

        Parameters
        ----------
        stride : int
            One bin in so many; the matrix has (bins / stride)^2 entries.

        Returns
        -------
        DataArray (bin, bin_2)
            With the times of the bins, `time` and `time_2`, in s.
        """
        self._require_fit()
        _check_stride(stride)
        values = partitions.similarity(flat(self.posterior_, "bin_state")[:, ::stride])
        bins = self._layout.bins().isel(bin=slice(None, None, stride))
        coords: dict[str, Any] = {**{str(name): one for name, one in bins.coords.items()}, "bin_2": bins["bin"].values}
        if "time" in bins.coords:
            coords["time_2"] = ("bin_2", bins["time"].values, {"units": "s"})
        return xr.DataArray(
            values,
            dims=("bin", "bin_2"),
            coords=coords,
            name="state_similarity",
            attrs={"units": "1", "long_name": "probability of one state"},
        )

    def __getattr__(self, name: str) -> Any:
        # Aligned when first asked for: seconds of a long recording, and nothing that a fit or a score needs.
        if name not in ("latent_", "loading_") or not self.__sklearn_is_fitted__():
            return super().__getattr__(name)
        if "trajectories" not in self.posterior_.children:
            # An AttributeError, so that whoever asks what results there are gets an answer.
            raise NotFittedError(
                f"draws with trajectories, for {name}", "course_draws=0", "fit with course_draws of 1 or more"
            )
        self.latent_, self.loading_ = align.latents(self.posterior_, self.unit_cluster_, self._layout)
        return vars(self)[name]

    def unit_credible_ball(self, level: float = 0.95) -> xr.Dataset:
        """How far the drawn partitions of units are from `unit_cluster_`: the ball about it that holds `level` of them.

        Parameters
        ----------
        level : float
            Posterior probability of the ball.

        Returns
        -------
        Dataset (unit)
            `point`; bounds of the ball as labels of the units, with `distance_...` of each from the point estimate:
            `horizontal`, the draw in the ball that is farthest from it, `vertical_upper`, the farthest of those with
            the fewest clusters, `vertical_lower`, the farthest of those with the most. `radius`: variation of
            information, nats. Labels of bounds are those of `point` where clusters can be matched.

        Notes
        -----
        Wade & Ghahramani 2018, Bayesian Analysis 13:559, doi:10.1214/17-BA1073. Of several draws that are equally far,
        one is given.
        """
        self._require_fit()
        point = self.unit_cluster_
        coords = {"unit": point["unit"].values}
        return partitions.ball_table(flat(self.posterior_, "unit_cluster"), point.values, level, "unit", coords)

    def state_credible_ball(self, level: float = 0.95, stride: int = 1) -> xr.Dataset:
        """The same for the states of time, `state_`.

        Parameters
        ----------
        level : float
        stride : int
            One bin in so many.

        Returns
        -------
        Dataset (bin)
            As `unit_credible_ball` gives, with the times of the bins in s.
        """
        self._require_fit()
        _check_stride(stride)
        bins = self._layout.bins().isel(bin=slice(None, None, stride))
        draws = flat(self.posterior_, "bin_state")[:, ::stride]
        return partitions.ball_table(
            draws, self._bin_state[::stride], level, "bin", {str(k): v for k, v in bins.coords.items()}
        )

    def predict_rate(self, level: float = 0.9) -> xr.Dataset | list[xr.Dataset]:
        """Log mean counts of each unit and bin, with bands; also where counts were not observed.

        Parameters
        ----------
        level : float
            Posterior probability of the bands, each entry by itself.

        Returns
        -------
        Dataset, or a list of them as the data
            `mean`, `sd`, `low`, `high` (..., time, unit) of the log of the mean count per bin.
        """
        self._require_courses()
        if not 0.0 < level < 1.0:
            raise OptionError("a level between 0 and 1", repr(level), "pass e.g. level=0.9")
        bands = predictive.rate_bands(self.posterior_, level)
        unit = {"unit": self.unit_cluster_["unit"].values}
        names = ("mean", "sd", "low", "high")
        parts = [self._layout.restore(values, np.nan, unit, units="1") for values in bands]
        attrs = {"level": level, "bin_width": self.bin_width_, "long_name": "log of the mean count per bin"}
        if isinstance(parts[0], list):
            return [xr.Dataset(dict(zip(names, each, strict=True)), attrs=attrs) for each in zip(*parts, strict=True)]
        return xr.Dataset(dict(zip(names, parts, strict=True)), attrs=attrs)

    def score(self, data: Data, mask: Data | None = None) -> float:
        """Bits per spike of counts that the fit did not see, over a constant rate of each unit.

        Parameters
        ----------
        data : DataArray or list of DataArray
            The data of the fit with what was held out filled in.
        mask : DataArray of bool, or list, optional
            What to score, see `neurodata.models.speckle`; by default all that was not observed in the fit and is here.

        Returns
        -------
        float
            From the log of the mean over draws of the probability of each count, and a Poisson count of the unit's mean
            rate in the fit.

        Raises
        ------
        RecordingError
            Data of other bins or units, or nothing that was held out.
        """
        unit, _, counts, log_p = self._predict_held_out(data, mask)
        baseline = poisson_log_likelihood(counts.astype(np.float64), self.rate_.values[unit])
        return bits_per_spike(float(log_p.sum()), baseline, float(counts.sum()))

    def log_predictive(self, data: Data, mask: Data | None = None) -> xr.DataArray:
        """Log probability (nats) of each held-out count, dims (entry,), with its `unit`, `bin` and `count`.

        Parameters
        ----------
        data, mask
            As for `score`.
        """
        unit, bin_, counts, log_p = self._predict_held_out(data, mask)
        coords = {
            "unit": ("entry", self.unit_cluster_["unit"].values[unit]),
            "bin": ("entry", bin_),
            "count": ("entry", counts),
        }
        return xr.DataArray(log_p, dims="entry", coords=coords, attrs={"units": "nat"}, name="log_predictive")

    def posterior_predictive(self, *, n_draws: int = _REPLICATES, rng: RNGLike = None) -> xr.Dataset:
        """Does the model make data like these? Statistics of each unit against those of replicated counts.

        Parameters
        ----------
        n_draws : int
            Replicated data sets, at most as many as there are draws with trajectories.
        rng : int, Generator or None

        Returns
        -------
        Dataset
            By statistic (mean, fano, zeros, autocorrelation at one bin) and unit: `observed`, `replicated` (their
            mean), `low` and `high` (90 %), and `tail_probability`, that of a larger replicated value; near 0 or 1
            the model fails there.
        """
        self._require_courses()
        node = self.posterior_["observed_data"].to_dataset()
        counts, sequence = node["counts"].values.astype(np.float64), node["sequence"].values
        drawn = predictive.replicated_statistics(self.posterior_, counts, sequence, n_draws, generator(rng))
        observed = predictive.statistics_of(counts, sequence)
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0)
        table = {
            "observed": observed,
            "replicated": drawn.mean(axis=0),
            "low": low,
            "high": high,
            "tail_probability": predictive.tail(drawn, observed),
        }
        return xr.Dataset(
            {name: (("statistic", "unit"), values, {"units": "1"}) for name, values in table.items()},
            coords={"statistic": list(predictive.STATISTICS), "unit": node["unit"].values},
            attrs={"n_draws": len(drawn)},
        )

    def simulate(self, n_bins: int, *, rng: RNGLike = None) -> xr.Dataset:
        """Draw a new recording of these units from the posterior.

        Parameters
        ----------
        n_bins : int
        rng : int, Generator or None

        Returns
        -------
        Dataset
            `counts` and `log_rate` (time, unit), `state` (time), `cluster` (unit), of one draw of the posterior. It
            goes on from a bin of the fit, in states that the draw uses.
        """
        from neurodata.containers.spikes import make_counts

        self._require_courses()
        draw = generator(rng)
        sizes = self.posterior_["trajectories"].sizes
        chain, row = int(draw.integers(sizes["chain"])), int(draw.integers(sizes["draw"]))
        every = sizes["draw"]
        one = next(each for k, each in enumerate(course_draws(self.posterior_)) if k == chain * every + row)
        steps = list(predictive.forward(self.posterior_, chain, row, int(n_bins), draw))
        log_rate = np.array([predictive.log_means_of(one, now) for _, now in steps])
        counts = predictive.draw_counts(draw, log_rate, one.dispersion, float(np.log(2.0 * self.largest_count_ + 1.0)))
        unit = self.unit_cluster_["unit"].values
        return xr.Dataset(
            {
                "counts": make_counts(counts, self.bin_width_, unit=unit),
                "log_rate": (("time", "unit"), log_rate, {"units": "1"}),
                "state": ("time", [state for state, _ in steps]),
                "cluster": ("unit", one.cluster),
            },
            attrs={"model": "BiClustering", "chain": chain, "draw": row},
        )

    def to_dataset(self) -> xr.Dataset:
        """The results without the draws: `state` by bin, with its time; settings and facts are attributes."""
        from neurodata.models.results import settings_attrs

        self._require_fit()
        facts = {name[:-1]: vars(self)[name] for name in self._facts}
        facts = {name: int(value) if isinstance(value, bool) else value for name, value in facts.items()}
        return self._summaries().assign_attrs({**settings_attrs(self), **facts})

    def save(self, path: Any, *, overwrite: bool = True) -> Path:
        """Write settings, draws and results to one file; `neurodata.models.load` reads it. No pickle is involved.

        Parameters
        ----------
        path : path
            ``.nc``, or ``.zarr`` (extra ``zarr``).
        overwrite : bool
            Replace what is there; the old file survives until the new one is complete.
        """
        from neurodata.containers.store import write_tree

        dataset = self.to_dataset()
        nodes = {name: node.to_dataset() for name, node in self.posterior_.children.items()}
        nodes |= {f"layout/{name}": node for name, node in self._layout.to_nodes().items()}
        nodes["results"] = dataset.drop_attrs(deep=False)
        tree = xr.DataTree.from_dict({"/": xr.Dataset(attrs=dataset.attrs), **nodes})
        return write_tree(tree, path, overwrite=overwrite)

    def _restore(self, tree: xr.DataTree) -> None:
        """Take over what `save` wrote."""
        nodes = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
        layout = {name: node.to_dataset(inherit=False) for name, node in tree.children["layout"].children.items()}
        results = nodes.pop("results")
        del nodes["layout"]
        self.posterior_ = xr.DataTree.from_dict(nodes)
        self._layout = Layout.from_nodes(layout)
        self._from_summaries(results)
        for fact in self._facts:
            value = tree.attrs[fact[:-1]]
            setattr(self, fact, bool(value) if fact in ("complete_", "sessions_differ_") else value)

    def _plan(self) -> Plan:
        every = -(-self.n_draws // self.course_draws) if self.course_draws else 0
        return Plan(int(self.n_warmup), int(self.n_draws), int(self.thin), every)

    def _check_memory(self, n_units: int, n_bins: int, prior: Prior, plan: Plan) -> int:
        """State what the run takes, and refuse what does not fit."""
        needed = bytes_needed(n_units, n_bins, prior, plan, self.n_chains)
        log.info(
            "%d chains, %d units, %d bins: draws %s, trajectories %s, the run at most %s",
            self.n_chains, n_units, n_bins, *(as_text(needed[k]) for k in ("draws", "trajectories", "total")),
        )  # fmt: skip
        free = free_bytes()
        if free is None or needed["total"] <= free:
            return needed["total"]

        def fits(n_draws: int, courses: int) -> bool:
            every = -(-n_draws // courses) if courses else 0
            smaller = Plan(plan.n_warmup, n_draws, plan.thin, every)
            return bytes_needed(n_units, n_bins, prior, smaller, self.n_chains)["total"] <= free

        courses = next((c for c in _halves(self.course_draws) if fits(plan.n_draws, c)), None)
        if courses is not None:
            fix = f"pass course_draws={courses}"
        else:
            draws = next((n for n in _halves(plan.n_draws) if n and fits(n, 0)), None)
            fix = f"pass n_draws={draws}, course_draws=0" if draws else "fit fewer units, or wider bins"
        raise OptionError(
            f"a run that fits into free memory, {as_text(free)}", f"one that may take {as_text(needed['total'])}", fix
        )

    def _store(self, chains: Sequence[Drawn], counts: Counts, plan: Plan, sequences: CountSequences) -> None:
        complete = all(one.complete for one in chains)
        used, n_draws = rectangle(chains)
        if n_draws == 0:
            raise KeyboardInterrupt("interrupted before the first draw" + self._where())
        self._forget()
        self._layout = Layout.of(sequences)
        probes = probes_of(counts)
        self.posterior_ = posterior_tree(used, n_draws, plan.course_every, counts, probes, sequences.unit, self._layout)
        seen = counts.counts >= 0
        n_seen, n_spikes = seen.sum(axis=1), np.where(seen, counts.counts, 0).sum(axis=1)
        # Half a spike and one bin are added: a unit silent in training may spike in held-out data.
        rate = np.where(n_seen > 0, (n_spikes + 0.5) / (n_seen + 1.0), np.nan)
        unit = {"unit": sequences.unit}
        clusters = flat(self.posterior_, "unit_cluster")
        states = partitions.point_partition(flat(self.posterior_, "bin_state"))
        similarity = xr.DataArray(
            partitions.similarity(clusters), dims=("unit", "unit_2"), coords={**unit, "unit_2": sequences.unit}
        )
        number = self.posterior_["posterior"].to_dataset()
        self._from_summaries(
            xr.Dataset(
                {
                    "unit_cluster": _labelled(partitions.point_partition(clusters), unit, "cluster of the unit"),
                    "state": ("bin", states, {"units": "1", "long_name": "state of the bin"}),
                    "unit_similarity": similarity.assign_attrs(units="1", long_name="probability of one cluster"),
                    "n_clusters_table": table_of(number["n_clusters"].values, "n_clusters"),
                    "n_states_table": table_of(number["n_states"].values, "n_states"),
                    "rate": _labelled(rate, unit, "mean count per bin"),
                    **diagnostics(self.posterior_).data_vars,
                },
                coords=self._layout.bins().coords,
            )
        )
        self.complete_ = complete
        self.bin_width_ = sequences.bin_width
        self.largest_count_ = int(counts.counts.max())
        low = np.where(seen, counts.counts, np.iinfo(np.int32).max).min(axis=1)
        constant = (n_seen == 0) | (low == np.where(seen, counts.counts, -1).max(axis=1))
        self.constant_units_ = json.dumps(sequences.unit[constant].tolist())

    def _from_summaries(self, dataset: xr.Dataset) -> None:
        """Results from the Dataset that `_summaries` gives; the layout must be there."""
        for name in ("unit_cluster", "unit_similarity", "n_clusters", "n_states", "rate"):
            array = dataset[name if name not in ("n_clusters", "n_states") else f"{name}_table"]
            extra = [c for c in array.coords if c not in array.dims]
            setattr(self, f"{name}_", array.drop_vars(extra).rename(name))
        self._bin_state = np.asarray(dataset["state"].values)
        about = {"units": "1", "long_name": "state of the bin; -1 outside the first and last observed one"}
        self.state_ = self._layout.restore(self._bin_state, -1, None, **about)
        self.diagnostics_ = dataset[list(_DIAGNOSTICS)].reset_coords(drop=True)

    def _summaries(self) -> xr.Dataset:
        variables: dict[str, Any] = {
            "unit_cluster": self.unit_cluster_,
            "unit_similarity": self.unit_similarity_,
            "n_clusters_table": self.n_clusters_,
            "n_states_table": self.n_states_,
            "rate": self.rate_,
            "state": ("bin", self._bin_state, {"units": "1", "long_name": "state of the bin"}),
            **{name: self.diagnostics_[name] for name in _DIAGNOSTICS},
        }
        return xr.Dataset(variables, coords=self._layout.bins().coords)

    def _predict_held_out(self, data: Data, mask: Data | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Unit, bin, count and log probability of each entry to score."""
        self._require_courses()
        ids = self.unit_cluster_["unit"].values
        counts = self._layout.take(data, ids, self.sessions_differ_)
        trained = np.isfinite(self.posterior_["observed_data"].to_dataset()["counts"].values.astype(np.float64))
        held_out = (counts >= 0) & ~trained & np.isfinite(self.rate_.values)
        if mask is not None:
            arrays = [mask] if isinstance(mask, xr.DataArray) else list(mask)
            whole = [one.astype(np.int64).assign_attrs(bin_width=self.bin_width_) for one in arrays]
            wanted = self._layout.take(whole if self._layout.is_list else whole[0], ids, self.sessions_differ_) > 0
            if (wanted & trained).any():
                raise RecordingError(
                    "a mask of counts that the fit did not see",
                    f"{int((wanted & trained).sum())} that it did",
                    "fit data.where(~mask)",
                )
            held_out &= wanted
        bin_, unit = np.nonzero(held_out)
        if not len(unit):
            raise RecordingError(
                "counts that were not observed in the fit",
                "none",
                "fit data.where(~mask) with mask = nd.models.speckle(data), then score(data, mask)",
            )
        y = counts[bin_, unit].astype(np.int64)
        return unit, bin_, y, log_predictive(course_draws(self.posterior_), unit, bin_, y)

    def _require_courses(self) -> None:
        self._require_fit()
        if "trajectories" not in self.posterior_.children:
            raise MissingOptionError("draws with trajectories", "course_draws=0", "fit with course_draws of 1 or more")

    def _where(self) -> str:
        return f"; the chains are in {self.checkpoint}" if self.checkpoint is not None else ""

    def _warn(self, chains: Sequence[Drawn]) -> None:
        constant = json.loads(self.constant_units_)
        if constant:
            warnings.warn(
                f"{len(constant)} units whose counts never change are kept, though they say little: {constant[:8]}",
                NeurodataWarning,
                stacklevel=3,
            )
        if not self.complete_:
            sizes = self.posterior_["posterior"].sizes
            warnings.warn(
                f"interrupted: {sizes['draw']} of {self.n_draws} draws of {sizes['chain']} of {len(chains)} chains"
                + self._where(),
                NeurodataWarning,
                stacklevel=3,
            )
        value = self.diagnostics_["r_hat"].values
        worst = float(np.nanmax(value)) if np.isfinite(value).any() or np.isinf(value).any() else np.nan
        if worst > DISAGREE:
            name = str(self.diagnostics_["quantity"].values[int(np.nanargmax(value))])
            warnings.warn(
                f"chains disagree: R-hat of {name} is {worst:.2f}; raise n_warmup and n_draws, and look at "
                "diagnostics_ before the results",
                NeurodataWarning,
                stacklevel=3,
            )

    def _summary(self) -> list[tuple[str, str]]:
        posterior = self.posterior_["posterior"].sizes
        value = self.diagnostics_["r_hat"].values
        worst = f"{np.nanmax(value):.3f}" if not np.isnan(value).all() else "unknown"

        def likely(table: xr.DataArray) -> str:
            k = int(table.values.argmax())
            return f"{int(table[table.dims[0]][k])} (probability {float(table[k]):.2f})"

        return [
            ("units", str(posterior["unit"])),
            ("bins", f"{posterior['bin']} of {self.bin_width_:g} s"),
            (
                "draws",
                f"{posterior['chain']} chains of {posterior['draw']}" + ("" if self.complete_ else ", incomplete"),
            ),
            ("clusters", likely(self.n_clusters_)),
            ("states", likely(self.n_states_)),
            ("largest R-hat", worst),
        ]


_DIAGNOSTICS = ("r_hat", "ess", "mean", "sd")


def _check_length(sequences: CountSequences) -> None:
    if len(sequences.counts) < FEWEST_BINS:
        raise RecordingError(
            f"{FEWEST_BINS} bins or more", f"{len(sequences.counts)} bins", "record for longer, or take narrower bins"
        )


def _check_stride(stride: int) -> None:
    if not isinstance(stride, int) or stride < 1:
        raise OptionError("a stride of at least 1", repr(stride), "pass e.g. stride=4")


def _halves(n: int) -> list[int]:
    """Smaller and smaller numbers, above 0."""
    out = []
    while n > 1:
        n //= 2
        out.append(n)
    return out


def _sessions_differ(data: Data, sequences: CountSequences) -> bool:
    arrays = [data] if isinstance(data, xr.DataArray) else list(data)
    ids = [array[dim].values for array in arrays for dim in ("unit", "roi") if dim in array.coords]
    return any(not np.isin(sequences.unit, one).all() for one in ids)


def _labelled(values: np.ndarray, coords: dict[str, Any], long_name: str) -> xr.DataArray:
    return xr.DataArray(values, dims=tuple(coords), coords=coords, attrs={"units": "1", "long_name": long_name})
