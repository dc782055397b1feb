"""One safe way to read a .npy file: nothing is unpickled unasked, and a damaged file is told from a strange one."""

from __future__ import annotations

import math
import os
import pickle
import tokenize
import warnings
from pathlib import Path

import numpy as np

from neurodata.errors import FormatError, NeurodataWarning, PathNotFoundError, UntrustedDataError

# What unpickling bytes that are damaged, or whose classes are gone, is known to raise.
_UNPICKLING = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    ImportError,
    OverflowError,
)


# What a damaged header makes NumPy raise; Python 3.12's tokenizer has an error of its own.
_HEADER = (ValueError, EOFError, SyntaxError, TypeError, KeyError, UnicodeDecodeError, tokenize.TokenError)


def read_npy(path: str | os.PathLike[str], allow_pickle: bool = False, mmap: bool = False) -> np.ndarray:
    """Read one array from a .npy file.

    Parameters
    ----------
    path : path
        The file.
    allow_pickle : bool
        Whether an object array may be unpickled, which runs whatever code the file holds. Only for files you trust.
    mmap : bool
        Map the file instead of reading it (read-only). Object arrays and empty arrays are always read.

    Returns
    -------
    numpy.ndarray
        Of the shape and dtype in the file.

    Raises
    ------
    PathNotFoundError
        No such file.
    UntrustedDataError
        An object array, and `allow_pickle` is False. Nothing of it has been unpickled.
    FormatError
        Not a .npy file, or one that is damaged or shorter than its header says.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "x.npy"
    >>> np.save(path, np.arange(3))
    >>> read_npy(path).tolist()
    [0, 1, 2]
    """
    path = Path(path)
    if not path.is_file():
        raise PathNotFoundError("a .npy file", f"{path} does not exist", "check the path")
    shape, dtype, offset = _header(path)
    if dtype.hasobject:
        return _read_objects(path, allow_pickle)
    n_bytes = math.prod(shape) * dtype.itemsize
    # Checked before anything is allocated, so that a damaged shape cannot ask for terabytes.
    present = path.stat().st_size - offset
    if present < n_bytes:
        raise FormatError(
            f"{path.name} to hold {n_bytes} bytes of data (shape {shape}, {dtype})",
            f"{present} bytes: the file is truncated",
            "copy or write it again",
        )
    if present > n_bytes:
        warnings.warn(
            f"{path.name} holds {present - n_bytes} bytes after its array, which are left out",
            NeurodataWarning,
            stacklevel=2,
        )
    return np.load(path, mmap_mode="r" if mmap and n_bytes else None, allow_pickle=False)


def _header(path: Path) -> tuple[tuple[int, ...], np.dtype, int]:
    """Shape, dtype and where the data begin."""
    try:
        with open(path, "rb") as file:
            version = np.lib.format.read_magic(file)
            if version == (1, 0):
                shape, _, dtype = np.lib.format.read_array_header_1_0(file)
            elif version in ((2, 0), (3, 0)):
                # 3.0 differs from 2.0 in the encoding of field names only, which neither shape nor size depend on.
                shape, _, dtype = np.lib.format.read_array_header_2_0(file)
            else:
                raise ValueError(f"format version {version}")
            return shape, dtype, file.tell()
    except _HEADER as error:
        empty = path.stat().st_size == 0
        raise FormatError(
            f"{path.name} to be a .npy file",
            "an empty file" if empty else f"a damaged header, or another format ({error})",
            "copy or write it again",
        ) from error


def _read_objects(path: Path, allow_pickle: bool) -> np.ndarray:
    if not allow_pickle:
        raise UntrustedDataError(
            f"{path.name} to hold plain numbers or text",
            "an object array: reading it would unpickle, that is run, what the file holds",
            "pass allow_pickle=True if you trust where the file came from",
        )
    try:
        return np.load(path, allow_pickle=True)
    except _UNPICKLING as error:
        raise FormatError(
            f"{path.name} to be an object array that unpickles",
            f"{type(error).__name__}: {error}",
            "copy or write it again, with the packages installed that its objects come from",
        ) from error
