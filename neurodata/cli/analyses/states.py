"""Brain states: a hidden Markov model of Poisson regressions, judged on data it has not seen."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.cli.analyses._counts import Prepared, lacks_counts, prepare_counts
from neurodata.cli.analyses._states_view import (
    Fold,
    connections_table,
    couplings_table,
    dwell_table,
    folds_table,
    pictures,
    states_table,
)
from neurodata.cli.analyses.base import Analysis, Result, Settings, Step
from neurodata.cli.inputs import collected_warnings
from neurodata.errors import RecordingError
from neurodata.models import HMMGLM
from neurodata.preprocess import train_test_blocks

N_FOLDS = 3
# Between training and test data, s, so that neither tells of the other through slow drifts of neighbouring bins.
GAP_S = 1.0
# Precisions of the prior of couplings to choose from, on training data: from weak to nearly none left.
RIDGES = (30.0, 300.0, 3000.0)
# History of couplings in bins.
HISTORY_BINS = {"spike": 2, "event": 2}


def run(recording: xr.DataTree, settings: Settings, step: Step) -> Result:
    """Fit, score on held-out blocks, describe."""
    prepared = prepare_counts(recording, settings.bin_width, settings.limited)
    counts = prepared.counts
    folds = []
    with collected_warnings() as remarks:
        for number, (train, test) in enumerate(_folds(counts)):
            step(f"states: held-out block {number + 1} of {N_FOLDS}")
            ridge, prior = _choose(train, settings, prepared)
            one = _model(1, ridge, settings, prepared, prior).fit(train).score(test)
            several = _model(settings.n_states, ridge, settings, prepared, prior).fit(train).score(test)
            folds.append(Fold(several, one, ridge, prior or "ridge"))
        step("states: the whole recording")
        ridge = float(np.median([fold.ridge for fold in folds]))
        prior = "onehot" if 2 * sum(fold.prior == "onehot" for fold in folds) > len(folds) else None
        # With one shape per pair both models start from the same regression, so that their states are the same ones.
        typed = _model(settings.n_states, ridge, settings, prepared, "onehot").fit(counts)
        model = typed if prior else _model(settings.n_states, ridge, settings, prepared).fit(counts)
    step("states: figures")
    path, probability = model.predict(counts), model.predict_proba(counts)
    assert isinstance(path, xr.DataArray)  # one DataArray went in, so that one comes out
    assert isinstance(probability, xr.DataArray)
    table = dwell_table(path, probability, counts)
    data = _dataset(model, typed, path, probability, folds)
    return Result(
        verdict=_verdict(folds, table, probability, prepared),
        pictures=pictures(model, typed, path, probability, counts, prepared.event),
        tables=[
            states_table(table, prepared.event),
            folds_table(folds, prepared.event),
            couplings_table(model),
            connections_table(typed),
        ],
        data=data,
        settings={
            "model": f"HMMGLM, prior={prior!r}: of None and 'onehot' the better on training data in most blocks",
            "kinds of connection": f"HMMGLM, prior='onehot'{'' if prior else ', of the same states'}",
            "states": settings.n_states,
            "bin width": f"{float(counts.attrs['bin_width']):g} s",
            "units": counts.sizes["unit"],
            "bins": counts.sizes["time"],
            "history of couplings": f"{_history(counts, prepared):g} s",
            "precision of couplings (ridge)": f"{ridge:g}, the best on training data out of {RIDGES}"
            + ("; of the first fit" if prior else ""),
            "held-out blocks": f"{N_FOLDS}, each {GAP_S:g} s apart from the training data",
            "seed": settings.rng,
        },
        caveats=[*prepared.remarks, *remarks, *_CAVEATS],
    )


def fitted(prepared: Prepared, settings: Settings) -> HMMGLM:
    """The model of this analysis on all data, its prior chosen on two thirds of them."""
    ridge, prior = _choose([prepared.counts], settings, prepared)
    return _model(settings.n_states, ridge, settings, prepared, prior).fit(prepared.counts)


_CAVEATS = [
    "The held-out score says how well the model predicts data it has not seen; it does not say that brain states "
    "exist. Slow drifts of the electrodes or of arousal can look like states.",
    "The number of states is as you set it (--states); this analysis does not choose it.",
    "A coupling says that one unit's activity comes before another's in that state. Units that were not recorded can "
    "cause it; it is no proof of a synapse.",
    "The prior draws couplings towards zero, so that true ones are larger than shown; the fewer the spikes, the more.",
    "Probabilities of kinds of connection rest on a prior learned from all pairs, and on what was recorded: a coupling "
    "that a hidden unit causes can be certain.",
    "Standard errors take the path of states as known and hold for one pair at a time; with many pairs, some are "
    "beyond two errors by chance.",
]


def _history(counts: xr.DataArray, prepared: Prepared) -> float:
    return HISTORY_BINS[prepared.event] * float(counts.attrs["bin_width"])


def _model(
    n_states: int,
    ridge: float,
    settings: Settings,
    prepared: Prepared,
    prior: str | None = None,
    n_restarts: int = 3,
) -> HMMGLM:
    return HMMGLM(
        prior=prior,
        n_states=n_states,
        history=_history(prepared.counts, prepared),
        n_basis=1,
        ridge=ridge,
        n_restarts=n_restarts,
        rng=settings.rng,
    )


def _folds(counts: xr.DataArray) -> list[tuple[list[xr.DataArray], list[xr.DataArray]]]:
    lags = max(HISTORY_BINS.values())

    def long_enough(parts: list[xr.DataArray]) -> list[xr.DataArray]:
        return [part for part in parts if part.sizes["time"] > 2 * lags]

    folds = [(long_enough(train), long_enough(test)) for train, test in train_test_blocks(counts, N_FOLDS, gap=GAP_S)]
    if not all(train and test for train, test in folds):
        raise RecordingError(
            f"a recording long enough for {N_FOLDS} blocks",
            f"{counts.sizes['time']} bins of {float(counts.attrs['bin_width']):g} s",
            "take narrower bins (--bin-width) or a longer recording",
        )
    return folds


def _choose(train: list[xr.DataArray], settings: Settings, prepared: Prepared) -> tuple[float, str | None]:
    """What predicts the last third of the training data best; the test data are not looked at.

    The precision first, then whether a prior that is learned from all couplings does better still.
    """
    longest = max(train, key=lambda part: part.sizes["time"])
    cut = 2 * longest.sizes["time"] // 3
    inner = [part for part in train if part is not longest] + [longest.isel(time=slice(0, cut))]

    def score(ridge: float, prior: str | None) -> float:
        model = _model(settings.n_states, ridge, settings, prepared, prior, n_restarts=1)
        return model.fit(inner).score(longest.isel(time=slice(cut, None)))

    scores = [score(ridge, None) for ridge in RIDGES]
    best = int(np.argmax(scores))
    return RIDGES[best], "onehot" if score(RIDGES[best], "onehot") > scores[best] else None


def _verdict(folds: list[Fold], table: xr.Dataset, probability: xr.DataArray, prepared: Prepared) -> list[str]:
    several, one = (np.array([getattr(fold, name) for fold in folds]) for name in ("states", "one_state"))
    gain = several - one
    n, event = len(table["state"]), prepared.event
    lines = [
        f"Held-out score: {several.mean():.3f} bits/{event} above a constant rate of each unit "
        f"(mean of {several.size} blocks; {several.min():.3f} to {several.max():.3f})."
    ]
    if n > 1 and (gain > 0).all():
        lines.append(
            f"{n} states predict unseen data better than one state with the same couplings in every block: "
            f"by {gain.mean():.3f} bits/{event} ({gain.min():.3f} to {gain.max():.3f})."
        )
    elif n > 1:
        lines.append(
            f"There is no consistent evidence for {n} states: over one state they gain {gain.mean():.3f} bits/{event} "
            f"({gain.min():.3f} to {gain.max():.3f} over the blocks). Do not interpret the states below."
        )
    if several.mean() <= 0:
        lines.append("The model predicts unseen data no better than constant rates do: it has learnt noise.")
    if n > 1:
        certain = float((probability.max("state") > 0.9).sum() / probability.max("state").notnull().sum())
        dwell = table["dwell_median"].values
        lines.append(
            f"{certain:.0%} of the bins have one state with a probability above 0.9; "
            f"median visits last {np.nanmin(dwell):.2g} to {np.nanmax(dwell):.2g} s."
        )
    return lines


def _dataset(
    model: HMMGLM, typed: HMMGLM, path: xr.DataArray, probability: xr.DataArray, folds: list[Fold]
) -> xr.Dataset:
    scores = xr.Dataset(
        {
            "score": ("fold", [fold.states for fold in folds], {"long_name": "held-out bits per event, with states"}),
            "score_one_state": ("fold", [fold.one_state for fold in folds], {"long_name": "the same, one state"}),
            "ridge": ("fold", [fold.ridge for fold in folds], {"long_name": "precision chosen on training data"}),
            "prior": ("fold", [fold.prior for fold in folds], {"long_name": "prior chosen on training data"}),
        }
    )
    about = {"units": "1", "long_name": "most probable state; -1 where nothing was observed"}
    found = xr.Dataset(
        {
            "path": path.drop_attrs().assign_attrs(about),
            "probability": probability.drop_attrs().assign_attrs(units="1", long_name="posterior probability"),
        }
    )
    found = found.assign_coords(time=found["time"].assign_attrs(units="s"))
    kinds = typed.to_dataset()[["connection_prob", "connection_prior", "connection"]]
    parts = [model.to_dataset(), kinds, found, scores]
    return xr.merge(parts, combine_attrs="override", compat="no_conflicts", join="outer")


ANALYSIS = Analysis(
    name="states",
    title="Hidden states",
    question="Does the population switch between a few states, and who is coupled to whom in each?",
    lacks=lacks_counts,
    run=run,
)
