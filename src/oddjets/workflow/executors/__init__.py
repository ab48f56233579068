"""Running a processor over a fileset, here or elsewhere, chunk by chunk; what is done is never done again."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
