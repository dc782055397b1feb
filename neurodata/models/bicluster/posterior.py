"""Draws of all chains as one labelled tree that ArviZ reads, and what is read off it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import xarray as xr

from neurodata.diagnostics.convergence import bulk_effective_sample_size, r_hat
from neurodata.models.bicluster.chain import Drawn
from neurodata.models.bicluster.draws import COUNTED, DYNAMICS, N_PROBES, SCALARS, Draws
from neurodata.models.bicluster.layout import Layout
from neurodata.models.bicluster.score import CourseDraw
from neurodata.models.bicluster.state import Counts

# Draws of each chain below which halves of chains say nothing.
FEWEST_DRAWS = 8
_ABOUT = {
    "log_likelihood": ("nat", "log-likelihood of the counts given trajectories, loadings and dispersions"),
    "n_clusters": ("1", "clusters with units"),
    "n_states": ("1", "states with bins"),
    "cluster_entropy": ("nat", "entropy of the sizes of clusters"),
    "state_entropy": ("nat", "entropy of the parts of time in states"),
    "mean_log_dispersion": ("1", "mean over units of the log dispersion"),
    "mass": ("1", "concentration of the rows of the transition matrix, alpha + kappa"),
    "stick": ("1", "stickiness, kappa / (alpha + kappa)"),
    "gamma": ("1", "concentration of the states' shared weights"),
}


def rectangle(chains: Sequence[Drawn]) -> tuple[list[Drawn], int]:
    """Chains to take and draws of each, so that most draws are in: all of them when all chains are complete."""
    by_length = sorted(chains, key=lambda one: -one.draws.n)
    areas = [(k + 1) * one.draws.n for k, one in enumerate(by_length)]
    best = int(np.argmax(areas))
    n = by_length[best].draws.n
    return [one for one in chains if one.draws.n >= n], n


def posterior_tree(
    chains: Sequence[Drawn],
    n_draws: int,
    course_every: int,
    data: Counts,
    probes: np.ndarray,
    unit: np.ndarray,
    layout: Layout,
) -> xr.DataTree:
    """Groups posterior, trajectories, sample_stats and observed_data; trajectories are taken out of `chains`."""
    draws = [one.draws for one in chains]
    chain_draw: dict[str, Any] = {"chain": [one.number for one in chains], "draw": np.arange(n_draws)}
    bins = layout.bins()

    def stacked(name: str) -> np.ndarray:
        return np.stack([getattr(one, name)[:n_draws] for one in draws])

    def cd(*dims: str) -> tuple[str, ...]:
        return ("chain", "draw", *dims)

    scalar = stacked("scalar")
    posterior = xr.Dataset(
        {
            "unit_cluster": (cd("unit"), stacked("cluster"), {"long_name": "cluster of the unit"}),
            "bin_state": (cd("bin"), stacked("state"), {"long_name": "state of the step into the bin"}),
            "baseline": (cd("unit"), stacked("baseline"), {"units": "1", "long_name": "log mean count at x = 0"}),
            "loading": (cd("unit", "factor"), stacked("loading"), {"units": "1", "long_name": "loading"}),
            "dispersion": (cd("unit"), stacked("dispersion"), {"units": "1", "long_name": "dispersion r"}),
            "log_rate": (cd("probe"), stacked("log_rate"), {"units": "1", "long_name": "log mean count of a probe"}),
            **{
                name: (cd(), scalar[..., k], dict(zip(("units", "long_name"), _ABOUT[name], strict=True)))
                for k, name in enumerate(SCALARS)
                if name != "log_likelihood"
            },
        },
        coords={
            **chain_draw,
            "unit": unit,
            **bins.coords,
            "factor": np.arange(1, 1 + draws[0].loading.shape[2]),
            "probe": np.arange(N_PROBES),
            "probe_unit": ("probe", unit[probes[0]]),
            "probe_bin": ("probe", probes[1]),
        },
    )
    counted = stacked("counted")
    stats = xr.Dataset(
        {
            "log_likelihood": (
                cd(),
                scalar[..., 0],
                dict(zip(("units", "long_name"), _ABOUT["log_likelihood"], strict=True)),
            ),
            **{
                name: (cd(), counted[..., k], {"units": "1", "long_name": f"{name}: steps since the draw before"})
                for k, name in enumerate(COUNTED)
            },
        },
        coords=chain_draw,
    )
    values = data.counts.T
    observed = values if (values >= 0).all() else np.where(values >= 0, values, np.nan)
    counts = xr.Dataset(
        {"counts": (("bin", "unit"), observed, {"units": "1", "bin_width": layout.bin_width})},
        coords={"unit": unit, **bins.coords},
    )
    nodes = {"posterior": posterior, "sample_stats": stats, "observed_data": counts}
    if course_every:
        nodes["trajectories"] = _trajectories(draws, n_draws, course_every, chain_draw["chain"], bins)
    return xr.DataTree.from_dict(nodes)


def _trajectories(draws: Sequence[Draws], n_draws: int, every: int, chain: list[int], bins: xr.Dataset) -> xr.Dataset:
    kept = np.arange(0, n_draws, every)
    most = max((len(x) for one in draws for x in one.x[: len(kept)]), default=0)
    first = draws[0]

    def padded(name: str) -> np.ndarray:
        shape = getattr(first, name)[0].shape[1:]
        out = np.full((len(draws), len(kept), most, *shape), np.nan, dtype=np.float32)
        for c, one in enumerate(draws):
            parts = getattr(one, name)
            for d in range(len(kept)):
                out[c, d, : len(parts[d])] = parts[d]
                # Freed one by one: the draws are never in memory twice.
                parts[d] = np.empty(0, dtype=np.float32)
        return out

    m, n_states = first.x[0].shape[2], first.switch.shape[1]
    course = np.array(["common", *(f"factor_{k}" for k in range(1, m))])
    labels = np.arange(n_states)
    # Where all trajectories move together, rows are of one cluster and columns of all, cluster by cluster.
    together = first.transition[0].shape[-1] != m
    other = np.array([f"{k}/{name}" for k in range(most) for name in course]) if together else course
    dims = {
        "transition": ("cluster", "state", "course", "course_2"),
        "offset": ("cluster", "state", "course"),
        "noise": ("cluster", "state", "course", "course_2"),
    }
    words = {
        "transition": "A of x[t] = A x[t - 1] + b + noise",
        "offset": "b of x[t] = A x[t - 1] + b + noise",
        "noise": "covariance of the noise of x",
    }
    return xr.Dataset(
        {
            "trajectory": (
                ("chain", "draw", "cluster", "bin", "course"),
                padded("x"),
                {"units": "1", "long_name": "trajectory of the cluster, as drawn; NaN for clusters without units"},
            ),
            **{
                name: (("chain", "draw", *dims[name]), padded(name), {"units": "1", "long_name": words[name]})
                for name in DYNAMICS
            },
            "switch": (
                ("chain", "draw", "state", "state_2"),
                np.stack([one.switch[: len(kept)] for one in draws]),
                {"units": "1", "long_name": "probability of state_2 after state"},
            ),
        },
        coords={
            "chain": chain,
            "draw": kept,
            "cluster": np.arange(most),
            "state": labels,
            "state_2": labels,
            "course": course,
            "course_2": other,
            **bins.coords,
        },
    )


def course_draws(tree: xr.DataTree, most: int | None = None) -> Iterator[CourseDraw]:
    """Draws that have trajectories, chain by chain; at most about `most` of them, evenly spread."""
    if "trajectories" not in tree.children:
        return
    posterior, courses = tree["posterior"].to_dataset(), tree["trajectories"].to_dataset()
    row = courses["draw"].values
    arrays = [posterior[name].values for name in ("baseline", "dispersion", "loading", "unit_cluster")]
    x = courses["trajectory"].values
    n_chains = x.shape[0]
    every = 1 if most is None else max(1, -(-n_chains * len(row) // most))
    for c in range(n_chains):
        for d in range(0, len(row), every):
            baseline, dispersion, loading, cluster = (a[c, row[d]] for a in arrays)
            yield CourseDraw(baseline, dispersion, loading, cluster.astype(np.int64), x[c, d])


def diagnostics(tree: xr.DataTree) -> xr.Dataset:
    """R-hat, bulk ESS, mean and standard deviation of numbers that do not depend on labels.

    Returns
    -------
    Dataset
        `r_hat`, `ess`, `mean`, `sd` (quantity). NaN where a number never changes, or draws are too few to tell.
    """
    posterior, stats = tree.children["posterior"], tree.children["sample_stats"]
    table = {name: values_of(posterior if name in posterior else stats, name) for name in SCALARS}
    probes = posterior.to_dataset()["log_rate"]
    for k in range(probes.sizes["probe"]):
        unit, bin_ = probes["probe_unit"].values[k], probes["probe_bin"].values[k]
        table[f"log_rate[{unit},{bin_}]"] = probes.values[..., k]
    draws = np.stack(list(table.values()), axis=-1)
    enough = draws.shape[1] >= FEWEST_DRAWS
    unknown = np.full(draws.shape[-1], np.nan)
    return xr.Dataset(
        {
            "r_hat": ("quantity", r_hat(draws) if enough else unknown, {"long_name": "rank-normalised split R-hat"}),
            "ess": (
                "quantity",
                bulk_effective_sample_size(draws) if enough else unknown,
                {"long_name": "bulk effective sample size"},
            ),
            "mean": ("quantity", draws.mean(axis=(0, 1))),
            "sd": ("quantity", draws.std(axis=(0, 1))),
        },
        coords={"quantity": list(table)},
    )


def table_of(values: np.ndarray, dim: str) -> xr.DataArray:
    """Posterior probabilities of a whole number, 1 .. the largest drawn."""
    count = np.bincount(values.astype(np.int64).ravel())[1:]
    return xr.DataArray(
        count / count.sum(), dims=dim, coords={dim: np.arange(1, len(count) + 1)}, attrs={"units": "1"}
    ).assign_attrs(long_name="posterior probability")


def flat(tree: xr.DataTree, name: str) -> np.ndarray:
    """A variable of the posterior with chains end to end, (draw, ...)."""
    values = values_of(tree.children["posterior"], name)
    return values.reshape(-1, *values.shape[2:])


def values_of(node: xr.DataTree | xr.DataArray, name: str) -> np.ndarray:
    """The array of one variable of a node."""
    return np.asarray(node[name].values)
