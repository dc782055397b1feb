"""Settings of the model, checked all at once when `fit` is called, and the prior they make."""

from __future__ import annotations

import dataclasses
import os
from numbers import Integral, Real
from typing import Any

from neurodata.errors import OptionError
from neurodata.models.bicluster.prior import Prior

# Settings of the model that are numbers of the prior.
PRIOR = tuple(one.name for one in dataclasses.fields(Prior))
_WHOLE = {"n_chains": 1, "n_warmup": 0, "n_draws": 1, "thin": 1, "course_draws": 0, "n_latents": 0}
# Labels are kept in 8 bits.
_MOST = {"max_clusters": 127, "max_states": 127}
_ANY = ("baseline_mean", "transition_mean")
_WORDS = {"observation": ("negbin", "poisson"), "dynamics": ("block", "full")}


def check_settings(settings: dict[str, Any]) -> None:
    """Raise one `OptionError` that names every setting that makes no sense.

    Examples
    --------
    >>> check_settings({"n_latents": 2, "observation": "negbin"})
    """
    problems = []
    for name, least in (_WHOLE | dict.fromkeys(_MOST, 1)).items():
        value, most = settings.get(name, least), _MOST.get(name, 2**31)
        if not isinstance(value, Integral) or isinstance(value, bool) or not least <= int(value) <= most:
            upper = f" and at most {most}" if name in _MOST else ""
            problems.append((f"{name}, a whole number of at least {least}{upper}", f"{name}={value!r}"))
    for name in PRIOR:
        if name in _WHOLE or name in _MOST or name in _WORDS:
            continue
        value = settings.get(name, 0.5)
        number = isinstance(value, Real) and not isinstance(value, bool) and abs(float(value)) < float("inf")
        if not number or (name not in _ANY and not value > 0):
            problems.append((f"{name}, a number{'' if name in _ANY else ' above 0'}", f"{name}={value!r}"))
        elif name == "cluster_rate" and not value < 1:
            problems.append(("cluster_rate below 1", f"cluster_rate={value!r}"))
    for name, known in _WORDS.items():
        value = settings.get(name, known[0])
        if value not in known:
            problems.append((f"{name}, one of {', '.join(map(repr, known))}", f"{name}={value!r}"))
    if not isinstance(settings.get("checkpoint"), (str, os.PathLike, type(None))):
        problems.append(("checkpoint, a folder or None", f"checkpoint={settings['checkpoint']!r}"))
    if problems:
        expected, got = zip(*problems, strict=True)
        raise OptionError("; ".join(expected), "; ".join(got), "correct the settings and fit again")
    check_available(settings)


def check_available(settings: dict[str, Any]) -> None:
    """Refuse the variant of the model that there is no sampler for."""
    if settings.get("dynamics", "block") == "full" and settings.get("observation", "negbin") == "poisson":
        raise OptionError(
            "observation='negbin' with dynamics='full'",
            "observation='poisson'",
            "fit block dynamics, or negative binomial counts: their dispersion is learned",
        )


def make_prior(settings: dict[str, Any]) -> Prior:
    """The prior of these settings of the model."""
    return Prior(**{name: settings[name] for name in PRIOR})
