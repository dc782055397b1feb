"""WeightedSBM: the estimator. A weighted graph in, communities with their uncertainty out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neurodata._core.progress import Progress, as_progress
from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError, RecordingError
from neurodata.kernels.sbm_weights_nb import LOG_HIGH, LOG_LOW
from neurodata.models.base import Model
from neurodata.models.connectome.sbm_chain import Drawn, State
from neurodata.models.connectome.sbm_generate import Generator, log_probability, simulate
from neurodata.models.connectome.sbm_graph import Links, read_links
from neurodata.models.connectome.sbm_posterior import estimate, link_rates, memberships, merge_levels, pool
from neurodata.models.connectome.sbm_prior import FAMILIES, Problem, make_problems
from neurodata.models.connectome.sbm_search import draw_from, search

# Names in files of results that are named like a dim.
_STORED = {"community_": "member", "n_communities_": "n_communities_prob"}


class WeightedSBM(Model):
    """Degree- and strength-corrected weighted stochastic block model of an undirected graph, sampled.

    Nodes are in groups whose number is not set. Whether two nodes are linked depends on their degrees and on their
    groups; the weight of a link on two effects of each of the two nodes, one for links within its group and one for
    links between groups, and on noise whose scale is learned. Degrees and strengths alone make no groups.

    Parameters
    ----------
    family : {"auto", "lognormal", "additive", "exponential", "poisson"}
        Distribution of weights given effects of the two nodes. "lognormal": Student noise on log weights. "additive":
        weights are sums of effects, with a floor below which they carry little information (for weights that share
        out strengths). "auto": of these two the one with more evidence. "exponential"; "poisson": whole numbers.
    n_runs, n_sweeps : int
        Annealed runs from starts far apart, by default 16, and 4 in graphs of more than 20000 links; passes over the
        nodes in each stage of them, roughly.
    n_chains, n_draws : int
        Most chains, from the ends of the best runs, and draws of each.
    max_communities : int, optional
        Most groups; by default 10, and more in graphs of more than 500 nodes.
    community_rate, community_weight : float
        Prior: ``K - 1 ~ Geometric(community_rate)``, weights of the K groups ``Dirichlet(community_weight)``.
    rng : int, Generator or None
    n_jobs : int
        Processes for chains.
    progress : bool

    Attributes
    ----------
    community_ : DataArray (x,)
        The partition of least posterior expected variation of information, largest community first; -1 for nodes
        without links.
    community_prob_ : DataArray (x, community)
        Posterior probability of each membership; rows sum to less than 1 where draws have other groups.
    n_communities_ : DataArray (n_communities,)
        Posterior probability of their number.
    levels_ : DataArray (level, x)
        `community_` and the partitions that merging its communities leads to, with coordinates
        `level_n_communities`, `level_log_evidence` (nat) and `level_weight`, their weights relative to each other.
    chain_evidence_ : DataArray (chain,)
        Estimated log evidence of what each chain explored, nat.
    effect_ : DataArray (where, x)
        Effects of the nodes on weights of their links, `where` = between, within communities.
    link_rate_ : DataArray (community, community_2)
        Links for each that degrees alone would make.
    propensity_, intercept_, noise_ : DataArray (x,), (where,), (where_eta,)
        A pair is linked with probability ``t_i t_j / (1 + t_i t_j)`` where the rate is 1; of the predictor of weights;
        noise scales at large and at small predictors.
    description_length_ : float
        Minus the largest of these, nat.
    n_isolated_ : int
        Nodes without links.
    scale_ : float
        Unit of the predictor, in that of the weights: of "additive", the floor; of "lognormal", the median.
    family_ : str
        That was chosen.

    Notes
    -----
    In the spirit of Aicher, Jacobs & Clauset 2014 (doi:10.1093/comnet/cnu026) and Peixoto 2018
    (doi:10.1103/PhysRevE.97.012306), on simple graphs. Effects are integrated out by Laplace's method when a node
    moves; a Metropolis-Hastings step makes that exact.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> rng = np.random.default_rng(0)
    >>> group = np.repeat([0, 1], 20)
    >>> linked = rng.random((40, 40)) < np.where(group[:, None] == group, 0.6, 0.1)
    >>> weight = np.exp(rng.normal(size=(40, 40))) * linked
    >>> weight = np.triu(weight, 1) + np.triu(weight, 1).T
    >>> model = nd.models.WeightedSBM(rng=0).fit(weight)
    >>> np.unique(model.community_.values[:20]).size, np.unique(model.community_.values).size
    (1, 2)
    """

    _results: ClassVar[tuple[str, ...]] = (
        "community_",
        "community_prob_",
        "n_communities_",
        "levels_",
        "chain_evidence_",
        "effect_",
        "link_rate_",
        "propensity_",
        "intercept_",
        "noise_",
    )
    _facts: ClassVar[tuple[str, ...]] = ("description_length_", "n_isolated_", "scale_", "family_")

    def __init__(
        self,
        *,
        family: str = "auto",
        n_runs: int | None = None,
        n_sweeps: int = 25,
        n_chains: int = 2,
        n_draws: int = 60,
        max_communities: int | None = None,
        community_rate: float = 0.3,
        community_weight: float = 1.0,
        rng: RNGLike = None,
        n_jobs: int = 1,
        progress: bool | Progress = False,
    ) -> None:
        self.family = family
        self.n_runs = n_runs
        self.n_sweeps = n_sweeps
        self.n_chains = n_chains
        self.n_draws = n_draws
        self.max_communities = max_communities
        self.community_rate = community_rate
        self.community_weight = community_weight
        self.rng = rng
        self.n_jobs = n_jobs
        self.progress = progress

    def fit(self, data: Any) -> WeightedSBM:
        """Sample communities of a graph.

        Parameters
        ----------
        data : DataArray (x, x_2), array or SciPy sparse
            Symmetric weights of at least 0, 0 where there is no link. The diagonal is not used.

        Returns
        -------
        WeightedSBM
            The model itself.

        Raises
        ------
        RecordingError
            Negative, infinite or missing weights, a matrix that is not square or not symmetric, no links.
        OptionError
            Settings that make no sense.
        """
        self._check()
        links = read_links(data, self.family)
        linked = np.flatnonzero(links.degree > 0)
        most = self.max_communities or min(10 + max(0, (linked.size - 500) // 50), 60)
        given = (most, self.community_rate, self.community_weight)
        problems = make_problems(_among(links, linked), self.family, *given)
        rng = generator(self.rng)
        progress = as_progress(self.progress)
        n_runs = self.n_runs or (16 if links.weight.size <= 40000 else 4)
        progress.start(0, f"{n_runs} runs")
        try:
            runs = search(problems, n_runs, self.n_sweeps, most + 1, rng, self.n_jobs)
            runs, chains = draw_from(runs, self.n_chains, self.n_draws, rng, self.n_jobs)
        finally:
            progress.close()
        self._store(chains, runs[int(np.argmax([one.bound for one in chains]))].problem, links, linked)
        return self

    def _check(self) -> None:
        families = ["auto", *FAMILIES]
        if self.family not in families:
            raise OptionError(f"family: one of {families}", repr(self.family), "pass e.g. family='auto'")
        for name in ("n_runs", "n_sweeps", "n_chains", "n_draws", "max_communities"):
            value = getattr(self, name)
            if value is None and name in ("n_runs", "max_communities"):
                continue
            if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
                raise OptionError(f"{name}: a whole number of at least 1", repr(value), f"pass e.g. {name}=6")
        if not 0.0 < self.community_rate < 1.0:
            raise OptionError("community_rate: between 0 and 1", repr(self.community_rate), "pass e.g. 0.3")
        if not self.community_weight > 0.0:
            raise OptionError("community_weight: above 0", repr(self.community_weight), "pass e.g. 1.0")

    def _store(self, chains: list[Drawn], problem: Problem, links: Links, linked: np.ndarray) -> None:
        draws, weight = pool(chains)
        point = estimate(draws)
        best = chains[int(np.argmax(weight))]
        found = merge_levels(problem, point, best.state)
        self._forget()
        dim, coords = links.dim, links.coords

        def full(values: np.ndarray, missing: float) -> np.ndarray:
            out = np.full((*values.shape[:-1], links.n), missing, dtype=values.dtype)
            out[..., linked] = values
            return out

        self.community_ = xr.DataArray(full(point, -1), dims=dim, coords=coords, attrs={"units": "1"})
        probability = full(memberships(draws, point).T, np.nan).T
        n_groups = probability.shape[1]
        self.community_prob_ = xr.DataArray(
            probability,
            dims=(dim, "community"),
            coords={**coords, "community": np.arange(n_groups)},
            attrs={"units": "1"},
        )
        number = np.array([len(np.unique(one)) for one in draws])
        values, times = np.unique(number, return_counts=True)
        self.n_communities_ = xr.DataArray(
            times / times.sum(), dims="n_communities", coords={"n_communities": values}, attrs={"units": "1"}
        )
        relative = np.exp(found.log_evidence - found.log_evidence.max())
        self.levels_ = xr.DataArray(
            full(found.group, -1),
            dims=("level", dim),
            coords={
                **coords,
                "level": np.arange(len(found.group)),
                "level_n_communities": ("level", found.group.max(axis=1) + 1),
                "level_log_evidence": ("level", found.log_evidence, {"units": "nat"}),
                "level_weight": ("level", relative / relative.sum(), {"units": "1"}),
            },
            attrs={"units": "1"},
        )
        self._store_parameters(problem, point, best.state, found.effect, full, links)
        bound = np.array([one.bound for one in chains])
        self.chain_evidence_ = xr.DataArray(
            bound, dims="chain", coords={"chain": np.arange(len(chains))}, attrs={"units": "nat"}
        )
        self.description_length_ = -float(bound.max())
        self.n_isolated_ = int(links.n - linked.size)
        self.family_ = next(name for name, code in FAMILIES.items() if code == problem.family)
        self.scale_ = float(problem.scale)
        self._name_results()

    def _store_parameters(
        self,
        problem: Problem,
        point: np.ndarray,
        state: State,
        effect: np.ndarray,
        full: Callable[[np.ndarray, float], np.ndarray],
        links: Links,
    ) -> None:
        dim, coords = links.dim, links.coords
        where = {"where": ["between", "within"]}
        number = np.arange(int(point.max()) + 1)
        self.effect_ = xr.DataArray(full(effect, np.nan), dims=("where", dim), coords={**coords, **where})
        self.link_rate_ = xr.DataArray(
            link_rates(problem, point, state),
            dims=("community", "community_2"),
            coords={"community": number, "community_2": number},
        )
        chance = np.diag(problem.graph.link)[problem.graph.kind]
        propensity = np.sqrt(chance / np.maximum(1.0 - chance, 1e-12))
        self.propensity_ = xr.DataArray(full(propensity, 0.0), dims=dim, coords=coords)
        self.intercept_ = xr.DataArray(state.parameters[:2].copy(), dims="where", coords=where)
        noise = np.exp(state.parameters[[LOG_HIGH, LOG_LOW]])
        self.noise_ = xr.DataArray(noise, dims="where_eta", coords={"where_eta": ["large", "small"]})
        for one in (self.effect_, self.link_rate_, self.propensity_, self.intercept_, self.noise_):
            one.attrs["units"] = "1"

    def _generator(self) -> Generator:
        self._require_fit()
        group = self.community_.values
        t = self.propensity_.values
        chance = np.outer(t, t)
        chance /= 1.0 + chance
        rate = self.link_rate_.values[np.ix_(np.maximum(group, 0), np.maximum(group, 0))]
        chance = np.where((group[:, None] >= 0) & (group >= 0), np.minimum(chance * rate, 1.0), 0.0)
        effect = np.nan_to_num(self.effect_.values)
        high, low = (float(one) for one in self.noise_.values)
        return Generator(FAMILIES[self.family_], group, chance, effect, self.intercept_.values, high, low, self.scale_)

    def simulate(self, *, rng: RNGLike = None) -> xr.DataArray:
        """A graph of the same nodes from the fitted model: `community_`, effects and rates as they are.

        Parameters
        ----------
        rng : int, Generator or None

        Returns
        -------
        DataArray (x, x_2)
            Symmetric weights, 0 where there is no link.
        """
        dim = str(self._require("community_").dims[0])
        weight = simulate(self._generator(), generator(rng))
        other = {f"{dim}_2": self.community_[dim].values}
        return xr.DataArray(weight, dims=(dim, f"{dim}_2"), coords={**self.community_.coords, **other})

    def _require(self, name: str) -> xr.DataArray:
        self._require_fit()
        return getattr(self, name)

    def score(self, data: Any) -> float:
        """Mean log probability, nats, that the fitted model gives to a pair in another graph of the same nodes.

        Parameters
        ----------
        data
            As for `fit`, of the same nodes in the same order. Pairs with nodes that had no links are left out.
        """
        self._require_fit()
        links = read_links(data, self.family_)
        labels = np.asarray(links.coords[links.dim])
        if not np.array_equal(labels, self.community_[self.community_.dims[0]].values):
            raise RecordingError("the nodes of the fit, in their order", "others", "select them by label")
        weight = np.zeros((links.n, links.n))
        weight[np.repeat(np.arange(links.n), links.degree), links.neighbour] = links.weight
        return log_probability(self._generator(), weight)

    def to_dataset(self) -> xr.Dataset:
        """All results in one Dataset; those named like a dim carry another name: `member`, `n_communities_prob`."""
        from neurodata.models.results import settings_attrs

        self._require_fit()
        facts = {name[:-1]: vars(self)[name] for name in self._facts}
        arrays = {_STORED.get(name, name[:-1]): getattr(self, name) for name in self._results}
        return xr.Dataset(arrays, attrs={**settings_attrs(self), **facts})

    def _restore(self, tree: xr.DataTree) -> None:
        """Results from a file."""
        dataset = tree.to_dataset()
        for name in self._results:
            array = dataset[_STORED.get(name, name[:-1])]
            extra = [c for c in array.coords if not set(array[c].dims) <= set(array.dims)]
            setattr(self, name, array.drop_vars(extra))
        for fact in self._facts:
            setattr(self, fact, dataset.attrs[fact[:-1]])
        self._name_results()

    def _summary(self) -> list[tuple[str, str]]:
        sizes = np.bincount(self.community_.values[self.community_.values >= 0])
        return [
            ("communities", f"{len(sizes)}, of sizes {', '.join(map(str, sizes.tolist()))}"),
            ("description length", f"{self.description_length_:.1f} nats"),
            ("nodes without links", str(self.n_isolated_)),
        ]


def _among(links: Links, keep: np.ndarray) -> Links:
    """The graph of nodes that have links."""
    if keep.size == links.n:
        return links
    new = np.full(links.n, -1, dtype=np.int64)
    new[keep] = np.arange(keep.size)
    start = np.concatenate([[0], np.cumsum(links.degree[keep])]).astype(np.int64)
    return links._replace(start=start, neighbour=new[links.neighbour])
