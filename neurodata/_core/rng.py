"""Random numbers: every public function takes `rng=None` and turns it into a Generator once (SPEC 7)."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np

RNGLike: TypeAlias = np.random.Generator | np.random.BitGenerator | np.random.SeedSequence | int | None


def generator(rng: RNGLike = None) -> np.random.Generator:
    """A NumPy Generator from a seed, a Generator (returned as it is) or None (fresh entropy)."""
    return np.random.default_rng(rng)


def children(rng: RNGLike, n: int) -> list[np.random.Generator]:
    """`n` independent Generators, one per chain or restart; the same `rng` seed gives the same list."""
    return generator(rng).spawn(n)
