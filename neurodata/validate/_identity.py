"""What a thing is, in words that stay the same from run to run: the basis of cache keys and of random streams."""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata._core.provenance import version
from neurodata.errors import OptionError

# Settings that change how a result is computed, not what it is.
_MANNER = frozenset({"n_jobs", "progress", "verbose"})
# Packages whose code decides a score: a change of any of their files makes new cells.
_DECIDING = ("_core", "containers", "kernels", "diagnostics", "preprocess", "simulate", "models", "validate")
_NOT_DECIDING = frozenset({"report.py", "_words.py", "match.py", "statistics.py", "trust.py", "verdict.py"})


def describe(thing: Any) -> Any:
    """`thing` as JSON: estimators by class and settings, functions by name and source, arrays by their bytes.

    Parameters
    ----------
    thing : object
        A setting, an estimator, a `prepare`, a stage.

    Returns
    -------
    object
        Of dicts, lists, text and numbers; equal for things that give equal results.

    Raises
    ------
    OptionError
        For a thing that says nothing lasting about itself, such as an open file.

    Examples
    --------
    >>> describe({"gain": 2.0, "call": abs})
    {'gain': 2.0, 'call': {'function': 'builtins.abs'}}
    """
    if thing is None or isinstance(thing, (bool, int, float, str)):
        return thing
    if isinstance(thing, np.generic):
        return describe(thing.item())
    if isinstance(thing, np.ndarray):
        return {"array": list(thing.shape), "dtype": str(thing.dtype), "sha256": _array_hash(thing)}
    if isinstance(thing, (xr.DataArray, xr.Dataset)):
        return {"xarray": describe(thing.to_dict(data="array"))}
    if isinstance(thing, Mapping):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, (list, tuple)):
        return [describe(item) for item in thing]
    if isinstance(thing, (set, frozenset)):
        return sorted((describe(item) for item in thing), key=repr)
    return _describe_object(thing)


def _describe_object(thing: Any) -> Any:
    if isinstance(thing, functools.partial):
        return {"partial": describe(thing.func), "args": describe(thing.args), "keywords": describe(thing.keywords)}
    if isinstance(thing, types.MethodType):
        return {"method": describe(thing.__func__), "of": describe(thing.__self__)}
    if isinstance(thing, type):
        return {"class": _path(thing)}
    if isinstance(thing, types.BuiltinFunctionType):
        return {"function": _path(thing)}
    if isinstance(thing, types.FunctionType):
        return _describe_function(thing)
    if isinstance(thing, (np.random.Generator, np.random.BitGenerator)):
        bits = thing.bit_generator if isinstance(thing, np.random.Generator) else thing
        return {"class": _path(type(thing)), "state": describe(bits.state)}
    if hasattr(thing, "get_params"):
        settings = {name: value for name, value in thing.get_params(deep=False).items() if name not in _MANNER}
        return {"class": _path(type(thing)), "settings": describe(settings)}
    if hasattr(thing, "to_dict"):
        return {"class": _path(type(thing)), "fields": describe(thing.to_dict())}
    if hasattr(thing, "__dict__"):
        return {"class": _path(type(thing)), "fields": describe(vars(thing))}
    text = repr(thing)
    if " at 0x" in text or " object>" in text:
        raise OptionError(
            "a setting that can be told from another in the next session",
            f"{type(thing).__name__}: {text}",
            "give it a to_dict(), or fields that are numbers, text, arrays or functions",
        )
    return {"class": _path(type(thing)), "repr": text}


def _describe_function(function: types.FunctionType) -> dict[str, Any]:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        source = ""
    # The source of a lambda is its line, on which there may be another.
    around: dict[str, Any] = {"function": _path(function), "sha256": digest([source, _code(function.__code__)])}
    inside = [cell.cell_contents for cell in function.__closure__ or ()]
    if inside:
        around["closure"] = describe(inside)
    if function.__defaults__ or function.__kwdefaults__:
        around["defaults"] = describe([function.__defaults__ or (), function.__kwdefaults__ or {}])
    return around


def _code(code: types.CodeType) -> list[Any]:
    constants = [_code(item) if isinstance(item, types.CodeType) else repr(item) for item in code.co_consts]
    return [code.co_code.hex(), list(code.co_names), constants]


def _path(thing: Any) -> str:
    return f"{thing.__module__}.{thing.__qualname__}"


def _array_hash(values: np.ndarray) -> str:
    data = repr(values.tolist()).encode() if values.dtype.hasobject else np.ascontiguousarray(values).tobytes()
    return hashlib.sha256(data).hexdigest()


def digest(thing: Any) -> str:
    """SHA-256 (hex) of a description.

    Examples
    --------
    >>> digest({"b": 1, "a": 2}) == digest({"a": 2, "b": 1})
    True
    """
    return hashlib.sha256(json.dumps(thing, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def number(thing: Any) -> int:
    """A description as a whole number, for a `SeedSequence`."""
    return int(digest(thing)[:16], 16)


@functools.cache
def code_version() -> str:
    """Version of the package and a hash of the code that decides scores.

    A cell made by other code is another cell, also between two commits of the same version.
    """
    root, total = Path(__file__).parents[1], hashlib.sha256()
    for part in _DECIDING:
        for path in sorted((root / part).rglob("*.py")):
            if path.name not in _NOT_DECIDING:
                total.update(path.relative_to(root).as_posix().encode() + path.read_bytes())
    return f"{version()}+{total.hexdigest()[:12]}"
