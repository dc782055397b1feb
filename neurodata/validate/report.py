"""The result of a grid as one page: what was found, against chance, what failed, at what cost, and what it means."""

from __future__ import annotations

import html
import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from neurodata.diagnostics.spread import mean_interval
from neurodata.errors import OptionError, StoreError
from neurodata.plot.html import Anchors, Picture, Table, answer_html, escape, figure_html, page, pairs_html, table_html
from neurodata.validate._cells import FAILED, NOT_APPLICABLE, OK
from neurodata.validate._words import words

# What the page begins with, where there are scores of it.
_LEADING = ("ap", "mcc", "state_accuracy", "cluster_ari", "latent_r2", "rdm_spearman", "bits_per_spike")
TITLE = "Models on circuits with known truth"
# Rows of error texts shown; more are counted.
_MOST_ROWS = 60
_SEEDS = (
    "After ± is half the 95 % interval of the mean over seeds (Student's t). It says how much runs "
    "differ, not how much circuits or recordings do."
)
_CAVEATS = (
    "How models rank on simulated circuits does not tell how they rank on a recording (Theis et al. 2016, Neuron 90, "
    "doi 10.1016/j.neuron.2016.04.014). Where a model fails on circuits like yours, do not trust it on yours; where it "
    "succeeds, it may still fail on what the circuits leave out.",
    "With few seeds the intervals are wide and depend on the runs being alike in spread.",
    "Weights are compared with the peak of the postsynaptic potential; what a model calls a weight is in its own unit.",
)


def report(result: xr.Dataset, path: str | os.PathLike[str], *, title: str = TITLE) -> Path:
    """Write the result of a grid as one HTML file that needs nothing else.

    Parameters
    ----------
    result : Dataset
        From `neurodata.validate.grid`.
    path : path
        File to write; replaced when it is there.
    title : str

    Returns
    -------
    Path

    Raises
    ------
    OptionError
        When `result` is not of a grid.
    StoreError
        When the file cannot be written.

    Examples
    --------
    >>> import neurodata as nd, pathlib, tempfile
    >>> circuits = {"static": nd.simulate.zoo.static(n=6, p=0.3, rng=0)}
    >>> result = nd.validate.grid({}, circuits, metrics=["auroc"], seeds=2, duration=5.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = nd.validate.report(result, pathlib.Path(folder) / "report.html")
    ...     "area under the ROC curve" in path.read_text()
    True
    """
    needed = {"score", "chance", "status", "runtime", "error"}
    missing = sorted(needed - set(result.data_vars)) if isinstance(result, xr.Dataset) else sorted(needed)
    if missing:
        raise OptionError(
            "the result of nd.validate.grid",
            f"a {type(result).__name__} without {', '.join(missing)}",
            "pass what grid() returned",
        )
    target = Path(path)
    # Numbagg, where installed, would compile for a minute to take medians of a few hundred numbers.
    with xr.set_options(use_numbagg=False):
        text = render(result, title)
    partial = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StoreError(
            f"to write {target}", f"{type(error).__name__}: {error}", "choose another place; nothing was changed"
        ) from error
    return target


def render(result: xr.Dataset, title: str) -> str:
    """The page as text."""
    anchors = Anchors("how")
    links, body = [], []
    for heading, content in _sections(result):
        anchor = anchors.make(heading)
        links.append(f'<li><a href="#{anchor}">{escape(heading)}</a></li>')
        body.append(f'<section aria-labelledby="{anchor}"><h2 id="{anchor}">{escape(heading)}</h2>{content}</section>')
    about = f"<p class=soft>{escape(_about(result))}</p>"
    header = f"<header><p class=soft>neurodata report</p><h1>{escape(title)}</h1>{about}</header>"
    nav = f'<nav aria-label="Contents"><ul>{"".join(links)}</ul></nav>'
    return page(title, f"{header}{answer_html(_verdict(result))}{nav}{''.join(body)}")


def _about(result: xr.Dataset) -> str:
    sizes = result.sizes
    parts = [
        f"{sizes[name]} {name}{'s' if sizes[name] != 1 else ''}"
        for name in ("model", "circuit", "observation", "seed", "duration")
        if name in sizes
    ]
    length = ", ".join(f"{value:g}" for value in np.atleast_1d(result["duration"].values))
    return f"{', '.join(parts)}; recordings of {length} s"


