"""Optional packages are imported where they are used, and say how to install them when missing."""

from __future__ import annotations

import importlib
from types import ModuleType

from neurodata.errors import MissingDependencyError


def require(module: str, extra: str = "", purpose: str = "") -> ModuleType:
    """Import `module` or raise an error with the install command.

    Parameters
    ----------
    module : str
        Dotted module name, e.g. ``"neo.rawio"``.
    extra : str
        Extra of neurodata that installs it; empty when no extra does.
    purpose : str
        What it is needed for, e.g. ``"to read EDF files"``.

    Raises
    ------
    MissingDependencyError
        When the package is not installed.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        # A package that is there but lacks one of its own dependencies is a different fault: name that one.
        missing = (error.name or package).partition(".")[0]
        command = f'pip install "neurodata[{extra}]"' if extra and missing == package else f"pip install {missing}"
        raise MissingDependencyError(
            expected=f"the package {missing!r} {purpose}".rstrip(), got="it is not installed", fix=command
        ) from error
