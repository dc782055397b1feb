"""Between the labelled estimator and compiled code: specifications, restarts, posteriors, draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from neurodata._core.progress import Progress
from neurodata.errors import OptionError
from neurodata.kernels import gp_fourier, spectra_jx
from neurodata.kernels import gpvae_jx as gp
from neurodata.kernels.gpvae_refine_jx import refined
from neurodata.kernels.observation_jx import mean_response
from neurodata.models.gpvae.gauge import settle
from neurodata.models.gpvae.layout import Frames
from neurodata.models.gpvae.training import Learned, Problem, Schedule, init, learn

# Fewest trials of which some are kept to choose the epoch.
_LEAST_TRIALS = 10
# Noise that channels share, where a decoder is not linear: examples of an image differ by more than single pixels.
_RANK = 8
# Rounds in which scales and shares of latents are settled; each changes the posterior that the next one sees.
_SETTLING = 4


@dataclass
class Fitted:
    """A fitted model in arrays.

    Attributes
    ----------
    standard : dict of modality to (mean of channels, one standard deviation)
        Of gaussian modalities, which are fitted in units of it.
    mixing : array (latent, latent)
        Variance of the part of one latent that another holds, see `gauge`.
    """

    modalities: tuple[gp.Modality, ...]
    prior: gp.Prior
    names: list[str]
    step: float
    params: dict
    constants: dict
    standard: dict[str, tuple[np.ndarray, float]]
    weights: dict[str, float]
    mixing: np.ndarray
    history: list[tuple[float, float]]
    held_out: float


def fit(settings: Any, frames: Frames, rng: np.random.Generator, progress: Progress) -> Fitted:
    """Learn from the trials of `frames`, see `MultimodalGPVAE`."""
    modalities, names = specify(settings, frames)
    longest = len(frames.time) * frames.step
    low, high = settings.length_scale or (3.0 * frames.step, max(longest / 3.0, 6.0 * frames.step))
    if not 0 < low < high:
        raise OptionError("length_scale=(low, high), 0 < low < high", f"{settings.length_scale}", "in the unit of time")
    prior = gp.Prior(settings.kernel, float(low), float(high))
    standard = {m.name: _standard(m, frames) for m in modalities}
    data = _scaled(frames.data, standard)
    constants = {m.name: _encoder_scale(m, data[m.name]) for m in modalities}
    given = {} if isinstance(settings.weight, str) else settings.weight
    automatic = settings.weight == "auto" if isinstance(settings.weight, str) else False
    adapt = [m.name for m in modalities if automatic or given.get(m.name) == "auto"]
    weights = {m.name: float(given.get(m.name, 1.0)) if m.name not in adapt else 1.0 for m in modalities}
    geometry = _geometry(prior, settings.period, len(frames.time), frames.step, longest)
    problem = Problem(modalities, prior, constants, geometry, weights)

    n = frames.n_trials
    order = rng.permutation(n)
    n_test = int(np.ceil(settings.validation * n)) if n >= _LEAST_TRIALS and settings.validation > 0 else 0
    pick = {
        part: _on_device(data, np.sort(index)) for part, index in (("test", order[:n_test]), ("train", order[n_test:]))
    }
    batch = int(min(settings.batch_size, n - n_test))
    schedule = Schedule(int(settings.n_epochs), batch, float(settings.learning_rate), float(settings.dropout))
    best: Learned | None = None
    for k in range(int(settings.n_restarts)):
        start_key, run_key = jax.random.split(jax.random.PRNGKey(int(rng.integers(2**31))))
        params = init(start_key, modalities, len(names), float(settings.period or 1.0))
        params = _informed(params, modalities, data)
        progress.start(schedule.n_epochs, f"GP-VAE, start {k + 1} of {settings.n_restarts}")
        try:
            found = learn(
                problem, params, pick["train"], pick["test"] if n_test else None, schedule, adapt,
                int(settings.patience), run_key, progress,
            )  # fmt: skip
        finally:
            progress.close()
        if best is None or found.held_out > best.held_out:
            best = found
    assert best is not None
    mixing = np.zeros((len(names), len(names)))
    fitted = Fitted(
        modalities, prior, names, frames.step, best.params, constants, standard, best.weights, mixing, best.history,
        best.held_out,
    )  # fmt: skip
    for _ in range(_SETTLING):
        fitted.params, fitted.mixing = settle(fitted.params, modalities, *_refined(fitted, frames)[2:])
    return fitted


def specify(settings: Any, frames: Frames) -> tuple[tuple[gp.Modality, ...], list[str]]:
    """Modalities and the names of all latents, shared ones first."""
    names = [f"shared_{k}" for k in range(settings.n_shared)]
    shared = tuple(range(settings.n_shared))
    out = []
    for name, frame in frames.channels.items():
        own = (settings.n_private or {}).get(name, 1)
        latents = (*shared, *range(len(names), len(names) + own))
        names += [f"{name}_{k}" for k in range(own)]
        kind = (settings.likelihood or {}).get(name, "gaussian")
        decoder = (settings.decoder or {}).get(name, "linear" if frame.ndim < 2 else "mlp")
        if decoder == "conv" and frame.ndim != 2:
            raise OptionError("frames of rows and columns for decoder 'conv'", f"{name}: {frame.dims}", "or 'mlp'")
        rank = (settings.noise_rank or {}).get(name, _RANK if kind == "gaussian" and decoder != "linear" else 0)
        if rank and kind != "gaussian":
            raise OptionError("noise_rank of gaussian modalities only", f"{name}: {kind}", "leave it out")
        if not latents:
            raise OptionError(f"a latent for {name}", "none", "raise n_shared or n_private")
        rank = min(rank, max(frame.size // 2, 0))
        out.append(gp.Modality(name, tuple(frame.shape), kind, decoder, tuple(settings.hidden), latents, int(rank)))
    return tuple(out), names


def posterior(fitted: Fitted, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
    """Mean (trial, time, latent) and covariance (trial, time, latent, latent) of the courses.

    With what is open about the latents themselves, beside what a trial leaves open about its courses.
    """
    mean, covariance = _refined(fitted, frames)[:2]
    square = mean**2 + np.diagonal(covariance, axis1=-2, axis2=-1)
    return mean, covariance + (square @ fitted.mixing.T)[..., None] * np.eye(mean.shape[-1])


def _refined(fitted: Fitted, frames: Frames) -> tuple[np.ndarray, ...]:
    """`refined` in double precision: coefficients of long trials differ in scale by many orders."""
    data, geometry = _complete(fitted, frames)
    modalities, prior = fitted.modalities, fitted.prior
    start = gp.amortised_courses(fitted.params, modalities, prior, data, fitted.constants, geometry)[2]
    with jax.enable_x64(True):
        double = jax.tree.map(lambda a: jnp.asarray(np.asarray(a), jnp.float64), (fitted.params, data, geometry, start))
        weights = {name: jnp.asarray(w, jnp.float64) for name, w in fitted.weights.items()}
        found = refined(double[0], modalities, prior, double[1], double[2], weights, double[3])
        return tuple(np.array(one) for one in found)


def bound(fitted: Fitted, frames: Frames) -> float:
    """Evidence lower bound per observed bin of a trial, of the modalities that are given, weights 1."""
    data, geometry = _complete(fitted, frames)
    weights = {m.name: 1.0 for m in fitted.modalities}
    values = gp.bound(
        fitted.params, fitted.modalities, fitted.prior, data, fitted.constants, geometry, weights, jax.random.PRNGKey(0)
    )
    return float(values.sum() / frames.lengths.sum())


def expected(fitted: Fitted, name: str, mean: np.ndarray, covariance: np.ndarray, n_draws: int) -> np.ndarray:
    """Expected observations (trial, time, channel) of a modality, latents averaged over their posterior."""
    m = next(m for m in fitted.modalities if m.name == name)
    where = np.array(m.latents)
    z, c = mean[..., where], covariance[..., where[:, None], where]
    params = fitted.params[name]
    if m.decoder == "linear":
        weight = np.asarray(params["decoder"]["weight"])
        var = np.einsum("kp,ntkl,lp->ntp", weight, c, weight, optimize=True)
        values = mean_response(m.likelihood, gp.decode(params, m, jnp.asarray(z, jnp.float32)), jnp.asarray(var))
    else:
        root = np.linalg.cholesky(c + 1e-12 * np.eye(len(where)))
        noise = np.random.default_rng(0).normal(size=(n_draws, *z.shape))
        # Pairs of opposite draws, so that what is odd in the noise cancels.
        steps = np.concatenate([noise, -noise]) if n_draws else noise
        values = 0.0
        for one in steps:
            point = jnp.asarray(z + (root @ one[..., None])[..., 0], jnp.float32)
            values = values + mean_response(m.likelihood, gp.decode(params, m, point), None) / len(steps)
    centre, scale = fitted.standard[name]
    return np.array(values, dtype=float) * scale + centre


def draw(
    fitted: Fitted, n_trials: int, n_bins: int, rng: np.random.Generator
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Courses (trial, time, latent) of the prior, and data (trial, time, channel) of each modality."""
    period = float(np.exp(np.asarray(fitted.params["log_period"])[0]))
    geometry = _geometry(fitted.prior, period, n_bins, fitted.step, n_bins * fitted.step)
    weighted = np.asarray(gp.root_density(fitted.params, fitted.prior, geometry["omega"]))[:, :, None] * np.asarray(
        geometry["basis"]
    )
    z = np.einsum("nkf,kft->ntk", rng.normal(size=(n_trials, *weighted.shape[:2])), weighted)
    out = {}
    for m in fitted.modalities:
        params = fitted.params[m.name]
        h = np.asarray(gp.decode(params, m, jnp.asarray(z[..., list(m.latents)], jnp.float32)), dtype=float)
        log_noise = np.asarray(params["log_noise"], dtype=float)
        if m.likelihood == "gaussian":
            noise = rng.normal(size=h.shape) * np.exp(0.5 * log_noise)
            if m.rank:
                noise = noise + rng.normal(size=(*h.shape[:2], m.rank)) @ np.asarray(params["factor"]).T
            centre, scale = fitted.standard[m.name]
            out[m.name] = (h + noise) * scale + centre
        elif m.likelihood == "bernoulli":
            out[m.name] = (rng.random(h.shape) < 1.0 / (1.0 + np.exp(-h))).astype(float)
        else:
            rate = np.exp(np.minimum(h, 30.0))
            if m.likelihood == "negbin":
                size = np.exp(log_noise)
                rate = rng.gamma(np.broadcast_to(size, h.shape)) * rate / size
            out[m.name] = rng.poisson(rate).astype(float)
    return z, out


