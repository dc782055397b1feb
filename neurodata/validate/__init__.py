"""How far an analysis can be trusted: recovery of known truth, calibration, twins of a recording."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
