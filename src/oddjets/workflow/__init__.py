"""The stages of an analysis, in order: what each needs, does and leaves, and when it can be skipped."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