def _sections(result: xr.Dataset) -> Iterator[tuple[str, str]]:
    for metric in _scored(result):
        yield words(metric)[0], _metric_section(result, metric)
    curves = _curves_section(result)
    if curves:
        yield "Curves", curves
    weights = _weights_section(result)
    if weights:
        yield "Weights of true connections", weights
    yield "Time taken", _runtime_section(result)
    yield "What failed", _failures_section(result)
    items = "".join(f"<li>{escape(line)}</li>" for line in _CAVEATS)
    yield "What this cannot tell", f"<ul class=caveats>{items}</ul>"
    yield "How this was made", _provenance(result)


def _scored(result: xr.Dataset) -> list[str]:
    """Metrics that have a score anywhere."""
    return [str(m) for m in result["metric"].values if result["score"].sel(metric=m).notnull().any()]


def _longest(values: xr.DataArray) -> xr.DataArray:
    """At the longest duration, where there are several."""
    return values.isel(duration=int(np.argmax(values["duration"].values))) if "duration" in values.dims else values


def _verdict(result: xr.Dataset) -> list[str]:
    """The answer in sentences: for each kind of finding, the best model against the best baseline and guessing."""
    scored = _scored(result)
    leading = [metric for metric in _LEADING if metric in scored] or scored[:3]
    lines = [f"{words(metric)[0]} ({metric}): {_compared(result, metric)}" for metric in leading]
    failed, total = int((result["error"] != "").sum()), int(result["error"].size)
    lines.append(f"{failed} of {total} cells failed; they are listed below." if failed else f"All {total} cells ran.")
    return lines


def _compared(result: xr.Dataset, metric: str) -> str:
    mean, better = _means(result, metric), _better(result, metric)
    own, base = mean[~_is_baseline(mean)], mean[_is_baseline(mean)]
    model, baseline = _best(own, better), _best(base, better)
    said = []
    if model is not None:
        said.append(f"the best model is {model} with {float(own.sel(model=model)):.2f}")
    if baseline is not None:
        said.append(f"the best baseline is {baseline} with {float(base.sel(model=baseline)):.2f}")
    if not said:
        return "no two models have a score in the same place."
    chance = _chance(result, metric)
    if np.isfinite(chance):
        said.append(f"guessing gets {chance:.2f}")
    beaten = model is not None and baseline is not None and _best(mean.sel(model=[baseline, model]), better) == baseline
    said.append("no model beats that baseline" if beaten else "")
    return ", ".join(text for text in said if text) + "."


def _means(result: xr.Dataset, metric: str) -> xr.DataArray:
    """Mean score of each model over the cells in which every model that ever has a score has one."""
    score = _longest(result["score"].sel(metric=metric))
    stacked = score.stack(cell=[d for d in score.dims if d != "model"])
    stacked = stacked.isel(model=np.flatnonzero(stacked.notnull().any("cell").values))
    common = stacked.notnull().all("cell") if stacked.sizes["model"] == 0 else stacked.notnull().all("model")
    return stacked.isel(cell=np.flatnonzero(common.values)).mean("cell")


def _is_baseline(values: xr.DataArray) -> np.ndarray:
    if "is_baseline" in values.coords:
        return values["is_baseline"].values.astype(bool)
    return np.zeros(values.sizes["model"], dtype=bool)


def _best(mean: xr.DataArray, better: str) -> str | None:
    values = mean.values.astype(np.float64)
    if not np.isfinite(values).any():
        return None
    order = {"higher": -values, "lower": values, "zero": np.abs(values)}[better]
    return str(mean["model"].values[int(np.nanargmin(order))])


def _better(result: xr.Dataset, metric: str) -> str:
    return str(result["better"].sel(metric=metric).item()) if "better" in result.coords else "higher"


def _chance(result: xr.Dataset, metric: str) -> float:
    values = result["chance"].sel(metric=metric).values
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")


