"""How far an analysis of a recording can be trusted: the same analysis on twins whose truth is known."""

from __future__ import annotations

import gc
import json
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.parallel import iterate_parallel, one_thread
from neurodata._core.progress import Progress, as_progress
from neurodata._core.provenance import version
from neurodata._core.rng import RNGLike, generator
from neurodata.errors import OptionError
from neurodata.simulate.circuit import Circuit
from neurodata.validate._kinds import clustered, switching
from neurodata.validate._strata import PSP_EDGES, QUANTITIES, Edges, Interval, edges_of, over_twins, stratum
from neurodata.validate._twin import PROBABILITY
from neurodata.validate.match import Match, match
from neurodata.validate.statistics import enough

# Median EPSP of the twins, mV: that of the zoo, half and twice it; and none.
EPSP = (0.12, 0.24, 0.48)
# So that a model has enough connections to be scored on, small twins are repeated up to `MOST_TWINS` times.
ENOUGH_EDGES, MOST_TWINS = 30, 20
CONNECTED, UNCONNECTED, SWITCHING, CLUSTERED, GIVEN = "connected", "unconnected", "switching", "clustered", "given"
# Metrics of what a kind of twin is for: those whose name begins so.
ABOUT = {
    CONNECTED: ("",),
    GIVEN: ("",),
    UNCONNECTED: ("false_positive_rate",),
    SWITCHING: ("state", "change", "dwell"),
    CLUSTERED: ("cluster",),
}


@dataclass(frozen=True)
class Task:
    """One twin: its kind, EPSP (mV), number, and seeds."""

    kind: str
    epsp: float
    number: int
    seed: int
    n_states: int = 0
    circuit: Circuit | None = None


@dataclass
class Answer:
    """What a model made of one twin.

    Attributes
    ----------
    task : Task
    score, chance : dict
        By metric.
    edges : Edges or None
    claims : tuple of str
    n_pairs, n_called : int
        Pairs with a decision, and how many the model calls connected.
    circuit_hash, error, warning : str
    runtime : float
        s, of preparing and fitting.
    """

    task: Task
    score: dict[str, float] = field(default_factory=dict)
    chance: dict[str, float] = field(default_factory=dict)
    edges: Edges | None = None
    claims: tuple[str, ...] = ()
    n_pairs: int = 0
    n_called: int = 0
    circuit_hash: str = ""
    error: str = ""
    warning: str = ""
    runtime: float = float("nan")


