"""Single events and windows of events, looked at: what they are, and what their scores rest on."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
