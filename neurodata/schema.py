"""The recording schema: which nodes exist, which variables they hold, their dims and units.

A recording is an `xarray.DataTree` whose children are Datasets named after a modality (`eeg`, and `eeg_2`, ...
when one file carries several sampling rates). This module is data only; `containers.check` enforces it.
"""

from __future__ import annotations

import re

SCHEMA = "neurodata.recording"
SESSIONS = "neurodata.recordings"  # a tree of several recordings
SCHEMA_VERSION = "1"

MODALITIES = ("calcium", "spikes", "eeg", "behaviour", "trials", "events", "video", "truth")

# modality -> variable -> (dims, kind of dtype as in numpy.dtype.kind). Units are in UNITS.
VARIABLES: dict[str, dict[str, tuple[tuple[str, ...], str]]] = {
    "calcium": {
        "fluorescence": (("time", "roi"), "f"),
        "neuropil": (("time", "roi"), "f"),
        "deconvolved": (("time", "roi"), "f"),
        "dff": (("time", "roi"), "f"),
        "mask_row": (("pixel",), "i"),
        "mask_col": (("pixel",), "i"),
        "mask_weight": (("pixel",), "f"),
        "mask_count": (("roi",), "i"),
    },
    "spikes": {
        "spike_time": (("spike",), "f"),
        "spike_unit": (("spike",), "i"),
        "spike_count": (("unit",), "i"),
        "spike_sample": (("spike",), "i"),
        "spike_amplitude": (("spike",), "f"),
        "support_start": (("epoch",), "f"),
        "support_stop": (("epoch",), "f"),
        "counts": (("time", "unit"), "if"),
    },
    "eeg": {"signal": (("time", "channel"), "f")},
    "behaviour": {
        "position": (("time", "space", "keypoint", "individual"), "f"),
        "confidence": (("time", "keypoint", "individual"), "f"),
        "value": (("time", "signal"), "f"),
    },
    "events": {
        "onset": (("event",), "f"),
        "duration": (("event",), "f"),
        "description": (("event",), "UO"),
    },
    "trials": {"start": (("trial",), "f"), "stop": (("trial",), "f")},
    "video": {"frame_time": (("frame",), "f")},
    "truth": {},
}

# The dim whose coordinate must exist and be unique, per modality.
IDENTITY_DIM = {"calcium": "roi", "spikes": "unit", "eeg": "channel", "trials": "trial", "events": "event"}

# Variables that hold times: float64 seconds on the recording's own clock.
TIME_VARIABLES = ("time", "spike_time", "support_start", "support_stop", "onset", "duration", "frame_time")
SECONDS = "s"

# Attributes may be text or numbers; everything else goes, as JSON, into this one.
METADATA_ATTR = "metadata_json"
# The JSON list of operations that made an array.
OPERATIONS_ATTR = "operations"

_NODE = re.compile(rf"({'|'.join(MODALITIES)})(?:_([2-9]|[1-9][0-9]+))?")


def modality_of(node: str) -> str | None:
    """Modality a node name stands for (`eeg_2` -> `eeg`), or None when it is not one.

    Examples
    --------
    >>> modality_of("eeg_2"), modality_of("session_a")
    ('eeg', None)
    """
    match = _NODE.fullmatch(node)
    return match.group(1) if match else None
