"""Chains of the sampler: warm-up, draws, checkpoints; side by side on joblib. The result does not depend on where."""

from __future__ import annotations

import copy
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurodata._core.parallel import one_thread, run_parallel
from neurodata._core.progress import Progress, Silent
from neurodata.errors import StoreError
from neurodata.models.bicluster import checkpoint as files
from neurodata.models.bicluster.control import Control, Elsewhere, Here, deaf_worker, interrupt_calls
from neurodata.models.bicluster.draws import COUNTED, Draws, Plan, probes_of
from neurodata.models.bicluster.full import sweep
from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.state import Counts, State
from neurodata.models.bicluster.sweep import Settings
from neurodata.models.bicluster.warm_up import over_dispersed
from neurodata.models.bicluster.warm_up import step as warm_up_step

# Seconds between two checkpoints; longer where writing one takes more than a part of that.
CHECKPOINT_S = 60.0
_WRITING = 20.0


@dataclass(frozen=True)
class Task:
    """What a chain is made from; nothing else has a say in it.

    Attributes
    ----------
    number : int
        Of the chain.
    rng : Generator
        Of this chain alone. It is copied, not used.
    data, prior, settings, plan
    """

    number: int
    rng: np.random.Generator
    data: Counts
    prior: Prior
    settings: Settings
    plan: Plan


@dataclass
class Chain:
    """A chain on its way: `n_done` sweeps, of which the draws were kept.

    Attributes
    ----------
    n_done : int
    rng : Generator
    state : State
    draws : Draws
    counted : array (len(COUNTED),)
        Steps since the last draw.
    """

    n_done: int
    rng: np.random.Generator
    state: State
    draws: Draws
    counted: np.ndarray


@dataclass
class Drawn:
    """What a chain gave: its draws, and whether they are all that were asked for."""

    number: int
    draws: Draws
    n_done: int
    complete: bool


def begin(task: Task) -> Chain:
    """The chain before its first sweep."""
    rng = copy.deepcopy(task.rng)
    state = over_dispersed(rng, task.data, task.prior, task.number)
    n_units, n_bins = task.data.counts.shape
    draws = Draws.empty(n_units, n_bins, task.prior, task.plan)
    return Chain(0, rng, state, draws, np.zeros(len(COUNTED), dtype=np.int64))


def advance(chain: Chain, task: Task, probes: np.ndarray) -> None:
    """One sweep; after warm-up, one draw in `thin` sweeps is kept."""
    plan = task.plan
    if chain.n_done < plan.n_warmup:
        chain.state, info = warm_up_step(
            chain.rng, chain.state, task.data, task.prior, task.settings, chain.n_done, plan.n_warmup
        )
    else:
        chain.state, info = sweep(chain.rng, chain.state, task.data, task.prior, task.settings)
    chain.n_done += 1
    after = chain.n_done - plan.n_warmup
    if after == 0:
        chain.counted[:] = 0
    else:
        chain.counted += [int(getattr(info, name)) for name in COUNTED]
    if after > 0 and after % plan.thin == 0:
        chain.draws.add(chain.state, task.data, probes, chain.counted, plan)
        chain.counted[:] = 0


def run_chain(
    task: Task,
    *,
    folder: Path | None = None,
    seeded: bool = True,
    every: float = CHECKPOINT_S,
    control: Control | None = None,
) -> Drawn:
    """One chain from its start, or from its checkpoint, to its end.

    Parameters
    ----------
    task : Task
    folder : path, optional
        Of the checkpoints.
    seeded : bool
        Whether a checkpoint must have begun with the same generator.
    every : float
        s between checkpoints.
    control : Control, optional
        Asked after each sweep whether to stop, and told of it.
    """
    return _run_group([task], folder, seeded, every, control or Here(Silent()))[0]


def run_chains(
    tasks: Sequence[Task],
    *,
    folder: Path | None = None,
    seeded: bool = True,
    every: float = CHECKPOINT_S,
    n_jobs: int = 1,
    progress: Progress | None = None,
    label: str = "bi-clustering",
) -> list[Drawn]:
    """All chains, by their numbers. Ctrl-C ends them after the sweep they are at, and what was drawn is returned.

    Chains of a worker take turns, sweep by sweep, so that a run that is stopped has draws of all its chains.
    """
    progress = progress or Silent()
    if folder is not None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError("a folder for checkpoints", f"{type(error).__name__}: {error}", "pass another") from error
    progress.start(sum(task.plan.n_sweeps for task in tasks), label)
    try:
        if n_jobs == 1:
            here = Here(progress)
            with interrupt_calls(here.stop):
                return _run_group(tasks, folder, seeded, every, here)
        return _run_elsewhere(tasks, folder, seeded, every, n_jobs, progress)
    finally:
        progress.close()


