"""Statistical analysis: workspace, fit, limits, goodness of fit and closure of the background estimate."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
