"""Statistical inference with a fitted model: errors, significance, limits, impacts, toys."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
