"""Bars of an EM iteration: >= 10 times as fast as a loop of scikit-learn's Poisson regressions; <= 30 to converge.

An iteration is one M-step and one E-step of three states with ``prior=None``, one coupling column per pair, early in
EM. The loop fits `PoissonRegressor` to each unit in each state, the posterior of the state as sample weights, the same
ridge, from the same coefficients (`warm_start`), with the faster of its solvers "lbfgs" and "newton-cholesky"; then it
has our E-step. It is timed on two units in one state and scaled to all of them. Our M-step takes one step and lets EM
go on, theirs goes to its default tolerance: "gain" is the part of the objective's rise in a full maximisation of the
expected log-likelihood that our step makes. Beside it, without a bar, the loop as it is written without further thought
(the default solver, each fit begun anew).

GFLOP/s of the M-step count its matrix products alone, against ``X' (w X)`` of the same design matrix X as a bare
product, the limit. They are reported, without a bar.

Iterations are those of `HMMGLM` (five starts, ``tol=1e-6``) on networks of the paper's simulation: 20 units, 3 states,
5000 bins, ten seeds.

One core; ratios are medians of neighbouring runs, in CPU time.
"""

from __future__ import annotations

import argparse
import sys
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor

import neurodata as nd
from benchmarks._hmm_problem import early, make_problem, simulated
from benchmarks._hmm_timing import in_turns, one_core, said
from benchmarks._switching_networks import BIN_WIDTH, N_LAGS, draw
from neurodata._core.parallel import one_thread
from neurodata.models.hmm_glm import mstep
from neurodata.models.hmm_glm.em import Problem, Run, e_step, m_step

N_STATES, LOOPED = 3, 2
UNITS, BINS = (20, 50, 100, 200), (5_000, 20_000, 100_000)
LOOP_BAR, ITERATIONS_BAR, SEEDS = 10.0, 30.0, 10


def loop(problem: Problem, run: Run, solver: str, warm: bool) -> Callable[[], np.ndarray]:
    """Fits of the first units in the first state; gives their coefficients (column, unit)."""
    design, theta = problem.design, run.parameters.theta[0]
    others = np.ascontiguousarray(design.columns[:, 1:])
    weight = run.posterior.gamma[design.row_bin, 0]
    alpha = float(problem.penalty.of_state(0)[0][1, 0] / weight.sum())

    def fit() -> np.ndarray:
        out = np.empty((len(theta), LOOPED))
        for unit in range(LOOPED):
            model = PoissonRegressor(alpha=alpha, solver=solver, warm_start=warm)
            if warm:
                model.coef_, model.intercept_ = theta[1:, unit].copy(), theta[0, unit]
            model.fit(others, design.counts[:, unit], sample_weight=weight)
            out[0, unit], out[1:, unit] = model.intercept_, model.coef_
        return out

    return fit


def gain(problem: Problem, run: Run, ours: np.ndarray, full: np.ndarray) -> float:
    """Part of the rise from the old to the full maximum of the first state's regressions that `ours` makes."""
    design = problem.design
    weight = run.posterior.gamma[design.row_bin, 0]
    precision, centre = (array[:, :LOOPED] for array in problem.penalty.of_state(0))

    def value(theta: np.ndarray) -> float:
        eta = design.columns @ theta
        likelihood = weight @ (design.counts[:, :LOOPED] * eta - np.exp(eta))
        return float(likelihood.sum() - 0.5 * (precision * (theta - centre) ** 2).sum())

    old = value(run.parameters.theta[0, :, :LOOPED])
    return (value(ours[0, :, :LOOPED]) - old) / (value(full) - old)


