"""Figures and the report: drawn from what the earlier stages left, data first."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
