"""Stopping chains and hearing from them, in this process or in others."""

from __future__ import annotations

import contextlib
import multiprocessing
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Protocol

from neurodata._core.progress import Progress

_STOP = "stop"
# How often workers tell how far they are, and how often their words are read, s.
_TELL_S = 0.5


class Control(Protocol):
    """What a running chain asks and tells between two sweeps."""

    def stopped(self) -> bool:
        """Whether to end now."""

    def report(self, chain: int, n_done: int, note: str = "") -> None:
        """A chain has done so many sweeps in all."""


class Here:
    """Chains in this process: a flag, and the bar itself."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self._stop = False
        self._done: dict[int, int] = {}

    def stop(self) -> None:
        """Ask the chains to end after their sweep."""
        self._stop = True

    def stopped(self) -> bool:
        """Whether they should."""
        return self._stop

    def report(self, chain: int, n_done: int, note: str = "") -> None:
        """A chain has done so many sweeps in all."""
        before = self._done.get(chain, 0)
        self._done[chain] = n_done
        self.progress.update(n_done - before, note)


@dataclass
class Elsewhere:
    """Chains in other processes: small files in a folder. Where the folder cannot be seen, nobody hears or stops them.

    Attributes
    ----------
    folder : str
    """

    folder: str

    def __post_init__(self) -> None:
        self._told: dict[int, float] = {}

    def stop(self) -> None:
        """Ask the chains to end after their sweep."""
        (Path(self.folder) / _STOP).touch()

    def stopped(self) -> bool:
        """Whether they should."""
        return (Path(self.folder) / _STOP).exists()

    def report(self, chain: int, n_done: int, note: str = "") -> None:
        """A chain has done so many sweeps in all."""
        now = time.monotonic()
        if now - self._told.get(chain, -_TELL_S) >= _TELL_S:
            self._told[chain] = now
            # A folder of another machine: the run goes on unheard.
            with contextlib.suppress(OSError):
                (Path(self.folder) / f"{chain}.done").write_text(f"{n_done} {note}")

    @contextlib.contextmanager
    def heard(self, progress: Progress, n_chains: int) -> Iterator[None]:
        """Show what the chains tell while the block runs."""
        here, ended = Here(progress), threading.Event()

        def listen() -> None:
            while not ended.wait(_TELL_S):
                for chain in range(n_chains):
                    with contextlib.suppress(OSError, ValueError):
                        words = (Path(self.folder) / f"{chain}.done").read_text().split(" ", 1)
                        if len(words) == 2:
                            here.report(chain, int(words[0]), words[1])

        thread = threading.Thread(target=listen, name="bicluster-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@contextlib.contextmanager
def interrupt_calls(stop: Callable[[], None]) -> Iterator[None]:
    """A first Ctrl-C calls `stop`, a second one interrupts as usual. Only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def handle(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        stop()

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def deaf_worker() -> Iterator[None]:
    """In a process of joblib's pool Ctrl-C is left to the parent, which has the stop file; else nothing changes."""
    ours = multiprocessing.current_process().name.startswith("LokyProcess")
    if not ours or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
