"""Progress is an object passed down, silent by default; bars go to stderr so that stdout stays data."""

from __future__ import annotations

import sys
from typing import Protocol


class Progress(Protocol):
    """What a long loop may call."""

    def start(self, total: int, label: str) -> None: ...
    def update(self, n: int = 1, note: str = "") -> None: ...
    def close(self) -> None: ...


class Silent:
    """No output."""

    def start(self, total: int, label: str) -> None:
        pass

    def update(self, n: int = 1, note: str = "") -> None:
        pass

    def close(self) -> None:
        pass


class Bar:
    """A tqdm bar on stderr."""

    def __init__(self) -> None:
        self._bar = None

    def start(self, total: int, label: str) -> None:
        from tqdm import tqdm

        self.close()
        self._bar = tqdm(total=total, desc=label, file=sys.stderr, leave=False)

    def update(self, n: int = 1, note: str = "") -> None:
        if self._bar is not None:
            if note:
                self._bar.set_postfix_str(note, refresh=False)
            self._bar.update(n)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def as_progress(progress: bool | Progress) -> Progress:
    """Turn `progress=True/False` or a Progress object into a Progress object."""
    if isinstance(progress, bool):
        return Bar() if progress else Silent()
    return progress