def length_scales(fitted: Fitted) -> np.ndarray:
    """In the unit of time, by latent."""
    return np.asarray(gp.length_scale(fitted.params["length"], fitted.prior), dtype=float)


def loadings(fitted: Fitted) -> dict[str, np.ndarray]:
    """Of linear decoders (latent of the modality, channel), in the unit of the predictor."""
    return {
        m.name: np.asarray(fitted.params[m.name]["decoder"]["weight"], dtype=float) * fitted.standard[m.name][1]
        for m in fitted.modalities
        if m.decoder == "linear"
    }


def _geometry(prior: gp.Prior, period: float | None, n_bins: int, step: float, longest: float) -> dict:
    """Basis and frequencies for trials of `n_bins`."""
    circle = gp_fourier.circumference(longest, prior.longest)
    k = np.arange(int(circle / (2.0 * step)) + 1)
    density = np.asarray(spectra_jx.density(prior.kernel, 2.0 * np.pi * k / circle, prior.shortest, period or 1.0))
    harmonics = max(gp_fourier.n_harmonics(density), 1)
    times = step * np.arange(n_bins)
    return {
        "basis": jnp.asarray(gp_fourier.basis(times, circle, harmonics), jnp.float32),
        "omega": jnp.asarray(gp_fourier.frequencies(circle, harmonics), jnp.float32),
    }


