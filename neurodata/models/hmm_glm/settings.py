"""Settings of the model, checked all at once when `fit` is called."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any

from neurodata.errors import OptionError
from neurodata.kernels.poisson_nb import LINKS
from neurodata.models.hmm_glm.basis import BASES

PRIORS = ("onehot", "gaussian", None)
_WHOLE = {"n_states": 1, "n_basis": 1, "n_restarts": 1, "max_iter": 1}
_AT_LEAST_ZERO = ("stickiness", "ridge", "tol")


def check_settings(settings: dict[str, Any]) -> None:
    """Raise one `OptionError` that names every setting that makes no sense.

    Examples
    --------
    >>> check_settings({"n_states": 2, "link": "exp"})
    """
    problems = []
    for name, least in _WHOLE.items():
        value = settings.get(name, least)
        if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
            problems.append((f"{name}, a whole number of at least {least}", f"{name}={value!r}"))
    for name in _AT_LEAST_ZERO:
        value = settings.get(name, 0.0)
        if not isinstance(value, Real) or not 0.0 <= float(value) < float("inf"):
            problems.append((f"{name}, a number of at least 0", f"{name}={value!r}"))
    for name, known in (("link", tuple(LINKS)), ("basis", BASES)):
        value = settings.get(name, known[0])
        if value not in known:
            problems.append((f"{name}, one of {', '.join(map(repr, known))}", f"{name}={value!r}"))
    if settings.get("prior") not in PRIORS:
        problems.append((f"prior, one of {', '.join(map(repr, PRIORS))}", f"prior={settings['prior']!r}"))
    if settings.get("dale") and settings.get("prior") != "onehot":
        problems.append(("dale=True with prior='onehot', whose types have signs", f"prior={settings.get('prior')!r}"))
    if problems:
        expected, got = zip(*problems, strict=True)
        raise OptionError("; ".join(expected), "; ".join(got), "correct the settings and fit again")
