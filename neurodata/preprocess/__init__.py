"""Preprocessing: xarray in, new xarray out; attrs, ids, NaN and time gaps are kept, and what was done is logged."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
