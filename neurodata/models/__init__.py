"""Models with scikit-learn's manners over labelled arrays: `fit`, `predict`, `score`, `simulate`, `save`; `load`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
