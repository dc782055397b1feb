"""For how long a geometry lasts: similarity of the RDMs of two times."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.errors import RecordingError
from neurodata.models.trsa.comparators import check_comparison, similarity
from neurodata.models.trsa.pooling import pooled
from neurodata.models.trsa.rdm import check_rdm, to_vectors


def time_generalisation(movie: xr.DataArray, comparison: str = "corr", *, subject: str = "rdm") -> xr.DataArray:
    """Similarity of the RDMs at every two times.

    With several subjects, a subject's RDM at one time is compared with the pool of the others' at the other, so noise
    that a subject's neighbouring times share does not count; the result is the mean over subjects, and not symmetric.

    Parameters
    ----------
    movie : DataArray (time, condition, condition_2) or (rdm, time, condition, condition_2)
        From `rdm_movie`.
    comparison : str
        As in `compare_rdms`.
    subject : str
        Name of the dim of subjects.

    Returns
    -------
    DataArray (time, time_2)
        ``time`` is that of the subject's RDM, ``time_2`` that of the others'.

    Examples
    --------
    >>> import numpy as np
    >>> import neurodata as nd
    >>> one = np.array([[0.0, 1, 2], [1, 0, 3], [2, 3, 0]])
    >>> movie = nd.models.make_rdm([one, 2 * one, one[::-1, ::-1]], dims=("time",), coords={"time": [0.0, 0.1, 0.2]})
    >>> nd.models.time_generalisation(movie).round(3).values.tolist()
    [[1.0, 1.0, -1.0], [1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]]
    """
    check_comparison(comparison)
    checked = check_rdm(movie, "movie", minimum=3)
    leading = checked.dims[:-2]
    if "time" not in leading or not set(leading) <= {"time", subject}:
        raise RecordingError(f"dims ([{subject},] time, condition, condition_2)", f"{movie.dims}", "select one stack")
    several = subject in leading
    ordered = checked.transpose(*([subject] if several else []), "time", "condition", "condition_2")
    n_times = ordered.sizes["time"]
    vectors = to_vectors(ordered)[0].reshape(-1, n_times, to_vectors(ordered)[0].shape[1])
    if len(vectors) == 1:
        found = similarity(vectors[0], vectors[0], comparison)
    else:
        found = np.zeros((n_times, n_times))
        share = np.full(len(vectors) - 1, 1.0 / (len(vectors) - 1))
        for k in range(len(vectors)):
            others = np.delete(vectors, k, axis=0)
            pools = np.array([pooled(others[:, t], comparison, None, share) for t in range(n_times)])
            found += similarity(vectors[k], pools, comparison) / len(vectors)
    times = ordered["time"].values if "time" in ordered.coords else np.arange(n_times)
    result = xr.DataArray(found, dims=("time", "time_2"), coords={"time": times, "time_2": times}, name="similarity")
    result.attrs["comparison"] = comparison
    if "units" in ordered["time"].attrs:
        for dim in result.dims:
            result[dim].attrs["units"] = ordered["time"].attrs["units"]
    return result
