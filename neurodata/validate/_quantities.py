"""Named numbers of parameters and data: what calibration tests look at, given by the user as functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from neurodata.errors import OptionError

Function = Callable[..., Any]


def flatten(named: Mapping[str, Any], n_leading: int = 0) -> tuple[list[str], np.ndarray]:
    """Arrays as columns with names: "a" for one number, "a[0]", "a[0,1]", ... for more.

    Parameters
    ----------
    named : dict of str to array
    n_leading : int
        Leading axes that are kept (0 or 1).

    Returns
    -------
    names : list of str
    values : array (..., column)

    Examples
    --------
    >>> flatten({"a": 1, "b": [[2, 3]]})
    (['a', 'b[0,0]', 'b[0,1]'], array([1., 2., 3.]))
    """
    names: list[str] = []
    columns = []
    for name, value in named.items():
        values = np.asarray(value, dtype=np.float64)
        shape = values.shape[n_leading:]
        names += [f"{name}[{','.join(map(str, place))}]" for place in np.ndindex(shape)] if shape else [str(name)]
        columns.append(values.reshape(*values.shape[:n_leading], -1))
    return names, np.concatenate(columns, axis=-1)


def functions_of(functions: Any, argument: str) -> dict[str, Function]:
    """`functions` if it is a mapping of names to functions, otherwise an error."""
    named = isinstance(functions, Mapping) and functions and all(callable(f) for f in functions.values())
    if not named:
        raise OptionError(
            f"{argument}: a dict of name to function(params, data) -> number or array",
            f"{type(functions).__name__} {functions!r:.80}",
            'for example {"rate": lambda params, data: params["rate"]}',
        )
    return dict(functions)


def parameters_of(made: Any, maker: str) -> Mapping[str, Any]:
    """What a user's function returned, if it is a mapping, otherwise an error."""
    if not isinstance(made, Mapping) or not made:
        raise OptionError(f"{maker} to return a dict of name to array", f"{type(made).__name__}", f"change {maker}")
    return made


def finite_or_ordered(names: list[str], values: np.ndarray, where: str) -> np.ndarray:
    """`values` (..., name) if none is NaN; infinities can be ordered, so they may stay."""
    lacking = np.isnan(values).reshape(-1, values.shape[-1]).any(axis=0)
    if lacking.any():
        raise OptionError(
            f"numbers for every quantity of {where}",
            f"NaN in {', '.join(np.array(names)[lacking][:5])}",
            "mend the function, or leave the quantity out",
        )
    return values


def same_names(names: list[str], before: list[str]) -> None:
    """Refuse a function whose number of values changes from call to call."""
    if names != before:
        differing = sorted(set(names) ^ set(before))
        raise OptionError(
            "the same quantities in every simulation",
            f"{', '.join(differing[:5])} only in some",
            "return a number that does not depend on the size of a parameter, such as a count, a sum or a quantile",
        )