def _standard(m: gp.Modality, frames: Frames) -> tuple[np.ndarray, float]:
    if m.likelihood != "gaussian":
        return np.zeros(m.n_channels), 1.0
    y, observed = frames.data[m.name]["y"], frames.data[m.name]["observed"]
    n = np.broadcast_to(observed, y.shape).sum(axis=(0, 1))
    mean = y.sum(axis=(0, 1)) / np.maximum(n, 1.0)
    spread = (((y - mean) * observed) ** 2).sum() / max(n.sum(), 1.0)
    return mean.astype(np.float32), float(np.sqrt(spread)) or 1.0


def _scaled(data: dict, standard: dict) -> dict:
    """Gaussian modalities without their mean, in units of their standard deviation."""
    out = {}
    for name, part in data.items():
        centre, scale = standard[name]
        y = (part["y"] - centre) / scale * part["observed"]
        out[name] = {"y": y.astype(np.float32), "observed": part["observed"]}
    return out


def _encoder_scale(m: gp.Modality, part: dict) -> dict:
    """What encoders subtract and multiply with."""
    if m.likelihood == "gaussian":
        return {"centre": jnp.zeros(m.n_channels), "scale": jnp.ones(m.n_channels)}
    n = np.maximum(np.broadcast_to(part["observed"], part["y"].shape).sum(axis=(0, 1)), 1.0)
    x = np.log1p(part["y"])
    mean = x.sum(axis=(0, 1)) / n
    sd = np.sqrt((((x - mean) * part["observed"]) ** 2).sum(axis=(0, 1)) / n)
    return {"centre": jnp.asarray(mean, jnp.float32), "scale": jnp.asarray(1.0 / (sd + 0.1), jnp.float32)}


