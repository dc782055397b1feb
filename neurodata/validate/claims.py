"""What a fitted model says about the circuit, in one vocabulary, so that unlike models can be scored alike."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from neurodata.diagnostics.decisions import benjamini_hochberg
from neurodata.errors import RecordingError

# False discovery rate of the decision for models that give weights and errors but decide nothing themselves.
LEVEL = 0.05
# Dims of each variable of the vocabulary.
VOCABULARY: dict[str, tuple[str, ...]] = {
    "edge_score": ("post", "pre"),
    "edge_sign": ("post", "pre"),
    "edge_weight": ("post", "pre"),
    "edge_delay": ("post", "pre"),
    "edge": ("post", "pre"),
    "edge_probability": ("post", "pre"),
    "state": ("time",),
    "change": ("change",),
    "cluster": ("unit",),
    "latent": ("time", "latent"),
    "rdm": ("condition", "condition_2"),
    "bits_per_spike": (),
}

Claims = dict[str, xr.DataArray]


def claims(model: Any, data: Any, *, held_out: Any = None) -> xr.Dataset:
    """Translate the results of a fitted model.

    Parameters
    ----------
    model : object
        Fitted. A method ``claims(data)`` that returns a Dataset in this vocabulary is asked first; otherwise the names
        of the results say what they are: `edge_score_`, `edge_`, ... as they stand; `connection_prior_`,
        `connection_prob_`, `connection_`; `weight_` with `weight_se_`; `pair_factor_`; `unit_cluster_`, `community_`;
        `state_` or `predict`; `latent_`; `rdm_`.
    data : DataArray, list or dict
        What the model was fitted to.
    held_out : DataArray, list or dict, optional
        Data the model has not seen, for `bits_per_spike`.

    Returns
    -------
    Dataset
        Any of: `edge_score` (post, pre) evidence for an edge, 0 or more; `edge_sign` (post, pre) 1, -1, or 0 for none;
        `edge_weight` (post, pre) signed, in the unit of the model; `edge_delay` (post, pre) s; `edge` (post, pre) own
        decision, 1 or 0; `edge_probability` (post, pre); `state` (time), -1 where unknown; `change` (change) times, s;
        `cluster` (unit); `latent` (time, latent); `rdm` (condition, condition_2); `bits_per_spike`.

    Notes
    -----
    Weights per state (state, post, pre) are combined into one by their precision. Evidence is then weight over
    standard error, and pairs that survive a false discovery rate of 5 % are edges.

    Examples
    --------
    >>> import neurodata as nd, numpy as np
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (300, 3)), bin_width=0.02)
    >>> model = nd.models.HMMGLM(n_states=2, n_restarts=2, rng=0).fit(counts)
    >>> sorted(nd.validate.claims(model, counts).data_vars)
    ['edge', 'edge_probability', 'edge_score', 'edge_sign', 'edge_weight', 'state']
    """
    own = getattr(model, "claims", None)
    if callable(own):
        said = own(data)
        # A variable named like one of its dims (latent) counts as a coordinate.
        names = {*said.data_vars, *(name for name in VOCABULARY if name in said and said[name].ndim > 1)}
        found = {str(name): said[name] for name in sorted(map(str, names))}
    else:
        found = {}
        for translate in (_as_named, _typed, _weighted, _paired, _clustered, _switching, _slow, _dissimilar):
            # What an earlier translation found is the more direct word of the model.
            found = {**translate(model, data), **found}
    if held_out is not None and callable(getattr(model, "score", None)):
        found["bits_per_spike"] = xr.DataArray(float(model.score(held_out)))
    arrays = {name: _checked(name, array) for name, array in found.items()}
    return xr.Dataset(arrays, attrs={"model": type(model).__name__})


def _checked(name: str, array: xr.DataArray) -> xr.DataArray:
    if name not in VOCABULARY:
        raise RecordingError(f"claims among {sorted(VOCABULARY)}", f"{name!r}", "rename or drop it")
    if set(array.dims) != set(VOCABULARY[name]):
        raise RecordingError(
            f"{name} with dims {VOCABULARY[name]}", f"dims {tuple(map(str, array.dims))}", "reduce or rename its dims"
        )
    array = array.transpose(*VOCABULARY[name])
    extra = [coord for coord in array.coords if coord not in array.dims]
    return array.drop_vars(extra)


def _result(model: Any, name: str) -> xr.DataArray | None:
    """A result of a fitted model, None when it has no such result."""
    value = getattr(model, name, None)
    if isinstance(value, xr.Dataset):
        value = value.get("mean")
    return value if isinstance(value, xr.DataArray) else None


def _as_named(model: Any, data: Any) -> Claims:
    """Results that already carry a name of the vocabulary."""
    found = {}
    for name, dims in VOCABULARY.items():
        result = _result(model, f"{name}_")
        if result is not None and set(result.dims) == set(dims):
            found[name] = result
    return found


def _typed(model: Any, data: Any) -> Claims:
    """Posterior of the type of each pair: inhibitory, none, excitatory."""
    probability = _result(model, "connection_prior_")
    if probability is None:
        probability = _result(model, "connection_prob_")
    if probability is None or "connection" not in probability.dims:
        return {}
    if "state" in probability.dims:
        probability = probability.mean("state")
    negative, none, positive = (probability.sel(connection=c) for c in ("inhibitory", "none", "excitatory"))
    chosen = _result(model, "connection_")
    edge = (1 - none) > 0.5 if chosen is None else _any_state(chosen != 0)
    probability = (1 - none).clip(0.0, 1.0)
    found = {
        "edge_probability": probability,
        "edge_sign": xr.where(positive > negative, 1, -1).where(positive != negative, 0),
        "edge": edge.astype(np.int8),
    }
    if _result(model, "weight_se_") is None:  # else weight over error ranks where probabilities have saturated at 1
        found["edge_score"] = probability
    return found


def _any_state(array: xr.DataArray) -> xr.DataArray:
    return array.any("state") if "state" in array.dims else array


def _weighted(model: Any, data: Any) -> Claims:
    """Weights, and where there are standard errors, evidence."""
    weight, error = _result(model, "weight_"), _result(model, "weight_se_")
    if weight is None or not {"post", "pre"} <= set(weight.dims) <= {"state", "post", "pre"}:
        return {}
    if error is None:
        weight = weight.mean("state") if "state" in weight.dims else weight
        return {"edge_weight": weight, "edge_score": abs(weight), "edge_sign": _sign(weight)}
    if "state" in weight.dims:
        precision = (error**-2.0).where(np.isfinite(error) & (error > 0) & np.isfinite(weight), 0.0)
        total = precision.sum("state")
        weight = (precision * weight.fillna(0.0)).sum("state") / total.where(total > 0)
        error = total.where(total > 0) ** -0.5
    z = weight / error
    z = z.where(z["post"] != z["pre"])
    return {
        "edge_weight": weight,
        "edge_score": abs(z),
        "edge_sign": _sign(z),
        "edge": z.copy(data=benjamini_hochberg(_two_sided(z.values), LEVEL).astype(np.int8)),
    }


def _sign(weight: xr.DataArray) -> xr.DataArray:
    return weight.copy(data=np.sign(np.nan_to_num(weight.values)).astype(np.int8))


def _two_sided(z: np.ndarray) -> np.ndarray:
    from scipy.special import ndtr

    return 2.0 * ndtr(-np.abs(z))


def _paired(model: Any, data: Any) -> Claims:
    """Strength of undirected pairs, summed over motifs, is evidence for an edge in either direction."""
    factor = _result(model, "pair_factor_")
    if factor is None or not {"unit", "unit_2"} <= set(factor.dims):
        return {}
    strength = factor.sum([dim for dim in factor.dims if dim not in ("unit", "unit_2")])
    strength = strength.transpose("unit", "unit_2").rename(unit="post", unit_2="pre")
    return {"edge_score": strength.clip(min=0.0)}


def _clustered(model: Any, data: Any) -> Claims:
    """Groups of units; of several motifs, the partition of the strongest."""
    cluster = _result(model, "unit_cluster_")
    if cluster is None:
        cluster = _result(model, "community_")
        if cluster is not None and "motif" in cluster.dims:
            factor = _result(model, "pair_factor_")
            strongest = 0 if factor is None else int(np.argmax(factor.sum(["unit", "unit_2"]).values))
            cluster = cluster.isel(motif=strongest)
    return {"cluster": cluster} if cluster is not None and cluster.dims == ("unit",) else {}


def _switching(model: Any, data: Any) -> Claims:
    """Hidden states over time; a model with one state says nothing about them."""
    if getattr(model, "n_states", None) == 1:
        return {}
    path = _result(model, "state_")
    if path is None and hasattr(model, "n_states") and callable(getattr(model, "predict", None)):
        path = model.predict(data)
    joined = _over_time(path, ("time",))
    return {} if joined is None else {"state": joined}


def _slow(model: Any, data: Any) -> Claims:
    """Latent time courses."""
    latent = _result(model, "latent_")
    joined = _over_time(latent, ("time", "latent"))
    return {} if joined is None else {"latent": joined}


def _dissimilar(model: Any, data: Any) -> Claims:
    """Dissimilarities between conditions, averaged over whatever else they depend on."""
    rdm = _result(model, "rdm_")
    if rdm is None or not {"condition", "condition_2"} <= set(rdm.dims):
        return {}
    return {"rdm": rdm.mean([dim for dim in rdm.dims if dim not in ("condition", "condition_2")])}


def _over_time(result: Any, dims: tuple[str, ...]) -> xr.DataArray | None:
    """One array over the recording's time, or None: sequences are joined, trials have no place in that time."""
    parts = list(result) if isinstance(result, (list, tuple)) else [result]
    if not parts or not all(isinstance(part, xr.DataArray) for part in parts):
        return None
    parts = [part.isel(trial=0) if part.sizes.get("trial") == 1 else part for part in parts]
    if not all(set(part.dims) == set(dims) and "time" in part.coords for part in parts):
        return None
    parts = [part.transpose(*dims).drop_vars([c for c in part.coords if c not in dims]) for part in parts]
    if len(parts) == 1:
        return parts[0]
    joined = xr.concat(parts, "time").sortby("time")
    # Sessions that each begin at 0 cannot be laid on one clock.
    return joined if (np.diff(joined["time"].values) > 0).all() else None
