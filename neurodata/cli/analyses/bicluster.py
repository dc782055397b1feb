"""Clusters of units and states of time: Bayesian bi-clustering, judged by counts it has not seen."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.cli.analyses._counts import Prepared, lacks_counts, prepare_counts
from neurodata.cli.analyses.base import Analysis, Picture, Result, Settings, Step, Table
from neurodata.cli.inputs import collected_warnings
from neurodata.errors import RecordingError
from neurodata.models import BiClustering, speckle
from neurodata.models.bicluster.estimator import DISAGREE

BIN_S = 0.5
HELD_OUT = 0.1
N_CHAINS, N_WARMUP, N_DRAWS = 2, 300, 200
# What two chains take some minutes for.
MOST_UNITS, MOST_BINS = 40, 500
FEWEST_BINS = 10


def run(recording: xr.DataTree, settings: Settings, step: Step) -> Result:
    """Fit with a part of the counts held out, score, describe."""
    counts, prepared = counts_of(recording, settings)
    held_out = speckle(counts, HELD_OUT, rng=settings.rng)
    assert isinstance(held_out, xr.DataArray)  # one DataArray went in, so that one comes out
    with collected_warnings() as remarks:
        step("bi-clustering: chains")
        model = new_model(settings).fit(counts.where(~held_out))
        step("bi-clustering: one cluster and one state, for comparison")
        alone = new_model(settings, max_clusters=1, max_states=1).fit(counts.where(~held_out))
        scores = model.score(counts, held_out), alone.score(counts, held_out)
    step("bi-clustering: figures")
    return Result(
        verdict=_verdict(model, scores, prepared.event),
        pictures=_pictures(model, counts, prepared.event),
        tables=[_clusters(model, counts), _chains(model)],
        data=xr.Dataset(
            {
                "cluster": model.unit_cluster_,
                "unit_similarity": model.unit_similarity_,
                "state": model.state_,
                "n_clusters_probability": model.n_clusters_,
                "n_states_probability": model.n_states_,
                "score": scores[0],
                "score_one_cluster_one_state": scores[1],
            }
        ),
        settings={
            "model": "BiClustering, negative binomial counts, block dynamics",
            "bin width": f"{float(counts.attrs['bin_width']):g} s",
            "units": counts.sizes["unit"],
            "bins": counts.sizes["time"],
            "chains": f"{N_CHAINS} of {N_WARMUP} sweeps of warm-up and {N_DRAWS} draws",
            "held-out counts": f"{HELD_OUT:.0%} of all, at random",
            "seed": settings.rng,
        },
        caveats=[*prepared.remarks, *remarks, *_CAVEATS],
    )


_CAVEATS = [
    "Units in one cluster share a few slow courses of their rates; that says nothing about synapses between them.",
    "Numbers of clusters and states depend on the priors of their dynamics; see the documentation of BiClustering.",
    "Chains that end in different partitions are averaged here; R-hat of n_clusters and cluster_entropy tells.",
    "Two short chains are enough for a first look, not for a paper.",
]


def new_model(settings: Settings, **changed: int) -> BiClustering:
    """The model of the analysis, not fitted."""
    return BiClustering(n_chains=N_CHAINS, n_warmup=N_WARMUP, n_draws=N_DRAWS, rng=settings.rng).set_params(**changed)


def counts_of(recording: xr.DataTree, settings: Settings) -> tuple[xr.DataArray, Prepared]:
    """Counts of the recording within the limits, and what they were made of, with remarks."""
    prepared = prepare_counts(recording, settings.bin_width or BIN_S, False)
    return _limited(prepared, settings), prepared


def _limited(prepared: Prepared, settings: Settings) -> xr.DataArray:
    """Counts within the limits; what is left out goes to the remarks."""
    counts = prepared.counts
    n_units, n_bins = counts.sizes["unit"], counts.sizes["time"]
    width = float(counts.attrs["bin_width"])
    if n_bins < FEWEST_BINS:
        raise RecordingError(
            f"at least {FEWEST_BINS} bins", f"{n_bins} of {width:g} s", "take narrower bins (--bin-width)"
        )
    if settings.limited and n_units > MOST_UNITS:
        total = counts.sum("time").values
        counts = counts.isel(unit=np.sort(np.argsort(-total, kind="stable")[:MOST_UNITS]))
        prepared.remarks.append(
            f"Only the {MOST_UNITS} most active of {n_units} units are analysed, to bound the time; "
            "--no-limit takes all."
        )
    if settings.limited and n_bins > MOST_BINS:
        counts = counts.isel(time=slice(0, MOST_BINS))
        prepared.remarks.append(
            f"Only the first {MOST_BINS * width:.0f} s are analysed, to bound the time; --no-limit takes all."
        )
    return counts


def _verdict(model: BiClustering, scores: tuple[float, float], event: str) -> list[str]:
    ours, alone = scores
    found = []
    for table, what in ((model.n_clusters_, "clusters of units"), (model.n_states_, "states")):
        k = int(table.values.argmax())
        found.append(f"{int(table[table.dims[0]].values[k])} {what} (probability {float(table.values[k]):.2f})")
    worst = float(model.diagnostics_["r_hat"].max())
    lines = [
        f"Most probable: {found[0]} and {found[1]}.",
        f"Held-out score: {ours:.3f} bits/{event} above a constant rate of each unit; one cluster in one state: "
        f"{alone:.3f}.",
    ]
    if ours <= alone:
        lines.append("Clusters and states do not predict unseen counts better than one of each: do not interpret them.")
    if worst > DISAGREE:
        lines.append(
            f"The chains do not agree yet (largest R-hat {worst:.2f}): run longer chains before relying on this."
        )
    return lines


def _pictures(model: BiClustering, counts: xr.DataArray, event: str) -> list[Picture]:
    from neurodata import plot

    order = np.argsort(model.unit_cluster_.values, kind="stable")
    rate = model.predict_rate()
    state, latent = model.state_, model.latent_
    assert isinstance(rate, xr.Dataset)
    assert isinstance(latent, xr.Dataset)
    assert isinstance(state, xr.DataArray)
    ordered = counts.isel(unit=order)
    return [
        Picture(
            "Which units are together",
            "Posterior probability that two units are in one cluster, in the order of the point partition.",
            plot.similarity(model.unit_similarity_, model.unit_cluster_).figure,
        ),
        Picture(
            "States of time",
            f"Top: states of the point partition of time. Below: {event}s per second, units in the order of clusters.",
            plot.states(state, ordered).figure,
        ),
        Picture(
            "Trajectories",
            "What the units of each cluster share, aligned over draws: the mean of their log counts, and factors that "
            "they follow more or less; posterior mean and 90 % band. Below: states.",
            plot.trajectories(latent, state)[0].figure,
        ),
        Picture(
            "Rates",
            "Counts of some units, the posterior mean of their rate, and its 90 % band; colours behind are states.",
            plot.rates(rate, ordered, marks=state)[0].figure,
        ),
        Picture(
            "Number of clusters",
            "Posterior probability.",
            plot.group_numbers(model.n_clusters_).figure,
        ),
        Picture(
            "Number of states",
            "Posterior probability.",
            plot.group_numbers(model.n_states_).figure,
        ),
        Picture(
            "Chains",
            "Numbers that do not depend on labels, over the draws of each chain, and the ranks of each chain's draws, "
            "which are even where chains agree.",
            plot.chains(model.posterior_, ["n_clusters", "n_states", "cluster_entropy", "state_entropy"])[0, 0].figure,
        ),
    ]


def _clusters(model: BiClustering, counts: xr.DataArray) -> Table:
    label, similarity = model.unit_cluster_.values, model.unit_similarity_.values
    rate = counts.mean("time").values / float(counts.attrs["bin_width"])
    rows = []
    for k in np.unique(label):
        own = np.flatnonzero(label == k)
        within = similarity[np.ix_(own, own)][~np.eye(own.size, dtype=bool)]
        certain = f"{within.mean():.2f}" if within.size else "-"
        names = ", ".join(str(one) for one in counts["unit"].values[own][:12]) + (", ..." if own.size > 12 else "")
        rows.append((f"cluster {k}", own.size, certain, f"{rate[own].mean():.3g}", names))
    heads = ("cluster", "units", "mean probability of being together", "mean rate (1/s)", "ids")
    return Table("Clusters", heads, tuple(rows), "Of the partition with the least expected variation of information.")


def _chains(model: BiClustering) -> Table:
    table = model.diagnostics_
    rows = tuple(
        (str(name), f"{float(r):.3f}", f"{float(n):.0f}")
        for name, r, n in zip(table["quantity"].values, table["r_hat"].values, table["ess"].values, strict=True)
    )
    return Table("Agreement of chains", ("quantity", "R-hat", "effective draws"), rows, "nan: constant over all draws.")


ANALYSIS = Analysis(
    name="bicluster",
    title="Clusters of units and states of time",
    question="Which units move together, when do the dynamics change, and how sure is that?",
    lacks=lacks_counts,
    run=run,
    is_default=False,
)
