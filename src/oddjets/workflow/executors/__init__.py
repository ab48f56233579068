"""Execution of a processor over a fileset, chunk by chunk; finished chunks are kept."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
