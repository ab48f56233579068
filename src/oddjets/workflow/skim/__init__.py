"""Skims: PFNano reduced once to the events and branches that an analysis needs, so that it is read faster again."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
