"""NeuroScope sessions (.xml with .dat/.lfp/.eeg signals, .res.N/.clu.N spikes, .evt events); `neo` comes here for them.

neo reads the signals alone, and gives an .lfp or .eeg file the rate of the .dat file, so these are read here. Layout:
the manual of NeuroScope (L. Hazan, neurosuite.sourceforge.net) and of CRCNS data sets such as hc-3.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers.eeg import make_eeg
from neurodata.containers.recording import make_recording
from neurodata.containers.spikes import make_spikes
from neurodata.containers.time_index import regular_time
from neurodata.containers.trials import make_events
from neurodata.errors import FormatError
from neurodata.io._channels import node_names
from neurodata.io._lazy import lazy_signal

SIGNALS = (".lfp", ".eeg", ".dat")
_SPIKES = re.compile(r"(.+)\.(res|clu)\.(\d+)")
_EVENTS = re.compile(r"(.+)\.(evt\.[^.]+|[^.]+\.evt|evt)")
# Clusters that the Klusters tool chain keeps for what are not cells.
_QUALITY = {0: "artefact", 1: "noise"}


def session_xml(path: Path) -> Path | None:
    """The parameter file of a NeuroScope file (or of the one session of a folder); None when there is none."""
    if path.is_dir():
        found = [entry for entry in sorted(path.glob("*.xml")) if _is_parameters(entry) and _data_files(entry)]
        return found[0] if len(found) == 1 else None
    name = path.name
    spikes, events = _SPIKES.fullmatch(name), _EVENTS.fullmatch(name)
    stem = spikes.group(1) if spikes else events.group(1) if events else path.stem
    if not (spikes or events or path.suffix in (".xml", *SIGNALS)):
        return None
    xml = path.with_name(f"{stem}.xml")
    return xml if _is_parameters(xml) else None


def _is_parameters(xml: Path) -> bool:
    try:
        with open(xml, "rb") as file:
            head = file.read(4096)
    except OSError:
        return False
    return b"<parameters" in head and b"<acquisitionSystem" in head


def _data_files(xml: Path) -> list[Path]:
    stem = xml.stem
    return [
        entry
        for entry in sorted(xml.parent.iterdir())
        if entry.is_file()
        and entry.name.startswith(f"{stem}.")
        and (
            entry.suffix in SIGNALS
            and entry.stem == stem
            or _SPIKES.fullmatch(entry.name)
            or _EVENTS.fullmatch(entry.name)
        )
    ]


def read_neuroscope(path: Path, *, ch_type: str, sort: bool) -> xr.DataTree:
    """The session that a file belongs to: all its signals, spikes and events."""
    xml = session_xml(path)
    if xml is None:
        raise FormatError("a NeuroScope session with its .xml", f"no parameter file for {path.name}", "copy it beside")
    facts = _parameters(xml)
    nodes: dict[str, xr.Dataset] = {}
    signals = [xml.with_suffix(suffix) for suffix in SIGNALS if xml.with_suffix(suffix).is_file()]
    for name, file in zip(node_names("eeg", len(signals)), signals, strict=True):
        nodes[name] = _signal(file, facts, ch_type)
    groups = sorted(
        (int(match.group(3)), entry)
        for entry in xml.parent.iterdir()
        if (match := _SPIKES.fullmatch(entry.name)) and match.group(1) == xml.stem and match.group(2) == "res"
    )
    if groups:
        nodes["spikes"] = _spikes(xml, groups, facts["rate"], sort)
    events = [
        entry
        for entry in sorted(xml.parent.iterdir())
        if (match := _EVENTS.fullmatch(entry.name)) and match.group(1) == xml.stem
    ]
    if events:
        nodes["events"] = _events(events)
    known = {*signals, *events, xml}
    left_out = [
        entry.name
        for entry in sorted(xml.parent.iterdir())
        if entry.name.startswith(f"{xml.stem}.") and entry not in known and not _SPIKES.fullmatch(entry.name)
    ]
    if not nodes:
        raise FormatError("signals, spikes or events beside the .xml", f"none beside {xml.name}", "copy them beside it")
    attrs = {"source_format": "neuroscope", "clock": "samples of the .dat file over its rate", "left_out": left_out}
    return make_recording(nodes, attrs=attrs)


def _parameters(xml: Path) -> dict[str, Any]:
    """Rates (Hz), channels, gain (V) and groups of channels, as the parameter file states them."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.parse(xml).getroot()
        system = root.find("acquisitionSystem")
        assert system is not None  # session_xml saw it

        def number(name: str) -> float:
            return float(system.findtext(name, ""))

        bits, amplification = number("nBits"), number("amplification")
        facts: dict[str, Any] = {
            "channels": int(number("nChannels")),
            "rate": number("samplingRate"),
            "bits": int(bits),
            "volt": number("voltageRange") / 2**bits / amplification,
        }
        field = root.findtext("fieldPotentials/lfpSamplingRate")
        facts["field_rate"] = None if field is None else float(field)
    except (ElementTree.ParseError, ValueError, ZeroDivisionError) as error:
        raise FormatError(
            "nBits, nChannels, samplingRate, voltageRange and amplification in the acquisitionSystem of the .xml",
            f"{xml.name}: {error}",
            "mend the .xml; NeuroScope writes these when a session is set up",
        ) from error
    if facts["bits"] != 16:
        raise FormatError("samples of 16 bits", f"{facts['bits']} bits in {xml.name}", "convert the signals to 16 bits")
    group = {
        int(channel.text or -1): number
        for number, element in enumerate(root.findall("anatomicalDescription/channelGroups/group"))
        for channel in element.findall("channel")
    }
    skipped = {
        int(channel.text or -1): channel.get("skip") == "1"
        for channel in root.findall("anatomicalDescription/channelGroups/group/channel")
    }
    facts["group"] = [group.get(i, -1) for i in range(facts["channels"])]
    facts["skip"] = [skipped.get(i, False) for i in range(facts["channels"])]
    return facts


