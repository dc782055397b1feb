"""What made a piece of data: storable attributes and the list of operations applied."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from neurodata.schema import METADATA_ATTR, OPERATIONS_ATTR


@functools.cache
def version() -> str:
    """Version of the installed neurodata; looked up once, since every operation on data is logged with it."""
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("neurodata")
    except PackageNotFoundError:
        return "unknown"


def jsonable(value: Any) -> Any:
    """`value` with NumPy scalars and arrays, sets, dates and the like turned into what JSON can hold."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return jsonable(value.item())
    if isinstance(value, np.ndarray):
        return [jsonable(item) for item in value.tolist()]
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return sorted((jsonable(item) for item in value), key=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if hasattr(value, "isoformat"):
        return value.isoformat()
    return str(value)


def storable_attrs(attrs: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Attributes that survive NetCDF and Zarr: text and numbers stay, the rest moves into one JSON string."""
    kept: dict[str, str | int | float] = {}
    rest: dict[str, Any] = {}
    for key, value in attrs.items():
        plain = value.item() if isinstance(value, np.generic) else value
        if key == METADATA_ATTR and isinstance(plain, str):
            rest.update(json.loads(plain))
        elif isinstance(plain, (str, int, float)) and not isinstance(plain, bool):
            kept[str(key)] = plain
        else:
            rest[str(key)] = jsonable(plain)
    if rest:
        kept[METADATA_ATTR] = json.dumps(rest, ensure_ascii=False)
    return kept


def metadata(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """The structured metadata of an object, decoded."""
    return json.loads(attrs.get(METADATA_ATTR, "{}"))


def with_operation(attrs: Mapping[str, Any], operation: str, **parameters: Any) -> dict[str, Any]:
    """A copy of `attrs` with one operation appended to its log."""
    log = json.loads(attrs.get(OPERATIONS_ATTR, "[]"))
    log.append({"operation": operation, "parameters": jsonable(parameters), "neurodata": version()})
    return {**attrs, OPERATIONS_ATTR: json.dumps(log, ensure_ascii=False)}


def operations(attrs: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The operations that made an object, oldest first."""
    return json.loads(attrs.get(OPERATIONS_ATTR, "[]"))
