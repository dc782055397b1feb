"""Errors and warnings. Every error says what was expected, what came, and what to do.

Each class also derives from the builtin a caller would expect (`ValueError`, `OSError`, ...), so code that
does not know neurodata catches it too.
"""

from __future__ import annotations


class NeurodataError(Exception):
    """Base of all errors raised on purpose by neurodata.

    Parameters
    ----------
    expected : str
        What a correct input looks like, without a full stop.
    got : str
        What came instead.
    fix : str
        What the caller can do about it.
    """

    def __init__(self, expected: str, got: str = "", fix: str = "") -> None:
        super().__init__(expected, got, fix)
        self.expected = expected
        self.got = got
        self.fix = fix

    def __str__(self) -> str:
        lines = [f"expected: {self.expected}"]
        if self.got:
            lines.append(f"got: {self.got}")
        if self.fix:
            lines.append(f"what to do: {self.fix}")
        return "\n".join(lines)


class RecordingError(NeurodataError, ValueError):
    """A recording, or the data meant to become one, breaks the schema."""


class FormatError(NeurodataError, ValueError):
    """A file is not what its reader reads: damaged, truncated, or another format."""


class UnknownFormatError(FormatError):
    """No reader, or more than one, recognises a path."""


class UntrustedDataError(NeurodataError, ValueError):
    """Reading would execute code from the file (pickle) and that was not asked for."""


class MissingOptionError(NeurodataError, ValueError):
    """The format lacks a fact (a sampling rate, a unit) that the caller must state."""


class OptionError(NeurodataError, ValueError):
    """An option or a parameter has a value that makes no sense."""


class MissingDependencyError(NeurodataError, ImportError):
    """An optional package is not installed."""


class PathNotFoundError(NeurodataError, FileNotFoundError):
    """The path does not exist."""


class StoreError(NeurodataError, OSError):
    """A recording or a result could not be written; what was there before is untouched."""


class DownloadError(NeurodataError, OSError):
    """A public recording could not be fetched."""


class SimulationError(NeurodataError, RuntimeError):
    """A simulation cannot go on: the network exploded, or an engine failed."""


class NotFittedError(NeurodataError, ValueError, AttributeError):
    """A result was asked of an estimator before `fit`."""


class NeurodataWarning(UserWarning):
    """Something was left out, dropped or looks implausible; the data are as the file has them."""
