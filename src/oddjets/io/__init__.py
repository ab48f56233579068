"""Input and output: PFNano, filesets, event tables, histograms, the authors' event files."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
