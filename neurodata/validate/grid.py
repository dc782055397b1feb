"""Models on circuits whose truth is known, seen in several ways: one table of scores, resumable, failures kept."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.parallel import iterate_parallel
from neurodata._core.progress import Progress, as_progress
from neurodata.errors import FormatError, NeurodataWarning
from neurodata.validate import _cache
from neurodata.validate._cells import (
    FAILED,
    Cell,
    Outcome,
    Task,
    View,
    run_task,
    stage_description,
)
from neurodata.validate._curves import CURVES, GRID
from neurodata.validate._identity import code_version, describe, digest, number
from neurodata.validate._plan import BASELINES, Plan, computed_metrics, make_plan, own_metrics


def grid(
    models: Mapping[str, Any],
    circuits: Mapping[str, Any],
    observations: Mapping[str, Sequence[Any]] | None = None,
    metrics: Sequence[Any] | None = None,
    seeds: int | Sequence[int] = 3,
    *,
    duration: float | Sequence[float],
    engine: str = "numba",
    redraw: bool = False,
    n_jobs: int = 1,
    store: str | os.PathLike[str] | None = None,
    retry_failed: bool = False,
    progress: bool | Progress = False,
    rng: int = 0,
) -> xr.Dataset:
    """Score models on simulated circuits, where the truth is known.

    Every circuit is simulated once per seed, seen once through each observation, and given without its truth to every
    model and to four baselines: `rate_only`, `xcorr`, `lagged_regression` and `shuffle`. A model that does not beat
    them has found nothing.

    Parameters
    ----------
    models : dict of str to estimator or (estimator, prepare)
        ``prepare(recording) -> data`` makes what `fit` takes; `neurodata.validate.prepare_for` has a default for every
        class. Estimators are cloned; a setting `rng` (or `random_state`) of None is filled in from the cell.
    circuits : dict of str to Circuit
    observations : dict of str to list of stages, optional
        See `neurodata.simulate.observe`; an empty list is the full recording, and the default.
    metrics : sequence of str or Metric, optional
        Names of `neurodata.validate.metrics.ALL` (by default all of it), or metrics of your own.
    seeds : int or sequence of int
        Runs of each circuit: how many, or their seeds.
    duration : float or sequence of float
        s. Several give the result a dim `duration`.
    engine : {"numba", "brian2", "nest"}
    redraw : bool
        Draw the edges of a circuit anew for each seed, so that the spread over seeds contains that between circuits of
        one kind. By default a circuit is one graph, and runs differ in noise, states and latents.
    n_jobs : int
        Workers. A task is one run of one circuit, so there are circuits x seeds (x durations) of them; each worker
        uses one thread. Under ``joblib.parallel_config(backend="dask")`` the workers are those of a Dask cluster.
    store : path, optional
        A folder for finished cells, made if missing. A call with the same settings takes them from there, so a grid
        that was killed goes on where it was. A cell made with other settings, or by other code, is another cell.
    retry_failed : bool
        Run cells again that failed before, instead of taking the failure from the store.
    progress : bool or Progress
        Show a bar with the time left.
    rng : int
        Root of all random numbers. A cell's depend on it, the circuit, the observation, the model and the seed alone:
        adding to a grid changes nothing in it, and all observations of a run see the same spikes.

    Returns
    -------
    Dataset
        `score`, `chance`, `status` ("ok", "failed", "not applicable") over (model, circuit, observation, seed, metric);
        `runtime` (s; simulation not included), `error` and `warning` (text) over (model, circuit, observation, seed);
        ROC and precision-recall curves on a fixed grid and the weights of true edges, for the report. A failed cell
        is NaN and has its error text.

    Raises
    ------
    OptionError
        Settings that make no sense, all of them at once.

    Notes
    -----
    `bits_per_spike` is of data that were held out: besides the fit to everything, on which all other scores rest, the
    model is fitted to the first four fifths of the data but for the last second, and scored on the last fifth (of
    trials: the last fifth of them; of several sequences likewise). Without such a metric the second fit is left out.

    A cell is on disk when its model is finished; a kill loses those in progress and their simulation. A damaged file
    is made anew, with a warning.

    How models rank on simulated data does not tell how they rank on yours (Theis et al. 2016, doi
    10.1016/j.neuron.2016.04.014); where a model fails on circuits like yours, do not trust it on yours.

    Examples
    --------
    >>> import neurodata as nd
    >>> circuits = {"null": nd.simulate.zoo.null(n=5, rng=0)}
    >>> result = nd.validate.grid({}, circuits, metrics=["auroc"], seeds=1, duration=5.0)
    >>> result.model.values.tolist()
    ['rate_only', 'xcorr', 'lagged_regression', 'shuffle']
    >>> result.status.sel(model="xcorr").values.ravel().tolist()  # a circuit without edges has no ranking
    ['not applicable']
    """
    plan = make_plan(models, circuits, observations, metrics, seeds, duration, engine, redraw, store, rng)
    keys = dict(_keys(plan))
    outcomes = _stored(plan, keys, retry_failed)
    tasks = list(_tasks(plan, keys, outcomes))
    _run(tasks, n_jobs, as_progress(progress), outcomes)
    return _assemble(plan, outcomes, several=not np.isscalar(duration))


def _keys(plan: Plan) -> Iterator[tuple[tuple[int, ...], str]]:
    """Place and key of every cell: a hash of all that decides its scores.

    Names given by the caller are not in it, and scores of all known metrics are kept whichever were asked for, so
    renaming a circuit or choosing other metrics does not run anything again; a metric of one's own does.
    """
    common = {
        "code": code_version(),
        "engine": plan.engine,
        "rng": plan.root,
        "redraw": plan.redraw,
        "held_out": plan.held_out,
        "own_metrics": [describe(vars(metric)) for metric in own_metrics(plan.metrics)],
    }
    models = [{"model": describe(model), "prepare": describe(prepare)} for model, prepare in plan.models.values()]
    circuits = [circuit.content_hash for circuit in plan.circuits.values()]
    views = [[stage_description(stage) for stage in stages] for stages in plan.views.values()]
    for place in product(*(range(n) for n in plan.shape)):
        d, m, c, v, s = place
        yield (
            place,
            digest(
                {
                    **common,
                    "duration": plan.durations[d],
                    **models[m],
                    "circuit": circuits[c],
                    "observation": views[v],
                    "seed": plan.seeds[s],
                }
            ),
        )


def _stored(plan: Plan, keys: Mapping[tuple[int, ...], str], retry_failed: bool) -> dict[tuple[int, ...], Outcome]:
    """Cells that are on disk and whole."""
    if plan.store is None:
        return {}
    _cache.clean(plan.store)
    wanted = {metric.name for metric in plan.metrics}
    found: dict[tuple[int, ...], Outcome] = {}
    present = {path.stem for path in plan.store.glob("[!.]*.nc")}
    for place, key in keys.items():
        if key not in present:
            continue
        try:
            outcome = _cache.read(plan.store, key, place)
        except FormatError as error:
            warnings.warn(
                f"a cell of the grid is run again, its file {key}.nc is damaged ({error.got})",
                NeurodataWarning,
                stacklevel=3,
            )
            continue
        if wanted <= outcome.score.keys() and not (retry_failed and outcome.failed):
            found[place] = outcome
    return found


def _tasks(plan: Plan, keys: Mapping[tuple[int, ...], str], outcomes: Mapping[tuple[int, ...], Any]) -> Iterator[Task]:
    """One task for each run that has cells left to do."""
    n_durations, n_models, n_circuits, n_views, n_seeds = plan.shape
    names, metrics = list(plan.models), computed_metrics(plan)
    numbers = {
        name: number([describe(model), describe(prepare)]) for name, (model, prepare) in plan.models.items()
    }  # fmt: skip
    for s, c, d in product(range(n_seeds), range(n_circuits), range(n_durations)):
        views = []
        for v, (name, stages) in enumerate(plan.views.items()):
            places = [(d, m, c, v, s) for m in range(n_models)]
            cells = tuple(Cell(p, names[p[1]], keys[p]) for p in places if p not in outcomes)
            if cells:
                views.append(View(name, stages, cells))
        if not views:
            continue
        circuit = list(plan.circuits.values())[c]
        circuit_number, seed = int(circuit.content_hash[:16], 16), plan.seeds[s]
        if plan.redraw:
            drawn = np.random.SeedSequence([plan.root, circuit_number, seed]).spawn(1)[0]
            circuit = circuit.replace(seed=int(drawn.generate_state(1)[0] >> 1))
        yield Task(
            circuit=circuit,
            circuit_number=circuit_number,
            duration=plan.durations[d],
            engine=plan.engine,
            root=plan.root,
            seed=seed,
            views=tuple(views),
            models=plan.models,
            model_numbers=numbers,
            metrics=metrics,
            held_out=plan.held_out,
            store=plan.store,
        )


def _run(tasks: list[Task], n_jobs: int, progress: Progress, outcomes: dict[tuple[int, ...], Outcome]) -> None:
    """Run tasks and put what comes out of them into `outcomes`; an interrupt stops the workers and passes on."""
    # Cells from the store are not counted: they take no time, and the time left is taken from those that do.
    n_stored = len(outcomes)
    label = f"grid, {n_stored} cells from the store" if n_stored else "grid"
    progress.start(sum(len(task.cells) for task in tasks), label)

    def take(outcome: Outcome) -> None:
        outcomes[outcome.place] = outcome
        progress.update(1)

    try:
        if n_jobs == 1:
            for task in tasks:
                run_task(task, take)
            return
        results = iterate_parallel(run_task, [(task,) for task in tasks], n_jobs)
        try:
            for finished in results:
                for outcome in finished:
                    take(outcome)
        finally:
            results.close()  # type: ignore[attr-defined]
    finally:
        progress.close()


def _assemble(plan: Plan, outcomes: Mapping[tuple[int, ...], Outcome], several: bool) -> xr.Dataset:
    dims = ("duration", "model", "circuit", "observation", "seed")
    names = [metric.name for metric in plan.metrics]
    score = np.full((*plan.shape, len(names)), np.nan)
    chance = score.copy()
    status = np.full(score.shape, FAILED, dtype=object)
    runtime = np.full(plan.shape, np.nan)
    error, warning = np.full(plan.shape, "", dtype=object), np.full(plan.shape, "", dtype=object)
    curve = {name: np.full((*plan.shape, size), np.nan) for name, size in CURVES.items()}
    for place, outcome in outcomes.items():
        for k, name in enumerate(names):
            score[(*place, k)] = outcome.score[name]
            chance[(*place, k)] = outcome.chance[name]
            status[(*place, k)] = outcome.status[name]
        runtime[place], error[place], warning[place] = outcome.runtime, outcome.error, outcome.warning
        for name, values in outcome.curve.items():
            curve[name][place] = values
    steps = {
        "true_positive_rate": "false_positive_rate",
        "precision": "recall",
        "edge_weight_true": "edge_sample",
        "edge_weight_claimed": "edge_sample",
    }
    data = {
        "score": ((*dims, "metric"), score, {"long_name": "score"}),
        "chance": ((*dims, "metric"), chance, {"long_name": "score of guessing, NaN where it has no value"}),
        "status": ((*dims, "metric"), status.astype(np.str_), {}),
        "runtime": (dims, runtime, {"units": "s", "long_name": "time of preparing, fitting and scoring"}),
        "error": (dims, error.astype(np.str_), {}),
        "warning": (dims, warning.astype(np.str_), {}),
        **{name: ((*dims, steps[name]), values, {}) for name, values in curve.items()},
    }
    data["edge_weight_true"][2]["units"] = "mV"
    coords = {
        "duration": ("duration", list(plan.durations), {"units": "s"}),
        "model": list(plan.models),
        "circuit": list(plan.circuits),
        "observation": list(plan.views),
        "seed": list(plan.seeds),
        "metric": names,
        "better": ("metric", [metric.better for metric in plan.metrics]),
        "lower_bound": ("metric", [float(metric.bounds[0]) for metric in plan.metrics]),
        "upper_bound": ("metric", [float(metric.bounds[1]) for metric in plan.metrics]),
        "is_baseline": ("model", [name in BASELINES for name in plan.models]),
        "false_positive_rate": GRID,
        "recall": GRID,
    }
    result = xr.Dataset(data, coords=coords, attrs=_attrs(plan))
    return result if several else result.isel(duration=0)


def _attrs(plan: Plan) -> dict[str, Any]:
    """What was run, so that it can be run again."""
    return {
        "rng": plan.root,
        "engine": plan.engine,
        "redraw": int(plan.redraw),
        "code": code_version(),
        "models": json.dumps({n: {"model": describe(m), "prepare": describe(p)} for n, (m, p) in plan.models.items()}),
        "circuits": json.dumps({name: json.loads(circuit.to_json()) for name, circuit in plan.circuits.items()}),
        "observations": json.dumps({n: [stage_description(s) for s in stages] for n, stages in plan.views.items()}),
    }
