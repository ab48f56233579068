"""A HEPData record of an analysis: its figures and results as tables with named errors, and their submission."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
