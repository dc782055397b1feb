"""The main job: look at a recording, analyse it, and write a report with its results."""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import xarray as xr

from neurodata._core.progress import Progress, as_progress
from neurodata._core.provenance import storable_attrs, version
from neurodata.cli.analyses import all_analyses, default_analysis, get_analysis
from neurodata.cli.analyses.base import Analysis, Settings
from neurodata.cli.inputs import Input, collected_warnings, file_sums, load_input
from neurodata.cli.output import write_files
from neurodata.cli.overview import overview
from neurodata.cli.report import Report, Section, render
from neurodata.containers.recording import recordings
from neurodata.containers.store import write_tree
from neurodata.containers.summary import summary
from neurodata.errors import NeurodataError, OptionError

REPORT, RESULTS = "report.html", "results.nc"
# Steps of the analysis of states, the longest; others take fewer. Only the bar depends on it.
_STEPS = 6


@dataclass(frozen=True)
class Outcome:
    """Where a report went, and its answers."""

    path: Path
    verdict: list[str]
    problems: list[str]


def analyze(arguments: argparse.Namespace, folder: Path) -> Outcome:
    """Analyse what the arguments name and write the report into `folder`."""
    if folder.exists() and not folder.is_dir():
        raise OptionError("a folder for the report", f"{folder} is a file", "choose another with --out")
    for name in arguments.analysis or ():
        get_analysis(name)
    progress = as_progress(not arguments.quiet)
    try:
        progress.start(2 + _STEPS, "load")
        source = load_input(arguments)
        return _report(source, arguments, folder, progress)
    finally:
        progress.close()


def _report(source: Input, arguments: argparse.Namespace, folder: Path, progress: Progress) -> Outcome:
    settings = Settings(arguments.bin_width, arguments.states, arguments.rng, limited=not arguments.no_limit)
    sections, nodes, problems = [], {}, []
    several = list(recordings(source.recording))
    progress.start(2 + _STEPS * len(several), source.name)

    def step(note: str) -> None:
        progress.update(1, note)

    for path, recording in several:
        section = Section(path or source.name, summary(recording), remarks=list(source.remarks) if not path else [])
        analyses = _wanted(recording, arguments.analysis, path)
        if not analyses:
            problems.append(f"No analysis fits what is in this recording: {_needs(recording)}.")
            section.remarks.append(problems[-1])
        for analysis in analyses:
            try:
                with collected_warnings() as seen:
                    result = analysis.run(recording, settings, step)
            except NeurodataError as error:
                if arguments.analysis:
                    raise
                text = f"The analysis {analysis.name!r} was not possible. {_one_line(error)}"
                section.remarks.append(text)
                problems.append(text)
                continue
            section.remarks += [line for line in seen if line not in section.remarks]
            section.results.append((analysis.title, analysis.question, result))
            nodes[f"/{path}/{analysis.name}" if path else f"/{analysis.name}"] = _storable(result.data)
        step("overview")
        section.overview = list(overview(recording))
        sections.append(section)
    if several and source.remarks and several[0][0]:
        sections[0].remarks = source.remarks + sections[0].remarks
    step("report")
    provenance = _provenance(source, arguments)
    report = Report(
        title=source.name,
        about=source.about,
        sections=sections,
        provenance=provenance,
        files=file_sums(source.path),
        results_file=RESULTS,
    )
    text = render(report)
    root = xr.Dataset(attrs=storable_attrs({"title": source.name, **dict(provenance)}))
    tree = xr.DataTree.from_dict({"/": root, **nodes})
    # Results first: a report never stands without what it speaks of.
    written = write_files(
        folder,
        {RESULTS: lambda path: write_tree(tree, path), REPORT: lambda path: path.write_text(text, encoding="utf-8")},
    )
    answers = [
        f"{section.name}: {line}" if len(sections) > 1 else line
        for section in sections
        for _, _, result in section.results
        for line in result.verdict
    ]
    return Outcome(written[-1], answers, problems)


def _wanted(recording: xr.DataTree, names: Sequence[str] | None, path: str) -> list[Analysis]:
    """The analyses asked for, or the default of the data; an impossible one that was asked for is an error."""
    if names:
        chosen = [get_analysis(name) for name in dict.fromkeys(names)]
        for analysis in chosen:
            lacking = analysis.lacks(recording)
            if lacking:
                raise OptionError(
                    f"{lacking}, for the analysis {analysis.name!r}",
                    f"{path + ' with ' if path else ''}nodes {', '.join(recording.children)}",
                    "take another --analysis, or leave it out",
                )
        return chosen
    fitting = default_analysis(recording)
    return [] if fitting is None else [fitting]


def _needs(recording: xr.DataTree) -> str:
    """What each analysis lacks, in words."""
    absent = {analysis.name: analysis.lacks(recording) for analysis in all_analyses().values()}
    return "; ".join(f"{name!r} needs {what}" for name, what in absent.items() if what)


def _storable(data: xr.Dataset) -> xr.Dataset:
    """The dataset with attributes that every store keeps."""
    plain = data.assign_attrs()
    plain.attrs = storable_attrs(data.attrs)
    for variable in plain.variables.values():
        variable.attrs = storable_attrs(variable.attrs)
    return plain


def _provenance(source: Input, arguments: argparse.Namespace) -> list[tuple[str, str]]:
    from importlib.metadata import version as installed

    packages = ", ".join(f"{name} {installed(name)}" for name in ("numpy", "scipy", "xarray", "matplotlib"))
    options = ", ".join(f"{key}={value!r}" for key, value in source.options.items())
    return [
        ("made", datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")),
        ("command", shlex.join(arguments.command_line)),
        ("format", str(source.recording.attrs.get("source_format", ""))),
        ("reader options", options or "none"),
        ("neurodata", version()),
        ("Python", f"{platform.python_version()} ({platform.system()} {platform.machine()})"),
        ("packages", packages),
    ]


def _one_line(error: NeurodataError) -> str:
    return "; ".join(str(error).splitlines()) + "."
