"""Files of labs become recordings: `load` finds the reader, `readers` lists them; bridges to other packages."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