def _run_elsewhere(
    tasks: Sequence[Task], folder: Path | None, seeded: bool, every: float, n_jobs: int, progress: Progress
) -> list[Drawn]:
    import joblib

    n_groups = max(1, min(joblib.effective_n_jobs(n_jobs), len(tasks)))
    # Compiled and stored once, before several processes would do it at the same time.
    compile_once(tasks[0])
    place = tempfile.mkdtemp(prefix="neurodata-bicluster-")
    elsewhere = Elsewhere(place)
    try:
        calls = [(tasks[i::n_groups], folder, seeded, every, elsewhere) for i in range(n_groups)]
        with interrupt_calls(elsewhere.stop), elsewhere.heard(progress, len(tasks)):
            found = run_parallel(_run_group, calls, n_jobs)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    return sorted((one for group in found for one in group), key=lambda one: one.number)


def compile_once(task: Task) -> None:
    """One sweep on a few counts of the same types, so that all kernels are compiled."""
    few = Counts.of(np.arange(24).reshape(2, 12) % 3, np.array([0, 12]))
    prior = task.prior
    rng = np.random.default_rng(0)
    sweep(rng, over_dispersed(rng, few, prior, 0), few, prior, task.settings)


def _run_group(tasks: Sequence[Task], folder: Path | None, seeded: bool, every: float, control: Control) -> list[Drawn]:
    """Several chains in turns. One numeric thread: sums then have one order wherever this runs."""
    with deaf_worker(), one_thread():
        runs = [_Run(task, folder, seeded, every) for task in tasks]
        for run in runs:
            control.report(run.task.number, run.chain.n_done)
        while any(not run.complete for run in runs) and not control.stopped():
            for run in runs:
                if not run.complete:
                    run.sweep()
                    control.report(run.task.number, run.chain.n_done, run.note())
        for run in runs:
            run.save()
        return [Drawn(run.task.number, run.chain.draws, run.chain.n_done, run.complete) for run in runs]


class _Run:
    """A chain with its checkpoint."""

    def __init__(self, task: Task, folder: Path | None, seeded: bool, every: float) -> None:
        self.task, self.every = task, every
        self.probes = probes_of(task.data)
        self.path = None if folder is None else files.path_of(folder, task.number)
        self.identity: dict[str, Any] = {}
        self.saved_at, self.took, self.saved_sweep = time.monotonic(), 0.0, -1
        if self.path is not None:
            seed = dict(task.rng.bit_generator.state) if seeded else None
            self.identity = files.identity(task.data, task.prior, task.settings, task.plan, task.number, seed)
        if self.path is not None and self.path.exists():
            saved = files.read(self.path, self.identity, task.data, task.prior, task.plan)
            rng = copy.deepcopy(task.rng)
            rng.bit_generator.state = saved.rng
            self.chain = Chain(saved.n_done, rng, saved.state, saved.draws, saved.counted)
            self.saved_sweep = saved.n_done
        else:
            self.chain = begin(task)

    @property
    def complete(self) -> bool:
        return self.chain.n_done >= self.task.plan.n_sweeps

    def note(self) -> str:
        state = self.chain.state
        warm = " (warm-up)" if self.chain.n_done <= self.task.plan.n_warmup else ""
        return f"{len(state.clusters())} clusters, {len(np.unique(state.path))} states{warm}"

    def sweep(self) -> None:
        advance(self.chain, self.task, self.probes)
        if time.monotonic() - self.saved_at >= max(self.every, _WRITING * self.took):
            self.save()

    def save(self) -> None:
        if self.path is None or self.saved_sweep == self.chain.n_done:
            return
        began, chain = time.monotonic(), self.chain
        rng = dict(chain.rng.bit_generator.state)
        files.write(self.path, files.Saved(chain.n_done, rng, chain.state, chain.draws, chain.counted), self.identity)
        self.saved_at, self.saved_sweep = time.monotonic(), chain.n_done
        self.took = self.saved_at - began
