"""Brain states: a hidden Markov model of Poisson regressions, judged on data it has not seen."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.cli.analyses._counts import Prepared, lacks_counts, prepare_counts
from neurodata.cli.analyses._states_view import Fold, couplings_table, dwell_table, folds_table, pictures, states_table
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
            ridge = _choose_ridge(train, settings, prepared)
            one = _model(1, ridge, settings, prepared).fit(train).score(test)
            several = _model(settings.n_states, ridge, settings, prepared).fit(train).score(test)
            folds.append(Fold(several, one, ridge))
        step("states: the whole recording")
        ridge = float(np.median([fold.ridge for fold in folds]))
        model = _model(settings.n_states, ridge, settings, prepared).fit(counts)
    step("states: figures")
    path, probability = model.predict(counts), model.predict_proba(counts)
    assert isinstance(path, xr.DataArray)  # one DataArray went in, so that one comes out
    assert isinstance(probability, xr.DataArray)
    table = dwell_table(path, probability, counts)
    data = _dataset(model, path, probability, folds)
    return Result(
        verdict=_verdict(folds, table, probability, prepared),
        pictures=pictures(model, path, probability, counts, prepared.event),
        tables=[states_table(table, prepared.event), folds_table(folds, prepared.event), couplings_table(model)],
        data=data,
        settings={
            "model": "HMMGLM without a prior that ties states (prior=None)",
            "states": settings.n_states,
            "bin width": f"{float(counts.attrs['bin_width']):g} s",
            "units": counts.sizes["unit"],
            "bins": counts.sizes["time"],
            "history of couplings": f"{_history(counts, prepared):g} s",
            "precision of couplings (ridge)": f"{ridge:g}, the best on training data out of {RIDGES}",
            "held-out blocks": f"{N_FOLDS}, each {GAP_S:g} s apart from the training data",
            "seed": settings.rng,
        },
        caveats=[*prepared.remarks, *remarks, *_CAVEATS],
    )


def fitted(prepared: Prepared, settings: Settings) -> HMMGLM:
    """The model of this analysis on all data, its precision chosen on two thirds of them."""
    ridge = _choose_ridge([prepared.counts], settings, prepared)
    return _model(settings.n_states, ridge, settings, prepared).fit(prepared.counts)


_CAVEATS = [
    "The held-out score says how well the model predicts data it has not seen; it does not say that brain states "
    "exist. Slow drifts of the electrodes or of arousal can look like states.",
    "The number of states is as you set it (--states); this analysis does not choose it.",
    "A coupling says that one unit's activity comes before another's in that state. Units that were not recorded can "
    "cause it; it is no proof of a synapse.",
    "The prior draws couplings towards zero, so that true ones are larger than shown; the fewer the spikes, the more.",
    "Standard errors take the path of states as known and hold for one pair at a time; with many pairs, some are "
    "beyond two errors by chance.",
]


def _history(counts: xr.DataArray, prepared: Prepared) -> float:
    return HISTORY_BINS[prepared.event] * float(counts.attrs["bin_width"])


def _model(n_states: int, ridge: float, settings: Settings, prepared: Prepared, n_restarts: int = 3) -> HMMGLM:
    return HMMGLM(
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


def _choose_ridge(train: list[xr.DataArray], settings: Settings, prepared: Prepared) -> float:
    """The precision that predicts the last third of the training data best; the test data are not looked at."""
    longest = max(train, key=lambda part: part.sizes["time"])
    cut = 2 * longest.sizes["time"] // 3
    inner = [part for part in train if part is not longest] + [longest.isel(time=slice(0, cut))]
    scores = [
        _model(settings.n_states, ridge, settings, prepared, n_restarts=1)
        .fit(inner)
        .score(longest.isel(time=slice(cut, None)))
        for ridge in RIDGES
    ]
    return RIDGES[int(np.argmax(scores))]


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


def _dataset(model: HMMGLM, path: xr.DataArray, probability: xr.DataArray, folds: list[Fold]) -> xr.Dataset:
    scores = xr.Dataset(
        {
            "score": ("fold", [fold.states for fold in folds], {"long_name": "held-out bits per event, with states"}),
            "score_one_state": ("fold", [fold.one_state for fold in folds], {"long_name": "the same, one state"}),
            "ridge": ("fold", [fold.ridge for fold in folds], {"long_name": "precision chosen on training data"}),
        }
    )
    found = xr.Dataset({"path": path.drop_attrs(), "probability": probability.drop_attrs()})
    return xr.merge([model.to_dataset(), found, scores], combine_attrs="override", compat="no_conflicts", join="outer")


ANALYSIS = Analysis(
    name="states",
    title="Hidden states",
    question="Does the population switch between a few states, and who is coupled to whom in each?",
    lacks=lacks_counts,
    run=run,
)
