"""The multi-modal Gaussian-process VAE as an estimator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import xarray as xr

from neurodata._core.optional import require
from neurodata._core.progress import Progress, as_progress
from neurodata._core.rng import RNGLike, generator
from neurodata.diagnostics.scores import bits_per_spike
from neurodata.errors import OptionError, RecordingError
from neurodata.models.base import Model
from neurodata.models.gpvae.layout import COUNTS, Frames, check_choice, read_frames

LIKELIHOODS = ("poisson", "negbin", "gaussian", "bernoulli")
DECODERS = ("linear", "mlp", "conv")
KERNELS = ("rbf", "matern12", "matern32", "matern52", "periodic")
# Draws per bin where an expected observation has no closed form.
_DRAWS = 20


class MultimodalGPVAE(Model):
    r"""Smooth latents that recordings of several kinds share, and those that each has for itself.

    .. math:: z_k \sim GP(0, \kappa_{l_k}), \quad y^m_t \sim p_m(y \mid f_m(z_{S \cup P_m}(t)))

    Latents :math:`S` are shared, :math:`P_m` private to modality m. Processes are held by their Fourier coefficients on
    a circle; the posterior is the product of the prior and what the frames of all modalities say, so that modalities
    and bins may be missing, and trials may be of any length.

    Parameters
    ----------
    n_shared : int
        Latents of all modalities.
    n_private : dict of modality to int, optional
        Latents of one modality; 1 each unless given.
    likelihood : dict of modality to {"poisson", "negbin", "gaussian", "bernoulli"}, optional
        Gaussian unless given.
    decoder : dict of modality to {"linear", "mlp", "conv"}, optional
        Linear unless given, and mlp for modalities with two or more dims besides `time`.
    kernel : {"rbf", "matern12", "matern32", "matern52", "periodic"}
        Covariance of all latents. "periodic" is an oscillation that keeps its phase for a length scale.
    length_scale : (float, float), optional
        Bounds of the learned length scales, in the unit of `time`; three bins to a third of the longest trial.
    period : float, optional
        Where the periodic kernel's periods start, in the unit of `time`.
    hidden : sequence of int
        Layers of encoders; decoders have them backwards.
    noise_rank : dict of modality to int, optional
        Rank of the noise that channels share, for gaussian modalities; 8 for decoders that are not linear, else 0.
    weight : dict of modality to float or "auto", or "auto"
        What log likelihoods are multiplied with. "auto": what errors of the modality justify (`information_jx`).
    n_epochs, batch_size, learning_rate, dropout
        Of Adam; `dropout` is the part of trials that are shown without one of their modalities.
    validation : float
        Part of the trials on which the epoch is chosen that is kept; none with fewer than ten trials.
    patience : int
        Epochs without a better bound after which training ends.
    n_restarts : int
        Fits from other starts; the one with the best held-out bound is kept.
    rng, progress
        As everywhere.

    Attributes
    ----------
    latent_ : Dataset (trial, time, latent)
        Posterior `mean` and `sd` of the data of the fit.
    length_scale_ : DataArray (latent)
    loading_ : Dataset
        Of linear decoders: for each modality (latent, ...).
    weight_ : DataArray (modality)
    elbo_ : DataArray (epoch, part)
        Evidence lower bound per bin (nats), with the weights of the epoch.

    Notes
    -----
    Departures from the paper [1]_ and its code: the divergence from the prior is exact; a length scale for each latent,
    learned, and a circle on which courses do not wrap; modalities are combined as a product of experts; the posterior
    that is given is found anew for each trial, with its full covariance.

    References
    ----------
    .. [1] R. Gondur, U. B. Sikandar, E. Schaffer, M. C. Aoi, S. L. Keeley, "Multi-modal Gaussian process variational
       autoencoders for neural and behavioral data", ICLR 2024, arXiv:2310.03111.

    Examples
    --------
    >>> import neurodata as nd, numpy as np, xarray as xr
    >>> rng = np.random.default_rng(0)
    >>> course = np.sin(np.arange(40) / 5)[:, None] * rng.normal(size=(12, 1, 1))
    >>> counts = xr.DataArray(rng.poisson(np.exp(course * rng.normal(size=20))), dims=("trial", "time", "unit"))
    >>> model = nd.models.MultimodalGPVAE(1, {"spikes": 0}, {"spikes": "poisson"}, n_epochs=5, rng=0)
    >>> model.fit({"spikes": counts}).latent_["mean"].dims
    ('trial', 'time', 'latent')
    """

    _results: ClassVar[tuple[str, ...]] = ("latent_", "length_scale_", "loading_", "weight_", "elbo_")
    _facts: ClassVar[tuple[str, ...]] = ("held_out_bound_",)

    def __init__(
        self,
        n_shared: int = 1,
        n_private: Mapping[str, int] | None = None,
        likelihood: Mapping[str, str] | None = None,
        decoder: Mapping[str, str] | None = None,
        *,
        kernel: str = "rbf",
        length_scale: Sequence[float] | None = None,
        period: float | None = None,
        hidden: Sequence[int] = (128, 64),
        noise_rank: Mapping[str, int] | None = None,
        weight: Any = "auto",
        n_epochs: int = 200,
        batch_size: int = 16,
        learning_rate: float = 3e-3,
        dropout: float = 0.1,
        validation: float = 0.1,
        patience: int = 30,
        n_restarts: int = 1,
        rng: RNGLike = None,
        progress: bool | Progress = False,
    ) -> None:
        self.n_shared = n_shared
        self.n_private = n_private
        self.likelihood = likelihood
        self.decoder = decoder
        self.kernel = kernel
        self.length_scale = length_scale
        self.period = period
        self.hidden = hidden
        self.noise_rank = noise_rank
        self.weight = weight
        self.n_epochs = n_epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.dropout = dropout
        self.validation = validation
        self.patience = patience
        self.n_restarts = n_restarts
        self.rng = rng
        self.progress = progress

    def fit(self, data: Mapping[str, Any]) -> MultimodalGPVAE:
        """Learn encoders, decoders and length scales, then the posterior of every trial.

        Parameters
        ----------
        data : mapping of names to DataArray ([trial,] time, ...), or to lists of DataArray (time, ...)
            Any dims after `time`. NaN: not observed. Trials of a list may differ in length.

        Returns
        -------
        MultimodalGPVAE

        Raises
        ------
        MissingDependencyError
            Without jax and optax, the extra ``gpvae``.
        RecordingError
            Modalities that do not fit together, or values that a likelihood does not allow.
        """
        for module in ("jax", "optax"):
            require(module, "gpvae", "MultimodalGPVAE")
        from neurodata.models.gpvae import fitting

        self._forget()
        self._check_settings(data)
        frames = read_frames(data, self.likelihood or {})
        fitted = fitting.fit(self, frames, generator(self.rng), as_progress(self.progress))
        self._channels, self._fitted = frames.channels, fitted
        self._set_results(frames)
        return self

    def transform(self, data: Mapping[str, Any]) -> xr.Dataset:
        """Posterior of the latents.

        Parameters
        ----------
        data : mapping
            As in `fit`; modalities may be absent, and channels, bins and trials NaN.

        Returns
        -------
        Dataset
            `mean` and `sd` (trial, time, latent), `covariance` (trial, time, latent, latent_2). NaN after the end of
            shorter trials.
        """
        frames = self._frames(data)
        mean, covariance = self._posterior(frames)
        return self._labelled(frames, mean, covariance)

    def predict(self, data: Mapping[str, Any], to: str) -> xr.DataArray:
        """Expected observations of one modality, from the others or from all that is given.

        Parameters
        ----------
        data : mapping
            As in `transform`; leave `to` out, or parts of it NaN, to predict them from the rest.
        to : str
            Modality.

        Returns
        -------
        DataArray (trial, time, ...)
            In the unit of the modality: counts per bin, probabilities, values.
        """
        from neurodata.models.gpvae import fitting

        frames = self._frames(data)
        if to not in self._channels:
            raise OptionError("a modality of the fit: " + ", ".join(self._channels), f"to={to!r}", "see n_private")
        mean, covariance = self._posterior(frames)
        values = fitting.expected(self._fitted, to, mean, covariance, _DRAWS)
        values[frames.beyond()] = np.nan
        frame = self._channels[to]
        shape = (*values.shape[:2], *frame.shape)
        coords = {"trial": frames.trial, "time": frames.time, **frame.coords}
        return xr.DataArray(values.reshape(shape), dims=("trial", "time", *frame.dims), coords=coords, name=to)

    def score(self, data: Mapping[str, Any]) -> float:
        """Evidence lower bound per bin of trials (nats), each modality with weight 1.

        Parameters
        ----------
        data : mapping
            As in `fit`.
        """
        from neurodata.models.gpvae import fitting

        return fitting.bound(self._fitted, self._frames(data))

    def cosmoothing(self, data: Mapping[str, Any], held_out: Mapping[str, Sequence[Any]]) -> xr.Dataset:
        """Predict units from the others: gain over each one's mean count (bits/spike).

        Parameters
        ----------
        data : mapping
            Trials that were not fitted.
        held_out : mapping of modality to sequence
            Ids of the units to predict, of a modality of counts with one dim of units.

        Returns
        -------
        Dataset
            `pooled`, over all units, and `per_unit` (unit). NaN for units without spikes.
        """
        if len(held_out) != 1:
            raise OptionError("units of one modality", f"{list(held_out)}", "as {'spikes': [3, 5]}")
        self._require_fit()
        ((name, chosen),) = held_out.items()
        if (
            name not in self._channels
            or (self.likelihood or {}).get(name) not in COUNTS
            or self._channels[name].ndim != 1
        ):
            raise OptionError("a modality of counts with one dim of units", f"{name!r}", "see `likelihood`")
        frame = self._channels[name]
        dim = str(frame.dims[0])
        ids = frame[dim].values if dim in frame.coords else np.arange(frame.sizes[dim])
        where = np.isin(ids, np.asarray(chosen))
        if where.sum() != len(chosen) or where.all():
            raise OptionError(
                f"some of the ids of {dim}, each once", f"{list(chosen)[:5]}", "leave some to predict from"
            )
        frames = self._frames(data)
        if name not in frames.data:
            raise RecordingError(f"the modality {name} in the data", f"{list(frames.data)}", "it is what is predicted")
        part = frames.data[name]
        seen = np.broadcast_to(part["observed"], part["y"].shape) > 0
        hidden = {
            **frames.data,
            name: {"y": np.where(where, 0, part["y"]), "observed": (seen & ~where).astype(np.float32)},
        }
        from neurodata.models.gpvae import fitting

        mean, covariance = self._posterior(Frames(hidden, *[getattr(frames, f) for f in _REST]))
        rate = np.maximum(fitting.expected(self._fitted, name, mean, covariance, _DRAWS), 1e-9)
        gain, spikes = [], []
        for k in np.flatnonzero(where):
            y, r = part["y"][..., k][seen[..., k]].astype(float), rate[..., k][seen[..., k]].astype(float)
            flat = max(y.mean(), 1e-9) if len(y) else np.nan
            gain.append(((y * np.log(r) - r).sum(), (y * np.log(flat) - flat).sum()))
            spikes.append(y.sum())
        per_unit = [bits_per_spike(a, b, n) if n > 0 else np.nan for (a, b), n in zip(gain, spikes, strict=True)]
        fit, flat = np.sum(gain, axis=0)
        pooled = bits_per_spike(fit, flat, float(np.sum(spikes)))
        return xr.Dataset({"pooled": pooled, "per_unit": (dim, per_unit)}, coords={dim: ids[where]})

    def simulate(self, n_trials: int = 1, n_bins: int | None = None, rng: RNGLike = None) -> dict[str, xr.DataArray]:
        """Data of the fitted model, latents drawn from their prior.

        Parameters
        ----------
        n_trials : int
        n_bins : int, optional
            As many as the longest trial of the fit.
        rng : Generator, seed or None

        Returns
        -------
        dict of modality to DataArray (trial, time, ...), and `latent` (trial, time, latent)
        """
        from neurodata.models.gpvae import fitting

        self._require_fit()
        n_bins = self.latent_.sizes["time"] if n_bins is None else int(n_bins)
        z, drawn = fitting.draw(self._fitted, int(n_trials), n_bins, generator(rng))
        coords = {"trial": np.arange(n_trials), "time": np.arange(n_bins) * self._fitted.step}
        out = {"latent": xr.DataArray(z, dims=("trial", "time", "latent"), coords={**coords, "latent": self._names()})}
        for name, frame in self._channels.items():
            values = drawn[name].reshape(n_trials, n_bins, *frame.shape)
            out[name] = xr.DataArray(values, dims=("trial", "time", *frame.dims), coords={**coords, **frame.coords})
        return out

    def to_dataset(self) -> xr.Dataset:
        """All results: `latent_mean`, `latent_sd`, `length_scale`, `loading_<modality>`, `weight`, `elbo`."""
        from neurodata.models.results import settings_attrs

        self._require_fit()
        parts = {f"latent_{name}": self.latent_[name] for name in ("mean", "sd")}
        parts |= {f"loading_{name}": array for name, array in self.loading_.items()}
        parts |= {name[:-1]: vars(self)[name] for name in ("length_scale_", "weight_", "elbo_")}
        return xr.Dataset(parts, attrs={**settings_attrs(self), "held_out_bound": self.held_out_bound_})

    def save(self, path: Any, *, overwrite: bool = True) -> Path:
        """Write settings, parameters and results to one file; `neurodata.models.load` reads it. No pickle is involved.

        Parameters
        ----------
        path : path
            ``.nc``, or ``.zarr`` (extra ``zarr``).
        overwrite : bool
            Replace what is there; the old file survives until the new one is complete.
        """
        from neurodata.containers.store import write_tree
        from neurodata.models.gpvae import files

        return write_tree(files.to_tree(self), path, overwrite=overwrite)

    def _restore(self, tree: xr.DataTree) -> None:
        """Take over what `save` wrote."""
        for module in ("jax", "optax"):
            require(module, "gpvae", "a saved MultimodalGPVAE")
        from neurodata.models.gpvae import files

        files.restore(self, tree)

    def _names(self) -> list[str]:
        return [str(name) for name in self.length_scale_["latent"].values]

    def _frames(self, data: Mapping[str, Any]) -> Frames:
        self._require_fit()
        strange = [name for name in data if name not in self._channels] if isinstance(data, Mapping) else []
        if strange:
            raise RecordingError("modalities of the fit: " + ", ".join(self._channels), f"also {strange}", "leave out")
        frames = read_frames(data, self.likelihood or {}, self._channels)
        step = self._fitted.step
        if abs(frames.step - step) > 0.01 * step:
            raise RecordingError(f"bins of {step:g}", f"bins of {frames.step:g}", "bin or resample as for the fit")
        return frames

    def _posterior(self, frames: Frames) -> tuple[np.ndarray, np.ndarray]:
        from neurodata.models.gpvae import fitting

        return fitting.posterior(self._fitted, frames)

    def _labelled(self, frames: Frames, mean: np.ndarray, covariance: np.ndarray) -> xr.Dataset:
        outside = frames.beyond()
        mean, covariance = mean.copy(), covariance.copy()
        mean[outside], covariance[outside] = np.nan, np.nan
        names = self._names()
        dims = ("trial", "time", "latent")
        return xr.Dataset(
            {
                "mean": (dims, mean),
                "sd": (dims, np.sqrt(np.diagonal(covariance, axis1=-2, axis2=-1))),
                "covariance": ((*dims, "latent_2"), covariance),
            },
            coords={"trial": frames.trial, "time": frames.time, "latent": names, "latent_2": names},
        )

    def _set_results(self, frames: Frames) -> None:
        from neurodata.models.gpvae import fitting

        fitted = self._fitted
        names = fitted.names
        latent = {"latent": names}
        self.length_scale_ = xr.DataArray(fitting.length_scales(fitted), dims="latent", coords=latent)
        loading = {}
        for name, weight in fitting.loadings(fitted).items():
            frame = self._channels[name]
            mine = [names[k] for k in next(m for m in fitted.modalities if m.name == name).latents]
            array = xr.DataArray(
                weight.reshape(len(mine), *frame.shape),
                dims=("latent", *frame.dims),
                coords={"latent": mine, **frame.coords},
            )
            loading[name] = array.reindex(latent)
        self.loading_ = xr.Dataset(loading)
        self.weight_ = xr.DataArray(
            list(fitted.weights.values()), dims="modality", coords={"modality": list(fitted.weights)}
        )
        self.elbo_ = xr.DataArray(
            np.array(fitted.history), dims=("epoch", "part"), coords={"part": ["training", "held_out"]}
        )
        self.held_out_bound_ = float(fitted.held_out)
        self.latent_ = self._labelled(frames, *self._posterior(frames))
        for name in ("length_scale_", "weight_", "elbo_"):
            vars(self)[name].name = name[:-1]

    def _check_settings(self, data: Any) -> None:
        check_choice("kernel", self.kernel, KERNELS)
        if self.kernel == "periodic" and not self.period:
            raise OptionError("period= with kernel='periodic'", f"{self.period!r}", "in the unit of time")
        if not isinstance(data, Mapping):
            return
        for what, given, options in (
            ("likelihood", self.likelihood, LIKELIHOODS), ("decoder", self.decoder, DECODERS),
            ("n_private", self.n_private, None), ("noise_rank", self.noise_rank, None),
            ("weight", None if isinstance(self.weight, str) else self.weight, None),
        ):  # fmt: skip
            for name, value in (given or {}).items():
                if name not in data:
                    raise OptionError(
                        f"modalities of the data in {what}: {', '.join(map(str, data))}", f"{name!r}", "name them alike"
                    )
                if options is not None:
                    check_choice(f"{what}[{name!r}]", value, options)
        total = int(self.n_shared) + sum((self.n_private or {}).get(name, 1) for name in data)
        if self.n_shared < 0 or total < 1 or any(v < 0 for v in (self.n_private or {}).values()):
            raise OptionError("at least one latent", f"{total}", "raise n_shared or n_private")

    def _summary(self) -> list[tuple[str, str]]:
        scales = ", ".join(f"{n} {v:.3g}" for n, v in zip(self._names(), self.length_scale_.values, strict=True))
        weights = ", ".join(
            f"{n} {v:.2g}" for n, v in zip(self.weight_["modality"].values, self.weight_.values, strict=True)
        )
        return [
            ("latents", scales + " (length scales)"),
            ("weights", weights),
            ("bound per bin", f"{self.held_out_bound_:.2f}"),
        ]


_REST = ("lengths", "time", "trial", "step", "channels")
