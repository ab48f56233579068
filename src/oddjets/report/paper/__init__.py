"""The paper's set-ups from one simulated sample, and a page that compares their figures with the paper's."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
