"""Scores of what models claim against what is true; `ALL` holds every one by name.

A metric takes claims (`neurodata.validate.claims`) and truth (`truth_for`) and gives one number, NaN where one of the
two lacks what it needs.

>>> from neurodata.validate import metrics
>>> metrics.ALL["ap"].better, metrics.ALL["ap"].bounds
('higher', (0.0, 1.0))
"""

from neurodata.validate.metrics import clusters, connectivity, latents, predictive, probability, states
from neurodata.validate.metrics.base import Metric
from neurodata.validate.metrics.derived import truth_for

ALL: dict[str, Metric] = {
    metric.name: metric
    for family in (connectivity, probability, states, clusters, latents, predictive)
    for metric in family.METRICS
}

__all__ = [
    "ALL",
    "Metric",
    "clusters",
    "connectivity",
    "latents",
    "predictive",
    "probability",
    "states",
    "truth_for",
]
