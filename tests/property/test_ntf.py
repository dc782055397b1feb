"""NonnegativeCP: order of labels, unit of the data and order of the two units of a pair do not matter."""

from __future__ import annotations

import numpy as np
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st

import neurodata as nd

PAIRS = ("unit", "unit_2")


def packed(seed: int, n: int, n_times: int) -> tuple[xr.DataArray, dict[str, np.ndarray]]:
    """A tensor of two motifs with a little noise, and the motifs."""
    rng = np.random.default_rng(seed)
    unit, time = rng.random((n, 2)) ** 2, rng.random((n_times, 2)) ** 2
    i, j = np.triu_indices(n, 1)
    values = time @ (unit[i] * unit[j]).T + 0.05 * rng.random((n_times, len(i)))
    tensor = xr.DataArray(values, dims=("time", "pair"), coords={"unit": ("pair", i), "unit_2": ("pair", j)})
    return tensor, {"time": time, "unit": unit}


def fitted(tensor: xr.DataArray, start: dict[str, np.ndarray]):
    return nd.models.NonnegativeCP(2, symmetric=PAIRS, tol=1e-7, max_iter=2000).fit(tensor, start=start)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), n=st.integers(6, 9), n_times=st.integers(8, 20), scale=st.floats(1e-6, 1e6))
def test_order_and_scale_do_not_matter(seed, n, n_times, scale):
    # Coordinates are visited in the order of units: from any start, another order may end in another minimum. From the
    # motifs it is the same one.
    tensor, start = packed(seed, n, n_times)
    rng = np.random.default_rng(seed + 1)
    one = fitted(tensor, start)
    label = rng.permutation(n)  # unit k becomes label[k]; its place in the factor follows the pairs
    swap = rng.random(tensor.sizes["pair"]) < 0.5
    first, second = label[tensor["unit"].values], label[tensor["unit_2"].values]
    renamed = (scale * tensor).assign_coords(
        unit=("pair", np.where(swap, second, first)), unit_2=("pair", np.where(swap, first, second))
    )
    order = rng.permutation(tensor.sizes["pair"])
    renamed = renamed.isel(pair=order)
    place = list(dict.fromkeys([*renamed["unit"].values.tolist(), *renamed["unit_2"].values.tolist()]))
    back = np.argsort(label)[place]
    other = fitted(renamed, {"time": start["time"] * scale, "unit": start["unit"][back]})
    np.testing.assert_allclose(other.relative_error_, one.relative_error_, rtol=1e-4)
    assert other.factor_["unit"]["unit"].values.tolist() == place
    np.testing.assert_allclose(other.weight_ / scale, one.weight_, rtol=1e-2)
    aligned = other.factor_["unit"].sel(unit=label)
    np.testing.assert_allclose(aligned.values, one.factor_["unit"].values, atol=1e-2)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), missing=st.floats(0.0, 0.5))
def test_the_loss_never_rises_whatever_is_missing(seed, missing):
    tensor, _ = packed(seed, 7, 15)
    rng = np.random.default_rng(seed)
    lost = rng.random(tensor.shape) < missing
    lost[0], lost[:, 0] = False, False
    model = nd.models.NonnegativeCP(2, symmetric=PAIRS, n_restarts=1, max_iter=50, rng=seed)
    model.fit(tensor.where(~lost))
    assert (np.diff(model.loss_) <= 0).all()
    assert all((factor.values >= 0).all() for factor in model.factor_.values())
