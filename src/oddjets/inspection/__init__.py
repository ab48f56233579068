"""The events of a window: which they are, what they look like, and whether they are like their neighbours."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
