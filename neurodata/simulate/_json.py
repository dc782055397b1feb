"""Frozen dataclasses and arrays to JSON and back, exactly: what a circuit and a stage are written with."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
from typing import Any

import numpy as np

from neurodata.errors import FormatError

_KINDS: dict[str, type] = {}


def register(cls: type) -> type:
    """Class decorator: instances can be written to JSON under the name of the class."""
    if "kind" in {field.name for field in dataclasses.fields(cls)}:
        raise TypeError(f"{cls.__name__}: a field called 'kind' would hide the name of the class in its JSON")
    _KINDS[cls.__name__] = cls
    return cls


def encode(value: Any) -> Any:
    """`value` as what JSON can hold; floats and arrays keep every bit."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: encode(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"kind": type(value).__name__, **fields}
    if isinstance(value, np.ndarray):
        plain = np.ascontiguousarray(value)
        little = plain.astype(plain.dtype.newbyteorder("<"), copy=False)
        return {
            "kind": "array",
            "dtype": little.dtype.str,
            "shape": list(little.shape),
            "data": base64.b64encode(little.tobytes()).decode("ascii"),
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tuple, list)):
        return [encode(item) for item in value]
    return value


def decode(value: Any) -> Any:
    """The inverse of `encode`; lists become tuples, as frozen dataclasses hold them."""
    if isinstance(value, list):
        return tuple(decode(item) for item in value)
    if not isinstance(value, dict):
        return value
    kind = value.get("kind")
    if kind == "array":
        return _decode_array(value)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise FormatError(f"one of {', '.join(sorted(_KINDS))}", f"{kind!r}", "check where the JSON comes from")
    known = {field.name for field in dataclasses.fields(_KINDS[kind])}
    unknown = sorted(set(value) - known - {"kind"})
    if unknown:
        raise FormatError(
            f"fields of {kind}: {', '.join(sorted(known))}", f"{unknown}", "was it written by a newer version?"
        )
    parts = {name: decode(item) for name, item in value.items() if name != "kind"}
    try:
        return _KINDS[kind](**parts)
    except (TypeError, AttributeError) as error:  # a field that is missing, or of another type than it can be
        raise FormatError(f"the fields of a {kind}", f"{error}", "check where the JSON comes from") from error


def _decode_array(value: dict[str, Any]) -> np.ndarray:
    try:
        flat = np.frombuffer(base64.b64decode(value["data"], validate=True), dtype=value["dtype"])
        return flat.reshape(value["shape"]).astype(np.dtype(value["dtype"]).newbyteorder("="))
    except (KeyError, TypeError, ValueError) as error:
        raise FormatError("an array with dtype, shape and data", f"{error}", "is the JSON damaged?") from error


def dumps(value: Any) -> str:
    """JSON text of a registered dataclass; the same value always gives the same text."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"), allow_nan=False)


def loads(text: str) -> Any:
    """Read what `dumps` wrote."""
    try:
        plain = json.loads(text)
    except json.JSONDecodeError as error:
        raise FormatError("JSON text", str(error), "pass what to_json() gave") from error
    return decode(plain)


def content_hash(value: Any) -> str:
    """SHA-256 of the JSON text, in hex."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()
