"""Tools that know nothing of an analysis: errors, files, jet substructure, expressions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
