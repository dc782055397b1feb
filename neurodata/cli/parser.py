"""What the commands take, and how their errors leave the process."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from neurodata._core.provenance import version
from neurodata.errors import NeurodataError

OK, BAD_INPUT, INTERRUPTED = 0, 2, 130


def run(argv: Sequence[str] | None = None) -> int:
    """Parse, run the command, and turn errors made on purpose into a message and an exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = build_parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:  # argparse has said on stderr what is wrong, or printed the help
        return int(stop.code or OK)
    if options.command is None:
        parser.print_help(sys.stderr)
        return BAD_INPUT
    options.command_line = ["neurodata", *arguments]
    try:
        import neurodata.cli.commands as commands

        getattr(commands, options.command)(options)
        sys.stdout.flush()
    except NeurodataError as error:
        notes = "".join(f"\n{note}" for note in getattr(error, "__notes__", ()))
        sys.stderr.write(f"neurodata {options.command}: {type(error).__name__}\n{error}{notes}\n")
        return BAD_INPUT
    except BrokenPipeError:  # the reader of a pipe, e.g. head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was half-written\n")
        return INTERRUPTED
    return OK


def build_parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    parser = argparse.ArgumentParser(
        prog="neurodata", description="Load a neural recording, look at it, analyse it.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"neurodata {version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    readers = commands.add_parser("readers", help="list the formats that can be read")
    readers.add_argument("name", nargs="?", help="one reader, in full")

    info = commands.add_parser("info", help="say what is in a recording")
    _add_input(info)

    convert = commands.add_parser("convert", help="save a recording as NetCDF (.nc) or Zarr (.zarr)")
    _add_input(convert)
    convert.add_argument("out", type=Path, metavar="OUT", help="file to write: x.nc, or a folder x.zarr")
    convert.add_argument("--overwrite", action="store_true", help="replace OUT where it exists")

    analyze = commands.add_parser("analyze", help="load, look at and analyse a recording; write a report")
    _add_input(analyze)
    analyze.add_argument(
        "--analysis",
        action="append",
        metavar="NAME",
        help="states, spectrum, rdm, bicluster or connectome; repeatable (default: by data)",
    )
    analyze.add_argument("--out", type=Path, metavar="DIR", help="folder of the report (default: NAME-report, here)")
    _add_settings(analyze)

    trust = commands.add_parser(
        "trust",
        help="say how far an analysis of a recording can be believed",
        description="Simulate circuits whose spikes are like those of the recording, run the same analysis on them, "
        "compare its answers with the truth, and say in words how far it can be believed. For spikes, or counts of "
        "spikes: 1000 of them, 2 units with 50 each, and 30 s at least.",
        epilog="Writes verdict.txt (also printed) and trust.nc into the folder of the results. Exit code: 0 when done, "
        "2 for bad usage or a recording that cannot be used.",
    )
    _add_input(trust)
    trust.add_argument(
        "--analysis",
        metavar="NAME",
        default="states",
        help="states: hidden states of the activity; connections: which units drive which; bicluster: clusters of "
        "units and states of time; or connectome: groups of units that change together (states)",
    )
    trust.add_argument("--twins", type=whole, default=3, metavar="N", help="simulated twins of each kind (3)")
    trust.add_argument("--jobs", type=whole, default=1, metavar="N", help="twins at a time (1)")
    trust.add_argument("--out", type=Path, metavar="DIR", help="folder of the results (default: NAME-trust, here)")
    _add_settings(trust)

    demo = commands.add_parser("demo", help="analyse the example recordings")
    demo.add_argument(
        "--out", type=Path, default=Path("demo-report"), metavar="DIR", help="folder of the reports (demo-report)"
    )
    _add_settings(demo)
    return parser


def _add_input(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="a file or folder, or a name out of nd.datasets.names()")
    parser.add_argument("--reader", metavar="NAME", help="reader to use (default: by content)")
    parser.add_argument("--sampling-rate", type=positive, metavar="HZ", help="where the format may lack it")
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        type=key_value,
        metavar="KEY=VALUE",
        help="option of the reader; the value is read as JSON where it is JSON, else as text; may be repeated",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--bin-width", type=positive, metavar="S", help="bins of the analysis (default: by analysis and data)"
    )
    parser.add_argument("--states", type=whole, default=3, metavar="N", help="number of hidden states (3)")
    parser.add_argument("--rng", type=int, default=0, metavar="SEED", help="seed of all random numbers (0)")
    parser.add_argument("--no-limit", action="store_true", help="take all units and all time, however long it takes")
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def key_value(text: str) -> tuple[str, Any]:
    """An option of a reader.

    Examples
    --------
    >>> key_value("gain=0.5"), key_value("sheet=first"), key_value('mapping={"a": "b"}')
    (('gain', 0.5), ('sheet', 'first'), ('mapping', {'a': 'b'}))
    """
    key, equals, value = text.partition("=")
    key = key.strip().replace("-", "_")
    if not equals or not key.isidentifier():
        raise argparse.ArgumentTypeError(f"expected KEY=VALUE, got {text!r}")
    try:
        return key, json.loads(value)
    except json.JSONDecodeError:
        return key, value


def positive(text: str) -> float:
    """A number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


def whole(text: str) -> int:
    """A whole number from 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)