def _metric_section(result: xr.Dataset, metric: str) -> str:
    from neurodata.plot.validation import score_against_chance, score_by_duration, score_map

    title, meaning = words(metric)
    better = _better(result, metric)
    score = _longest(result["score"].sel(metric=metric, drop=True))
    chance = _longest(result["chance"].sel(metric=metric, drop=True))
    there = score.notnull().any([d for d in score.dims if d != "model"])
    shown = score.isel(model=np.flatnonzero(there.values))
    baselines = score["model"].values[_is_baseline(score)]
    parts = [f"<p>{escape(meaning)}</p>" if meaning else "", f"<p class=soft>{escape(_direction(result, metric))}</p>"]
    aside = _unscored(result, metric)
    if aside:
        parts.append(f"<p class=soft>{escape(aside)}</p>")
    heat = score_map(score, better=better).figure
    rows = tuple(_score_rows(shown, chance))
    parts.append(
        figure_html(
            Picture("By circuit and observation", f"Bright is good. {_SEEDS}", heat, _alt(title, shown, better)),
        )
    )
    against = score_against_chance(score, chance, label=metric, baselines=baselines)[0].figure
    dotted = "; the dotted line is what guessing gets" if chance.notnull().any() else ""
    caption = f"Dots are means over seeds with 95 % intervals, empty for baselines{dotted}."
    parts.append(figure_html(Picture("Against guessing", caption, against, f"{title}: the numbers are in the table.")))
    if "duration" in result["score"].dims:
        every = result["score"].sel(metric=metric, drop=True)
        grown = score_by_duration(every, label=metric)[0].figure
        caption = "Mean over observations, seed by seed; the band is its 95 % interval over seeds."
        parts.append(figure_html(Picture("By length of the recording", caption, grown, _alt_duration(every))))
    columns = ("circuit", "observation", *(str(m) for m in shown["model"].values), "chance")
    numbers = table_html(Table("Numbers", columns, rows, f"Mean over seeds. {_SEEDS}"))
    parts.append(f"<details><summary>The same as numbers</summary>{numbers}</details>")
    return "".join(parts)


def _direction(result: xr.Dataset, metric: str) -> str:
    words_of = {"higher": "Higher is better", "lower": "Lower is better", "zero": "Nearest to 0 is best"}
    text = words_of[_better(result, metric)]
    chance = _chance(result, metric)
    return f"{text}. Guessing gets {chance:.2f} on average." if np.isfinite(chance) else f"{text}."


def _unscored(result: xr.Dataset, metric: str) -> str:
    """Who has no score, and where, in words."""
    status = _longest(result["status"].sel(metric=metric))
    others = [d for d in status.dims if d != "model"]
    never = [str(m) for m, none in zip(status["model"].values, (status != OK).all(others).values, strict=True) if none]
    there = [d for d in status.dims if d != "circuit"]
    empty = [str(c) for c, no in zip(status["circuit"].values, (status != OK).all(there).values, strict=True) if no]
    lines = []
    if never:
        lines.append(f"Without a score, since they claim nothing of this kind or failed: {', '.join(never)}.")
    if empty:
        lines.append(f"Circuits in which there is nothing of this kind to find: {', '.join(empty)}.")
    return " ".join(lines)


def _score_rows(score: xr.DataArray, chance: xr.DataArray) -> Iterator[tuple[Any, ...]]:
    found = mean_interval(score)
    guess = chance.mean(("model", "seed"), skipna=True)
    for circuit in score["circuit"].values:
        for view in score["observation"].values:
            one = found.sel(circuit=circuit, observation=view)
            cells = [
                _number(float(mean), float(high - mean))
                for mean, high in zip(one["mean_"].values, one["high"].values, strict=True)
            ]
            level = float(guess.sel(circuit=circuit, observation=view))
            yield (str(circuit), str(view), *cells, f"{level:.2f}" if np.isfinite(level) else "-")


def _number(mean: float, half: float) -> str:
    if not np.isfinite(mean):
        return "-"
    return f"{mean:.2f} ± {half:.2f}" if np.isfinite(half) else f"{mean:.2f}"


def _alt(title: str, score: xr.DataArray, better: str) -> str:
    mean = score.mean([d for d in score.dims if d != "model"], skipna=True)
    each = ", ".join(f"{m} {float(v):.2f}" for m, v in zip(mean["model"].values, mean.values, strict=True))
    best = _best(mean, better)
    return f"Heat map. {title}, mean over everything: {each}. Best: {best}. The numbers are in a table below."


def _alt_duration(score: xr.DataArray) -> str:
    mean = score.mean([d for d in score.dims if d not in ("model", "duration")], skipna=True)
    lines = []
    for model in mean["model"].values:
        values = mean.sel(model=model).transpose("duration").values
        if not np.isfinite(values).any():
            continue
        first, last = mean["duration"].values[[0, -1]]
        lines.append(f"{model} {values[0]:.2f} at {first:g} s, {values[-1]:.2f} at {last:g} s")
    return "Lines of score over length. " + "; ".join(lines)