def _signal(file: Path, facts: dict[str, Any], ch_type: str) -> xr.Dataset:
    rate = facts["rate"] if file.suffix == ".dat" else facts["field_rate"]
    if rate is None:
        raise FormatError(
            f"the rate of {file.name} (fieldPotentials/lfpSamplingRate) in the .xml", "none", "add it to the .xml"
        )
    size, frame = file.stat().st_size, 2 * facts["channels"]
    if size % frame:
        raise FormatError(
            f"whole samples of {facts['channels']} channels in {file.name}",
            f"{size} bytes, {size % frame} too many",
            "the file was cut short, or nChannels in the .xml is not its number of channels",
        )
    n = size // frame
    return make_eeg(
        lazy_signal(BinarySource(file, n, facts["channels"], facts["volt"])),
        channel=np.arange(facts["channels"]),
        time=regular_time(n, rate),
        sampling_rate=rate,
        ch_type=ch_type,
        bad=facts["skip"],
        attrs={"source_name": file.name},
        group=facts["group"],
    )


class BinarySource:
    """Interleaved int16 samples of a file, read from disk when asked for."""

    def __init__(self, path: Path, n_samples: int, n_channels: int, volt: float) -> None:
        self.path, self.n_samples, self.n_channels, self.volt = path.resolve(), n_samples, n_channels, volt

    def read(self, start: int, stop: int, channels: np.ndarray) -> np.ndarray:
        """Samples `start` to `stop`, V (stop - start, channels.size)."""
        if stop <= start:
            return np.empty((0, channels.size))
        samples = np.memmap(self.path, "<i2", "r", shape=(self.n_samples, self.n_channels))
        return samples[start:stop, channels] * self.volt


def _spikes(xml: Path, groups: list[tuple[int, Path]], rate: float, sort: bool) -> xr.Dataset:
    """Units `group_cluster`; clusters 0 (artefact) and 1 (noise) are kept and labelled."""
    samples, ids, units = [], [], []
    facts: dict[str, Any] = {"group": [], "cluster": [], "quality": []}
    for number, res in groups:
        clu = xml.with_name(f"{xml.stem}.clu.{number}")
        if not clu.is_file():
            raise FormatError(f"the clusters of {res.name}", f"{clu.name} is missing", "copy it beside the .res file")
        time, cluster = _integers(res), _integers(clu)[1:]  # the first line of .clu is the number of clusters
        if time.size != cluster.size:
            raise FormatError(
                f"one cluster for each of the {time.size} spikes of {res.name}",
                f"{cluster.size} in {clu.name}",
                "the files do not belong together",
            )
        for one in np.unique(cluster):
            units.append(f"{number}_{one}")
            facts["group"].append(number)
            facts["cluster"].append(int(one))
            facts["quality"].append(_QUALITY.get(int(one), ""))
        samples.append(time)
        ids.append(np.char.add(f"{number}_", cluster.astype(str)))
    sample = np.concatenate(samples)
    return make_spikes(
        sample,
        np.concatenate(ids),
        unit=units,
        time_unit="sample",
        sampling_rate=rate,
        sort=sort,
        spike_sample=sample,
        attrs={"sampling_rate": rate},
        **facts,
    )


def _integers(path: Path) -> np.ndarray:
    try:
        return np.array(path.read_text().split(), dtype=np.int64)
    except ValueError as error:
        raise FormatError(f"one whole number per line in {path.name}", f"{error}", "the file is damaged") from error


def _events(files: list[Path]) -> xr.Dataset:
    """Lines ``time_ms text`` of event files."""
    onset, text, source = [], [], []
    for file in files:
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
            if not line.strip():
                continue
            time, *rest = line.split(maxsplit=1)
            try:
                onset.append(float(time) / 1e3)
            except ValueError as error:
                raise FormatError(f"lines 'time_ms text' in {file.name}", repr(line), "the file is damaged") from error
            text.append("".join(rest).strip())
            source.append(file.name)
    return make_events(onset, 0.0, text, file=source)
