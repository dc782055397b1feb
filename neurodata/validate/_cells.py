"""What a worker does: simulate a circuit once, look at it in each way, and run every model that is still to be run."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.parallel import one_thread
from neurodata.errors import OptionError
from neurodata.preprocess import train_test_blocks
from neurodata.validate._curves import CURVES, curves
from neurodata.validate._identity import number

OK, FAILED, NOT_APPLICABLE = "ok", "failed", "not applicable"
# The last fifth of time is held out for the predictive score, one second before it is not used.
HELD_OUT_BLOCKS, HELD_OUT_GAP = 5, 1.0
PREDICTIVE = "bits_per_spike"


@dataclass(frozen=True)
class Cell:
    """One model on one view of one run: its place in the result, and the key of its file."""

    place: tuple[int, ...]
    model: str
    key: str


@dataclass(frozen=True)
class View:
    """One observation of a run, and the cells that need it."""

    name: str
    stages: tuple[Any, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Task:
    """One run of a circuit with everything that is still to be done on it."""

    circuit: Any
    circuit_number: int
    duration: float
    engine: str
    root: int
    seed: int
    views: tuple[View, ...]
    models: Mapping[str, tuple[Any, Callable[[xr.DataTree], Any]]]
    model_numbers: Mapping[str, int]
    metrics: tuple[Any, ...]
    held_out: bool
    store: Path | None

    @property
    def cells(self) -> list[Cell]:
        """All cells, in order."""
        return [cell for view in self.views for cell in view.cells]


@dataclass
class Outcome:
    """What came out of a cell.

    Attributes
    ----------
    score, chance, status : dict
        By metric.
    curve : dict of str to array
        See `_curves.CURVES`.
    error, warning : str
        Error text of what failed, and warnings that were given; "" when none.
    runtime : float
        s, of everything the model was asked for; the simulation is not in it.
    """

    place: tuple[int, ...]
    key: str
    score: dict[str, float] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    curve: dict[str, np.ndarray] = field(default_factory=dict)
    error: str = ""
    warning: str = ""
    runtime: float = float("nan")

    @property
    def failed(self) -> bool:
        """Whether anything of it failed."""
        return bool(self.error)


def run_task(task: Task, done: Callable[[Outcome], None] | None = None) -> list[Outcome]:
    """Run the cells of a task; each is stored when it is finished.

    Parameters
    ----------
    task : Task
    done : callable, optional
        Told of each outcome as it comes, for progress within one process.
    """
    from neurodata.simulate import run

    outcomes: list[Outcome] = []

    def finish(outcome: Outcome) -> None:
        from neurodata.validate._cache import write

        if task.store is not None:
            write(task.store, outcome)
        outcomes.append(outcome)
        if done is not None:
            done(outcome)

    with one_thread():
        rng = _stream(task.root, task.circuit_number, task.seed)
        recording, error = _attempt("simulate", lambda: run(task.circuit, task.duration, rng=rng, engine=task.engine))
        for view in task.views:
            seen = None
            if recording is not None:
                seen, error = _attempt(f"observe {view.name!r}", partial(_look, task, view, recording))
            for cell in view.cells:
                finish(_unreached(task, cell, error) if seen is None else _run_cell(task, view, cell, *seen))
    return outcomes


def _stream(*numbers: int) -> np.random.Generator:
    """Random numbers that depend on what is run alone, so that other cells change nothing."""
    return np.random.default_rng(np.random.SeedSequence(numbers))


def view_number(stages: tuple[Any, ...]) -> int:
    """The stages of an observation as a number."""
    return number([stage_description(stage) for stage in stages])


def stage_description(stage: Any) -> dict[str, Any]:
    """A stage as JSON: its class and its fields."""
    from neurodata.validate._identity import describe

    return {"stage": type(stage).__name__, "fields": describe(stage.to_dict())}


def _look(task: Task, view: View, recording: xr.DataTree) -> tuple[xr.DataTree, xr.Dataset]:
    """What a lab would see, without the truth; and the truth of the units that it sees."""
    from neurodata.simulate import without_truth
    from neurodata.validate.metrics import truth_for

    seen = recording
    if view.stages:
        from neurodata.simulate import observe

        rng = _stream(task.root, task.circuit_number, view_number(view.stages), task.seed)
        seen = observe(recording, list(view.stages), rng=rng)
    return without_truth(seen), truth_for(seen, recording)


def _attempt(what: str, call: Callable[[], Any]) -> tuple[Any, str]:
    """The result and "", or None and the text of the error.

    This is where whatever goes wrong becomes a row of the result: circuits, stages, models and metrics may be
    anybody's, so nothing can be said of the errors they raise. Interrupts are not `Exception` and pass.
    """
    try:
        return call(), ""
    except Exception as error:
        return None, f"{what}: {type(error).__name__}: {error}"


def _unreached(task: Task, cell: Cell, error: str) -> Outcome:
    """The outcome of a cell whose recording could not be made."""
    names = [metric.name for metric in task.metrics]
    return Outcome(
        cell.place,
        cell.key,
        score=dict.fromkeys(names, np.nan),
        chance=dict.fromkeys(names, np.nan),
        status=dict.fromkeys(names, FAILED),
        curve={name: np.full(size, np.nan) for name, size in CURVES.items()},
        error=error,
    )


def _run_cell(task: Task, view: View, cell: Cell, blind: xr.DataTree, truth: xr.Dataset) -> Outcome:
    start = time.perf_counter()
    estimator, prepare = task.models[cell.model]
    streams = (
        task.root,
        task.circuit_number,
        view_number(view.stages),
        task.seed,
        task.model_numbers[cell.model],
    )
    seed = int(np.random.SeedSequence(streams).generate_state(1)[0])
    with warnings.catch_warnings(record=True) as given:
        warnings.simplefilter("always")
        said, held_out = None, ""
        # A copy, so that a model which writes into its data does not change those of the next.
        data, error = _attempt("prepare", partial(prepare, blind.copy(deep=True)))
        if not error:
            said, error = _attempt("fit", lambda: _ask(_fresh(estimator, seed), data))
        if said is not None and task.held_out:
            bits, held_out = _attempt("held-out part", lambda: _predict(_fresh(estimator, seed), data))
            said = said if bits is None else said.assign({PREDICTIVE: bits})
        outcome = _unreached(task, cell, error)
        if said is not None:
            _score(task, said, truth, outcome, held_out)
    outcome.warning = "\n".join(dict.fromkeys(f"{type(w.message).__name__}: {w.message}" for w in given))
    outcome.runtime = time.perf_counter() - start
    return outcome


def _fresh(estimator: Any, seed: int) -> Any:
    """An unfitted copy with one worker, no progress bar, and the cell's random numbers where none were asked for."""
    from sklearn.base import clone

    model = clone(estimator) if hasattr(estimator, "get_params") else copy.deepcopy(estimator)
    if not hasattr(model, "get_params"):
        return model
    settings = model.get_params(deep=False)
    changes: dict[str, Any] = {name: seed for name in ("rng", "random_state") if settings.get(name, seed) is None}
    changes |= {name: value for name, value in (("n_jobs", 1), ("progress", False)) if name in settings}
    return model.set_params(**changes)


