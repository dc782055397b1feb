"""What readers of continuous voltage share: units of voltage, unique channel ids, a check of plausibility."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from neurodata.errors import NeurodataWarning
from neurodata.io._lazy import SampleSource

# Unit of the file -> factor to V. Spelt as found in EDF, BrainVision, XDF and BIDS headers; u, the micro sign
# (U+00B5) and the Greek mu (U+03BC) all stand for micro.
_VOLT = {
    "V": 1.0,
    "volt": 1.0,
    "volts": 1.0,
    "mV": 1e-3,
    "millivolt": 1e-3,
    "millivolts": 1e-3,
    "uV": 1e-6,
    "uv": 1e-6,
    "\u00b5V": 1e-6,
    "\u03bcV": 1e-6,
    "microV": 1e-6,
    "microvolt": 1e-6,
    "microvolts": 1e-6,
    "nV": 1e-9,
    "nanovolt": 1e-9,
    "nanovolts": 1e-9,
}

# An electrode on or in the head varies by less than this (V); several times this is a wrong unit or another sensor.
_IMPLAUSIBLE_SD = 10e-3
_PEEK_S = 2.0


def volt_factor(unit: str) -> float | None:
    """Factor from a unit to V; None when the unit does not measure voltage.

    Examples
    --------
    >>> volt_factor("uV"), volt_factor("\u00b5V"), volt_factor("C")
    (1e-06, 1e-06, None)
    """
    return _VOLT.get(unit, _VOLT.get(unit.lower()) if len(unit) > 3 else None)


def unique_ids(labels: Sequence[str]) -> list[str]:
    """Channel ids that are unique: labels that come once stay as they are, the others get a running number.

    Examples
    --------
    >>> unique_ids(["Fz", "Cz", "Fz"])
    ['Fz-0', 'Cz', 'Fz-1']
    """
    taken, ids = set(labels), []
    for i, label in enumerate(labels):
        if labels.count(label) == 1:
            ids.append(label)
            continue
        number = list(labels[:i]).count(label)
        while f"{label}-{number}" in taken:
            number += 1
        taken.add(f"{label}-{number}")
        ids.append(f"{label}-{number}")
    return ids


def node_names(modality: str, n: int) -> list[str]:
    """Names of `n` nodes of one modality: eeg, eeg_2, eeg_3."""
    return [modality if i == 0 else f"{modality}_{i + 1}" for i in range(n)]


def warn_implausible(source: SampleSource, sampling_rate: float, ids: Sequence[str], is_eeg: np.ndarray) -> None:
    """Warn of channels typed eeg and given in V whose first two seconds vary as no electrode does.

    Only these samples are read. A wrong unit or number format in a file shows here before it reaches an analysis.
    """
    channels = np.flatnonzero(is_eeg)
    n = min(source.n_samples, max(2, int(_PEEK_S * sampling_rate)))
    if not channels.size or n < 2:
        return
    sd = np.std(source.read(0, n, channels), axis=0)
    odd = np.flatnonzero(sd > _IMPLAUSIBLE_SD)
    if odd.size:
        names = ", ".join(f"{ids[channels[i]]!r} ({sd[i]:.3g} V)" for i in odd[:5])
        more = f" and {odd.size - 5} more" if odd.size > 5 else ""
        warnings.warn(
            f"channels typed eeg vary by more than {_IMPLAUSIBLE_SD * 1e3:g} mV: {names}{more}; "
            "check their unit and type, the values are as the file has them",
            NeurodataWarning,
            stacklevel=2,
        )
