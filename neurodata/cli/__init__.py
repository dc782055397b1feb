"""The command line: `neurodata readers | info | convert | analyze | trust | demo`."""

from __future__ import annotations

from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0, or 2 for bad usage and bad input.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; default those of the process.

    Examples
    --------
    >>> main(["info", "no-such-file.edf"])
    2
    """
    import xarray as xr

    from neurodata.cli.parser import run

    # numbagg, where it is installed, compiles for longer than these sums take without it.
    with xr.set_options(use_numbagg=False):
        return run(argv)