def _informed(params: dict, modalities: tuple[gp.Modality, ...], data: dict) -> dict:
    """Linear decoders of counts start at the mean counts."""
    for m in modalities:
        if m.decoder == "linear" and m.likelihood != "gaussian":
            part = data[m.name]
            n = np.maximum(np.broadcast_to(part["observed"], part["y"].shape).sum(axis=(0, 1)), 1.0)
            mean = (part["y"].sum(axis=(0, 1)) + 0.5) / (n + 1.0)
            bias = np.log(mean / np.maximum(1.0 - mean, 1e-3)) if m.likelihood == "bernoulli" else np.log(mean)
            params[m.name]["decoder"]["bias"] = jnp.asarray(bias, jnp.float32)
            params[m.name]["decoder"]["weight"] = 3.0 * params[m.name]["decoder"]["weight"]
        if m.likelihood == "negbin":
            params[m.name]["log_noise"] = jnp.full(m.n_channels, np.log(10.0), jnp.float32)
    return params


def _complete(fitted: Fitted, frames: Frames) -> tuple[dict, dict]:
    """Data with absent modalities as not observed, on the device, and the geometry for its longest trial."""
    data = _scaled(frames.data, fitted.standard)
    n, t = frames.n_trials, len(frames.time)
    for m in fitted.modalities:
        if m.name not in data:
            data[m.name] = {
                "y": np.zeros((n, t, m.n_channels), np.float32),
                "observed": np.zeros((n, t, 1), np.float32),
            }
    period = float(np.exp(np.asarray(fitted.params["log_period"])[0]))
    return _on_device(data, slice(None)), _geometry(fitted.prior, period, t, fitted.step, t * fitted.step)


def _on_device(data: dict, index: Any) -> dict:
    return {name: {k: jnp.asarray(v[index]) for k, v in part.items()} for name, part in data.items()}
