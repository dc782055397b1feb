"""Fitted models as files: settings as JSON, results as labelled arrays, nothing that could run code."""

from __future__ import annotations

import json
import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from neurodata._core.provenance import version
from neurodata.containers.store import read_tree
from neurodata.errors import FormatError

if TYPE_CHECKING:
    from neurodata.models.base import Model

# Models that can be read back: name of the class -> module.
_MODELS = {
    "HMMGLM": "neurodata.models.hmm_glm.estimator",
    "BiClustering": "neurodata.models.bicluster.estimator",
    "NonnegativeCP": "neurodata.models.connectome.nonnegative_cp",
    "WeightedSBM": "neurodata.models.connectome.weighted_sbm",
    "DynamicConnectome": "neurodata.models.connectome.dynamic",
    "MultimodalGPVAE": "neurodata.models.gpvae.estimator",
    "TopologicalRSA": "neurodata.models.trsa.estimator",
    **dict.fromkeys(("RateOnly", "CrossCorrelation", "LaggedRegression", "Shuffle"), "neurodata.validate.baselines"),
}


def settings_attrs(model: Model) -> dict[str, str]:
    """Class, settings and version as text attributes. A Generator given as `rng` is not storable and becomes null."""
    settings = model.get_params(deep=False)
    if not isinstance(settings.get("rng"), (int, type(None))):
        settings["rng"] = None
    return {"model": type(model).__name__, "settings": json.dumps(settings, default=os.fspath), "neurodata": version()}


def load(path: str | os.PathLike[str]) -> Any:
    """Read a fitted model written by its `save`.

    Parameters
    ----------
    path : path

    Returns
    -------
    Model
        Of the class that was saved, with the same settings and results.

    Raises
    ------
    FormatError
        When the file is damaged or does not hold a model.

    Examples
    --------
    >>> import neurodata as nd, numpy as np, pathlib, tempfile
    >>> counts = nd.containers.make_counts(np.random.default_rng(0).poisson(0.5, (200, 2)), 0.02)
    >>> model = nd.models.HMMGLM(n_states=1).fit(counts)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = nd.models.load(model.save(pathlib.Path(folder) / "model.nc"))
    >>> again.weight_.identical(model.weight_)
    True
    """
    tree = read_tree(path, lazy=False)
    dataset = tree.to_dataset()
    name = dataset.attrs.get("model", "")
    if name not in _MODELS:
        raise FormatError("a file written by a model's save()", f"{path}: model {name!r}", "use nd.load for recordings")
    model = getattr(import_module(_MODELS[name]), name)(**json.loads(dataset.attrs["settings"]))
    if hasattr(model, "_restore"):  # a model whose results are more than one Dataset
        model._restore(tree)
        return model
    for result in model._results:
        if result[:-1] in dataset:
            array = dataset[result[:-1]]
            used = {str(dim) for dim in array.dims}
            setattr(model, result, array.drop_vars([c for c in array.coords if not set(array[c].dims) <= used]))
    for fact in model._facts:
        if fact[:-1] in dataset.attrs:
            value = dataset.attrs[fact[:-1]]
            setattr(model, fact, bool(value) if fact == "converged_" else value)
    return model
