"""Units of channels in formats where MNE forgets or changes them: BrainVision, GDF, EEGLAB, EGI, Neuroscan."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from neurodata.errors import FormatError
from neurodata.io._channels import volt_factor
from neurodata.io._mne_raw import ChannelUnits, fiff_units

# GDF 2 codes of physical dimensions: a base unit (V is 4256) plus a decimal prefix (ISO 11073-10101).
_GDF_VOLT = 4256
_GDF_PREFIX = {0: "V", 18: "mV", 19: "uV", 20: "nV"}
_GDF_DIMENSIONLESS = 512


def brainvision_header(path: Path) -> list[tuple[str, str]]:
    """Reference and unit of each channel, in the order of the ``[Channel Infos]`` of a header file.

    MNE drops references, and replaces units it does not know by n/a.
    """
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:  # older writers; the header says Codepage=UTF-8 when it is
        text = raw.decode("latin-1")
    section = re.search(r"^\[Channel Infos\]\s*$(.*?)(?=^\[|\Z)", text, re.MULTILINE | re.DOTALL)
    found = []
    for line in re.findall(r"^Ch\d+=(.*)$", section[1] if section else "", re.MULTILINE):
        fields = [part.replace("\\1", ",").strip() for part in line.split(",")] + [""] * 4
        # The format says that a missing unit stands for microvolts.
        found.append((fields[1], fields[3].replace("\xc2", "") or "\u00b5V"))
    return found


def brainvision_units(raw: Any, header: list[tuple[str, str]]) -> ChannelUnits:
    """Voltages in V, everything else with the number and the unit of the header."""
    base = fiff_units(raw)
    if len(header) != len(base.unit):
        return base
    factor, unit, original = base.factor, list(base.unit), [name for _, name in header]
    for i, name in enumerate(original):
        if volt_factor(name) is None:
            factor[i] = 1.0 / float(raw.info["chs"][i]["range"])
            unit[i] = name
    return ChannelUnits(factor, unit, original)


def gdf_units(raw: Any, path: Path) -> ChannelUnits:
    """Units as the header of a GDF file codes them; MNE takes those it does not know for V."""
    n = len(raw.ch_names)
    with open(path, "rb") as file:
        version = float(file.read(8).decode("ascii").split()[1])
        file.seek(252)
        n_file = int(np.frombuffer(file.read(4), "<u4")[0] if version < 1.9 else np.frombuffer(file.read(2), "<u2")[0])
        file.seek(256 + n_file * (16 + 80))
        if version < 1.9:
            names = [file.read(8).decode("latin-1").strip(" \x00") for _ in range(n_file)]
        else:
            file.seek(6 * n_file, 1)
            names = [_gdf_name(int(code)) for code in np.frombuffer(file.read(2 * n_file), "<u2")]
    if n_file != n:
        raise FormatError("as many channels as the header of the GDF file", f"{n} of {n_file}", "the file is damaged")
    applied = np.asarray(raw._raw_extras[0]["units"], dtype=np.float64)
    kinds = raw.get_channel_types()
    factor, unit = np.ones(n), []
    for i, name in enumerate(names):
        volts = volt_factor(name) if kinds[i] != "stim" else None
        factor[i] = (1.0 if volts is None else volts) / applied[i]
        unit.append(name if volts is None else "V")
    return ChannelUnits(factor, unit, names)


def _gdf_name(code: int) -> str:
    if code == 0:
        return ""
    if code == _GDF_DIMENSIONLESS:
        return "1"
    return _GDF_PREFIX.get(code - _GDF_VOLT, f"GDF code {code}")


def microvolt_units(raw: Any) -> ChannelUnits:
    """Formats whose numbers are microvolts by convention: MNE scales all channels, only voltages are in V here."""
    base = fiff_units(raw)
    factor, unit, original = base.factor, list(base.unit), list(base.original)
    kinds = raw.get_channel_types()
    for i, channel in enumerate(raw.info["chs"]):
        if unit[i] == "V" and kinds[i] != "stim":
            original[i] = "\u00b5V"
        elif channel["cal"] == 1e-6:
            factor[i], unit[i], original[i] = 1e6, "", ""
    return ChannelUnits(factor, unit, original)
