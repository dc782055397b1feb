"""Paths into nested files (HDF5 groups, MATLAB structs and cells, npz keys): names, `*`, positions and slices.

A path is names joined by ``/``. A name may hold ``*`` (one match each, the matched part is an id), ``{3}`` is a
position in a MATLAB cell or struct array counted from 1 as in MATLAB, ``[2]`` the same counted from 0 as in Python,
and a closing ``[:, 0]`` is a NumPy slice. Cells and structs of one element are opened without being named.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from neurodata.errors import OptionError

_SEGMENT = re.compile(r"(?P<name>.*?)(?P<index>(?:\[[^\[\]]*\]|\{\d+\})*)")
_INDEX = re.compile(r"\[([^\[\]]*)\]|\{(\d+)\}")
# A file with more leaves than this is listed in part: the message is for a person.
_MAX_LEAVES = 20_000
_MAX_LISTED = 60


@dataclass(frozen=True)
class Leaf:
    """An array in a file that has not been read yet.

    Attributes
    ----------
    shape : tuple of int
    dtype : str
        For messages.
    read : callable
        ``read() -> ndarray``.
    part : callable, optional
        ``part(key) -> ndarray``, reads a slice without the rest.
    lazy : callable, optional
        ``lazy(transpose: bool) -> array`` that xarray reads when it is used; only for floating-point arrays.
    unit : str
        Unit that the file states, "" when it does not.
    """

    shape: tuple[int, ...]
    dtype: str
    read: Callable[[], np.ndarray]
    part: Callable[[Any], np.ndarray] | None = None
    lazy: Callable[[bool], Any] | None = None
    unit: str = ""


class Node(Protocol):
    """One place in a file."""

    def members(self) -> dict[str, Any]:
        """What it holds by name, in the order of the file; empty when it is no group or struct."""
        ...

    def positions(self) -> list[Any] | None:
        """What it holds by position (cell and struct arrays); None when it is neither."""
        ...

    def leaf(self) -> Leaf | None:
        """The array it is; None when it is none."""
        ...


def array_leaf(values: Any) -> Leaf:
    """A leaf for an array that is in memory."""
    array = np.asarray(values)
    return Leaf(array.shape, str(array.dtype), lambda: array, lambda key: array[key])


@dataclass
class Match:
    """What a path led to: one leaf without id, or one leaf per id when the path holds a `*`."""

    starred: bool
    leaves: list[tuple[tuple[str, ...], Leaf]] = field(default_factory=list)
    # Groups and structs that a `*` met and that lack the rest of the path.
    skipped: list[str] = field(default_factory=list)

    def ids(self) -> np.ndarray:
        """The matched parts joined by "-"; integers when every path has one `*` and all are plain integers."""
        parts = [item for item, _ in self.leaves]
        if all(len(item) == 1 and item[0].isdigit() and str(int(item[0])) == item[0] for item in parts):
            return np.array([int(item[0]) for item in parts], dtype=np.int64)
        return np.array(["-".join(item) for item in parts], dtype=str)


def find(root: Node, path: str) -> Match:
    """Follow a path; raise with the closest existing paths when it leads nowhere.

    Examples
    --------
    >>> class Group(dict):
    ...     def members(self): return self
    ...     def positions(self): return None
    ...     def leaf(self): return None
    >>> class Array(Group):
    ...     def leaf(self): return array_leaf([1.0, 2.0])
    >>> find(Group({"unit_7": Group(times=Array())}), "unit_*/times").ids().tolist()
    [7]
    """
    segments = _parse(path)
    match = Match(starred=any(isinstance(item, re.Pattern) for item in segments))
    match.leaves = list(_walk(root, segments, match.skipped, ""))
    if match.starred:
        match.leaves.sort(key=lambda item: [_natural(part) for part in item[0]])
    if not match.leaves:
        patterns = list(listing(root))
        close = difflib.get_close_matches(path, patterns, n=5, cutoff=0.4)
        known = close or patterns[:10]
        raise OptionError(
            "a mapping whose paths exist in the file",
            f"{path!r} leads to no array",
            ("did you mean " if close else "the file holds ") + (", ".join(known) or "no arrays at all"),
        )
    return match


def listing(root: Node) -> dict[str, str]:
    """Every array of a file as ``{path: "shape dtype"}``; positions in cells are folded into `*` with their number."""
    found: dict[str, list[Leaf]] = {}
    for number, (path, leaf) in enumerate(_leaves(root, "")):
        if number >= _MAX_LEAVES:
            break
        found.setdefault(re.sub(r"\{\d+\}", "*", path), []).append(leaf)
    return {
        path: f"{leaves[0].shape} {leaves[0].dtype}" + (f", and {len(leaves) - 1} alike" if len(leaves) > 1 else "")
        for path, leaves in found.items()
    }


def listing_text(root: Node) -> str:
    """The listing as lines for a message."""
    lines = [f"  {path}  {text}" for path, text in listing(root).items()]
    more = len(lines) - _MAX_LISTED
    return "\n".join(lines[:_MAX_LISTED] + ([f"  ... and {more} more"] if more > 0 else [])) or "  nothing"


def _parse(path: str) -> list[str | int | tuple[Any, ...] | re.Pattern[str]]:
    segments: list[str | int | tuple[Any, ...] | re.Pattern[str]] = []
    for text in path.strip("/").split("/"):
        parts = _SEGMENT.fullmatch(text)
        assert parts is not None  # both groups may be empty, so everything matches
        name = parts["name"]
        if "*" in name:
            segments.append(re.compile("(.*)".join(map(re.escape, name.split("*")))))
        elif name:
            segments.append(name)
        for inner, position in _INDEX.findall(parts["index"]):
            segments.append(int(position) - 1 if position else _parse_slice(inner, path))
    if not segments or any(isinstance(item, tuple) for item in segments[:-1]):
        raise OptionError(
            "a path such as 'group/array', 'cells{1}/times', 'units/*/times' or 'array[:, 0]'", repr(path)
        )
    return segments


def _parse_slice(text: str, path: str) -> int | tuple[Any, ...]:
    key: list[Any] = []
    for item in text.split(","):
        bounds = [part.strip() for part in item.split(":")]
        try:
            numbers = [int(part) if part else None for part in bounds]
        except ValueError:
            numbers = []
        if not numbers or len(numbers) > 3 or (len(numbers) == 1 and numbers[0] is None):
            raise OptionError("a slice of numbers such as [:, 0] or [2:10]", f"[{text}] in {path!r}", "correct it")
        key.append(numbers[0] if len(numbers) == 1 else slice(*numbers))
    return key[0] if len(key) == 1 and isinstance(key[0], int) else tuple(key)


def _walk(node: Node, segments: list[Any], skipped: list[str], here: str) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    if not segments:
        leaf, inside = node.leaf(), node.positions()
        if leaf is not None:
            yield (), leaf
        elif inside is not None and len(inside) == 1:
            yield from _walk(inside[0], segments, skipped, here)
        return
    head, rest = segments[0], segments[1:]
    inside = node.positions()
    if isinstance(head, tuple):
        leaf = node.leaf()
        if leaf is not None:
            yield (), _sliced(leaf, head)
    elif isinstance(head, int):
        leaf = node.leaf()
        if inside is not None and -len(inside) <= head < len(inside):
            yield from _walk(inside[head], rest, skipped, f"{here}{{{head + 1}}}")
        elif inside is None and leaf is not None and not rest:
            yield (), _sliced(leaf, (head,))
    elif isinstance(head, re.Pattern):
        yield from _walk_star(node, head, rest, skipped, here)
    else:
        members = node.members()
        if head in members:
            yield from _walk(members[head], rest, skipped, f"{here}/{head}")
        elif inside is not None and len(inside) == 1:
            yield from _walk(inside[0], segments, skipped, here)


def _walk_star(
    node: Node, pattern: re.Pattern[str], rest: list[Any], skipped: list[str], here: str
) -> Iterator[tuple[tuple[str, ...], Leaf]]:
    found = False
    lacking: list[str] = []
    for name, member in node.members().items():
        part = pattern.fullmatch(name)
        if part is None:
            continue
        missing = True
        for ids, leaf in _walk(member, rest, skipped, f"{here}/{name}"):
            found, missing = True, False
            yield ("-".join(part.groups()), *ids), leaf
        if missing and member.members():
            lacking.append(f"{here}/{name}".lstrip("/"))
    if found:
        skipped.extend(lacking)
    # A struct array of one element looks like a struct: its fields come first, then its only position.
    elif pattern.pattern == "(.*)":
        for number, member in enumerate(node.positions() or (), start=1):
            for ids, leaf in _walk(member, rest, skipped, f"{here}{{{number}}}"):
                yield (str(number), *ids), leaf


def _sliced(leaf: Leaf, key: tuple[Any, ...]) -> Leaf:
    try:
        shape = np.broadcast_to(np.empty(()), leaf.shape)[key].shape
    except IndexError as error:
        raise OptionError(
            f"a slice that fits an array of shape {leaf.shape}", str(error), "correct the slice"
        ) from error
    plain = all(isinstance(item, int) or item.step is None or item.step > 0 for item in key)
    part = leaf.part if plain else None
    return Leaf(
        shape, leaf.dtype, (lambda: part(key)) if part is not None else (lambda: leaf.read()[key]), unit=leaf.unit
    )


def _leaves(node: Node, path: str, depth: int = 0) -> Iterator[tuple[str, Leaf]]:
    # Files may link to themselves; nothing a person would map lies this deep.
    if depth > 12:
        return
    members, inside, leaf = node.members(), node.positions(), node.leaf()
    if leaf is not None and not members:
        yield path.lstrip("/"), leaf
        return
    for name, member in members.items():
        yield from _leaves(member, f"{path}/{name}", depth + 1)
    if not members:
        for number, member in enumerate(inside or (), start=1):
            yield from _leaves(member, f"{path}/{{{number}}}", depth + 1)


def _natural(text: str) -> list[tuple[int, int, str]]:
    """Key that sorts unit_2 before unit_10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]
