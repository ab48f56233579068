"""Models of one's own: jets to learn from, training, export to ONNX, and how exact the result is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
