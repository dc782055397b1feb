"""A fitted GP-VAE as a tree of labelled arrays, and back."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import numpy as np
import xarray as xr

from neurodata.kernels import gpvae_jx as gp
from neurodata.models.gpvae.fitting import Fitted

if TYPE_CHECKING:
    from neurodata.models.gpvae.estimator import MultimodalGPVAE


def to_tree(model: MultimodalGPVAE) -> xr.DataTree:
    """Results at the root; parameters, posterior covariances and channels below."""
    fitted: Fitted = model._fitted
    facts = {
        "modalities": [asdict(m) for m in fitted.modalities],
        "prior": asdict(fitted.prior),
        "names": fitted.names,
        "step": fitted.step,
        "scales": {name: scale for name, (_, scale) in fitted.standard.items()},
    }
    nodes: dict[str, Any] = {"/": xr.Dataset(attrs=model.to_dataset().attrs | {"fitted": json.dumps(facts)})}
    nodes["results"] = model.to_dataset().drop_attrs(deep=False)
    nodes["covariance"] = model.latent_[["covariance"]]
    nodes["parameters"] = _dataset(_flat(fitted.params))
    nodes["mixing"] = xr.Dataset({"variance": (("latent", "latent_2"), fitted.mixing)})
    nodes["constants"] = _dataset(_flat(fitted.constants) | {f"{k}.mean": v[0] for k, v in fitted.standard.items()})
    for name, frame in model._channels.items():
        nodes[f"channels/{name}"] = xr.Dataset({"frame": frame})
    return xr.DataTree.from_dict(nodes)


def restore(model: MultimodalGPVAE, tree: xr.DataTree) -> None:
    """Take over what `to_tree` gave."""
    nodes = {name: node.to_dataset(inherit=False) for name, node in tree.children.items()}
    facts = json.loads(tree.attrs["fitted"])
    modalities = tuple(_modality(one) for one in facts["modalities"])
    constants = {str(k): np.asarray(v.values) for k, v in nodes["constants"].items()}
    means = {m.name: constants.pop(f"{m.name}.mean") for m in modalities}
    results = nodes["results"]
    model._channels = {
        name: node.to_dataset(inherit=False)["frame"].rename(None)
        for name, node in tree.children["channels"].children.items()
    }
    weights = {str(k): float(v) for k, v in zip(results["modality"].values, results["weight"].values, strict=True)}
    model._fitted = Fitted(
        modalities,
        gp.Prior(**facts["prior"]),
        facts["names"],
        facts["step"],
        _nested({str(k): jnp.asarray(v.values) for k, v in nodes["parameters"].items()}),
        _nested({k: jnp.asarray(v) for k, v in constants.items()}),
        {m.name: (means[m.name], facts["scales"][m.name]) for m in modalities},
        weights,
        np.asarray(nodes["mixing"]["variance"].values),
        [tuple(row) for row in results["elbo"].values.tolist()],
        float(tree.attrs["held_out_bound"]),
    )
    model.latent_ = xr.Dataset(
        {
            "mean": results["latent_mean"].rename(None),
            "sd": results["latent_sd"].rename(None),
            "covariance": nodes["covariance"]["covariance"],
        }
    )
    model.loading_ = xr.Dataset(
        {str(k)[len("loading_") :]: v for k, v in results.items() if str(k).startswith("loading_")}
    )
    for name in ("length_scale", "weight", "elbo"):
        array = results[name]
        setattr(
            model, f"{name}_", array.drop_vars([c for c in array.coords if not set(array[c].dims) <= set(array.dims)])
        )
    model.held_out_bound_ = float(tree.attrs["held_out_bound"])


def _modality(stored: dict[str, Any]) -> gp.Modality:
    """JSON has lists for tuples."""
    settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
    return gp.Modality(**settings)


def _flat(tree: Any, name: str = "") -> dict[str, np.ndarray]:
    """Arrays of nested dicts and lists by their path."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else None
    if items is None:
        return {name: np.asarray(tree)}
    out: dict[str, np.ndarray] = {}
    for key, value in items:
        out |= _flat(value, f"{name}.{key}" if name else str(key))
    return out


def _nested(flat: dict[str, Any]) -> Any:
    """The inverse of `_flat`: dicts, and lists where all keys are numbers."""
    groups: dict[str, dict[str, Any]] = {}
    out: dict[str, Any] = {}
    for path, value in flat.items():
        head, _, rest = path.partition(".")
        if rest:
            groups.setdefault(head, {})[rest] = value
        else:
            out[head] = value
    out |= {head: _nested(group) for head, group in groups.items()}
    if out and all(key.isdigit() for key in out):
        return [out[key] for key in sorted(out, key=int)]
    return out


def _dataset(arrays: dict[str, np.ndarray]) -> xr.Dataset:
    return xr.Dataset({k: ([f"{k}:{i}" for i in range(v.ndim)], v) for k, v in arrays.items()})
