"""What is in a recording, in one screen: modalities, units, rates, durations, gaps, missing things."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from neurodata.containers.recording import recordings
from neurodata.schema import modality_of

# A gap is a step between samples longer than this many usual steps.
_GAP_STEPS = 1.5


@dataclass(frozen=True)
class Summary:
    """Rows (recording, node, fact, value) that print as text and as HTML."""

    title: str
    rows: tuple[tuple[str, str, str, str], ...]

    def __repr__(self) -> str:
        lines, last = [self.title], ("", "")
        for recording, node, fact, value in self.rows:
            if (recording, node) != last:
                lines.append(f"  {recording + ': ' if recording else ''}{node}")
                last = (recording, node)
            lines.append(f"    {fact:<18} {value}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        body, last = [], ("", "")
        for recording, node, fact, value in self.rows:
            if (recording, node) != last:
                heading = html.escape(f"{recording + ': ' if recording else ''}{node}")
                body.append(f'<tr><th colspan="2" style="text-align:left">{heading}</th></tr>')
                last = (recording, node)
            body.append(f"<tr><td>{html.escape(fact)}</td><td>{html.escape(value)}</td></tr>")
        return f"<table><caption>{html.escape(self.title)}</caption>{''.join(body)}</table>"


def summary(rec: xr.DataTree) -> Summary:
    """Summarise a recording, or a tree of recordings.

    Parameters
    ----------
    rec : DataTree

    Returns
    -------
    Summary
        Prints as text; shows as a table in a notebook.

    Examples
    --------
    >>> import neurodata as nd
    >>> print(nd.summary(nd.make_recording(spikes=nd.make_spikes({"a": [0.1, 0.6], "b": []}))))
    recording
      spikes
        units              2 (1 without spikes)
        spikes             2
        span               0.1 to 0.6 s (0.5 s)
        rate               median 2 spikes/s, range 0 to 4
    """
    rows = []
    for path, recording in recordings(rec):
        for name, node in recording.children.items():
            dataset = node.to_dataset(inherit=False)
            rows += [(path, name, fact, value) for fact, value in _FACTS[modality_of(name) or ""](dataset)]
    source = rec.attrs.get("source_file", "")
    form = rec.attrs.get("source_format", "")
    title = f"{source or 'recording'}{f' ({form})' if form else ''}"
    return Summary(title, tuple(rows))


def gaps(time: np.ndarray) -> np.ndarray:
    """Rows before which samples are missing: where a step is longer than 1.5 usual (median) steps."""
    if time.size < 3:
        return np.zeros(0, dtype=int)
    step = np.diff(time)
    return np.flatnonzero(step > _GAP_STEPS * np.median(step)) + 1


def _number(value: float) -> str:
    return f"{value:.4g}"


def _span(start: float, stop: float) -> str:
    return f"{start:.6g} to {stop:.6g} s ({_duration(stop - start)})"


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.4g} s"
    if seconds < 7200:
        return f"{seconds / 60:.3g} min"
    return f"{seconds / 3600:.3g} h"


def _time_facts(dataset: xr.Dataset) -> list[tuple[str, str]]:
    n = dataset.sizes.get("time", 0)
    if n == 0:
        return [("samples", "0")]
    index = dataset.xindexes.get("time")
    if isinstance(index, xr.indexes.PandasIndex):
        time = dataset["time"].values
        found = gaps(time)
        lost = float(np.sum(np.diff(time)[found - 1])) if found.size else 0.0
    else:  # a regular axis that is not in memory
        time = dataset["time"][[0, n - 1]].values
        found, lost = np.zeros(0, dtype=int), 0.0
    facts = [("samples", str(n)), ("span", _span(float(time[0]), float(time[-1])))]
    rate = dataset.attrs.get("sampling_rate")
    if rate is not None:
        facts.append(("sampling rate", f"{_number(rate)} Hz"))
    elif time.size > 1:
        step = float(np.median(np.diff(time))) if time.size > 2 else float(time[1] - time[0]) / max(n - 1, 1)
        facts.append(("median step", f"{_number(step)} s"))
    if found.size:
        facts.append(("gaps", f"{found.size}, {_duration(lost)} in all"))
    return facts


def _missing(variable: xr.DataArray) -> str:
    """Share of NaN, for arrays in memory only: a summary must not read a large file."""
    if not variable.variable._in_memory or variable.dtype.kind != "f" or not variable.size:
        return ""
    share = float(np.isnan(variable.values).mean())
    return f", {share:.1%} missing" if share else ""


def _calcium(dataset: xr.Dataset) -> list[tuple[str, str]]:
    n = dataset.sizes.get("roi", 0)
    cells = f" ({int(dataset['is_cell'].sum())} cells)" if "is_cell" in dataset.coords else ""
    facts = [("ROIs", f"{n}{cells}"), *_time_facts(dataset)]
    for name in ("fluorescence", "neuropil", "deconvolved", "dff"):
        if name in dataset:
            facts.append((name, f"{dataset[name].attrs.get('units', '')}{_missing(dataset[name])}"))
    return facts


def _spikes(dataset: xr.Dataset) -> list[tuple[str, str]]:
    n = dataset.sizes.get("unit", 0)
    facts = []
    if "spike_time" in dataset:
        count, times = dataset["spike_count"].values, dataset["spike_time"].values
        silent = int((count == 0).sum())
        facts += [("units", f"{n}" + (f" ({silent} without spikes)" if silent else "")), ("spikes", str(times.size))]
        if "support_start" in dataset:
            start, stop = dataset["support_start"].values, dataset["support_stop"].values
            facts.append(("recorded", f"{_duration(float((stop - start).sum()))} in {start.size} stretch(es)"))
            span = float((stop - start).sum())
            if start.size:
                facts.append(("span", _span(float(start[0]), float(stop[-1]))))
        elif times.size:
            span = float(times.max() - times.min())
            facts.append(("span", _span(float(times.min()), float(times.max()))))
        else:
            span = 0.0
        if span > 0:
            rate = count / span
            facts.append(
                (
                    "rate",
                    f"median {_number(float(np.median(rate)))} spikes/s, "
                    f"range {_number(rate.min())} to {_number(rate.max())}",
                )
            )
    if "counts" in dataset:
        facts += [("units", str(n)), *_time_facts(dataset), ("counts", f"binned{_missing(dataset['counts'])}")]
    for name in ("quality", "region"):
        if name in dataset.coords:
            values, number = np.unique(dataset[name].values.astype(str), return_counts=True)
            facts.append((name, ", ".join(f"{v or '(none)'} {k}" for v, k in zip(values[:8], number[:8], strict=True))))
    return facts


def _eeg(dataset: xr.Dataset) -> list[tuple[str, str]]:
    facts: list[tuple[str, str]] = []
    if "ch_type" in dataset.coords:
        values, number = np.unique(dataset["ch_type"].values.astype(str), return_counts=True)
        types = ", ".join(f"{v} {k}" for v, k in zip(values, number, strict=True))
        facts.append(("channels", f"{dataset.sizes['channel']} ({types})"))
    if "bad" in dataset.coords and bool(dataset["bad"].any()):
        facts.append(("bad channels", ", ".join(dataset["channel"].values[dataset["bad"].values].astype(str))))
    return (
        facts
        + _time_facts(dataset)
        + [("signal", f"{dataset['signal'].attrs.get('units', '')}{_missing(dataset['signal'])}")]
    )


def _behaviour(dataset: xr.Dataset) -> list[tuple[str, str]]:
    facts = _time_facts(dataset)
    if "value" in dataset:
        facts.append(("signals", ", ".join(dataset["signal"].values.astype(str)) + _missing(dataset["value"])))
    if "position" in dataset:
        facts.append(
            (
                "position",
                f"{dataset.sizes['keypoint']} keypoint(s) x {dataset.sizes['individual']} individual(s), "
                f"{dataset['position'].attrs.get('units', '')}{_missing(dataset['position'])}",
            )
        )
    return facts


def _trials(dataset: xr.Dataset) -> list[tuple[str, str]]:
    return [("trials", str(dataset.sizes.get("trial", 0))), ("columns", ", ".join(map(str, dataset.data_vars)))]


def _events(dataset: xr.Dataset) -> list[tuple[str, str]]:
    facts = [("events", str(dataset.sizes.get("event", 0)))]
    if "description" in dataset and dataset.sizes.get("event", 0):
        values, number = np.unique(dataset["description"].values.astype(str), return_counts=True)
        top = np.argsort(-number, kind="stable")[:8]
        more = f" and {values.size - 8} more kinds" if values.size > 8 else ""
        facts.append(("kinds", ", ".join(f"{values[i] or '(none)'} {number[i]}" for i in top) + more))
    return facts


def _other(dataset: xr.Dataset) -> list[tuple[str, str]]:
    return [("variables", ", ".join(map(str, dataset.data_vars)))]


_FACTS: dict[str, Any] = {
    "calcium": _calcium,
    "spikes": _spikes,
    "eeg": _eeg,
    "behaviour": _behaviour,
    "trials": _trials,
    "events": _events,
    "video": _other,
    "truth": _other,
    "": _other,
}
