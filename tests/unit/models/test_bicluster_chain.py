"""Chains of the bi-clustering sampler: stopping, going on, where they run, and what files they refuse."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from neurodata.errors import FormatError, OptionError
from neurodata.models.bicluster import checkpoint
from neurodata.models.bicluster.chain import Task, run_chain, run_chains
from neurodata.models.bicluster.draws import Plan, bytes_needed, first_seen, log_likelihood
from neurodata.models.bicluster.prior import Prior
from neurodata.models.bicluster.state import Counts
from neurodata.models.bicluster.sweep import Settings

PRIOR = Prior(n_latents=1, max_clusters=4, max_states=3)
PLAN = Plan(n_warmup=4, n_draws=5, thin=2, course_every=2)


class StopAfter:
    """Asks a chain to end after so many sweeps."""

    def __init__(self, n: int) -> None:
        self.n = n

    def stopped(self) -> bool:
        return self.n < 0

    def report(self, chain: int, n_done: int, note: str = "") -> None:
        self.n -= 1


@pytest.fixture(scope="module")
def counts() -> Counts:
    """Two groups of three units, 40 bins, a tenth not observed."""
    rng = np.random.default_rng(0)
    values = rng.poisson(np.repeat([1.0, 4.0], 3)[:, None] * np.exp(np.sin(np.arange(40) / 4)))
    values[rng.random(values.shape) < 0.1] = -1
    return Counts.of(values, np.array([0, 25, 40]))


def tasks(counts: Counts, n: int = 3, plan: Plan = PLAN) -> list[Task]:
    rngs = np.random.default_rng(1).spawn(n)
    return [Task(k, rng, counts, PRIOR, Settings(), plan) for k, rng in enumerate(rngs)]


def assert_same(one, other):
    for name, values in one.draws.fixed().items():
        np.testing.assert_array_equal(values, other.draws.fixed()[name], err_msg=name)
    for a, b in zip(one.draws.x, other.draws.x, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_chain_has_the_draws_that_were_asked_for(counts):
    one, other, _ = run_chains(tasks(counts))
    assert one.complete
    assert one.n_done == 14
    assert one.draws.n == 5
    assert len(one.draws.x) == 3  # draws 0, 2 and 4
    assert one.draws.x[0].shape[1:] == (40, 2)
    assert not np.array_equal(one.draws.scalar, other.draws.scalar)


@pytest.mark.parametrize("sweeps", [2, 7, 12])
def test_a_stopped_chain_goes_on_as_if_it_had_not_been(counts, tmp_path, sweeps):
    task = tasks(counts)[1]
    stopped = run_chain(task, folder=tmp_path, control=StopAfter(sweeps))
    assert not stopped.complete
    assert stopped.n_done == sweeps
    assert stopped.draws.n == max(0, sweeps - 4) // 2
    assert_same(run_chain(task, folder=tmp_path), run_chain(task))


def test_chains_do_not_depend_on_where_they_run(counts):
    for one, other in zip(run_chains(tasks(counts)), run_chains(tasks(counts), n_jobs=2), strict=True):
        assert one.number == other.number
        assert_same(one, other)


def test_a_checkpoint_of_something_else_is_refused_by_name(counts, tmp_path):
    task = tasks(counts)[0]
    run_chain(task, folder=tmp_path, control=StopAfter(3))
    changed = counts.counts.copy()
    changed[0, 0] += 1
    with pytest.raises(OptionError, match="counts"):
        run_chain(replace(task, data=Counts.of(changed, counts.starts)), folder=tmp_path)
    with pytest.raises(OptionError, match=r"prior loading_sd 1\.0, now 2\.0"):
        run_chain(replace(task, prior=replace(PRIOR, loading_sd=2.0)), folder=tmp_path)
    with pytest.raises(OptionError, match="thin 2, now 1"):
        run_chain(replace(task, plan=replace(PLAN, thin=1)), folder=tmp_path)
    with pytest.raises(OptionError, match="rng"):
        run_chain(replace(task, rng=np.random.default_rng(9)), folder=tmp_path)
    run_chain(replace(task, rng=np.random.default_rng(9)), folder=tmp_path, seeded=False)


@pytest.mark.parametrize("damage", ["cut", "flip"])
def test_a_damaged_checkpoint_is_refused(counts, tmp_path, damage):
    task = tasks(counts)[0]
    run_chain(task, folder=tmp_path, control=StopAfter(3))
    path = checkpoint.path_of(tmp_path, 0)
    content = bytearray(path.read_bytes())
    if damage == "flip":
        # More than one byte: some of those between the arrays of a zip file mean nothing.
        middle = slice(len(content) // 2, len(content) // 2 + 400)
        content[middle] = bytes(255 - byte for byte in content[middle])
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else content)
    with pytest.raises(FormatError, match="remove it"):
        run_chain(task, folder=tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


def test_log_likelihood_is_scipys(counts):
    from scipy.stats import nbinom

    rng = np.random.default_rng(2)
    eta, r = rng.standard_normal(counts.counts.shape), rng.gamma(2.0, size=6)
    seen = counts.counts >= 0
    p = r[:, None] / (r[:, None] + np.exp(eta))
    expected = nbinom.logpmf(counts.counts, r[:, None], p)[seen].sum()
    assert log_likelihood(counts, eta, r) == pytest.approx(expected)


def test_bytes_are_those_of_the_arrays(counts):
    plan = Plan(0, 8, 1, 2)
    one = run_chain(tasks(counts, 1, plan)[0]).draws
    fixed = sum(v.nbytes for name, v in one.fixed().items() if name != "switch")
    stated = bytes_needed(6, 40, PRIOR, plan, 1)
    assert stated["draws"] == fixed
    kept = one.switch.nbytes + sum(
        a.nbytes for name in ("x", "transition", "offset", "noise") for a in getattr(one, name)
    )
    assert kept <= stated["trajectories"]


def test_first_seen_is_the_order_of_appearance():
    order, place = first_seen(np.array([3, 3, 0, 5, 0]))
    assert order.tolist() == [3, 0, 5]
    assert place.tolist() == [0, 0, 1, 2, 1]