def _curves_section(result: xr.Dataset) -> str:
    from neurodata.plot.validation import detection_curves

    if "true_positive_rate" not in result or not result["true_positive_rate"].notnull().any():
        return ""
    rate, precision = _longest(result["true_positive_rate"]), _longest(result["precision"])
    drawn = detection_curves(rate, precision)[0].figure
    caption = (
        "Left: connections found over unconnected pairs called connected, as the threshold is lowered; guessing is the "
        "dotted line. Right: of the pairs called connected, the share that is. Means over circuits, observations and "
        "seeds."
    )
    alt = "Two panels of curves, one curve per model; average precision and area under the curve say the same above."
    return figure_html(Picture("ROC and precision-recall", caption, drawn, alt))


def _weights_section(result: xr.Dataset) -> str:
    from neurodata.plot.validation import weight_scatter

    if "edge_weight_claimed" not in result or not result["edge_weight_claimed"].notnull().any():
        return ""
    true, claimed = _longest(result["edge_weight_true"]), _longest(result["edge_weight_claimed"])
    drawn = weight_scatter(true, claimed)[0].figure
    caption = (
        "One dot per true connection, up to 200 of each cell: the weight that the model gives it over its true weight, "
        "the peak of the postsynaptic potential. Each model has its own unit; sign and order are to be compared."
    )
    alt = "Scatter of claimed over true weights, one panel per model, with the rank correlation in its corner."
    return figure_html(Picture("Claimed and true weights", caption, drawn, alt))


def _runtime_section(result: xr.Dataset) -> str:
    from neurodata.plot.validation import runtimes

    runtime = result["runtime"]
    median = runtime.median([d for d in runtime.dims if d != "model"], skipna=True)
    total = float(runtime.sum())
    text = ", ".join(f"{m} {float(v):.2g} s" for m, v in zip(median["model"].values, median.values, strict=True))
    caption = "Each dot is a cell, the bar their median: preparing, fitting and scoring, on one thread."
    picture = figure_html(Picture("Time of a cell", caption, runtimes(runtime).figure, f"Median time: {text}."))
    return f"<p>{escape(f'All models together took {total:,.0f} s; simulation is not counted.')}</p>{picture}"


def _failures_section(result: xr.Dataset) -> str:
    parts = []
    for name, what in (("error", "Errors"), ("warning", "Warnings")):
        if name not in result:
            continue
        rows = _texts(result[name])
        if not rows:
            parts.append(f"<p>No {what.lower()}.</p>")
            continue
        columns = ("text", "models", "cells", "for example")
        more = f" {len(rows) - _MOST_ROWS} further texts are in the result." if len(rows) > _MOST_ROWS else ""
        parts.append(table_html(Table(what, columns, tuple(rows[:_MOST_ROWS]), f"Most frequent first.{more}")))
    status = result["status"]
    counts = [(text, f"{int((status == text).sum()):,}") for text in (OK, FAILED, NOT_APPLICABLE)]
    parts.append(f"<h3>All scores</h3>{pairs_html(counts)}")
    return "".join(parts)


def _texts(texts: xr.DataArray) -> list[tuple[Any, ...]]:
    """Each text with the models it came from, in how many cells, and where first."""
    flat = texts.stack(cell=texts.dims)
    flat = flat[(flat != "").values]
    found: dict[str, list[tuple[str, str]]] = {}
    for one in flat:
        place = f"{one['circuit'].item()}, {one['observation'].item()}, seed {one['seed'].item()}"
        place += f", {one['duration'].item():g} s" if "duration" in texts.dims else ""
        found.setdefault(str(one.item()), []).append((str(one["model"].item()), place))
    rows = [(t, ", ".join(dict.fromkeys(m for m, _ in cells)), len(cells), cells[0][1]) for t, cells in found.items()]
    return sorted(rows, key=lambda row: -row[2])


def _provenance(result: xr.Dataset) -> str:
    attrs = result.attrs
    pairs = [
        ("random root", str(attrs.get("rng", ""))),
        ("engine", str(attrs.get("engine", ""))),
        ("edges drawn anew for each seed", "yes" if attrs.get("redraw") else "no"),
        ("neurodata", str(attrs.get("code", ""))),
    ]
    parts = [pairs_html(pairs)]
    for name in ("models", "observations", "circuits"):
        entries: dict[str, Any] = json.loads(attrs.get(name, "{}"))
        items = "".join(f"<dt>{escape(key)}</dt><dd><code>{_code(value)}</code></dd>" for key, value in entries.items())
        parts.append(f"<details><summary>{escape(name.capitalize())} in full</summary><dl>{items}</dl></details>")
    return "".join(parts)


def _code(value: Any) -> str:
    return html.escape(json.dumps(value, ensure_ascii=False), quote=False)
