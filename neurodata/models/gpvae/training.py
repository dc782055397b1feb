"""Stochastic ascent of the evidence lower bound: one compiled function per epoch."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from neurodata.kernels import gpvae_jx as gp
from neurodata.kernels.information_jx import weight


class Problem(NamedTuple):
    """What does not change while parameters are learned."""

    modalities: tuple[gp.Modality, ...]
    prior: gp.Prior
    constants: dict
    geometry: dict
    weights: dict


class Schedule(NamedTuple):
    """How long and how fast."""

    n_epochs: int
    batch_size: int
    learning_rate: float
    dropout: float


def optimiser(schedule: Schedule, n_batches: int) -> optax.GradientTransformation:
    """Adam under a cosine that starts with a tenth of the way up; gradients are clipped as a whole."""
    steps = schedule.n_epochs * n_batches
    rate = optax.warmup_cosine_decay_schedule(
        0.0, schedule.learning_rate, max(steps // 20, 1), steps, 0.02 * schedule.learning_rate
    )
    return optax.chain(optax.clip_by_global_norm(5.0), optax.adam(rate))


def init(key, modalities: tuple[gp.Modality, ...], n_latents: int, period: float) -> dict:
    """Parameters to start from; length scales in the middle of their range."""
    keys = jax.random.split(key, len(modalities))
    params = {m.name: gp.init_modality(k, m) for m, k in zip(modalities, keys, strict=True)}
    return {**params, "length": jnp.zeros(n_latents), "log_period": jnp.full(n_latents, jnp.log(period))}


@partial(jax.jit, static_argnames=("modalities", "prior", "schedule", "n_batches"), donate_argnames=("state",))
def epoch(state, key, data, constants, geometry, weights, modalities, prior, schedule, n_batches):
    """One pass over all trials in random order. Returns the new (params, optimiser state) and the mean loss."""
    tx = optimiser(schedule, n_batches)
    n_trials = data[modalities[0].name]["y"].shape[0]
    size = min(schedule.batch_size, n_trials)
    order_key, step_key = jax.random.split(key)
    order = jnp.resize(jax.random.permutation(order_key, n_trials), (n_batches, size))

    def loss(params, batch, key):
        drop_key, bound_key = jax.random.split(key)
        keep = kept(drop_key, modalities, size, schedule.dropout)
        bounds = gp.bound(params, modalities, prior, batch, constants, geometry, weights, bound_key, keep)
        penalty = sum(gp.ard(params[m.name], m) for m in modalities)
        n_bins = batch[modalities[0].name]["y"].shape[1]
        return (-bounds.mean() + penalty / n_trials) / n_bins

    def step(carry, inputs):
        params, opt = carry
        index, key = inputs
        batch = jax.tree.map(lambda a: a[index], data)
        value, gradient = jax.value_and_grad(loss)(params, batch, key)
        updates, opt = tx.update(gradient, opt, params)
        return (optax.apply_updates(params, updates), opt), value

    state, losses = jax.lax.scan(step, state, (order, jax.random.split(step_key, n_batches)))
    return state, losses.mean()


def kept(key, modalities, n_trials: int, dropout: float):
    """For each trial at most one modality left out, so that each learns to do without the others."""
    if len(modalities) == 1:
        return {modalities[0].name: jnp.ones(n_trials)}
    first, second = jax.random.split(key)
    which = jax.random.randint(first, (n_trials,), 0, len(modalities))
    dropped = jax.random.uniform(second, (n_trials,)) < dropout
    return {m.name: 1.0 - (dropped & (which == i)) for i, m in enumerate(modalities)}


@partial(jax.jit, static_argnames=("modalities", "prior"))
def held_out(params, key, data, constants, geometry, weights, modalities, prior):
    """Mean bound per trial and bin of trials that are not trained on."""
    bounds = gp.bound(params, modalities, prior, data, constants, geometry, weights, key)
    return bounds.mean() / data[modalities[0].name]["y"].shape[1]


class Learned(NamedTuple):
    """What `learn` found."""

    params: dict
    weights: dict[str, float]
    history: list[tuple[float, float]]  # mean bound per bin of each epoch, of training and of held-out trials
    held_out: float  # bound of the parameters that were kept, with all weights 1


def learn(problem: Problem, params, data, test, schedule: Schedule, adapt, patience: int, key, progress) -> Learned:
    """Epochs until the held-out bound no longer rises.

    The first half of the epochs has the weights of `problem`; where `adapt` names modalities, theirs are then led to
    what their errors justify, see `information_jx`, and kept from 0.7 of the epochs on. Full weights at first, as what
    a modality has in common with others is otherwise not found. The best epoch is one of the last, constant weights.
    """
    n_trials = len(data[problem.modalities[0].name]["y"])
    n_batches = -(-n_trials // schedule.batch_size)
    # Compiled code is shared between fits of the same shapes, whatever their seeds.
    state = (params, optimiser(schedule, n_batches).init(params))
    static = {"modalities": problem.modalities, "prior": problem.prior}
    weights, history = dict(problem.weights), []
    best, best_bound, since = None, -jnp.inf, 0
    settled = int(0.7 * schedule.n_epochs) if adapt else 0
    for k in range(schedule.n_epochs):
        if adapt and 0.5 * schedule.n_epochs <= k < settled and k % 5 == 0:
            for name, target in justified(problem, state[0], data, adapt).items():
                weights[name] = float((weights[name] * target) ** 0.5)
        key, run_key, test_key = jax.random.split(key, 3)
        fixed = {name: jnp.asarray(w, jnp.float32) for name, w in weights.items()}
        state, loss = epoch(
            state, run_key, data, problem.constants, problem.geometry, fixed, schedule=schedule, n_batches=n_batches,
            **static,
        )  # fmt: skip
        if test is None:
            bound = -float(loss)
        else:
            bound = float(held_out(state[0], test_key, test, problem.constants, problem.geometry, fixed, **static))
        history.append((-float(loss), bound))
        progress.update(1, f"bound per bin {bound:.2f}")
        if k >= settled:
            if bound > best_bound:
                best, best_bound, since = jax.tree.map(jnp.copy, state[0]), bound, 0
            else:
                since += 1
            if test is not None and since >= patience:
                break
    best = state[0] if best is None else best
    ones = {name: jnp.asarray(1.0, jnp.float32) for name in weights}
    final = data if test is None else test
    value = held_out(best, key, final, problem.constants, problem.geometry, ones, **static)
    return Learned(best, weights, history, float(value))


def justified(problem: Problem, params, data, names) -> dict[str, float]:
    """Weights of modalities that their errors justify, at the amortised posterior."""
    mean, sd, _ = gp.amortised_courses(
        params, problem.modalities, problem.prior, data, problem.constants, problem.geometry
    )
    out = {}
    for m in problem.modalities:
        if m.name in names:
            where = jnp.array(m.latents)
            covariance = (sd[..., where] ** 2)[..., None] * jnp.eye(len(m.latents), dtype=sd.dtype)
            out[m.name] = float(weight(params[m.name], m, data[m.name], mean[..., where], covariance))
    return out
