"""Validation: how exact an exported model is, and how well a trained one separates jets."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
