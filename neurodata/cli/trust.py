"""How far an analysis of the command line can be believed: the same steps on twins of the recording."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from neurodata._core.progress import as_progress
from neurodata._core.provenance import storable_attrs, version
from neurodata.cli.analyses._counts import Prepared, prepare_counts
from neurodata.cli.analyses.base import Settings
from neurodata.cli.analyze import Outcome
from neurodata.cli.inputs import collected_warnings, load_input
from neurodata.cli.output import write_files
from neurodata.containers.recording import is_recording, recordings
from neurodata.containers.store import write_tree
from neurodata.errors import OptionError

RESULTS, VERDICT = "trust.nc", "verdict.txt"
# Units of a twin, and its length in s, at most; --no-limit lifts both.
MOST_UNITS, LONGEST = 60, 1800.0


@dataclass(frozen=True)
class Counts:
    """From a recording to the counts that the analysis of states takes, with its limits."""

    bin_width: float | None
    limited: bool

    def __call__(self, rec: xr.DataTree) -> xr.DataArray:
        """Counts (time, unit)."""
        return prepare_counts(rec, self.bin_width, self.limited).counts


@dataclass(frozen=True)
class LongCounts(Counts):
    """From a recording to the counts that the analysis of clusters takes, with its limits."""

    def __call__(self, rec: xr.DataTree) -> xr.DataArray:
        """Counts (time, unit)."""
        from neurodata.cli.analyses.bicluster import counts_of

        return counts_of(rec, Settings(self.bin_width, limited=self.limited))[0]


@dataclass(frozen=True)
class Traces(Counts):
    """From a recording to the traces that the analysis of the connectome takes, with its limits."""

    def __call__(self, rec: xr.DataTree) -> xr.DataArray:
        """Traces (time, unit)."""
        from neurodata.cli.analyses.connectome import traces_of

        return traces_of(rec, Settings(self.bin_width, limited=self.limited))[0]


class States:
    """The analysis of states as an estimator: it chooses its own precision on the data, then fits."""

    def __init__(self, n_states: int, rng: int) -> None:
        self.n_states = n_states
        self.rng = rng

    def fit(self, counts: xr.DataArray) -> States:
        """Fit to counts (time, unit)."""
        from neurodata.cli.analyses.states import fitted

        settings = Settings(float(counts.attrs["bin_width"]), self.n_states, self.rng)
        self.model_ = fitted(Prepared(counts, "spike", []), settings)
        return self

    def claims(self, counts: xr.DataArray) -> xr.Dataset:
        """What the fitted model says of connections and states."""
        from neurodata.validate import claims

        return claims(self.model_, counts)


Subject = Callable[[argparse.Namespace], tuple[Any, Callable[[xr.DataTree], Any]]]


def _states(arguments: argparse.Namespace) -> tuple[Any, Callable[[xr.DataTree], Any]]:
    return States(arguments.states, arguments.rng), Counts(arguments.bin_width, not arguments.no_limit)


def _connections(arguments: argparse.Namespace) -> tuple[Any, Callable[[xr.DataTree], Any]]:
    from neurodata.validate import Prepare, prepare_for
    from neurodata.validate.baselines import LaggedRegression

    model = LaggedRegression()
    return model, prepare_for(model) if arguments.bin_width is None else Prepare(arguments.bin_width)


def _bicluster(arguments: argparse.Namespace) -> tuple[Any, Callable[[xr.DataTree], Any]]:
    from neurodata.cli.analyses.bicluster import new_model

    return new_model(Settings(rng=arguments.rng)), LongCounts(arguments.bin_width, not arguments.no_limit)


def _connectome(arguments: argparse.Namespace) -> tuple[Any, Callable[[xr.DataTree], Any]]:
    from neurodata.cli.analyses.connectome import new_model

    return new_model(Settings(rng=arguments.rng)), Traces(arguments.bin_width, not arguments.no_limit)


SUBJECTS: dict[str, Subject] = {
    "states": _states,
    "connections": _connections,
    "bicluster": _bicluster,
    "connectome": _connectome,
}


def trust(arguments: argparse.Namespace, folder: Path) -> Outcome:
    """Match the recording, run the analysis on twins, and write the result into `folder`."""
    from neurodata.validate import match
    from neurodata.validate import trust as trust_model
    from neurodata.validate.match import MOST_UNITS as MOST_MATCHED
    from neurodata.validate.statistics import enough

    if arguments.analysis not in SUBJECTS:
        raise OptionError(
            f"an analysis out of {', '.join(SUBJECTS)}: those whose answers the truth of spiking circuits can score",
            repr(arguments.analysis),
            "correct --analysis",
        )
    if arguments.twins < 2:
        raise OptionError("2 twins or more, for an interval", f"{arguments.twins}", "pass --twins 3")
    if folder.exists() and not folder.is_dir():
        raise OptionError("a folder for the result", f"{folder} is a file", "choose another with --out")
    model, prepare = SUBJECTS[arguments.analysis](arguments)
    with collected_warnings() as remarks:
        source = load_input(arguments)
        rec = _one(source.recording)
        enough(rec)  # what cannot be matched or prepared fails now, not after minutes
        prepare(rec)
        progress = as_progress(not arguments.quiet)
        twin = match(
            rec,
            max_units=MOST_MATCHED if arguments.no_limit else MOST_UNITS,
            rng=arguments.rng,
            n_jobs=arguments.jobs,
            progress=progress,
        )
        result = trust_model(
            model, rec, prepare, n_twins=arguments.twins, circuits=twin, rng=arguments.rng, n_jobs=arguments.jobs,
            longest=float("inf") if arguments.no_limit else LONGEST, progress=progress, quiet=True,
        )  # fmt: skip
    verdict = str(result.attrs["verdict"])
    about = {
        "title": source.name,
        "analysis": arguments.analysis,
        "command": shlex.join(arguments.command_line),
        "neurodata": version(),
    }
    match_node = twin.to_dataset()
    tree = xr.DataTree.from_dict(
        {
            "/": xr.Dataset(attrs=storable_attrs(about)),
            "/trust": result.assign_attrs(storable_attrs(result.attrs)),
            "/match": match_node.assign_attrs(storable_attrs(match_node.attrs)),
        }
    )
    text = f"{verdict}\n\n{twin!r}\n\n" + "\n".join(f"{key}: {value}" for key, value in about.items()) + "\n"
    written = write_files(
        folder,
        {RESULTS: lambda path: write_tree(tree, path), VERDICT: lambda path: path.write_text(text, encoding="utf-8")},
    )
    return Outcome(written[-1], verdict.split("\n"), [*source.remarks, *remarks])


def _one(tree: xr.DataTree) -> xr.DataTree:
    if is_recording(tree):
        return tree
    several = [path for path, _ in recordings(tree)]
    if len(several) == 1:
        return next(recording for _, recording in recordings(tree))
    raise OptionError("one recording", f"{len(several)}: {', '.join(several[:5])}", "pass the path of one of them")
