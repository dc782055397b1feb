"""How much memory is free."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def free_bytes() -> int | None:
    """Memory that programs may still take without swapping; None where it cannot be told.

    Examples
    --------
    >>> free = free_bytes()
    >>> free is None or free > 0
    True
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    with contextlib.suppress(AttributeError, OSError, ValueError):
        # Without /proc: all memory, the least that is known to be too much to ask for.
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return None


def as_text(n_bytes: float) -> str:
    """Bytes in words.

    Examples
    --------
    >>> as_text(1536), as_text(3.2e9)
    ('1.5 kB', '3.0 GB')
    """
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1024:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1024
    return f"{n_bytes:.1f} GB"
