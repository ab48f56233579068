"""Studies with many pseudo-experiments: how an analysis behaves where there is no signal."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
