"""Spiking circuits whose truth is known: `Circuit`, `run`, what a lab would see of them (`observe`), a `zoo`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