def trust(
    model: Any,
    rec: Any,
    prepare: Callable[[xr.DataTree], Any] | None = None,
    *,
    n_twins: int = 3,
    circuits: Match | Iterable[Circuit] | None = None,
    epsp: tuple[float, ...] = EPSP,
    max_units: int = 100,
    longest: float = 1800.0,
    rng: RNGLike = None,
    n_jobs: int = 1,
    progress: bool | Progress = False,
    quiet: bool = False,
) -> xr.Dataset:
    """Fit a model to simulated twins of a recording and say how well it finds what is true of them.

    Parameters
    ----------
    model : estimator
        Unfitted, with its settings; each twin gets a copy.
    rec : DataTree
        A recording with spikes, or with counts.
    prepare : callable, optional
        From a recording to what `fit` takes, the same for the recording and its twins; default `prepare_for(model)`.
    n_twins : int
        Twins of each kind and strength of synapses, at least 2, each with a graph of its own. Where so few units make
        fewer than 30 connections, there are more, up to 20.
    circuits : Match, or iterable of Circuit, optional
        What `match` found before, or circuits to use instead of twins; then all their neurons are recorded.
    epsp : tuple of float
        Median EPSPs of the twins, mV. A recording does not tell its own.
    max_units : int
        Units of a twin, at most; of more units a random sample is matched.
    longest : float
        s; twins of a longer recording last so long.
    rng : int, Generator or None
    n_jobs : int
        Twins at a time.
    progress : bool or Progress
    quiet : bool
        Do not print the verdict.

    Returns
    -------
    Dataset
        `score`, `chance` (twin, metric); `kind`, `epsp`, `error`, `runtime` of each twin; `estimate`, `low`, `high`
        (quantity, psp): how well connections between `psp_low` and `psp_high` mV are found, `psp_low` or more
        (`estimate_from`, ...), with 95 % intervals over twins; the table of the match. Attrs: `verdict` in plain words.

    Raises
    ------
    RecordingError
        A recording too short to match.
    MissingOptionError
        A model without a default preparation.

    Notes
    -----
    Connected twins have random connections (see `match`) at several strengths; unconnected ones have none, so that
    whatever is reported there is false. A model that claims states is fitted to twins in which states take the place of
    the slow shared drives, and one that claims groups of units to twins with groups. Average precision is given for
    one connected pair in ten, so that classes of strength compare. A model that fails on a twin has NaN there, and its
    `error` says why.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.simulate.run(nd.simulate.zoo.static(n=10, rng=0), 40.0, rng=0)
    >>> model = nd.validate.baselines.CrossCorrelation()
    >>> circuits = [nd.simulate.zoo.static(n=10, rng=k) for k in range(2)]
    >>> found = nd.validate.trust(model, rec, circuits=circuits, rng=0, quiet=True)
    >>> found["score"].dims, "verdict" in found.attrs
    (('twin', 'metric'), True)
    """
    from neurodata.validate.prepare import prepare_for

    if n_twins < 2:
        raise OptionError("2 twins or more, for an interval", f"{n_twins!r}", "pass n_twins=")
    if not epsp or not all(np.isfinite(level) and level > 0 for level in epsp):
        raise OptionError("median EPSPs above 0 mV", f"{epsp!r}", "pass epsp=")
    if not longest > 0:
        raise OptionError("a length above 0 s", f"{longest!r}", "pass longest=")
    prepare = prepare_for(model) if prepare is None else prepare
    # What cannot be matched or prepared fails now, not after minutes.
    if not isinstance(circuits, Match):
        enough(rec)
    prepare(rec)
    rng = generator(rng)
    match_rng, twin_rng, resample_rng = rng.spawn(3)
    bar = as_progress(progress)
    given: list[Circuit] = []
    twin: Match | None = None
    if isinstance(circuits, Match):
        twin = circuits
    elif circuits is not None:
        given = list(circuits)
    else:
        twin = match(rec, epsp=float(np.median(epsp)), max_units=max_units, rng=match_rng, n_jobs=n_jobs, progress=bar)
    duration = twin.duration if twin is not None else _recorded_seconds(rec)
    seconds = min(duration, longest)
    worker = _Worker(model, prepare, twin, seconds)
    answers = _ask_twins(worker, _first_tasks(twin, given, epsp, n_twins, twin_rng), n_jobs, bar)
    if twin is not None:
        claimed = set().union(*(answer.claims for answer in answers))
        more = _further_tasks(claimed, _n_states(model), epsp, len(answers), n_twins, twin_rng)
        answers += _ask_twins(worker, more, n_jobs, bar)
    result = _dataset(answers, twin, resample_rng)
    result.attrs |= {
        "model": type(model).__name__,
        "settings": json.dumps(
            {k: repr(v) for k, v in model.get_params().items()} if hasattr(model, "get_params") else {}
        ),
        "prepare": repr(prepare),
        "duration": float(duration),
        "twin_duration": float(seconds),
        "neurodata": version(),
    }
    if twin is not None:
        result.attrs |= {"circuit": twin.circuit.to_json(), "n_neurons": int(twin.circuit.n_neurons)}
    from neurodata.validate.verdict import trust_text

    result.attrs["verdict"] = trust_text(result, twin)
    if not quiet:
        sys.stdout.write(result.attrs["verdict"] + "\n")
    return result


def _recorded_seconds(rec: Any) -> float:
    from neurodata.validate.statistics import recording_statistics

    return float(recording_statistics(rec)["value"].sel(statistic="duration"))


def _n_states(model: Any) -> int:
    n = getattr(model, "n_states", None)
    return int(n) if isinstance(n, (int, np.integer)) and n > 1 else 3


