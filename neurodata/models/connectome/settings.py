"""Settings of NonnegativeCP: what is allowed, and penalties as the algorithm takes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from neurodata.errors import OptionError
from neurodata.models.connectome.combine import Layout
from neurodata.models.connectome.hals import Penalty
from neurodata.models.connectome.problem import Problem

# Weight of the squared norm of factors that have no other penalty, where some have.
_RIDGE = 1e-4


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse settings that make no sense.

    Examples
    --------
    >>> import neurodata as nd
    >>> check_settings(nd.models.NonnegativeCP(2).get_params())
    """
    for name in ("rank", "max_iter", "n_restarts"):
        value = settings[name]
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 1:
            raise OptionError(f"{name}: a whole number of at least 1", repr(value), f"pass e.g. {name}=3")
    if not settings["tol"] > 0:
        raise OptionError("a tol above 0", repr(settings["tol"]), "pass e.g. tol=1e-4")
    sparsity = settings["sparsity"]
    weights = dict(sparsity) if isinstance(sparsity, Mapping) else {"sparsity": sparsity}
    weights["smoothness"] = settings["smoothness"]
    if settings["ridge"] is not None:
        weights["ridge"] = settings["ridge"]
    for name, value in weights.items():
        if not (np.isfinite(value) and value >= 0):
            raise OptionError(f"a weight of at least 0 for {name}", repr(value), "pass e.g. 0.01, or 0 for none")
    symmetric = settings["symmetric"]
    if symmetric is not None and (isinstance(symmetric, str) or len(symmetric) != 2 or symmetric[0] == symmetric[1]):
        raise OptionError("symmetric: two dims, or None", repr(symmetric), "pass e.g. ('unit', 'unit_2')")


def penalties(model: Any, problem: Problem, layout: Layout) -> Penalty:
    """Weights of each mode, rows last."""
    dims = [mode.dim for mode in problem.modes] + [layout.row_dim]
    given = model.sparsity
    if isinstance(given, Mapping):
        unknown = sorted(set(given) - set(dims))
        if unknown:
            raise OptionError(f"sparsity of some of {dims}", f"{unknown}", "name dims that have a factor")
        wanted = {dim: float(value) for dim, value in given.items()}
    else:
        own = model.symmetric[0] if model.symmetric else "pair"
        if given and own not in dims:
            raise OptionError("sparsity by dim, as {'unit': 0.01}", repr(given), f"name one of {dims}")
        wanted = {own: float(given)}
    if model.smoothness and layout.row_dim != "time":
        raise OptionError("a dim 'time' to be smooth over", f"dims {dims}", "set smoothness=0, or name the dim time")
    sparsity = tuple(wanted.get(dim, 0.0) for dim in dims)
    largest = max(*sparsity, float(model.smoothness))
    ridge = (_RIDGE if largest else 0.0) if model.ridge is None else float(model.ridge)
    return Penalty(sparsity, tuple(0.0 if value else ridge for value in sparsity), float(model.smoothness))
