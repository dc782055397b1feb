"""How well a model predicts data it has not seen: a score, but not one of truth."""

from __future__ import annotations

import numpy as np
import xarray as xr

from neurodata.validate.metrics.base import Metric


def bits_per_spike(claims: xr.Dataset, truth: xr.Dataset) -> float:
    """Bits per spike over the rates of the fit, on held-out data, as the model's `score` has it.

    A model may predict well with wrong connections, so this stands beside the scores against truth, never for them.
    """
    return float(claims["bits_per_spike"])


METRICS = (Metric("bits_per_spike", ("bits_per_spike",), bits_per_spike, (), 0.0, "higher", (-np.inf, np.inf)),)
