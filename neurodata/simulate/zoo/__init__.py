"""Named circuits, each with a truth worth finding; every one takes `n`, its number of neurons, and `rng`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
