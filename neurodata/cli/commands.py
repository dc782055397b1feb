"""The commands."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from neurodata.errors import MissingOptionError


def readers(arguments: argparse.Namespace) -> None:
    """List the readers, or tell one of them in full."""
    from neurodata.io.registry import get_reader, readers

    if arguments.name:
        get_reader(arguments.name)
        for key, value in readers().loc[arguments.name].items():
            _say(f"{key:<12} {value}")
        return
    table = readers()
    width = max(map(len, table.index)) + 2
    for name, row in table.iterrows():
        state = "" if row["installed"] else f'   (pip install "neurodata[{row["extra"]}]")'
        _say(f"{name:<{width}}{row['formats']}{state}")


def info(arguments: argparse.Namespace) -> None:
    """Say what is in a recording."""
    from neurodata.cli.inputs import load_input
    from neurodata.containers.summary import summary

    source = load_input(arguments)
    _note(source.remarks)
    _say(repr(summary(source.recording)))


def convert(arguments: argparse.Namespace) -> None:
    """Save a recording as NetCDF or Zarr."""
    from neurodata.cli.inputs import load_input
    from neurodata.containers.store import save

    source = load_input(arguments)
    _note(source.remarks)
    _say(str(save(source.recording, arguments.out, overwrite=arguments.overwrite)))


def analyze(arguments: argparse.Namespace) -> None:
    """Analyse a recording and write the report."""
    from neurodata.cli.analyze import analyze

    try:
        outcome = analyze(arguments, _folder(arguments, "report"))
    except MissingOptionError as error:
        if "sampling_rate" in str(error):
            error.add_note("on the command line: --sampling-rate HZ")
        raise
    for line in outcome.verdict:
        _say(line)
    _note(outcome.problems)
    _say(f"report: {outcome.path}")


def trust(arguments: argparse.Namespace) -> None:
    """Say how far an analysis of a recording can be believed."""
    from neurodata.cli.trust import trust

    try:
        outcome = trust(arguments, _folder(arguments, "trust"))
    except MissingOptionError as error:
        if "sampling_rate" in str(error):
            error.add_note("on the command line: --sampling-rate HZ")
        raise
    for line in outcome.verdict:
        _say(line)
    _note(outcome.problems)
    _say(f"verdict: {outcome.path}")


def demo(arguments: argparse.Namespace) -> None:
    """Analyse the three example recordings and write a page that links to their reports."""
    from neurodata.cli.analyze import REPORT, analyze
    from neurodata.cli.output import write_files
    from neurodata.cli.report import index

    entries = []
    for name in ("example_spikes", "example_calcium", "example_eeg"):
        one = argparse.Namespace(
            **{
                **vars(arguments),
                "path": name,
                "reader": None,
                "sampling_rate": None,
                "option": [],
                "analysis": None,
            }
        )
        outcome = analyze(one, arguments.out / name)
        entries.append((f"{name}/{REPORT}", name.replace("_", " "), outcome.verdict))
    about = "Three example recordings that come with neurodata, loaded from the formats labs have, and analysed."
    text = index("neurodata demo", about, entries)
    (path,) = write_files(arguments.out, {"index.html": lambda target: target.write_text(text, encoding="utf-8")})
    for _, name, verdict in entries:
        _say(f"{name}: {verdict[0]}")
    _say(f"reports: {path}")


def _folder(arguments: argparse.Namespace, kind: str) -> Path:
    """Where results go: --out, or a folder here named after the recording."""
    if arguments.out is not None:
        return arguments.out
    given = Path(arguments.path).expanduser()
    stem = (given.resolve().stem if given.is_file() else given.resolve().name) or "recording"
    return Path(f"{stem}-{kind}")


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")


def _note(lines: list[str]) -> None:
    for line in lines:
        sys.stderr.write(f"note: {line}\n")
