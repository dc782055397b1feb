"""What a grid is to do, checked: every wrong setting in one message, names and order as they were given."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.errors import MissingOptionError, OptionError, StoreError
from neurodata.validate._cells import PREDICTIVE

BASELINES = {"rate_only": "RateOnly", "xcorr": "CrossCorrelation", "lagged_regression": "LaggedRegression"}
BASELINES["shuffle"] = "Shuffle"


@dataclass(frozen=True)
class Plan:
    """A checked grid: everything by name, in order."""

    models: dict[str, tuple[Any, Callable[[xr.DataTree], Any]]]
    circuits: dict[str, Any]
    views: dict[str, tuple[Any, ...]]
    metrics: tuple[Any, ...]
    seeds: tuple[int, ...]
    durations: tuple[float, ...]
    engine: str
    root: int
    redraw: bool
    store: Path | None

    @property
    def shape(self) -> tuple[int, ...]:
        """Cells by duration, model, circuit, observation and seed."""
        return tuple(len(x) for x in (self.durations, self.models, self.circuits, self.views, self.seeds))

    @property
    def held_out(self) -> bool:
        """Whether a metric asks for a second fit, to the first part of the data."""
        return any(PREDICTIVE in metric.needs for metric in self.metrics)


def make_plan(
    models: Mapping[str, Any],
    circuits: Mapping[str, Any],
    observations: Mapping[str, Sequence[Any]] | None,
    metrics: Sequence[Any] | None,
    seeds: int | Sequence[int],
    duration: float | Sequence[float],
    engine: str,
    redraw: bool,
    store: str | os.PathLike[str] | None,
    rng: int,
) -> Plan:
    from neurodata.simulate import Circuit

    views = {name: tuple(stages) for name, stages in (observations or {"full": ()}).items()}
    seed_list = tuple(range(seeds)) if isinstance(seeds, (int, np.integer)) else tuple(int(seed) for seed in seeds)
    durations = tuple(float(d) for d in np.atleast_1d(np.asarray(duration, dtype=np.float64)))
    problems = [f"model {name!r} has the name of a baseline" for name in models if name in BASELINES]
    problems += [f"circuit {name!r} is a {type(c).__name__}" for name, c in circuits.items() if type(c) is not Circuit]
    problems += ["no circuits"] * (not circuits)
    problems += [
        f"stage {stage!r} of observation {name!r} has no apply() and to_dict()"
        for name, stages in views.items()
        for stage in stages
        if not (hasattr(stage, "apply") and hasattr(stage, "to_dict"))
    ]
    for what, values in (("seeds", seed_list), ("durations", durations)):
        if not values or len(set(values)) < len(values):
            problems.append(f"{what} {values}: none, or one twice")
    problems += [f"duration {d:g} s" for d in durations if not (np.isfinite(d) and d > 0)]
    problems += [f"seed {seed}" for seed in seed_list if seed < 0]
    problems += [f"rng {rng!r}"] * (isinstance(rng, bool) or not isinstance(rng, (int, np.integer)) or rng < 0)
    chosen, unknown = _metrics(metrics)
    ready: dict[str, tuple[Any, Callable[[xr.DataTree], Any]]] = {}
    for name, given in models.items():
        model, prepare = given if isinstance(given, tuple) and len(given) == 2 else (given, None)
        if isinstance(model, type) or not hasattr(model, "fit"):
            problems.append(f"model {name!r} has no fit(): {given!r}")
            continue
        try:
            ready[name] = (model, prepare or _default_prepare(model))
        except MissingOptionError as error:
            problems.append(f"model {name!r} is a {error.got}, which has no default preparation: {error.fix}")
    if problems or unknown:
        raise OptionError(
            "models (estimators or (estimator, prepare)), circuits, lists of stages, metrics, seeds and an int rng from"
            " 0, each of the right kind",
            "; ".join(problems + unknown),
            "correct these",
        )
    folder = None if store is None else Path(store)
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError("a folder for cells", f"{folder}: {error}", "choose another store=") from error
    return Plan(
        {**ready, **_baselines()}, dict(circuits), views, chosen, seed_list, durations, engine, int(rng), redraw, folder
    )  # fmt: skip


def _metrics(metrics: Sequence[Any] | None) -> tuple[tuple[Any, ...], list[str]]:
    """The metrics, and what is wrong with the names among them."""
    from neurodata.validate.metrics import ALL, Metric

    if metrics is None:
        return tuple(ALL.values()), []
    known, unknown = [], []
    for metric in [metrics] if isinstance(metrics, (str, Metric)) else metrics:
        if isinstance(metric, Metric):
            known.append(metric)
        elif metric in ALL:
            known.append(ALL[metric])
        else:
            unknown.append(f"metric {metric!r}, not one of {', '.join(ALL)}")
    names = [metric.name for metric in known]
    if not names and not unknown or len(set(names)) < len(names):
        unknown.append(f"metrics {names}: none, or one twice")
    return tuple(known), unknown


def _default_prepare(model: Any) -> Callable[[xr.DataTree], Any]:
    from neurodata.validate.prepare import prepare_for

    return prepare_for(model)


def _baselines() -> dict[str, tuple[Any, Callable[[xr.DataTree], Any]]]:
    from neurodata.validate import baselines

    made = {name: getattr(baselines, kind)() for name, kind in BASELINES.items()}
    return {name: (model, _default_prepare(model)) for name, model in made.items()}


def own_metrics(metrics: Sequence[Any]) -> list[Any]:
    from neurodata.validate.metrics import ALL

    return [metric for metric in metrics if ALL.get(metric.name) is not metric]


def computed_metrics(plan: Plan) -> tuple[Any, ...]:
    """All metrics a cell gets: those asked for, and the others that cost nothing more."""
    from neurodata.validate.metrics import ALL

    names = {metric.name for metric in plan.metrics}
    free = (m for m in ALL.values() if m.name not in names and (plan.held_out or PREDICTIVE not in m.needs))
    return (*plan.metrics, *free)
