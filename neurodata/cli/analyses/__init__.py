"""The analyses of `neurodata analyze`: one module each with an `ANALYSIS`, in the order they are tried.

To add one, write `neurodata/cli/analyses/<name>.py` with an `ANALYSIS = Analysis(...)` and add its name to `_MODULES`.
"""

from __future__ import annotations

import importlib
from functools import cache

import xarray as xr

from neurodata.cli.analyses.base import Analysis
from neurodata.errors import OptionError

_MODULES = ("states", "spectrum", "rdm", "bicluster", "connectome")


@cache
def all_analyses() -> dict[str, Analysis]:
    """Every analysis by name."""
    found = [importlib.import_module(f"neurodata.cli.analyses.{module}").ANALYSIS for module in _MODULES]
    return {analysis.name: analysis for analysis in found}


def get_analysis(name: str) -> Analysis:
    """The analysis of that name."""
    known = all_analyses()
    if name not in known:
        raise OptionError(f"an analysis out of {', '.join(known)}", repr(name), "correct --analysis")
    return known[name]


def default_analysis(recording: xr.DataTree) -> Analysis | None:
    """The first analysis that is a default and has what it needs in the recording."""
    for analysis in all_analyses().values():
        if analysis.is_default and not analysis.lacks(recording):
            return analysis
    return None