def _ask(model: Any, data: Any) -> xr.Dataset:
    """Fit to everything, and collect what the model claims."""
    from neurodata.validate.claims import claims

    # A model's own word on its predictive score would be about data that it was fitted to.
    return claims(model.fit(data) or model, data).drop_vars(PREDICTIVE, errors="ignore")


def _predict(model: Any, data: Any) -> float | None:
    """The score of the last part of the data by a fit to the first; None for models and data that have no such."""
    parts = split_held_out(data) if hasattr(model, "score") else None
    return None if parts is None else float((model.fit(parts[0]) or model).score(parts[1]))


def split_held_out(data: Any) -> tuple[Any, Any] | None:
    """Training data and the held-out last part, as they are passed to `fit` and `score`.

    Parameters
    ----------
    data : DataArray, list of DataArray, or dict of DataArray
        Of what `prepare` gives. A DataArray is split in time (or by trials when it has them): the last fifth is held
        out and one second (or one trial) before it is left out. A list of two or more sequences: the last fifth of
        them, at least one, is held out. A dict (modalities): each is split by trials.

    Returns
    -------
    (train, test), or None
        None for data that cannot be split so, and then there is no predictive score.

    Examples
    --------
    >>> import numpy as np, neurodata as nd
    >>> counts = nd.containers.make_counts(np.ones((100, 2), dtype=int), bin_width=0.1)
    >>> train, test = split_held_out(counts)
    >>> train.sizes["time"], test.sizes["time"]
    (70, 20)
    """
    if isinstance(data, Mapping):
        parts = {name: split_held_out(value) for name, value in data.items()}
        if any(part is None or "trial" not in data[name].dims for name, part in parts.items()):
            return None
        return tuple({name: part[k] for name, part in parts.items() if part is not None} for k in (0, 1))  # type: ignore[return-value]
    if isinstance(data, (list, tuple)) and len(data) > 1:
        n_test = max(1, len(data) // HELD_OUT_BLOCKS)
        return list(data[:-n_test]), list(data[-n_test:])
    if isinstance(data, (list, tuple)) and len(data) == 1:
        data = data[0]
    if not isinstance(data, xr.DataArray) or not {"time", "trial"} & set(data.dims):
        return None
    try:
        *_, (train, test) = train_test_blocks(data, HELD_OUT_BLOCKS, gap=HELD_OUT_GAP)
    except OptionError:  # too few samples for five blocks
        return None
    return (train[0] if len(train) == 1 else train), (test[0] if len(test) == 1 else test)


def _score(task: Task, said: xr.Dataset, truth: xr.Dataset, outcome: Outcome, held_out: str) -> None:
    """Fill in scores and curves; a metric that fails takes nothing from the others, nor does the held-out part."""
    problems = [held_out]
    for metric in task.metrics:
        value, error = _attempt(f"metric {metric.name}", partial(metric.function, said, truth))
        chance, _ = _attempt("chance", partial(metric.chance_level, truth))
        outcome.score[metric.name] = np.nan if value is None else float(value)
        outcome.chance[metric.name] = np.nan if chance is None else chance
        broken = error or (held_out if PREDICTIVE in metric.needs else "")
        outcome.status[metric.name] = FAILED if broken else (NOT_APPLICABLE if np.isnan(value) else OK)
        problems.append(error)
    drawn, error = _attempt("curves", lambda: curves(said, truth))
    outcome.curve = outcome.curve if drawn is None else drawn
    outcome.error = "\n".join(text for text in (*problems, error) if text)
