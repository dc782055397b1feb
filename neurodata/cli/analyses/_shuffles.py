"""Tests by shuffling that account for having looked at many values: the largest |t| over all of them is what counts.

Reference: Nichols & Holmes 2002, Hum Brain Mapp 15:1, doi:10.1002/hbm.1058.
"""

from __future__ import annotations

import numpy as np

N_SHUFFLES = 1000


def one_sample_t(values: np.ndarray) -> np.ndarray:
    """Mean over its standard error along trials.

    Parameters
    ----------
    values : array (trial, ...)

    Examples
    --------
    >>> one_sample_t(np.array([[1.0], [2.0], [3.0]])).round(3).tolist()
    [3.464]
    """
    error = values.std(axis=0, ddof=1) / np.sqrt(values.shape[0])
    return np.divide(values.mean(axis=0), error, out=np.zeros(values.shape[1:]), where=error > 0)


def two_sample_t(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Difference of two means over its standard error, variances taken as different (Welch).

    Parameters
    ----------
    values : array (trial, ...)
    first : bool array (trial,)
        Which trials are of the first group.
    """
    a, b = values[first], values[~first]
    error = np.sqrt(a.var(axis=0, ddof=1) / len(a) + b.var(axis=0, ddof=1) / len(b))
    return np.divide(a.mean(axis=0) - b.mean(axis=0), error, out=np.zeros(values.shape[1:]), where=error > 0)


def sign_flip_p(values: np.ndarray, rng: np.random.Generator, n_shuffles: int = N_SHUFFLES) -> np.ndarray:
    """P of each mean against zero, corrected for all values; signs of whole trials are flipped.

    Parameters
    ----------
    values : array (trial, ...)

    Returns
    -------
    array (...)
    """
    shape = (values.shape[0], *[1] * (values.ndim - 1))
    largest = [np.abs(one_sample_t(values * rng.choice((-1.0, 1.0), size=shape))).max() for _ in range(n_shuffles)]
    return _reached(np.abs(one_sample_t(values)), np.array(largest))


def label_shuffle_p(
    values: np.ndarray, first: np.ndarray, rng: np.random.Generator, n_shuffles: int = N_SHUFFLES
) -> np.ndarray:
    """P of each difference between two groups of trials, corrected for all values; labels are shuffled.

    Parameters
    ----------
    values : array (trial, ...)
    first : bool array (trial,)

    Returns
    -------
    array (...)
    """
    largest = [np.abs(two_sample_t(values, rng.permutation(first))).max() for _ in range(n_shuffles)]
    return _reached(np.abs(two_sample_t(values, first)), np.array(largest))


def _reached(seen: np.ndarray, largest: np.ndarray) -> np.ndarray:
    """Share of shuffles, the data themselves counted as one, whose largest value reaches each one seen."""
    number = largest.size - np.searchsorted(np.sort(largest), seen, side="left")
    return (1 + number) / (1 + largest.size)
