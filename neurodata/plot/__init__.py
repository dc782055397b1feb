"""Pictures: a container in, axes out. Without `ax=` each makes a figure of its own, apart from pyplot's state.

In a notebook or a script that uses pyplot, pass your axes: ``fig, ax = plt.subplots(); nd.plot.raster(rec, ax=ax)``.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
