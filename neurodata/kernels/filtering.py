"""Zero-phase filtering along the last axis, of the samples that were observed."""

from __future__ import annotations

import numpy as np


def padding(sos: np.ndarray) -> int:
    """Samples by which SciPy's `sosfiltfilt` extends each end; a shorter stretch cannot be filtered."""
    taps = 2 * len(sos) + 1
    return 3 * (taps - int(min((sos[:, 2] == 0).sum(), (sos[:, 5] == 0).sum())))


def observed_runs(observed: np.ndarray) -> list[slice]:
    """Stretches of True in a vector."""
    change = np.flatnonzero(np.diff(observed.astype(np.int8), prepend=0, append=0))
    return [slice(a, b) for a, b in zip(change[::2], change[1::2], strict=True)]


def zero_phase(values: np.ndarray, sos: np.ndarray, slices: list[slice]) -> tuple[np.ndarray, int]:
    """Filter forwards and backwards, each stretch without gap or NaN by itself.

    Parameters
    ----------
    values : array (..., time)
        NaN where not observed.
    sos : array (section, 6)
        Second-order sections.
    slices : list of slice
        Stretches of time without a gap.

    Returns
    -------
    filtered : float64 array (..., time)
        NaN where not observed, and in stretches too short to filter.
    shortest : int
        Length of the shortest stretch that could not be filtered, in samples; 0 when all could.
    """
    from scipy.signal import sosfiltfilt

    n_pad = padding(sos)
    result = np.full(values.shape, np.nan)
    short: list[int] = []
    for part in slices:
        x = values[..., part].astype(np.float64)
        if not np.isnan(x).any():
            if x.shape[-1] > n_pad:
                result[..., part] = sosfiltfilt(sos, x, axis=-1)
            else:
                short.append(x.shape[-1])
            continue
        out = result[..., part]
        for place in np.ndindex(x.shape[:-1]):
            for run in observed_runs(~np.isnan(x[place])):
                if run.stop - run.start > n_pad:
                    out[place][run] = sosfiltfilt(sos, x[place][run])
                else:
                    short.append(run.stop - run.start)
    return result, min(short, default=0)