def work(problem: Problem, run: Run) -> float:
    """Floating-point operations of the matrix products of one M-step."""
    steps = 0

    class Counting(mstep._Preconditioner):
        def __call__(self, vector: np.ndarray) -> np.ndarray:
            nonlocal steps
            steps += 1
            return super().__call__(vector)

    original = mstep._Preconditioner
    mstep._Preconditioner = Counting  # type: ignore[misc]
    try:
        m_step(problem, run.posterior, run.parameters.theta)
    finally:
        mstep._Preconditioner = original  # type: ignore[misc]
    n_columns, n_units = run.parameters.theta.shape[1:]
    kept = (run.posterior.gamma[problem.design.row_bin] > 1e-4).sum(axis=0)
    # Predictor and gradient, and two products in each step of conjugate gradients, which starts with the first call.
    products = 2.0 * n_columns * n_units * kept.sum() * (2 + 2 * (steps - 1))
    gram = 2.0 * n_columns**2 * np.minimum(kept, mstep._PRECONDITIONER_ROWS * n_columns).sum()
    return products + gram


def iteration(n_units: int, n_bins: int) -> bool:
    counts, state = simulated(n_units, n_bins, N_STATES)
    problem = make_problem(counts)
    run = early(problem, state)
    theta, design = run.parameters.theta, problem.design
    weighted = design.columns * run.posterior.gamma[design.row_bin, :1]
    looped = {(solver, warm): loop(problem, run, solver, warm) for solver, warm in
              (("lbfgs", True), ("newton-cholesky", True), ("lbfgs", False))}  # fmt: skip
    times = in_turns(
        {
            "M": lambda: m_step(problem, run.posterior, theta),
            "E": lambda: e_step(design, run.parameters, problem.link),
            "product": lambda: design.columns.T @ weighted,
            **{f"{solver} {warm}": call for (solver, warm), call in looped.items()},
        },
        rounds=5,
        repeats=max(1, 400_000 // (n_units * n_bins)),
    )
    cpu = {name: rows[:, 0] for name, rows in times.items()}
    scale = n_units * N_STATES / LOOPED
    fastest = min(("lbfgs True", "newton-cholesky True"), key=lambda name: float(np.median(cpu[name])))
    ours = cpu["M"] + cpu["E"]
    ratio = float(np.median((scale * cpu[fastest] + cpu["E"]) / ours))
    plain = float(np.median((scale * cpu["lbfgs False"] + cpu["E"]) / ours))
    part = gain(problem, run, m_step(problem, run.posterior, theta).theta, looped["newton-cholesky", True]())
    rate = work(problem, run) / np.median(cpu["M"]) / 1e9
    limit = 2.0 * design.columns.size * design.columns.shape[1] / np.median(cpu["product"]) / 1e9
    beside = (
        f" ({fastest.removesuffix(' True')}); begun anew {plain:.3g}; ours {np.median(ours):.3g} s "
        f"(M {np.median(cpu['M']):.3g}, E {np.median(cpu['E']):.3g}), gain {part:.3f}; "
        f"M-step {rate:.1f} of {limit:.1f} GFLOP/s"
    )
    return said(f"N={n_units}, T={n_bins}: loop over ours", ratio, LOOP_BAR, least=True, beside=beside)


def iterations() -> bool:
    found = []
    for seed in range(SEEDS):
        model = nd.models.HMMGLM(
            n_states=3, prior=None, link="sigmoid", basis="exponential", history=N_LAGS * BIN_WIDTH, rng=seed
        )
        found.append(int(model.fit(draw(3, 1000, 5, 1, seed).train).n_iter_))
    beside = f"; each {sorted(found)}"
    return said("EM iterations to 1e-6, median", float(np.median(found)), ITERATIONS_BAR, least=False, beside=beside)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, nargs="*", default=UNITS)
    parser.add_argument("--bins", type=int, nargs="*", default=BINS)
    arguments = parser.parse_args()
    one_core()
    warnings.filterwarnings("ignore", category=ConvergenceWarning)
    with one_thread():
        met = [iteration(n, t) for n in arguments.units for t in arguments.bins]
        met.append(iterations())
    return int(not all(met))


if __name__ == "__main__":
    sys.exit(main())
