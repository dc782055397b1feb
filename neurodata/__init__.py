"""neurodata: neural recordings as labelled data, five analyses, and how far to trust each answer.

>>> import neurodata as nd
>>> recording = nd.datasets.load("example_spikes")
>>> counts = nd.bin_spikes(recording, bin_width=0.02)

Names are resolved on first use (SPEC 1), so importing the package loads no heavy module.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
