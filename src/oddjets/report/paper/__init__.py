"""The paper's set-ups from one simulated sample, and the page that puts their figures beside the paper's."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
