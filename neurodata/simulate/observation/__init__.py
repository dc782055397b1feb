"""What a lab would see of a simulated circuit: stages that turn a recording with `/truth` into a worse one.

The package is not called `observe` because importing a submodule of that name would hide the function of that name.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
del lazy_loader
