"""Recordings: constructors, the check, the summary and the store. See `neurodata.schema` for the layout."""

from neurodata.containers.behaviour import make_behaviour
from neurodata.containers.calcium import make_calcium
from neurodata.containers.check import check, problems
from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import is_recording, make_recording, make_sessions, recordings
from neurodata.containers.spikes import make_counts, make_spikes, unit_slices
from neurodata.containers.store import save
from neurodata.containers.summary import summary
from neurodata.containers.trials import make_events, make_trials

__all__ = [
    "check",
    "is_recording",
    "make_behaviour",
    "make_calcium",
    "make_counts",
    "make_eeg",
    "make_events",
    "make_recording",
    "make_sessions",
    "make_spikes",
    "make_trials",
    "problems",
    "recordings",
    "save",
    "summary",
    "unit_slices",
]