def _first_tasks(
    twin: Match | None, given: list[Circuit], epsp: tuple[float, ...], n_twins: int, rng: np.random.Generator
) -> list[Task]:
    """Circuits that were given, or connected twins of the middle strength."""
    if twin is None:
        return [Task(GIVEN, np.nan, k, _seed(rng), circuit=circuit) for k, circuit in enumerate(given)]
    n_units = twin.stages[0].unit.size  # type: ignore[attr-defined]
    expected = PROBABILITY * n_units * (n_units - 1)
    n = int(np.clip(np.ceil(ENOUGH_EDGES / expected), n_twins, max(n_twins, MOST_TWINS)))
    return [Task(CONNECTED, float(np.sort(epsp)[len(epsp) // 2]), k, _seed(rng)) for k in range(n)]


def _further_tasks(
    claimed: set[str], n_states: int, epsp: tuple[float, ...], n_first: int, n_twins: int, rng: np.random.Generator
) -> list[Task]:
    """Twins for what the model was found to claim."""
    tasks = []
    if {"edge_score", "edge"} & claimed:
        rest = [level for k, level in enumerate(np.sort(epsp)) if k != len(epsp) // 2]
        tasks += [Task(CONNECTED, float(level), k, _seed(rng)) for level in rest for k in range(n_first)]
    if "edge" in claimed:
        tasks += [Task(UNCONNECTED, 0.0, k, _seed(rng)) for k in range(n_first)]
    middle = float(np.sort(epsp)[len(epsp) // 2])
    if "state" in claimed:
        tasks += [Task(SWITCHING, middle, k, _seed(rng), n_states) for k in range(n_twins)]
    if "cluster" in claimed:
        tasks += [Task(CLUSTERED, middle, k, _seed(rng)) for k in range(n_twins)]
    return tasks


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**31))


def _ask_twins(worker: _Worker, tasks: list[Task], n_jobs: int, bar: Progress) -> list[Answer]:
    answers: dict[Task, Answer] = {}
    try:
        bar.start(len(tasks), "twins")
        for answer in iterate_parallel(worker, [(task,) for task in tasks], n_jobs):
            answers[answer.task] = answer
            bar.update(1, f"{answer.task.kind} {answer.task.number + 1}")
    finally:
        bar.close()
    return sorted(answers.values(), key=lambda answer: tasks.index(answer.task))


@dataclass(frozen=True)
class _Worker:
    """Simulates one twin, fits the model to it and scores it."""

    model: Any
    prepare: Callable[[xr.DataTree], Any]
    twin: Match | None
    seconds: float

    def __call__(self, task: Task) -> Answer:
        from neurodata.simulate import run, without_truth
        from neurodata.validate.metrics import truth_for

        answer = Answer(task)
        graph_rng, run_rng, fit_rng = np.random.default_rng(task.seed).spawn(3)
        with one_thread(), warnings.catch_warnings(record=True) as heard:
            warnings.simplefilter("always")
            if self.twin is None:
                assert task.circuit is not None
                circuit = task.circuit
                seen = run(circuit, self.seconds, rng=run_rng)
            else:
                circuit = self.twin.twin(seed=_seed(graph_rng), epsp=task.epsp)
                if task.kind == SWITCHING:
                    circuit = switching(circuit, task.n_states, graph_rng)
                if task.kind == CLUSTERED:
                    circuit = clustered(circuit, graph_rng)
                seen = self.twin.simulate(circuit, duration=self.seconds, rng=run_rng)
            answer.circuit_hash = circuit.content_hash
            began = time.perf_counter()
            claimed, answer.error = _fitted_claims(self.model, self.prepare, without_truth(seen), _seed(fit_rng))
            answer.runtime = time.perf_counter() - began
            if claimed is not None:
                _score(answer, claimed, truth_for(seen))
        answer.warning = "\n".join(dict.fromkeys(f"{type(w.message).__name__}: {w.message}" for w in heard))
        # The nodes of a recording refer to each other: without a collection a hundred MB stay behind for each twin.
        del seen
        gc.collect()
        return answer


def _fitted_claims(
    model: Any, prepare: Callable[[xr.DataTree], Any], blind: xr.DataTree, seed: int
) -> tuple[xr.Dataset | None, str]:
    """What a fresh copy of the model claims, or None and the error.

    The model may be anybody's, so nothing can be said of the errors it raises: each becomes a row of the result.
    """
    from neurodata.validate._cells import _fresh
    from neurodata.validate.claims import claims

    try:
        data = prepare(blind)
        fresh = _fresh(model, seed)
        return claims(fresh.fit(data) or fresh, data), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _score(answer: Answer, claimed: xr.Dataset, truth: xr.Dataset) -> None:
    from neurodata.validate.metrics import ALL

    answer.claims = tuple(sorted(map(str, claimed.data_vars)))
    for name, metric in ALL.items():
        if name == "bits_per_spike" or not name.startswith(ABOUT[answer.task.kind]):
            continue
        value = metric.function(claimed, truth)
        if np.isfinite(value):
            answer.score[name] = float(value)
            answer.chance[name] = float(metric.chance_level(truth))
    if answer.task.kind in (CONNECTED, GIVEN):
        answer.edges = edges_of(claimed, truth)
    if "edge" in claimed:
        post, pre = np.meshgrid(claimed["post"].values, claimed["pre"].values, indexing="ij")
        other = post != pre
        answer.n_pairs = int(other.sum())
        answer.n_called = int((claimed["edge"].transpose("post", "pre").values[other] > 0.5).sum())


def _dataset(answers: list[Answer], twin: Match | None, rng: np.random.Generator) -> xr.Dataset:
    from neurodata.validate.metrics import ALL

    names = [name for name in ALL if any(name in answer.score for answer in answers)]
    table = {
        what: np.array([[getattr(answer, what).get(name, np.nan) for name in names] for answer in answers]).reshape(
            len(answers), len(names)
        )
        for what in ("score", "chance")
    }
    known = [answer.edges for answer in answers if answer.edges is not None]
    limits = np.array(PSP_EDGES)
    within = [stratum(known, low, high, rng) for low, high in zip(limits[:-1], limits[1:], strict=True)]
    above = [stratum(known, low, np.inf, rng) for low in limits[:-1]]
    data: dict[str, Any] = {
        "score": (("twin", "metric"), table["score"]),
        "chance": (("twin", "metric"), table["chance"], {"long_name": "score of guessing, NaN where it has no value"}),
        "error": ("twin", np.array([answer.error for answer in answers], dtype=np.str_)),
        "warning": ("twin", np.array([answer.warning for answer in answers], dtype=np.str_)),
        "runtime": ("twin", [answer.runtime for answer in answers], {"units": "s"}),
        "n_pairs": ("twin", [answer.n_pairs for answer in answers]),
        "n_called": ("twin", [answer.n_called for answer in answers]),
        "circuit_hash": ("twin", np.array([answer.circuit_hash for answer in answers], dtype=np.str_)),
    }
    for suffix, strata in (("", within), ("_from", above)):
        for part in ("value", "low", "high", "n_twins", "n_edges"):
            label = {"value": "estimate"}.get(part, part)
            values = [[getattr(row[name], part) for row in strata] for name in QUANTITIES]
            data[f"{label}{suffix}"] = (("quantity", "psp"), np.array(values))
    coords: dict[str, Any] = {
        "twin": np.arange(len(answers)),
        "metric": np.array(names, dtype=np.str_),
        "kind": ("twin", np.array([answer.task.kind for answer in answers], dtype=np.str_)),
        "epsp": ("twin", [answer.task.epsp for answer in answers], {"units": "mV"}),
        "quantity": list(QUANTITIES),
        "psp_low": ("psp", limits[:-1], {"units": "mV"}),
        "psp_high": ("psp", limits[1:], {"units": "mV"}),
    }
    if twin is not None:
        for name in ("recording", "twin", "twin_sd", "relative", "within", "judged"):
            data[f"match_{name}"] = ("statistic", twin.table[name].values)
        data["match_error"] = ("statistic", twin.table["error"].values)
        coords["statistic"] = twin.table["statistic"].values
    claimed = sorted(set().union(*(answer.claims for answer in answers))) if answers else []
    return xr.Dataset(data, coords=coords, attrs={"claims": ", ".join(claimed)})


def interval_of(result: xr.Dataset, metric: str, kind: str, epsp: float | None = None) -> Interval:
    """Mean of a metric over the twins of a kind (and EPSP), with Student's 95 % interval.

    Parameters
    ----------
    result : Dataset
        What `trust` gave.
    metric, kind : str
    epsp : float, optional
        mV.
    """
    from neurodata.validate.metrics import ALL

    if metric not in result["metric"].values:
        return over_twins(np.array([]))
    rows = result["kind"].values == kind
    if epsp is not None:
        rows &= np.isclose(result["epsp"].values, epsp)
    return over_twins(result["score"].sel(metric=metric).values[rows], ALL[metric].bounds)
