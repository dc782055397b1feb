"""The recording itself: a DataTree of nodes, and a DataTree of several recordings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import xarray as xr

from neurodata._core.provenance import storable_attrs
from neurodata.errors import RecordingError
from neurodata.schema import MODALITIES, SCHEMA, SCHEMA_VERSION, SESSIONS, modality_of


def make_recording(
    nodes: Mapping[str, xr.Dataset] | None = None, *, attrs: Mapping[str, Any] | None = None, **more_nodes: xr.Dataset
) -> xr.DataTree:
    """A recording from its nodes.

    Parameters
    ----------
    nodes : mapping of str to Dataset, optional
        Named after a modality (``eeg``; ``eeg_2`` for a second sampling rate).
    attrs : mapping, optional
        Facts about the recording. Text and numbers stay as they are, the rest goes into `metadata_json`.
        `clock` and `time_origin` (ISO 8601, "" when unknown) default to "" : nothing is guessed.
    **more_nodes
        Nodes by keyword.

    Returns
    -------
    xarray.DataTree
        Checked: every problem is reported at once.

    Examples
    --------
    >>> import neurodata as nd
    >>> rec = nd.make_recording(spikes=nd.make_spikes({"a": [0.1], "b": [0.2]}))
    >>> list(rec.children)
    ['spikes']
    """
    given = {**(nodes or {}), **more_nodes}
    if not given:
        raise RecordingError(f"at least one node of {', '.join(MODALITIES)}", "none", "pass a node")
    unknown = [name for name in given if modality_of(name) is None]
    if unknown:
        raise RecordingError(
            f"nodes named {', '.join(MODALITIES)}, or with a number from 2 (eeg_2)", f"{unknown}", "rename them"
        )
    root = xr.Dataset(
        attrs={
            "schema": SCHEMA,
            "schema_version": SCHEMA_VERSION,
            "clock": "",
            "time_origin": "",
            **storable_attrs(attrs or {}),
        }
    )
    tree = xr.DataTree.from_dict({"/": root, **{f"/{name}": node for name, node in given.items()}})
    from neurodata.containers.check import check

    return check(tree, read=False)


def make_sessions(sessions: Mapping[str, xr.DataTree], *, attrs: Mapping[str, Any] | None = None) -> xr.DataTree:
    """Several recordings in one DataTree, each under its name."""
    root = xr.Dataset(attrs={"schema": SESSIONS, "schema_version": SCHEMA_VERSION, **storable_attrs(attrs or {})})
    tree = xr.DataTree(root)
    for name, recording in sessions.items():
        if "/" in name:
            raise RecordingError("session names without '/'", repr(name), "rename the session")
        tree[name] = recording
    return tree


def is_recording(tree: Any) -> bool:
    """Whether a DataTree is one recording (its children are nodes), not several.

    A tree of several says so in its attrs, so that a session may be called as a node is (the file `spikes.mat`).
    """
    return (
        isinstance(tree, xr.DataTree)
        and bool(tree.children)
        and tree.attrs.get("schema") != SESSIONS
        and all(modality_of(name) is not None for name in tree.children)
    )


def recordings(tree: xr.DataTree) -> Iterator[tuple[str, xr.DataTree]]:
    """Every recording in a tree with its path ("" for a tree that is one recording itself)."""
    if is_recording(tree):
        yield "", tree
        return
    for name, child in tree.children.items():
        for path, recording in recordings(child):
            yield (f"{name}/{path}" if path else name), recording
