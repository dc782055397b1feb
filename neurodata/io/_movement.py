"""Importing movement without what it does to the process: a log folder in the home, xarray options, warnings.

On import, movement 0.15 adds a log file under the user's home and a handler on stderr, sends all Python warnings to
them, and sets xarray's options for the whole process. A reader must not do that behind the user's back. A session that
imported movement itself keeps what it set.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import xarray as xr

from neurodata._core.optional import require

_PURPOSE = "to read tracked poses"
# xarray's options that movement sets.
_OPTIONS = ("keep_attrs", "display_expand_data")
_LOGGING = "movement.utils.logging"


def load_poses() -> ModuleType:
    """The module `movement.io.load_poses`."""
    if "movement" in sys.modules:
        return require("movement.io.load_poses", "pose", _PURPOSE)
    require("loguru", "pose", _PURPOSE)
    options = xr.get_options()
    restore = _without_configuration()
    try:
        return require("movement.io.load_poses", "pose", _PURPOSE)
    finally:
        restore()
        xr.set_options(**{name: options[name] for name in _OPTIONS})


def _without_configuration() -> Callable[[], None]:
    """Load movement's logging module first, with its configuration switched off until the returned function is called.

    A movement that is laid out otherwise is imported as it is.
    """
    package = importlib.util.find_spec("movement")
    folders = list(package.submodule_search_locations or ()) if package is not None else []
    source = Path(folders[0]) / "utils" / "logging.py" if folders else None
    spec = importlib.util.spec_from_file_location(_LOGGING, source) if source is not None and source.is_file() else None
    if spec is None or spec.loader is None:
        return lambda: None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "MovementLogger"):
        return lambda: None
    configure = module.MovementLogger.configure
    module.MovementLogger.configure = lambda *args, **kwargs: None
    sys.modules[_LOGGING] = module

    def restore() -> None:
        module.MovementLogger.configure = configure

    return restore


@contextmanager
def quiet() -> Iterator[None]:
    """No log lines of movement while a file is read; what they say, the reader checks itself."""
    logger = require("loguru", "pose", _PURPOSE).logger
    logger.disable("movement")
    try:
        yield
    finally:
        logger.enable("movement")
