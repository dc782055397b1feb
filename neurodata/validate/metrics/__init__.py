"""Scores of what models claim against what is true; `ALL` holds every one by name.

A metric takes claims (`neurodata.validate.claims`) and truth (`neurodata.simulate.unit_truth`) and gives one number,
NaN where one of the two lacks what it needs.

>>> from neurodata.validate import metrics
>>> metrics.ALL["ap"].better, metrics.ALL["ap"].bounds
('higher', (0.0, 1.0))
"""

from neurodata.validate.metrics import connectivity
from neurodata.validate.metrics.base import Metric

ALL: dict[str, Metric] = {metric.name: metric for metric in (*connectivity.METRICS,)}

__all__ = ["ALL", "Metric", "connectivity"]
